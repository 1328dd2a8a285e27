/** Compression of single units: each can be read back alone. */
import { deflateRawSync, deflateSync, zstdCompressSync } from 'node:zlib';
import type { Method } from '../core/packer.ts';

/** Bits of the window that readers of raw deflate in disks have. */
const SMALL_WINDOW = 12;
/** Bytes by which what cannot shrink may grow. */
const GROWTH = 1024;

/** Compresses one unit as `method` says. */
export function compress(method: Method, bytes: Uint8Array): Uint8Array {
  switch (method) {
    case 'deflate-4k':
      return deflateRawSync(bytes, { windowBits: SMALL_WINDOW, chunkSize: roomFor(bytes) });
    case 'zlib':
      return deflateSync(bytes, { chunkSize: roomFor(bytes) });
    case 'zstd':
      return zstdCompressSync(bytes, { chunkSize: roomFor(bytes) });
  }
}

/** Bytes in which any result fits, so that it comes in one piece and is not put together from many. */
function roomFor(bytes: Uint8Array): number {
  return bytes.length + GROWTH;
}
