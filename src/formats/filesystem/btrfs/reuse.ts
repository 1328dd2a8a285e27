/** Whether what lay somewhere may still lie there: the tree of extents says who holds it now. */
import { missing, type Segment } from '../../../core/map-source.ts';
import { type Certainty, GUESSED, INFERRED, type Why, weaker } from '../../../core/run.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import type { Claim } from '../claimants.ts';
import { type Extent, extentSegments } from './extents.ts';
import { EXTENT, EXTENT_TREE, INLINE, METADATA_EXTENT, PREALLOCATED } from './structs.ts';
import type { Survey } from './survey.ts';
import type { Volume } from './volume.ts';

/** The largest extent that is written. */
const MOST_EXTENT = 128 * 1024 * 1024;
const GENERATION_AT = 8;

/** A stretch of logical bytes. */
interface Range {
  readonly from: number;
  readonly end: number;
}

/** What others hold now of an extent's bytes on disk; undefined where that cannot be read. */
async function taken(volume: Volume, extent: Extent): Promise<Range[] | undefined> {
  const tree = await volume.tree(EXTENT_TREE);
  const { place, diskBytes, generation } = extent;
  if (tree === undefined) return undefined;
  const { node } = await tree.leaf({ objectid: place, type: EXTENT, offset: 0 });
  let first = Math.max(0, place - MOST_EXTENT);
  // Nearly always the leaf itself has the extent in front.
  for (let i = 0; i < (node?.n ?? 0) && node!.objectid[i] <= place; i++)
    if (node!.type[i] === EXTENT || node!.type[i] === METADATA_EXTENT) first = node!.objectid[i];
  const out: Range[] = [];
  const end = place + diskBytes;
  const keys = [first, end - 1].map((objectid, i) => ({ objectid, type: i * 255, offset: i * Number.MAX_VALUE }));
  for await (const item of tree.items(keys[0], keys[1])) {
    if ('lost' in item) return undefined;
    const { objectid: from, type, offset } = item;
    if (type !== EXTENT && type !== METADATA_EXTENT) continue;
    const stop = from + (type === EXTENT ? offset : volume.nodes.size);
    if (stop <= place || from >= end) continue;
    const isSame = type === EXTENT && from === place && offset === diskBytes && item.size >= GENERATION_AT + 8;
    // It is still held, by a snapshot or a clone, where it was allocated no later than the file had it.
    if (isSame && readU64(viewOf(item.node.bytes), item.at + GENERATION_AT) <= generation) continue;
    out.push({ from: Math.max(from, place), end: Math.min(stop, end) });
  }
  return out;
}

/** What a deleted file's extent says: missing where others have its bytes now or had them later, or where nobody knows. */
export async function deadSegments(
  volume: Volume,
  extent: Extent,
  most: Certainty,
  why: Why,
  { past, claimants }: Pick<Survey, 'past' | 'claimants'>,
): Promise<Segment[]> {
  const { place, diskBytes, generation, type, fault, compression, bytes, offset } = extent;
  if (place === 0 || type === INLINE || type === PREALLOCATED || fault !== undefined)
    return extentSegments(volume, extent, weaker(most, INFERRED), why, past);
  const live = await taken(volume, extent);
  if (live === undefined) return [missing(bytes, { ...why, code: 'btrfs.extent-tree' })];
  const own = { from: place, end: place + diskBytes, order: generation, who: 0 };
  const isSame = (one: Claim): boolean => one.from === own.from && one.end === own.end;
  const held = claimants.after(own);
  // One of the same shape may be this one: what is cut off gets a new generation, and what is moved another place.
  const isUnsure = claimants.isHopeless || held.some((one) => isSame(one) && one.order > generation);
  const said: Why = isUnsure ? { ...why, code: 'btrfs.extent-claimed' } : why;
  const grade = weaker(most, isUnsure ? GUESSED : INFERRED);
  const others = [...live, ...held.filter((one) => !isSame(one))].sort((a, b) => a.from - b.from);
  if (others.length === 0) return extentSegments(volume, extent, grade, said, past);
  const reused: Why = { ...why, code: 'btrfs.extent-reused' };
  if (compression !== 0) return [missing(bytes, reused)];
  const out: Segment[] = [];
  const start = place + offset;
  let at = start;
  for (const { from, end } of others) {
    const [low, high] = [Math.max(from, at), Math.min(end, start + bytes)];
    if (high <= low) continue;
    if (low > at) out.push(...volume.place(at, low - at, grade, said, past));
    out.push(missing(high - low, reused));
    at = high;
  }
  if (at < start + bytes) out.push(...volume.place(at, start + bytes - at, grade, said, past));
  return out;
}
