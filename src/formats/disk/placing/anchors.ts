/** Places that are known of pieces: given ones, and those that votes of their content decide. */
import type { Source } from '../../../core/source.ts';
import type { Known } from '../../filesystem/allocated/ntfs.ts';
import { aligned, type Usage } from './align.ts';
import type { Mark } from './marks.ts';
import { holders, type Masks, NOWHERE, type Pieces, rowsOf } from './pieces.ts';

export interface Question {
  readonly pieces: Pieces;
  /** Stretches that the disk has. */
  readonly slots: number;
  /** The slot of each piece of which it is known, NOWHERE for the others. */
  readonly known: Int32Array;
  /** Slots, by 1, in which no piece can lie. */
  readonly closed: Uint8Array;
  /** Bytes that a piece is written in at least: those of a cluster. */
  readonly cluster: number;
  /** No map says what of a piece was written: samples are looked at. */
  readonly isSampled?: true;
  /** What lies in slots without a piece. */
  readonly base?: Source;
}

/** A mark, and where in its piece it lies. */
export interface Met {
  readonly within: number;
  readonly mark: Mark;
}

/** Of the pieces whose places are known, so many may lie out of order before order says nothing about the others. */
const MOST_APART = 0.2;

export class Anchors {
  /** The slot of each piece; NOWHERE where it is not known. */
  readonly slotOf: Int32Array;
  readonly #question: Question;
  readonly #met: readonly (readonly Met[])[];
  readonly #taken: Uint8Array;

  constructor(question: Question, met: readonly (readonly Met[])[]) {
    this.#question = question;
    this.#met = met;
    this.slotOf = Int32Array.from(question.known);
    this.#taken = Uint8Array.from(question.closed);
    for (const slot of question.known) if (slot >= 0) this.#taken[slot] = 1;
  }

  /** Gives pieces the slots that most of their marks agree on. `placesOf`: where on the disk a mark may lie. */
  vote(placesOf: (mark: Mark) => readonly number[]): void {
    const { coverage } = this.#question.pieces;
    const votes: { piece: number; slot: number; count: number }[] = [];
    for (const [piece, met] of this.#met.entries()) {
      if (this.slotOf[piece] !== NOWHERE) continue;
      const bySlot = new Map<number, number>();
      for (const { within, mark } of met) {
        for (const place of placesOf(mark)) {
          const slot = Math.floor(place / coverage);
          const fits = place >= 0 && place - slot * coverage === within && slot < this.#question.slots;
          if (fits) bySlot.set(slot, 1 + (bySlot.get(slot) ?? 0));
        }
      }
      for (const [slot, count] of bySlot) votes.push({ piece, slot, count });
    }
    for (const { piece, slot } of votes.sort((a, b) => b.count - a.count || a.piece - b.piece)) {
      if (this.slotOf[piece] !== NOWHERE || this.#taken[slot] === 1) continue;
      this.slotOf[piece] = slot;
      this.#taken[slot] = 1;
    }
  }

  /** Gives the one piece that may hold what lies at a known place its slot. */
  async find(known: Known): Promise<void> {
    const { pieces, slots } = this.#question;
    const slot = Math.floor(known.at / pieces.coverage);
    if (slot >= slots || this.#taken[slot] === 1) return;
    const fits: number[] = [];
    for await (const piece of holders(pieces, known)) {
      if (this.slotOf[piece] === NOWHERE) fits.push(piece);
      if (fits.length > 1) return;
    }
    if (fits.length !== 1) return;
    this.slotOf[fits[0]] = slot;
    this.#taken[slot] = 1;
  }

  /** A slot for each piece that agrees with what is known and with use; undefined where order says nothing. */
  filled(written: Masks, usage: Usage): Int32Array | undefined {
    const { slots, closed } = this.#question;
    const apart = this.#apart();
    const known = this.slotOf.reduce((n, slot) => n + (slot >= 0 ? 1 : 0), 0);
    if (apart.size > known * MOST_APART) return undefined;
    const shut = Uint8Array.from(closed);
    for (const [piece, slot] of this.slotOf.entries()) if (slot >= 0) shut[slot] = Number(apart.has(piece));
    // Slots that no piece can have are none to choose from.
    const open = Array.from({ length: slots }, (_, slot) => slot).filter((slot) => shut[slot] === 0);
    const openOf = new Map(open.map((slot, i) => [slot, i]));
    const chosen = Array.from(this.slotOf.keys()).filter((piece) => !apart.has(piece));
    const fixed = Int32Array.from(chosen, (piece) => openOf.get(this.slotOf[piece]) ?? NOWHERE);
    const said = {
      used: rowsOf(usage.used, open),
      free: rowsOf(usage.free, open),
      needed: Float64Array.from(open, (slot) => usage.needed[slot]),
    };
    const found = aligned(rowsOf(written, chosen), said, fixed, open.length);
    if (found === undefined) return undefined;
    const out = Int32Array.from(this.slotOf);
    for (const [i, piece] of chosen.entries()) out[piece] = open[found[i]];
    return out;
  }

  /** Pieces of known place that are not among the most whose places grow with them. */
  #apart(): Set<number> {
    const list = Array.from(this.slotOf.keys()).filter((piece) => this.slotOf[piece] >= 0);
    /** For each length, the piece that ends such a row with the lowest slot. */
    const ends: number[] = [];
    const before = new Map<number, number>();
    for (const piece of list) {
      let [low, high] = [0, ends.length];
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (this.slotOf[ends[middle]] < this.slotOf[piece]) low = middle + 1;
        else high = middle;
      }
      before.set(piece, low === 0 ? NOWHERE : ends[low - 1]);
      ends[low] = piece;
    }
    const apart = new Set(list);
    for (let piece = ends.at(-1) ?? NOWHERE; piece !== NOWHERE; piece = before.get(piece)!) apart.delete(piece);
    return apart;
  }
}
