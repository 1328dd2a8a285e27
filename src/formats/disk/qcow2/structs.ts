/** Where QCOW2 keeps what, as tables. All integers are big-endian. Source: qcow2.md sections 2, 5 and 6. */
import { bytes, struct, u8, u16, u32, u64 } from '../../../core/struct.ts';

/** "QFI\xfb" */
export const MAGIC = 0x514649fb;
export const MIN_CLUSTER_BITS = 9;
export const MAX_CLUSTER_BITS = 21;
/** Entries of an L1 table: 32 MiB of them. */
export const MAX_L1_ENTRIES: number = 4 * 1024 * 1024;
/** Bytes of a refcount table. */
export const MAX_REFCOUNT_TABLE: number = 8 * 1024 * 1024;
export const MAX_SNAPSHOTS = 65_536;
/** Bytes of the snapshot table, and of the bitmap directory, that are read. */
export const MAX_LIST: number = 16 * 1024 * 1024;
/** Bytes of a disk; more cannot be mapped by any L1 table. */
export const MAX_SIZE: number = 2 ** 52;

/** Fields up to 72 are those of version 2; the rest is version 3. */
export const header = struct(
  'QCOW2 header',
  112,
  {
    magic: u32(0, { oneOf: [MAGIC] }),
    version: u32(4, { oneOf: [2, 3] }),
    backingAt: u64(8),
    backingLength: u32(16, { max: 1023 }),
    clusterBits: u32(20, { min: MIN_CLUSTER_BITS, max: MAX_CLUSTER_BITS }),
    size: u64(24, { max: MAX_SIZE }),
    crypt: u32(32, { max: 2 }),
    l1Entries: u32(36, { max: MAX_L1_ENTRIES }),
    l1At: u64(40),
    refcountTableAt: u64(48),
    refcountTableClusters: u32(56),
    snapshotCount: u32(60, { max: MAX_SNAPSHOTS }),
    snapshotsAt: u64(64),
    incompatibleHigh: u32(72),
    incompatible: u32(76),
    compatibleHigh: u32(80),
    compatible: u32(84),
    autoclearHigh: u32(88),
    autoclear: u32(92),
    refcountOrder: u32(96),
    headerLength: u32(100),
    compression: u8(104),
    padding: bytes(105, 7),
  },
  'big',
);
export const V2_LENGTH = 72;

export const INCOMPATIBLE = { dirty: 1, corrupt: 2, dataFile: 4, compression: 8, extendedL2: 16 } as const;
export const KNOWN_INCOMPATIBLE = 31;
export const LAZY_REFCOUNTS = 1;
export const AUTOCLEAR = { bitmaps: 1, rawData: 2 } as const;

export const extension = struct('QCOW2 header extension', 8, { type: u32(0), length: u32(4) }, 'big');
export const EXTENSIONS = {
  end: 0,
  backingFormat: 0xe2792aca,
  features: 0x6803f857,
  bitmaps: 0x23852875,
  luks: 0x0537be77,
  dataFile: 0x44415441,
} as const;

export const snapshotEntry = struct(
  'QCOW2 snapshot',
  40,
  {
    l1At: u64(0),
    l1Entries: u32(8, { max: MAX_L1_ENTRIES }),
    idLength: u16(12),
    nameLength: u16(14),
    seconds: u32(16),
    nanoseconds: u32(20),
    stateSize: u32(32),
    extraLength: u32(36, { max: 1024 }),
  },
  'big',
);
/** What follows a snapshot's fixed part where `extraLength` says so. */
export const snapshotExtra = struct('QCOW2 snapshot extra data', 16, { stateSize: u64(0), diskSize: u64(8) }, 'big');

export const bitmapsHeader = struct('QCOW2 bitmaps extension', 24, { count: u32(0), size: u64(8), at: u64(16) }, 'big');
export const bitmapEntry = struct(
  'QCOW2 bitmap directory entry',
  24,
  {
    tableAt: u64(0),
    tableEntries: u32(8),
    flags: u32(12),
    type: u8(16),
    granularityBits: u8(17),
    nameLength: u16(18),
    extraLength: u32(20),
  },
  'big',
);
export const pointer = struct('QCOW2 pointer and length', 16, { at: u64(0), length: u64(8) }, 'big');
