/** Where the $MFT lies: told by its own first record, by the copy of that in $MFTMirr, or by the records themselves. */
import type { Cx } from '../../../core/format.ts';
import { data, missing, segments } from '../../../core/map-source.ts';
import { INFERRED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import type { Geometry } from './boot.ts';
import { type Fetch, fileOf, namesIn, streamIn } from './file.ts';
import type { Ground } from './ground.ts';
import { type Doubt, decodeRecord, type FileRecord, isInUse } from './record.ts';
import { Records, type Table } from './records.ts';
import { type Extents, LOST_RUN } from './runs.ts';
import { siftRecords } from './sift.ts';
import { bytesOf, type Stream } from './stream.ts';
import { BITMAP, DATA_ATTRIBUTE, MFT_RECORD, MIRRORED, ROOT_RECORD } from './structs.ts';

const MFT_NAME = '$MFT';

export interface Opened {
  readonly records: Records;
  readonly doubts: readonly Doubt[];
  /** Why nothing of the volume can be stated, where that is so. */
  readonly doubt?: string;
}

/** A record that stands by itself at a place of the volume. */
export async function recordAt(
  source: Source,
  at: number,
  size: number,
  number: number,
): Promise<FileRecord | undefined> {
  if (at < 0 || at + size > source.size) return undefined;
  const bytes = new Uint8Array(size);
  if ((await source.read(at, bytes)).length > 0) return undefined;
  return decodeRecord(bytes, number, { source, at, place: at });
}

/** Whether a record is that of $MFT. */
export function isMft(record: FileRecord | undefined): record is FileRecord {
  if (record === undefined || !isInUse(record) || record.base !== 0) return false;
  return namesIn(record.attributes).some(({ name, parent }) => name === MFT_NAME && parent === ROOT_RECORD);
}

/** Finds the $MFT; undefined where nothing is left that tells of it. */
export async function openMft(source: Source, g: Geometry, cx: Cx): Promise<Opened | undefined> {
  const doubts: Doubt[] = [];
  const first = await recordAt(source, g.mft * g.cluster, g.record, MFT_RECORD);
  const copy = await recordAt(source, g.mirror * g.cluster, g.record, MFT_RECORD);
  const isFirst = isMft(first) && first.doubts.length === 0;
  const isCopy = isMft(copy) && copy.doubts.length === 0;
  if (!isFirst) {
    const actual = isMft(first) ? first.doubts.map(({ code }) => code).join(', ') : 'none';
    const expected = 'the record of $MFT, whole';
    doubts.push({ at: g.mft * g.cluster, code: 'ntfs.mft.record', expected, actual });
  }
  if (!isCopy) {
    const expected = 'a copy of the first records';
    doubts.push({ at: g.mirror * g.cluster, code: 'ntfs.mirror', expected, actual: 'none that can be used' });
  }
  const told = isFirst ? first : isCopy ? copy : isMft(first) ? first : isMft(copy) ? copy : undefined;
  const found = told === undefined ? undefined : await tableOf(source, g, told, doubts);
  if (found !== undefined) return found;
  const extents = await siftRecords(source, g, cx);
  if (extents === undefined) return undefined;
  doubts.push({ at: g.mft * g.cluster, code: 'ntfs.mft', expected: 'where $MFT lies', actual: 'nothing that says so' });
  return { records: new Records({ ...plainTable(source, g, extents), copies: new Map() }), doubts, doubt: 'ntfs.mft' };
}

async function tableOf(source: Source, g: Geometry, told: FileRecord, doubts: Doubt[]): Promise<Opened | undefined> {
  const ground: Ground = { source, cluster: g.cluster, clusters: g.clusters };
  const own = streamIn(ground, { record: told, attributes: told.attributes, doubts: [] }, DATA_ATTRIBUTE);
  if (own === undefined || own.extents === undefined) return undefined;
  // The records with more of its map stand in the part of it that is known already.
  const part = new Records(tableFrom(ground, g, own, new Map()));
  const fetch: Fetch = (number) => part.raw(number);
  const file = await fileOf(ground, told, fetch);
  doubts.push(...file.doubts);
  const stream = streamIn(ground, file, DATA_ATTRIBUTE)!;
  const copies = await copiesOf(source, g, stream.extents!, doubts);
  const bits = streamIn(ground, file, BITMAP);
  const bitmap = bits === undefined ? undefined : bytesOf(ground, bits);
  const records = new Records({ ...tableFrom(ground, g, stream, copies), bitmap });
  const code = told.doubts[0]?.code ?? file.doubts[0]?.code ?? stream.doubt;
  if (stream.doubt !== undefined && told.doubts.length === 0) {
    doubts.push({
      at: told.place,
      code: stream.doubt,
      expected: 'a map of $MFT whose checks agree',
      actual: 'another',
    });
  }
  return code === undefined ? { records, doubts } : { records, doubts, doubt: code };
}

function tableFrom(ground: Ground, g: Geometry, stream: Stream, copies: Map<number, FileRecord>): Table {
  return {
    source: bytesOf(ground, stream),
    extents: stream.extents!,
    cluster: g.cluster,
    record: g.record,
    most: ground.source.size,
    copies,
  };
}

/** The first records from $MFTMirr, where they cannot be read in their places. */
async function copiesOf(
  source: Source,
  g: Geometry,
  extents: Extents,
  doubts: Doubt[],
): Promise<Map<number, FileRecord>> {
  const out = new Map<number, FileRecord>();
  const start = extents.n > 0 && extents.lcn[0] >= 0 ? extents.lcn[0] * g.cluster : g.mft * g.cluster;
  for (let number = 0; number < MIRRORED; number++) {
    // In their places they may be cut by the end of a run; a record that is fine there is found by reading the table.
    const inner = number * g.record;
    const i = extents.indexOf(Math.floor(inner / g.cluster));
    const place = i >= 0 && extents.lcn[i] >= 0 ? (extents.lcn[i] - extents.vcn[i]) * g.cluster + inner : start + inner;
    const own = await recordAt(source, place, g.record, number);
    if (own !== undefined && own.doubts.length === 0) continue;
    const copy = await recordAt(source, g.mirror * g.cluster + inner, g.record, number);
    if (copy === undefined || copy.doubts.length > 0) continue;
    out.set(number, copy);
    if (number > 0) {
      const expected = `record ${number}, whole`;
      doubts.push({ at: place, code: 'ntfs.record.copy', expected, actual: 'a damaged one; its copy is used' });
    }
  }
  return out;
}

/** A table that nothing but its records tells of. */
function plainTable(source: Source, g: Geometry, extents: Extents): Omit<Table, 'copies'> {
  const why = { what: 'the numbers that NTFS file records hold', source, at: 0, code: 'ntfs.mft' };
  const runs = Array.from({ length: extents.n }, (_, i) => {
    const length = (extents.endOf(i) - extents.vcn[i]) * g.cluster;
    return extents.lcn[i] === LOST_RUN
      ? missing(length, why)
      : data(source, extents.lcn[i] * g.cluster, length, INFERRED, why);
  });
  return { source: segments(runs), extents, cluster: g.cluster, record: g.record, most: source.size };
}
