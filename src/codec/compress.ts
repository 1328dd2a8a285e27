/** Compression of single units: each can be read back alone. */
import { deflateRawSync, deflateSync, zstdCompressSync } from 'node:zlib';
import type { Method } from '../core/packer.ts';

/** Bits of the window that readers of raw deflate in disks have. */
const SMALL_WINDOW = 12;
/** Bytes by which what cannot shrink may grow. */
const GROWTH = 1024;

/** Compresses one unit as `method` says, to the start of `into`. Answers how long it is; undefined where it is longer. */
export function compress(method: Method, bytes: Uint8Array, into: Uint8Array): number | undefined {
  const packed = packedBy(method, bytes, bytes.length + GROWTH);
  const { length } = packed;
  if (length <= into.length) into.set(packed);
  release(packed);
  return length <= into.length ? length : undefined;
}

/** In one piece: `chunkSize` is what any result fits in. */
function packedBy(method: Method, bytes: Uint8Array, chunkSize: number): Uint8Array {
  switch (method) {
    case 'deflate-4k':
      return deflateRawSync(bytes, { windowBits: SMALL_WINDOW, chunkSize });
    case 'zlib':
      return deflateSync(bytes, { chunkSize });
    case 'zstd':
      return zstdCompressSync(bytes, { chunkSize });
  }
}

/**
 * Gives memory back at once. The collector sees a small object and waits until 64 MiB of such memory hang on it, in each
 * thread.
 */
function release({ buffer }: Uint8Array): void {
  // Small results lie in a buffer that others share.
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}
