/** LZNT1: chunks of up to 4096 bytes, each stored or made of literals and references back into the chunk. */

import type { Codec } from '../core/made.ts';
import { SHARED } from './shared-ids.ts';

const CHUNK = 4096;
const LENGTH_MASK = 0x0fff;
const SIGNATURE = 3;
const COMPRESSED = 0x8000;
const LEAST_MATCH = 3;

/** A unit of a compressed file. It has no checksum: what breaks the rules ends it, and the rest is not made. */
export const lznt1: Codec = {
  name: 'lznt1',
  shared: [SHARED.lznt1],
  make(input, size) {
    const out = new Uint8Array(size);
    let at = 0;
    let made = 0;
    while (made < size && at + 2 <= input.length) {
      const header = input[at] | (input[at + 1] << 8);
      const end = at + (header & LENGTH_MASK) + 3;
      if (header === 0 || ((header >>> 12) & 7) !== SIGNATURE || end > input.length) break;
      const limit = Math.min(size, made + CHUNK);
      const reached =
        (header & COMPRESSED) === 0
          ? stored(input, at + 2, end, out, made, limit)
          : expand(input, at + 2, end, out, made, limit);
      if (reached < 0) break;
      made = reached;
      at = end;
      // Only the last chunk gives less than its 4096 bytes.
      if (reached < limit) break;
    }
    return out.subarray(0, made);
  },
};

function stored(input: Uint8Array, from: number, end: number, out: Uint8Array, at: number, limit: number): number {
  const length = Math.min(end - from, limit - at);
  out.set(input.subarray(from, from + length), at);
  return at + length;
}

/** Answers the offset reached in `out`, or -1 where a reference leads out of the chunk. */
function expand(input: Uint8Array, from: number, end: number, out: Uint8Array, start: number, limit: number): number {
  let at = from;
  let made = start;
  while (at < end && made < limit) {
    const flags = input[at++];
    for (let bit = 0; bit < 8 && at < end && made < limit; bit++) {
      if ((flags & (1 << bit)) === 0) {
        out[made++] = input[at++];
        continue;
      }
      if (at + 2 > end || made === start) return -1;
      const token = input[at] | (input[at + 1] << 8);
      at += 2;
      // The further into the chunk, the more bits of a token say how far back it leads.
      const shift = 32 - Math.clz32(Math.max(made - start - 1, 15) >>> 4);
      const back = (token >>> (12 - shift)) + 1;
      const stop = made + (token & (LENGTH_MASK >>> shift)) + LEAST_MATCH;
      if (back > made - start || stop > start + CHUNK) return -1;
      for (; made < stop && made < limit; made++) out[made] = out[made - back];
    }
  }
  return made;
}
