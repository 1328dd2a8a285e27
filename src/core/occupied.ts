/** Which units of a disk hold something: what writers put into their files. */
import { flatten } from './resolve.ts';
import { DATA, RunList } from './run.ts';
import type { Source } from './source.ts';

/** Runs of units, in order, that hold anything but zeros and missing bytes. */
export class Occupied {
  /** Bytes of a unit. */
  readonly unit: number;
  /** Units of the whole disk; the last may be cut. */
  readonly units: number;
  /** [first unit, end) one behind the other. */
  readonly runs: readonly number[];
  /** Units in all runs. */
  readonly count: number;
  /** Units in the runs before each. */
  readonly #before: readonly number[];

  constructor(unit: number, diskBytes: number, runs: readonly number[]) {
    this.unit = unit;
    this.units = Math.ceil(diskBytes / unit);
    this.runs = runs;
    const before: number[] = [];
    let count = 0;
    for (let i = 0; i < runs.length; i += 2) {
      before.push(count);
      count += runs[i + 1] - runs[i];
    }
    this.#before = before;
    this.count = count;
  }

  /** Calls `visit` with each occupied unit of [from, end), and its number among the occupied ones. */
  each(from: number, end: number, visit: (unit: number, index: number) => void): void {
    for (let i = this.#firstRun(from); i < this.runs.length && this.runs[i] < end; i += 2) {
      const start = this.runs[i];
      const stop = Math.min(end, this.runs[i + 1]);
      for (let unit = Math.max(from, start); unit < stop; unit++) visit(unit, this.#before[i / 2] + unit - start);
    }
  }

  /** Whether anything in [from, end) is occupied. */
  any(from: number, end: number): boolean {
    const i = this.#firstRun(from);
    return i < this.runs.length && this.runs[i] < end;
  }

  /** Place of the first run that ends behind `unit`. */
  #firstRun(unit: number): number {
    let low = 0;
    let high = this.runs.length / 2;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.runs[2 * middle + 1] <= unit) low = middle + 1;
      else high = middle;
    }
    return 2 * low;
  }
}

/** Gathers runs of units, given in growing order. */
export class OccupiedBuilder {
  readonly #unit: number;
  readonly #runs: number[] = [];

  constructor(unit: number) {
    this.#unit = unit;
  }

  /** All units that touch [from, end), in bytes. */
  add(from: number, end: number): void {
    const first = Math.floor(from / this.#unit);
    const stop = Math.ceil(end / this.#unit);
    const last = this.#runs.length - 1;
    if (last > 0 && first <= this.#runs[last]) this.#runs[last] = Math.max(this.#runs[last], stop);
    else this.#runs.push(first, stop);
  }

  take(diskBytes: number): Occupied {
    return new Occupied(this.#unit, diskBytes, this.#runs);
  }
}

/** The units of a disk that its map does not call zeros or missing. */
export async function occupiedOf(disk: Source, unit: number, signal: AbortSignal): Promise<Occupied> {
  const out = new OccupiedBuilder(unit);
  const list = new RunList();
  for (let at = 0; at < disk.size; ) {
    signal.throwIfAborted();
    list.clear();
    let from = at;
    at = await flatten(disk, at, disk.size, list);
    for (let i = 0; i < list.n; from += list.length[i++])
      if (list.state(i) === DATA) out.add(from, from + list.length[i]);
  }
  return out.take(disk.size);
}
