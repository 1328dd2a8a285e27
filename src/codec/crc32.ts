/** CRC-32 as GPT, gzip and zip use it. */
import { crc32 as zlibCrc32 } from 'node:zlib';

/** CRC-32 (reflected polynomial EDB88320) of `bytes`, as an unsigned number. */
export function crc32(bytes: Uint8Array): number {
  return zlibCrc32(bytes) >>> 0;
}
