/** Structures of XFS, big-endian throughout but for checksums. Source: guestfs.md part D. */
import { bytes, bytes8, struct, text, u8, u16, u32, u64 } from '../../../core/struct.ts';

export const SUPER_MAGIC = 0x58465342;
const AGF_MAGIC = 0x58414746;
const AGI_MAGIC = 0x58414749;
export const INODE_MAGIC = 0x494e;
/** Bytes of a structure that checksums are kept in, least significant first, unlike all else. */
export const SUPER_CRC_AT = 224;
export const AGF_CRC_AT = 216;
export const AGI_CRC_AT = 312;
export const INODE_CRC_AT = 100;

/** Versions of superblocks, in the low bits of their version. */
export const VERSION_MASK = 0x000f;
/** Version 4 says in a second word of features that directory entries have types. */
export const FEATURES2_FTYPE = 0x200;
export const INCOMPAT_FTYPE = 1;
export const INCOMPAT_META_UUID = 4;
/** Set by tools that have begun to change the volume and not ended. */
export const INCOMPAT_REPAIR = 0x10;
/** Types in entries, sparse inodes, a UUID of its own, times and counts that are wider, exchanges and parents. */
export const INCOMPAT_KNOWN = 0xff;

export const superBlock = struct(
  'XFS superblock',
  272,
  {
    magic: u32(0, { oneOf: [SUPER_MAGIC] }),
    blockSize: u32(4, { oneOf: [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] }),
    blocks: u64(8, { min: 1 }),
    realtimeBlocks: u64(16),
    uuid: bytes(32, 16),
    logAt: u64(48),
    rootInode: u64(56, { min: 1 }),
    bitmapInode: bytes8(64),
    summaryInode: bytes8(72),
    agBlocks: u32(84, { min: 64 }),
    agCount: u32(88, { min: 1, max: 2 ** 20 }),
    logBlocks: u32(96),
    version: u16(100),
    sectorSize: u16(102, { oneOf: [512, 1024, 2048, 4096, 8192, 16384, 32768] }),
    inodeSize: u16(104, { oneOf: [256, 512, 1024, 2048] }),
    inodesPerBlock: u16(106, { min: 1 }),
    label: text(108, 12),
    blockLog: u8(120, { min: 9, max: 16 }),
    inodeLog: u8(122, { min: 8, max: 11 }),
    inodesPerBlockLog: u8(123, { max: 8 }),
    agBlockLog: u8(124, { min: 6, max: 31 }),
    inProgress: u8(126),
    inodeCount: u64(128),
    inodesFree: u64(136),
    blocksFree: u64(144),
    userQuotas: bytes8(160),
    groupQuotas: bytes8(168),
    directoryBlockLog: u8(192, { max: 7 }),
    features2: u32(200),
    roCompat: u32(212),
    incompat: u32(216),
    projectQuotas: bytes8(232),
    metaUuid: bytes(248, 16),
  },
  'big',
);

export const agFree = struct(
  'XFS AG free space header',
  224,
  {
    magic: u32(0, { oneOf: [AGF_MAGIC] }),
    version: u32(4),
    number: u32(8),
    length: u32(12),
    byBlockRoot: u32(16),
    byBlockLevels: u32(28, { min: 1, max: 12 }),
    listFirst: u32(40),
    listLast: u32(44),
    listCount: u32(48),
    blocksFree: u32(52),
    uuid: bytes(64, 16),
  },
  'big',
);

export const agInodes = struct(
  'XFS AG inode header',
  344,
  {
    magic: u32(0, { oneOf: [AGI_MAGIC] }),
    number: u32(8),
    length: u32(12),
    count: u32(16),
    root: u32(20),
    levels: u32(24, { min: 1, max: 12 }),
    uuid: bytes(296, 16),
  },
  'big',
);

/** Both forms; what only version 3 has is read from inodes of that version. */
export const inodeCore = struct(
  'XFS inode',
  176,
  {
    magic: u16(0, { oneOf: [INODE_MAGIC] }),
    mode: u16(2),
    version: u8(4, { min: 1, max: 3 }),
    format: u8(5, { max: 5 }),
    oldLinks: u16(6),
    uid: u32(8),
    gid: u32(12),
    links: u32(16),
    bigExtents: u64(24),
    accessed: bytes8(32),
    modified: bytes8(40),
    changed: bytes8(48),
    size: u64(56),
    blocks: u64(64),
    extents: u32(76),
    forkOffset: u8(82),
    attributeFormat: u8(83),
    flags: u16(90),
    generation: u32(92),
    lsn: bytes8(112),
    flags2: bytes8(120),
    made: bytes8(144),
    number: u64(152),
    uuid: bytes(160, 16),
  },
  'big',
);
export const CORE_BYTES: Readonly<Record<number, number>> = { 1: 100, 2: 100, 3: 176 };
export const FLAG_REALTIME = 1;
/** In the low half of `flags2`. */
export const FLAG2_BIGTIME = 8;
export const FLAG2_NREXT64 = 16;

/** Forms of a fork. */
export const FORM_LOCAL = 1;
export const FORM_EXTENTS = 2;
export const FORM_BTREE = 3;

/** Trees whose pointers are blocks of one AG: free space and inodes. */
export const shortBlock = struct(
  'XFS short btree block',
  16,
  { magic: u32(0), level: u16(4, { max: 12 }), records: u16(6), left: u32(8), right: u32(12) },
  'big',
);
export const SHORT_BYTES = { old: 16, checked: 56 };
export const SHORT_CRC_AT = 52;
/** ABTB, AB3B; IABT, IAB3. */
export const FREE_MAGIC = { old: 0x41425442, checked: 0x41423342 };
export const INODES_MAGIC = { old: 0x49414254, checked: 0x49414233 };

/** Trees of extents. */
export const longBlock = struct(
  'XFS long btree block',
  72,
  { magic: u32(0), level: u16(4, { max: 12 }), records: u16(6), place: u64(24), owner: u64(56), crc: bytes(64, 4) },
  'big',
);
export const LONG_BYTES = { old: 24, checked: 72 };
export const LONG_CRC_AT = 64;
/** BMAP, BMA3. */
export const MAP_MAGIC = { old: 0x424d4150, checked: 0x424d4133 };

/** Blocks of directories: XD2B XDB3 with their own index, XD2D XDD3 without. */
export const DIRECTORY_MAGICS = { blockOld: 0x58443242, block: 0x58444233, dataOld: 0x58443244, data: 0x58444433 };
export const DIRECTORY_CRC_AT = 4;
export const directoryBlock = struct(
  'XFS directory block',
  64,
  { magic: u32(0), place: u64(8), uuid: bytes(24, 16), owner: u64(40) },
  'big',
);
/** Directories keep their index from here on; entries lie below. */
export const INDEX_AT: number = 2 ** 35;

/** XSLM: what a link says that does not fit into its inode. */
export const LINK_MAGIC = 0x58534c4d;
export const remoteLink = struct(
  'XFS remote link',
  56,
  { magic: u32(0, { oneOf: [LINK_MAGIC] }), offset: u32(4), bytes: u32(8), owner: u64(32) },
  'big',
);

/** Entries of a page of a log. */
export const LOG_MAGIC = 0xfeedbabe;
export const logRecord = struct(
  'XFS log record',
  512,
  {
    magic: u32(0, { oneOf: [LOG_MAGIC] }),
    cycle: u32(4),
    version: u32(8, { min: 1, max: 2 }),
    length: u32(12),
    lsn: bytes8(16),
    tail: bytes8(24),
    operations: u32(40),
    cycleData: bytes(44, 256),
    format: u32(300),
    uuid: bytes(304, 16),
    size: u32(320, { max: 256 * 1024 }),
  },
  'big',
);
export const logOperation = struct(
  'XFS log operation',
  12,
  { transaction: u32(0), length: u32(4), client: u8(8), flags: u8(9) },
  'big',
);
/** Where a record keeps its sum, least significant first. */
export const LOG_CRC_AT = 32;
/** Records of machines that keep numbers least significant byte first. */
export const LOG_LITTLE = 1;
/** Flags of operations. */
export const UNMOUNTED = 0x20;
