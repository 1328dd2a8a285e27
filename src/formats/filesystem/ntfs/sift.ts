/** File records wherever they stand: each says its number, so that together they tell where the $MFT lies. */
import type { Finder } from '../../../core/finder.ts';
import { textKey } from '../../../core/finder.ts';
import type { Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import type { Geometry } from './boot.ts';
import { decodeRecord, type FileRecord, isRecord } from './record.ts';
import { Extents, LOST_RUN } from './runs.ts';
import { MFT_RECORD, RECORD_HEAD, recordHeader, STRIDE, USA_WITH_NUMBER } from './structs.ts';

const RECORD_KIND = 'ntfs.record';
/** Records that scans note: the first ones, and one of so many. */
const FIRST = 24;
const EACH = 32;
const SIZES: readonly number[] = [1024, 4096, 512, 2048];
const BLOCK = 1024 * 1024;
/** How far a table is followed without a scan, in bytes. */
const MAX_TABLE = 2 ** 36;
/** Bytes without a record behind which it is not followed further. */
const MAX_GAP = 4 * BLOCK;
const MAX_HITS = 1_000_000;

/** The number that a record gives itself; undefined where there is none, or an older version of NTFS wrote it. */
function ownNumber(bytes: Uint8Array, at: number): { readonly number: number; readonly size: number } | undefined {
  if (at + RECORD_HEAD > bytes.length || !isRecord(bytes, at)) return undefined;
  const { usaAt, usaCount, allocated, used, number, first } = recordHeader.decode(bytes, at);
  const isSized = SIZES.includes(allocated) && usaCount === allocated / STRIDE + 1 && used <= allocated;
  return isSized && usaAt >= USA_WITH_NUMBER && first < used ? { number, size: allocated } : undefined;
}

/** Records of any $MFT, as scans look for them. */
export const recordFinder: Finder = {
  align: 512,
  keys: [textKey(0, 'FILE')],
  need: 4096,
  examine(block, at, emit) {
    const found = ownNumber(block, 0);
    if (found === undefined || block.length < found.size) return;
    const { number, size } = found;
    if (number >= FIRST && number % EACH !== 0) return;
    const bytes = block.slice(0, size);
    const record = decodeRecord(bytes, number, { source: NOWHERE, at, place: at });
    if (record === undefined || record.doubts.length > 0) return;
    emit({ kind: RECORD_KIND, at, length: size, base: at - number * size, facts: { number, size } });
  },
};

const NOWHERE: Source = {
  size: 0,
  read: () => Promise.resolve([]),
  runs: () => 0,
};

/** Puts the $MFT together from its records; undefined where there are none. */
export async function siftRecords(source: Source, g: Geometry, cx: Cx): Promise<Extents | undefined> {
  const found = new Map<number, number>();
  const budget = { bytes: 2 * source.size + MAX_GAP };
  await follow(source, g, g.mft * g.cluster, 0, found, cx, budget);
  for (const hit of (cx.found?.hits(source, RECORD_KIND) ?? []).slice(0, MAX_HITS)) {
    const number = Number(hit.facts?.number);
    const first = Math.floor((number * g.record) / g.cluster);
    if (hit.length !== g.record || hit.at % g.cluster !== 0 || found.has(first)) continue;
    await follow(source, g, hit.at, number, found, cx, budget);
  }
  return found.size === 0 ? undefined : extentsOf(found);
}

/** Enters the clusters of records that stand in order from `at` on: cluster of the table to cluster of the volume. */
async function follow(
  source: Source,
  g: Geometry,
  at: number,
  number: number,
  found: Map<number, number>,
  cx: Cx,
  budget: { bytes: number },
): Promise<void> {
  const base = at - number * g.record;
  let last = at;
  for (let from = at; from < source.size && from - last <= MAX_GAP && from - at < MAX_TABLE; from += BLOCK) {
    if (cx.signal.aborted || budget.bytes <= 0) return;
    const block = new Uint8Array(Math.min(BLOCK, source.size - from));
    await source.read(from, block);
    budget.bytes -= block.length;
    for (let i = 0; i + g.record <= block.length; i += g.record) {
      const one = ownNumber(block, i);
      if (one?.size !== g.record || one.number !== (from + i - base) / g.record) continue;
      last = from + i;
      for (let byte = from + i; byte < from + i + g.record; byte += g.cluster) {
        const vcn = Math.floor((byte - base) / g.cluster);
        if (!found.has(vcn)) found.set(vcn, Math.floor(byte / g.cluster));
      }
    }
  }
}

function extentsOf(found: ReadonlyMap<number, number>): Extents {
  const out = new Extents();
  const sorted = [...found].sort((a, b) => a[0] - b[0]);
  for (let i = 0; i < sorted.length; ) {
    const [vcn, lcn] = sorted[i];
    let length = 1;
    while (sorted[i + length]?.[0] === vcn + length && sorted[i + length][1] === lcn + length) length++;
    out.add(vcn - out.end, LOST_RUN);
    out.add(length, lcn);
    i += length;
  }
  return out;
}

/** Where $MFT, or its copy, may begin on a volume without a boot sector: places of mkntfs and of Windows. */
function usualPlaces(size: number): number[] {
  const out: number[] = [];
  for (let cluster = 512; cluster <= 65_536; cluster *= 2) {
    const clusters = Math.floor((size - 512) / cluster);
    const mirror = Math.floor(clusters / 2) * cluster;
    // mkntfs begins behind the boot file, Windows at a fixed place or at a third, and with the copy at the third cluster.
    out.push(4 * cluster, 8192, 16_384, 2 * cluster, 786_432 * cluster, Math.floor(clusters / 3) * cluster, mirror);
  }
  return [...new Set(out)].filter((at) => at + 1024 <= size);
}

/** The record of $MFT, or the copy of it, at one of the usual places, or where a scan found it, or near the start. */
export async function findMft(source: Source, cx: Cx, most: number): Promise<FileRecord | undefined> {
  const hits = (cx.found?.hits(source, RECORD_KIND) ?? []).filter((hit) => hit.facts?.number === MFT_RECORD);
  for (const at of [...hits.map((hit) => hit.at), ...usualPlaces(source.size)]) {
    const head = new Uint8Array(4096);
    await source.read(at, head.subarray(0, Math.min(4096, source.size - at)));
    const found = mftIn(source, head, 0, at);
    if (found !== undefined) return found;
  }
  for (let at = 0; at < Math.min(most, source.size) && !cx.signal.aborted; at += BLOCK) {
    const block = new Uint8Array(Math.min(BLOCK + 4096, source.size - at));
    await source.read(at, block);
    for (let i = 0; i < Math.min(BLOCK, block.length - RECORD_HEAD); i += STRIDE) {
      const found = block[i] === 0x46 ? mftIn(source, block, i, at + i) : undefined;
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function mftIn(source: Source, bytes: Uint8Array, i: number, at: number): FileRecord | undefined {
  const own = ownNumber(bytes, i);
  if (own?.number !== MFT_RECORD || i + own.size > bytes.length) return undefined;
  const record = decodeRecord(bytes.slice(i, i + own.size), MFT_RECORD, { source, at, place: at });
  return record !== undefined && record.doubts.length === 0 ? record : undefined;
}
