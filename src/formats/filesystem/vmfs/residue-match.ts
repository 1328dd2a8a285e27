/**
 * Which pointer blocks without a descriptor belong to which file that lost its pointers: by the blocks it had, by its
 * size, and on VMFS6 by whom they are booked to. Pointer blocks are never put in order by address alone where anything
 * better is known, and what is not certain is said. Source: vmfs.md section 8.7.
 */
import { levelsOf } from './blocks.ts';
import { type Descriptor, isForeign } from './descriptor.ts';
import type { Geometry } from './geometry.ts';
import type { Chain } from './residue-pointers.ts';
import { TYPE_REGULAR, ZLA_SUB_BLOCK } from './structs.ts';

/** A file that is known by its size only, and what else is known of it. */
export interface Want {
  /** Of the residue, or of the name that is wanted. */
  readonly key: number;
  /** Bytes, and bytes of one of its blocks. */
  readonly length: number;
  readonly unit: number;
  /** Blocks that it had, where that is known. */
  readonly blocks: number | undefined;
  /** Descriptors that its pointer blocks may be booked to; none where that is not known. */
  readonly owners: readonly number[];
}

/** Pointer blocks for a file, in order. */
export interface Match {
  /** All of them together. */
  readonly chain: Chain;
  /** The chains as they were found. */
  readonly parts: readonly Chain[];
  /** Why these, and why in this order, in words. */
  readonly from: string;
  /** Nothing else fits, and the order is known. */
  readonly only: boolean;
  /** Nothing else fits. */
  readonly sole: boolean;
}

/** Explanations that are offered for one file. */
const MAX_OFFERS = 4;
/** Files that are looked after, and choices of one of them that are weighed: with more it is nobody's. */
const MAX_WANTS = 4096;
const MAX_CHOICES = 64;
const MAX_ROUNDS = 256;
/** With more files than this, only chains that are whole are tried. */
const MAX_SEARCHED = 64;
/** Chains that are tried together, in every selection of them. */
const MAX_TOGETHER = 12;
/** So many blocks do not agree in number by chance. */
const MANY_BLOCKS = 64;

/** A file whose descriptor has lost its pointers; undefined for one that has some, or never had any. */
export function wantOf(fd: Descriptor, key: number, parent: number): Want | undefined {
  const { zla, type, length, unit, blocks, pointers, address } = fd;
  const levels = levelsOf(zla) ?? 0;
  if (levels === 0 || type !== TYPE_REGULAR || !Number.isFinite(length) || length === 0) return undefined;
  if (pointers.some((word) => word !== 0)) return undefined;
  // On VMFS6 the pointer blocks of a file are booked to its directory.
  const owners = parent === 0 ? [] : [address, parent];
  return { key, length, unit, blocks: blocks > 0 && Number.isFinite(blocks) ? blocks : undefined, owners };
}

/** Whether a file was in sub-blocks and has lost its pointers. */
export function isBareSmall({ zla, type, length, pointers }: Descriptor): boolean {
  const small = zla === ZLA_SUB_BLOCK && type === TYPE_REGULAR && Number.isFinite(length) && length > 0;
  return small && pointers.every((word) => word === 0);
}

/** Whether none of a file's pointers could be read: it lives, and what it held is to be looked for. */
export function isUnread({ zla, type, length, pointers, lostPointers }: Descriptor): boolean {
  if (lostPointers.length === 0 || type !== TYPE_REGULAR || levelsOf(zla) === undefined) return false;
  return Number.isFinite(length) && length > 0 && pointers.every((word) => word === 0);
}

/** Whether what a descriptor says of its file could not be read, or was overwritten. Its pointers may be there. */
export function isBlank(fd: Descriptor): boolean {
  const { address, type, length, doubts } = fd;
  if (isForeign(fd)) return doubts.some(({ code }) => code === 'vmfs.fd.type'); // else it is another file's
  return address === 0 && type === 0 && length === 0 && doubts.some(({ code }) => code === 'vmfs.fd.unreadable');
}

/** The chains that fit each file, best first; `isDisk` tells whether a chain begins with a disk's first block. */
export async function matched(
  g: Geometry,
  wants: readonly Want[],
  chains: readonly Chain[],
  isDisk: (chain: Chain) => Promise<boolean>,
): Promise<Map<number, Match[]>> {
  const taken = new Set<Chain>();
  const out = new Map<number, Match[]>();
  const offers = new Map<Want, readonly Chain[][]>();
  // Where not every choice was weighed, none of them is the only one.
  const crowded = new Set<Want>(wants.length > MAX_WANTS ? wants : []);
  for (const want of wants.slice(0, MAX_WANTS)) {
    const list = want.length > 0 ? selections(g, want, chains, wants.length <= MAX_SEARCHED) : [];
    if (list.length > 0) offers.set(want, list);
    if (list.length >= MAX_CHOICES) crowded.add(want);
  }
  // What has found its own is no choice for the others any more, which may settle some of them.
  for (let round = 0, settled = true; settled && round < MAX_ROUNDS; round++) {
    settled = false;
    const rivals = new Map<Chain, number>();
    for (const [want, list] of offers) {
      const left = list.filter((selection) => !selection.some((chain) => taken.has(chain)));
      offers.set(want, left);
      for (const chain of new Set(left.flat())) rivals.set(chain, (rivals.get(chain) ?? 0) + 1);
    }
    for (const [want, [first, ...more]] of offers) {
      if (first === undefined || more.length > 0 || crowded.has(want) || first.some((chain) => rivals.get(chain) !== 1))
        continue;
      out.set(want.key, [await joined(g, want, first, isDisk, true)]);
      for (const chain of first) taken.add(chain);
      offers.delete(want);
      settled = true;
    }
  }
  for (const [want, offered] of offers) {
    const list = offered.slice(0, MAX_OFFERS);
    const matches: Match[] = [];
    for (const selection of list) matches.push(await joined(g, want, selection, isDisk, false));
    if (matches.length > 0) out.set(want.key, matches);
  }
  return out;
}

/** Sets of chains that together could be all pointer blocks of a file. */
function selections(g: Geometry, want: Want, chains: readonly Chain[], together: boolean): Chain[][] {
  const slots = Math.ceil(want.length / want.unit);
  const tables = Math.ceil(slots / g.pointersPerBlock);
  if (want.unit !== g.blockSize) return [];
  const booked = (chain: Chain): boolean =>
    want.owners.length === 0 || chain.owners.size === 0 || want.owners.some((owner) => chain.owners.has(owner));
  const possible = chains.filter(
    (one) =>
      one.slots <= slots &&
      one.blocks <= (want.blocks ?? slots) &&
      (one.levels === 2 || one.tables <= tables) &&
      booked(one),
  );
  const whole = possible.filter((one) => fits(want, slots, [one]) && (one.levels === 2 || one.tables === tables));
  if (whole.length > 0) return whole.slice(0, MAX_CHOICES).map((one) => [one]);
  const parts = possible.filter((one) => one.levels === 1 && one.tables < tables);
  if (!together || parts.length > MAX_TOGETHER) return [];
  const out: Chain[][] = [];
  for (let set = 1; set < 2 ** parts.length; set++) {
    const list = parts.filter((_, i) => (set & (1 << i)) !== 0);
    const ends = list.some((one) => endOf(g, one) <= roomOf(g, slots));
    if (ends && list.reduce((n, one) => n + one.tables, 0) === tables && fits(want, slots, list)) out.push(list);
    if (out.length >= MAX_CHOICES) break;
  }
  return out;
}

/** Pointers that the last pointer block of a file has room for, and those that the last one of a chain has. */
function roomOf(g: Geometry, slots: number): number {
  return slots - (Math.ceil(slots / g.pointersPerBlock) - 1) * g.pointersPerBlock;
}

function endOf(g: Geometry, { slots, tables }: Chain): number {
  return slots - (tables - 1) * g.pointersPerBlock;
}

/** Where the number of blocks is not known, the last block of the file has to be there. */
function fits(want: Want, slots: number, list: readonly Chain[]): boolean {
  if (want.blocks !== undefined) return list.reduce((n, one) => n + one.blocks, 0) === want.blocks;
  return list.length === 1 ? list[0].slots === slots : list.reduce((n, one) => n + one.blocks, 0) === slots;
}

async function joined(
  g: Geometry,
  want: Want,
  selection: readonly Chain[],
  isDisk: (chain: Chain) => Promise<boolean>,
  sole: boolean,
): Promise<Match> {
  const slots = Math.ceil(want.length / want.unit);
  const { order, from, known } = await ordered(g, slots, selection, isDisk);
  const blocks = order.reduce((n, one) => n + one.blocks, 0);
  const pointers = Uint32Array.from(order.flatMap((one) => [...one.pointers]));
  const tables = order.reduce((n, one) => n + one.tables, 0);
  const owners = new Set(order.flatMap((one) => [...one.owners]));
  const chain = { ...order[0], pointers, blocks, tables, slots, owners, size: want.length };
  const many = blocks >= MANY_BLOCKS || (order.length === 1 && order[0].slots === slots && blocks > 1);
  const count = want.blocks === undefined ? `a size of ${slots} blocks` : `its ${want.blocks} blocks`;
  const why = sole ? `the only pointer blocks that fit ${count}` : `one of several that fit ${count}`;
  return { chain, parts: selection, from: `${why}; ${from}`, only: sole && known && many, sole };
}

interface Order {
  readonly order: readonly Chain[];
  readonly from: string;
  readonly known: boolean;
}

/** Puts chains one after the other: a disk's first block comes first, what is too short for the middle comes last. */
async function ordered(
  g: Geometry,
  slots: number,
  selection: readonly Chain[],
  isDisk: (chain: Chain) => Promise<boolean>,
): Promise<Order> {
  if (selection.length === 1) {
    const [{ levels, tables }] = selection;
    const from =
      levels === 2 ? 'a pointer block of the second level gives their order' : 'each begins where the one before ends';
    return { order: selection, from: tables === 1 ? 'it is a single one' : from, known: true };
  }
  const last = selection.filter((one) => endOf(g, one) <= roomOf(g, slots));
  const first: Chain[] = [];
  for (const one of selection) if (await isDisk(one)) first.push(one);
  const head = first.length === 1 && selection.length > 1 ? first[0] : undefined;
  const tail = last.length === 1 && last[0] !== head ? last[0] : undefined;
  const middle = selection.filter((one) => one !== head && one !== tail);
  // What is left is in the order in which it was allocated at best.
  const order = [...(head ? [head] : []), ...middle, ...(tail ? [tail] : [])];
  const known = middle.length + (head || tail ? 0 : 1) <= 1;
  const clues = [head && 'the first begins like a disk', tail && 'the last is the only one that is short enough'];
  const guess = known ? undefined : 'the others by their addresses, which is a guess';
  return { order, from: [...clues, guess].filter((clue) => clue !== undefined).join(', '), known };
}
