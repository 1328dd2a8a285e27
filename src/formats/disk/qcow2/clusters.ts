/**
 * Clusters whose L2 tables are lost: they follow each other in the file in the order in which they were written to, and
 * the guest says which stretches of the disk have something. Source: qcow2.md 11.3.
 */
import type { Damage } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import { saysUnused } from '../placing/align.ts';
import { piecesAt } from '../placing/pieces.ts';
import { placedByOrder } from '../placing/place.ts';
import type { Directory } from './directory.ts';
import { COPIED, type Geometry, type Words } from './geometry.ts';
import { plainMap } from './place.ts';

/** Clusters that are put back at most, and clusters of a disk for which that is done. */
const MAX_CLUSTERS = 65_536;
const MAX_DISK: number = 2 ** 22;

/** A slot whose table is lost, and where that stood. */
export interface LostTable {
  readonly slot: number;
  readonly at: number;
  /** What is wrong where nothing brings it back. */
  readonly damage: Damage;
}

export interface RemadeTables {
  /** By where the lost ones stood. An entry that is in use and leads nowhere is lost. */
  readonly tables: Map<number, Words>;
  /** Such entries. */
  readonly missing: number;
}

/**
 * Tables made up for lost ones; undefined where no guest says where clusters belong. `isAll`: `leaked` are all clusters
 * that the tables led to, so that what none is put into has none.
 */
export async function remadeByGuest(
  file: Source,
  geometry: Geometry,
  size: number,
  directory: Directory,
  lost: readonly LostTable[],
  leaked: readonly number[],
  isAll: boolean,
  cx: Cx,
): Promise<RemadeTables | undefined> {
  const { clusterSize, l2Entries } = geometry;
  const slots = Math.ceil(size / clusterSize);
  if (leaked.length === 0 || leaked.length > MAX_CLUSTERS || slots > MAX_DISK) return undefined;
  const closed = new Uint8Array(slots).fill(1);
  for (const { slot } of lost) closed.fill(0, slot * l2Entries, (slot + 1) * l2Entries);
  const pieces = piecesAt(
    file,
    leaked.map((cluster) => cluster * clusterSize),
    clusterSize,
  );
  const found = await placedByOrder(pieces, { slots, closed, base: plainMap(file, geometry, directory, size) }, cx);
  if (found === undefined) return undefined;
  const { slotOf, usage } = found;
  const out = new Map<number, Words>(lost.map(({ at }) => [at, new Uint32Array(l2Entries * 2)]));
  const tableOf = new Map(lost.map(({ at, slot }) => [slot, out.get(at)!]));
  for (const [i, cluster] of leaked.entries()) {
    const words = tableOf.get(Math.floor(slotOf[i] / l2Entries));
    if (words === undefined) continue;
    const entry = 2 * (slotOf[i] % l2Entries);
    words[entry] = (COPIED | Math.floor((cluster * clusterSize) / 2 ** 32)) >>> 0;
    words[entry + 1] = (cluster * clusterSize) >>> 0;
  }
  let missing = 0;
  for (const [slot, words] of isAll ? [] : tableOf) {
    for (let i = 0; i < Math.min(l2Entries, slots - slot * l2Entries); i++) {
      if (words[2 * i] !== 0 || words[2 * i + 1] !== 0 || saysUnused(usage, slot * l2Entries + i)) continue;
      words[2 * i] = COPIED;
      missing++;
    }
  }
  return { tables: out, missing };
}
