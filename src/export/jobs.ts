/** What main and copying threads say to each other. All of it can be cloned. */
import type { Method } from '../core/packer.ts';

export type Fill = 'zero' | 'pattern' | 'skip';

/** Where the bytes of an output lie, sorted by where they go. Offsets and lengths in bytes. */
export interface Layout {
  /** [offset in the output, length, evidence descriptor, offset in the evidence] each. */
  readonly data: Float64Array;
  /** Gaps that are to be filled: [offset in the output, length] each. */
  readonly fills: Float64Array;
  /**
   * What is made from evidence: [offset in the output, length, offset in what is made, its size, how many numbers name the
   * codec, these, how many inputs, for each of them evidence descriptor, offset and length].
   */
  readonly made: Float64Array;
}

/** One chunk of a large output that main holds open. */
export interface ChunkJob {
  readonly kind: 'chunk';
  readonly fd: number;
  readonly at: number;
  readonly length: number;
  readonly layout: Layout;
  readonly fill: Fill;
  /** The output may hold something there already: from a run before this one. */
  readonly before: boolean;
  /** The leaf that run noted; if the bytes there still have it, they stay. */
  readonly expect?: Uint8Array;
}

/** A file of up to WHOLE_FILE bytes that is not there yet: read, hashed, written, named by one thread. */
export interface WholeFile {
  readonly part: string;
  readonly path: string;
  readonly size: number;
  readonly mode: number;
  /** Seconds since 1970; undefined leaves the time of writing. */
  readonly modified?: number | undefined;
  /** How many numbers of the job's layout are this file's. */
  readonly data: number;
  readonly fills: number;
}

export interface FilesJob {
  readonly kind: 'files';
  readonly fill: Fill;
  readonly files: readonly WholeFile[];
  /** The layouts of all files, one after the other: two arrays are cloned faster than thousands. */
  readonly layout: Layout;
}

/** The leaf of a chunk of an open output. */
export interface LeafJob {
  readonly kind: 'leaf';
  readonly fd: number;
  readonly at: number;
  readonly length: number;
}

/** The leaves, and SHA-256 if wanted, of a file that is there. */
export interface RehashJob {
  readonly kind: 'rehash';
  readonly path: string;
  readonly size: number;
  /** Bytes to start from, a whole number of chunks; 0 with `sha256`. */
  readonly from: number;
  readonly tree: boolean;
  readonly sha256: boolean;
}

/** A stretch of units that are compressed, each alone. */
export interface PackJob {
  readonly kind: 'pack';
  /** Where the stretch starts in what the layout describes, and its length: whole units. */
  readonly at: number;
  readonly length: number;
  readonly layout?: Layout;
  /** The bytes themselves, where main had to read them. */
  readonly bytes?: Uint8Array;
  readonly unit: number;
  readonly method: Method;
  /** Larger results are dropped, and the unit comes back plain. */
  readonly worth: number;
  /** Where results go: it is handed over with the job and comes back, so that few are ever made. */
  readonly room: Uint8Array;
}

/** A stretch of at most a chunk that is looked through for zeros. */
export interface FilledJob {
  readonly kind: 'filled';
  readonly at: number;
  readonly length: number;
  readonly layout: Layout;
  /** Bytes of which is said whether they hold anything. */
  readonly step: number;
  /** Descriptors of evidence with holes, each with the one that holes are read by. */
  readonly holes: readonly number[];
}

export type Job = ChunkJob | FilesJob | LeafJob | RehashJob | PackJob | FilledJob;

/** `leaf` is absent where evidence could not be read: main reads it again, patiently. */
export interface ChunkResult {
  readonly leaf?: Uint8Array;
  readonly kept: boolean;
}

/** Undefined where evidence could not be read; nothing is left of such a file. Texts: bytes are slow to hand over. */
export type FileResult = { readonly tree: string; readonly sha256: string } | undefined;

export interface RehashResult {
  readonly leaves: readonly Uint8Array[];
  readonly sha256?: string;
}

export interface PackResult {
  /** Units one behind the other. */
  readonly room: Uint8Array;
  /** For each unit its compressed length, -1 where it comes plain, 0 where it is zeros and not there. */
  readonly sizes: Int32Array;
}

export interface Results {
  chunk: ChunkResult;
  files: readonly FileResult[];
  leaf: Uint8Array;
  rehash: RehashResult;
  /** Undefined where evidence could not be read: main reads it again, patiently. */
  pack: PackResult | undefined;
  /** [start, end) of what holds something, from the start of the stretch; undefined as above. */
  filled: readonly number[] | undefined;
}

export interface Order {
  readonly id: number;
  readonly job: Job;
}

export interface Answer {
  readonly id: number;
  readonly result?: Results[keyof Results];
  /** A write, or a read of an output, that failed. */
  readonly error?: { readonly path?: string; readonly code?: string; readonly message: string };
}

/** Files up to this size are copied by one thread in one go, and always get a SHA-256. Bytes. */
export const WHOLE_FILE: number = 64 * 1024 * 1024;
