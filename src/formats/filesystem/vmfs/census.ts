/** The census: every live descriptor's pointers, and every bitmap, read once. Source: vmfs.md sections 4.3 and 6.2. */
import { viewOf } from '../../../core/struct.ts';
import { LARGE_BLOCK, NONE, typeOf } from './address.ts';
import { levelsOf } from './blocks.ts';
import { Claims } from './claims.ts';
import type { Descriptor } from './descriptor.ts';
import type { ResourceFile } from './resource.ts';
import { clusterMetadata, clusterMetadata6, TYPE_RDM } from './structs.ts';
import type { PointerTable } from './tables.ts';
import type { Volume } from './volume.ts';

/** Bitmap of one cluster: which of its resources are allocated. */
interface Bitmap {
  readonly cluster: number;
  readonly total: number;
  /** Nothing in it is allocated. */
  readonly empty: boolean;
  allocated(resource: number): boolean;
}

export async function takeCensus(volume: Volume): Promise<Claims> {
  const claims = new Claims(volume.geometry);
  const fdc = volume.files.fdc;
  if (fdc !== undefined) {
    for await (const bitmap of bitmaps(volume, fdc)) {
      if (bitmap.empty) continue;
      const live = await volume.descriptorsOf(bitmap.cluster, (r) => bitmap.allocated(r));
      for (const fd of live) await claimFile(volume, fd, claims);
      await findFree(volume, bitmap, claims);
    }
  }
  await markFreeBlocks(volume, claims);
  return claims;
}

/** Descriptors that are there although the bitmap calls them free: a deleted file that something still names. */
async function findFree(volume: Volume, bitmap: Bitmap, claims: Claims): Promise<void> {
  for (const fd of await volume.descriptorsOf(bitmap.cluster, (r) => r < bitmap.total && !bitmap.allocated(r))) {
    claims.freeDescriptors.add(fd.address);
  }
}

async function claimFile(volume: Volume, fd: Descriptor, claims: Claims): Promise<void> {
  const levels = levelsOf(fd.zla);
  // A descriptor that is not where it says it is claims nothing: it is a copy or garbage.
  const misplaced = fd.doubts.some((d) => d.code === 'vmfs.fd.self-address' || d.code === 'vmfs.fd.address');
  if (levels === undefined || misplaced || fd.type === TYPE_RDM) return;
  const count = { leaves: 0, large: false };
  await claimTable(volume, fd.address, fd.pointers, levels, claims, count);
  // How large blocks count is not known, so files that have some are not counted.
  if (!count.large && fd.lostPointers.length === 0) claims.counts.set(fd.address, count.leaves);
}

async function claimTable(
  volume: Volume,
  owner: number,
  words: Uint32Array,
  levels: number,
  claims: Claims,
  count: { leaves: number; large: boolean },
): Promise<void> {
  const step = volume.geometry.pointerWords;
  for (let i = 0; i < words.length; i += step) {
    const low = words[i];
    const high = step === 2 ? words[i + 1] : 0;
    if (low === NONE && high === 0) continue;
    claims.claim(owner, low, high);
    if (levels === 0) {
      count.leaves++;
      if (typeOf(low) === LARGE_BLOCK && volume.geometry.version === 6) count.large = true;
      continue;
    }
    const table: PointerTable | undefined = await volume.tables.load(low, high);
    if (table !== undefined) await claimTable(volume, owner, table.words, levels - 1, claims, count);
  }
}

async function markFreeBlocks(volume: Volume, claims: Claims): Promise<void> {
  const { geometry, files } = volume;
  if (files.fbb === undefined || !files.fbb.sound) return;
  if (geometry.version === 6) return markFreeBlocks6(volume, files.fbb, claims);
  for await (const bitmap of bitmaps(volume, files.fbb)) {
    const first = bitmap.cluster * files.fbb.header.perCluster;
    for (let r = 0; r < bitmap.total; r++) if (!bitmap.allocated(r)) claims.markFree(first + r);
  }
}

/** Small-block clusters of VMFS6: cluster j's header is the data of large-block resource j. */
async function markFreeBlocks6(volume: Volume, fbb: ResourceFile, claims: Claims): Promise<void> {
  const { perCluster, clustersPerGroup, groupOffset, groupSize } = fbb.header;
  const headerBytes = volume.geometry.clusterHeaderBytes;
  const perGroup = perCluster * clustersPerGroup;
  const blocks = volume.geometry.blocksPerCluster;
  const clusters = Math.ceil(volume.volume.size / volume.geometry.largeBlock);
  const header = new Uint8Array(headerBytes);
  for (let j = 0; j < clusters && perGroup > 0; j++) {
    const group = Math.floor(j / perGroup) * groupSize;
    const at = groupOffset + group + clustersPerGroup * headerBytes + (j % perGroup) * headerBytes;
    if (at + headerBytes > fbb.source.size) return;
    if ((await fbb.source.read(at, header)).length > 0) continue;
    const meta = clusterMetadata6.decode(header, volume.geometry.lockBytes);
    if (clusterMetadata6.violations(meta).length > 0 || meta.cluster !== j || meta.total > blocks) continue;
    const free = (r: number): boolean => ((meta.bitmap[r >>> 2] >>> ((r & 3) * 2)) & 3) !== 0;
    // Only "0 = allocated" was seen on a real volume: believe the bits where they add up with the count.
    let counted = 0;
    for (let r = 0; r < meta.total; r++) if (free(r)) counted++;
    if (counted !== meta.free) continue;
    for (let r = 0; r < meta.total; r++) if (free(r)) claims.markFree(j * blocks + r);
  }
}

/** The bitmaps of a resource file, cluster by cluster; clusters whose header does not check are left out. */
async function* bitmaps(volume: Volume, file: ResourceFile): AsyncGenerator<Bitmap> {
  const { geometry } = volume;
  const { clustersPerGroup, perCluster } = file.header;
  if (perCluster === 0) return;
  const headerBytes = geometry.clusterHeaderBytes;
  const decode = geometry.version === 6 ? decode6 : decode35;
  for (let first = 0; ; first += clustersPerGroup) {
    const at = file.clusterAt(first);
    if (at >= file.source.size) return;
    // A group's headers lie side by side: one read for all of them.
    const block = new Uint8Array(Math.min(clustersPerGroup * headerBytes, file.source.size - at));
    const gaps = await file.source.read(at, block);
    for (let i = 0; (i + 1) * headerBytes <= block.length; i++) {
      const start = i * headerBytes;
      if (gaps.some((gap) => gap.offset < at + start + headerBytes && gap.offset + gap.length > at + start)) continue;
      if (viewOf(block).getUint32(start, true) >>> 4 !== LOCK_FAMILY) continue;
      const bitmap = decode(block, start + geometry.lockBytes);
      if (bitmap !== undefined && bitmap.cluster === first + i && bitmap.total <= perCluster) yield bitmap;
    }
  }
}

/** All locks are 0x10c0000N; N says what they lock. */
const LOCK_FAMILY = 0x10c0000;

function decode35(block: Uint8Array, at: number): Bitmap | undefined {
  return oneBit(clusterMetadata.decode(block, at));
}

function decode6(block: Uint8Array, at: number): Bitmap | undefined {
  const meta = clusterMetadata6.decode(block, at);
  return clusterMetadata6.violations(meta).length > 0 ? undefined : oneBit(meta);
}

/** One bit per resource, set where it is free; believed only where the bits add up with the count beside them. */
function oneBit(meta: { cluster: number; total: number; free: number; bitmap: Uint8Array }): Bitmap | undefined {
  const { cluster, total, bitmap } = meta;
  if (total > bitmap.length * 8) return undefined;
  const free = (r: number): boolean => (bitmap[r >>> 3] & (1 << (r & 7))) !== 0;
  let counted = 0;
  for (let r = 0; r < total; r++) if (free(r)) counted++;
  if (counted !== meta.free) return undefined;
  return { cluster, total, empty: counted === total, allocated: (r) => r < total && !free(r) };
}
