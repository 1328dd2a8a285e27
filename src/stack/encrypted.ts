/**
 * Stripes that ransomware encrypted in a large file, found from samples. High entropy alone proves nothing, as guests
 * compress too: stripes are believed only where they alternate regularly from the very first byte on, which no disk
 * begins with, and where what lies between them is plainly something else.
 */
import { LOOK, type Look, lookOf } from '../codec/entropy.ts';
import { MapSource } from '../core/map-source.ts';
import { DATA, LOST, MISSING, type RunList, VERIFIED, type Why } from '../core/run.ts';
import type { Source } from '../core/source.ts';

/** What was found. Sizes in bytes. */
export interface Stripes {
  /** 'regular': `length` of every `period`; 'start': the first `length` alone; 'unclear': random, and no pattern. */
  readonly kind: 'regular' | 'start' | 'unclear';
  readonly length: number;
  readonly period: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;
/** Smaller files are encrypted whole, where they are. */
const LEAST = 4 * MIB;
/** Boundaries that are this near to a multiple of 64 KiB are there. */
const SNAP = 2 * KIB;
const GRID = 64 * KIB;
/** Looks at one file: 8 MiB at most. */
const MAX_LOOKS = 2048;
/** Periods that are looked at, and the fewest that make a pattern. */
const MAX_PERIODS = 48;
const LEAST_PERIODS = 4;
/** Looks between stripes that have to be plain, and the share that may be random by itself. */
const LEAST_PLAIN = 3;
const MOST_CHANCE = 0.25;
const REST_LOOKS = 64;
/** Looks that go on from the first stripe in search of the second. */
const SEARCH_LOOKS = 1024;
/** Parts of a period that are looked at, in so many periods each. */
const MAX_PARTS = 64;
const PART_LOOKS = 4;

/** Looks at a source; undefined where its first bytes are not random, which is one short read for a sound disk. */
export async function stripesOf(source: Source): Promise<Stripes | undefined> {
  if (source.size < LEAST) return undefined;
  const looks = new Looks(source);
  if ((await looks.at(0)) !== 'random') return undefined;
  const first = await looks.endOf();
  const unclear: Stripes = { kind: 'unclear', length: 0, period: 0 };
  if (first === undefined) return unclear;
  // Random data of the guest may follow the first stripe directly: then a usual length fits better.
  const lengths = new Set([first, ...[16, 8, 4, 2, 1].map((n) => n * MIB).filter((n) => n < first)]);
  for (const length of lengths) {
    for (const period of await periods(looks, source.size, length)) {
      const shortest = await regular(looks, source.size, length, period);
      if (shortest !== undefined) return { kind: 'regular', length, period: shortest };
    }
  }
  return (await isStart(looks, source.size, first)) ? { kind: 'start', length: first, period: source.size } : unclear;
}

class Looks {
  readonly #source: Source;
  readonly #known = new Map<number, Look | 'gap'>();
  readonly #block = new Uint8Array(LOOK);

  constructor(source: Source) {
    this.#source = source;
  }

  get spent(): boolean {
    return this.#known.size >= MAX_LOOKS;
  }

  /** How the bytes from `at` on look; behind the end, and where they cannot be read, 'gap'. */
  async at(at: number): Promise<Look | 'gap'> {
    const known = this.#known.get(at);
    if (known !== undefined) return known;
    if (at < 0 || at + LOOK > this.#source.size || this.spent) return 'gap';
    const gaps = await this.#source.read(at, this.#block);
    const look = gaps.length > 0 ? 'gap' : lookOf(this.#block);
    this.#known.set(at, look);
    return look;
  }

  /** Where the first random stretch ends; undefined where all that is looked at is random. */
  async endOf(): Promise<number | undefined> {
    let high = GRID;
    while (high < this.#source.size && (await this.at(high)) === 'random') high *= 2;
    if (high >= this.#source.size) return undefined;
    const step = Math.max(GRID, Math.ceil(high / REST_LOOKS / GRID) * GRID);
    let low = 0;
    while (low + step < high && (await this.at(low + step)) === 'random') low += step;
    return snapped((await this.#turn(low, Math.min(low + step, high), 'random')) + LOOK);
  }

  /** Where the next random stretch starts behind `from`, looking at every `step`. */
  async startAfter(from: number, step: number): Promise<number | undefined> {
    let low = from;
    for (let at = from, n = 0; at + LOOK <= this.#source.size && n < SEARCH_LOOKS; at += step, n++) {
      if ((await this.at(at)) === 'random' && at > from) return snapped(await this.#turn(at, low, 'random'));
      low = at;
    }
    return undefined;
  }

  /** The last place towards `to` that still has this look. */
  async #turn(from: number, to: number, look: Look): Promise<number> {
    let [yes, no] = [from, to];
    while (Math.abs(no - yes) > 512) {
      const middle = Math.floor((yes + no) / 2 / 512) * 512;
      if (middle === yes || middle === no) break;
      if ((await this.at(middle)) === look) yes = middle;
      else no = middle;
    }
    return yes;
  }
}

function snapped(at: number): number {
  const near = Math.round(at / GRID) * GRID;
  return near > 0 && Math.abs(near - at) <= SNAP ? near : at;
}

/** Distances between stripes that are worth a test, the shortest first. */
async function periods(looks: Looks, size: number, length: number): Promise<number[]> {
  const hundredth = Math.floor(size / MIB / 100) * MIB;
  const next = await looks.startAfter(length, Math.max(LOOK, length / 2));
  const all = [2 * length, hundredth, ...(next === undefined ? [] : [next])];
  return [...new Set(all.filter((period) => period > length))].sort((a, b) => a - b);
}

/** The period itself where stripes come in it regularly, or the even part of it in which they do. */
async function regular(looks: Looks, size: number, length: number, period: number): Promise<number | undefined> {
  let shortest = period;
  while (await isRegular(looks, size, length, shortest)) {
    const parts = await partsOf(looks, size, length, shortest);
    if (parts === 1) return shortest;
    // Every part is at most half as long, so this ends.
    shortest /= parts;
  }
  return undefined;
}

/** In how many even parts of a period stripes start too; 1 where it is one period and not several. */
async function partsOf(looks: Looks, size: number, length: number, period: number): Promise<number> {
  for (let parts = 2; parts <= MAX_PARTS && period / parts > length; parts++) {
    let random = 0;
    for (let i = 0; i < PART_LOOKS; i++) {
      const at = i * period + Math.floor(period / parts / 512) * 512 + LOOK;
      if (at < size && (await looks.at(at)) === 'random') random++;
      else break;
    }
    if (random === PART_LOOKS) return parts;
  }
  return 1;
}

async function isRegular(looks: Looks, size: number, length: number, period: number): Promise<boolean> {
  const count = Math.floor(size / period);
  if (count < LEAST_PERIODS || period - length < LOOK) return false;
  const seen = { plain: 0, random: 0 };
  for (let i = 0; i < Math.min(count, MAX_PERIODS); i++) {
    const at = Math.floor((i * (count - 1)) / Math.max(1, Math.min(count, MAX_PERIODS) - 1)) * period;
    if ((await looks.at(at)) !== 'random' || (await looks.at(at + length - LOOK)) !== 'random') return false;
    for (const between of [at + length, at + period - LOOK]) {
      const look = await looks.at(between);
      if (look === 'plain') seen.plain++;
      else if (look === 'random') seen.random++;
    }
  }
  return seen.plain >= LEAST_PLAIN && seen.random <= (seen.plain + seen.random) * MOST_CHANCE;
}

/** Only the start is random, and the rest is plainly not. */
async function isStart(looks: Looks, size: number, length: number): Promise<boolean> {
  if (length > size / 2) return false;
  const seen = { plain: 0, random: 0 };
  for (let i = 0; i < REST_LOOKS; i++) {
    const look = await looks.at(Math.floor((length + ((size - length) * i) / REST_LOOKS) / 512) * 512);
    if (look === 'plain') seen.plain++;
    else if (look === 'random') seen.random++;
  }
  return seen.plain >= LEAST_PLAIN && seen.random <= (seen.plain + seen.random) * MOST_CHANCE;
}

/** The same bytes, with what is believed encrypted missing; where it lies stays known. Nothing for 'unclear'. */
export function withoutStripes(source: Source, stripes: Stripes): Source {
  if (stripes.kind === 'unclear') return source;
  const { length, period } = stripes;
  const why: Why = { what: sentenceOf(stripes), source, at: 0, code: 'encrypted' };
  const runs = (from: number, end: number, out: RunList): number => {
    let at = from;
    while (at < end) {
      const inside = at % period;
      const isLost = inside < length;
      const stop = Math.min(end, at - inside + (isLost ? length : period));
      const state = isLost ? MISSING : DATA;
      if (!out.add(state, isLost ? LOST : VERIFIED, stop - at, source, at, isLost ? why : undefined)) return at;
      at = stop;
    }
    return at;
  };
  return new MapSource(source.size, { runs });
}

/** What was found, as the end of a sentence that starts with the file's name. */
export function sentenceOf({ kind, length, period }: Stripes): string {
  if (kind === 'regular') return `has ${sizeOf(length)} encrypted of every ${sizeOf(period)}, by its samples`;
  if (kind === 'start') return `has at least its first ${sizeOf(length)} encrypted, by its samples`;
  return 'starts with random bytes and shows no regular pattern: it may be encrypted, or hold compressed data';
}

function sizeOf(bytes: number): string {
  return bytes % MIB === 0 ? `${bytes / MIB} MiB` : `${bytes} bytes`;
}
