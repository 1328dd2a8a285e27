/** CRC-32 as GPT, gzip, zip and, from another start, LVM use it. */
import { crc32 as zlibCrc32 } from 'node:zlib';

/** CRC-32 (reflected polynomial EDB88320) of `bytes`, as an unsigned number. */
export function crc32(bytes: Uint8Array): number {
  return zlibCrc32(bytes) >>> 0;
}

/** The state of the sum after `bytes`, from the state before: for sums that start elsewhere and have no last step. */
export function crc32Update(state: number, bytes: Uint8Array): number {
  return ~zlibCrc32(bytes, ~state >>> 0) >>> 0;
}
