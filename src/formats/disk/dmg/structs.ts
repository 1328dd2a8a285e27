/** Trailer, block tables and chunks of UDIF images, big-endian. Facts: images that hdiutil and others wrote. */
import { struct, text, u32, u64, type Values } from '../../../core/struct.ts';

export const SECTOR = 512;
/** Sectors of the largest disk; two of these, in bytes, are still a number that is exact. */
const MAX_SECTORS: number = 2 ** 42;
export const CRC32 = 2;

/** "koly", the last 512 bytes of an image. */
export const trailer = struct(
  'UDIF trailer',
  512,
  {
    magic: text(0, 4),
    version: u32(4, { oneOf: [4] }),
    headerSize: u32(8, { oneOf: [512] }),
    dataAt: u64(24),
    dataLength: u64(32),
    segment: u32(56),
    segments: u32(60),
    xmlAt: u64(216),
    xmlLength: u64(224),
    sectors: u64(492, { max: MAX_SECTORS }),
  },
  'big',
);
export type Trailer = Values<typeof trailer.fields>;

/** "mish": the start of one table of chunks, and how many there are. */
export const blockTable = struct(
  'UDIF block table',
  204,
  {
    magic: text(0, 4),
    version: u32(4, { oneOf: [1] }),
    first: u64(8, { max: MAX_SECTORS }),
    sectors: u64(16, { max: MAX_SECTORS }),
    dataAt: u64(24),
    checksumType: u32(64),
    checksumBits: u32(68),
    checksum: u32(72),
    count: u32(200),
  },
  'big',
);

export const chunk = struct(
  'UDIF chunk',
  40,
  { kind: u32(0), first: u64(8), sectors: u64(16), at: u64(24), length: u64(32) },
  'big',
);

/** What a chunk says of its bytes. */
export const KIND = {
  zero: 0,
  raw: 1,
  ignored: 2,
  adc: 0x80000004,
  zlib: 0x80000005,
  bzip2: 0x80000006,
  lzfse: 0x80000007,
  lzma: 0x80000008,
  comment: 0x7ffffffe,
  end: 0xffffffff,
} as const;

export const KIND_NAMES: ReadonlyMap<number, string> = new Map([
  [KIND.adc, 'ADC'],
  [KIND.zlib, 'zlib'],
  [KIND.bzip2, 'bzip2'],
  [KIND.lzfse, 'LZFSE'],
  [KIND.lzma, 'LZMA'],
]);
