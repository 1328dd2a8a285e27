import type { Bytes } from '../bytes.ts';
import type { Shape } from './shape.ts';

/** Address types (vmfs.md 3). */
export const FB = 1;
export const SB = 2;
export const PB = 3;
export const PB2 = 5;
export const LARGE = 7;

/** What an address points at: a block number, or a resource by its number in its file. */
export interface Target {
  type: number;
  index: number;
  tbz?: boolean;
  cow?: boolean;
}

/** FD address of a descriptor number, the same bits in all versions (vmfs.md 3). */
export function fdAddress(number: number, perCluster: number): number {
  const cluster = Math.floor(number / perCluster);
  return (4 | (cluster << 6) | ((number % perCluster) << 22)) >>> 0;
}

function perCluster(shape: Shape, type: number): number {
  if (type === SB) return shape.sbc.perCluster;
  return type === PB ? shape.pbc.perCluster : shape.pb2.perCluster;
}

/** The 32-bit address of VMFS3 and VMFS5. */
export function address35(shape: Shape, target: Target): number {
  const { type, index } = target;
  if (type === FB) return index * 64 + 1 + (target.tbz ? 32 : 0) + (target.cow ? 16 : 0);
  const per = perCluster(shape, type);
  const cluster = Math.floor(index / per);
  const resource = index % per;
  const high = type === SB && shape.dense ? ((resource >>> 4) & 3) << 3 : 0;
  return (type | high | (target.cow ? 32 : 0) | (cluster << 6) | ((resource & 15) << 28)) >>> 0;
}

/** The 64-bit address of VMFS6 as [low, high]. */
export function address6(shape: Shape, target: Target): [number, number] {
  const { type, index } = target;
  const flags = (target.tbz ? 0x7f80 : 0) | (target.cow ? 32 : 0);
  if (type === LARGE) return [(7 | flags | ((index & 0x1ffff) << 15)) >>> 0, index >>> 17];
  const per = type === FB ? shape.fbPerCluster : perCluster(shape, type);
  const cluster = Math.floor(index / per);
  const resource = index % per;
  if (type === FB) {
    return [(1 | flags | ((cluster & 0x1ffff) << 15)) >>> 0, ((cluster >>> 17) | (resource << 19)) >>> 0];
  }
  const low = (type | (target.cow ? 32 : 0) | ((cluster & 0x3ffffff) << 6)) >>> 0;
  return [low, ((cluster >>> 26) | (resource << 24)) >>> 0];
}

/** Writes one pointer of the version's width. */
export function putAddress(shape: Shape, into: Bytes, at: number, target: Target): void {
  if (shape.version === 6) {
    const [low, high] = address6(shape, target);
    into.pair(at, low, high);
  } else {
    into.u32(at, address35(shape, target));
  }
}
