/** Addresses: packed words that say which block, sub-block, pointer block or descriptor. Source: vmfs.md section 3. */
import { bits } from '../../../core/struct.ts';
import type { Geometry } from './geometry.ts';

export const NONE = 0;
export const FILE_BLOCK = 1;
export const SUB_BLOCK = 2;
export const POINTER_BLOCK = 3;
const FILE_DESCRIPTOR = 4;
export const POINTER_BLOCK_2 = 5;
export const LARGE_BLOCK = 7;

/** To-be-zeroed state of a file block. PART: only some of VMFS6's eight bits are set. */
export const TBZ_NO = 0;
const TBZ_ALL = 1;
export const TBZ_PART = 2;

/** The type of a pointer: its three lowest bits, whatever the version. */
export function typeOf(low: number): number {
  return low & 7;
}

/** Where a file block starts in the logical volume, in bytes. */
export function fileBlockAt(g: Geometry, low: number, high: number): number {
  if (g.version !== 6) return (low >>> 6) * g.blockSize;
  const cluster = bits(low, high, 15, 31);
  if (typeOf(low) === LARGE_BLOCK) return cluster * g.largeBlock;
  return (cluster * g.blocksPerCluster + bits(low, high, 51, 13)) * g.blockSize;
}

/** Whether a small block's resource number fits into its cluster. */
export function fileBlockFits(g: Geometry, low: number, high: number): boolean {
  return g.version !== 6 || typeOf(low) === LARGE_BLOCK || bits(low, high, 51, 13) < g.blocksPerCluster;
}

export function tbzOf(g: Geometry, low: number): number {
  if (g.version !== 6) return (low >>> 5) & 1;
  const bitmap = (low >>> 7) & 0xff;
  return bitmap === 0 ? TBZ_NO : bitmap === 0xff ? TBZ_ALL : TBZ_PART;
}

/** Cluster number of a sub-block, pointer block or PB2 address. */
export function clusterOf(g: Geometry, low: number, high: number): number {
  return g.version === 6 ? bits(low, high, 6, 36) : (low >>> 6) & 0x3fffff;
}

/** Resource number inside that cluster. */
export function resourceOf(g: Geometry, low: number, high: number): number {
  if (g.version === 6) return high >>> 24;
  const wide = g.dense && typeOf(low) === SUB_BLOCK;
  return (low >>> 28) | (wide ? ((low >>> 3) & 3) << 4 : 0);
}

/** A file descriptor's address taken apart; undefined where the word is no such address. */
export function fdNumbers(address: number): { cluster: number; resource: number } | undefined {
  if ((address & 0x3f) !== FILE_DESCRIPTOR) return undefined;
  return { cluster: (address >>> 6) & 0xffff, resource: address >>> 22 };
}

export function fdAddress(cluster: number, resource: number): number {
  return ((resource << 22) | (cluster << 6) | FILE_DESCRIPTOR) >>> 0;
}

/** An address as people write it. */
export function addressText(low: number, high = 0): string {
  const digits = high === 0 ? low.toString(16) : high.toString(16) + low.toString(16).padStart(8, '0');
  return `0x${digits.padStart(8, '0')}`;
}
