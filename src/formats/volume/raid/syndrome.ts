/** Q of RAID 6: sums over the field of 256 elements with polynomial 0x11D. Source: volumes.md section 6. */
import type { Codec } from '../../../core/made.ts';

const EXP = new Uint8Array(512);
const LOG = new Uint8Array(256);
for (let i = 0, value = 1; i < 255; i++) {
  EXP[i] = value;
  EXP[i + 255] = value;
  LOG[value] = i;
  value = value & 0x80 ? ((value << 1) ^ 0x11d) & 0xff : value << 1;
}

function times(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : EXP[LOG[a] + LOG[b]];
}

function divided(a: number, b: number): number {
  return a === 0 ? 0 : EXP[(LOG[a] + 255 - LOG[b]) % 255];
}

/** Adds `factor` times a chunk of the input to `out`. */
function add(out: Uint8Array, input: Uint8Array, from: number, factor: number): void {
  if (factor === 1) for (let i = 0; i < out.length; i++) out[i] ^= input[from + i];
  else {
    const row = new Uint8Array(256);
    for (let v = 0; v < 256; v++) row[v] = times(v, factor);
    for (let i = 0; i < out.length; i++) out[i] ^= row[input[from + i]];
  }
}

function scaled(out: Uint8Array, by: number): void {
  for (let i = 0; i < out.length; i++) out[i] = divided(out[i], by);
}

export const SYNDROMES: {
  fromQ(chunk: number, place: number, places: readonly number[]): Codec;
  fromBoth(chunk: number, place: number, other: number, places: readonly number[]): Codec;
} = {
  /** The chunk at `place` from those at `places` and Q, which comes last; P is not had. */
  fromQ(chunk, place, places) {
    return {
      name: 'Reed-Solomon sum',
      make(input, size) {
        const out = input.slice(places.length * chunk, places.length * chunk + size);
        for (const [i, at] of places.entries()) add(out, input, i * chunk, EXP[at]);
        scaled(out, EXP[place]);
        return out;
      },
    };
  },
  /** The chunk at `place` where the one at `other` is missing as well, from the rest, P and Q. */
  fromBoth(chunk, place, other, places) {
    return {
      name: 'Reed-Solomon sum',
      make(input, size) {
        const n = places.length;
        const p = input.slice(n * chunk, n * chunk + size);
        const q = input.slice((n + 1) * chunk, (n + 1) * chunk + size);
        for (const [i, at] of places.entries()) {
          add(p, input, i * chunk, 1);
          add(q, input, i * chunk, EXP[at]);
        }
        // p = x + y and q = a·x + b·y, so x = (q + b·p) / (a + b).
        const [a, b] = [EXP[place], EXP[other]];
        add(q, p, 0, b);
        scaled(q, a ^ b);
        return q;
      },
    };
  },
};
