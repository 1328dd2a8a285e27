/**
 * System files whose descriptors are lost: found again by cluster headers and descriptors that know their own
 * positions. Source: vmfs.md section 8.4. What rests on them is inferred.
 */
import type { Cx } from '../../../core/format.ts';
import { data, missing, type Segment, segments } from '../../../core/map-source.ts';
import { INFERRED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { fdNumbers } from './address.ts';
import type { Geometry } from './geometry.ts';
import { laterGroups } from './rebuild-later.ts';
import { openResource, type ResourceFile, type ResourceKind } from './resource.ts';
import { CLUSTER_SIGNATURE, LOCK_FD } from './structs.ts';

/** Blocks looked at: metadata starts with the volume, and 8 GiB of 1 MiB blocks hold that of the largest. */
const MAX_BLOCKS = 8192;
/** Blocks read whole in search of descriptors: the files that hold them lie among the first of every volume seen. */
const DESCRIPTOR_BLOCKS = 1024;
/** Offset of the first cluster header in every resource file. */
const CLUSTERS_AT = 0x10000;
const PROBE = 512;
const LOCK_FAMILY = 0x10c00000;
/** Groups of one resource file; the largest real one has eight. */
const MAX_GROUPS = 4096;

const LOCK_TYPES: Readonly<Record<ResourceKind, { 3: number; 6: number }>> = {
  fbb: { 3: 2, 6: 8 },
  sbc: { 3: 3, 6: 3 },
  pbc: { 3: 4, 6: 4 },
  fdc: { 3: 5, 6: 5 },
  pb2: { 3: 6, 6: 6 },
};

/** The bytes of a system file, put together without its descriptor; undefined where no trace of it is left. */
export async function rebuiltFile(
  g: Geometry,
  volume: Source,
  kind: ResourceKind,
  cx: Cx,
): Promise<Source | undefined> {
  const start = await clusterHeader(g, volume, kind, 0, CLUSTERS_AT % g.blockSize);
  if (start === undefined)
    return kind === 'fdc' ? rebuiltDescriptors(g, volume, undefined) : laterGroups(g, volume, kind, cx);
  const first = start - CLUSTERS_AT;
  const head = await openResource(g, kind, slice(volume, first, volume.size - first, kind));
  if (kind === 'fdc') return rebuiltDescriptors(g, volume, head);
  return segments(await groups(g, volume, kind, first, head));
}

function slice(volume: Source, at: number, length: number, kind: ResourceKind): Source {
  return segments([data(volume, at, length, INFERRED, whyOf(volume, at, kind))]);
}

function whyOf(source: Source, at: number, kind: ResourceKind): Why {
  return { what: `cluster headers of .${kind}.sf`, source, at, code: 'vmfs.resource-rebuilt' };
}

/** Each group lies in a row behind its first header; where the next one does not follow it is looked for. */
async function groups(
  g: Geometry,
  volume: Source,
  kind: ResourceKind,
  first: number,
  head: ResourceFile,
): Promise<Segment[]> {
  const { clustersPerGroup, groupSize } = head.header;
  const out: Segment[] = [data(volume, first, CLUSTERS_AT, INFERRED, whyOf(volume, first, kind))];
  let next = first + CLUSTERS_AT;
  for (let group = 0; group < MAX_GROUPS; group++) {
    const cluster = group * clustersPerGroup;
    const inBlock = (CLUSTERS_AT + group * groupSize) % g.blockSize;
    const follows = await isHeader(g, volume, kind, cluster, next);
    const at = follows ? next : await clusterHeader(g, volume, kind, cluster, inBlock);
    if (at === undefined) break;
    const length = Math.min(groupSize, volume.size - at);
    out.push(data(volume, at, length, INFERRED, whyOf(volume, at, kind)));
    if (length < groupSize) break;
    next = at + groupSize;
  }
  return out;
}

/** Looks for the header of a cluster at one offset of every block. */
async function clusterHeader(
  g: Geometry,
  volume: Source,
  kind: ResourceKind,
  cluster: number,
  inBlock: number,
): Promise<number | undefined> {
  for (let block = 0; block < MAX_BLOCKS; block++) {
    const at = block * g.blockSize + inBlock;
    if (at + 2 * g.lockBytes > volume.size) return undefined;
    if (await isHeader(g, volume, kind, cluster, at)) return at;
  }
  return undefined;
}

async function isHeader(
  g: Geometry,
  volume: Source,
  kind: ResourceKind,
  cluster: number,
  at: number,
): Promise<boolean> {
  const block = new Uint8Array(g.lockBytes + PROBE);
  if (at < 0 || at + block.length > volume.size) return false;
  await volume.read(at, block);
  const view = viewOf(block);
  const type = LOCK_FAMILY + LOCK_TYPES[kind][g.version === 6 ? 6 : 3];
  if (view.getUint32(0, true) !== type || readU64(view, 4) !== at) return false;
  // A header of the other kind has zeros where this one has its counts: volumes of both may have lain here.
  if (g.version === 6) {
    return (
      view.getUint32(g.lockBytes + 0x10, true) === CLUSTER_SIGNATURE && readU64(view, g.lockBytes + 0x18) === cluster
    );
  }
  return view.getUint32(g.lockBytes, true) === cluster && view.getUint32(g.lockBytes + 4, true) > 0;
}

/**
 * The descriptor file, block by block: a descriptor knows its number, which says where in the file it belongs, and its
 * position. Blocks without a descriptor follow the one before, the way files are laid out; else they are missing.
 */
async function rebuiltDescriptors(
  g: Geometry,
  volume: Source,
  head: ResourceFile | undefined,
): Promise<Source | undefined> {
  const file =
    head ?? (await openResource(g, 'fdc', slice(volume, g.fdcAt, Math.max(0, volume.size - g.fdcAt), 'fdc')));
  const places = new Map<number, number>();
  if (head !== undefined) places.set(0, g.fdcAt);
  let last = -1;
  for (let block = 0; block < DESCRIPTOR_BLOCKS && (block + 1) * g.blockSize <= volume.size; block++) {
    const at = block * g.blockSize;
    const index = await descriptorBlock(g, volume, at, file);
    if (index === undefined || places.has(index)) continue;
    places.set(index, at);
    last = Math.max(last, index);
  }
  if (places.size === 0) return undefined;
  const out: Segment[] = [];
  const taken = new Set(places.values());
  let before = Number.NaN;
  for (let index = 0; index <= Math.max(last, 0); index++) {
    const follows = before + g.blockSize;
    const at = places.get(index) ?? (taken.has(follows) || !(follows < volume.size) ? undefined : follows);
    if (at === undefined) out.push(missing(g.blockSize, { ...whyOf(volume, 0, 'fdc'), code: 'vmfs.fdc.lost' }));
    else out.push(data(volume, at, g.blockSize, INFERRED, whyOf(volume, at, 'fdc')));
    before = at ?? Number.NaN;
  }
  return segments(out);
}

/** Which block of the descriptor file this is, by the first descriptor in it that is where it says it is. */
async function descriptorBlock(
  g: Geometry,
  volume: Source,
  at: number,
  file: ResourceFile,
): Promise<number | undefined> {
  const block = new Uint8Array(g.blockSize);
  await volume.read(at, block);
  const view = viewOf(block);
  for (let offset = 0; offset + g.fdBytes <= block.length; offset += PROBE) {
    if (view.getUint32(offset, true) !== LOCK_FD || readU64(view, offset + 4) !== at + offset) continue;
    const numbers = fdNumbers(view.getUint32(offset + g.lockBytes, true));
    const place = numbers === undefined ? undefined : file.offsetOf(numbers.cluster, numbers.resource);
    if (place === undefined || place % g.blockSize !== offset) continue;
    return Math.floor(place / g.blockSize);
  }
  return undefined;
}
