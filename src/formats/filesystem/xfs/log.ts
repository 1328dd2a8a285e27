/** The log of an XFS volume: its records, where it begins and ends, and whether it says so without a break. Source: guestfs.md part D5. */
import { crc32cUpdate } from '../../../codec/crc32c.ts';
import type { Source } from '../../../core/source.ts';
import { type Bytes8, viewOf } from '../../../core/struct.ts';
import { byteOf, type Geometry } from './geometry.ts';
import { LOG_CRC_AT, LOG_LITTLE, LOG_MAGIC, logOperation, logRecord, UNMOUNTED } from './structs.ts';

const SECTOR = 512;
/** Bytes of a record whose sectors one header has the first words of. */
const CYCLE_BYTES: number = 32 * 1024;
const CYCLE_WORDS: number = CYCLE_BYTES / SECTOR;
const WINDOW = 1024 * 1024;
/** Logs are 2 GiB at most. */
const MAX_LOG = 2 ** 31;
/** Bytes per record; `h_size` allows 256 KiB. */
const MAX_RECORD: number = 1024 * 1024;
/** Records that were on their way at once, so that the newest of them may be torn. */
const MAX_TORN = 8;
/** What sums cover of a header: machines of 64 and of 32 bits differ. */
const SUMMED_HEADERS = [328, 324];
/** What they cover of further headers. */
const SUMMED_EXTRA = 260;
const ALL_ONES = 0xffffffff;

/** A place in the log's history: how often it went round, and the sector. */
export type Lsn = Bytes8;

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
  /** The oldest record that is still needed. */
  readonly tail: Lsn;
  /** Numbers are least significant byte first. */
  readonly isLittle: boolean;
}

export interface Log {
  /** Bytes from the start of the volume. */
  readonly start: number;
  readonly size: number;
  /** All records that stand where they say. */
  readonly list: readonly LogPlace[];
  /** How often the log had gone round when each sector was written. */
  readonly cycles: Uint32Array;
}

/** What a mount would go through, oldest first, and why that is perhaps not all of it. */
export interface Pending {
  readonly list: readonly LogPlace[];
  readonly isUnmounted: boolean;
  readonly doubt?: string;
}

/** Less than 0 where `a` is older. */
export function compareLsn(a: Lsn, b: Lsn): number {
  return a.high - b.high || a.low - b.low;
}

/** Records of the longest log that is followed, in records of 4 KiB. */
const MAX_RECORDS = 524_288;

/** All records of the log; undefined where it is not here or cannot be read. */
export async function records(source: Source, g: Geometry): Promise<Log | undefined> {
  const start = byteOf(g, g.super.logAt);
  const size = g.super.logBlocks * g.blockSize;
  // A log on another device is not here to be asked.
  if (g.super.logAt === 0 || start === undefined || size === 0 || size > MAX_LOG) return undefined;
  const list: LogPlace[] = [];
  const cycles = new Uint32Array(size / SECTOR);
  const window = new Uint8Array(WINDOW);
  for (let from = 0; from < size; from += WINDOW) {
    const part = window.subarray(0, Math.min(WINDOW, size - from));
    if (start + from + part.length > source.size) return undefined;
    if ((await source.read(start + from, part)).length > 0) return undefined;
    const view = viewOf(part);
    for (let at = 0; at + SECTOR <= part.length; at += SECTOR) {
      const word = view.getUint32(at, false);
      cycles[(from + at) / SECTOR] = word === LOG_MAGIC ? view.getUint32(at + 4, false) : word;
      const found = word === LOG_MAGIC ? placeOf(part, at, from + at, g) : undefined;
      if (found !== undefined) list.push(found);
      if (list.length > MAX_RECORDS) return undefined;
    }
  }
  return { start, size, list, cycles };
}

function placeOf(part: Uint8Array, at: number, inLog: number, g: Geometry): LogPlace | undefined {
  const record = logRecord.decode(part, at);
  if (logRecord.violations(record).length > 0 || record.lsn.low !== inLog / SECTOR) return undefined;
  const own = Buffer.from(record.uuid).toString('hex');
  const isOwn = own === g.uuid || own === Buffer.from(g.super.uuid).toString('hex') || /^0*$/.test(own);
  if (!isOwn) return undefined;
  const headers = record.version === 2 ? Math.max(1, Math.ceil(record.size / CYCLE_BYTES)) : 1;
  const { length, operations, tail } = record;
  return {
    at: inLog,
    cycle: record.lsn.high,
    block: record.lsn.low,
    length,
    headers,
    operations,
    cycleData: record.cycleData.slice(),
    tail,
    isLittle: record.format === LOG_LITTLE,
  };
}

/**
 * The records that a mount would go through. The newest may be torn, as they were on their way when all ended: what is
 * before them is whole then, and that it is not all is a doubt.
 */
export async function pending(source: Source, g: Geometry, log: Log): Promise<Pending> {
  const byPlace = new Map(log.list.map((one) => [one.at, one]));
  const sorted = log.list.toSorted((a, b) => a.cycle - b.cycle || a.block - b.block);
  const newest = sorted.at(-1);
  if (newest === undefined) return { list: [], isUnmounted: false, doubt: 'xfs.log.empty' };
  if (await isUnmount(source, log, newest)) {
    const doubt = hasSuccessor(log, newest) ? 'xfs.log.head' : undefined;
    return { list: [], isUnmounted: true, ...(doubt && { doubt }) };
  }
  let best: LogPlace[] = [];
  for (let back = 1; back <= MAX_TORN; back++) {
    const last = sorted.at(-back);
    if (last === undefined) break;
    const found = await chain(source, g, log, byPlace, last);
    if (found.at(-1) === last) {
      const doubt = back > 1 ? 'xfs.log.torn' : hasSuccessor(log, last) ? 'xfs.log.head' : undefined;
      return { list: found, isUnmounted: false, ...(doubt && { doubt }) };
    }
    if (found.length > best.length) best = found;
  }
  return { list: best, isUnmounted: false, doubt: 'xfs.log.broken' };
}

/** The records from the one that `last` calls the oldest up to itself, as far as each follows the one before and has its sum. */
async function chain(
  source: Source,
  g: Geometry,
  log: Log,
  byPlace: ReadonlyMap<number, LogPlace>,
  last: LogPlace,
): Promise<LogPlace[]> {
  const out: LogPlace[] = [];
  const first = byPlace.get(last.tail.low * SECTOR);
  if (first === undefined || first.cycle !== last.tail.high) return out;
  const seen = new Set<number>();
  let cycle = first.cycle;
  for (let next: LogPlace | undefined = first; next !== undefined && !seen.has(next.at); ) {
    if (next.cycle !== cycle || (g.isChecked && !(await isSummed(source, log, next)))) break;
    seen.add(next.at);
    out.push(next);
    if (next === last) break;
    const end: number = endOf(next);
    // A record that runs over the end of the log goes on at its start, in the next cycle.
    if (end >= log.size) cycle++;
    next = byPlace.get(end % log.size);
  }
  return out;
}

function endOf({ at, headers, length }: LogPlace): number {
  return at + headers * SECTOR + Math.ceil(length / SECTOR) * SECTOR;
}

/** Whether sectors were written behind the newest record that is known: then newer ones are lost. */
function hasSuccessor(log: Log, last: LogPlace): boolean {
  const end = endOf(last);
  const isRound = end >= log.size;
  const stop = (end % log.size) / SECTOR;
  const now = isRound ? last.cycle + 1 : last.cycle;
  for (let i = 0; i < log.cycles.length; i++) {
    const cycle = log.cycles[i];
    if (i < stop ? cycle !== now : cycle !== now - 1 && cycle !== 0) return true;
  }
  return false;
}

/** Headers of a record and what follows, as they stand on the disk; undefined where that cannot be. */
async function rawOf(source: Source, log: Log, { at, length, headers }: LogPlace): Promise<Uint8Array | undefined> {
  const whole = headers * SECTOR + Math.ceil(length / SECTOR) * SECTOR;
  if (length > MAX_RECORD || whole > log.size) return undefined;
  const bytes = new Uint8Array(whole);
  const first = Math.min(whole, log.size - at);
  const gaps = await source.read(log.start + at, bytes.subarray(0, first));
  const more = first < whole ? await source.read(log.start, bytes.subarray(first)) : [];
  return gaps.length + more.length > 0 ? undefined : bytes;
}

async function isSummed(source: Source, log: Log, place: LogPlace): Promise<boolean> {
  const raw = await rawOf(source, log, place);
  if (raw === undefined) return false;
  const sum = viewOf(raw).getUint32(LOG_CRC_AT, true);
  const from = place.headers * SECTOR;
  const body = raw.subarray(from, from + place.length);
  const zero = new Uint8Array(4);
  return SUMMED_HEADERS.some((length) => {
    let state = crc32cUpdate(ALL_ONES, raw.subarray(0, LOG_CRC_AT));
    state = crc32cUpdate(crc32cUpdate(state, zero), raw.subarray(LOG_CRC_AT + 4, length));
    for (let i = 1; i < place.headers; i++)
      state = crc32cUpdate(state, raw.subarray(i * SECTOR, i * SECTOR + SUMMED_EXTRA));
    return (crc32cUpdate(state, body) ^ ALL_ONES) >>> 0 === sum;
  });
}

/** What a record holds, with the first words of its sectors put back where they were. */
export async function recordBytes(source: Source, log: Log, place: LogPlace): Promise<Uint8Array | undefined> {
  const raw = place.length === 0 ? undefined : await rawOf(source, log, place);
  if (raw === undefined) return undefined;
  const { headers, cycleData } = place;
  const extra = raw.subarray(SECTOR, headers * SECTOR);
  const bytes = raw.subarray(headers * SECTOR);
  for (let sector = 0; sector * SECTOR < bytes.length; sector++) {
    // Behind the words of the first header come those of further ones, which start with a word of their own.
    const page = Math.floor(sector / CYCLE_WORDS) - 1;
    const word = page < 0 ? sector * 4 : page * SECTOR + 4 + (sector % CYCLE_WORDS) * 4;
    const list = page < 0 ? cycleData : extra;
    if (word + 4 <= list.length) bytes.set(list.subarray(word, word + 4), sector * SECTOR);
  }
  return bytes.subarray(0, place.length);
}

/** A record of unmounting holds one operation that says so. */
async function isUnmount(source: Source, log: Log, last: LogPlace): Promise<boolean> {
  if (last.operations !== 1) return false;
  const first = new Uint8Array(SECTOR);
  const at = (last.at + last.headers * SECTOR) % log.size;
  if ((await source.read(log.start + at, first)).length > 0) return false;
  return (logOperation.decode(first).flags & UNMOUNTED) !== 0;
}
