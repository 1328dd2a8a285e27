/** Sources: read-only bytes at offsets. */
import type { RunList, Why } from './run.ts';

/** Bytes that a read was asked for and did not get. They stand as zeros in the buffer. */
export interface Gap {
  /** Bytes from the start of the source that was read. */
  readonly offset: number;
  readonly length: number;
  /** Why: 'unreadable', 'past-end', 'member-missing' … */
  readonly code: string;
}

/** Read-only bytes at offsets 0 … size − 1. There is no way to write to one. */
export interface Source {
  /** Bytes. Offsets and sizes are plain numbers below 2 ** 53. */
  readonly size: number;
  /** Fills all of `into` from `offset` on. What could not be had is zeros and is named in the answer. */
  read(offset: number, into: Uint8Array): Promise<readonly Gap[]>;
  /**
   * Appends merged runs that cover [from, end) to `out` until it is full; answers the offset reached.
   * A promise only where tables have to be loaded first.
   */
  runs(from: number, end: number, out: RunList): number | Promise<number>;
  /**
   * As `runs`, for whoever is going to read: bytes that have to be held against a checksum first lie in this source itself.
   * Absent where there is no difference.
   */
  runsToRead?(from: number, end: number, out: RunList): number;
}

/** How a format says where bytes lie: the two halves that a MapSource is made of. */
export interface Mapping {
  /** Appends runs from `from` for as far as the tables in memory say, answers the offset reached. */
  runs(from: number, end: number, out: RunList): number;
  /** Loads the tables that say where `at` lies. Absent where all is in memory from the start. */
  load?(at: number, end: number): Promise<void>;
}

export type { Why };
