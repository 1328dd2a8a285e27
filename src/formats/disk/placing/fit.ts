/** How well a piece fits into a slot of a disk, by what a first layout of that disk shows of the guest on it. */
import type { Cx } from '../../../core/format.ts';
import { agreement, type Told, type Usage, type Weights } from './align.ts';
import { type Mark, PEEK, sizeFrom } from './marks.ts';
import { holders, NOWHERE, ones, type Pieces, pieceIn, trialDisk } from './pieces.ts';
import type { Profile } from './profile.ts';
import { endsIn, type Tails, tailsOf } from './tails.ts';
import { partitionsOf, usageOf, type Volume, volumesOn } from './volumes.ts';
import type { Strand } from './weave.ts';

/** What all units of a piece together count when they agree. */
const WHOLE = 10;
/** Written and in use, which says little: most of what is written is;
 * written though free, as deleted files are; in use and zeros; in use where nothing was written: of that. */
const WEIGHTS: Weights = { agrees: 0.25, isFree: 2, isZeros: 3 };
const IS_EMPTY = 1.5;
/** A slot that nothing says anything of is left empty. */
const IS_UNKNOWN = 1;
const MOST_UNKNOWN = 6;
/** One end of a file, and most of what all in a slot may count. */
const END = 5;
const MOST_ENDS = 60;
/** A piece in a slot of which the guest has nothing in use. */
const NOT_NEEDED = 2;
/** What carries its own address. */
const NAMED = 40;
const MISPLACED = 20;
/** Units that the end of a file counts as much as. */
const END_UNITS = 8;
/** Bytes that the size of a file system may differ from that of its partition. */
const ABOUT = 1024 * 1024;

/** A disk as far as it is laid out. */
export interface Layout {
  readonly first: number;
  readonly slots: number;
  readonly slotOf: Int32Array;
}

export interface Fit extends Strand {
  /** Bytes of its partitions. */
  readonly partitions: readonly number[];
  readonly usage: Told;
  readonly tails: Tails;
  /** A file system was found, and its tables of use are where they should be. */
  readonly hasGuest: boolean;
}

/** Looks at the guest on a layout. */
export async function fitOf(pieces: Pieces, profile: Profile, layout: Layout, cx: Cx): Promise<Fit> {
  const { first, slotOf, slots } = layout;
  const { coverage } = pieces;
  const disk = trialDisk(pieces, slotOf, slots);
  const volumes = await volumesOn(disk, cx);
  const names = new Names();
  names.add(profile, coverage, (mark) => (mark.kind === 'disk' ? mark.at : undefined), 1, slots);
  const parts = await partitionsOf(disk, cx);
  for (const { source, start } of parts) {
    if (start % coverage !== 0) continue;
    for (const [piece, head] of profile.heads) {
      const size = sizeFrom(head)?.size;
      names.put(piece, start / coverage, size === undefined || Math.abs(size - source.size) < ABOUT ? 1 : 0.1);
    }
  }
  const sound: Volume[] = [];
  for (const volume of volumes) {
    names.add(profile, coverage, (mark) => (mark.kind === 'head' ? undefined : volume.positionOf(mark)), 1, slots);
    if (await inPlace(pieces, volume, layout, names)) sound.push(volume);
  }
  const isSampled = profile.step > PEEK;
  const usage = await usageOf(sound, { slots, coverage, unit: profile.step, isSampled }, cx.signal);
  const tails = await tailsOf(sound, coverage, profile.step, cx.signal);
  const cache = new Map<number, number>();
  const fits = (piece: number, slot: number): number => {
    const key = piece * slots + slot;
    let score = cache.get(key);
    if (score === undefined) {
      score = scoreOf(profile, usage, tails, piece, slot) + names.score(piece, slot);
      if (sound.length > 0 && usage.needed[slot] === 0) score -= NOT_NEEDED;
      cache.set(key, score);
    }
    return score;
  };
  const named = (piece: number): readonly number[] => names.slots(piece);
  const partitions = parts.map(({ source }) => source.size);
  const seen = { partitions, usage, tails, hasGuest: sound.length > 0 };
  return { first, slots, ...skips(usage, profile.units, slots), fits, named, ...seen };
}

/** Whether the table of use of a file system lies where it should, if that can be told; names the pieces it may be. */
async function inPlace(pieces: Pieces, { tables }: Volume, layout: Layout, names: Names): Promise<boolean> {
  if (tables === undefined) return true;
  const slot = Math.floor(tables.at / pieces.coverage);
  const could: number[] = [];
  for await (const piece of holders(pieces, tables)) could.push(piece);
  for (const piece of could) names.put(piece, slot, 1 / could.length);
  return slot < layout.slots && could.includes(pieceIn(layout.slotOf, layout.slots)[slot]);
}

/** Slots that pieces say they are of, and how much that counts. */
class Names {
  readonly #of = new Map<number, Map<number, number>>();

  put(piece: number, slot: number, weight: number): void {
    const own = this.#of.get(piece) ?? new Map<number, number>();
    this.#of.set(piece, own);
    own.set(slot, Math.max(own.get(slot) ?? 0, weight));
  }

  add(
    profile: Profile,
    coverage: number,
    placeOf: (mark: Mark) => number | undefined,
    weight: number,
    slots: number,
  ): void {
    for (const [piece, met] of profile.met.entries()) {
      for (const { mark, within } of met) {
        const place = placeOf(mark);
        if (place === undefined || place % coverage !== within) continue;
        const slot = Math.floor(place / coverage);
        if (slot < slots) this.put(piece, slot, weight);
      }
    }
  }

  slots(piece: number): number[] {
    return [...(this.#of.get(piece)?.keys() ?? [])];
  }

  score(piece: number, slot: number): number {
    const own = this.#of.get(piece);
    if (own === undefined) return 0;
    const weight = own.get(slot);
    if (weight !== undefined) return NAMED * weight;
    return -MISPLACED * Math.max(...own.values());
  }
}

function scoreOf(profile: Profile, usage: Usage, tails: Tails, piece: number, slot: number): number {
  const { units, written } = profile;
  const sum = agreement(written, piece, usage, slot, WEIGHTS);
  const ends = END * endsIn(profile, piece, tails.get(slot));
  return (WHOLE * sum) / units + Math.max(-MOST_ENDS, Math.min(MOST_ENDS, ends));
}

function skips({ free, needed }: Usage, units: number, slots: number): Pick<Strand, 'skip' | 'nextUsed'> {
  const inUse = new Float64Array(slots + 1);
  const unknown = new Float64Array(slots + 1);
  const nextUsed = new Int32Array(slots + 1).fill(slots);
  for (let slot = 0; slot < slots; slot++) {
    let said = needed[slot];
    for (let w = 0; w < free.words; w++) said += ones(free.bits[slot * free.words + w]);
    inUse[slot + 1] = inUse[slot] + (IS_EMPTY * WHOLE * needed[slot]) / units;
    unknown[slot + 1] = unknown[slot] + (said === 0 ? IS_UNKNOWN : 0);
  }
  for (let slot = slots - 1; slot >= 0; slot--) nextUsed[slot] = needed[slot] > 0 ? slot : nextUsed[slot + 1];
  const skip = (from: number, end: number): number =>
    inUse[end] - inUse[from] + Math.min(MOST_UNKNOWN, unknown[end] - unknown[from]);
  return { skip, nextUsed };
}

/** What a layout shows of the guest on it. */
export interface Verdict {
  /** Share of what is in use that is zeros, or in which a file ends elsewhere; 1 where nothing says anything. */
  readonly doubt: number;
  /** Files that end where they should, less those that do not. */
  readonly ends: number;
}

/** What speaks for and against a layout. */
export function verdictOn(profile: Profile, { hasGuest, tails, usage }: Fit, slotOf: Int32Array): Verdict {
  if (!hasGuest) return { doubt: 1, ends: 0 };
  const { bits, words } = profile.written;
  let [good, bad, ends] = [0, 0, 0];
  for (let piece = 0; piece < slotOf.length; piece += profile.stride) {
    const slot = slotOf[piece];
    if (slot === NOWHERE) continue;
    for (let w = 0; w < words; w++) {
      const uses = usage.used.bits[slot * words + w];
      good += ones(uses & bits[piece * words + w]);
      bad += ones(uses & ~bits[piece * words + w]);
    }
    const sum = endsIn(profile, piece, tails.get(slot));
    const all = (tails.get(slot)?.length ?? 0) / 2;
    good += (END_UNITS * (all + sum)) / 2;
    bad += (END_UNITS * (all - sum)) / 2;
    ends += sum;
  }
  return { doubt: good + bad === 0 ? 1 : bad / (good + bad), ends };
}
