/**
 * Disks that grew in turns, of which nothing says any more which pieces are whose: what a piece holds is held against
 * what the guest on each disk has in use, where its files end, and what carries its own address. What that shows of the
 * guests is used to do it again.
 */
import type { Cx } from '../../../core/format.ts';
import { type Fit, fitOf } from './fit.ts';
import type { Pieces } from './pieces.ts';
import type { Profile } from './profile.ts';
import { NOBODY, woven } from './weave.ts';

/** Times that what a layout shows of the guests is used to lay all out again. */
const MAX_ROUNDS = 6;

/** What it costs that a piece is of no disk, and how much more where all of it holds something. */
const UNEXPLAINED = 1;
const MORE_UNEXPLAINED = 5;

/** A disk that begins with a known piece. */
export interface Begun {
  readonly first: number;
  readonly slots: number;
}

export interface Laid {
  /** The slot of each piece in this disk; NOWHERE where it is of another or of none. */
  readonly slotOf: Int32Array;
  readonly fit: Fit;
}

/** A layout for each disk. Pieces are in the order in which they were made, and begin with the first piece of a disk. */
export async function mixed(pieces: Pieces, profile: Profile, disks: readonly Begun[], cx: Cx): Promise<Laid[]> {
  let slots = disks.map(({ first }) => new Int32Array(pieces.count).fill(NOBODY).fill(0, first, first + 1));
  let isSame = disks.map(() => false);
  const fits: Fit[] = [];
  const costs = Float64Array.from({ length: pieces.count }, (_, piece) => unexplained(profile, piece));
  for (let round = 0; round < MAX_ROUNDS; round++) {
    for (const [i, disk] of disks.entries())
      if (!isSame[i]) fits[i] = await fitOf(pieces, profile, { ...disk, slotOf: slots[i] }, cx);
    const { owner, slot } = woven(pieces.count, fits, (piece) => costs[piece], cx.signal);
    const next = disks.map((_, i) => slot.map((one, piece) => (owner[piece] === i ? one : NOBODY)));
    isSame = next.map((own, i) => own.every((one, piece) => one === slots[i][piece]));
    slots = next;
    if (!isSame.includes(false)) break;
  }
  return slots.map((slotOf, i) => ({ slotOf, fit: fits[i] }));
}

/** What it costs to give a piece to no disk: little where little is in it, as other files have it. */
function unexplained({ filled, units }: Profile, piece: number): number {
  let full = 0;
  for (let unit = piece * units; unit < (piece + 1) * units; unit++) if (filled[unit] > 0) full++;
  return full === 0 ? 0 : UNEXPLAINED + (MORE_UNEXPLAINED * full) / units;
}
