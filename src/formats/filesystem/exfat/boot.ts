/** The layout of an exFAT volume: its boot region, or the copy of it. */
import type { Source } from '../../../core/source.ts';
import { latin1, type Values, viewOf } from '../../../core/struct.ts';
import type { TablePlace } from '../fat/table.ts';
import { BOOT_BYTES, BOOT_MARK, BOOT_SECTORS, bootSector, SECOND_TABLE, UNSUMMED } from './structs.ts';

type Boot = Values<typeof bootSector.fields>;

export interface Geometry {
  readonly boot: Boot;
  readonly bootAt: number;
  /** The sum of its boot region agrees. */
  readonly isSummed: boolean;
  readonly cluster: number;
  readonly heapAt: number;
  readonly bytes: number;
  readonly table: TablePlace;
}

export interface Head {
  readonly geometry: Geometry;
  readonly doubt?: string;
  /** Bytes of a boot region that is damaged, though the other one is whole. */
  readonly damagedAt?: number;
}

const WORD = 4;
const SECTOR_SIZES: readonly number[] = [512, 1024, 2048, 4096];

/** The boot region whose sum agrees, the first one if both do; undefined where there is none. */
export async function headOf(source: Source): Promise<Head | undefined> {
  const first = await regionAt(source, 0);
  const sizes = first === undefined ? SECTOR_SIZES : [2 ** first.boot.sectorShift];
  const copy = await copyOf(source, sizes);
  if (first?.isSummed === true) {
    const copyAt = BOOT_SECTORS * 2 ** first.boot.sectorShift;
    return copy?.isSummed === true ? { geometry: first } : { geometry: first, damagedAt: copyAt };
  }
  // With its sum the copy is as good as the first.
  if (copy?.isSummed === true) return { geometry: copy, damagedAt: 0 };
  return first === undefined ? undefined : { geometry: first, doubt: 'exfat.boot' };
}

async function copyOf(source: Source, sizes: readonly number[]): Promise<Geometry | undefined> {
  for (const size of sizes) {
    const found = await regionAt(source, BOOT_SECTORS * size);
    if (found !== undefined && 2 ** found.boot.sectorShift === size) return found;
  }
  return undefined;
}

async function regionAt(source: Source, bootAt: number): Promise<Geometry | undefined> {
  const sector = new Uint8Array(BOOT_BYTES);
  if (bootAt + BOOT_BYTES > source.size || (await source.read(bootAt, sector)).length > 0) return undefined;
  if (latin1(sector, 3, BOOT_MARK.length) !== BOOT_MARK) return undefined;
  const boot = bootSector.decode(sector);
  if (bootSector.violations(boot).length > 0) return undefined;
  const sectorSize = 2 ** boot.sectorShift;
  const cluster = sectorSize * 2 ** boot.clusterShift;
  const heapAt = boot.heapAt * sectorSize;
  const isInside = boot.root < boot.clusters + 2 && boot.tableAt < boot.heapAt;
  if (!isInside || (boot.clusters + 2) * WORD > boot.tableSectors * sectorSize) return undefined;
  const active = boot.tables === 2 ? boot.flags & SECOND_TABLE : 0;
  const tableAt = (boot.tableAt + active * boot.tableSectors) * sectorSize;
  return {
    boot,
    bootAt,
    isSummed: await sumAgrees(source, bootAt, sectorSize),
    cluster,
    heapAt,
    bytes: boot.sectors * sectorSize,
    table: { copies: [tableAt], width: 32, clusters: boot.clusters },
  };
}

async function sumAgrees(source: Source, at: number, sectorSize: number): Promise<boolean> {
  const region = new Uint8Array(BOOT_SECTORS * sectorSize);
  if (at + region.length > source.size || (await source.read(at, region)).length > 0) return false;
  let sum = 0;
  const end = (BOOT_SECTORS - 1) * sectorSize;
  for (let i = 0; i < end; i++) if (!UNSUMMED.includes(i)) sum = (((sum << 31) | (sum >>> 1)) + region[i]) >>> 0;
  const view = viewOf(region);
  for (let i = end; i < region.length; i += WORD) if (view.getUint32(i, true) !== sum) return false;
  return true;
}
