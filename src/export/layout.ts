/** From runs to plain numbers that threads understand. */

import { summed } from '../codec/summed.ts';
import { CheckedSource } from '../core/checked.ts';
import { FileSource } from '../core/evidence.ts';
import { MadeSource } from '../core/made.ts';
import { flatten } from '../core/resolve.ts';
import { DATA, MISSING, RunList } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import type { Fill, Layout } from './jobs.ts';

/** Bytes that are checked at a time. */
const PIECE = 256 * 1024;

export class LayoutBuilder {
  readonly #fill: Fill;
  #data: number[] = [];
  #fills: number[] = [];
  #made: number[] = [];
  readonly #takesMade: boolean;
  readonly #inputs = new RunList(64);
  /** Some of it lies where threads cannot read: bytes in memory. */
  foreign = false;
  /** Bytes that will be written. */
  written = 0;

  /** `takesMade`: threads may make what is computed from evidence, else it counts as bytes in memory. */
  constructor(fill: Fill, takesMade = false) {
    this.#fill = fill;
    this.#takesMade = takesMade;
  }

  /** Numbers that were added since the last call of `take`. */
  get counts(): { data: number; fills: number; written: number } {
    return { data: this.#data.length, fills: this.#fills.length, written: this.written };
  }

  get empty(): boolean {
    return this.written === 0;
  }

  /** Whether run `i` of a list leaves something in the output. */
  leaves(list: RunList, i: number): boolean {
    const state = list.state(i);
    return state === DATA || (state === MISSING && this.#fill !== 'skip');
  }

  /** `length` bytes of run `i`, from `inner` bytes inside it on, that go to offset `to`. */
  add(list: RunList, i: number, to: number, inner: number, length: number): void {
    if (!this.leaves(list, i)) return;
    this.written += length;
    const source = list.sourceOf(i);
    if (list.state(i) === MISSING) this.#fills.push(to, length);
    else if (source instanceof FileSource) this.#data.push(to, length, source.fd, list.at[i] + inner);
    else if (!this.#addOther(source, to, list.at[i] + inner, length)) this.foreign = true;
  }

  #addOther(source: Source | undefined, to: number, inner: number, length: number): boolean {
    if (source instanceof MadeSource) return this.#addMade(source, to, inner, length);
    return source instanceof CheckedSource && this.#addChecked(source, to, inner, length);
  }

  /** Adds what threads check before they copy it, a piece at a time that stays in the processor's cache. */
  #addChecked(source: CheckedSource, to: number, inner: number, length: number): boolean {
    for (let done = 0; done < length; ) {
      const at = inner + done;
      const take = Math.min(length - done, PIECE - (at % PIECE));
      const proof = source.proof(at, at + take);
      if (proof === undefined) return false;
      const { unit, sums, from, end } = proof;
      const believed = { size: source.size, read: source.read, runs: source.runs.bind(source) };
      const piece = {
        codec: summed(unit, [...sums]),
        inputs: [{ source: believed, at: from, length: end - from }],
        size: end - from,
      };
      if (!this.#addMade(piece, to + done, at - from, take)) return false;
      done += take;
    }
    return true;
  }

  /** Adds what threads can make by themselves: of evidence alone, by a codec that they know. */
  #addMade(
    { codec, inputs, size }: Pick<MadeSource, 'codec' | 'inputs' | 'size'>,
    to: number,
    inner: number,
    length: number,
  ): boolean {
    if (!this.#takesMade || codec.shared === undefined) return false;
    const pieces: number[] = [];
    const list = this.#inputs;
    for (const { source, at, length: wanted } of inputs) {
      for (let from = at; from < at + wanted; ) {
        list.clear();
        const reached = flatten(source, from, at + wanted, list, true);
        if (typeof reached !== 'number') return false;
        for (let i = 0; i < list.n; i++) {
          const bottom = list.state(i) === DATA ? list.sourceOf(i) : undefined;
          if (!(bottom instanceof FileSource)) return false;
          pieces.push(bottom.fd, list.at[i], list.length[i]);
        }
        from = reached;
      }
    }
    const { shared } = codec;
    this.#made.push(to, length, inner, size, shared.length, ...shared, pieces.length / 3, ...pieces);
    return true;
  }

  /** Takes back what was added for a file that cannot be copied this way. */
  cutBack(to: { data: number; fills: number; written: number }): void {
    this.#data.length = to.data;
    this.#fills.length = to.fills;
    this.written = to.written;
    this.foreign = false;
  }

  /** What was added since the last call. */
  take(): Layout {
    const layout = {
      data: Float64Array.from(this.#data),
      fills: Float64Array.from(this.#fills),
      made: Float64Array.from(this.#made),
    };
    this.#data = [];
    this.#fills = [];
    this.#made = [];
    this.foreign = false;
    this.written = 0;
    return layout;
  }
}
