/** VMDK: one growing file, or a descriptor beside the disk's own bytes. Source: vmdk.md sections 1 to 3. */
import type { Occupied } from '../../../core/occupied.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import type { WriteOptions, Writer, WrittenFile } from '../../../core/writer.ts';
import { alignUp, Parts } from './parts.ts';
import { descriptorText, sectorsOf } from './vmdk-text.ts';

const SECTOR = 512;
export const GRAIN = 65536;
export const GRAIN_SECTORS: number = GRAIN / SECTOR;
/** Entries of a grain table. */
export const ENTRIES = 512;
const TABLE_SECTORS = (ENTRIES * 4) / SECTOR;
const DESCRIPTOR_AT = 1;
const DESCRIPTOR_SECTORS = 20;
/** Grain tables that are made in one go: 128 KiB. */
const TABLES_AT_ONCE = 64;
/** Entries are sectors in 32 bits. */
const MAX_SECTORS = 2 ** 32;
const NEWLINES = [0x0a, 0x20, 0x0d, 0x0a];

export const vmdkWriter: Writer = {
  variants: ['vmdk', 'flat'],
  endings: ['.vmdk'],
  unit: () => GRAIN,
  plan: (disk, options) => (options.variant === 'flat' ? flat(disk, options) : sparse(disk, options)),
};

/** The flat file comes first: a descriptor that is there has what it names. */
function flat(disk: Source, { stem, occupied }: WriteOptions): readonly WrittenFile[] {
  const sectors = sectorsOf(disk);
  const suffix = '-flat.vmdk';
  const extent = stem + suffix;
  const text = descriptorText({
    createType: 'monolithicFlat',
    keyword: 'FLAT',
    extent,
    sectors,
    occupied: occupied.count,
  });
  const bytes = new Parts().spread(disk, occupied).fill(sectors * SECTOR);
  return [
    { suffix, source: bytes.file(), isDisk: disk.size === bytes.at },
    { suffix: '', source: new Parts().bytes(text).file() },
  ];
}

function sparse(disk: Source, { name, occupied }: WriteOptions): readonly WrittenFile[] {
  const sectors = sectorsOf(disk);
  const text = descriptorText({
    createType: 'monolithicSparse',
    keyword: 'SPARSE',
    extent: name,
    sectors,
    occupied: occupied.count,
  });
  const tables = tablesOf(occupied.units);
  const directorySectors = Math.ceil((tables * 4) / SECTOR);
  const spareAt = DESCRIPTOR_AT + DESCRIPTOR_SECTORS;
  const mainAt = spareAt + directorySectors + tables * TABLE_SECTORS;
  const dataAt = alignUp(mainAt + directorySectors + tables * TABLE_SECTORS, GRAIN_SECTORS);
  checkRoom(disk, sectors, dataAt + occupied.count * GRAIN_SECTORS);
  const parts = new Parts();
  parts
    .bytes(header({ flags: 3, version: 1, sectors, spareAt, mainAt, overhead: dataAt, compressed: false }))
    .bytes(embedded(text));
  for (const at of [spareAt, mainAt]) {
    const firstTable = at + directorySectors;
    parts.bytes(directory(tables, (i) => firstTable + i * TABLE_SECTORS)).fill(firstTable * SECTOR);
    for (let i = 0; i < tables; i += TABLES_AT_ONCE) {
      const count = Math.min(TABLES_AT_ONCE, tables - i) * ENTRIES;
      parts.table('grain table', count * 4, (table) => fillTables(table, occupied, i * ENTRIES, dataAt));
    }
  }
  parts.fill(dataAt * SECTOR).units(disk, occupied);
  return [{ suffix: '', source: parts.file() }];
}

function fillTables(table: Uint8Array, occupied: Occupied, first: number, dataAt: number): void {
  const view = viewOf(table);
  occupied.each(first, first + table.length / 4, (unit, index) => {
    view.setUint32((unit - first) * 4, dataAt + index * GRAIN_SECTORS, true);
  });
}

/** Throws RangeError where sectors of 32 bits do not reach. */
export function checkRoom(disk: Pick<Source, 'size'>, sectors: number, fileSectors: number): void {
  if (Math.max(sectors, fileSectors) >= MAX_SECTORS)
    throw new RangeError(`a disk of ${disk.size} bytes is too large for a VMDK that grows, which ends at 2 TiB`);
}

/** Grain tables of so many grains. */
export function tablesOf(grains: number): number {
  return Math.ceil(grains / ENTRIES);
}

/** The descriptor as it stands inside of a file. Throws RangeError where it is too long. */
export function embedded(text: Uint8Array): Uint8Array {
  const out = new Uint8Array(DESCRIPTOR_SECTORS * SECTOR);
  if (text.length >= out.length) throw new RangeError(`a descriptor of ${text.length} bytes is too long for a VMDK`);
  out.set(text);
  return out;
}

/** A grain directory, in whole sectors. */
export function directory(tables: number, at: (i: number) => number): Uint8Array {
  const out = new Uint8Array(alignUp(tables * 4, SECTOR));
  const view = viewOf(out);
  for (let i = 0; i < tables; i++) view.setUint32(i * 4, at(i), true);
  return out;
}

export interface HeaderFields {
  readonly version: number;
  readonly flags: number;
  /** Sectors of the disk. */
  readonly sectors: number;
  /** Sectors where the directories lie; 0 for no second one, below 0 for "the footer says it". */
  readonly spareAt: number;
  readonly mainAt: number;
  /** Sectors before the first grain. */
  readonly overhead: number;
  readonly compressed: boolean;
}

/** A header or footer: one sector. */
export function header(fields: HeaderFields): Uint8Array {
  const out = new Uint8Array(SECTOR);
  const view = viewOf(out);
  const put64 = (at: number, value: number): void => {
    view.setUint32(at, value < 0 ? 0xffffffff : value >>> 0, true);
    view.setUint32(at + 4, value < 0 ? 0xffffffff : Math.floor(value / 2 ** 32), true);
  };
  out.set([0x4b, 0x44, 0x4d, 0x56]);
  view.setUint32(4, fields.version, true);
  view.setUint32(8, fields.flags, true);
  put64(12, fields.sectors);
  put64(20, GRAIN_SECTORS);
  put64(28, DESCRIPTOR_AT);
  put64(36, DESCRIPTOR_SECTORS);
  view.setUint32(44, ENTRIES, true);
  put64(48, fields.spareAt);
  put64(56, fields.mainAt);
  put64(64, fields.overhead);
  out.set(NEWLINES, 73);
  view.setUint16(77, Number(fields.compressed), true);
  return out;
}
