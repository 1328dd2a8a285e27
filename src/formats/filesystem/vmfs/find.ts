/** VMFS structures found anywhere: all of them know their own position in the volume. Source: vmfs.md section 8.1. */
import type { Finder, Hit } from '../../../core/finder.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { FS_HEADER_AT, FS_MAGIC, HEARTBEAT_FREE, HEARTBEAT_IN_USE } from './structs.ts';

/** Volumes are at most 64 TiB by VMware's own limit; twice that is no position any more. */
const MAX_POSITION = 2 ** 47;
const SECTOR = 512;
export const DESCRIPTOR_KIND = 'vmfs.descriptor';
/** The low byte of a lock's type, as the piece it begins. */
const PIECES: Readonly<Record<number, string>> = {
  1: DESCRIPTOR_KIND,
  2: 'vmfs.cluster.fbb',
  3: 'vmfs.cluster.sbc',
  4: 'vmfs.cluster.pbc',
  5: 'vmfs.cluster.fdc',
  6: 'vmfs.cluster.pb2',
  7: 'vmfs.cluster.jbc',
  8: 'vmfs.cluster.lfb',
};

/** All kinds of hits whose `base` is where the logical volume's byte 0 lies. */
export const VMFS_KINDS: readonly string[] = ['vmfs.header', 'vmfs.heartbeat', ...Object.values(PIECES)];
/** Those of resource clusters. */
export const CLUSTER_KINDS: readonly string[] = Object.values(PIECES).filter((kind) => kind.includes('.cluster.'));
const LOCKS = Object.keys(PIECES).map(Number);

/** Locks, heartbeats and the header; `base` is where the logical volume's byte 0 lies. */
export const vmfsFinder: Finder = {
  align: SECTOR,
  keys: [
    { offset: 0, bytes: bytesOf(FS_MAGIC) },
    { offset: 0, bytes: bytesOf(HEARTBEAT_FREE) },
    { offset: 0, bytes: bytesOf(HEARTBEAT_IN_USE) },
    ...LOCKS.map((type) => ({ offset: 0, bytes: [type, 0x00, 0xc0, 0x10] })),
  ],
  need: SECTOR,
  examine(block, at, emit) {
    if (block.length < SECTOR) return;
    const hit = pieceOf(block, at);
    if (hit !== undefined) emit(hit);
  },
};

function pieceOf(block: Uint8Array, at: number): Hit | undefined {
  const view = viewOf(block);
  const magic = view.getUint32(0, true);
  if (magic === FS_MAGIC) {
    const major = view.getUint32(4, true);
    const facts = { major, label: label(block) };
    return { kind: 'vmfs.header', at, length: SECTOR, base: at - FS_HEADER_AT, facts };
  }
  const own = readU64(view, 4);
  if (own > MAX_POSITION || own % SECTOR !== 0) return undefined;
  if (magic === HEARTBEAT_FREE || magic === HEARTBEAT_IN_USE) {
    return { kind: 'vmfs.heartbeat', at, length: SECTOR, base: at - own };
  }
  const kind = PIECES[magic & 0xff];
  return kind === undefined ? undefined : { kind, at, length: SECTOR, base: at - own };
}

function label(block: Uint8Array): string {
  let out = '';
  for (let i = 0x1d; i < 0x9d && block[i] >= 0x20 && block[i] < 0x7f; i++) out += String.fromCharCode(block[i]);
  return out;
}

function bytesOf(u32: number): number[] {
  return [u32 & 0xff, (u32 >>> 8) & 0xff, (u32 >>> 16) & 0xff, u32 >>> 24];
}
