/** The numbers that tell VMFS3, VMFS5 and VMFS6 apart. Source: vmfs.md sections 0, 2.2 and 3. */
import { DENSE_SUB_BLOCKS, type FsHeader, HEARTBEATS_AT } from './structs.ts';

const MIB = 1024 * 1024;
const LARGE_BLOCK = 512 * MIB;

export interface Geometry {
  readonly version: 3 | 5 | 6;
  /** Bytes of a file block; the small file block on VMFS6. */
  readonly blockSize: number;
  readonly subBlockSize: number;
  /** Bytes of a large file block (VMFS6). */
  readonly largeBlock: number;
  /** Small file blocks of one cluster, which is one large file block (VMFS6). */
  readonly blocksPerCluster: number;
  /** Bytes of one lock: 512, or the metadata alignment on VMFS6. */
  readonly lockBytes: number;
  /** Bytes of a resource cluster's header: its lock and its metadata. */
  readonly clusterHeaderBytes: number;
  readonly fdBytes: number;
  /** Where in a file descriptor its inline data starts, and how much fits. */
  readonly inlineAt: number;
  readonly inlineBytes: number;
  /** Where in a file descriptor its pointers start, how many there are, and their width in u32 words. */
  readonly pointersAt: number;
  readonly pointers: number;
  readonly pointerWords: 1 | 2;
  readonly pointerBlockBytes: number;
  readonly pointersPerBlock: number;
  /** Sub-block addresses carry resource bits 5:4 (VMFS5 with the dense flag). */
  readonly dense: boolean;
  readonly clustersPerGroup: number;
  readonly groupOffset: number;
  /** Where the file-descriptor file starts, in the logical volume. */
  readonly fdcAt: number;
  readonly heartbeats: number;
}

/** Derives everything that follows from a header. Pure arithmetic: the header was checked before. */
export function geometryOf(header: FsHeader): Geometry {
  return header.major >= 24 ? geometry6(header) : geometry35(header);
}

function geometry35(header: FsHeader): Geometry {
  const { blockSize } = header;
  return {
    version: header.major >= 14 ? 5 : 3,
    blockSize,
    subBlockSize: header.subBlockSize,
    largeBlock: 0,
    blocksPerCluster: 0,
    lockBytes: 512,
    clusterHeaderBytes: 1024,
    fdBytes: 2048,
    inlineAt: 0x400,
    inlineBytes: 1024,
    pointersAt: 0x400,
    pointers: 256,
    pointerWords: 1,
    pointerBlockBytes: 4096,
    pointersPerBlock: 1024,
    dense: (header.config & DENSE_SUB_BLOCKS) !== 0,
    clustersPerGroup: header.clustersPerGroup,
    groupOffset: header.groupOffset,
    fdcAt: blockSize * Math.ceil((4 * MIB) / blockSize),
    heartbeats: 2048,
  };
}

function geometry6(header: FsHeader): Geometry {
  const { blockSize } = header;
  // Only 4096 was ever seen; anything that is no power of two in reach is taken for it.
  const legal = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536].includes(header.alignment);
  const md = legal ? header.alignment : 4096;
  const pointerBytes = md <= 4096 ? 2560 : md / 2;
  const shift = header.largeBlockShift >= 1 && header.largeBlockShift <= 16 ? header.largeBlockShift : 9;
  const largeBlock = Math.min(blockSize * 2 ** shift, LARGE_BLOCK * 16);
  const pointerBlockBytes = header.pointerBlockShift === 0 ? 65536 : 2 ** Math.min(20, header.pointerBlockShift);
  return {
    version: 6,
    blockSize,
    subBlockSize: header.subBlockSize,
    largeBlock,
    blocksPerCluster: Math.min(8192, largeBlock / blockSize),
    lockBytes: md,
    clusterHeaderBytes: 2 * md,
    fdBytes: 2 * md,
    inlineAt: md + 0x200,
    inlineBytes: md - 0x200,
    pointersAt: 2 * md - pointerBytes,
    pointers: pointerBytes / 8,
    pointerWords: 2,
    pointerBlockBytes,
    pointersPerBlock: pointerBlockBytes / 8,
    dense: true,
    clustersPerGroup: header.clustersPerGroup,
    groupOffset: header.groupOffset,
    fdcAt: Math.ceil((HEARTBEATS_AT + 1024 * md) / MIB) * MIB,
    heartbeats: 1024,
  };
}
