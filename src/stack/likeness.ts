/**
 * Whether one disk is what another was laid on, by their bytes alone: a layer copies a cluster from below before it
 * changes a part of it, and a guest that rewrites a stretch changes little of it. So the two share sectors at one place.
 */
import { crc32 } from '../codec/crc32.ts';
import type { Node } from '../core/node.ts';
import { ABSENT, DATA, RunList } from '../core/run.ts';
import type { Source } from '../core/source.ts';

const SECTOR = 512;
const BLOCK = 64 * 1024;
/** Blocks of a layer, and stretches it says nothing of, that are held against another disk. */
const MAX_BLOCKS = 1024;
const MAX_HOLES = 1024;
const RUNS = 4096;
const MAX_RUNS = 1_000_000;
/** Different sectors that must be the same in both: fewer are what any two disks share. */
const LEAST_SAME = 16;
/** Of the places at which the other disk holds something, so many the layer must say nothing of: else it is a copy. */
const LEAST_BARE = 0.1;

/** What a layer and another disk hold at the same places. */
export interface Likeness {
  /** Sectors that both hold, and that are not one byte repeated. */
  readonly compared: number;
  /** Of those, how many are the same, each content counted once. */
  readonly same: number;
  /** Of the places at which the other disk holds something, the part that the layer says nothing of. */
  readonly bare: number;
}

/** Whether the layer was made on the other disk, as far as bytes can tell. */
export function isLike({ same, bare }: Likeness): boolean {
  return same >= LEAST_SAME && bare >= LEAST_BARE;
}

/** How alike two disks are, as a sentence. */
export function likenessSaid({ compared, same }: Likeness): string {
  return `of ${compared} sectors that both hold, ${same} are the same at the same place`;
}

interface Stretch {
  readonly at: number;
  readonly length: number;
}

/** Holds a layer, opened alone, against another disk. Reads some MiB of both at most. */
export async function likenessOf(layer: Source, other: Source, signal: AbortSignal): Promise<Likeness> {
  const { held, holes } = await stretchesOf(layer, Math.min(layer.size, other.size), signal);
  const [mine, theirs] = [new Uint8Array(BLOCK), new Uint8Array(BLOCK)];
  const seen = new Set<number>();
  let compared = 0;
  let covered = 0;
  let bare = 0;
  const blocks = spread(held, MAX_BLOCKS);
  for (const { at, length } of blocks) {
    signal.throwIfAborted();
    const [a, b] = [mine.subarray(0, length), theirs.subarray(0, length)];
    if ((await layer.read(at, a)).length > 0 || (await other.read(at, b)).length > 0) continue;
    if (b.some((byte) => byte !== 0)) covered++;
    for (let i = 0; i + SECTOR <= length; i += SECTOR) {
      const sector = a.subarray(i, i + SECTOR);
      const below = b.subarray(i, i + SECTOR);
      if (isUniform(sector) || isUniform(below)) continue;
      compared++;
      if (Buffer.compare(sector, below) === 0) seen.add(crc32(sector));
    }
  }
  const looked = spread(holes, MAX_HOLES);
  for (const { at, length } of looked) {
    signal.throwIfAborted();
    const b = theirs.subarray(0, length);
    if ((await other.read(at, b)).length === 0 && b.some((byte) => byte !== 0)) bare++;
  }
  // What was sampled stands for all of its kind.
  const [over, under] = [covered * weightOf(held, blocks.length), bare * weightOf(holes, looked.length)];
  return { compared, same: seen.size, bare: over + under === 0 ? 0 : under / (over + under) };
}

async function stretchesOf(
  layer: Source,
  end: number,
  signal: AbortSignal,
): Promise<{ held: Stretch[]; holes: Stretch[] }> {
  const [held, holes]: Stretch[][] = [[], []];
  const list = new RunList(RUNS);
  for (let at = 0; at < end && held.length + holes.length < MAX_RUNS; ) {
    signal.throwIfAborted();
    list.clear();
    const reached = await layer.runs(at, end, list);
    for (let i = 0; i < list.n; i++) {
      const length = Math.min(list.length[i], end - at);
      const state = list.state(i);
      if (state === DATA) held.push({ at, length });
      else if (state === ABSENT) holes.push({ at, length });
      at += list.length[i];
    }
    at = reached;
  }
  return { held, holes };
}

/** Blocks of a list of stretches, at most so many, at even distances. */
function spread(list: readonly Stretch[], most: number): Stretch[] {
  const total = list.reduce((sum, { length }) => sum + length, 0);
  const step = Math.max(BLOCK, total / most);
  const out: Stretch[] = [];
  let next = 0;
  let passed = 0;
  for (const { at, length } of list) {
    while (next < passed + length && out.length < most) {
      const skip = next - passed - ((next - passed) % SECTOR);
      const left = Math.min(BLOCK, length - skip);
      out.push({ at: at + skip, length: left });
      next += Math.max(step, left);
    }
    passed += length;
    next = Math.max(next, passed);
  }
  return out;
}

function weightOf(list: readonly Stretch[], looked: number): number {
  return looked === 0 ? 0 : list.reduce((sum, { length }) => sum + length, 0) / looked;
}

function isUniform(sector: Uint8Array): boolean {
  return sector.every((byte) => byte === sector[0]);
}

/** Files that lie on a layer by the names they give, directly or through others: none of them lies below it. */
export function namesAbove(child: Node, near: readonly { file: Node; layer: Node | undefined }[]): Set<Node> {
  const out = new Set<Node>();
  let names = new Set([child.rawName]);
  while (names.size > 0) {
    const isNamed = (name: string): boolean => names.has(name.split(/[\\/]/).pop()!);
    const found = near.filter(({ file, layer }) => !out.has(file) && layer?.backing?.names.some(isNamed) === true);
    for (const { file } of found) out.add(file);
    names = new Set(found.map(({ file }) => file.rawName));
  }
  return out;
}
