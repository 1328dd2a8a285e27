/** Which units of a disk hold something: what writers put into their files. */
import { flatten } from './resolve.ts';
import { DATA, RunList } from './run.ts';
import type { Source } from './source.ts';

/** Bytes read at a time in search of zeros. */
const BLOCK = 256 * 1024;

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

/**
 * Looks which units of a disk are occupied. With `detect` the bytes are read, and units of zeros that nothing calls
 * zeros are left out, too. `onBytes` is told how far it is.
 */
export async function occupiedOf(
  disk: Source,
  unit: number,
  detect: boolean,
  signal: AbortSignal,
  onBytes?: (done: number) => void,
): Promise<Occupied> {
  const runs: number[] = [];
  const add = (first: number, end: number): void => {
    const last = runs.length - 1;
    if (last > 0 && first <= runs[last]) runs[last] = Math.max(runs[last], end);
    else runs.push(first, end);
  };
  const list = new RunList();
  for (let at = 0; at < disk.size; ) {
    signal.throwIfAborted();
    list.clear();
    let from = at;
    at = await flatten(disk, at, disk.size, list);
    for (let i = 0; i < list.n; i++) {
      const end = from + list.length[i];
      if (list.state(i) === DATA) {
        if (detect) await addNonZero(disk, from, end, unit, add, signal);
        else add(Math.floor(from / unit), Math.ceil(end / unit));
      }
      from = end;
      onBytes?.(from);
    }
  }
  return new Occupied(unit, disk.size, runs);
}

async function addNonZero(
  disk: Source,
  from: number,
  end: number,
  unit: number,
  add: (first: number, end: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const buffer = Buffer.alloc(BLOCK);
  for (let at = from; at < end; ) {
    signal.throwIfAborted();
    const stop = Math.min(end, at + BLOCK - (at % BLOCK));
    const block = buffer.subarray(0, stop - at);
    await disk.read(at, block);
    for (let first = Math.floor(at / unit); first * unit < stop; first++) {
      const start = Math.max(at, first * unit);
      const part = block.subarray(start - at, Math.min(stop, (first + 1) * unit) - at);
      if (!isZero(part)) add(first, first + 1);
    }
    at = stop;
  }
}

const ZEROS = Buffer.alloc(BLOCK);

function isZero(bytes: Buffer): boolean {
  // The first word tells of nearly all data that it is some.
  for (let i = 0; i < 16 && i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return bytes.compare(ZEROS, 0, bytes.length) === 0;
}
