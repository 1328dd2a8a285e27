/** Structures at the start of a VHDX. Source: vhdx.md. */
import { crc32c } from '../../../codec/crc32c.ts';
import type { Source } from '../../../core/source.ts';
import { bytes, struct, text, u16, u32, u64, type Values } from '../../../core/struct.ts';
import { guidText } from '../guid.ts';

export const KIB = 1024;
export const MIB: number = 1024 * 1024;
export const HEADERS: readonly number[] = [64 * KIB, 128 * KIB];
export const REGION_TABLES: readonly number[] = [192 * KIB, 256 * KIB];
export const TABLE_BYTES: number = 64 * KIB;
export const MAX_ENTRIES = 2047;
/** Disks are no larger than 64 TiB. */
export const MAX_SIZE: number = 64 * 2 ** 40;

export const header = struct('VHDX header', 4096, {
  signature: text(0, 4),
  checksum: u32(4),
  sequence: u64(8),
  fileWrite: bytes(16, 16),
  dataWrite: bytes(32, 16),
  logId: bytes(48, 16),
  logVersion: u16(64, { oneOf: [0] }),
  version: u16(66, { oneOf: [1] }),
  logLength: u32(68),
  logAt: u64(72),
});

export const regionTable = struct('VHDX region table', 16, {
  signature: text(0, 4),
  checksum: u32(4),
  count: u32(8, { max: MAX_ENTRIES }),
});

export const regionEntry = struct('VHDX region', 32, {
  id: bytes(0, 16),
  at: u64(16, { min: MIB }),
  length: u32(24, { min: 1 }),
  required: u32(28),
});

export const metadataTable = struct('VHDX metadata table', 32, {
  signature: text(0, 8),
  count: u16(10, { max: MAX_ENTRIES }),
});

export const metadataEntry = struct('VHDX metadata item', 32, {
  id: bytes(0, 16),
  at: u32(16),
  length: u32(20),
  flags: u32(24),
});

export const BAT_REGION = '2dc27766-f623-4200-9d64-115e9bfd4a08';
export const METADATA_REGION = '8b7ca206-4790-4b9a-b8fe-575f050f886e';

export type Header = Values<typeof header.fields>;

/** What stands where a structure should, and whether its own checksum and ranges agree. */
export interface Checked<T> {
  readonly at: number;
  readonly values: T;
  readonly isSound: boolean;
}

export interface Region {
  readonly at: number;
  readonly length: number;
}

export type Regions = ReadonlyMap<string, Region>;

export async function readHeader(source: Source, at: number): Promise<Checked<Header> | undefined> {
  const raw = await bytesAt(source, at, header.size);
  if (raw === undefined) return undefined;
  const values = header.decode(raw);
  if (values.signature !== 'head') return undefined;
  return { at, values, isSound: values.checksum === crc32c(raw, 4) && header.violations(values).length === 0 };
}

export async function readRegions(source: Source, at: number): Promise<Checked<Regions> | undefined> {
  const raw = await bytesAt(source, at, TABLE_BYTES);
  if (raw === undefined) return undefined;
  const { signature, checksum, count } = regionTable.decode(raw);
  if (signature !== 'regi') return undefined;
  const values = new Map<string, Region>();
  let isSound = checksum === crc32c(raw, 4) && count <= MAX_ENTRIES;
  for (let i = 0; i < Math.min(count, MAX_ENTRIES); i++) {
    const entry = regionEntry.decode(raw, 16 + i * regionEntry.size);
    const isFit = regionEntry.violations(entry).length === 0 && entry.at % MIB === 0;
    isSound &&= isFit;
    if (isFit) values.set(guidText(entry.id), { at: entry.at, length: entry.length });
  }
  return { at, values, isSound };
}

/** Bytes that can all be read; undefined otherwise. */
export async function bytesAt(source: Source, at: number, length: number): Promise<Uint8Array | undefined> {
  if (!(at >= 0 && at + length <= source.size)) return undefined;
  const raw = new Uint8Array(length);
  const gaps = await source.read(at, raw);
  return gaps.length > 0 ? undefined : raw;
}
