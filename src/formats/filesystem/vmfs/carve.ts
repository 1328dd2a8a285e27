/**
 * Disks that no pointer leads to any more, recognised by what their first block holds and followed the way ESXi gives
 * out blocks. All of it is guessed. Source: vmfs.md sections 8.7 and 8.8.
 */
import type { Hit } from '../../../core/finder.ts';
import type { Cx } from '../../../core/format.ts';
import { DATA, RunList } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { gptFinder, mbrFinder } from '../../volume/find.ts';
import { guestFinders } from '../guest.ts';
import { FILE_BLOCK } from './address.ts';
import { UNREAD } from './allocation.ts';
import { type Copy, copyAtEnd, copyAtStart, headless, MAX_COPIES, PEEK } from './carve-ends.ts';
import { isLog, logsIn } from './carve-logs.ts';
import { called, settingsIn } from './carve-names.ts';
import { isSettings } from './residue-content.ts';
import type { Whole } from './residue-open.ts';
import { type Followed, grownInTurns, NOT_FOUND, settle } from './thin.ts';
import type { Volume } from './volume.ts';

const SECTOR = 512;
/** Bytes of a block that show what begins there. */
const HEAD: number = PEEK;
/** Blocks whose heads are read; a volume with more free ones is looked through as far as that. */
const MAX_HEADS = 2 ** 20;
const MAX_DISKS = 4096;
/** Bytes behind the last partition that a disk may have and still be told by its partition table. */
export const MAX_TAIL: number = 2 * 1024 * 1024;

/** One bit for each file block. */
export class BlockSet {
  readonly #bits: Uint8Array;

  constructor(count: number) {
    this.#bits = new Uint8Array(Math.ceil(count / 8));
  }

  has(block: number): boolean {
    return (this.#bits[block >>> 3] & (1 << (block & 7))) !== 0;
  }

  add(block: number): void {
    this.#bits[block >>> 3] |= 1 << (block & 7);
  }

  delete(block: number): void {
    this.#bits[block >>> 3] &= ~(1 << (block & 7));
  }
}

/** A file that a descriptor or an entry names and whose bytes nothing leads to any more. */
export interface Wanted {
  /** Names of its directories, then its own. */
  readonly path: readonly string[];
  /** Bytes, where they are known. */
  readonly size: number | undefined;
  /** Its descriptor's number in the order in which they are given out; -1 where it is not known. */
  readonly index: number;
}

/** What is looked for by name, and files that have both name and bytes. */
export interface Known {
  readonly disks: readonly Wanted[];
  readonly settings: readonly Wanted[];
  readonly logs: readonly Wanted[];
  readonly whole: readonly Whole[];
}

/** What a name rests on. */
export type By = 'size' | 'order' | 'kind' | 'length';

export interface CarvedDisk {
  /** The file that it is taken for, and by what. */
  readonly wanted: Wanted | undefined;
  readonly by?: By;
  /** What its name ends in where it has none. */
  readonly ending: string;
  /** File blocks in the order of the disk; NEVER_WRITTEN and NOT_FOUND where it has none. */
  readonly blocks: readonly number[];
  /** It grew in turns with others: what is where in it follows from the guest. */
  readonly isThin: boolean;
  /** Its start is gone: it was recognised by what it keeps further behind. */
  readonly isHeadless?: true;
  /** Bytes that the disk says it has; more than its blocks where these ran out. */
  readonly size: number;
  /** What it was recognised by. */
  readonly what: string;
  readonly label: string | undefined;
}

/** Enters the file blocks that `source` lies in; answers where its first bytes lie, -1 where that is in none. */
export async function own(volume: Volume, source: Source, owned: BlockSet): Promise<number> {
  const { blockSize } = volume.geometry;
  const list = new RunList();
  let first = -1;
  for (let at = 0; at < source.size; ) {
    list.clear();
    const reached = await source.runs(at, source.size, list);
    for (let i = 0; i < list.n; i++) {
      if (list.state(i) !== DATA || list.sourceOf(i) !== volume.volume) continue;
      if (first < 0) first = list.at[i];
      const last = Math.floor((list.at[i] + list.length[i] - 1) / blockSize);
      for (let block = Math.floor(list.at[i] / blockSize); block <= last; block++) owned.add(block);
    }
    if (reached <= at) break;
    at = reached;
  }
  return first;
}

/** Where a disk begins, and what it says of itself. */
export interface Start {
  readonly block: number;
  /** A partition table, not the file system of a disk without one. */
  readonly isTable: boolean;
  /** The disk may be longer than what it says. */
  readonly isOpen: boolean;
  readonly size: number;
  readonly what: string;
  readonly label: string | undefined;
}

/**
 * The disks in blocks that nothing owns, in the order of their first blocks. `doubtful` are blocks of system files that
 * were put together again and may be shorter than they look: a disk that begins in them shows where they end.
 */
export async function carvedDisks(
  volume: Volume,
  owned: BlockSet,
  doubtful: BlockSet,
  known: Known,
  cx: Cx,
): Promise<CarvedDisk[]> {
  const heads = await headsOf(volume, owned);
  const settings = known.settings.length === 0 ? [] : heads.settings;
  for (const block of settings) owned.add(block);
  const behind = (block: number): AsyncGenerator<number> => freeBehind(volume, block, owned);
  const logs = await logsIn(volume, heads.logs, owned, known.logs, behind);
  const starts = heads.starts.map((start) => sized(start, known.disks));
  for (const { block } of starts) for (let at = block; doubtful.has(at); at++) doubtful.delete(at);
  const count = Math.floor(volume.volume.size / volume.geometry.blockSize);
  for (let block = 0; block < count; block++) if (doubtful.has(block)) owned.add(block);
  const byBlock = new Map(starts.map((start) => [start.block, start]));
  const followed = (start: Start): Promise<Followed> => follow(volume, start, byBlock, owned);
  const { blockSize } = volume.geometry;
  const like = (start: Start): AsyncGenerator<number> => freeBehind(volume, start.block, owned);
  const settled = await settle(volume.volume, blockSize, starts, followed, cx);
  for (const { blocks } of settled.sure.values()) for (const block of blocks) owned.add(block);
  const thin = await grownInTurns(volume.volume, blockSize, settled, like, cx);
  for (const blocks of thin.values()) for (const block of blocks) if (block >= 0) owned.add(block);
  const out: CarvedDisk[] = [];
  for (const start of starts) {
    const placed = thin.get(start) ?? settled.sure.get(start)?.blocks;
    // What a disk before it has taken is a partition or a copy inside that disk.
    if (placed === undefined && owned.has(start.block)) continue;
    const blocks = placed ?? (await followed(start)).blocks;
    for (const block of blocks) if (block >= 0) owned.add(block);
    const size = Math.max(start.size, blocks.length * blockSize);
    const { what, label } = start;
    out.push({
      blocks,
      isThin: thin.has(start),
      size: start.isOpen ? size : start.size,
      what,
      label,
      ending: '-flat.vmdk',
      wanted: undefined,
    });
  }
  const rests = await restsOf(volume, heads.copies, owned);
  return [...called(volume, out, known.disks, known.whole), ...rests, ...settingsIn(volume, settings, known), ...logs];
}

/** Blocks that nothing owns from one on, in the order in which ESXi gives them out, allocated or free as that one is. */
async function* freeBehind(volume: Volume, first: number, owned: BlockSet): AsyncGenerator<number> {
  const live = await isAllocated(volume, first);
  for (const block of inOrder(volume, first))
    if (!owned.has(block) && (await isAllocated(volume, block)) === live) yield block;
}

/** What is left behind the start of disks and file systems whose first blocks others have. */
async function restsOf(volume: Volume, copies: readonly Copy[], owned: BlockSet): Promise<CarvedDisk[]> {
  const found = await headless(volume, copies, { owned, isLive: (block) => isAllocated(volume, block) });
  return found.map(({ blocks, copy, size }) => ({
    blocks: blocks.map((block) => (block < 0 ? NOT_FOUND : block)),
    isThin: false,
    isHeadless: true,
    size,
    what: copy.what,
    label: undefined,
    ending: copy.isDisk ? '-flat.vmdk' : '.img',
    wanted: undefined,
  }));
}

/** A partition table says where the last partition ends; a descriptor that is left may say where the disk does. */
function sized(start: Start, wanted: readonly Wanted[]): Start {
  if (!start.isOpen) return start;
  const fits = wanted.flatMap(({ size }) =>
    size !== undefined && size >= start.size && size <= start.size + MAX_TAIL ? [size] : [],
  );
  return fits.length === 0 ? start : { ...start, size: Math.min(...fits), isOpen: false };
}

interface Heads {
  readonly starts: Start[];
  /** Blocks that begin like the settings of a machine. */
  readonly settings: number[];
  readonly logs: number[];
  /** What says how far behind the start of something it stands. */
  readonly copies: Copy[];
}

async function headsOf(volume: Volume, owned: BlockSet): Promise<Heads> {
  const { blockSize } = volume.geometry;
  const count = Math.floor(volume.volume.size / blockSize);
  const head = new Uint8Array(HEAD);
  const starts: Start[] = [];
  const settings: number[] = [];
  const logs: number[] = [];
  const copies: Copy[] = [];
  const note = (copy: Copy | undefined): void => {
    const fits = copy !== undefined && copy.size > 0 && copy.size <= volume.volume.size && copy.origin < copy.at;
    if (fits && copies.length < MAX_COPIES) copies.push(copy);
  };
  for (let block = 0, read = 0; block < count && read < MAX_HEADS && starts.length < MAX_DISKS; block++) {
    if (owned.has(block)) continue;
    read++;
    const end = (block + 1) * blockSize;
    if ((await volume.volume.read(end - HEAD, head)).length === 0) note(copyAtEnd(head, end));
    if ((await volume.volume.read(block * blockSize, head)).length > 0) continue;
    note(copyAtStart(head, block * blockSize));
    const start = startOf(block, head, volume.volume.size);
    if (start !== undefined) starts.push(start);
    else if (isSettings(head) && settings.length < MAX_DISKS) settings.push(block);
    else if (logs.length < MAX_DISKS && isLog(head)) logs.push(block);
  }
  return { starts, settings, logs, copies };
}

/** What the first bytes of a block begin, if that is a disk. */
export function startOf(block: number, head: Uint8Array, most: number): Start | undefined {
  const hits: Hit[] = [];
  const emit = (hit: Hit): void => void hits.push(hit);
  gptFinder.examine(head.subarray(SECTOR), SECTOR, emit);
  for (const finder of guestFinders) finder.examine(head, 0, emit);
  mbrFinder.examine(head, 0, emit);
  const hit = hits.find((one) => one.base === 0);
  if (hit === undefined) return undefined;
  const size = Math.ceil(Number(hit.facts?.bytes) / SECTOR) * SECTOR;
  const label = hit.facts?.label;
  const what = typeof hit.facts?.what === 'string' ? hit.facts.what : hit.kind === 'disk.gpt' ? 'GPT' : 'MBR';
  if (!(size > 0 && size <= most)) return undefined;
  const isTable = hit.kind.startsWith('disk.');
  const isOpen = hit.kind === 'disk.mbr';
  return { block, isTable, isOpen, size, what, label: typeof label === 'string' ? label : undefined };
}

/**
 * The blocks of a disk in the order in which ESXi gives them out: to the end of the cluster, then the low numbers of the
 * same cluster, then the next one. What something owns is passed over, and so is a disk that begins on the way.
 */
async function follow(
  volume: Volume,
  start: Start,
  starts: ReadonlyMap<number, Start>,
  owned: BlockSet,
): Promise<Followed> {
  const { blockSize } = volume.geometry;
  const wanted = Math.ceil(start.size / blockSize);
  const live = await isAllocated(volume, start.block);
  const out: number[] = [];
  let passing = 0;
  let hasPassed = false;
  for (const block of inOrder(volume, start.block)) {
    if (owned.has(block) || (await isAllocated(volume, block)) !== live) continue;
    const other = block === start.block ? undefined : starts.get(block);
    if (other !== undefined && !isPart(other, start, out.length * blockSize)) {
      passing = Math.ceil(other.size / blockSize);
      hasPassed = true;
    }
    if (passing > 0) passing--;
    else if (out.push(block) >= wanted) break;
  }
  // Installers leave the end of a disk free, mostly a MiB; its table says only where the last partition ends.
  const next = (out.at(-1) ?? start.block) + 1;
  const fits = start.isOpen && out.length === wanted && next * blockSize < volume.volume.size;
  if (fits && !owned.has(next) && !starts.has(next) && (await isAllocated(volume, next)) === live) out.push(next);
  return { blocks: out, hasPassed };
}

/** Whether what begins on the way is a partition of the disk itself. */
function isPart(other: Start, disk: Start, at: number): boolean {
  return disk.isTable && !other.isTable && at + other.size <= disk.size;
}

/** Whether the bitmap calls a block taken, or says nothing. */
async function isAllocated(volume: Volume, block: number): Promise<boolean> {
  const at = block * volume.geometry.blockSize;
  let verdict = volume.allocation.verdict(FILE_BLOCK, at);
  if (verdict === UNREAD) {
    await volume.allocation.load(at);
    verdict = volume.allocation.verdict(FILE_BLOCK, at);
  }
  return verdict === undefined;
}

function* inOrder(volume: Volume, first: number): Generator<number> {
  const { geometry: g, files } = volume;
  const perCluster = (g.version === 6 ? g.blocksPerCluster : files.fbb?.header.perCluster) || 200;
  const count = Math.floor(volume.volume.size / g.blockSize);
  const base = first - (first % perCluster);
  for (let block = first; block < Math.min(base + perCluster, count); block++) yield block;
  for (let block = base; block < first; block++) yield block;
  for (let block = base + perCluster; block < count; block++) yield block;
}
