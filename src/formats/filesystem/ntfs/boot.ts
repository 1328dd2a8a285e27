/** The boot sector, its copy in the last sector, and what both say of the volume. */
import type { Source } from '../../../core/source.ts';
import { latin1, type Values } from '../../../core/struct.ts';
import { BOOT_BYTES, bootSector, OEM } from './structs.ts';

const SIGNATURE = 0xaa55;
const MAX_CLUSTER = 2 * 1024 * 1024;
const MAX_RECORD = 65_536;
/** Values of one byte above this are powers of two: 2 ** (256 - n). */
const POWERS = 0x80;
const MAX_BYTES = 2 ** 52;

export interface Geometry {
  /** Where the boot sector stood that says so, in bytes; undefined where it was made up for. */
  readonly bootAt: number | undefined;
  readonly sectorSize: number;
  /** Bytes of a cluster, of a file record. */
  readonly cluster: number;
  readonly record: number;
  readonly clusters: number;
  /** Bytes up to the copy of the boot sector. */
  readonly bytes: number;
  /** Clusters at which $MFT and $MFTMirr start. */
  readonly mft: number;
  readonly mirror: number;
  readonly serial: string;
}

/** What a boot sector that lies at `at` says; undefined where it is none. */
export function bootIn(sector: Uint8Array, at: number): Geometry | undefined {
  if (sector.length < BOOT_BYTES || latin1(sector, 3, OEM.length) !== OEM) return undefined;
  const boot: Values<typeof bootSector.fields> = bootSector.decode(sector);
  if (bootSector.violations(boot).length > 0) return undefined;
  const { sectorSize, sectors, mft, mirror } = boot;
  const cluster = sectorSize * (boot.perCluster > POWERS ? 2 ** (256 - boot.perCluster) : boot.perCluster);
  const record = boot.recordSize > POWERS ? 2 ** (256 - boot.recordSize) : boot.recordSize * cluster;
  const isPower = (n: number, most: number): boolean => n >= 512 && n <= most && Number.isInteger(Math.log2(n));
  const clusters = Math.floor((sectors * sectorSize) / cluster);
  if (!isPower(cluster, MAX_CLUSTER) || !isPower(record, MAX_RECORD) || sectors * sectorSize > MAX_BYTES)
    return undefined;
  if (mft >= clusters || mft === 0) return undefined;
  const word = (n: number): string => n.toString(16).toUpperCase().padStart(8, '0');
  const serial = word(boot.serial.high) + word(boot.serial.low);
  return { bootAt: at, sectorSize, cluster, record, clusters, bytes: sectors * sectorSize, mft, mirror, serial };
}

/** What the boot sector at the start says. `isSigned` tells whether it ends as boot sectors do. */
export async function primaryBoot(source: Source): Promise<{ geometry: Geometry; isSigned: boolean } | undefined> {
  const sector = await sectorAt(source, 0);
  const geometry = sector === undefined ? undefined : bootIn(sector, 0);
  if (geometry === undefined) return undefined;
  return { geometry, isSigned: bootSector.decode(sector!).signature === SIGNATURE };
}

/** What the copy says that stands behind the last cluster; volumes of NT 3 and 4 have it in their middle. */
export async function copyOfBoot(source: Source): Promise<Geometry | undefined> {
  const ends = [512, 1024, 2048, 4096].map((size) => Math.floor(source.size / size) * size - size);
  const middles = [Math.floor(source.size / 1024) * 512, Math.floor(source.size / 1024) * 512 - 512];
  for (const at of [...ends, ...middles]) {
    const sector = await sectorAt(source, at);
    const found = sector === undefined || at <= 0 ? undefined : bootIn(sector, at);
    // It belongs to what starts here only if it stands where it says that its volume ends.
    if (found !== undefined && (found.bytes === at || middles.includes(at))) return found;
  }
  return undefined;
}

/** Whether two boot sectors say the same of where things lie. */
export function agrees(a: Geometry, b: Geometry): boolean {
  const fields = ['cluster', 'record', 'bytes', 'mft', 'mirror', 'serial'] as const;
  return fields.every((field) => a[field] === b[field]);
}

/** The copy where a boot sector says that it stands; undefined where there is none. */
export async function copyFor(source: Source, of: Geometry): Promise<Geometry | undefined> {
  const sector = await sectorAt(source, of.bytes);
  return sector === undefined ? undefined : bootIn(sector, of.bytes);
}

async function sectorAt(source: Source, at: number): Promise<Uint8Array | undefined> {
  if (at < 0 || at + BOOT_BYTES > source.size) return undefined;
  const sector = new Uint8Array(BOOT_BYTES);
  return (await source.read(at, sector)).length > 0 ? undefined : sector;
}
