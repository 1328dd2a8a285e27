/** Which clusters an NTFS volume has taken, from its $Bitmap. */
import type { Source } from '../../../core/source.ts';
import { type Geometry, primaryBoot } from '../ntfs/boot.ts';
import { streamIn, valueIn } from '../ntfs/file.ts';
import { recordAt } from '../ntfs/mft.ts';
import { type FileRecord, isInUse } from '../ntfs/record.ts';
import type { Extents } from '../ntfs/runs.ts';
import {
  BITMAP_RECORD,
  BOOT_BYTES,
  DATA_ATTRIBUTE,
  MFT_RECORD,
  STANDARD_INFORMATION,
  standardInformation,
  timeOf,
} from '../ntfs/structs.ts';
import { bitRuns, type Stretch } from './stretch.ts';

/** Bytes of $Bitmap that are read at a time. */
const PART = 1024 * 1024;
/** Records of the $MFT that lie together on any volume. */
const FIRST_RECORDS = 16;
const SECURE_RECORD = 9;
/** Records of which it is looked up where their files end. */
const MAX_RECORDS = 65_536;
const SECURE_STREAM = '$SDS';

/** When the volume was made, in seconds since 1970, by its $MFT; undefined where this is no NTFS or that is lost. */
export async function ntfsMade(source: Source): Promise<number | undefined> {
  const g = await geometryOf(source);
  const record = g === undefined ? undefined : await wholeRecord(source, g, MFT_RECORD);
  const attribute = record?.attributes.find((one) => one.type === STANDARD_INFORMATION);
  const value = attribute === undefined ? undefined : valueIn(attribute);
  if (value === undefined || value.length < standardInformation.size) return undefined;
  return Math.floor(timeOf(standardInformation.decode(value).created));
}

/** Yields what is taken, in order; nothing where this is no NTFS, or where its $Bitmap is lost. */
export async function* ntfsAllocated(source: Source): AsyncGenerator<Stretch> {
  const g = await geometryOf(source);
  if (g === undefined) return;
  const { cluster, clusters } = g;
  yield { from: 0, end: BOOT_BYTES, written: true };
  // The copy of the boot sector lies behind the last cluster.
  yield { from: g.bytes, end: g.bytes + g.sectorSize, written: true };
  const extents = await extentsOf(source, g, BITMAP_RECORD);
  let first = 0;
  for (let i = 0; extents !== undefined && i < extents.n; i++) {
    const bytes = (extents.endOf(i) - extents.vcn[i]) * cluster;
    for (let at = 0; at < bytes && first < clusters && extents.lcn[i] >= 0; at += PART) {
      const part = new Uint8Array(Math.min(PART, bytes - at));
      await source.read(extents.lcn[i] * cluster + at, part);
      for (const [from, end] of bitRuns(part, clusters - first)) {
        yield { from: (first + from) * cluster, end: (first + end) * cluster, written: true };
      }
      first += part.length * 8;
    }
  }
}

/**
 * Where the record of a number lies, in bytes, by the map of $MFT; by the boot sector alone where that is not had, for
 * the first records. Undefined where this is no NTFS.
 */
export async function ntfsRecords(source: Source): Promise<((number: number) => number | undefined) | undefined> {
  const g = await geometryOf(source);
  if (g === undefined) return undefined;
  const extents = await extentsOf(source, g, MFT_RECORD);
  return (number) => {
    if (extents === undefined) return number < FIRST_RECORDS ? g.mft * g.cluster + number * g.record : undefined;
    const vcn = Math.floor((number * g.record) / g.cluster);
    for (let i = 0; i < extents.n; i++) {
      if (vcn < extents.vcn[i] || vcn >= extents.endOf(i) || extents.lcn[i] < 0) continue;
      return (extents.lcn[i] - extents.vcn[i]) * g.cluster + number * g.record;
    }
    return undefined;
  };
}

/**
 * What NTFS has taken and may never have written: the descriptors of $Secure, which it writes twice, 256 KiB apart.
 * Bytes from the start of the file system, as [start, end).
 */
export async function ntfsBlank(source: Source): Promise<[number, number][]> {
  const g = await geometryOf(source);
  const extents = g === undefined ? undefined : await extentsOf(source, g, SECURE_RECORD, SECURE_STREAM);
  const out: [number, number][] = [];
  for (let i = 0; g !== undefined && extents !== undefined && i < extents.n; i++) {
    const from = extents.lcn[i] * g.cluster;
    if (from >= 0) out.push([from, from + (extents.endOf(i) - extents.vcn[i]) * g.cluster]);
  }
  return out;
}

/** Bytes whose place is known, and whether some could be these. */
export interface Known {
  /** Bytes from the start of the file system. */
  readonly at: number;
  readonly length: number;
  /** `bytes` may be no more than the first of them. */
  test(bytes: Uint8Array): boolean;
}

/** The start of $Bitmap: it calls all files of the system taken. Undefined where its record is lost. */
export async function ntfsBitmap(source: Source): Promise<Known | undefined> {
  const g = await geometryOf(source);
  const extents = g === undefined ? undefined : await extentsOf(source, g, BITMAP_RECORD);
  if (g === undefined || extents === undefined || extents.n === 0) return undefined;
  const length = Math.min(PART, extents.endOf(0) * g.cluster);
  const taken: [number, number][] = [[0, BOOT_BYTES / g.cluster]];
  for (let number = 0; number < FIRST_RECORDS; number++) {
    const own = await extentsOf(source, g, number);
    // $BadClus has all clusters, most of them as a hole.
    for (let i = 0; own !== undefined && i < own.n; i++)
      if (own.lcn[i] >= 0) taken.push([own.lcn[i], own.lcn[i] + own.endOf(i) - own.vcn[i]]);
  }
  // What lies behind the last cluster is called taken as well.
  taken.push([g.clusters, Math.ceil(g.clusters / 8) * 8]);
  const test = (bytes: Uint8Array): boolean => {
    if (bytes.length === length && bytes.every((byte) => byte === 0xff)) return false;
    return taken.every(([from, end]) => {
      for (let bit = from; bit < Math.min(end, bytes.length * 8); bit++)
        if ((bytes[bit >>> 3] & (1 << (bit & 7))) === 0) return false;
      return true;
    });
  };
  return { at: extents.lcn[0] * g.cluster, length, test };
}

/** Ends of the files of an NTFS volume, by the records of its $MFT, in bytes from its start; nothing where this is none. */
export async function* ntfsEnds(source: Source): AsyncGenerator<number> {
  const g = await geometryOf(source);
  const mft = g === undefined ? undefined : await extentsOf(source, g, MFT_RECORD);
  if (g === undefined || mft === undefined) return;
  const { cluster, clusters } = g;
  let looked = 0;
  for (let run = 0; run < mft.n; run++) {
    const first = Math.ceil((mft.vcn[run] * cluster) / g.record);
    const end = Math.floor((mft.endOf(run) * cluster) / g.record);
    for (let number = first; number < end && mft.lcn[run] >= 0 && looked < MAX_RECORDS; number++, looked++) {
      const at = (mft.lcn[run] - mft.vcn[run]) * cluster + number * g.record;
      const record = await recordAt(source, at, g.record, number);
      if (record === undefined || record.torn.length > 0 || !isInUse(record) || record.base !== 0) continue;
      const file = { record, attributes: record.attributes, doubts: [] };
      const stream = streamIn({ source, cluster, clusters }, file, DATA_ATTRIBUTE);
      const last = stream === undefined ? -1 : Math.floor((stream.size - 1) / cluster);
      const own = stream?.extents?.indexOf(last) ?? -1;
      if (stream?.extents === undefined || own < 0 || last >= stream.extents.endOf(own)) continue;
      const lcn = stream.extents.lcn[own];
      // What was never written behind what was may hold anything on the disk; compressed data ends elsewhere.
      if (lcn >= 0 && stream.unit === 0 && stream.initialized === stream.size)
        yield (lcn - stream.extents.vcn[own]) * cluster + stream.size;
    }
  }
}

async function extentsOf(source: Source, g: Geometry, number: number, name = ''): Promise<Extents | undefined> {
  const record = await wholeRecord(source, g, number);
  if (record === undefined) return undefined;
  const { cluster, clusters } = g;
  const file = { record, attributes: record.attributes, doubts: [] };
  return streamIn({ source, cluster, clusters }, file, DATA_ATTRIBUTE, name)?.extents;
}

async function geometryOf(source: Source): Promise<Geometry | undefined> {
  return source.size < 4096 ? undefined : (await primaryBoot(source))?.geometry;
}

/** A record of the first ones, by the boot sector alone; undefined where it is damaged. */
async function wholeRecord(source: Source, g: Geometry, number: number): Promise<FileRecord | undefined> {
  const record = await recordAt(source, g.mft * g.cluster + number * g.record, g.record, number);
  return record === undefined || record.torn.length > 0 ? undefined : record;
}
