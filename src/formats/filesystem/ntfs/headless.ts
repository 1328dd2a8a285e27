/** Volumes that lost both boot sectors: what records of $MFT and $MFTMirr say of where they lie gives the layout. */
import type { Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import type { Geometry } from './boot.ts';
import { isMft, recordAt } from './mft.ts';
import type { FileRecord } from './record.ts';
import { decodeRuns, SPARSE } from './runs.ts';
import { findMft } from './sift.ts';
import { BITMAP_RECORD, DATA_ATTRIBUTE, MIRROR_RECORD } from './structs.ts';

const MAX_CLUSTER = 2 * 1024 * 1024;

/** The layout by the records themselves. `most`: bytes that are looked through for them. */
export async function withoutBoot(source: Source, cx: Cx, most: number): Promise<Geometry | undefined> {
  const found = await findMft(source, cx, most);
  if (!isMft(found)) return undefined;
  const size = found.bytes.length;
  const table = lyingOf(found);
  // The record beside it tells where the mirror lies, whichever of the two was found.
  const second = await recordAt(source, found.at + size, size, MIRROR_RECORD);
  const copy = second === undefined ? undefined : lyingOf(second);
  // A map in several records does not tell in its first part how long clusters are; that of the mirror is short.
  const cluster = table?.cluster ?? copy?.cluster;
  if (table === undefined || cluster === undefined) return undefined;
  const isOwn = table.lcn * cluster === found.at;
  const isCopy = copy !== undefined && copy.lcn * cluster === found.at;
  // Anything else is a record of a volume that starts elsewhere.
  if (!isOwn && !isCopy) return undefined;
  const bitmap = await recordAt(source, table.lcn * cluster + BITMAP_RECORD * size, size, BITMAP_RECORD);
  const bits = bitmap?.attributes.find(({ type, lying }) => type === DATA_ATTRIBUTE && lying !== undefined)?.lying
    ?.size;
  const whole = Math.floor(source.size / cluster);
  return {
    bootAt: undefined,
    sectorSize: 512,
    cluster,
    record: size,
    // The bitmap is rounded up to eight bytes.
    clusters: bits === undefined ? whole : Math.min(bits * 8, whole),
    bytes: source.size,
    mft: table.lcn,
    mirror: copy?.lcn ?? Math.floor(found.at / cluster),
    serial: '',
  };
}

/** Where a file that has clusters starts, and how long clusters are by what it has of them. */
function lyingOf(record: FileRecord): { readonly lcn: number; readonly cluster: number | undefined } | undefined {
  const one = record.attributes.find(({ type, name, lying }) => type === DATA_ATTRIBUTE && name === '' && lying);
  if (one?.lying === undefined || one.lying.firstVcn !== 0) return undefined;
  let lcn = SPARSE;
  let count = 0;
  decodeRuns(record.bytes, one.at + one.lying.runsAt, one.at + one.length, (length, at) => {
    if (count === 0) lcn = at;
    count += length;
  });
  const cluster = one.lying.allocated / count;
  const isPower = cluster >= 512 && cluster <= MAX_CLUSTER && Number.isInteger(Math.log2(cluster));
  return lcn > 0 ? { lcn, cluster: isPower ? cluster : undefined } : undefined;
}
