/** Where known structures lie in the bytes of a format, for who names every byte. Declared beside the format's record. */
import type { Field, Struct } from './struct.ts';

export type Table = Struct<Readonly<Record<string, Field>>>;

/** A place that a field of an earlier entry of the list says: its value times a number, or times other fields. */
export interface Pointed {
  readonly of: Laid;
  readonly field: string;
  readonly unit: number | readonly string[];
}

export interface Laid {
  readonly table: Table;
  /** Bytes from the start; negative: from the end. */
  readonly at: number | Pointed;
  /** It stands so many times, each behind the one before. */
  readonly times?: number;
  /** Raw characters at an offset of it, without which it is not there. */
  readonly mark?: { readonly at: number; readonly text: string };
}
