/** What newer things wrote over older ones: where a byte lies on the evidence decides, whatever way leads to it. */
import { flatten, readThrough } from './resolve.ts';
import { DATA, GUESSED, LOST, MISSING, RunList, type Why, weaker } from './run.ts';
import type { Gap, Source } from './source.ts';

/** Stretches of one bottom: written for certain, or taken without anything that says whether they were written. */
interface Spans {
  written: number[];
  taken: number[];
}

export class Mask {
  readonly #spans = new Map<Source, Spans>();
  readonly #written: Why;
  readonly #taken: Why;

  /** `by`: what took the bytes, in words. */
  constructor(by: string) {
    this.#written = { what: by, code: 'overwritten' };
    this.#taken = { what: by, code: 'under-newer' };
  }

  /** Enters a stretch of `source`. `written`: it was written over for certain. */
  async add(source: Source, from: number, end: number, written: boolean): Promise<void> {
    const list = new RunList(256);
    const stop = Math.min(end, source.size);
    for (let at = from; at < stop; ) {
      list.clear();
      at = await flatten(source, at, stop, list);
      for (let i = 0; i < list.n; i++) {
        const bottom = list.state(i) === DATA ? list.sourceOf(i) : undefined;
        if (bottom === undefined) continue;
        const spans = this.#spans.get(bottom) ?? { written: [], taken: [] };
        this.#spans.set(bottom, spans);
        (written ? spans.written : spans.taken).push(list.at[i], list.at[i] + list.length[i]);
      }
    }
  }

  /** Whether nothing was entered. */
  get empty(): boolean {
    return this.#spans.size === 0;
  }

  /** Sorts what was added, so that it can be asked. */
  seal(): void {
    for (const spans of this.#spans.values()) {
      spans.written = joined(spans.written);
      spans.taken = joined(spans.taken);
    }
  }

  /** Whether the byte at `at` of `source` was written over for certain. */
  async isWritten(source: Source, at: number): Promise<boolean> {
    const list = new RunList(1);
    await flatten(source, at, at + 1, list);
    const spans = list.n === 1 && list.state(0) === DATA ? this.#spans.get(list.sourceOf(0)!) : undefined;
    return spans !== undefined && next(spans.written, list.at[0], list.at[0] + 1).inside;
  }

  /** `source` with what was written over missing, and what may have been no more than guessed. */
  over(source: Source): Source {
    return new Masked(source, this);
  }

  /** Appends run `i` of `list`, split where something was written. Answers the bytes of it that fitted. */
  split(list: RunList, i: number, out: RunList): number {
    const bottom = list.sourceOf(i);
    const certainty = list.certainty(i);
    const why = list.why(i);
    const spans = list.state(i) === DATA && bottom !== undefined ? this.#spans.get(bottom) : undefined;
    if (spans === undefined)
      return out.add(list.state(i), certainty, list.length[i], bottom, list.at[i], why) ? list.length[i] : 0;
    const from = list.at[i];
    const end = from + list.length[i];
    for (let at = from; at < end; ) {
      const written = next(spans.written, at, end);
      const taken = next(spans.taken, at, end);
      const stop = Math.min(written.at, taken.at);
      const fits = written.inside
        ? out.add(MISSING, LOST, stop - at, bottom, at, this.#written)
        : taken.inside
          ? out.add(DATA, weaker(certainty, GUESSED), stop - at, bottom, at, this.#taken)
          : out.add(DATA, certainty, stop - at, bottom, at, why);
      if (!fits) return at - from;
      at = stop;
    }
    return end - from;
  }
}

class Masked implements Source {
  readonly size: number;
  readonly #source: Source;
  readonly #mask: Mask;

  constructor(source: Source, mask: Mask) {
    this.size = source.size;
    this.#source = source;
    this.#mask = mask;
  }

  read(offset: number, into: Uint8Array): Promise<readonly Gap[]> {
    return readThrough(this, offset, into);
  }

  async runs(from: number, end: number, out: RunList): Promise<number> {
    const list = new RunList(256);
    let at = from;
    while (at < Math.min(end, this.size) && !out.full) {
      list.clear();
      await flatten(this.#source, at, Math.min(end, this.size), list);
      for (let i = 0; i < list.n; i++) {
        const had = this.#mask.split(list, i, out);
        at += had;
        if (had < list.length[i]) return at;
      }
    }
    return at;
  }
}

/** Whether `at` lies in one of `spans`, and where that changes, at `end` at the latest. */
function next(spans: readonly number[], at: number, end: number): { inside: boolean; at: number } {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (spans[middle] <= at) low = middle + 1;
    else high = middle;
  }
  // Starts have even places: behind one of them is inside.
  return { inside: low % 2 === 1, at: Math.min(end, spans[low] ?? end) };
}

function joined(spans: readonly number[]): number[] {
  const pairs: [number, number][] = [];
  for (let i = 0; i < spans.length; i += 2) pairs.push([spans[i], spans[i + 1]]);
  pairs.sort((a, b) => a[0] - b[0]);
  const out: number[] = [];
  for (const [from, end] of pairs) {
    const last = out.at(-1);
    if (last !== undefined && from <= last) out[out.length - 1] = Math.max(last, end);
    else out.push(from, end);
  }
  return out;
}
