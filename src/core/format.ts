/** Formats: how one on-disk structure is recognised and opened. */
import type { Damage } from './damage.ts';
import type { Finder, Found } from './finder.ts';
import type { Laid } from './laid.ts';
import type { Mender } from './mend.ts';
import type { Node } from './node.ts';
import type { Source } from './source.ts';

export type Layer = 'disk' | 'volume' | 'filesystem' | 'file' | 'machine';

export interface Format {
  /** Its name in locators. */
  readonly id: string;
  readonly layer: Layer;
  readonly title: string;
  /** Where its facts come from. */
  readonly spec: string;
  /** What it cannot do, in sentences; the documents are made from these. */
  readonly gaps: readonly string[];
  /** Endings of file names worth a look inside, for files in a directory: '.vmdk'. */
  readonly names?: readonly string[];
  /** Endings of names that promise this format, so that it is looked for also where something else stands at the start. */
  readonly beneath?: readonly string[];
  /** Structures at places that are known before anything is opened, for who names the bytes of a disk. */
  readonly laid?: readonly Laid[];
  /** Asked only where no other format knows these bytes: it reads more than a few sectors to find out. */
  readonly lastResort?: true;
  /** 0: no; up to 100: how sure it is that `source` is one of these. Reads little, changes nothing. */
  probe(source: Source, cx: Cx): Promise<number>;
  /** Opens what is there, with damage where it departs from what should be. Throws only NotThis. */
  open(source: Source, cx: Cx): Promise<Node>;
  /** How its pieces are recognised anywhere, for scans. */
  readonly find?: Finder;
  /** A name shared by all sources that are parts of one thing, or undefined where the thing is whole. */
  identity?(source: Source): Promise<string | undefined>;
  /** How lost texts of this format are made anew from what lies in a folder. */
  readonly mender?: Mender;
}

/** What a format asks for beside its own bytes: by file name, by the identity of what it is a part of, or by size. */
export interface Reference {
  readonly name?: string;
  readonly identity?: string;
  /** Evidence of so many bytes that was given: disks of one array are alike in nothing else. */
  readonly size?: number;
}

export interface Candidate {
  readonly source: Source;
  readonly locator: string;
  /** It was not given, but lies beside what was. */
  readonly isBeside?: boolean;
}

/** All a format may touch: no files, no network, no clock, no log. */
export interface Cx {
  /** Locator of the bytes that are being opened. */
  readonly source: string;
  /** Locator that the opened node gets. */
  readonly self: string;
  readonly signal: AbortSignal;
  /** What scans found on evidence. */
  readonly found?: Found;
  /** Another format is surer of these bytes than a search for what is left of one could be: a probe makes none then. */
  readonly isKnown?: boolean;
  /** A damage at `at` bytes from the start of the source. */
  damage(at: number, code: string, expected: string, actual: string, effect: string): Damage;
  /** What else there is that could belong here, best first. */
  siblings(reference: Reference): Promise<Candidate[]>;
}
