/** What is the same for all of one image: sizes, kinds of entries, and 64-bit words as pairs of 32-bit ones. */
import { type Certainty, STATED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';

/** How an image is cut up. All sizes are bytes. */
export interface Geometry {
  readonly clusterBits: number;
  readonly clusterSize: number;
  /** Entries of 16 bytes, each with a bitmap of 32 subclusters. */
  readonly extended: boolean;
  readonly zstd: boolean;
  readonly l2Entries: number;
  /** What one L2 table maps. */
  readonly coverage: number;
  /** Below STATED where this was not read from a sound header, with the reason. */
  readonly certainty: Certainty;
  readonly code?: string;
}

/** The geometry of images with such clusters. */
export function geometryOf(
  clusterBits: number,
  extended: boolean,
  zstd: boolean,
  certainty: Certainty = STATED,
  code?: string,
): Geometry {
  const clusterSize = 2 ** clusterBits;
  const l2Entries = clusterSize / (extended ? 16 : 8);
  const coverage = l2Entries * clusterSize;
  return {
    clusterBits,
    clusterSize,
    extended,
    zstd,
    l2Entries,
    coverage,
    certainty,
    ...(code !== undefined && { code }),
  };
}

/** Halves of big-endian words, the upper one first. */
export type Words = Uint32Array;

/** Decodes whole words; what does not fill one at the end is left out. */
export function wordsOf(bytes: Uint8Array): Words {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Uint32Array(Math.floor(bytes.length / 8) * 2);
  for (let i = 0; i < out.length; i++) out[i] = view.getUint32(i * 4);
  return out;
}

/** Reads `length` bytes as words; undefined where some of them cannot be had. */
export async function readWords(source: Source, at: number, length: number): Promise<Words | undefined> {
  if (at < 0 || at + length > source.size) return undefined;
  const bytes = new Uint8Array(length);
  return (await source.read(at, bytes)).length > 0 ? undefined : wordsOf(bytes);
}

/** Bit 63: the cluster is used once only. */
export const COPIED = 0x80000000;
/** Bit 62: a compressed cluster. */
export const COMPRESSED = 0x40000000;
/** Bits 56 to 61, which nothing uses, in the upper half; bits 1 to 8 in the lower half. */
export const RESERVED_HIGH = 0x3f000000;
export const RESERVED_LOW = 0x1fe;
/** Bit 0 of an entry without subclusters: the cluster reads as zeros, whatever its offset. */
export const ZERO_FLAG = 1;

/** Bits 9 to 55. */
export function offsetOf(high: number, low: number): number {
  return (high & 0xffffff) * 2 ** 32 + ((low & ~0x1ff) >>> 0);
}

/** Where a compressed cluster starts, and the bytes to read for it. */
export function compressedAt(high: number, low: number, clusterBits: number): { at: number; length: number } {
  // Offsets take 62 - (clusterBits - 8) bits, so their border lies in the upper half for all cluster sizes.
  const upper = 62 - (clusterBits - 8) - 32;
  const at = (high & (2 ** upper - 1)) * 2 ** 32 + low;
  const sectors = ((high & 0x3fffffff) >>> upper) + 1;
  return { at, length: sectors * 512 - (at % 512) };
}
