/** On-disk structures of ext2, ext3 and ext4, little-endian. Sources: the kernel's ext4 documentation; guestfs.md part B. */
import { bytes, struct, text, u16, u32 } from '../../../core/struct.ts';

export const SUPER_AT = 1024;
export const SUPER_BYTES = 1024;
const MAGIC = 0xef53;

/** Feature bits that change how structures are read. */
export const COMPAT_JOURNAL = 0x4;
export const COMPAT_SPARSE_SUPER2 = 0x200;
export const INCOMPAT_RECOVER = 0x4;
export const INCOMPAT_JOURNAL_DEVICE = 0x8;
export const INCOMPAT_META_BG = 0x10;
export const INCOMPAT_EXTENTS = 0x40;
export const INCOMPAT_64BIT = 0x80;
export const INCOMPAT_CSUM_SEED = 0x2000;
export const RO_SPARSE_SUPER = 0x1;
export const RO_HUGE_FILE = 0x8;
export const RO_GDT_CSUM = 0x10;
export const RO_BIGALLOC = 0x200;
export const RO_METADATA_CSUM = 0x400;

export const STATE_CLEAN = 1;
export const STATE_ERRORS = 2;

export const superBlock = struct('ext superblock', SUPER_BYTES, {
  inodes: u32(0x00, { min: 1 }),
  blocks: u32(0x04),
  freeBlocks: u32(0x0c),
  firstBlock: u32(0x14, { max: 1 }),
  blockShift: u32(0x18, { max: 6 }),
  clusterShift: u32(0x1c),
  blocksPerGroup: u32(0x20, { min: 64, max: 2 ** 31 }),
  clustersPerGroup: u32(0x24),
  inodesPerGroup: u32(0x28, { min: 1, max: 524_288 }),
  mounted: u32(0x2c),
  written: u32(0x30),
  magic: u16(0x38, { oneOf: [MAGIC] }),
  state: u16(0x3a),
  revision: u32(0x4c, { max: 1 }),
  firstInode: u32(0x54),
  inodeSize: u16(0x58),
  groupOfCopy: u16(0x5a),
  compat: u32(0x5c),
  incompat: u32(0x60),
  roCompat: u32(0x64),
  uuid: bytes(0x68, 16),
  label: text(0x78, 16),
  lastMounted: text(0x88, 64),
  reservedGdt: u16(0xce),
  journalInode: u32(0xe0),
  lastOrphan: u32(0xe8),
  descriptorSize: u16(0xfe),
  firstMetaGroup: u32(0x104),
  made: u32(0x108),
  journalBackup: bytes(0x10c, 68),
  blocksHigh: u32(0x150),
  copies: bytes(0x24c, 8),
  projectQuotas: u32(0x26c),
  checksumSeed: u32(0x270),
  orphanFile: u32(0x280),
  checksum: u32(0x3fc),
});
export type SuperBlock = ReturnType<typeof superBlock.decode>;

/** The 32 bytes that every group descriptor has. */
export const groupDescriptor = struct('ext group descriptor', 32, {
  blockBitmap: u32(0x00),
  inodeBitmap: u32(0x04),
  inodeTable: u32(0x08),
  flags: u16(0x12),
  unused: u16(0x1c),
  checksum: u16(0x1e),
});
/** What follows in descriptors of 64 bytes, from the start of the descriptor. */
export const wideDescriptor = struct('ext group descriptor, 64 bytes', 64, {
  blockBitmapHigh: u32(0x20),
  inodeBitmapHigh: u32(0x24),
  inodeTableHigh: u32(0x28),
  unusedHigh: u16(0x32),
});
export const INODE_UNINIT = 1;
export const BLOCK_UNINIT = 2;
export const INODES_ZEROED = 4;

export const inodeStruct = struct('ext inode', 128, {
  mode: u16(0x00),
  uid: u16(0x02),
  size: u32(0x04),
  accessed: u32(0x08),
  changed: u32(0x0c),
  modified: u32(0x10),
  deleted: u32(0x14),
  gid: u16(0x18),
  links: u16(0x1a),
  sectors: u32(0x1c),
  flags: u32(0x20),
  map: bytes(0x28, 60),
  generation: u32(0x64),
  acl: u32(0x68),
  sizeHigh: u32(0x6c),
  sectorsHigh: u16(0x74),
  aclHigh: u16(0x76),
  uidHigh: u16(0x78),
  gidHigh: u16(0x7a),
  checksum: u16(0x7c),
});
/** The part of an inode behind its 128 bytes, as far as `extraSize` says that it is there. */
export const inodeExtra = struct('ext inode, behind 128 bytes', 32, {
  extraSize: u16(0x00),
  checksumHigh: u16(0x02),
  changedExtra: u32(0x04),
  modifiedExtra: u32(0x08),
  accessedExtra: u32(0x0c),
  made: u32(0x10),
  madeExtra: u32(0x14),
});
export const INODE_BASE = 128;
export const MAP_AT = 0x28;
export const MAP_BYTES = 60;
export const FLAG_ENCRYPTED = 0x800;
export const FLAG_HUGE_FILE = 0x40000;
export const FLAG_EXTENTS = 0x80000;
export const FLAG_EA_INODE = 0x200000;
export const FLAG_INLINE_DATA = 0x10000000;

export const ROOT_INODE = 2;

export const extentHeader = struct('ext extent header', 12, {
  magic: u16(0x00),
  entries: u16(0x02),
  max: u16(0x04),
  depth: u16(0x06),
});
export const EXTENT_MAGIC = 0xf30a;
export const EXTENT_BYTES = 12;
/** Lengths above this are of extents that were set aside and never written. */
export const EXTENT_WRITTEN = 32768;
export const MAX_EXTENT_DEPTH = 5;

/** Groups of the largest file system that is opened: 2 PiB with blocks of 4 KiB. */
export const MAX_GROUPS = 2 ** 24;
