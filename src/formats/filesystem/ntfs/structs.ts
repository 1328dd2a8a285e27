/** NTFS structures as tables. Sources: guestfs.md part A, Microsoft's boot sector, the Linux-NTFS documentation. */
import { type Bytes8, bytes8, struct, u8, u16, u32, u64 } from '../../../core/struct.ts';

/** NTFS counts 100 ns since 1601; seconds from there to 1970. */
const TICKS = 10_000_000;
const EPOCH = 11_644_473_600;

export const BOOT_BYTES = 512;
export const OEM = 'NTFS    ';

export const bootSector = struct('NTFS boot sector', BOOT_BYTES, {
  oem: bytes8(0x03),
  sectorSize: u16(0x0b, { oneOf: [512, 1024, 2048, 4096] }),
  perCluster: u8(0x0d, { min: 1 }),
  hidden: u32(0x1c),
  sectors: u64(0x28, { min: 1 }),
  mft: u64(0x30),
  mirror: u64(0x38),
  recordSize: u8(0x40, { min: 1 }),
  indexSize: u8(0x44),
  serial: bytes8(0x48),
  signature: u16(0x1fe),
});

/** Every sector of a record ends in its update sequence number; sectors are of 512 bytes here, whatever the disk's. */
export const STRIDE = 512;

export const RECORD_HEAD = 0x30;
export const recordHeader = struct('NTFS file record', RECORD_HEAD, {
  usaAt: u16(0x04),
  usaCount: u16(0x06),
  lsn: u64(0x08),
  sequence: u16(0x10),
  links: u16(0x12),
  first: u16(0x14),
  flags: u16(0x16),
  used: u32(0x18),
  allocated: u32(0x1c),
  base: u32(0x20),
  baseHigh: u16(0x24),
  baseSequence: u16(0x26),
  number: u32(0x2c),
});
export const RECORD_IN_USE = 1;
export const RECORD_DIRECTORY = 2;
/** Where the update sequence stands in records that hold their own number. */
export const USA_WITH_NUMBER = 0x30;

export const ATTRIBUTE_HEAD = 16;
export const attributeHeader = struct('NTFS attribute', ATTRIBUTE_HEAD, {
  type: u32(0),
  length: u32(4),
  nonResident: u8(8),
  nameLength: u8(9),
  nameAt: u16(10),
  flags: u16(12),
  id: u16(14),
});
export const RESIDENT_HEAD = 24;
export const residentHeader = struct('NTFS resident attribute', RESIDENT_HEAD, { size: u32(16), valueAt: u16(20) });
export const NON_RESIDENT_HEAD = 64;
export const nonResidentHeader = struct('NTFS non-resident attribute', NON_RESIDENT_HEAD, {
  firstVcn: u64(16),
  lastVcn: bytes8(24),
  runsAt: u16(32),
  unit: u16(34),
  allocated: u64(40),
  size: u64(48),
  initialized: u64(56),
});
export const ATTRIBUTE_COMPRESSED = 0x0001;
export const ATTRIBUTE_ENCRYPTED = 0x4000;
export const ATTRIBUTE_SPARSE = 0x8000;
export const ATTRIBUTE_END = 0xffffffff;

export const STANDARD_INFORMATION = 0x10;
export const ATTRIBUTE_LIST = 0x20;
export const FILE_NAME = 0x30;
export const VOLUME_NAME = 0x60;
export const VOLUME_INFORMATION = 0x70;
export const DATA_ATTRIBUTE = 0x80;
export const INDEX_ROOT = 0x90;
export const INDEX_ALLOCATION = 0xa0;
export const BITMAP = 0xb0;
export const REPARSE_POINT = 0xc0;
export const LAST_TYPE = 0x1000;

export const listEntry = struct('NTFS attribute list entry', 26, {
  type: u32(0),
  length: u16(4),
  nameLength: u8(6),
  nameAt: u8(7),
  firstVcn: u64(8),
  record: u32(16),
  recordHigh: u16(20),
  sequence: u16(22),
});

export const standardInformation = struct('NTFS standard information', 36, {
  created: bytes8(0),
  modified: bytes8(8),
  changed: bytes8(16),
  accessed: bytes8(24),
  attributes: u32(32),
});

export const FILE_NAME_BYTES = 66;
export const fileName = struct('NTFS file name', FILE_NAME_BYTES, {
  parent: u32(0),
  parentHigh: u16(4),
  parentSequence: u16(6),
  created: bytes8(8),
  modified: bytes8(16),
  changed: bytes8(24),
  accessed: bytes8(32),
  allocated: u64(0x28),
  size: u64(0x30),
  flags: u32(0x38),
  length: u8(0x40),
  namespace: u8(0x41),
});
export const NAMESPACE_DOS = 2;

export const volumeInformation = struct('NTFS volume information', 12, { major: u8(8), minor: u8(9), flags: u16(10) });
export const VOLUME_DIRTY = 1;

export const INDEX_ROOT_HEAD = 16;
export const indexRoot = struct('NTFS index root', INDEX_ROOT_HEAD, { type: u32(0), collation: u32(4), block: u32(8) });
export const nodeHeader = struct('NTFS index node', 16, {
  first: u32(0),
  used: u32(4),
  allocated: u32(8),
  flags: u8(12),
});
export const INDEX_BLOCK_NODE = 24;
export const indexBlock = struct('NTFS index block', INDEX_BLOCK_NODE, {
  usaAt: u16(4),
  usaCount: u16(6),
  vcn: u64(16),
});
export const INDEX_ENTRY_HEAD = 16;
export const indexEntry = struct('NTFS index entry', INDEX_ENTRY_HEAD, {
  record: u32(0),
  recordHigh: u16(4),
  sequence: u16(6),
  length: u16(8),
  keyLength: u16(10),
  flags: u16(12),
});
export const ENTRY_HAS_CHILD = 1;
export const ENTRY_LAST = 2;

export const MFT_RECORD = 0;
export const MIRROR_RECORD = 1;
export const VOLUME_RECORD = 3;
export const ROOT_RECORD = 5;
export const BITMAP_RECORD = 6;
export const EXTEND_RECORD = 11;
/** Records that the mirror holds. */
export const MIRRORED = 4;
/** Records below are the file system's own. */
export const FIRST_USER_RECORD = 24;

const DOS_READ_ONLY = 0x01;
const DOS_HIDDEN = 0x02;
export const DOS_SYSTEM = 0x04;
export const DOS_ATTRIBUTES: Readonly<Record<number, string>> = {
  [DOS_READ_ONLY]: 'read-only',
  [DOS_HIDDEN]: 'hidden',
  [DOS_SYSTEM]: 'system',
  32: 'archive',
  256: 'temporary',
  512: 'sparse',
  2048: 'compressed',
  4096: 'offline',
  16384: 'encrypted',
};

/** Seconds since 1970, with their fraction. */
export function timeOf({ low, high }: Bytes8): number {
  return seconds(low, high);
}

/** The same of a time that stands at `at`. */
export function timeAt(view: DataView, at: number): number {
  return seconds(view.getUint32(at, true), view.getUint32(at + 4, true));
}

function seconds(low: number, high: number): number {
  // 2 ** 32 ticks are 429 s and 4,967,296 ticks; nothing here passes 2 ** 53.
  const rest = high * 4_967_296 + low;
  const whole = Math.floor(rest / TICKS);
  return high * 429 + whole - EPOCH + (rest - whole * TICKS) / TICKS;
}

/** UTF-16LE as the raw bytes of UTF-8, one per character (latin1). Halves of pairs become three bytes that are no UTF-8. */
export function nameOf(from: Uint8Array, at: number, length: number): string {
  const stop = Math.min(at + 2 * length, from.length - 1);
  return plainIn(from, at, stop) ?? otherIn(from, at, stop);
}

/** Room for a name: no longer one is written. */
const plain = Buffer.alloc(255);

/** Text of ASCII alone, as nearly all names are: made at once, because a string that grows is many. */
function plainIn(from: Uint8Array, at: number, stop: number): string | undefined {
  let length = 0;
  let all = 0;
  for (let i = at; i < stop; i += 2) {
    if (length === plain.length) return undefined;
    const unit = from[i] | (from[i + 1] << 8);
    all |= unit;
    plain[length++] = unit;
  }
  return all < 0x80 ? plain.toString('latin1', 0, length) : undefined;
}

function otherIn(from: Uint8Array, at: number, stop: number): string {
  let out = '';
  for (let i = at; i < stop; i += 2) {
    const unit = from[i] | (from[i + 1] << 8);
    if (unit < 0x80) {
      out += String.fromCharCode(unit);
      continue;
    }
    const next = i + 2 < stop ? from[i + 2] | (from[i + 3] << 8) : 0;
    if ((unit & 0xfc00) === 0xd800 && (next & 0xfc00) === 0xdc00) {
      out += utf8(0x10000 + ((unit & 0x3ff) << 10) + (next & 0x3ff));
      i += 2;
    } else out += utf8(unit);
  }
  return out;
}

function utf8(point: number): string {
  const tail = (shift: number): number => 0x80 | ((point >>> shift) & 0x3f);
  if (point < 0x800) return String.fromCharCode(0xc0 | (point >>> 6), tail(0));
  if (point < 0x10000) return String.fromCharCode(0xe0 | (point >>> 12), tail(6), tail(0));
  return String.fromCharCode(0xf0 | (point >>> 18), tail(12), tail(6), tail(0));
}
