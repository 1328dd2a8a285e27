/** What all extents of a disk have in common: a mapping of their own, what they leave open, what is wrong with them. */
import type { Damage } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import type { Segment } from '../../../core/map-source.ts';
import {
  ABSENT,
  type Certainty,
  GUESSED,
  type RunList,
  STATED,
  type State,
  type Why,
  ZERO,
} from '../../../core/run.ts';
import type { Mapping, Source } from '../../../core/source.ts';
import type { Lost } from './lost.ts';

/** Bytes of an extent, and where to say what is wrong with them. */
export interface Place {
  readonly source: Source;
  /** Damage at `at` bytes from the start of the extent's file. */
  damage(at: number, code: string, expected: string, actual: string, effect: string): Damage;
  readonly signal: AbortSignal;
  /** For file systems of the guest, where they tell what belongs where. */
  readonly cx: Cx;
}

/** What an extent means where it holds nothing. */
export interface Hole {
  readonly state: State;
  readonly certainty: Certainty;
  readonly why?: Why;
}

/** The disk lies on nothing: what was never written is zeros. */
export const ZEROS: Hole = { state: ZERO, certainty: STATED };
/** The disk lies on another one. */
export const BELOW: Hole = { state: ABSENT, certainty: 0 };
/** An extent without its descriptor: most belong to disks that lie on nothing. */
export const UNKNOWN: Hole = {
  state: ZERO,
  certainty: GUESSED,
  why: { what: 'an extent without its descriptor, which would say what it lies on', code: 'vmdk.parent-unknown' },
};

export interface Layer {
  /** Sectors of the disk that it holds. */
  readonly sectors: number;
  readonly mapping: Mapping;
  readonly damage: readonly Damage[];
  readonly notices: readonly string[];
  readonly details: Readonly<Record<string, string | number | boolean>>;
  check(signal: AbortSignal): AsyncIterable<Damage>;
  /** What lost its table, where it may be brought back by what the guest says. */
  lost?(): Promise<Lost | undefined>;
}

export interface Wish {
  readonly hole: Hole;
  /** The most that any byte can be certain of. */
  readonly most: Certainty;
  /** Sectors that a descriptor gives the extent, where there is one. */
  readonly sectors?: number;
  /** A descriptor says that its grains are compressed. */
  readonly isStream?: boolean;
}

/** A part of a disk: a layer's mapping, or something that does not change. */
export interface Part {
  readonly length: number;
  readonly mapping: Mapping;
}

/** One segment as a part. */
export function part(segment: Segment): Part {
  const { state, certainty, source, at = 0, why, length } = segment;
  const runs = (from: number, end: number, out: RunList): number =>
    out.add(state, certainty, end - from, source, source === undefined ? 0 : at + from, why) ? end : from;
  return { length, mapping: { runs } };
}

/** Parts one behind the other. */
export function joined(parts: readonly Part[]): Mapping {
  const there = parts.filter(({ length }) => length > 0);
  const starts: number[] = [0];
  for (const { length } of there) starts.push(starts[starts.length - 1] + length);
  const indexOf = (at: number): number => {
    let low = 0;
    let high = there.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (starts[middle] <= at) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  const runs = (from: number, end: number, out: RunList): number => {
    let at = from;
    for (let i = indexOf(from); at < end && i < there.length; i++) {
      const stop = Math.min(end, starts[i + 1]);
      at = starts[i] + there[i].mapping.runs(at - starts[i], stop - starts[i], out);
      if (at < stop) return at;
    }
    return at;
  };
  const load = async (at: number, end: number): Promise<void> => {
    const i = indexOf(at);
    await there[i].mapping.load?.(at - starts[i], Math.min(end, starts[i + 1]) - starts[i]);
  };
  return { runs, load };
}
