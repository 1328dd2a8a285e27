/** Which clusters an NTFS volume has taken, from its $Bitmap. */
import type { Source } from '../../../core/source.ts';
import { type Geometry, primaryBoot } from '../ntfs/boot.ts';
import { streamIn, valueIn } from '../ntfs/file.ts';
import { recordAt } from '../ntfs/mft.ts';
import type { FileRecord } from '../ntfs/record.ts';
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
  const record = await wholeRecord(source, g, BITMAP_RECORD);
  if (record === undefined) return;
  const file = { record, attributes: record.attributes, doubts: [] };
  const extents = streamIn({ source, cluster, clusters }, file, DATA_ATTRIBUTE)?.extents;
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

async function geometryOf(source: Source): Promise<Geometry | undefined> {
  return source.size < 4096 ? undefined : (await primaryBoot(source))?.geometry;
}

/** A record of the first ones, by the boot sector alone; undefined where it is damaged. */
async function wholeRecord(source: Source, g: Geometry, number: number): Promise<FileRecord | undefined> {
  const record = await recordAt(source, g.mft * g.cluster + number * g.record, g.record, number);
  return record === undefined || record.torn.length > 0 ? undefined : record;
}
