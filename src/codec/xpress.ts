/** XPRESS with Huffman codes, as Windows compresses the files of its own installation: one chunk at a time. */

import type { Codec } from '../core/made.ts';
import { SHARED } from './shared-ids.ts';

const SYMBOLS = 512;
const TABLE_BYTES = 256;
const MAX_CODE_BITS = 15;
const LITERALS = 256;
const LEAST_MATCH = 3;
const LENGTH_MASK = 15;

/** Symbols by the next 15 bits, with the length of the code in the low four bits; undefined where codes do not fit. */
function tableOf(input: Uint8Array): Uint16Array | undefined {
  const table = new Uint16Array(1 << MAX_CODE_BITS);
  let at = 0;
  for (let bits = 1; bits <= MAX_CODE_BITS; bits++) {
    const step = 1 << (MAX_CODE_BITS - bits);
    for (let symbol = 0; symbol < SYMBOLS; symbol++) {
      const length = (input[symbol >>> 1] >>> ((symbol & 1) * 4)) & 15;
      if (length !== bits) continue;
      if (at + step > table.length) return undefined;
      table.fill((symbol << 4) | bits, at, at + step);
      at += step;
    }
  }
  return at === table.length ? table : undefined;
}

/** The bits of a chunk, in words of 16; bytes of long lengths stand between them. */
class Bits {
  readonly #input: Uint8Array;
  at: number;
  #word = 0;
  #had = 0;

  constructor(input: Uint8Array, at: number) {
    this.#input = input;
    this.at = at;
    this.#fill();
    this.#fill();
  }

  #fill(): void {
    const word = this.at + 1 < this.#input.length ? this.#input[this.at] | (this.#input[this.at + 1] << 8) : 0;
    this.#word |= word << (16 - this.#had);
    this.#had += 16;
    this.at += 2;
  }

  peek(bits: number): number {
    return bits === 0 ? 0 : this.#word >>> (32 - bits);
  }

  skip(bits: number): void {
    this.#word <<= bits;
    this.#had -= bits;
    if (this.#had < 16) this.#fill();
  }

  byte(): number {
    return this.#input[this.at++] ?? 0;
  }
}

/** One chunk: a table of code lengths, then codes. What breaks the rules ends it, and the rest is not made. */
export const xpressHuffman: Codec = {
  name: 'xpress',
  shared: [SHARED.xpress],
  make(input, size) {
    const out = new Uint8Array(size);
    const table = input.length > TABLE_BYTES ? tableOf(input) : undefined;
    if (table === undefined) return out.subarray(0, 0);
    const bits = new Bits(input, TABLE_BYTES);
    let made = 0;
    // Words are read ahead by two, so that much may be asked for behind the end, and no more.
    while (made < size && bits.at <= input.length + 4) {
      const entry = table[bits.peek(MAX_CODE_BITS)];
      bits.skip(entry & 15);
      const symbol = entry >>> 4;
      if (symbol < LITERALS) {
        out[made++] = symbol;
        continue;
      }
      const distanceBits = (symbol >>> 4) & 15;
      let length = symbol & LENGTH_MASK;
      if (length === LENGTH_MASK) {
        length += bits.byte();
        if (length === LENGTH_MASK + 255) {
          length = bits.byte() | (bits.byte() << 8);
          if (length < LENGTH_MASK) break;
        }
      }
      const back = (1 << distanceBits) + bits.peek(distanceBits);
      bits.skip(distanceBits);
      if (back > made) break;
      const stop = Math.min(size, made + length + LEAST_MATCH);
      for (; made < stop; made++) out[made] = out[made - back];
    }
    return out.subarray(0, made);
  },
};
