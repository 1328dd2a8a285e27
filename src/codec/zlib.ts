/** zlib streams: inflated with a limit. Their own checksum has to agree. */
import { inflateSync } from 'node:zlib';
import type { Codec } from '../core/made.ts';
import { SHARED } from './shared-ids.ts';

const NOTHING = new Uint8Array(0);
/** The largest piece of output that is made room for before anything came. */
const MOST_PIECE: number = 2 * 1024 * 1024;
const SPARE = 64;

/** Room in which a result of `size` bytes comes in one piece, and need not be put together from many. */
export function pieceFor(size: number): number {
  return Math.min(MOST_PIECE, Math.max(0, size)) + SPARE;
}

/** Inflates a whole zlib stream to at most `size` bytes; nothing where it is damaged, cut off, or gives more. */
export function inflateZlib(input: Uint8Array, size: number): Uint8Array {
  try {
    return inflateSync(input, { maxOutputLength: Math.max(1, size), chunkSize: pieceFor(size) });
  } catch {
    return NOTHING;
  }
}

/** One whole zlib stream as a unit: all of it, or nothing. */
export const zlibUnit: Codec = { name: 'zlib', shared: [SHARED.zlib], make: inflateZlib };

/** Whether two bytes can start a zlib stream: deflate, a window of 32 KiB at most, and the check of both. */
export function startsZlib(first: number, second: number): boolean {
  return (first & 15) === 8 && first >>> 4 <= 7 && (first * 256 + second) % 31 === 0 && (second & 32) === 0;
}
