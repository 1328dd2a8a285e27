/** On-disk structures of exFAT. Source: guestfs.md part C. */
import { bytes, struct, u8, u16, u32, u64 } from '../../../core/struct.ts';

export const BOOT_BYTES = 512;
export const BOOT_MARK = 'EXFAT   ';
/** Sectors of a boot region; the copy of it follows. */
export const BOOT_SECTORS = 12;
/** Bytes of the boot sector that change all the time and are not summed. */
export const UNSUMMED: readonly number[] = [106, 107, 112];

export const bootSector = struct('exFAT boot sector', BOOT_BYTES, {
  sectors: u64(72, { min: 1, max: 2 ** 43 }),
  tableAt: u32(80, { min: 24 }),
  tableSectors: u32(84, { min: 1 }),
  heapAt: u32(88, { min: 25 }),
  clusters: u32(92, { min: 1, max: 0xfffffff5 }),
  root: u32(96, { min: 2 }),
  serial: u32(100),
  revision: u16(104, { min: 0x100, max: 0x1ff }),
  flags: u16(106),
  sectorShift: u8(108, { min: 9, max: 12 }),
  clusterShift: u8(109, { max: 16 }),
  tables: u8(110, { min: 1, max: 2 }),
  percentInUse: u8(112),
  signature: u16(510),
});

/** Flags of the boot sector. */
export const SECOND_TABLE = 1;
export const DIRTY = 2;

export const ENTRY = 32;
/** Types of entries; without the upper bit they are deleted. */
export const IN_USE = 0x80;
export const BITMAP = 0x81;
export const UPCASE = 0x82;
export const LABEL = 0x83;
export const FILE = 0x85;
export const STREAM = 0xc0;
export const NAME = 0xc1;
/** Types from here on belong to the entry before them. */
export const SECONDARY = 0xc0;

export const fileEntry = struct('exFAT file entry', ENTRY, {
  secondaries: u8(1, { min: 2, max: 18 }),
  checksum: u16(2),
  attributes: u16(4),
  created: u32(8),
  modified: u32(12),
  accessed: u32(16),
  createdTens: u8(20),
  modifiedTens: u8(21),
  createdZone: u8(22),
  modifiedZone: u8(23),
  accessedZone: u8(24),
});

export const streamEntry = struct('exFAT stream extension', ENTRY, {
  flags: u8(1),
  nameLength: u8(3, { min: 1 }),
  nameHash: u16(4),
  valid: u64(8),
  start: u32(20),
  length: u64(24),
});

export const nameEntry = struct('exFAT file name', ENTRY, { units: bytes(2, 30) });

/** The allocation bitmap and the up-case table. */
export const placeEntry = struct('exFAT bitmap entry', ENTRY, { flags: u8(1), start: u32(20), length: u64(24) });

export const labelEntry = struct('exFAT label', ENTRY, { length: u8(1, { max: 11 }), units: bytes(2, 22) });

/** Its clusters follow each other, and the table says nothing of them. */
export const NO_CHAIN = 2;
export const DIRECTORY = 0x10;
