/** Mending: what a folder of files lacks, and the texts that can stand in for it. */
import type { Facts } from './node.ts';
import type { Certainty } from './run.ts';
import type { Source } from './source.ts';

/** A file of the folder that is looked at. */
export interface Piece {
  /** Raw bytes of the name it had, without an ending that an encryptor put behind all names. */
  readonly rawName: string;
  /** Raw bytes of the name it has there. */
  readonly file: string;
  readonly facts: Facts;
  source(): Promise<Source | undefined>;
}

/** One line of a regenerated text: how sure it is and what it was made from. */
export interface MendedLine {
  readonly text: string;
  readonly certainty: Certainty;
  /** A file's name, or what was assumed where nothing is left that says it. */
  readonly from: string;
}

/** A text that stands in for one that is lost or unusable. */
export interface Mended {
  /** Raw bytes of the name it should get; free in its folder. */
  readonly rawName: string;
  /** The unusable file whose place it takes, where there is one. */
  readonly replaces?: string;
  /** What is wrong, in a sentence. */
  readonly lacks: string;
  readonly lines: readonly MendedLine[];
  /** What a person should look at before relying on it. */
  readonly notes: readonly string[];
  /** Names of the files that it is of no use without, as they are there. */
  readonly uses: readonly string[];
}

/** A folder as menders see it. */
export interface Folder {
  readonly rawName: string;
  /** By the names they had; what other menders made before is among them. */
  readonly pieces: ReadonlyMap<string, Piece>;
  /** What other menders made before. */
  readonly mended: readonly Mended[];
  /** A name that is free: the wanted one, or one that says `.regenerated`; the same each time. */
  free(rawName: string): string;
}

/** How a format's texts are made anew. */
export interface Mender {
  /** Names of files that it wants to see, beside all large ones. */
  readonly pieces: RegExp;
  mend(folder: Folder): Promise<readonly Mended[]>;
}
