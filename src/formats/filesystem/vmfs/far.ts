/**
 * Volumes whose first MiB are lost, with the header, the heartbeats and the system descriptors: clusters of resource
 * files further on know their own positions, and so where the volume starts. Source: vmfs.md sections 6.2, 8.1 and 8.2.
 */
import type { Cx } from '../../../core/format.ts';
import { flatten } from '../../../core/resolve.ts';
import { DATA, RunList } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { CLUSTER_KINDS, DESCRIPTOR_KIND } from './find.ts';
import {
  CLUSTER_SIGNATURE,
  clusterMetadata,
  clusterMetadata6,
  DENSE_SUB_BLOCKS,
  FS_MAGIC,
  type FsHeader,
  fdMetadata,
  fsHeader,
  type ResourceHeader,
  resourceHeader,
} from './structs.ts';

const MIB = 0x100000;
/** Clusters that have to agree on where the volume starts. Chance makes none: each has a magic and its own position. */
const ENOUGH = 4;
/** How far clusters are looked for where nothing was scanned. */
const QUICK_LOOK = 96 * MIB;
/** Offset of the first cluster in every resource file, which begins with a block. */
const CLUSTERS_AT = 0x10000;
/** Bytes in which the headers of one group stand: 64 of VMFS5, 8 of VMFS6. */
const ROW_BYTES = 64 * 1024;
/** Rows that are read for what they say; the first of them say it all. */
const MAX_ROWS = 256;
/** Runs that are followed to see what a volume lies on. */
const MAX_RUNS = 64;
const SECTOR = 512;
const LOCK_FAMILY = 0x10c0000;
const FIRST_KIND = 2;
const LAST_KIND = 8;
const SUB_BLOCKS = 3;
const SECOND_LEVEL = 6;
/** Sub-blocks of a cluster whose addresses have four bits for them: those of VMFS3, and of volumes that began as one. */
const SPARSE = 16;
/** Group sizes of VMFS3 and VMFS5. */
const GROUP_3 = 32;
const GROUP_5 = 64;

/** Those of VMFS3 and of volumes that began as one. */
const BLOCK_SIZES_3 = [MIB, 2 * MIB, 4 * MIB, 8 * MIB];
/** Descriptors that are asked for the size of a block. */
const MAX_DESCRIPTORS = 64;
/** One in so many volumes with small blocks has all its files on such borders as well. */
const NO_CHANCE = 64;

/** Headers of clusters that stand side by side. */
export interface Row {
  /** The low byte of their locks. */
  readonly kind: number;
  readonly isSix: boolean;
  /** From the start of the volume. */
  readonly at: number;
  /** Number of the first, and how many there are. */
  readonly cluster: number;
  readonly count: number;
  /** Resources of each, as the first says. */
  readonly total: number;
}

/** A header made from what clusters say, and how many they were. */
export interface FarHeader {
  readonly header: FsHeader;
  readonly clusters: number;
}

/** Whether clusters further on say that a volume starts `base` bytes into `source`. */
export async function hasFar(source: Source, base: number, cx: Cx): Promise<boolean> {
  let count = 0;
  for await (const row of rowsOf(source, base, cx)) {
    count += row.count;
    if (count >= ENOUGH) return true;
  }
  return false;
}

/** A header made from what clusters further on say; undefined where too few do. What they do not say is as usual. */
export async function farHeader(volume: Source, cx: Cx): Promise<FarHeader | undefined> {
  const rows = await farRows(volume, cx);
  // What a volume of another version left is not the one that most of it says.
  const six = sum(rows.filter(({ isSix }) => isSix));
  const isSix = six > sum(rows) - six;
  const own = rows.filter((row) => row.isSix === isSix);
  const clusters = sum(own);
  if (clusters < ENOUGH) return undefined;
  return { header: isSix ? header6() : await header35(volume, own, cx), clusters };
}

/** Clusters of the volume, as far as they were found. */
export async function farRows(volume: Source, cx: Cx): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of rowsOf(volume, 0, cx)) rows.push(row);
  return rows;
}

function sum(rows: readonly Row[]): number {
  return rows.reduce((n, { count }) => n + count, 0);
}

const COMMON = { magic: FS_MAGIC, sectorSize: SECTOR, blockSize: MIB, groupOffset: CLUSTERS_AT };

function blank(): FsHeader {
  return { ...fsHeader.decode(new Uint8Array(fsHeader.size)), ...COMMON };
}

function header6(): FsHeader {
  const sizes = { alignment: 4096, largeBlockShift: 9, pointerBlockShift: 16, smallBlockBits: 44 };
  return { ...blank(), major: 24, config: DENSE_SUB_BLOCKS, clustersPerGroup: 8, subBlockSize: 65536, ...sizes };
}

/** VMFS3 and VMFS5 differ in the clusters of a group, and in their sub-blocks. */
async function header35(volume: Source, rows: readonly Row[], cx: Cx): Promise<FsHeader> {
  const stated = await Promise.all(rows.filter(({ cluster }) => cluster === 0).map((row) => statedBy(volume, row)));
  const sub = rows.find(({ kind }) => kind === SUB_BLOCKS);
  const size = stated.find((one) => one?.kind === SUB_BLOCKS)?.header.size;
  const group = stated.find((one) => one !== undefined)?.header.clustersPerGroup ?? groupSize(rows, sub?.total);
  const perCluster = sub?.total ?? (group === GROUP_3 ? SPARSE : SPARSE + 1);
  const isDense = perCluster > SPARSE;
  const subBlockSize = size === 8192 || size === 65536 ? size : isDense ? 8192 : 65536;
  const isFive = group > GROUP_3 || rows.some(({ kind }) => kind === SECOND_LEVEL);
  const config = isDense ? DENSE_SUB_BLOCKS : 0;
  const blockSize = (await describedSize(volume, cx)) ?? alignedSize(rows);
  return { ...blank(), major: isFive ? 14 : 4, config, blockSize, clustersPerGroup: group, subBlockSize };
}

/** Bytes of a file block, as descriptors say that a scan found. */
async function describedSize(volume: Source, cx: Cx): Promise<number | undefined> {
  const block = new Uint8Array(fdMetadata.size);
  const counts = new Map<number, number>();
  const places = (await scanned(volume, 0, cx, [DESCRIPTOR_KIND])) ?? [];
  for (const at of places.slice(0, MAX_DESCRIPTORS)) {
    if (at < 0 || (await volume.read(at + SECTOR, block)).length > 0) continue;
    const { blockSize } = fdMetadata.decode(block);
    if (BLOCK_SIZES_3.includes(blockSize)) counts.set(blockSize, (counts.get(blockSize) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}

/** Bytes of a file block, where so many resource files begin on borders of it that these are no chance. */
function alignedSize(rows: readonly Row[]): number {
  const starts = rows.filter(({ cluster }) => cluster === 0).map(({ at }) => at - CLUSTERS_AT);
  const fits = (size: number): boolean => {
    const odds = (size / MIB) ** starts.length;
    return odds >= NO_CHANCE && starts.every((start) => start % size === 0);
  };
  return BLOCK_SIZES_3.findLast(fits) ?? MIB;
}

/** Clusters in a group, by where rows of them end. */
function groupSize(rows: readonly Row[], subBlocks: number | undefined): number {
  // A row that goes on where a group of VMFS3 ends, or one that ends there where one of VMFS5 does not.
  if (rows.some(({ cluster, count }) => (cluster % GROUP_3) + count > GROUP_3)) return GROUP_5;
  if (rows.some(({ cluster, count }) => (cluster + count) % GROUP_5 === GROUP_3)) return GROUP_3;
  return subBlocks !== undefined && subBlocks <= SPARSE ? GROUP_3 : GROUP_5;
}

/** The header of the resource file whose first cluster this is, where it is left. */
async function statedBy(
  volume: Source,
  { at, kind, total }: Row,
): Promise<{ readonly kind: number; readonly header: ResourceHeader } | undefined> {
  if (at < CLUSTERS_AT) return undefined;
  const block = new Uint8Array(resourceHeader.size);
  if ((await volume.read(at - CLUSTERS_AT, block)).length > 0) return undefined;
  const header = resourceHeader.decode(block);
  const isSound = resourceHeader.violations(header).length === 0 && header.perCluster === total;
  return isSound ? { kind, header } : undefined;
}

/** Rows of clusters that agree on the start, as a scan found them; as far as a quick look goes where there was none. */
async function* rowsOf(source: Source, base: number, cx: Cx): AsyncGenerator<Row> {
  const found = await scanned(source, base, cx, CLUSTER_KINDS);
  const end = Math.min(source.size - base, QUICK_LOOK);
  let read = 0;
  let done = 0;
  for (const at of found ?? lookedAt(end)) {
    // Hits of several kinds may begin in one row.
    if (found !== undefined && at < done) continue;
    const row = await rowAt(source, base, at);
    if (row === 'unread') {
      // A disk that does not answer is not asked for more.
      if (found === undefined) return;
      continue;
    }
    if (row === undefined) continue;
    yield row;
    done = at + row.count * (row.isSix ? 8192 : 1024);
    if (++read >= MAX_ROWS) return;
  }
}

function* lookedAt(end: number): Generator<number> {
  for (let at = CLUSTERS_AT; at < end; at += MIB) yield at;
}

/** Where in the volume a scan of what it lies on found pieces of it; undefined where nothing was scanned. */
async function scanned(
  source: Source,
  base: number,
  { found }: Cx,
  kinds: readonly string[],
): Promise<number[] | undefined> {
  if (found === undefined || base >= source.size) return undefined;
  const list = new RunList(MAX_RUNS);
  await flatten(source, base, source.size, list);
  for (let i = 0, at = 0; i < list.n; at += list.length[i++]) {
    const evidence = list.state(i) === DATA ? list.sourceOf(i) : undefined;
    if (evidence === undefined || !found.whole(evidence)) continue;
    const origin = list.at[i] - at;
    const hits = kinds.flatMap((kind) => found.hits(evidence, kind)).filter((hit) => hit.base === origin);
    return hits.map((hit) => hit.at - origin).sort((a, b) => a - b);
  }
  return undefined;
}

/** The row of clusters that begins at `at` bytes of the volume. */
async function rowAt(source: Source, base: number, at: number): Promise<Row | 'unread' | undefined> {
  const room = source.size - base - at;
  if (at < 0 || room < 2 * SECTOR) return undefined;
  const first = new Uint8Array(SECTOR);
  if ((await source.read(base + at, first)).length > 0) return 'unread';
  if (kindOf(viewOf(first), 0, at) === undefined) return undefined;
  const block = new Uint8Array(Math.min(ROW_BYTES, room));
  await source.read(base + at, block);
  const view = viewOf(block);
  const kind = kindOf(view, 0, at)!;
  const isSix = block.length >= 8192 && view.getUint32(4096 + 0x10, true) === CLUSTER_SIGNATURE;
  const { cluster, total } = isSix ? clusterMetadata6.decode(block, 4096) : clusterMetadata.decode(block, SECTOR);
  const stride = isSix ? 8192 : 1024;
  let count = 1;
  while ((count + 1) * stride <= block.length && kindOf(view, count * stride, at + count * stride) === kind) count++;
  return { kind, isSix, at, cluster, count, total };
}

/** What kind of cluster a lock is of that stands where it says it does. */
function kindOf(view: DataView, inBlock: number, at: number): number | undefined {
  const type = view.getUint32(inBlock, true);
  const kind = type & 15;
  const isCluster = type >>> 4 === LOCK_FAMILY && kind >= FIRST_KIND && kind <= LAST_KIND;
  return isCluster && readU64(view, inBlock + 4) === at ? kind : undefined;
}
