/** What a recovery is asked for, and what it says on the way. */
import type { Node } from '../core/node.ts';
import type { CarvedName } from '../stack/residue.ts';
import type { Fill } from './jobs.ts';

export interface RecoverOptions {
  /** Directory that is written to; made if it is not there. */
  readonly out: string;
  /** Only this file, directory, file system or disk; a node of the stack that is recovered from. */
  readonly from?: Node;
  /** The files inside the disks, not the disks. */
  readonly guests?: boolean;
  /** Only this machine: its display name, or the name of its configuration. Cases of letters do not count. */
  readonly vm?: string;
  /** Globs on the path inside the volume; one without '/' matches base names. A directory stands for all in it. */
  readonly paths?: readonly string[];
  /** Only these: directories with all that is in them, and single files, by locator. Not together with `vm`. */
  readonly locators?: readonly string[];
  /** What stands in gaps: zeros that are written, a pattern that can be recognised, or a hole. */
  readonly fill: Fill;
  /** SHA-256 for files of every size; files up to 64 MiB always get one. */
  readonly sha256: boolean;
  /** Symbolic links as files that hold their text, or as links where these stay inside `out`. */
  readonly symlinks: 'text' | 'links';
  /** Also the file system's own files. */
  readonly system: boolean;
  /** Also what was deleted or lost its directory, as +deleted and +orphan. */
  readonly deep?: boolean;
  /** Also files that are known by their content alone, in the directory that looks so far. */
  readonly carve?: CarvedName;
  /** Also descriptors and configurations that machines lack, made anew beside what was recovered; true if absent. */
  readonly mend?: boolean;
  /** As it was typed, for the journal. */
  readonly command: readonly string[];
  readonly signal: AbortSignal;
  /** Called before anything is written; what it throws stops the run. */
  onEstimate?(estimate: Estimate): void | Promise<void>;
  /** Called at most ten times a second. */
  onProgress?(progress: Progress): void;
}

/** What is there of one machine's disks and their parts. */
export interface Availability {
  readonly machine: string;
  /** Bytes of all files that it consists of, and how many of them are known to be missing. */
  readonly bytes: number;
  readonly missing: number;
  /** Files that are named and not there. */
  readonly absent: readonly string[];
}

/** Sizes in bytes. */
export interface Estimate {
  readonly files: number;
  readonly directories: number;
  /** Sum of the sizes of all files. */
  readonly bytes: number;
  /** What the files will take on the disk: holes are not written. */
  readonly bytesOnDisk: number;
  /** What is known to be missing before reading. */
  readonly gapsBytes: number;
  readonly machines: readonly string[];
  /** Of each machine that is not whole, what its disks have and lack, before anything is copied. */
  readonly availability: readonly Availability[];
  readonly freeBytes: number;
  /** What a run before this one has on the disk already. */
  readonly presentBytes: number;
}

export interface Progress {
  readonly phase: 'plan' | 'copy' | 'check' | 'finish';
  /** Relative to the directory. */
  readonly file: string;
  /** Bytes done and to do, holes not counted. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly lostBytes: number;
  readonly filesDone: number;
  readonly filesTotal: number;
  readonly bytesPerSecond: number;
}
