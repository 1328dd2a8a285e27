/** Whether bytes are an image, also one whose header is gone. Reads little. */

import type { Cx } from '../../../core/format.ts';
import { slice } from '../../../core/map-source.ts';
import { VERIFIED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { detectGeometry } from './detect.ts';
import { shiftOf } from './shifted.ts';
import { header, MAGIC, V2_LENGTH } from './structs.ts';
import { surveyOf, type Table } from './survey.ts';

const SURE = 95;
const BY_FIELDS = 80;
/** A file system before all, as disks may hold images. */
const BY_SHIFT = 45;
const BY_TABLES = 40;
/** Bytes of a file without a header that are looked at: with the largest clusters the first L2 table ends here. */
const LOOKED: number = 12 * 1024 * 1024;
/** The same of a file whose name says that it is one: a raw disk may have been written over its start. */
const LOOKED_NAMED: number = 256 * 1024 * 1024;
const NAMED = /\.qc(?:ow)?2(?:::@0)?$/i;
/** Entries that make tables more than a coincidence. */
const ENOUGH = 4;

export async function looksLikeOne(
  source: Source,
  { isKnown = false, source: locator }: Pick<Cx, 'isKnown' | 'source'>,
): Promise<number> {
  const head = new Uint8Array(Math.min(header.size, source.size));
  if (head.length < V2_LENGTH) return 0;
  const lost = await source.read(0, head);
  const whole = new Uint8Array(header.size);
  whole.set(head);
  const values = header.decode(whole);
  if (lost.length === 0 && values.magic === MAGIC) return values.version === 2 || values.version === 3 ? SURE : 0;
  if (lost.length === 0 && isHeader(values, source.size)) return BY_FIELDS;
  if (isKnown) return 0;
  if ((await shiftOf(source)) > 0) return BY_SHIFT;
  return (await hasTables(source, NAMED.test(locator) ? LOOKED_NAMED : LOOKED)) ? BY_TABLES : 0;
}

/** Whether the fields of a header agree with each other, whatever its magic is. */
export function isHeader(values: ReturnType<typeof header.decode>, end: number): boolean {
  const { clusterBits, l1At, l1Entries, refcountTableAt, size, version } = values;
  if ((version !== 2 && version !== 3) || clusterBits < 9 || clusterBits > 21 || l1Entries === 0) return false;
  const isPlace = (at: number): boolean => at > 0 && at < end && at % 2 ** clusterBits === 0;
  return isPlace(l1At) && isPlace(refcountTableAt) && size > 0 && size < 2 ** 52;
}

/** A table that leads to tables, or one that leads to the clusters right behind it. */
async function hasTables(source: Source, length: number): Promise<boolean> {
  const geometry = await detectGeometry(source, length, 'qcow2.header');
  if (geometry === undefined) return false;
  const { clusterSize } = geometry;
  const near = Math.ceil(Math.min(length, source.size) / clusterSize);
  // Offsets may lead anywhere in the file, but only its start is read.
  const view = slice(source, 0, source.size, VERIFIED);
  const { plain, tables } = await surveyOf(
    view,
    geometry,
    (cluster) => cluster > 0 && cluster < near,
    new AbortController().signal,
  );
  const isL2 = (at: number): boolean => (tables.get(at)?.targets.length ?? 0) > 0;
  for (const table of plain.values()) {
    if (table.copied > 0 && table.targets.filter(isL2).some((at) => at > 0)) return true;
  }
  const follows = (table: Table): boolean =>
    (table.copied >= ENOUGH || table.compressed >= ENOUGH) &&
    table.targets.some((at) => at >= table.at + clusterSize && at < table.at + 2 * clusterSize);
  return [...tables.values()].some(follows);
}
