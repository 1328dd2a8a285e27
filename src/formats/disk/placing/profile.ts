/** What pieces hold, seen in one reading: where each unit of them ends, and what they say of their own places. */
import type { Met } from './anchors.ts';
import { marksIn, PEEK } from './marks.ts';
import { type Masks, type Pieces, SAMPLES, setBits } from './pieces.ts';

/** Pieces of which every unit is read; of more, only samples are. */
const MAX_WHOLE = 16_384;
/** Marks that are kept of one piece. */
const MAX_MARKS = 32;

export interface Profile {
  /** Every so manieth piece was looked at. */
  readonly stride: number;
  /** Bytes from one unit that was looked at to the next; of each the first PEEK are. */
  readonly step: number;
  /** Units that were looked at in each piece. */
  readonly units: number;
  /** Of each unit of each piece, the bytes up to the last one that is not zero. */
  readonly filled: Uint16Array;
  readonly written: Masks;
  readonly met: readonly (readonly Met[])[];
  /** The first bytes of each piece that holds the head of a file system there. */
  readonly heads: ReadonlyMap<number, Uint8Array>;
}

/** Reads pieces: all of them where they are few, `most` of them where they are more. What cannot be read counts as zeros. */
export async function profileOf(pieces: Pieces, most: number, signal: AbortSignal): Promise<Profile> {
  const { bytes, count, coverage } = pieces;
  const stride = Math.max(1, Math.ceil(count / most));
  const isWhole = count <= MAX_WHOLE;
  const step = isWhole ? PEEK : Math.max(PEEK, coverage / SAMPLES);
  const units = Math.ceil(coverage / step);
  const words = Math.ceil(units / 32);
  const written = { words, bits: new Uint32Array(words * count) };
  const filled = new Uint16Array(units * count);
  const met: Met[][] = [];
  const heads = new Map<number, Uint8Array>();
  const all = new Uint8Array(isWhole ? coverage : PEEK);
  for (let piece = 0; piece < count; piece++) {
    signal.throwIfAborted();
    const own: Met[] = [];
    met.push(own);
    if (piece % stride !== 0) continue;
    if (isWhole) await bytes.read(piece * coverage, all);
    for (let unit = 0; unit < units; unit++) {
      if (!isWhole) await bytes.read(piece * coverage + unit * step, all);
      const head = isWhole ? all.subarray(unit * step, unit * step + PEEK) : all;
      const end = filledIn(head);
      filled[piece * units + unit] = end;
      if (end === 0) continue;
      setBits(written, piece, unit, unit + 1);
      if (own.length >= MAX_MARKS) continue;
      for (const { at, mark } of marksIn(head)) own.push({ within: unit * step + at, mark });
      if (unit === 0 && own.some(({ mark }) => mark.kind === 'head')) heads.set(piece, head.slice());
    }
  }
  return { stride, step, units, filled, written, met, heads };
}

/** Bytes up to the last one that is not zero, of a number of bytes that four divides: most are looked at by fours. */
function filledIn(bytes: Uint8Array): number {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  let word = words.length;
  while (word > 0 && words[word - 1] === 0) word--;
  let end = word * 4;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}
