/**
 * Which piece lies in which slot, where pieces were made in the order of the disk: the way to lay all of them out, with
 * slots left empty between them, that agrees best with what the guest says is in use.
 */
import { type Masks, NOWHERE, ones } from './pieces.ts';

/** What the guest says of the units of each slot; of a unit that is in neither it says nothing. */
export interface Usage {
  readonly used: Masks;
  readonly free: Masks;
  /** Units of each slot that must hold something. */
  readonly needed: Float64Array;
}

/** Usage of a whole disk. */
export interface Told extends Usage {
  /** Slots, by 1, of which file systems say what of them is in use. */
  readonly told: Uint8Array;
}

/** Whether the guest says of a slot that it has nothing there. Where nobody says anything, something may be lost. */
export function saysUnused({ needed, told }: Told, slot: number): boolean {
  return told[slot] === 1 && needed[slot] === 0;
}

/** Written and in use; written though free, as deleted files are; in use and zeros; in use where nothing was written. */
const WEIGHTS: Weights = { agrees: 2, isFree: 6, isZeros: 2 };
const IS_EMPTY = 3;
/** Pairs of a piece and a slot that are compared at most; where there are more, order alone decides. */
export const MAX_PAIRS: number = 2 ** 26;
const IMPOSSIBLE = -1e15;
/** Scores below have something impossible in them. */
const HARDLY = -1e14;

/**
 * A slot for each piece, growing with them. `fixed` are the slots of those that have one, NOWHERE for others, growing
 * as well. Undefined where they do not fit.
 */
export function aligned(written: Masks, usage: Usage, fixed: Int32Array, slots: number): Int32Array | undefined {
  const out = Int32Array.from(fixed);
  let left = MAX_PAIRS;
  // What lies between two pieces of known place has nothing to do with what lies elsewhere.
  for (let piece = 0, slot = 0; piece <= fixed.length; ) {
    let next = piece;
    while (next < fixed.length && fixed[next] === NOWHERE) next++;
    const end = next === fixed.length ? slots : fixed[next];
    const stretch = { piece, count: next - piece, slot, slots: end - slot };
    left -= stretch.count * (stretch.slots - stretch.count + 1);
    if (stretch.slots < stretch.count || left < 0 || !lay(written, usage, stretch, out)) return undefined;
    piece = next + 1;
    slot = end + 1;
  }
  return out;
}

/** Pieces without a place, from one on, and the slots that are open to them. */
interface Stretch {
  readonly piece: number;
  readonly count: number;
  readonly slot: number;
  readonly slots: number;
}

/** Lays the pieces of a stretch out; answers whether they fit. */
function lay(
  written: Masks,
  usage: Usage,
  { count, piece: first, slot: from, slots }: Stretch,
  out: Int32Array,
): boolean {
  if (count === 0) return true;
  // A piece has as many slots to choose from as stay empty in the end, and one.
  const width = slots - count + 1;
  const isHere = new Uint8Array(count * width);
  const emptyAt = (slot: number): number => usage.needed[from + slot] * IS_EMPTY;
  // The best that the first pieces can have in the first slots, by slots.
  let before = new Float64Array(slots + 1);
  let now = new Float64Array(slots + 1);
  for (let slot = 0; slot < slots; slot++) before[slot + 1] = before[slot] - emptyAt(slot);
  for (let piece = 0; piece < count; piece++) {
    now[piece] = IMPOSSIBLE;
    for (let slot = piece; slot < piece + width; slot++) {
      const skip = now[slot] - emptyAt(slot);
      const isOpen = before[slot] > HARDLY;
      const put = isOpen ? before[slot] + agreement(written, first + piece, usage, from + slot, WEIGHTS) : IMPOSSIBLE;
      // Of two that agree as well as each other the earlier place: disks are filled from their start.
      const isPut = put > skip;
      now[slot + 1] = isPut ? put : skip;
      if (isPut) isHere[piece * width + slot - piece] = 1;
    }
    [before, now] = [now, before];
  }
  if (!(before[slots] > HARDLY)) return false;
  for (const [i, slot] of backwards(isHere, count, width).entries()) out[first + i] = from + slot;
  return true;
}

function backwards(isHere: Uint8Array, count: number, width: number): Int32Array {
  const out = new Int32Array(count);
  let slot = count + width - 2;
  for (let piece = count - 1; piece >= 0; piece--) {
    while (slot > piece && isHere[piece * width + slot - piece] === 0) slot--;
    out[piece] = slot--;
  }
  return out;
}

/** What units count that are written and in use, written though free, and in use though zeros. */
export interface Weights {
  readonly agrees: number;
  readonly isFree: number;
  readonly isZeros: number;
}

/** How well what was written of a piece agrees with what the guest says of a slot. */
export function agreement(
  { bits, words }: Masks,
  piece: number,
  { used, free }: Usage,
  slot: number,
  { agrees, isFree, isZeros }: Weights,
): number {
  let score = 0;
  for (let w = 0; w < words; w++) {
    const has = bits[piece * words + w];
    const uses = used.bits[slot * words + w];
    score += agrees * ones(has & uses) - isFree * ones(has & free.bits[slot * words + w]) - isZeros * ones(~has & uses);
  }
  return score;
}
