/** Compression of single units: each can be read back alone. */
import { deflateRawSync, deflateSync, zstdCompressSync } from 'node:zlib';
import type { Method } from '../core/packer.ts';

/** Bits of the window that readers of raw deflate in disks have. */
const SMALL_WINDOW = 12;

/** Compresses one unit as `method` says. */
export function compress(method: Method, bytes: Uint8Array): Uint8Array {
  switch (method) {
    case 'deflate-4k':
      return deflateRawSync(bytes, { windowBits: SMALL_WINDOW });
    case 'zlib':
      return deflateSync(bytes);
    case 'zstd':
      return zstdCompressSync(bytes);
  }
}
