/** Which clusters an NTFS volume has taken, from its $Bitmap. Source: Microsoft's boot sector and the Linux-NTFS documentation. */
import type { Source } from '../../../core/source.ts';
import { bytes8, latin1, struct, u8, u16, u64, type Values, viewOf } from '../../../core/struct.ts';
import { bitRuns, type Stretch } from './stretch.ts';

const BITMAP_RECORD = 6;
const INFORMATION = 0x10;
const DATA_ATTRIBUTE = 0x80;
/** NTFS counts 100 ns since 1601; seconds from there to 1970. */
const TICKS = 10_000_000;
const EPOCH = 11_644_473_600;
const LAST_ATTRIBUTE = 0xffffffff;
const MAX_RUNS = 65_536;
/** Bytes of $Bitmap that are read at a time. */
const PART = 1024 * 1024;

const bootSector = struct('NTFS boot sector', 512, {
  oem: bytes8(3),
  sectorSize: u16(0x0b, { oneOf: [512, 1024, 2048, 4096] }),
  perCluster: u8(0x0d, { min: 1 }),
  sectors: u64(0x28),
  mft: u64(0x30),
  recordSize: u8(0x40),
});

interface Run {
  /** Clusters. */
  readonly at: number;
  readonly length: number;
}

/** When the volume was made, in seconds since 1970, by its $MFT; undefined where this is no NTFS or that is lost. */
export async function ntfsMade(source: Source): Promise<number | undefined> {
  const volume = await volumeOf(source);
  const attribute = volume === undefined ? undefined : attributeOf(await recordOf(source, volume, 0), INFORMATION);
  if (attribute === undefined || attribute[8] !== 0 || attribute.length < 32) return undefined;
  const view = viewOf(attribute);
  const at = view.getUint16(20, true);
  if (at + 8 > attribute.length) return undefined;
  const ticks = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
  return Math.floor(ticks / TICKS) - EPOCH;
}

/** Yields what is taken, in order; nothing where this is no NTFS, or where its $Bitmap is lost. */
export async function* ntfsAllocated(source: Source): AsyncGenerator<Stretch> {
  const volume = await volumeOf(source);
  if (volume === undefined) return;
  const { boot, cluster } = volume;
  const count = Math.floor((boot.sectors * boot.sectorSize) / cluster);
  yield { from: 0, end: 512, written: true };
  // The copy of the boot sector lies behind the last cluster.
  yield { from: boot.sectors * boot.sectorSize, end: (boot.sectors + 1) * boot.sectorSize, written: true };
  const attribute = attributeOf(await recordOf(source, volume, BITMAP_RECORD), DATA_ATTRIBUTE);
  if (attribute === undefined || attribute[8] !== 1 || attribute.length < 64) return;
  let first = 0;
  for (const run of runsOf(attribute.subarray(viewOf(attribute).getUint16(32, true)))) {
    for (let at = 0; at < run.length * cluster && first < count; at += PART) {
      const part = new Uint8Array(Math.min(PART, run.length * cluster - at));
      await source.read(run.at * cluster + at, part);
      for (const [from, end] of bitRuns(part, count - first)) {
        yield { from: (first + from) * cluster, end: (first + end) * cluster, written: true };
      }
      first += part.length * 8;
    }
  }
}

interface Volume {
  readonly boot: Values<typeof bootSector.fields>;
  /** Bytes of a cluster, and of a file record. */
  readonly cluster: number;
  readonly record: number;
}

async function volumeOf(source: Source): Promise<Volume | undefined> {
  if (source.size < 4096) return undefined;
  const sector = new Uint8Array(512);
  await source.read(0, sector);
  const boot = bootSector.decode(sector);
  if (latin1(sector, 3, 8) !== 'NTFS    ' || bootSector.violations(boot).length > 0) return undefined;
  const cluster = boot.sectorSize * (boot.perCluster > 0x80 ? 2 ** (256 - boot.perCluster) : boot.perCluster);
  const record = boot.recordSize > 0x80 ? 2 ** (256 - boot.recordSize) : boot.recordSize * cluster;
  return record >= 512 && record <= 65536 ? { boot, cluster, record } : undefined;
}

async function recordOf(source: Source, { boot, cluster, record }: Volume, number: number): Promise<Uint8Array> {
  const block = new Uint8Array(record);
  await source.read(boot.mft * cluster + number * record, block);
  return block;
}

/** The first unnamed attribute of a type in a file record, whole; undefined where the record does not check. */
function attributeOf(record: Uint8Array, wanted: number): Uint8Array | undefined {
  const view = viewOf(record);
  if (latin1(record, 0, 4) !== 'FILE' || !fixUp(record)) return undefined;
  let at = view.getUint16(0x14, true);
  while (at + 24 <= record.length) {
    const type = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    if (type === LAST_ATTRIBUTE || length < 24 || at + length > record.length) return undefined;
    if (type === wanted && record[at + 9] === 0) return record.subarray(at, at + length);
    at += length;
  }
  return undefined;
}

/** Puts back the bytes that the update sequence keeps; false where a sector does not carry its number. */
function fixUp(record: Uint8Array): boolean {
  const view = viewOf(record);
  const at = view.getUint16(4, true);
  const count = view.getUint16(6, true);
  if (at + 2 * count > record.length || (count - 1) * 512 > record.length) return false;
  for (let i = 1; i < count; i++) {
    if (view.getUint16(i * 512 - 2, true) !== view.getUint16(at, true)) return false;
    view.setUint16(i * 512 - 2, view.getUint16(at + 2 * i, true), true);
  }
  return true;
}

function runsOf(bytes: Uint8Array): Run[] {
  const out: Run[] = [];
  let lcn = 0;
  for (let i = 0; i < bytes.length && bytes[i] !== 0 && out.length < MAX_RUNS; ) {
    const lengthBytes = bytes[i] & 15;
    const offsetBytes = bytes[i] >>> 4;
    if (lengthBytes > 8 || offsetBytes > 8 || i + 1 + lengthBytes + offsetBytes > bytes.length) return out;
    const length = numberOf(bytes.subarray(i + 1, i + 1 + lengthBytes), false);
    lcn += numberOf(bytes.subarray(i + 1 + lengthBytes, i + 1 + lengthBytes + offsetBytes), true);
    if (offsetBytes > 0 && lcn >= 0 && length > 0) out.push({ at: lcn, length });
    i += 1 + lengthBytes + offsetBytes;
  }
  return out;
}

function numberOf(bytes: Uint8Array, signed: boolean): number {
  let value = 0;
  for (let i = bytes.length - 1; i >= 0; i--) value = value * 256 + bytes[i];
  return signed && bytes.length > 0 && bytes[bytes.length - 1] > 127 ? value - 2 ** (8 * bytes.length) : value;
}
