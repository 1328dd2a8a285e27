/** Bytes that are held against checksums when they are read, before they are believed. */
import { type Input, MadeSource } from './made.ts';
import { flatten, readThrough } from './resolve.ts';
import { DATA, GUESSED, LOST, MISSING, type RunList, STATED, type Why } from './run.ts';
import type { Gap, Source } from './source.ts';
import { TableCache } from './tables.ts';

/** What was found out of a unit. From OTHER on: the way of that number agrees with the sum, and the first one does not. */
const UNKNOWN = 0;
export const SOUND = 1;
export const WRONG = 2;
export const OTHER = 3;

/** Holds bytes against sums that are kept of them. */
export interface Checker {
  /** Bytes that one sum is of. */
  readonly unit: number;
  /** Bytes as they are read while nothing speaks against them, and other ways to the same bytes. */
  readonly ways: readonly Source[];
  /** Why bytes that no way agrees on are believed no more. */
  readonly why: Why;
  /** What is found of each unit of [from, end): SOUND where no sum is kept, too. */
  check(from: number, end: number): Promise<Uint8Array>;
  /** What a codec that threads know checks [from, end) by, a number for each unit; undefined where none does. */
  sums(from: number, end: number): Promise<Float64Array | undefined>;
}

/** Units whose verdicts are kept together: 64 MiB, mostly. */
const GROUP = 16_384;
/** Bytes that are checked at a time: few enough to stay in the processor's cache from reading to summing. */
const BLOCK = 256 * 1024;
/** Bytes that are checked ahead of whoever copies them. */
const AHEAD = 4 * 1024 * 1024;

/** A source whose bytes are as its checker finds them: from the way that agrees, or less than stated. */
export class CheckedSource implements Source {
  readonly size: number;
  /** The same bytes, where those that no way agrees on are missing: for what is made of them. */
  readonly strict: CheckedSource;
  readonly #checker: Checker;
  readonly #verdicts: TableCache<Uint8Array>;
  /** The same, with what was not looked at yet as it is believed without. */
  readonly #asKnown: Source;

  /** Sums from a byte on, for who is about to hand that out to threads. */
  #prepared: { readonly from: number; readonly sums: Float64Array } | undefined;

  constructor(checker: Checker, loose?: CheckedSource) {
    this.size = checker.ways[0].size;
    this.#checker = checker;
    this.#verdicts = loose === undefined ? new TableCache() : loose.#verdicts;
    this.#asKnown = {
      size: this.size,
      read: (offset, into) => readThrough(this.#asKnown, offset, into),
      runs: (from, end, out) => this.runs(from, end, out),
    };
    this.strict = loose === undefined ? new CheckedSource(checker, this) : this;
  }

  async read(offset: number, into: Uint8Array): Promise<readonly Gap[]> {
    await this.settle(offset, offset + into.length);
    return this.#asKnown.read(offset, into);
  }

  runs(from: number, end: number, out: RunList): number {
    return this.#say(from, end, out, this.#checker.ways[0]);
  }

  runsToRead(from: number, end: number, out: RunList): number {
    return this.#say(from, end, out, this);
  }

  /** Checks what was not looked at yet of [from, end). */
  async settle(from: number, end: number): Promise<void> {
    const { unit } = this.#checker;
    const last = Math.ceil(Math.min(end, this.size) / unit);
    for (let i = Math.floor(from / unit); i < last; ) {
      const stop = this.#same(i, Math.min(last, i + Math.max(1, Math.floor(BLOCK / unit))));
      if (this.#verdict(i) === UNKNOWN) {
        const found = await this.#checker.check(i * unit, Math.min(this.size, stop * unit));
        for (let k = i; k < stop; k++) this.#enter(k, found[k - i]);
      }
      i = stop;
    }
  }

  /** Loads the sums of [from, end), so that threads can check it; false where they cannot. */
  async prepare(from: number, end: number): Promise<boolean> {
    const first = this.#floor(from);
    const sums = await this.#checker.sums(first, this.#ceil(end));
    this.#prepared = sums && { from: first, sums };
    return sums !== undefined;
  }

  /** Whole units around [from, end), and the sums that were loaded of them; undefined where they were not. */
  proof(from: number, end: number): { from: number; end: number; unit: number; sums: Float64Array } | undefined {
    const { unit } = this.#checker;
    const first = this.#floor(from);
    const stop = this.#ceil(end);
    const i = (first - (this.#prepared?.from ?? first + unit)) / unit;
    const sums = i < 0 ? undefined : this.#prepared?.sums.subarray(i, i + (stop - first) / unit);
    return sums?.length === (stop - first) / unit ? { from: first, end: stop, unit, sums } : undefined;
  }

  #floor(at: number): number {
    return Math.floor(at / this.#checker.unit) * this.#checker.unit;
  }

  #ceil(at: number): number {
    return Math.ceil(at / this.#checker.unit) * this.#checker.unit;
  }

  #verdict(i: number): number {
    return this.#verdicts.get(Math.floor(i / GROUP))?.[i % GROUP] ?? UNKNOWN;
  }

  #enter(i: number, verdict: number): void {
    const key = Math.floor(i / GROUP);
    const known = this.#verdicts.get(key);
    const group = known ?? new Uint8Array(GROUP);
    if (known === undefined) this.#verdicts.set(key, group, GROUP);
    group[i % GROUP] = verdict;
  }

  /** Where units from `i` on stop to share one verdict; `last` at the latest. */
  #same(i: number, last: number): number {
    const verdict = this.#verdict(i);
    let at = i;
    while (at < last) {
      const group = this.#verdicts.get(Math.floor(at / GROUP));
      const stop = Math.min(last, (Math.floor(at / GROUP) + 1) * GROUP);
      if (group === undefined) {
        if (verdict !== UNKNOWN) return at;
        at = stop;
        continue;
      }
      for (; at < stop; at++) if (group[at % GROUP] !== verdict) return at;
    }
    return at;
  }

  #say(from: number, end: number, out: RunList, unknown: Source): number {
    const { unit, ways, why } = this.#checker;
    const stop = Math.min(end, this.size);
    for (let at = from; at < stop; ) {
      const i = Math.floor(at / unit);
      const till = Math.min(stop, this.#same(i, Math.ceil(stop / unit)) * unit);
      const verdict = this.#verdict(i);
      const isLost = verdict === WRONG && this.strict === this;
      const source = verdict === UNKNOWN ? unknown : ways[verdict < OTHER ? 0 : verdict - OTHER + 1];
      const fits = isLost
        ? out.add(MISSING, LOST, till - at, source, at, why)
        : verdict === WRONG
          ? out.add(DATA, GUESSED, till - at, source, at, why)
          : out.add(DATA, STATED, till - at, source, at);
      if (!fits) return at;
      at = till;
    }
    return stop;
  }
}

/**
 * As `flatten` for whoever is going to read, with what has to be checked first checked: in small steps, so that copying
 * goes on beside it. What is answered lies on the evidence as far as threads can read it there. `byThreads`: they check
 * it themselves, and the sums of it are loaded.
 */
export function flattenChecked(
  source: Source,
  from: number,
  end: number,
  out: RunList,
  byThreads = false,
): number | Promise<number> {
  const reached = flatten(source, from, end, out, true);
  const go = (offset: number): number | Promise<number> =>
    isChecked(out) ? settled(source, from, out, byThreads) : offset;
  return typeof reached === 'number' ? go(reached) : reached.then(go);
}

function isChecked({ sources }: RunList): boolean {
  return sources.some((bottom) => bottom instanceof CheckedSource || inputsOf(bottom).length > 0);
}

/** What has to be checked of the bytes that something is made of by threads, which read past all checks. */
function inputsOf(bottom: Source | undefined): readonly Input[] {
  if (!(bottom instanceof MadeSource) || bottom.codec.shared === undefined) return [];
  return bottom.inputs.filter(({ source }) => source instanceof CheckedSource);
}

async function settled(source: Source, from: number, out: RunList, byThreads: boolean): Promise<number> {
  let at = from;
  for (let i = 0; i < out.n && at < from + AHEAD; at += out.length[i++]) {
    const bottom = out.sourceOf(i);
    for (const { source: lower, at: place, length } of inputsOf(bottom))
      await (lower as CheckedSource).settle(place, place + length);
    if (!(bottom instanceof CheckedSource)) continue;
    // What stands before it first.
    if (i > 0) break;
    const length = Math.min(out.length[0], AHEAD - (from % AHEAD));
    if (byThreads && (await bottom.prepare(out.at[0], out.at[0] + length))) {
      out.length[0] = length;
      out.n = 1;
      return from + length;
    }
    await bottom.settle(out.at[0], out.at[0] + length);
    out.clear();
    return flatten(source, from, from + length, out, true);
  }
  out.n = runsBefore(out, at - from);
  return at;
}

/** How many runs of a list lie before its byte `end`. */
function runsBefore(list: RunList, end: number): number {
  let n = 0;
  for (let at = 0; n < list.n && at < end; n++) at += list.length[n];
  return n;
}
