/**
 * Clusters whose L2 tables are lost: they follow each other in the file in the order in which they were written to, and
 * the guest says which stretches of the disk have something. Source: qcow2.md 11.3.
 */
import type { Damage } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { data, segments } from '../../../core/map-source.ts';
import { GUESSED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { NOWHERE, sampled } from '../placing/pieces.ts';
import { placed } from '../placing/place.ts';
import type { Directory } from './directory.ts';
import { COPIED, type Geometry, type Words } from './geometry.ts';
import { plainMap } from './place.ts';

/** Clusters that are put back at most, and clusters of a disk for which that is done. */
const MAX_CLUSTERS = 65_536;
const MAX_DISK: number = 2 ** 22;
/** Bytes of a cluster at which something may begin that knows its place. */
const PEEKED = 4096;

/** A slot whose table is lost, and where that stood. */
export interface LostTable {
  readonly slot: number;
  readonly at: number;
  /** What is wrong where nothing brings it back. */
  readonly damage: Damage;
}

/** Tables made up for lost ones, by where those stood; undefined where no guest says where clusters belong. */
export async function remadeByGuest(
  file: Source,
  geometry: Geometry,
  size: number,
  directory: Directory,
  lost: readonly LostTable[],
  leaked: readonly number[],
  cx: Cx,
): Promise<Map<number, Words> | undefined> {
  const { clusterSize, l2Entries } = geometry;
  const slots = Math.ceil(size / clusterSize);
  if (leaked.length === 0 || leaked.length > MAX_CLUSTERS || slots > MAX_DISK) return undefined;
  const closed = new Uint8Array(slots).fill(1);
  for (const { slot } of lost) closed.fill(0, slot * l2Entries, (slot + 1) * l2Entries);
  const list = leaked.map((cluster) => data(file, cluster * clusterSize, clusterSize, GUESSED));
  const pieces = { bytes: segments(list), count: leaked.length, coverage: clusterSize };
  const question = {
    pieces,
    slots,
    known: new Int32Array(leaked.length).fill(NOWHERE),
    closed,
    cluster: Math.min(PEEKED, clusterSize),
    written: await sampled(pieces, cx.signal),
    base: plainMap(file, geometry, directory, size),
  };
  const { hasGuest, isOrdered, slotOf } = await placed(question, cx);
  if (!hasGuest || !isOrdered) return undefined;
  const out = new Map<number, Words>(lost.map(({ at }) => [at, new Uint32Array(l2Entries * 2)]));
  const tableOf = new Map(lost.map(({ at, slot }) => [slot, out.get(at)!]));
  for (const [i, cluster] of leaked.entries()) {
    const words = tableOf.get(Math.floor(slotOf[i] / l2Entries));
    if (words === undefined) continue;
    const entry = 2 * (slotOf[i] % l2Entries);
    words[entry] = (COPIED | Math.floor((cluster * clusterSize) / 2 ** 32)) >>> 0;
    words[entry + 1] = (cluster * clusterSize) >>> 0;
  }
  return out;
}
