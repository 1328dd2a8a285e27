import type { Content } from '../types.ts';

/** Forced layout choices; without one the writer picks what ESXi would by size (vmfs-writing.md 2, 3). */
export type Force =
  | 'direct' // file blocks although the file would fit a sub-block
  | 'sub-blocks' // VMFS6: several sub-blocks
  | 'indirect' // one level of pointer blocks although the FD could hold all pointers
  | 'double' // two levels although one would do
  | 'double-pb' // VMFS5: first level in .pbc.sf instead of .pb2.sf (vmfs.md 9.1)
  | 'pb2' // one level whose pointer blocks live in .pb2.sf (ZLA 5)
  | 'lfb' // VMFS6: large blocks, address repeated in all 512 slots
  | 'lfb-direct' // VMFS6: large blocks, file block size 512 MiB
  | 'cow'; // copy-on-write bit set on the data addresses

/** Which stretch of a file has what below it. Without ranges all is data. */
export interface Range {
  offset: number;
  length: number;
  kind: 'data' | 'hole' | 'tbz';
}

export interface EntrySpec {
  path: string;
  kind: 'file' | 'directory' | 'symlink' | 'rdm';
  /** Last path component as bytes, for names that are not UTF-8. */
  rawName?: Uint8Array;
  content?: Content | Uint8Array | string;
  /** Needed without content, and for raw device mappings. */
  size?: number;
  ranges?: readonly Range[];
  target?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  force?: Force;
  /** Where its file blocks start: a share of the volume, its very end, or late in a cluster so that allocation wraps (vmfs.md 8.7). */
  place?: number | 'end' | 'wrap';
}

export interface MemberSpec {
  /** Physical extents of 256 MiB. */
  pes: number;
  wrap?: 'bare' | 'mbr' | 'gpt';
  startSector?: number;
}

export interface StoreSpec {
  name?: string;
  seed: number;
  label?: string;
  /** VMFS3 and upgraded VMFS5 only: 1, 2, 4 or 8 MiB. */
  blockSize?: number;
  /** VMFS5 14.61, upgraded from VMFS3: 64 KiB sub-blocks. */
  upgraded?: boolean;
  members: readonly MemberSpec[];
  entries: readonly EntrySpec[];
  allocation?: 'sequential' | 'interleaved';
  /** Seconds since 1970 at which the volume was formatted. */
  time?: number;
  /** Leaves the heartbeat in use, as an image taken from a running host. */
  mounted?: boolean;
  /** At least so many sub-blocks in .sbc.sf; above 5,000 VMFS6 maps it through .pb2.sf as real volumes do. */
  subBlocks?: number;
  /** At least so many file descriptors. */
  descriptors?: number;
}
