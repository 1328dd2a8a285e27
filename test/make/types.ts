/** What every maker hands over: lazily written images and the exact truth about them. */

/** One stretch of bytes to write: into the image with index `member`, at `at` bytes from its start. */
export interface Write {
  member: number;
  at: number;
  bytes: Uint8Array;
}

/** A made store. `writes()` may be called again and gives the same bytes each time. */
export interface Made {
  name: string;
  members: { size: number }[];
  writes(): Iterable<Write>;
  truth: Truth;
}

/** Logical bytes that can be made again at any position. */
export interface Content {
  readonly size: number;
  read(offset: number, length: number): Uint8Array;
}

/** A structure that was written, by its place in an image. */
export interface Structure {
  name: string;
  member: number;
  at: number;
  length: number;
}

export interface TruthMember {
  partitionStart: number;
  partitionBytes: number;
  firstPE: number;
  pes: number;
}

export type FileKind = 'file' | 'directory' | 'symlink' | 'rdm' | 'system';
export type Allocation = 'inline' | 'sub-block' | 'direct' | 'indirect' | 'double' | 'none';

/** Where a stretch of a file lies. Only `data` and `tbz` have a place in an image. */
export interface TruthExtent {
  offset: number;
  length: number;
  kind: 'data' | 'hole' | 'tbz';
  member?: number;
  at?: number;
}

export interface TruthFile {
  /** '/web01/web01.vmx'; bytes that are not UTF-8 show as U+FFFD here and exactly in `rawName`. */
  path: string;
  kind: FileKind;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  ctime: number;
  atime: number;
  fdAddress: number;
  generation: number;
  allocation: Allocation;
  /** Last component as bytes, only where it is not valid UTF-8. */
  rawName?: Uint8Array;
  target?: string;
  /** Only where size is at most 64 MiB, for files and symbolic links. */
  sha256?: string;
  content?: Content;
  /** Tile [0, size) in file order; none for raw device mappings, which hold no bytes. */
  extents: TruthExtent[];
}

export interface Truth {
  version: 3 | 5 | 6;
  label: string;
  lvUuid: string;
  fsUuid: string;
  blockSize: number;
  volumeSize: number;
  members: TruthMember[];
  structures: Structure[];
  files: TruthFile[];
}
