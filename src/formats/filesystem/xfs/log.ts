/** Whether an XFS volume was unmounted: what its log holds last. Source: guestfs.md part D5. */
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { byteOf, type Geometry } from './geometry.ts';
import { LOG_MAGIC, logOperation, logRecord, UNMOUNTED } from './structs.ts';

export const SECTOR = 512;
/** Bytes of a record whose sectors one header has the first words of. */
const CYCLE_BYTES: number = 32 * 1024;
const WINDOW = 1024 * 1024;
/** Logs are 2 GiB at most. */
const MAX_LOG = 2 ** 31;

/** A record of the log. */
export interface LogPlace {
  /** Bytes from the start of the log. */
  readonly at: number;
  readonly cycle: number;
  /** Sector of the log that it says it stands in. */
  readonly block: number;
  /** Bytes behind its headers. */
  readonly length: number;
  /** Sectors of headers. */
  readonly headers: number;
  readonly operations: number;
  readonly cycleData: Uint8Array;
}

/** All records that stand where they say; undefined where the log is not here or cannot be read. */
export async function records(
  source: Source,
  g: Geometry,
): Promise<{ readonly start: number; readonly size: number; readonly list: LogPlace[] } | undefined> {
  const start = byteOf(g, g.super.logAt);
  const size = g.super.logBlocks * g.blockSize;
  // A log on another device is not here to be asked.
  if (g.super.logAt === 0 || start === undefined || size === 0 || size > MAX_LOG) return undefined;
  const list: LogPlace[] = [];
  const window = new Uint8Array(WINDOW);
  for (let from = 0; from < size; from += WINDOW) {
    const part = window.subarray(0, Math.min(WINDOW, size - from));
    if (start + from + part.length > source.size) return undefined;
    if ((await source.read(start + from, part)).length > 0) return undefined;
    const view = viewOf(part);
    for (let at = 0; at + SECTOR <= part.length; at += SECTOR) {
      if (view.getUint32(at, false) !== LOG_MAGIC) continue;
      const record = logRecord.decode(part, at);
      if (logRecord.violations(record).length > 0 || record.lsn.low !== (from + at) / SECTOR) continue;
      const headers = record.version === 2 ? Math.max(1, Math.ceil(record.size / CYCLE_BYTES)) : 1;
      const { length, operations } = record;
      const cycleData = record.cycleData.slice();
      list.push({
        at: from + at,
        cycle: record.lsn.high,
        block: record.lsn.low,
        length,
        headers,
        operations,
        cycleData,
      });
    }
  }
  return { start, size, list };
}

/** Whether the last thing in the log is that the volume was unmounted; 'unknown' where the log cannot be followed. */
export async function wasUnmounted(source: Source, g: Geometry): Promise<boolean | 'unknown'> {
  const found = await records(source, g);
  const last = found?.list.reduce<LogPlace | undefined>((best, one) => {
    const isLater =
      best === undefined || one.cycle > best.cycle || (one.cycle === best.cycle && one.block > best.block);
    return isLater ? one : best;
  }, undefined);
  if (found === undefined || last === undefined) return 'unknown';
  return isUnmount(source, found.start, last, found.size);
}

/** A record of unmounting holds one operation that says so. */
async function isUnmount(source: Source, start: number, last: LogPlace, size: number): Promise<boolean> {
  if (last.operations !== 1) return false;
  const first = new Uint8Array(SECTOR);
  const at = (last.at + last.headers * SECTOR) % size;
  if ((await source.read(start + at, first)).length > 0) return false;
  return (logOperation.decode(first).flags & UNMOUNTED) !== 0;
}
