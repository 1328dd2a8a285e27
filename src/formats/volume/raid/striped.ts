/** Stripes over several places, without redundancy: each in its turn. Source: volumes.md sections 5 and 6. */
import { MapSource } from '../../../core/map-source.ts';
import { type Certainty, DATA, LOST, MISSING, type RunList, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';

/** Where one column of an array lies. */
export interface Column {
  /** Absent: the device is not had. */
  readonly source?: Source;
  /** Bytes from the start of `source` to the first of the column. */
  readonly at: number;
}

/** What an array is certain of, and why what is not had is not. */
export interface Grade {
  readonly certainty: Certainty;
  readonly why: Why;
  readonly lost: Why;
}

/** `size` bytes in chunks of `chunk` bytes, laid over the columns in turn. */
export function striped(columns: readonly Column[], chunk: number, size: number, grade: Grade): Source {
  const n = columns.length;
  const runs = (from: number, end: number, out: RunList): number => {
    let at = from;
    while (at < end) {
      const number = Math.floor(at / chunk);
      const inner = at - number * chunk;
      const stop = Math.min(end, at + chunk - inner);
      const { source, at: base } = columns[number % n];
      const there = base + Math.floor(number / n) * chunk + inner;
      if (!emit(out, source, there, stop - at, grade)) return at;
      at = stop;
    }
    return at;
  };
  return new MapSource(size, { runs });
}

/** Appends bytes of a column, or that they are missing. False where the list is full. */
export function emit(out: RunList, source: Source | undefined, at: number, length: number, grade: Grade): boolean {
  if (source === undefined) return out.add(MISSING, LOST, length, undefined, 0, grade.lost);
  return out.add(DATA, grade.certainty, length, source, at, grade.why);
}
