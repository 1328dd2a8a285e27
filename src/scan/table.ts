/** All finders' keys merged into one look-up of two bytes for each place of a sector that any of them wants to see. */
import type { Finder } from '../core/finder.ts';

/** The unit of the sweep: every finder's alignment is a multiple of it. */
export const STEP = 512;
const WORDS = 65536 / 32;

/** A key as it is looked for: `probe` bytes into some sector, its block starts `back` bytes before that sector. */
interface Wanted {
  readonly finder: Finder;
  readonly back: number;
  readonly probe: number;
  readonly bytes: readonly number[];
}

export interface Probe {
  /** Bytes from the start of a sector. */
  readonly at: number;
  /** Bytes from one sector that is looked at to the next: the least alignment of its finders. */
  readonly step: number;
  /** One bit for each pair of bytes that begins a key. */
  readonly bits: Uint32Array;
  /** The keys that begin with a pair. */
  readonly wanted: ReadonlyMap<number, readonly Wanted[]>;
}

/** The probes that a sector is looked at with, the fewest that serve all `finders`. */
export function probesOf(finders: readonly Finder[]): Probe[] {
  const byPlace = new Map<number, Map<number, Wanted[]>>();
  const steps = new Map<number, number>();
  for (const finder of finders) {
    for (const { offset, bytes } of finder.keys) {
      const place = offset % STEP;
      if (bytes.length < 2 || place % 2 !== 0) throw new RangeError(`a key at ${offset} is no pair at an even place`);
      steps.set(place, Math.min(steps.get(place) ?? finder.align, finder.align, stepOf(offset - place)));
      const pairs = byPlace.get(place) ?? new Map<number, Wanted[]>();
      byPlace.set(place, pairs);
      const pair = bytes[0] | (bytes[1] << 8);
      const list = pairs.get(pair) ?? [];
      pairs.set(pair, list);
      list.push({ finder, back: offset - place, probe: place, bytes });
    }
  }
  return [...byPlace].map(([at, wanted]) => {
    const bits = new Uint32Array(WORDS);
    for (const pair of wanted.keys()) bits[pair >>> 5] |= 1 << (pair & 31);
    return { at, step: steps.get(at)!, bits, wanted };
  });
}

/** Blocks at multiples of an alignment have their keys at such multiples only where `back` is one, too. */
function stepOf(back: number): number {
  let step = STEP;
  while (step < 2 ** 20 && back % (2 * step) === 0) step *= 2;
  return step;
}

/** The blocks that begin with a key whose pair was seen in the sector at `sector` of `window`; `base` is the window's start. */
export function* blocksAt(
  probe: Probe,
  window: Uint8Array,
  sector: number,
  base: number,
): Generator<{ finder: Finder; at: number }> {
  const first = sector + probe.at;
  const pair = window[first] | (window[first + 1] << 8);
  for (const { finder, back, bytes } of probe.wanted.get(pair) ?? []) {
    const at = base + sector - back;
    if (at < 0 || at % finder.align !== 0) continue;
    if (bytes.every((byte, i) => window[first + i] === byte)) yield { finder, at };
  }
}
