import type { StoreSpec } from './spec.ts';

export const MIB = 0x100000;
export const PE = 0x10000000; // physical extent, 256 MiB (vmfs.md 1.4)
export const G0 = 0x10000; // cluster-group offset in every resource file (vmfs.md 6.1)
export const LFB = 0x20000000; // large file block of VMFS6, 512 MiB (vmfs.md 3)

/** One resource file's constants: resources per cluster, clusters per group, resource size. */
export interface Geometry {
  perCluster: number;
  perGroup: number;
  size: number;
}

/** Everything that differs between the versions, as numbers (vmfs.md 0, 6.1; vmfs-writing.md 2, 3). */
export interface Shape {
  version: 3 | 5 | 6;
  /** Unit in which metadata is aligned: 512, or `md` on VMFS6. */
  md: number;
  /** Bytes of a cluster header: lock block and metadata block. */
  header: number;
  fdSize: number;
  /** Pointer width, number of them in an FD, and where they start. */
  pointer: number;
  fdPointers: number;
  pointersAt: number;
  inlineAt: number;
  inlineLimit: number;
  /** Entries of a pointer block. */
  tableEntries: number;
  blockSize: number;
  subBlock: number;
  /** First byte of .fdc.sf in the volume. */
  fdcStart: number;
  fbPerCluster: number;
  fdc: Geometry;
  sbc: Geometry;
  pbc: Geometry;
  pb2: Geometry;
  /** Sub-block resource numbers use bits 4:3 of the address too (FSD config 0x04). */
  dense: boolean;
}

function shape35(spec: StoreSpec, version: 3 | 5): Shape {
  const old = version === 3 || spec.upgraded === true;
  const blockSize = spec.blockSize ?? MIB;
  if (!old && blockSize !== MIB) throw new Error('a fresh VMFS5 has 1 MiB blocks');
  const perGroup = version === 3 ? 32 : 64;
  const subBlock = old ? 0x10000 : 0x2000;
  return {
    version,
    md: 512,
    header: 1024,
    fdSize: 2048,
    pointer: 4,
    fdPointers: 256,
    pointersAt: 0x400,
    inlineAt: 0x400,
    inlineLimit: version === 3 ? 0 : 1024,
    tableEntries: 1024,
    blockSize,
    subBlock,
    fdcStart: blockSize * Math.ceil(0x400000 / blockSize),
    fbPerCluster: 200,
    fdc: { perCluster: 32, perGroup, size: 2048 },
    sbc: { perCluster: old ? 16 : 32, perGroup, size: subBlock },
    pbc: { perCluster: 16, perGroup, size: 4096 },
    pb2: { perCluster: 16, perGroup, size: 4096 },
    dense: !old,
  };
}

/** The constants for a store; `md` of VMFS6 is 4096, the only value seen. */
export function shapeOf(spec: StoreSpec, version: 3 | 5 | 6): Shape {
  if (version !== 6) return shape35(spec, version);
  const md = 4096;
  return {
    version,
    md,
    header: 2 * md,
    fdSize: 2 * md,
    pointer: 8,
    fdPointers: 320,
    pointersAt: 0x1600,
    inlineAt: 0x1200,
    inlineLimit: md - 512,
    tableEntries: 8192,
    blockSize: MIB,
    subBlock: 0x10000,
    fdcStart: 7 * MIB,
    fbPerCluster: 512,
    fdc: { perCluster: 256, perGroup: 8, size: 2 * md },
    sbc: { perCluster: 256, perGroup: 8, size: 0x10000 },
    pbc: { perCluster: 0, perGroup: 8, size: 0x10000 },
    pb2: { perCluster: 32, perGroup: 8, size: 0x10000 },
    dense: true,
  };
}

/** Volumes of up to 4,096 blocks (4 GiB) get one group of each resource and all their cluster headers. */
export function isSmall(shape: Shape, volume: number): boolean {
  return volume / shape.blockSize <= 4096;
}
