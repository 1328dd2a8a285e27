/** Headers of sparse extents, as the specification lays them out. Source: vmdk.md sections 3, 4 and 5. */
import { bytes, bytes8, struct, text, u8, u16, u32, u64 } from '../../../core/struct.ts';

export const SECTOR = 512;
/** Sectors of the largest disk that any host makes, 62 TiB, with room above. */
export const MAX_SECTORS: number = 2 ** 40;

/** Flags of a hosted sparse header. */
export const NEWLINE_TEST = 1;
export const REDUNDANT = 2;
export const ZEROED_GRAINS = 4;
export const COMPRESSED = 0x10000;
export const MARKERS = 0x20000;

/** Hosted sparse extent. All places and counts are sectors. */
export const sparseHeader = struct('SparseExtentHeader', SECTOR, {
  magicNumber: text(0, 4),
  version: u32(4, { min: 1, max: 3 }),
  flags: u32(8),
  capacity: u64(12, { min: 1, max: MAX_SECTORS }),
  grainSize: u64(20, { oneOf: [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096] }),
  descriptorOffset: u64(28),
  descriptorSize: u64(36),
  numGTEsPerGT: u32(44, { oneOf: [128, 256, 512, 1024, 2048, 4096] }),
  rgdOffset: u64(48),
  gdOffset: bytes8(56),
  overHead: u64(64),
  uncleanShutdown: u8(72),
  newlines: bytes(73, 4),
  compressAlgorithm: u16(77, { oneOf: [0, 1] }),
});

/** In front of every grain and every piece of metadata of a stream-optimized extent. */
export const marker = struct('Marker', 16, {
  /** Sector of the disk for a grain, sectors that follow for metadata. */
  value: u64(0),
  /** Compressed bytes; 0 for metadata. */
  size: u32(8),
  /** What metadata it is. */
  type: u32(12),
});
export const MARKER_FOOTER = 3;

/** Delta of ESX and GSX hosts. All places and counts are sectors. */
export const cowdHeader = struct('COWDisk_Header', 36, {
  magicNumber: text(0, 4),
  version: u32(4, { oneOf: [1] }),
  flags: u32(8),
  numSectors: u32(12, { min: 1 }),
  grainSize: u32(16, { min: 1, max: 2048 }),
  gdOffset: u32(20, { min: 4 }),
  numGDEntries: u32(24, { min: 1 }),
  freeSector: u32(28),
});
/** Entries of a grain table of a COWD delta. */
export const COWD_ENTRIES = 4096;
export const COWD_HEADER_SECTORS = 4;

export const SE_MAGIC = 0xcafebabe;
export const SE_VOLATILE_MAGIC = 0xcafecafe;
export const SE_ENTRIES = 4096;

/** Constant header of a seSparse delta. All places and sizes are sectors. */
export const seHeader = struct('seSparse constant header', 208, {
  magic: u64(0, { oneOf: [SE_MAGIC] }),
  version: bytes8(8),
  capacity: u64(16, { min: 1, max: MAX_SECTORS }),
  grainSize: u64(24, { oneOf: [8] }),
  grainTableSize: u64(32, { oneOf: [64] }),
  flags: u64(40),
  volatileHeaderOffset: u64(80),
  volatileHeaderSize: u64(88),
  journalHeaderOffset: u64(96),
  journalHeaderSize: u64(104),
  journalOffset: u64(112),
  journalSize: u64(120),
  grainDirectoryOffset: u64(128, { min: 1 }),
  grainDirectorySize: u64(136, { min: 1 }),
  grainTablesOffset: u64(144, { min: 1 }),
  grainTablesSize: u64(152),
  freeBitmapOffset: u64(160),
  freeBitmapSize: u64(168),
  backmapOffset: u64(176),
  backmapSize: u64(184),
  grainsOffset: u64(192, { min: 1 }),
  grainsSize: u64(200),
});

export const seVolatile = struct('seSparse volatile header', 32, {
  magic: u64(0, { oneOf: [SE_VOLATILE_MAGIC] }),
  freeGrainTable: u64(8),
  nextTransaction: u64(16),
  replayJournal: u64(24, { oneOf: [0] }),
});
