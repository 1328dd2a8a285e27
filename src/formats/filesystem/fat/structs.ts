/** On-disk structures of FAT12, FAT16 and FAT32. Source: guestfs.md part C. */
import { bytes, struct, text, u8, u16, u32 } from '../../../core/struct.ts';

export const BOOT_BYTES = 512;
export const BOOT_SIGNATURE = 0xaa55;

export const bootSector = struct('FAT boot sector', BOOT_BYTES, {
  sectorSize: u16(0x0b, { oneOf: [512, 1024, 2048, 4096] }),
  perCluster: u8(0x0d, { oneOf: [1, 2, 4, 8, 16, 32, 64, 128] }),
  reserved: u16(0x0e, { min: 1 }),
  copies: u8(0x10, { min: 1, max: 4 }),
  rootEntries: u16(0x11),
  sectors16: u16(0x13),
  media: u8(0x15, { oneOf: [0xf0, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff] }),
  tableSectors16: u16(0x16),
  sectors32: u32(0x20),
  /** FAT12 and FAT16 only. */
  serial16: u32(0x27),
  label16: text(0x2b, 11),
  /** FAT32 only, down to the signature. */
  tableSectors32: u32(0x24),
  flags: u16(0x28),
  root: u32(0x2c),
  backup: u16(0x32),
  serial32: u32(0x43),
  label32: text(0x47, 11),
  signature: u16(0x1fe),
});

export const ENTRY = 32;

export const entryStruct = struct('FAT directory entry', ENTRY, {
  name: bytes(0, 11),
  attributes: u8(11),
  caseBits: u8(12),
  createdTens: u8(13),
  createdTime: u16(14),
  createdDate: u16(16),
  accessedDate: u16(18),
  startHigh: u16(20),
  modifiedTime: u16(22),
  modifiedDate: u16(24),
  startLow: u16(26),
  size: u32(28),
});

export const longEntry = struct('FAT long name', ENTRY, {
  sequence: u8(0),
  first: bytes(1, 10),
  attributes: u8(11),
  checksum: u8(13),
  second: bytes(14, 12),
  third: bytes(28, 4),
});

export const READ_ONLY = 0x01;
export const HIDDEN = 0x02;
export const SYSTEM = 0x04;
export const LABEL = 0x08;
export const DIRECTORY = 0x10;
export const ARCHIVE = 0x20;
/** Entries with these are parts of a long name. */
export const LONG_NAME = 0x0f;
/** Bits of the attributes that mean something. */
export const ATTRIBUTES = 0x3f;
/** Which piece of a name an entry is, counted from its start. */
export const LONG_MASK = 0x1f;
export const UNUSED_ATTRIBUTES = 0xc0;
/** First byte of an entry: deleted, no more entries, and a name that begins with 0xE5 itself. */
export const GONE = 0xe5;
export const END = 0x00;
export const REAL_E5 = 0x05;
export const LAST_LONG = 0x40;
export const LOWER_BASE = 0x08;
export const LOWER_EXTENSION = 0x10;
/** FAT32: only one of the tables is kept, and which one. */
export const NOT_MIRRORED = 0x80;
export const ACTIVE_TABLE = 0x0f;
