/** Writers: a disk as files of a format. Nothing is copied here: what is written is a map, too. */
import type { Occupied } from './occupied.ts';
import type { Source } from './source.ts';

/** One file of the result. */
export interface WrittenFile {
  /** Put behind the name that the person gave, without its ending: '' for the file itself, '-flat.vmdk'. */
  readonly suffix: string;
  /** It is the disk's own bytes in order, and nothing else: its hash is the disk's. */
  readonly isDisk?: boolean;
  /** Its bytes: structures made in memory, and the disk's own where they lie. */
  readonly source: Source;
}

export interface WriteOptions {
  /** Which of the writer's variants; the first where nothing is said. */
  readonly variant: string;
  /** Name of the file without directories, for formats that name their own parts. */
  readonly name: string;
  /** The same without its ending: what suffixes are put behind. */
  readonly stem: string;
  /** What the disk holds, in units of the writer's `unit`. */
  readonly occupied: Occupied;
}

/** How a disk is written as one format. */
export interface Writer {
  /** Names of the variants: 'sparse', 'flat'. */
  readonly variants: readonly string[];
  /** File endings by which a person asks for it, with the dot. */
  readonly endings: readonly string[];
  /** Bytes that are written together or not at all. */
  unit(variant: string, diskBytes: number): number;
  /** Throws RangeError with a sentence where the format cannot hold the disk. */
  plan(disk: Source, options: WriteOptions): readonly WrittenFile[];
}
