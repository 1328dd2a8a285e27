/**
 * The log of a VHDX: changes to its tables that may not have reached their places yet. They are laid over the file as a
 * map; nothing is written. Source: vhdx.md, log.
 */
import { crc32c } from '../../../codec/crc32c.ts';
import { data, missing, type Segment, segments, zeros } from '../../../core/map-source.ts';
import { VERIFIED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { bytes, latin1, struct, text, u32, u64, viewOf } from '../../../core/struct.ts';
import { guidText } from '../guid.ts';
import { MIB } from './structs.ts';

const SECTOR = 4096;
const DESCRIPTOR = 32;
/** Hosts make logs of 1 MiB; a larger one than this is not read. */
const MAX_LOG: number = 64 * MIB;
/** Checksums are computed over so many bytes for each byte of the log, whatever its entries say of their lengths. */
const MAX_SUMMED = 8;
/** Zeroed ranges of one log. */
const MAX_ZEROED = 4096;

export const entryHeader = struct('VHDX log entry', 64, {
  signature: text(0, 4),
  checksum: u32(4),
  length: u32(8, { min: SECTOR }),
  tail: u32(12),
  sequence: u64(16, { min: 1 }),
  count: u32(24),
  log: bytes(32, 16),
  flushed: u64(48),
  last: u64(56),
});

interface Entry {
  /** Bytes from the start of the log. */
  readonly at: number;
  readonly length: number;
  readonly tail: number;
  readonly sequence: number;
  readonly log: string;
  readonly flushed: number;
  readonly raw: Uint8Array;
  readonly count: number;
}

export interface Replay {
  /** The file with all changes in place. */
  readonly view: Source;
  /** Bytes that the file has at least, as the log says. */
  readonly flushed: number;
  readonly entries: number;
  readonly first: number;
  /** One more entry begins behind the last, and is broken: torn when it was written, or damaged since. */
  readonly isTorn: boolean;
}

/** The file as it is once its log is replayed: by entries of the log `id`, of any where it is undefined. */
export async function replay(source: Source, at: number, length: number, id?: string): Promise<Replay | undefined> {
  const isFit = length >= SECTOR && length <= MAX_LOG && length % SECTOR === 0 && at % SECTOR === 0;
  if (!isFit || at + length > source.size) return undefined;
  const log = new Uint8Array(length);
  await source.read(at, log);
  const active = activeSequence(validEntries(log, id), length);
  if (active.length === 0) return undefined;
  const patches = new Patches();
  // The last change to a place is the one that counts.
  for (let i = active.length - 1; i >= 0; i--) if (!apply(active[i], source, at, length, patches)) return undefined;
  const last = active[active.length - 1];
  const next = entryHeader.decode(log, (last.at + last.length) % length);
  const isTorn = next.signature === 'loge' && next.sequence === last.sequence + 1 && guidText(next.log) === last.log;
  return {
    view: patches.over(source),
    flushed: last.flushed,
    entries: active.length,
    first: at + active[0].at,
    isTorn,
  };
}

/** Whether the replayed file differs from the one that lies there: its log was not empty. */
export async function changes({ view }: Replay, source: Source, ranges: readonly Range[]): Promise<boolean> {
  for (const { at, length } of ranges) {
    for (let from = at; from < at + length; from += MIB) {
      const now = new Uint8Array(Math.min(MIB, at + length - from));
      const then = new Uint8Array(now.length);
      await source.read(from, now);
      await view.read(from, then);
      if (Buffer.compare(now, then) !== 0) return true;
    }
  }
  return false;
}

export interface Range {
  readonly at: number;
  readonly length: number;
}

function validEntries(log: Uint8Array, id: string | undefined): Map<number, Entry> {
  const out = new Map<number, Entry>();
  let budget = log.length * MAX_SUMMED;
  for (let at = 0; at < log.length; at += SECTOR) {
    const head = entryHeader.decode(log, at);
    if (head.signature !== 'loge' || entryHeader.violations(head).length > 0) continue;
    const { length, count } = head;
    const guid = guidText(head.log);
    if (length > log.length || length % SECTOR !== 0 || (id !== undefined && guid !== id)) continue;
    const described = Math.ceil((entryHeader.size + count * DESCRIPTOR) / SECTOR) * SECTOR;
    if (described > length || budget < length) continue;
    budget -= length;
    const raw = around(log, at, length);
    if (crc32c(raw, 4) !== head.checksum) continue;
    const { tail, sequence, flushed } = head;
    out.set(at, { at, length, tail, sequence, log: guid, flushed, raw, count });
  }
  return out;
}

/** Bytes of the ring from `at` on. */
function around(log: Uint8Array, at: number, length: number): Uint8Array {
  if (at + length <= log.length) return log.subarray(at, at + length);
  const out = new Uint8Array(length);
  out.set(log.subarray(at));
  out.set(log.subarray(0, at + length - log.length), log.length - at);
  return out;
}

/** The newest entries that follow each other without a gap, from the one that the last of them calls the oldest needed. */
function activeSequence(entries: ReadonlyMap<number, Entry>, ring: number): Entry[] {
  let best: Entry[] = [];
  const starts = [...entries.values()].sort((a, b) => a.sequence - b.sequence);
  const visited = new Set<Entry>();
  for (const start of starts) {
    if (visited.has(start)) continue;
    const chain = [start];
    for (let last = start; ; ) {
      visited.add(last);
      const next = entries.get((last.at + last.length) % ring);
      if (next === undefined || next.sequence !== last.sequence + 1 || next.log !== last.log) break;
      chain.push(next);
      last = next;
    }
    for (let n = chain.length; n > 0; n--) {
      const from = chain.findIndex((entry) => entry.at === chain[n - 1].tail);
      if (from < 0 || from >= n) continue;
      if (best.length === 0 || chain[n - 1].sequence > best[best.length - 1].sequence) best = chain.slice(from, n);
      break;
    }
  }
  return best;
}

/** Enters what an entry changes; false where it is not what an entry may be. */
function apply(entry: Entry, source: Source, logAt: number, ring: number, patches: Patches): boolean {
  const { raw, count } = entry;
  const view = viewOf(raw);
  let dataAt = Math.ceil((entryHeader.size + count * DESCRIPTOR) / SECTOR) * SECTOR;
  const place = (inner: number): number => logAt + ((entry.at + inner) % ring);
  const sectors: { to: number; segments: Segment[] }[] = [];
  const zeroed: Range[] = [];
  for (let i = 0; i < count; i++) {
    const at = entryHeader.size + i * DESCRIPTOR;
    const kind = latin1(raw, at, 4);
    const to = view.getUint32(at + 16, true) + view.getUint32(at + 20, true) * 2 ** 32;
    if (!Number.isSafeInteger(to) || to % SECTOR !== 0) return false;
    if (kind === 'zero') {
      const length = view.getUint32(at + 8, true) + view.getUint32(at + 12, true) * 2 ** 32;
      if (!Number.isSafeInteger(to + length) || length % SECTOR !== 0 || zeroed.length >= MAX_ZEROED) return false;
      zeroed.push({ at: to, length });
    } else if (kind === 'desc') {
      if (dataAt + SECTOR > raw.length || latin1(raw, dataAt, 4) !== 'data') return false;
      const [first, middle, last] = [place(at + 8), place(dataAt + 8), place(at + 4)];
      const parts = [
        data(source, first, 8, VERIFIED),
        data(source, middle, SECTOR - 12, VERIFIED),
        data(source, last, 4, VERIFIED),
      ];
      sectors.push({ to, segments: parts });
      dataAt += SECTOR;
    } else return false;
  }
  for (const { to, segments: parts } of sectors.reverse()) patches.add(to, to + SECTOR, () => parts);
  for (const { at, length } of zeroed) patches.add(at, at + length, (from, end) => [zeros(end - from, VERIFIED)]);
  return true;
}

/** Ranges that were changed, each by the last change to it. Entered from the last to the first; all in whole sectors. */
class Patches {
  readonly #list: { from: number; end: number; segments: Segment[] }[] = [];

  add(from: number, end: number, make: (from: number, end: number) => Segment[]): void {
    let at = from;
    let i = this.#after(from);
    while (at < end) {
      const next = this.#list[i];
      if (next !== undefined && next.from <= at) {
        at = Math.max(at, next.end);
        i++;
        continue;
      }
      const stop = Math.min(end, next?.from ?? end);
      this.#list.splice(i, 0, { from: at, end: stop, segments: make(at, stop) });
      at = stop;
      i++;
    }
  }

  /** Index of the first range that ends behind `at`. */
  #after(at: number): number {
    let low = 0;
    let high = this.#list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#list[middle].end <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  over(source: Source): Source {
    const out: Segment[] = [];
    let at = 0;
    const upTo = (end: number): void => {
      const there = Math.max(0, Math.min(end, source.size) - at);
      if (there > 0) out.push(data(source, at, there, VERIFIED));
      const lost = end - at - there;
      if (lost > 0) out.push(missing(lost, { what: 'the end of the file', code: 'vhdx.truncated' }));
      at = Math.max(at, end);
    };
    for (const patch of this.#list) {
      upTo(patch.from);
      out.push(...patch.segments);
      at = patch.end;
    }
    upTo(Math.max(at, source.size));
    return segments(out);
  }
}
