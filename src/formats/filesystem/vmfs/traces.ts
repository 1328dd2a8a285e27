/**
 * Traces of a VMFS volume whose header is lost: heartbeats and file descriptors know their own positions in it.
 * Source: vmfs.md sections 2.2, 8.2 and 8.3.
 */
import type { Source } from '../../../core/source.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { fdAddress } from './address.ts';
import { geometryOf } from './geometry.ts';
import {
  DENSE_SUB_BLOCKS,
  FD_SIGNATURE,
  FS_HEADER_AT,
  FS_MAGIC,
  type FsHeader,
  fdMetadata,
  fsHeader,
  HEARTBEAT_FREE,
  HEARTBEAT_IN_USE,
  HEARTBEATS_AT,
  LOCK_FD,
  resourceHeader,
} from './structs.ts';

const MIB = 0x100000;
/** Slots looked at: a few that agree are enough, chance makes none. */
const SLOTS = 64;
const ENOUGH_SLOTS = 3;
/** System descriptors that every version has; two in their places make a volume. */
const SYSTEM_FDS = 7;
const ENOUGH_FDS = 2;
const ROOM = 4096;

/** One way a volume can be laid out: where its first descriptor is, and what follows from that. */
interface Plan {
  readonly major: number;
  readonly clustersPerGroup: number;
  /** Bytes from the start of the volume to descriptor 0. */
  readonly firstFd: number;
  readonly fdBytes: number;
  readonly lockBytes: number;
}

/** VMFS3 and VMFS5 start their descriptors at the first block from 4 MiB on; VMFS6 behind its heartbeats. */
const PLANS: readonly Plan[] = [
  ...[4, 8, 16].flatMap((mib): Plan[] => [
    { major: 4, clustersPerGroup: 32, firstFd: mib * MIB + 0x18000, fdBytes: 2048, lockBytes: 512 },
    { major: 14, clustersPerGroup: 64, firstFd: mib * MIB + 0x20000, fdBytes: 2048, lockBytes: 512 },
  ]),
  { major: 24, clustersPerGroup: 8, firstFd: 7 * MIB + 0x20000, fdBytes: 8192, lockBytes: 4096 },
];

/** Whether `source` has, from `base` on, what only the start of a VMFS volume has. The header does not count. */
export async function hasTraces(source: Source, base: number): Promise<boolean> {
  if ((await fittingPlan(source, base)) !== undefined) return true;
  return (await heartbeatsAt(source, base)).length >= ENOUGH_SLOTS;
}

/** Whether the header's magic stands where it belongs. */
export async function hasHeader(source: Source, base: number): Promise<boolean> {
  const block = await bytesAt(source, base + FS_HEADER_AT, 512);
  return block !== undefined && viewOf(block).getUint32(0, true) === FS_MAGIC;
}

/** A header made from what the system descriptors say; undefined where too few are left. */
export async function rebuiltHeader(volume: Source): Promise<FsHeader | undefined> {
  const plan = await fittingPlan(volume, 0);
  return plan === undefined ? undefined : headerOf(volume, plan);
}

/**
 * Headers of volumes that lay at the same place before: one for each layout that descriptors fit, other than `live`,
 * what lives there now. These need not be system descriptors: a newer volume writes over those first.
 */
export async function olderHeaders(volume: Source, live: FsHeader | undefined): Promise<FsHeader[]> {
  const out: FsHeader[] = [];
  for (const plan of PLANS) {
    const same = live !== undefined && plan.major === live.major && plan.firstFd === firstFdOf(live);
    if (same) continue;
    const fits = (await countFitting(volume, plan)) >= ENOUGH_FDS || (await hasClusters(volume, plan, live));
    if (fits) out.push(await headerOf(volume, plan));
  }
  return out;
}

function firstFdOf(header: FsHeader): number {
  const g = geometryOf(header);
  return g.fdcAt + g.groupOffset + g.clustersPerGroup * g.clusterHeaderBytes;
}

/** Where resource files of an older volume are looked for: they lie among the first blocks. */
const CLUSTERS_END = 96 * MIB;
const CLUSTERS_AT = 0x10000;
/** Locks of clusters of sub-blocks and of pointer blocks. */
const LOCK_CLUSTERS: readonly number[] = [0x10c00003, 0x10c00004];

/** The most clusters in a row that are looked for: more than a group of VMFS5 has. */
const MAX_ROW = 65;

/**
 * Whether the longest row of clusters of sub-blocks or pointer blocks is a whole group of a plan. A VMFS6 has its
 * heartbeats where the descriptors of VMFS3 and VMFS5 were, and may have left none of them.
 */
async function hasClusters(volume: Source, plan: Plan, live: FsHeader | undefined): Promise<boolean> {
  if (plan.major >= 24 || plan !== PLANS.find((one) => one.major === plan.major)) return false;
  if (live === undefined || live.major < 24) return false;
  let longest = 0;
  for (let at = 4 * MIB + CLUSTERS_AT; at < CLUSTERS_END; at += MIB) {
    const block = await bytesAt(volume, at, MAX_ROW * 2 * plan.lockBytes);
    if (block === undefined) break;
    longest = Math.max(longest, rowIn(block, at, plan.lockBytes));
  }
  return longest === plan.clustersPerGroup;
}

/** How many clusters of one resource file begin in `block`, which lies at `at`, one behind the other. */
function rowIn(block: Uint8Array, at: number, lockBytes: number): number {
  const view = viewOf(block);
  const lock = view.getUint32(0, true);
  const stride = 2 * lockBytes;
  if (!LOCK_CLUSTERS.includes(lock)) return 0;
  for (let k = 0; k < MAX_ROW; k++) {
    const from = k * stride;
    const isOwn = view.getUint32(from, true) === lock && readU64(view, from + 4) === at + from;
    if (!isOwn || view.getUint32(from + lockBytes, true) !== k) return k;
  }
  return MAX_ROW;
}

/** Clusters with unreadable sectors that are tried. */
const MAX_DEAD = 2;

/** Descriptors of the first group that are where a plan has them. */
async function countFitting(volume: Source, plan: Plan): Promise<number> {
  const perCluster = plan.major >= 24 ? 256 : 32;
  const block = new Uint8Array(perCluster * plan.fdBytes);
  let count = 0;
  let dead = 0;
  for (let cluster = 0; cluster < plan.clustersPerGroup && count < ENOUGH_FDS; cluster++) {
    const start = plan.firstFd + cluster * block.length;
    if (start + block.length > volume.size) break;
    // Where the disk does not answer, every further sector may take seconds.
    if ((await volume.read(start, block)).length > 0 && ++dead > MAX_DEAD) break;
    const view = viewOf(block);
    for (let r = 0; r < perCluster; r++) {
      const at = r * plan.fdBytes;
      if (view.getUint32(at, true) !== LOCK_FD || readU64(view, at + 4) !== start + at) continue;
      const meta = at + plan.lockBytes;
      const six = plan.major < 24 || view.getUint32(meta + 0x64, true) === FD_SIGNATURE;
      if (six && view.getUint32(meta, true) === fdAddress(cluster, r)) count++;
    }
  }
  return count;
}

async function headerOf(volume: Source, plan: Plan): Promise<FsHeader> {
  const area = (await bytesAt(volume, plan.firstFd, SYSTEM_FDS * plan.fdBytes))!;
  const blockSize = blockSizeOf(plan, area);
  const { subBlockSize, dense } = await subBlocksOf(volume, plan, area, blockSize);
  return {
    ...fsHeader.decode(new Uint8Array(fsHeader.size)),
    magic: FS_MAGIC,
    major: plan.major,
    config: dense ? DENSE_SUB_BLOCKS : 0,
    sectorSize: 512,
    blockSize,
    groupOffset: 0x10000,
    clustersPerGroup: plan.clustersPerGroup,
    subBlockSize,
    ...(plan.major >= 24 && { alignment: 4096, largeBlockShift: 9, pointerBlockShift: 16, smallBlockBits: 44 }),
  };
}

/** The plan under which most system descriptors are where they say they are. */
async function fittingPlan(source: Source, base: number): Promise<Plan | undefined> {
  let best: { plan: Plan; count: number } | undefined;
  for (const plan of PLANS) {
    const area = await bytesAt(source, base + plan.firstFd, SYSTEM_FDS * plan.fdBytes);
    const count = area === undefined ? 0 : descriptorsIn(plan, area).length;
    if (count >= ENOUGH_FDS && count > (best?.count ?? 0)) best = { plan, count };
  }
  return best?.plan;
}

/** Offsets in `area` of the system descriptors that know their own position and address. */
function descriptorsIn(plan: Plan, area: Uint8Array): number[] {
  const view = viewOf(area);
  const out: number[] = [];
  for (let r = 0; r < SYSTEM_FDS; r++) {
    const at = r * plan.fdBytes;
    const meta = at + plan.lockBytes;
    const lock = view.getUint32(at, true) === LOCK_FD && readU64(view, at + 4) === plan.firstFd + at;
    const own = view.getUint32(meta, true) === fdAddress(0, r);
    const six = plan.major < 24 || view.getUint32(meta + 0x64, true) === FD_SIGNATURE;
    if (lock && own && six) out.push(at);
  }
  return out;
}

function blockSizeOf(plan: Plan, area: Uint8Array): number {
  const rule = fsHeader.fields.blockSize.rule?.oneOf ?? [];
  for (const at of descriptorsIn(plan, area)) {
    const { blockSize } = fdMetadata.decode(area, at + plan.lockBytes);
    if (rule.includes(blockSize)) return blockSize;
  }
  return MIB;
}

/** The header of the sub-block file says how large sub-blocks are and how many bits their numbers have. */
async function subBlocksOf(
  volume: Source,
  plan: Plan,
  area: Uint8Array,
  blockSize: number,
): Promise<{ subBlockSize: number; dense: boolean }> {
  const usual = { subBlockSize: plan.major === 14 ? 8192 : 65536, dense: plan.major !== 4 };
  if (plan.major >= 24) return usual;
  const sbc = 4 * plan.fdBytes;
  if (!descriptorsIn(plan, area).includes(sbc)) return usual;
  const pointer = viewOf(area).getUint32(sbc + 0x400, true);
  const block = await bytesAt(volume, (pointer >>> 6) * blockSize, ROOM);
  if ((pointer & 7) !== 1 || block === undefined) return usual;
  const { size, perCluster } = resourceHeader.decode(block);
  return size === 8192 || size === 65536 ? { subBlockSize: size, dense: perCluster > 16 } : usual;
}

/** Where in `source` the first heartbeats stand of a volume that starts at `base`, each in its own place. */
export async function heartbeatsAt(source: Source, base: number): Promise<number[]> {
  const [narrow, wide] = [await slotsAt(source, base, 512), await slotsAt(source, base, 4096)];
  return narrow.length >= wide.length ? narrow : wide;
}

async function slotsAt(source: Source, base: number, stride: number): Promise<number[]> {
  const area = await bytesAt(source, base + HEARTBEATS_AT, SLOTS * stride);
  if (area === undefined) return [];
  const view = viewOf(area);
  const out: number[] = [];
  for (let at = 0; at < area.length; at += stride) {
    const state = view.getUint32(at, true);
    const known = state === HEARTBEAT_FREE || state === HEARTBEAT_IN_USE;
    if (known && readU64(view, at + 4) === HEARTBEATS_AT + at) out.push(base + HEARTBEATS_AT + at);
  }
  return out;
}

async function bytesAt(source: Source, at: number, length: number): Promise<Uint8Array | undefined> {
  if (at < 0 || at + length > source.size) return undefined;
  const block = new Uint8Array(length);
  await source.read(at, block);
  return block;
}
