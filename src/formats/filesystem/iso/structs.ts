/** On-disk structures of ISO 9660 and its extensions. Source: ECMA-119, Joliet, SUSP, Rock Ridge and El Torito. */
import { bytes, struct, text, u8, u16, u32 } from '../../../core/struct.ts';

/** Bytes of a sector, whatever blocks have. */
export const SECTOR = 2048;
/** Sectors before the first descriptor. */
export const FIRST_DESCRIPTOR = 16;
export const MARK = 'CD001';

export const BOOT_RECORD = 0;
export const PRIMARY = 1;
export const SUPPLEMENTARY = 2;
export const TERMINATOR = 255;

export const ROOT_AT = 156;

/** Numbers stand twice, the lower byte first and then the upper; these are the first ones. */
export const volumeDescriptor = struct('ISO 9660 volume descriptor', SECTOR, {
  type: u8(0),
  mark: text(1, MARK.length),
  version: u8(6, { oneOf: [1, 2] }),
  system: text(8, 32),
  label: bytes(40, 32),
  blocks: u32(80, { min: 17 }),
  escape: bytes(88, 32),
  blockSize: u16(128, { oneOf: [512, 1024, 2048] }),
  pathTableBytes: u32(132),
  pathTable: u32(140),
  publisher: text(318, 128),
  application: text(574, 128),
  created: text(813, 16),
});
/** Where the second of a number stands. */
export const BLOCKS_AT = 80;
export const BLOCK_SIZE_AT = 128;

/** Bytes of a directory record before the name. */
export const RECORD = 33;

export const record = struct('ISO 9660 directory record', RECORD, {
  length: u8(0, { min: RECORD + 1 }),
  extended: u8(1),
  start: u32(2),
  size: u32(10),
  time: bytes(18, 7),
  flags: u8(25),
  unit: u8(26),
  gap: u8(27),
  volume: u16(28),
  nameLength: u8(32, { min: 1 }),
});
export const START_AT = 2;
export const SIZE_AT = 10;

export const HIDDEN = 0x01;
export const DIRECTORY = 0x02;
export const ASSOCIATED = 0x04;
/** More records of the same file follow. */
export const MORE = 0x80;

/** How Joliet says that its names are UCS-2, in three levels. */
export const JOLIET: readonly string[] = ['%/@', '%/C', '%/E'];

export const pathEntry = struct('ISO 9660 path table record', 8, {
  nameLength: u8(0, { min: 1 }),
  extended: u8(1),
  start: u32(2),
  parent: u16(6, { min: 1 }),
});

export const EL_TORITO = 'EL TORITO SPECIFICATION';
export const CATALOG_AT = 0x47;

export const bootEntry = struct('El Torito boot entry', 32, {
  indicator: u8(0),
  media: u8(1),
  segment: u16(2),
  sectors: u16(6),
  start: u32(8),
});
