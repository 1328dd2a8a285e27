/** The layout of a FAT volume: its boot sector, or the copy of it, and what follows from both. */
import type { Source } from '../../../core/source.ts';
import { type Values, viewOf } from '../../../core/struct.ts';
import { ACTIVE_TABLE, BOOT_BYTES, BOOT_SIGNATURE, bootSector, ENTRY, NOT_MIRRORED } from './structs.ts';
import { FIRST, type TablePlace, type Width } from './table.ts';

type Boot = Values<typeof bootSector.fields>;

export interface Geometry {
  readonly boot: Boot;
  /** Bytes at which the boot sector stands that says so. */
  readonly bootAt: number;
  readonly isSigned: boolean;
  readonly width: Width;
  readonly sectorSize: number;
  /** Bytes of a cluster, and how many there are. */
  readonly cluster: number;
  readonly clusters: number;
  readonly table: TablePlace;
  /** Bytes of the root directory of FAT12 and FAT16. */
  readonly rootAt: number;
  readonly rootBytes: number;
  /** Byte of the first cluster. */
  readonly heapAt: number;
  readonly bytes: number;
  /** Entries that a table has room for. */
  readonly capacity: number;
  readonly serial: string;
  readonly label: string;
}

const USUAL_BACKUP = 6;
const FAT12_CLUSTERS = 4085;
const FAT16_CLUSTERS = 65_525;
const BITS = 8;

/** What a boot sector says; undefined where it is none. */
export function decodeBoot(sector: Uint8Array, bootAt: number): Geometry | undefined {
  if (sector.length < BOOT_BYTES) return undefined;
  const boot = bootSector.decode(sector);
  if (bootSector.violations(boot).length > 0) return undefined;
  const { sectorSize, reserved, copies, rootEntries } = boot;
  const isWide = boot.tableSectors16 === 0;
  const tableSectors = isWide ? boot.tableSectors32 : boot.tableSectors16;
  const sectors = boot.sectors16 === 0 ? boot.sectors32 : boot.sectors16;
  const rootSectors = Math.ceil((rootEntries * ENTRY) / sectorSize);
  const dataAt = reserved + copies * tableSectors + rootSectors;
  const perCluster = boot.perCluster;
  if (tableSectors === 0 || sectors <= dataAt || isWide !== (rootEntries === 0)) return undefined;
  const told = Math.floor((sectors - dataAt) / perCluster);
  const width: Width = isWide ? 28 : told < FAT12_CLUSTERS ? 12 : 16;
  const capacity = Math.floor((tableSectors * sectorSize * BITS) / (width === 28 ? 32 : width));
  const clusters = Math.min(told, capacity - FIRST);
  if (clusters < 1 || told >= 2 ** 28 || (width === 16 && told >= FAT16_CLUSTERS)) return undefined;
  if (isWide && (boot.root < FIRST || boot.root >= clusters + FIRST)) return undefined;
  const isOne = isWide && (boot.flags & NOT_MIRRORED) !== 0;
  const numbers = isOne ? [boot.flags & ACTIVE_TABLE] : Array.from({ length: copies }, (_, i) => i);
  if (numbers[0] >= copies) return undefined;
  const tableBytes = tableSectors * sectorSize;
  const serial = (isWide ? boot.serial32 : boot.serial16).toString(16).toUpperCase().padStart(8, '0');
  return {
    boot,
    bootAt,
    isSigned: boot.signature === BOOT_SIGNATURE,
    width,
    sectorSize,
    cluster: perCluster * sectorSize,
    clusters,
    table: { copies: numbers.map((n) => reserved * sectorSize + n * tableBytes), width, clusters },
    rootAt: (dataAt - rootSectors) * sectorSize,
    rootBytes: rootEntries * ENTRY,
    heapAt: dataAt * sectorSize,
    bytes: sectors * sectorSize,
    capacity,
    serial: `${serial.slice(0, 4)}-${serial.slice(4)}`,
    label: (isWide ? boot.label32 : boot.label16).trimEnd(),
  };
}

/** What is known of where things lie. */
export interface Head {
  readonly geometry: Geometry;
  /** Why all of it is no more than inferred. */
  readonly doubt?: string;
  /** The other boot sector, where there is one that says something else or nothing. */
  readonly otherAt?: number;
}

/** The layout by the boot sector or its copy, whichever leads to a table; undefined where neither is there. */
export async function headOf(source: Source): Promise<Head | undefined> {
  const first = await bootAt(source, 0);
  const isFirst = first !== undefined && (await hasTable(source, first));
  if (isFirst && first.width !== 28) return { geometry: first };
  const place = first?.boot.backup;
  const isTold = isFirst && place !== 0 && place !== 0xffff && place! < first.boot.reserved;
  if (isFirst && !isTold) return { geometry: first };
  const copy = await copyOf(source, isTold ? [place! * first.sectorSize] : undefined);
  if (isFirst) {
    if (copy !== undefined && sameLayout(first, copy)) return { geometry: first };
    // Both may lead to a table: the one at the start is what systems use.
    return { geometry: first, doubt: 'fat.boot.copy', otherAt: place! * first.sectorSize };
  }
  if (copy !== undefined) return { geometry: copy, doubt: 'fat.boot', otherAt: 0 };
  return first?.isSigned === true ? { geometry: first, doubt: 'fat.table-start' } : undefined;
}

async function copyOf(source: Source, told: readonly number[] | undefined): Promise<Geometry | undefined> {
  const usual = [512, 1024, 2048, 4096].map((size) => size * USUAL_BACKUP);
  for (const at of told ?? usual) {
    const found = await bootAt(source, at);
    if (found?.width === 28 && found.isSigned && (await hasTable(source, found))) return found;
  }
  return undefined;
}

async function bootAt(source: Source, at: number): Promise<Geometry | undefined> {
  const sector = new Uint8Array(BOOT_BYTES);
  if (at + BOOT_BYTES > source.size || (await source.read(at, sector)).length > 0) return undefined;
  return decodeBoot(sector, at);
}

/** Whether one of the tables begins with what tells the kind of the medium. */
async function hasTable(source: Source, { table, boot, width }: Geometry): Promise<boolean> {
  const head = new Uint8Array(4);
  for (const at of table.copies) {
    if (at + head.length > source.size || (await source.read(at, head)).length > 0) continue;
    const low = width === 12 ? 0xfff : width === 16 ? 0xffff : 0x0fffffff;
    const word = viewOf(head).getUint32(0, true) & low;
    if (word === ((low - 0xff) | boot.media)) return true;
  }
  return false;
}

function sameLayout(a: Geometry, b: Geometry): boolean {
  const fields = ['cluster', 'clusters', 'heapAt', 'bytes', 'capacity', 'sectorSize'] as const;
  return fields.every((field) => a[field] === b[field]) && a.boot.root === b.boot.root;
}
