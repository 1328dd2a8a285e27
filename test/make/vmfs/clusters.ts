import { Bytes } from '../bytes.ts';
import { Blocks, type Pool } from './allocate.ts';
import type { Identity } from './identity.ts';
import { LOCK, type Locker, lockBlock } from './lock.ts';
import { type ResourceFile, resourceHeader, type SystemFile, writtenClusters } from './resource.ts';
import { G0, type Shape } from './shape.ts';
import { FBB_GROUP6, LFB_PER_GROUP } from './system.ts';

/** What cluster headers need to know besides their own resources. */
export interface ClusterContext {
  shape: Shape;
  all: boolean;
  locker: Locker;
  identity: Identity;
  time: number;
  /** Last generation number issued in an FDC cluster. */
  issued: (cluster: number) => number;
  /** VMFS6: blocks of one SFB cluster by owner FD. */
  blockOwners: (cluster: number) => Map<number, number>;
  /** VMFS3/5: cluster metadata by structure name, for the journal. */
  written: Map<string, { at: number; bytes: Uint8Array }>;
}

interface State {
  total: number;
  free: number;
  next: number;
  isFree: (i: number) => boolean;
}

function stateOf(source: Pool | Blocks, cluster: number): State {
  let isFree: (i: number) => boolean;
  let total: number;
  if (source instanceof Blocks) {
    total = source.clusterSize(cluster);
    const map = source.map(cluster);
    isFree = (i) => map?.[i] !== 1;
  } else {
    total = Math.min(source.perCluster, source.count - cluster * source.perCluster);
    isFree = (i) => !source.taken(cluster * source.perCluster + i);
  }
  let free = 0;
  let next = total;
  for (let i = total - 1; i >= 0; i--) {
    if (!isFree(i)) continue;
    free++;
    next = i;
  }
  return { total, free, next: next === total ? 0 : next, isFree };
}

/** VMFS3/5 cluster metadata (vmfs.md 6.2). */
function meta35(cx: ClusterContext, file: string, cluster: number, state: State): Bytes {
  const b = new Bytes(512).u32(0, cluster).u32(4, state.total).u32(8, state.free).u32(0x0c, state.next);
  for (let i = 0; i < state.total; i++) if (state.isFree(i)) b.bit(0x10, i);
  if (file === 'fdc') b.u32(0x50, cx.issued(cluster));
  return b;
}

function base6(cx: ClusterContext, cluster: number, state: State, changes: number): Bytes {
  const b = new Bytes(4096).text(0x10, 'dmcr').u64(0x18, cluster);
  b.u16(0x20, state.total).u16(0x22, state.free).u8(0x30, 1).u32(0x7c, state.next);
  if (changes > 0) {
    b.u32(0x58, changes)
      .raw(0x5c, cx.identity.mac)
      .u32(0x62, cx.time + changes);
  }
  return b;
}

/** VMFS6 cluster metadata with the owner FD of each resource (vmfs.md 6.2). */
function meta6(cx: ClusterContext, file: ResourceFile, cluster: number, state: State): Bytes {
  const pool = file.pool;
  const b = base6(cx, cluster, state, state.total - state.free);
  for (let i = 0; i < state.total; i++) if (state.isFree(i)) b.bit(0x80, i);
  if (file.name === 'fdc') b.u32(0x68, cx.issued(cluster));
  const owners = pool.perCluster === 256 ? 0x8e0 : pool.perCluster === 32 ? 0x2e0 : 0;
  if (owners > 0) {
    for (let i = 0; i < state.total; i++) {
      const owner = pool.owners.get(cluster * pool.perCluster + i);
      if (owner !== undefined) b.u32(owners + 4 * i, owner);
    }
  }
  return b;
}

/** Writes one header: lock block and metadata block, as two pieces where a VMFS6 block lies between. */
function putHeader(
  cx: ClusterContext,
  file: SystemFile,
  offset: number,
  lock: number,
  meta: Bytes,
  name: string,
): void {
  const at = file.at(offset);
  const used = meta.data.some((byte, i) => i >= 8 && byte !== 0);
  file.put(offset, lockBlock(lock, at, used ? 1 + (at & 7) : 0, cx.locker).data);
  file.put(offset + cx.shape.header / 2, meta.data);
  if (cx.shape.version !== 6) cx.written.set(name, { at: file.at(offset + cx.shape.header / 2), bytes: meta.data });
  for (const span of file.spans(offset, cx.shape.header)) file.record(name, span.at, span.length);
}

/** Header and cluster headers of .fdc.sf, .sbc.sf, .pbc.sf, .pb2.sf or .jbc.sf. */
export function putResourceFile(cx: ClusterContext, file: ResourceFile, flags = 4): void {
  const { shape } = cx;
  const count = file.pool.count;
  file.file.put(0, resourceHeader(shape, file.geometry, count, flags).data, `${file.name}.header`);
  for (const cluster of writtenClusters(cx.all, file.pool)) {
    const state = stateOf(file.pool, cluster);
    const meta = shape.version === 6 ? meta6(cx, file, cluster, state) : meta35(cx, file.name, cluster, state);
    putHeader(cx, file.file, file.headerOffset(cluster), file.lock, meta, `${file.name}.cluster/${cluster}`);
  }
}

/** .fbb.sf of VMFS3/5: cluster headers only, one bit per file block. */
export function putBlockMap35(cx: ClusterContext, file: SystemFile, blocks: Blocks): void {
  const { shape } = cx;
  const geometry = { perCluster: shape.fbPerCluster, perGroup: shape.fdc.perGroup, size: 0 };
  file.put(0, resourceHeader(shape, geometry, blocks.total).data, 'fbb.header');
  for (const cluster of writtenClusters(cx.all, blocks)) {
    // Without resources a group is headers only, so they follow one another through all groups.
    const meta = meta35(cx, 'fbb', cluster, stateOf(blocks, cluster));
    putHeader(cx, file, G0 + cluster * shape.header, LOCK.fb, meta, `fbb.cluster/${cluster}`);
  }
}

function headers6(cx: ClusterContext, blocks: Blocks, large: number): [Bytes, Bytes] {
  const { shape } = cx;
  const groups = Math.ceil(large / LFB_PER_GROUP);
  const lfb = new Bytes(512).u32(0, 16).u32(4, 8).u32(8, G0).u32(12, shape.header).u32(16, FBB_GROUP6);
  lfb.u32(20, large).u32(24, groups).text(0x20, 'dmfr').u32(0x24, 1).u32(0x28, 0x35);
  lfb.u16(0x2c, 0x348).u16(0x2e, 0x34).u32(0x30, 3).u32(0x34, 0x1000);
  const sfb = new Bytes(512).u32(0, 512).u32(4, 8).u32(8, G0).u32(16, G0).u32(20, blocks.total);
  sfb
    .u32(24, Math.ceil(large / 8))
    .text(0x20, 'dmfr')
    .u32(0x24, 1)
    .u32(0x28, 0x2a)
    .u16(0x2c, 0xd8)
    .u16(0x2e, 1);
  sfb.u32(0x30, 2).u32(0x38, 16).u32(0x3c, 8).u32(0x40, FBB_GROUP6);
  return [lfb, sfb];
}

/**
 * .fbb.sf of VMFS6. A large block is 4 = split into small ones, 0 = taken whole (by the rule that a clear bit is
 * taken) or 1 = free; a small block is 0 = taken or 1 = free. Only 4 and the small 0 were seen on a real volume
 * (vmfs.md 6.2), the other values are this writer's choice.
 */
export function putBlockMap6(cx: ClusterContext, file: SystemFile, blocks: Blocks, whole: ReadonlySet<number>): void {
  const { shape } = cx;
  const large = Math.ceil(blocks.total / 512);
  const split = new Set(blocks.clusters().filter((c) => !whole.has(c)));
  const [lfb, sfb] = headers6(cx, blocks, large);
  file.put(0, lfb.data, 'lfb.header');
  file.put(0x1000, sfb.u32(0x54, split.size).data, 'sfb.header');
  const small = writtenClusters(cx.all, blocks);
  const groupAt = (n: number) => G0 + Math.floor(n / LFB_PER_GROUP) * FBB_GROUP6;
  for (const cluster of new Set(small.map((c) => Math.floor(c / 16)))) {
    const total = Math.min(16, large - cluster * 16);
    const free = (i: number) => !split.has(cluster * 16 + i) && !whole.has(cluster * 16 + i);
    const list = Array.from({ length: total }, (_, i) => i);
    const state = { total, free: list.filter(free).length, next: Math.max(0, list.findIndex(free)), isFree: free };
    const b = base6(cx, cluster, state, 0).u16(0x2a, 7);
    for (const i of list) {
      if (free(i)) b.bit(0x80, 3 * i);
      else if (!whole.has(cluster * 16 + i)) b.bit(0x80, 3 * i + 2);
      b.u8(0xe0 + 8 * i, 0xff);
    }
    const offset = groupAt(cluster * 16) + (cluster % 8) * shape.header;
    putHeader(cx, file, offset, LOCK.lfb, b, `lfb.cluster/${cluster}`);
  }
  for (const cluster of small) {
    const state = stateOf(blocks, cluster);
    const b = base6(cx, cluster, state, blocks.map(cluster) === undefined ? 0 : state.total - state.free).u16(
      0x2a,
      0x100,
    );
    for (let i = 0; i < state.total; i++) if (state.isFree(i)) b.bit(0x80, 2 * i);
    let slot = 1; // entry 0 stays empty
    for (const [fd, count] of cx.blockOwners(cluster)) {
      if (slot >= 216) break;
      b.u32(0x940 + 8 * slot, fd).u32(0x944 + 8 * slot, count);
      slot++;
    }
    b.u16(0x26, slot);
    const offset = groupAt(cluster) + 8 * shape.header + (cluster % LFB_PER_GROUP) * shape.header;
    putHeader(cx, file, offset, LOCK.fb, b, `sfb.cluster/${cluster}`);
  }
}
