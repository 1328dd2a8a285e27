/** LZO1X: literals and references back, and the segments in which file systems store them. */

import type { Codec } from '../core/made.ts';
import { SHARED } from './shared-ids.ts';

/** Segments hold one page each, and their lengths never stand across the end of one. */
const PAGE = 4096;
const LENGTH_BYTES = 4;
/** First bytes from here on are literals, so many less. */
const FIRST_LITERALS = 17;
/** References beyond the short ones; the first distance of the farthest kind ends the stream. */
const FAR = 16_384;
const NEAR_STATE = 2049;

/** A total length, then segments of LZO1X with a length each. What they do not fill is zeros, as writers mean it. */
export const lzoSegments: Codec = {
  name: 'lzo',
  shared: [SHARED.lzo],
  make(input, size) {
    const nothing = new Uint8Array(0);
    if (input.length < 2 * LENGTH_BYTES) return nothing;
    const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
    const total = view.getUint32(0, true);
    if (total > input.length) return nothing;
    const out = new Uint8Array(size);
    const page = new Uint8Array(PAGE);
    let made = 0;
    for (let at = LENGTH_BYTES; at < total && made < size; ) {
      if (PAGE - (at % PAGE) < LENGTH_BYTES) at += PAGE - (at % PAGE);
      if (at + LENGTH_BYTES > total) return nothing;
      const end = at + LENGTH_BYTES + view.getUint32(at, true);
      if (end > total) return nothing;
      const got = lzo1x(input.subarray(at + LENGTH_BYTES, end), page);
      // Only the last segment gives less than a page.
      if (got < 0 || (got < PAGE && end < total)) return nothing;
      out.set(page.subarray(0, Math.min(got, size - made)), made);
      made += got;
      at = end;
    }
    return made === 0 ? nothing : out;
  },
};

/** Expands one stream into `out`; answers the bytes it gave, or -1 where it breaks the rules, gives more, or has no end. */
function lzo1x(input: Uint8Array, out: Uint8Array): number {
  const n = input.length;
  let at = 0;
  let made = 0;
  /** Literals behind the instruction before: 0 to 3, or 4 for a run of them. */
  let state = 0;
  const literals = (count: number): boolean => {
    if (at + count > n || made + count > out.length) return false;
    for (let i = 0; i < count; i++) out[made++] = input[at++];
    return true;
  };
  /** A length that goes on: 255 for each zero, and the first other byte. */
  const longer = (base: number): number => {
    let length = base;
    while (at < n && input[at] === 0 && length <= out.length) {
      length += 255;
      at++;
    }
    return at < n ? length + input[at++] : out.length + 1;
  };
  if (n > 0 && input[0] > FIRST_LITERALS) {
    const count = input[at++] - FIRST_LITERALS;
    if (!literals(count)) return -1;
    state = Math.min(count, 4);
  }
  while (at < n) {
    const token = input[at++];
    let [length, back, next] = [0, 0, token & 3];
    if (token < 16 && state === 0) {
      if (!literals(token === 0 ? longer(18) : token + 3)) return -1;
      state = 4;
      continue;
    }
    if (token < 16) {
      length = state === 4 ? 3 : 2;
      back = (input[at++] << 2) + (token >>> 2) + (state === 4 ? NEAR_STATE : 1);
    } else if (token < 64) {
      const mask = token < 32 ? 7 : 31;
      length = 2 + ((token & mask) === 0 ? longer(mask) : token & mask);
      const word = input[at] | (input[at + 1] << 8);
      at += 2;
      back = (word >>> 2) + (token < 32 ? FAR + ((token & 8) << 11) : 1);
      next = word & 3;
      if (token < 32 && back === FAR) return at === n ? made : -1;
    } else {
      length = token < 128 ? 3 + ((token >>> 5) & 1) : 5 + ((token >>> 5) & 3);
      back = (input[at++] << 3) + ((token >>> 2) & 7) + 1;
    }
    if (at > n || back > made || made + length > out.length) return -1;
    for (let i = 0; i < length; i++, made++) out[made] = out[made - back];
    if (!literals(next)) return -1;
    state = next;
  }
  return -1;
}
