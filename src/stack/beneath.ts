/** What lay on a piece of evidence before what lives there now. */
import type { Node } from '../core/node.ts';
import { flatten } from '../core/resolve.ts';
import { DATA, RunList } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { formats } from '../formats/index.ts';
import { type Stretch, stretchesOf } from './free.ts';
import { filesystems } from './home.ts';
import type { Stack } from './stack.ts';

/** Places of an older file system that are held against what lives there. */
const SAMPLES = 32;

/**
 * Older file systems on a piece of evidence that are not reached through what lives there. One that begins in what a
 * live file system has given to its files is none: it is the inside of a disk that lives there.
 */
export async function beneath(stack: Stack, node: Node): Promise<Node[]> {
  const out = new Map<string, Node>();
  const inside = await stack.inside(node);
  const live = inside === undefined ? [] : await filesystems(stack, node);
  const known = new Set(live.map((one) => one.locator));
  let grounds: Promise<Ground[]> | undefined;
  const groundsOf = (): Promise<Ground[]> => {
    grounds ??= Promise.all(live.map(async (one) => ({ live: one, stretches: (await stretchesOf(stack, one)) ?? [] })));
    return grounds;
  };
  for (const format of formats.filter((one) => one.lastResort)) {
    const opened = inside?.format === format.title ? inside : await stack.openAs(node, format);
    if (opened === undefined) continue;
    for (const one of await filesystems(stack, opened)) {
      if (known.has(one.locator) || (await isOneOf(stack, one, live))) continue;
      if (await isContent(stack, one, await groundsOf())) continue;
      out.set(one.locator, one);
    }
  }
  const carcass = await carcassIn(stack, node);
  if (carcass !== undefined) for (const one of await filesystems(stack, carcass)) out.set(one.locator, one);
  // What nothing else claims is found by any copy of its superblock when it is opened.
  const isCovered = inside !== undefined && live.length === 0 && out.size === 0;
  return isCovered ? overwritten(stack, inside.kind === 'disk' ? inside : node) : [...out.values()];
}

/** The container that a file's name promises, where something else was written over its start. */
export async function carcassIn(stack: Stack, node: Node): Promise<Node | undefined> {
  const inside = await stack.inside(node);
  if (inside === undefined || inside.kind === 'disk') return undefined;
  const name = node.rawName.toLowerCase();
  for (const format of formats.filter(({ layer }) => layer === 'disk')) {
    const isNamed = format.beneath?.some((ending) => name.endsWith(ending)) === true;
    if (!isNamed || inside.format === format.title) continue;
    const opened = await stack.openAs(node, format);
    if (opened !== undefined) return opened;
  }
  return undefined;
}

/**
 * A file system that filled the whole disk, under a partition table that was written over its start and leads nowhere: a
 * disk without partitions that was "initialised". Copies of its superblock lie further on.
 */
async function overwritten(stack: Stack, disk: Node): Promise<Node[]> {
  for (const format of formats.filter(({ layer }) => layer === 'filesystem')) {
    const opened = await stack.openAs(disk, format);
    if (opened?.kind === 'filesystem' && opened.children !== undefined) return [opened];
  }
  return [];
}

/** A file system that lives there, and where its bytes lie. */
interface Ground {
  readonly live: Node;
  readonly stretches: readonly Stretch[];
}

/** Whether two file systems say that they are the same one. */
function isAlike(one: Node, other: Node): boolean {
  const uuidOf = ({ facts }: Node): unknown => facts.details?.uuid ?? facts.details?.serial;
  return other.format === one.format && uuidOf(other) === uuidOf(one);
}

/** Whether a file system is one that lives there, found a second time by its start. */
async function isOneOf(stack: Stack, one: Node, live: readonly Node[]): Promise<boolean> {
  const startOf = async (node: Node): Promise<Bottom | undefined> =>
    (await sampled(await stack.parentOf(node)?.bytes?.()))[0];
  const alike = live.filter((other) => isAlike(one, other));
  const at = alike.length === 0 ? undefined : await startOf(one);
  for (const other of at === undefined ? [] : alike) {
    const own = await startOf(other);
    if (own?.source === at!.source && own?.at === at!.at) return true;
  }
  return false;
}

interface Bottom {
  readonly source: Source | undefined;
  readonly at: number;
}

/** Whether an older file system is what a file of a live one holds, or a superblock that the live one's journal holds. */
async function isContent(stack: Stack, older: Node, grounds: readonly Ground[]): Promise<boolean> {
  const volume = await stack.parentOf(older)?.bytes?.();
  const places = await sampled(volume);
  for (const { live, stretches } of grounds) {
    const size = isAlike(older, live) ? 0 : volume?.size;
    if (size !== undefined && (await holds(stretches, places, size))) return true;
  }
  return false;
}

async function holds(stretches: readonly Stretch[], places: readonly Bottom[], size: number): Promise<boolean> {
  const last = stretches.at(-1);
  // A disk lies in pieces, so what is behind its start need not be its own; what is as large as the volume is no disk in it.
  const isPart = last !== undefined && size < (last.from + last.length) / 2;
  for (const place of isPart ? places.slice(0, 1) : places) {
    const on = stretches.find(
      (one) => one.source === place.source && place.at - one.at < one.length && place.at >= one.at,
    );
    const at = on === undefined ? 0 : on.from + place.at - on.at;
    // What starts where the live one starts is another explanation of the same bytes.
    if (on === undefined || at === 0 || (await on.ground.isFree(at)) !== false) return false;
  }
  return places.length > 0;
}

/** Where some bytes of a volume lie, from its first to its last. */
async function sampled(volume: Source | undefined): Promise<Bottom[]> {
  const out: Bottom[] = [];
  const list = new RunList(1);
  for (let i = 0; volume !== undefined && i < SAMPLES; i++) {
    const at = Math.floor((i / SAMPLES) * volume.size);
    list.clear();
    await flatten(volume, at, at + 1, list);
    if (list.n > 0 && list.state(0) === DATA) out.push({ source: list.sourceOf(0), at: list.at[0] });
  }
  return out;
}
