/** Blocks of bzip2: unpacked, and their checksums held against their bytes. */
import type { Codec } from '../core/made.ts';
import { Bits } from './bits.ts';
import { HIGH_FIRST } from './crc32.ts';
import { SHARED } from './shared-ids.ts';

const BLOCK_HIGH = 0x314159;
const BLOCK_LOW = 0x265359;
const END_HIGH = 0x177245;
const END_LOW = 0x385090;
const GROUP = 50;
const MAX_SELECTORS = 18_002;

interface BzipPart {
  readonly kind: 'block' | 'end';
  /** Bits from the start of `bytes` to what follows. */
  readonly end: number;
  /** Of a block: its checksum, which agrees. Of the end: the one it gives for all blocks together. */
  readonly crc: number;
  /** Bytes that a block gives. */
  readonly length: number;
}

/** Bytes of a stream that come before its first block: the letters, and the size of its blocks. */
const HEAD = 4;

/** A whole stream, block by block: what stands before the first block that is damaged. */
export const bzip2Unit: Codec = {
  name: 'bzip2',
  shared: [SHARED.bzip2],
  make(input, size) {
    const out = new Uint8Array(size);
    let n = 0;
    for (let at = HEAD * 8; n < size; ) {
      const room = out.subarray(n);
      const part = bzipPart(input, at, MAX_BLOCK, room);
      // Of a block that does not fit nothing is taken: its checksum is for all of it.
      if (part?.kind !== 'block' || part.length > room.length) break;
      n += part.length;
      at = part.end;
    }
    return out.subarray(0, n);
  },
};

/** Bytes of a block before its first runs are undone, at the largest of the nine sizes. */
const MAX_BLOCK = 900_000;

/**
 * The block, or the end of a stream, at bit `from`; undefined where neither stands there whole, or its checksum differs.
 * Its bytes are put into `into`, as far as there is room.
 */
export function bzipPart(bytes: Uint8Array, from: number, mostOutput: number, into?: Uint8Array): BzipPart | undefined {
  const bits = new Bits(bytes, from);
  const [high, low] = [bits.take(24), bits.take(24)];
  const crc = (bits.take(16) * 65_536 + bits.take(16)) >>> 0;
  if (high === END_HIGH && low === END_LOW)
    return bits.isPast ? undefined : { kind: 'end', end: bits.at, crc, length: 0 };
  if (high !== BLOCK_HIGH || low !== BLOCK_LOW) return undefined;
  if (bits.take(1) === 1) return undefined; // a scheme of the first versions, which nobody writes any more
  const origin = bits.take(24);
  const last = transformed(bits, mostOutput);
  if (last === undefined || bits.isPast || origin >= last.length) return undefined;
  const plain = unsorted(last, origin, into);
  return plain.crc === crc ? { kind: 'block', end: bits.at, crc, length: plain.length } : undefined;
}

interface Code {
  readonly limit: Int32Array;
  readonly shift: Int32Array;
  readonly symbols: Uint16Array;
}

/** The last column of the sorted rotations: what the block holds before its order is undone. */
function transformed(bits: Bits, most: number): Uint8Array | undefined {
  const used = usedBytes(bits);
  const [tables, selectors] = [bits.take(3), bits.take(15)];
  if (used.length === 0 || tables < 2 || tables > 6 || selectors < 1 || selectors > MAX_SELECTORS) return undefined;
  const order = selectorsOf(bits, tables, selectors);
  const codes = order && Array.from({ length: tables }, () => codeOf(bits, used.length + 2));
  if (order === undefined || codes === undefined) return undefined;
  const out = new Uint8Array(most);
  const end = used.length + 1;
  let [n, run, weight] = [0, 0, 1];
  for (let group = 0; group < selectors; group++) {
    const code = codes[order[group]];
    if (code === undefined || bits.isPast) return undefined;
    for (let i = 0; i < GROUP; i++) {
      const symbol = symbolOf(bits, code);
      if (symbol < 0) return undefined;
      if (symbol < 2) {
        run += weight << symbol;
        weight *= 2;
        if (run > most) return undefined;
        continue;
      }
      if (n + run > most) return undefined;
      out.fill(used[0], n, n + run);
      n += run;
      run = 0;
      weight = 1;
      if (symbol === end) return out.subarray(0, n);
      if (n >= most) return undefined;
      const [byte] = used.splice(symbol - 1, 1);
      used.unshift(byte);
      out[n++] = byte;
    }
  }
  return undefined;
}

/** The bytes that occur in a block, in order. */
function usedBytes(bits: Bits): number[] {
  const out: number[] = [];
  const rows = bits.take(16);
  for (let row = 0; row < 16; row++) {
    const map = (rows & (0x8000 >>> row)) === 0 ? 0 : bits.take(16);
    for (let i = 0; i < 16; i++) if ((map & (0x8000 >>> i)) !== 0) out.push(row * 16 + i);
  }
  return out;
}

function selectorsOf(bits: Bits, tables: number, count: number): Uint8Array | undefined {
  const front = Array.from({ length: tables }, (_, i) => i);
  const out = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    let place = 0;
    while (bits.take(1) === 1) if (++place >= tables) return undefined;
    const [table] = front.splice(place, 1);
    front.unshift(table);
    out[i] = table;
  }
  return out;
}

/** A table of codes; undefined where its lengths make none. */
function codeOf(bits: Bits, symbols: number): Code | undefined {
  const lengths = new Uint8Array(symbols);
  let length = bits.take(5);
  for (let i = 0; i < symbols; i++) {
    while (bits.take(1) === 1) {
      length += bits.take(1) === 0 ? 1 : -1;
      if (length < 1 || length > 20) return undefined;
    }
    if (length < 1 || length > 20) return undefined;
    lengths[i] = length;
  }
  const [limit, shift, sorted] = [new Int32Array(22), new Int32Array(22), new Uint16Array(symbols)];
  let [code, n] = [0, 0];
  for (let bitsOf = 1; bitsOf <= 20; bitsOf++) {
    shift[bitsOf] = n - code;
    for (let i = 0; i < symbols; i++) {
      if (lengths[i] !== bitsOf) continue;
      sorted[n++] = i;
      code++;
    }
    limit[bitsOf] = code;
    code *= 2;
  }
  return { limit, shift, symbols: sorted };
}

function symbolOf(bits: Bits, { limit, shift, symbols }: Code): number {
  const word = bits.peek(20);
  for (let length = 1; length <= 20; length++) {
    const code = word >>> (20 - length);
    if (code >= limit[length]) continue;
    bits.at += length;
    return symbols[code + shift[length]] ?? -1;
  }
  return -1;
}

/** The bytes that a last column stands for, runs undone: their checksum, their number, and as many as fit `into`. */
function unsorted(last: Uint8Array, origin: number, into?: Uint8Array): { crc: number; length: number } {
  const starts = new Uint32Array(257);
  for (const byte of last) starts[byte + 1]++;
  for (let i = 0; i < 256; i++) starts[i + 1] += starts[i];
  const next = new Uint32Array(last.length);
  for (let i = 0; i < last.length; i++) next[starts[last[i]]++] = i;
  let crc = -1;
  let length = 0;
  let [at, before, same] = [next[origin], -1, 0];
  for (let i = 0; i < last.length; i++) {
    const byte = last[at];
    at = next[at];
    if (same === 4) {
      for (let k = 0; k < byte; k++) crc = (crc << 8) ^ HIGH_FIRST[(crc >>> 24) ^ before];
      into?.fill(before, length, length + byte);
      length += byte;
      same = 0;
      before = -1;
      continue;
    }
    same = byte === before ? same + 1 : 1;
    before = byte;
    crc = (crc << 8) ^ HIGH_FIRST[(crc >>> 24) ^ byte];
    if (into !== undefined && length < into.length) into[length] = byte;
    length++;
  }
  return { crc: ~crc >>> 0, length };
}
