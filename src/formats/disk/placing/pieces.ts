/** Stretches of a disk whose places are lost, in the order in which they were made, and the disk that places make. */
import { data, MapSource, segments } from '../../../core/map-source.ts';
import { flatten } from '../../../core/resolve.ts';
import { DATA, GUESSED, LOST, MISSING, RunList, type Why } from '../../../core/run.ts';
import type { Gap, Source } from '../../../core/source.ts';
import type { Known } from '../../filesystem/allocated/ntfs.ts';

/** Pieces side by side: piece i lies at [i * coverage, (i + 1) * coverage) of `bytes`. */
export interface Pieces {
  readonly bytes: Source;
  readonly count: number;
  /** Bytes of the disk that each maps. */
  readonly coverage: number;
}

/** Pieces of `coverage` bytes that begin at these places of `source`. */
export function piecesAt(source: Source, places: readonly number[], coverage: number): Pieces {
  const list = places.map((at) => data(source, at, coverage, GUESSED));
  return { bytes: segments(list), count: list.length, coverage };
}

/** Bytes that are looked at where a block of most file systems is to be told, and where a table of use is. */
const SAMPLE = 4096;
const TOLD_BY = 65_536;

/** Entry of a list of slots: this piece has none. */
export const NOWHERE = -1;

const UNPLACED: Why = { what: 'a stretch of which no table is known', code: 'unplaced' };

/**
 * The disk of `slots` stretches that `slotOf` (the slot of each piece) makes; where no piece is, that of `base`, or missing
 * without one.
 */
export function trialDisk(pieces: Pieces, slotOf: Int32Array, slots: number, base?: Source): Source {
  const { bytes, coverage } = pieces;
  const pieceOf = pieceIn(slotOf, slots);
  return new MapSource(slots * coverage, {
    runs: (from, end, out) => {
      for (let at = from; at < end; ) {
        const slot = Math.floor(at / coverage);
        const stop = Math.min(end, (slot + 1) * coverage);
        const piece = pieceOf[slot];
        const isBase = piece === NOWHERE && base !== undefined && stop <= base.size;
        const added =
          piece === NOWHERE && !isBase
            ? out.add(MISSING, LOST, stop - at, undefined, 0, UNPLACED)
            : out.add(DATA, LOST, stop - at, isBase ? base : bytes, isBase ? at : piece * coverage + (at % coverage));
        if (!added) return at;
        at = stop;
      }
      return end;
    },
  });
}

/** The piece in each slot, by the slot of each piece; NOWHERE where there is none. */
export function pieceIn(slotOf: Int32Array, slots: number): Int32Array {
  const out = new Int32Array(slots).fill(NOWHERE);
  for (let piece = 0; piece < slotOf.length; piece++) if (slotOf[piece] >= 0) out[slotOf[piece]] = piece;
  return out;
}

/** Pieces that may hold what is known to lie at a place of the disk, by the bytes that they have there. */
export async function* holders(
  { bytes, count, coverage }: Pieces,
  { at, length, test }: Known,
): AsyncGenerator<number> {
  const within = at % coverage;
  const all = new Uint8Array(Math.min(length, TOLD_BY, coverage - within));
  // The start tells of most pieces that they do not.
  const start = all.subarray(0, SAMPLE);
  for (let piece = 0; piece < count; piece++) {
    let fits = true;
    for (const part of [start, all]) {
      const gaps: readonly Gap[] = fits ? await bytes.read(piece * coverage + within, part) : [];
      // Where the start of a volume is full, so is that of its table of use.
      fits &&= gaps.length === 0 && (test(part) || (part === start && part.every((byte) => byte === 0xff)));
    }
    if (fits) yield piece;
  }
}

/** One bit for each unit of each stretch, `words` words of 32 for each. */
export interface Masks {
  readonly words: number;
  readonly bits: Uint32Array;
}

/** Sets the bits of units [from, end) of a stretch. */
export function setBits({ words, bits }: Masks, stretch: number, from: number, end: number): void {
  for (let unit = from; unit < end; unit++) bits[stretch * words + (unit >>> 5)] |= 1 << (unit & 31);
}

/** The masks of some stretches, side by side. */
export function rowsOf({ words, bits }: Masks, stretches: readonly number[]): Masks {
  const out = new Uint32Array(stretches.length * words);
  for (const [i, stretch] of stretches.entries())
    out.set(bits.subarray(stretch * words, (stretch + 1) * words), i * words);
  return { words, bits: out };
}

/** How many bits of a word are set. */
export function ones(word: number): number {
  let n = word - ((word >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Which units of each piece hold bytes that somebody wrote. */
export async function writtenIn(pieces: Pieces, unit: number, signal: AbortSignal): Promise<Masks> {
  const { bytes, count, coverage } = pieces;
  const words = Math.ceil(coverage / unit / 32);
  const out = { words, bits: new Uint32Array(words * count) };
  const list = new RunList();
  for (let piece = 0; piece < count; piece++) {
    signal.throwIfAborted();
    const [base, end] = [piece * coverage, (piece + 1) * coverage];
    for (let at = base; at < end; ) {
      list.clear();
      let from = at;
      at = await flatten(bytes, at, end, list);
      for (let i = 0; i < list.n; from += list.length[i++]) {
        if (list.state(i) !== DATA) continue;
        const first = Math.floor((from - base) / unit);
        setBits(out, piece, first, Math.ceil((from - base + list.length[i]) / unit));
      }
    }
  }
  return out;
}

/** Units of one piece of which the first bytes are looked at where nothing else tells what was written. */
export const SAMPLES = 16;

/** Bytes of a unit where samples are taken. */
export function sampleUnit(coverage: number): number {
  return Math.max(coverage / SAMPLES, Math.min(coverage, SAMPLE));
}

/** As `writtenIn`, by whether the first bytes of each unit are zeros. */
export async function sampled(pieces: Pieces, unit: number, signal: AbortSignal): Promise<Masks> {
  const { bytes, count, coverage } = pieces;
  const words = Math.ceil(coverage / unit / 32);
  const out = { words, bits: new Uint32Array(words * count) };
  const head = new Uint8Array(Math.min(SAMPLE, unit));
  for (let piece = 0; piece < count; piece++) {
    signal.throwIfAborted();
    for (let n = 0; n * unit < coverage; n++) {
      await bytes.read(piece * coverage + n * unit, head);
      if (head.some((byte) => byte !== 0)) setBits(out, piece, n, n + 1);
    }
  }
  return out;
}
