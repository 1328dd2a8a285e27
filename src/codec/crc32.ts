/** CRC-32: as GPT, gzip, zip and, from another start, LVM use it, and with the highest bit first as bzip2 and Ogg do. */
import { crc32 as zlibCrc32 } from 'node:zlib';

/** CRC-32 (reflected polynomial EDB88320) of `bytes`, as an unsigned number. */
export function crc32(bytes: Uint8Array): number {
  return zlibCrc32(bytes) >>> 0;
}

/** Per byte: the checksum with polynomial 04C11DB7, highest bit first, to which the state is moved on by a byte. */
export const HIGH_FIRST: Int32Array = new Int32Array(256).map((_, i) => {
  let value = i << 24;
  for (let bit = 0; bit < 8; bit++) value = value < 0 ? (value << 1) ^ 0x04c11db7 : value << 1;
  return value;
});

/** The state of the sum after `bytes`, from the state before: for sums that start elsewhere and have no last step. */
export function crc32Update(state: number, bytes: Uint8Array): number {
  return ~zlibCrc32(bytes, ~state >>> 0) >>> 0;
}
