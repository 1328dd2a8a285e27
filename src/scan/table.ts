/**
 * All finders' keys merged, so that a sector is looked at once: a place at which many pairs of bytes may begin a key is
 * looked up in a table, those at which few may are compared with each. Nearly all of the time of a scan that is not
 * reading goes into `nextIn`; a loop over one place after the other takes twice as long, for each reads the window anew.
 */
import type { Finder } from '../core/finder.ts';

/** The unit of the sweep: every finder's alignment is a multiple of it. */
export const STEP = 512;
const PAIRS: number = STEP / 2;
const WORDS = 65536 / 32;

/** A key as it is looked for: `probe` bytes into some sector, its block starts `back` bytes before that sector. */
interface Wanted {
  readonly finder: Finder;
  readonly back: number;
  readonly probe: number;
  readonly bytes: readonly number[];
}

/** A place of a sector, and what may begin there. */
interface Probe {
  /** Bytes from the start of a sector. */
  readonly at: number;
  /** The keys that begin with a pair. */
  readonly wanted: ReadonlyMap<number, readonly Wanted[]>;
}

/** What one pass over a window looks for. */
export interface Pass {
  /** Pairs from the start of a sector to the place whose pairs are looked up, and a bit for each that is wanted. */
  readonly place: number;
  readonly bits: Uint32Array;
  /** SINGLES places, in pairs, each followed by the pair that is wanted there. */
  readonly singles: Int32Array;
  readonly probes: readonly Probe[];
}

/** Pairs that one pass compares; a processor has registers for about so many. */
const SINGLES = 12;
/** Pairs of one place up to which comparing costs less than looking up. */
const FEW = 3;

/** The passes, the fewest that serve all `finders`. */
export function passesOf(finders: readonly Finder[]): Pass[] {
  const probes = probesOf(finders);
  const tables = probes.filter(({ wanted }) => wanted.size > FEW);
  const groups: Probe[][] = [];
  let room = 0;
  for (const probe of probes.filter(({ wanted }) => wanted.size <= FEW)) {
    if (probe.wanted.size > room) {
      groups.push([]);
      room = SINGLES;
    }
    groups.at(-1)!.push(probe);
    room -= probe.wanted.size;
  }
  return Array.from({ length: Math.max(tables.length, groups.length) }, (_, i) => passOf(tables[i], groups[i] ?? []));
}

function passOf(table: Probe | undefined, few: readonly Probe[]): Pass {
  const bits = new Uint32Array(WORDS);
  for (const pair of table?.wanted.keys() ?? []) bits[pair >>> 5] |= 1 << (pair & 31);
  // No pair is -1, so what is not needed never fits.
  const singles = new Int32Array(2 * SINGLES).map((_, i) => (i % 2 === 0 ? 0 : -1));
  singles.set(few.flatMap(({ at, wanted }) => [...wanted.keys()].flatMap((pair) => [at / 2, pair])));
  return { place: (table?.at ?? 0) / 2, bits, singles, probes: table === undefined ? few : [table, ...few] };
}

function probesOf(finders: readonly Finder[]): Probe[] {
  const byPlace = new Map<number, Map<number, Wanted[]>>();
  for (const finder of finders) {
    for (const { offset, bytes } of finder.keys) {
      const place = offset % STEP;
      if (bytes.length < 2 || place % 2 !== 0) throw new RangeError(`a key at ${offset} is no pair at an even place`);
      const pairs = byPlace.get(place) ?? new Map<number, Wanted[]>();
      byPlace.set(place, pairs);
      const pair = bytes[0] | (bytes[1] << 8);
      const list = pairs.get(pair) ?? [];
      pairs.set(pair, list);
      list.push({ finder, back: offset - place, probe: place, bytes });
    }
  }
  return [...byPlace].map(([at, wanted]) => ({ at, wanted }));
}

/**
 * The first sector from `from` on at which something is seen that begins a key, or the first that is not whole: both as
 * pairs from the start of `pairs`.
 */
export function nextIn({ place, bits, singles }: Pass, pairs: Uint16Array, from: number): number {
  const [p0, v0, p1, v1, p2, v2, p3, v3, p4, v4, p5, v5] = singles;
  const [p6, v6, p7, v7, p8, v8, p9, v9, p10, v10, p11, v11] = singles.subarray(SINGLES);
  const last = pairs.length - PAIRS;
  let at = from;
  for (; at <= last; at += PAIRS) {
    const pair = pairs[at + place];
    if ((bits[pair >>> 5] & (1 << (pair & 31))) !== 0) break;
    if (pairs[at + p0] === v0 || pairs[at + p1] === v1 || pairs[at + p2] === v2 || pairs[at + p3] === v3) break;
    if (pairs[at + p4] === v4 || pairs[at + p5] === v5 || pairs[at + p6] === v6 || pairs[at + p7] === v7) break;
    if (pairs[at + p8] === v8 || pairs[at + p9] === v9 || pairs[at + p10] === v10 || pairs[at + p11] === v11) break;
  }
  return at;
}

/** The blocks of a pass with a key in the sector at `sector` bytes of `window`; `base` is the window's start. */
export function* blocksAt(
  { probes }: Pass,
  window: Uint8Array,
  sector: number,
  base: number,
): Generator<{ finder: Finder; at: number }> {
  for (const probe of probes) {
    const first = sector + probe.at;
    if (first + 2 > window.length) continue;
    const pair = window[first] | (window[first + 1] << 8);
    for (const { finder, back, bytes } of probe.wanted.get(pair) ?? []) {
      const at = base + sector - back;
      if (at < 0 || at % finder.align !== 0) continue;
      if (bytes.every((byte, i) => window[first + i] === byte)) yield { finder, at };
    }
  }
}
