import { createHash } from 'node:crypto';
import { utf8 } from './bytes.ts';
import type { Content, TruthExtent } from './types.ts';

const UNIT = 4096;
const WORDS = UNIT / 4;

/** A stretch of a content that is laid over another one. */
export interface Patch {
  at: number;
  bytes: Uint8Array;
}

/** A 32-bit mix of two numbers, never zero: the start value of one unit. */
export function mix(seed: number, index: number): number {
  let x = (seed ^ Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(Math.floor(index / 0x1_0000_0000) + 7, 0x85ebca6b)) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  x ^= x >>> 16;
  return x === 0 ? 0x1234567 : x >>> 0;
}

/** A stream of numbers in [0, below) that depends on the seed alone. */
export function dice(seed: number): (below: number) => number {
  let state = mix(seed, 0x5eed);
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function fillUnit(words: Uint32Array, from: number, seed: number, index: number): void {
  let x = mix(seed, index);
  for (let i = 0; i < WORDS; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[from + i] = x; // xorshift never reaches zero, so no word of a written block is zero
  }
}

/** Pseudo-random bytes by position: each 4 KiB unit is a xorshift stream of its own. */
export function seeded(seed: number, size: number): Content {
  return {
    size,
    read(offset, length) {
      const first = Math.floor(offset / UNIT);
      const units = Math.ceil((offset + length) / UNIT) - first;
      const words = new Uint32Array(Math.max(0, units) * WORDS);
      for (let i = 0; i < units; i++) fillUnit(words, i * WORDS, seed, first + i);
      const skip = offset - first * UNIT;
      return new Uint8Array(words.buffer, skip, length);
    },
  };
}

/** Exactly these bytes, or this text as UTF-8. */
export function exactly(data: Uint8Array | string): Content {
  const bytes = typeof data === 'string' ? utf8(data) : data;
  return { size: bytes.length, read: (offset, length) => bytes.slice(offset, offset + length) };
}

/** A content with patches laid over it; later patches win. */
export function patched(base: Content, patches: readonly Patch[]): Content {
  return {
    size: base.size,
    read(offset, length) {
      const out = base.read(offset, length);
      for (const { at, bytes } of patches) {
        const from = Math.max(at, offset);
        const end = Math.min(at + bytes.length, offset + length);
        if (from < end) out.set(bytes.subarray(from - at, end - at), from - offset);
      }
      return out;
    },
  };
}

/** What a reader must return: the content where there is data, zeros in holes and to-be-zeroed blocks. */
export function masked(base: Content, extents: readonly TruthExtent[], size: number): Content {
  if (extents.every((e) => e.kind === 'data')) return base;
  return {
    size,
    read(offset, length) {
      const out = new Uint8Array(length);
      for (let i = firstAfter(extents, offset); i < extents.length; i++) {
        const e = extents[i]!;
        if (e.offset >= offset + length) break;
        if (e.kind !== 'data') continue;
        const from = Math.max(e.offset, offset);
        const end = Math.min(e.offset + e.length, offset + length);
        out.set(base.read(from, end - from), from - offset);
      }
      return out;
    },
  };
}

function firstAfter(extents: readonly TruthExtent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const e = extents[middle]!;
    if (e.offset + e.length <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** SHA-256 of a whole content, read in 1 MiB steps. */
export function sha256Of(content: Content): string {
  const hash = createHash('sha256');
  for (let at = 0; at < content.size; at += 0x100000) {
    hash.update(content.read(at, Math.min(0x100000, content.size - at)));
  }
  return hash.digest('hex');
}
