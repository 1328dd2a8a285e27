/** Structures of btrfs, little endian. Source: guestfs.md part E. */
import { bytes, struct, text, u8, u16, u32, u64 } from '../../../core/struct.ts';

export const MAGIC = '_BHRfS_M';
/** Bytes of each superblock, and where they stand on every device. */
export const SUPER_BYTES = 4096;
export const SUPER_PLACES: readonly number[] = [0x10000, 0x4000000, 0x4000000000];
/** Bytes that a checksum has room for, in front of what it is of. */
export const SUM_BYTES = 32;

export const superBlock = struct('btrfs superblock', SUPER_BYTES, {
  sum: bytes(0x00, 32),
  fsid: bytes(0x20, 16),
  place: u64(0x30),
  flags: bytes(0x38, 8),
  magic: text(0x40, 8),
  generation: u64(0x48, { min: 1 }),
  root: u64(0x50),
  chunkRoot: u64(0x58),
  logRoot: u64(0x60),
  totalBytes: u64(0x70),
  usedBytes: u64(0x78),
  rootDirectory: u64(0x80),
  devices: u64(0x88, { min: 1, max: 65_535 }),
  sectorSize: u32(0x90, { oneOf: [4096, 8192, 16_384, 32_768, 65_536, 2048, 1024, 512] }),
  nodeSize: u32(0x94, { oneOf: [4096, 8192, 16_384, 32_768, 65_536] }),
  arraySize: u32(0xa0, { max: 2048 }),
  chunkGeneration: u64(0xa4),
  incompatible: u32(0xbc),
  incompatibleHigh: u32(0xc0),
  sumType: u16(0xc4, { max: 3 }),
  rootLevel: u8(0xc6, { max: 7 }),
  chunkLevel: u8(0xc7, { max: 7 }),
  logLevel: u8(0xc8),
  deviceId: u64(0xc9),
  deviceBytes: u64(0xd1),
  deviceUuid: bytes(0xc9 + 66, 16),
  label: text(0x12b, 256),
  metadataUuid: bytes(0x23b, 16),
  array: bytes(0x32b, 2048),
});

export const METADATA_UUID = 0x400;
/** Mixed groups, compression, big metadata, extended references, RAID 5 and 6, and so on: all that change nothing here. */
export const KNOWN_FEATURES: number = 0x11fff;

export const nodeHeader = struct('btrfs node', 101, {
  fsid: bytes(0x20, 16),
  place: u64(0x30),
  generation: u64(0x50),
  owner: u64(0x58),
  items: u32(0x60),
  level: u8(0x64, { max: 7 }),
});
/** A key with where its item lies, in leaves; with a node and its generation, above. */
export const LEAF_ENTRY = 25;
export const BRANCH_ENTRY = 33;
export const KEY_BYTES = 17;

export const chunkItem = struct('btrfs chunk', 48, {
  length: u64(0x00, { min: 1 }),
  stripeBytes: u64(0x10, { min: 512, max: 2 ** 30 }),
  type: u64(0x18),
  stripes: u16(0x2c, { min: 1, max: 1024 }),
  subStripes: u16(0x2e),
});
export const STRIPE_BYTES = 32;
export const chunkStripe = struct('btrfs stripe', STRIPE_BYTES, {
  device: u64(0),
  offset: u64(8),
  uuid: bytes(16, 16),
});

export const inodeItem = struct('btrfs inode', 160, {
  generation: u64(0),
  changedIn: u64(8),
  size: u64(16),
  bytes: u64(24),
  links: u32(40),
  uid: u32(44),
  gid: u32(48),
  mode: u32(52),
  flags: u32(64),
  accessed: u32(112),
  accessedHigh: u32(116),
  accessedNs: u32(120),
  changed: u32(124),
  changedHigh: u32(128),
  changedNs: u32(132),
  modified: u32(136),
  modifiedHigh: u32(140),
  modifiedNs: u32(144),
  made: u32(148),
  madeHigh: u32(152),
  madeNs: u32(156),
});

/** Of entries and attributes; the name stands behind, then the value. */
export const entryItem = struct('btrfs directory entry', 30, {
  objectid: u64(0),
  type: u8(8),
  dataBytes: u16(25),
  nameBytes: u16(27),
  kind: u8(29),
});

export const referenceItem = struct('btrfs inode reference', 10, { index: u64(0), nameBytes: u16(8) });
export const rootReference = struct('btrfs root reference', 18, {
  directory: u64(0),
  index: u64(8),
  nameBytes: u16(16),
});

export const extentHead = struct('btrfs file extent', 21, {
  generation: u64(0),
  ramBytes: u64(8),
  compression: u8(16),
  encryption: u8(17),
  encoding: u16(18),
  type: u8(20),
});
export const extentBody = struct('btrfs file extent on disk', 53, {
  place: u64(21),
  diskBytes: u64(29),
  offset: u64(37),
  bytes: u64(45),
});

/** Of the tree of extents; who refers to it stands behind. */
export const extentItem = struct('btrfs extent', 24, { references: u64(0), generation: u64(8), flags: u64(16) });

export const rootItem = struct('btrfs root', 239, {
  generation: u64(160),
  directory: u64(168),
  place: u64(176),
  flags: u32(208),
  references: u32(216),
  level: u8(238, { max: 7 }),
});
export const ROOT_UUIDS = 439;
export const rootUuids = struct('btrfs root with its names', ROOT_UUIDS, {
  uuid: bytes(247, 16),
  parent: bytes(263, 16),
});

export const ROOT_TREE = 1;
export const EXTENT_TREE = 2;
export const CHUNK_TREE = 3;
export const FS_TREE = 5;
export const SUM_TREE = 7;
export const FIRST_SUBVOLUME = 256;
/** The directory at the top of a subvolume. */
export const FIRST_INODE = 256;

export const INODE = 1;
export const INODE_REF = 12;
export const INODE_EXTREF = 13;
export const XATTR = 24;
export const DIR_ITEM = 84;
export const DIR_INDEX = 96;
export const FILE_EXTENT = 108;
export const DATA_SUM = 128;
export const ROOT = 132;
export const ROOT_BACKREF = 144;
export const ROOT_REF = 156;
export const EXTENT = 168;
export const METADATA_EXTENT = 169;
export const CHUNK = 228;

export const INLINE = 0;
export const REGULAR = 1;
export const PREALLOCATED = 2;
