/**
 * Which piece lies in which slot, where pieces were made in the order of the disk: the way to lay all of them out, with
 * slots left empty between them, that agrees best with what the guest says is in use.
 */
import { type Masks, NOWHERE } from './pieces.ts';

/** What the guest says of the units of each slot; of a unit that is in neither it says nothing. */
export interface Usage {
  readonly used: Masks;
  readonly free: Masks;
}

/** Written and in use; written though free, as deleted files are; in use and never written, as zeros are. */
const AGREES = 2;
const IS_FREE = 6;
const IS_EMPTY = 3;
/** Pairs of a piece and a slot that are compared at most; where there are more, order alone decides. */
export const MAX_PAIRS: number = 2 ** 26;
const IMPOSSIBLE = -1e15;

/**
 * A slot for each piece, growing with them. `fixed` are the slots of those that have one, NOWHERE for others, growing
 * as well; `closed` are slots that no other piece can have. Undefined where they do not fit.
 */
export function aligned(
  written: Masks,
  usage: Usage,
  fixed: Int32Array,
  slots: number,
  closed: Uint8Array,
): Int32Array | undefined {
  const count = fixed.length;
  if (count > slots || count * slots > MAX_PAIRS) return undefined;
  const { words } = written;
  const taken = Uint8Array.from(closed);
  for (const slot of fixed) if (slot >= 0) taken[slot] = 1;
  const empty = new Float64Array(slots);
  for (let slot = 0; slot < slots; slot++) {
    let n = 0;
    for (let w = 0; w < words; w++) n += ones(usage.used.bits[slot * words + w]);
    empty[slot] = closed[slot] === 1 ? 0 : n * IS_EMPTY;
  }
  const isHere = new Uint8Array(count * (slots + 1));
  let before = new Float64Array(slots + 1);
  for (let s = 1; s <= slots; s++) before[s] = before[s - 1] - empty[s - 1];
  for (let piece = 0; piece < count; piece++) {
    const now = new Float64Array(slots + 1).fill(IMPOSSIBLE);
    const last = slots - (count - piece - 1);
    for (let s = piece + 1; s <= last; s++) {
      const slot = s - 1;
      const mayBe = fixed[piece] === slot || (fixed[piece] === NOWHERE && taken[slot] === 0);
      // A slot that has a piece of its own is no empty one.
      const skip = taken[slot] === 1 && closed[slot] === 0 ? IMPOSSIBLE : now[s - 1] - empty[slot];
      const put =
        mayBe && before[s - 1] > IMPOSSIBLE ? before[s - 1] + scoreOf(written, piece, usage, slot, words) : IMPOSSIBLE;
      // Of two that agree as well as each other the earlier place: disks are filled from their start.
      const isPut = put > skip;
      now[s] = Math.max(IMPOSSIBLE, isPut ? put : skip);
      if (isPut) isHere[piece * (slots + 1) + s] = 1;
    }
    for (let s = last + 1; s <= slots; s++) {
      const slot = s - 1;
      const isOwn = taken[slot] === 1 && closed[slot] === 0;
      now[s] = isOwn ? IMPOSSIBLE : Math.max(IMPOSSIBLE, now[s - 1] - empty[slot]);
    }
    before = now;
  }
  return before[slots] > IMPOSSIBLE ? backwards(isHere, count, slots) : undefined;
}

function backwards(isHere: Uint8Array, count: number, slots: number): Int32Array {
  const out = new Int32Array(count);
  let s = slots;
  for (let piece = count - 1; piece >= 0; piece--) {
    while (s > 0 && isHere[piece * (slots + 1) + s] === 0) s--;
    out[piece] = s - 1;
    s--;
  }
  return out;
}

function scoreOf(written: Masks, piece: number, { used, free }: Usage, slot: number, words: number): number {
  let score = 0;
  for (let w = 0; w < words; w++) {
    const has = written.bits[piece * words + w];
    const uses = used.bits[slot * words + w];
    score +=
      AGREES * ones(has & uses) - IS_FREE * ones(has & free.bits[slot * words + w]) - IS_EMPTY * ones(~has & uses);
  }
  return score;
}

/** How many bits of a word are set. */
function ones(word: number): number {
  let n = word - ((word >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
