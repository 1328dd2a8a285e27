/** The one map primitive: a Source that only says where its bytes lie in other Sources. */
import { readThrough } from './resolve.ts';
import { ABSENT, type Certainty, DATA, MISSING, type RunList, type State, type Why, ZERO } from './run.ts';
import type { Gap, Mapping, Source } from './source.ts';

export class MapSource implements Source {
  readonly size: number;
  readonly #mapping: Mapping;

  /** `size` in bytes; `mapping` must be able to say something about every byte of it. */
  constructor(size: number, mapping: Mapping) {
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`a source cannot have a size of ${size} bytes`);
    this.size = size;
    this.#mapping = mapping;
  }

  read(offset: number, into: Uint8Array): Promise<readonly Gap[]> {
    return readThrough(this, offset, into);
  }

  runs(from: number, end: number, out: RunList): number | Promise<number> {
    const stop = Math.min(end, this.size);
    const reached = this.#mapping.runs(from, stop, out);
    return reached >= stop || out.full || this.#mapping.load === undefined ? reached : this.#load(reached, stop, out);
  }

  async #load(from: number, end: number, out: RunList): Promise<number> {
    let at = from;
    while (at < end && !out.full) {
      await this.#mapping.load!(at, end);
      const reached = this.#mapping.runs(at, end, out);
      if (reached === at && !out.full) throw new Error(`a map did not move on at ${at} after loading its tables`);
      at = reached;
    }
    return at;
  }
}

/** One stretch of a fixed map. `source` absent: zeros, or missing bytes where `state` says so. */
export interface Segment {
  readonly length: number;
  readonly state: State;
  readonly source?: Source;
  readonly at?: number;
  readonly certainty: Certainty;
  readonly why?: Why;
}

/** Data of `source` from `at` on. */
export function data(source: Source, at: number, length: number, certainty: Certainty, why?: Why): Segment {
  return { length, state: DATA, source, at, certainty, ...(why && { why }) };
}

/** Zeros by definition. */
export function zeros(length: number, certainty: Certainty, why?: Why): Segment {
  return { length, state: ZERO, certainty, ...(why && { why }) };
}

/** Bytes that are not to be had; `why.code` names the reason. */
export function missing(length: number, why: Why): Segment {
  return { length, state: MISSING, certainty: 0, why };
}

/** Bytes of which this layer says nothing, because they are in the layer below. */
export function absent(length: number): Segment {
  return { length, state: ABSENT, certainty: 0 };
}

/** A Source made of segments that lie one after the other. For maps that fit in memory as a list. */
export function segments(list: readonly Segment[]): MapSource {
  const starts = new Float64Array(list.length + 1);
  for (let i = 0; i < list.length; i++) starts[i + 1] = starts[i] + list[i].length;
  const runs = (from: number, end: number, out: RunList): number => {
    let at = from;
    for (let i = indexOf(starts, from); at < end && i < list.length; i++) {
      const s = list[i];
      const stop = Math.min(end, starts[i + 1]);
      const inner = s.source === undefined ? 0 : s.at! + (at - starts[i]);
      if (!out.add(s.state, s.certainty, stop - at, s.source, inner, s.why)) return at;
      at = stop;
    }
    return at;
  };
  return new MapSource(starts[list.length], { runs });
}

/** `length` bytes of `source` from `at` on: a partition, a volume, an extent. */
export function slice(source: Source, at: number, length: number, certainty: Certainty, why?: Why): MapSource {
  return segments([data(source, at, length, certainty, why)]);
}

/** The last i with starts[i] <= at. */
function indexOf(starts: Float64Array, at: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (starts[middle] <= at) low = middle;
    else high = middle;
  }
  return low;
}
