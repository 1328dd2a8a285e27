/** Sector bitmaps: which sectors of a block a VHD has itself. The highest bit of a byte is its first sector. */
import { ABSENT, DATA, INFERRED, LOST, MISSING, ZERO } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import type { Sectors } from '../blocks.ts';
import { SECTOR } from './structs.ts';

const REVERSED = Uint8Array.from({ length: 256 }, (_, byte) => {
  let out = 0;
  for (let bit = 0; bit < 8; bit++) out |= ((byte >> bit) & 1) << (7 - bit);
  return out;
});
/** Bytes of a block that are read at a time. */
const STEP: number = 256 * 1024;

/** Bytes of the bitmap before each block. */
export function bitmapBytes(blockSize: number): number {
  return Math.ceil(blockSize / SECTOR / 8 / SECTOR) * SECTOR;
}

/** The bitmap of the block whose data are at `at`; undefined where it cannot be read. */
export async function sectorsOf(
  source: Source,
  at: number,
  blockSize: number,
  free: typeof ABSENT | typeof ZERO,
): Promise<Sectors | undefined> {
  const sectors = blockSize / SECTOR;
  const raw = new Uint8Array(Math.ceil(sectors / 8));
  const gaps = await source.read(at - bitmapBytes(blockSize), raw);
  if (gaps.length > 0) return undefined;
  const bits = raw.map((byte) => REVERSED[byte]);
  if (bits.every((byte) => byte === 0xff)) return { bits };
  if (bits.every((byte) => byte === 0)) return empty(source, at, blockSize, free, bits);
  // Sectors that do not count are zeros in a block that was made empty. Where they are not, somebody is wrong.
  if (free === ABSENT || (await clearAreZeros(source, at, sectors, bits))) return { bits };
  return { bits, clear: { state: ZERO, certainty: INFERRED, code: 'vhd.bitmap' } };
}

/**
 * A block is there because something was written to it: a bitmap without a bit was lost. Where its data are zeros as
 * well, they may have been lost with it.
 */
async function empty(
  source: Source,
  at: number,
  blockSize: number,
  free: typeof ABSENT | typeof ZERO,
  bits: Uint8Array,
): Promise<Sectors> {
  const code = 'vhd.bitmap-empty';
  if (await clearAreZeros(source, at, blockSize / SECTOR, bits))
    return { bits, clear: { state: free, certainty: INFERRED, code } };
  if (free === ABSENT) return { bits, clear: { state: MISSING, certainty: LOST, code } };
  return { bits, clear: { state: DATA, certainty: INFERRED, code } };
}

async function clearAreZeros(source: Source, at: number, sectors: number, bits: Uint8Array): Promise<boolean> {
  const chunk = new Uint8Array(STEP);
  for (let first = 0; first < sectors; first += STEP / SECTOR) {
    const n = Math.min(STEP / SECTOR, sectors - first);
    let isFull = true;
    for (let i = first; i < first + n && isFull; i++) isFull = ((bits[i >> 3] >> (i & 7)) & 1) === 1;
    if (isFull) continue;
    const bytes = chunk.subarray(0, n * SECTOR);
    await source.read(at + first * SECTOR, bytes);
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    for (let i = 0; i < n; i++) {
      if (((bits[(first + i) >> 3] >> ((first + i) & 7)) & 1) === 1) continue;
      for (let w = i * 128; w < (i + 1) * 128; w++) if (words[w] !== 0) return false;
    }
  }
  return true;
}
