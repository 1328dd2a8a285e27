/** Writers that make units smaller: where one lies is known only once those before it were compressed. */
import type { Occupied } from './occupied.ts';

/** How a unit is made smaller: raw deflate with a small window, a zlib stream, a Zstandard frame. */
export type Method = 'deflate-4k' | 'zlib' | 'zstd';

/** Bytes, and where in the file they go. */
export interface Placed {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** One file that is being packed. Memory: tables of the file, not its content. */
export interface Packing {
  readonly method: Method;
  /** Packed units are wanted up to this many bytes; larger ones come plain. */
  readonly worth: number;
  /** Takes the next occupied unit, filled up to its full size where it is the last; units come in order. */
  add(unit: number, bytes: Uint8Array, isPacked: boolean): readonly Placed[];
  /** All that is left to write once every unit was added; the header is in it, so that half a file opens nowhere. */
  finish(): Iterable<Placed>;
  /** Bytes of the whole file; known after `finish`. */
  readonly size: number;
}

export interface PackOptions {
  readonly variant: string;
  /** Name of the file without directories. */
  readonly name: string;
  /** Bytes of the disk. */
  readonly size: number;
  readonly occupied: Occupied;
}

/** How a disk is written as one format with compressed units. */
export interface Packer {
  readonly variants: readonly string[];
  /** Bytes that are compressed together. */
  unit(variant: string, diskBytes: number): number;
  /** Throws RangeError with a sentence where the format cannot hold the disk; so may `add`. */
  pack(options: PackOptions): Packing;
}
