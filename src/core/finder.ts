/** Finders: how pieces of a structure are recognised anywhere in bytes, by what they say of themselves. */
import type { Source } from './source.ts';

/** What a finder looks for. A block is handed to `examine` when all bytes of one of its keys stand there. */
export interface Key {
  /** Bytes from the start of the block; may reach beyond `align`. */
  readonly offset: number;
  /** Two bytes or more, of which the first two are looked up in one table with those of all other finders. */
  readonly bytes: readonly number[];
}

/** A piece that was recognised, as plain data that crosses threads and is kept in a case. */
export interface Hit {
  /** FORMAT.PIECE, for example "vmfs.descriptor". */
  readonly kind: string;
  /** Bytes from the start of what was scanned. */
  readonly at: number;
  /** Bytes it takes. */
  readonly length: number;
  /** Where the thing starts that it is a part of, as it says itself. May be negative; undefined where it says nothing. */
  readonly base?: number;
  /** Pieces of one kind and one base that follow each other, if more than one. */
  readonly count?: number;
  /** What else it says, in the specification's words. */
  readonly facts?: Readonly<Record<string, string | number>>;
}

export interface Finder {
  /** Blocks start at multiples of this many bytes. */
  readonly align: 512 | 4096 | 65536 | 1048576;
  readonly keys: readonly Key[];
  /** Bytes that `examine` wants from the start of the block. Near the end of the evidence it may get fewer. */
  readonly need: number;
  /** Emits what the block that starts at `at` bytes of the evidence is; `block` has up to `need` bytes. */
  examine(block: Uint8Array, at: number, emit: (hit: Hit) => void): void;
}

/** The kind of the hits that a search for files by their content answers. */
export const CARVED_HIT = 'carved';

/** What a scan found, for formats that can use it. Only evidence itself is scanned, not what is inside it. */
export interface Found {
  /** All hits of one kind on a piece of evidence, by position; empty where it was not scanned. */
  hits(evidence: Source, kind: string): readonly Hit[];
  /** Whether a piece of evidence was scanned to its end. */
  whole(evidence: Source): boolean;
  /** Files that a search by content met on a piece of evidence, in order; undefined where it did not come to its end. */
  carved?(evidence: Source): Iterable<Hit> | undefined;
}

/** The key that is a text of ASCII characters. */
export function textKey(offset: number, text: string): Key {
  return { offset, bytes: Array.from({ length: text.length }, (_, i) => text.charCodeAt(i)) };
}
