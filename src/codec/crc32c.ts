/** CRC-32C (Castagnoli) as VHDX, iSCSI and ext4 use it. */

/** Eight tables, so that eight bytes take one step each. */
const TABLES = tables();

function tables(): Uint32Array {
  const out = new Uint32Array(8 * 256);
  for (let i = 0; i < 256; i++) {
    let value = i;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    out[i] = value >>> 0;
  }
  for (let i = 256; i < out.length; i++) out[i] = ((out[i - 256] >>> 8) ^ out[out[i - 256] & 0xff]) >>> 0;
  return out;
}

/** CRC-32C of `bytes`, as an unsigned number; four bytes from `hole` on count as zeros: where a structure keeps its own. */
export function crc32c(bytes: Uint8Array, hole = -1): number {
  let crc = 0xffffffff;
  let at = 0;
  if (hole >= 0) {
    const stop = Math.min(bytes.length, hole + 4);
    for (; at < stop; at++) crc = TABLES[(crc ^ (at < hole ? bytes[at] : 0)) & 0xff] ^ (crc >>> 8);
  }
  return (crc32cUpdate(crc, at === 0 ? bytes : bytes.subarray(at)) ^ 0xffffffff) >>> 0;
}

/** The state of the sum after [from, end) of `bytes`, from the state before: for sums over several pieces, and those without a last step. */
export function crc32cUpdate(state: number, bytes: Uint8Array, from = 0, end: number = bytes.length): number {
  const t = TABLES;
  let crc = state;
  let at = from;
  for (; at + 8 <= end; at += 8) {
    crc ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    crc =
      t[1792 + (crc & 0xff)] ^
      t[1536 + ((crc >>> 8) & 0xff)] ^
      t[1280 + ((crc >>> 16) & 0xff)] ^
      t[1024 + (crc >>> 24)] ^
      t[768 + bytes[at + 4]] ^
      t[512 + bytes[at + 5]] ^
      t[256 + bytes[at + 6]] ^
      t[bytes[at + 7]];
  }
  for (; at < end; at++) crc = t[(crc ^ bytes[at]) & 0xff] ^ (crc >>> 8);
  return crc >>> 0;
}
