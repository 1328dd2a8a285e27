/** From runs to plain numbers that threads understand. */
import { FileSource } from '../core/evidence.ts';
import { DATA, MISSING, type RunList } from '../core/run.ts';
import type { Fill, Layout } from './jobs.ts';

export class LayoutBuilder {
  readonly #fill: Fill;
  #data: number[] = [];
  #fills: number[] = [];
  /** Some of it lies where threads cannot read: bytes in memory. */
  foreign = false;
  /** Bytes that will be written. */
  written = 0;

  constructor(fill: Fill) {
    this.#fill = fill;
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
    else this.foreign = true;
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
    const layout = { data: Float64Array.from(this.#data), fills: Float64Array.from(this.#fills) };
    this.#data = [];
    this.#fills = [];
    this.foreign = false;
    this.written = 0;
    return layout;
  }
}
