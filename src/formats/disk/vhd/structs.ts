/** Footer and dynamic header of a VHD, big-endian. Source: vhd.md. */
import { bytes, bytes8, latin1, struct, text, u8, u16, u32, u64, type Values } from '../../../core/struct.ts';

export const SECTOR = 512;
export const FIXED = 2;
export const DYNAMIC = 3;
export const DIFFERENCING = 4;
export const TYPES: readonly string[] = ['none', 'reserved', 'fixed', 'dynamic', 'differencing'];
export const FREE_BLOCK = 0xffffffff;
/** Disks are no larger than 2040 GiB; some hosts write more. */
const MAX_SIZE = 2 ** 46;

export const footer = struct(
  'VHD footer',
  512,
  {
    cookie: text(0, 8),
    features: u32(8),
    version: u32(12, { oneOf: [0x10000] }),
    timestamp: u32(24),
    creator: bytes(28, 4),
    currentSize: u64(48, { min: 512, max: MAX_SIZE }),
    /** All ones in a fixed disk. */
    dataAt: bytes8(16),
    cylinders: u16(56),
    heads: u8(58),
    sectors: u8(59),
    type: u32(60, { oneOf: [FIXED, DYNAMIC, DIFFERENCING] }),
    checksum: u32(64),
    uniqueId: bytes(68, 16),
    savedState: u8(84),
  },
  'big',
);

export const dynamicHeader = struct(
  'VHD dynamic disk header',
  1024,
  {
    cookie: text(0, 8),
    tableAt: u64(16, { min: SECTOR, max: MAX_SIZE }),
    version: u32(24, { oneOf: [0x10000] }),
    maxEntries: u32(28, { min: 1 }),
    blockSize: u32(32, { min: 4096, max: 256 * 1024 * 1024 }),
    checksum: u32(36),
    parentId: bytes(40, 16),
    parentTime: u32(56),
    parentName: bytes(64, 512),
    locators: bytes(576, 192),
  },
  'big',
);

export const locator = struct(
  'VHD parent locator',
  24,
  { code: bytes(0, 4), space: u32(4), length: u32(8), at: u64(16) },
  'big',
);

export type Footer = Values<typeof footer.fields>;
export type DynamicHeader = Values<typeof dynamicHeader.fields>;

/** A structure that was found, and whether its own checksum and ranges agree. */
export interface Checked<T> {
  readonly values: T;
  readonly at: number;
  readonly raw: Uint8Array;
  readonly isSound: boolean;
}

/** The ones' complement of the sum of all bytes but the checksum's own. */
function checksumOf(raw: Uint8Array, own: number): number {
  let sum = 0;
  for (let i = 0; i < raw.length; i++) if (i < own || i >= own + 4) sum += raw[i];
  return ~sum >>> 0;
}

/** The footer in these bytes, 511 or 512 of them; undefined where its cookie is not there. */
export function footerOf(raw: Uint8Array, at: number): Checked<Footer> | undefined {
  if (raw.length < SECTOR - 1 || latin1(raw, 0, 8) !== 'conectix') return undefined;
  const whole = new Uint8Array(SECTOR);
  whole.set(raw);
  const values = footer.decode(whole);
  const isSound = values.checksum === checksumOf(raw, 64) && footer.violations(values).length === 0;
  return { values, at, raw: whole, isSound };
}

export function dynamicHeaderOf(raw: Uint8Array, at: number): Checked<DynamicHeader> | undefined {
  if (raw.length < dynamicHeader.size || latin1(raw, 0, 8) !== 'cxsparse') return undefined;
  const values = dynamicHeader.decode(raw);
  const isPower = (values.blockSize & (values.blockSize - 1)) === 0;
  const isFit = isPower && dynamicHeader.violations(values).length === 0 && values.tableAt % SECTOR === 0;
  return { values, at, raw, isSound: isFit && values.checksum === checksumOf(raw, 36) };
}

/** Whether all fields are within their ranges, whatever the checksum says. */
export function isPlausible(header: Checked<DynamicHeader>): boolean {
  const { values } = header;
  return dynamicHeader.violations(values).length === 0 && (values.blockSize & (values.blockSize - 1)) === 0;
}

/** Hosts that show as many sectors as the geometry has, whatever size the footer says. */
const BY_GEOMETRY = new Set(['vpc ', 'vs  ', 'qemu']);
const MOST_BY_GEOMETRY = 65535 * 16 * 255 * SECTOR;

/** Bytes of the disk as the host that made it shows them. */
export function sizeOf(values: Footer): number {
  const creator = Buffer.from(values.creator).toString('latin1');
  const geometry = values.cylinders * values.heads * values.sectors * SECTOR;
  const current = values.currentSize - (values.currentSize % SECTOR);
  const isByGeometry = BY_GEOMETRY.has(creator) && geometry > 0 && geometry < MOST_BY_GEOMETRY && geometry <= current;
  return isByGeometry ? geometry : current;
}
