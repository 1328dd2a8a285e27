/**
 * Resource files that lost their descriptor and their first group: clusters of later groups know their numbers and
 * positions, so where each group lies. Source: vmfs.md sections 6.2 and 8.4. What rests on them is inferred.
 */
import type { Cx } from '../../../core/format.ts';
import { data, missing, type Segment, segments } from '../../../core/map-source.ts';
import { type Certainty, GUESSED, INFERRED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { farRows } from './far.ts';
import type { Geometry } from './geometry.ts';
import { openResource, type ResourceKind } from './resource.ts';

/** The low byte of a cluster's lock, for files whose resources are worth having without their header. */
const KINDS: Partial<Record<ResourceKind, number>> = { sbc: 3, pbc: 4, pb2: 6 };
/** Groups of one resource file; the largest real one has eight. */
const MAX_GROUPS = 4096;

/** The bytes of a resource file from its later groups; undefined where none is known. */
export async function laterGroups(
  g: Geometry,
  volume: Source,
  kind: ResourceKind,
  cx: Cx,
): Promise<Source | undefined> {
  const lock = KINDS[kind];
  if (lock === undefined) return undefined;
  const lost: Why = { what: `the header of .${kind}.sf`, source: volume, at: 0, code: 'vmfs.resource-lost' };
  const { header } = await openResource(g, kind, segments([missing(g.groupOffset, lost)]));
  const { clustersPerGroup, groupSize, perCluster } = header;
  const places = new Map<number, number>();
  for (const row of await farRows(volume, cx)) {
    const group = Math.floor(row.cluster / clustersPerGroup);
    const at = row.at - (row.cluster % clustersPerGroup) * g.clusterHeaderBytes;
    // Only the usual number of resources is known where to look for: the header that says another one is lost.
    const fits = row.kind === lock && row.isSix === (g.version === 6) && row.total === perCluster;
    if (fits && group < MAX_GROUPS && at >= 0 && !places.has(group)) places.set(group, at);
  }
  if (places.size === 0) return undefined;
  const known = [...places.keys()].sort((a, b) => a - b);
  const out: Segment[] = [missing(g.groupOffset, lost)];
  const add = (at: number, certainty: Certainty): void => {
    const why: Why = { what: `cluster headers of .${kind}.sf`, source: volume, at, code: 'vmfs.resource-rebuilt' };
    out.push(data(volume, at, Math.min(groupSize, volume.size - at), certainty, why));
  };
  for (let group = 0; group <= known.at(-1)!; group++) {
    const own = places.get(group);
    // Groups lie in a row wherever that was seen; where the headers of one are lost, that is all there is.
    const next = known.find((one) => one > group)!;
    const at = own ?? places.get(next)! - (next - group) * groupSize;
    if (own !== undefined) add(own, INFERRED);
    else if (at >= g.fdcAt && !takes(places, at, groupSize)) add(at, GUESSED);
    else out.push(missing(groupSize, lost));
  }
  return segments(out);
}

/** Whether a known group lies where another one would be. */
function takes(places: ReadonlyMap<number, number>, at: number, size: number): boolean {
  return [...places.values()].some((place) => place < at + size && at < place + size);
}
