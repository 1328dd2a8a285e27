/** CRC-32C (Castagnoli) as VHDX, iSCSI and ext4 use it. */

/** Eight tables, so that eight bytes take one step each. */
const TABLES = tables();

function tables(): Int32Array {
  const out = new Int32Array(8 * 256);
  for (let i = 0; i < 256; i++) {
    let value = i;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    out[i] = value;
  }
  for (let i = 256; i < out.length; i++) out[i] = (out[i - 256] >>> 8) ^ out[out[i - 256] & 0xff];
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

/** Bytes from which on a view of whole words is worth making. */
const WORDS_FROM = 128;
const LITTLE = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** The state of the sum after [from, end) of `bytes`, from the state before: for sums over several pieces, and those without a last step. */
export function crc32cUpdate(state: number, bytes: Uint8Array, from = 0, end: number = bytes.length): number {
  const t = TABLES;
  let crc = state;
  let at = from;
  if (LITTLE && end - from >= WORDS_FROM && (bytes.byteOffset + from) % 4 === 0) {
    const words = new Int32Array(bytes.buffer, bytes.byteOffset + from, 2 * ((end - from) >>> 3));
    crc = wordsUpdate(crc, words);
    at += words.byteLength;
  }
  for (; at + 8 <= end; at += 8) {
    crc ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    crc = step(t, crc, bytes[at + 4] | (bytes[at + 5] << 8) | (bytes[at + 6] << 16) | (bytes[at + 7] << 24));
  }
  for (; at < end; at++) crc = t[(crc ^ bytes[at]) & 0xff] ^ (crc >>> 8);
  return crc >>> 0;
}

/** Whole words are read at once: half as much to do again. */
function wordsUpdate(state: number, words: Int32Array): number {
  const t = TABLES;
  let crc = state;
  for (let i = 0; i < words.length; i += 2) crc = step(t, words[i] ^ crc, words[i + 1]);
  return crc;
}

/** Eight bytes, the first four with the state in them. */
function step(t: Int32Array, low: number, high: number): number {
  return (
    t[1792 + (low & 0xff)] ^
    t[1536 + ((low >>> 8) & 0xff)] ^
    t[1280 + ((low >>> 16) & 0xff)] ^
    t[1024 + (low >>> 24)] ^
    t[768 + (high & 0xff)] ^
    t[512 + ((high >>> 8) & 0xff)] ^
    t[256 + ((high >>> 16) & 0xff)] ^
    t[high >>> 24]
  );
}
