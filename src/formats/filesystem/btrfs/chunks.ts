/** Chunks: where logical bytes lie on devices, once or in several copies. */

import type { MadeSource } from '../../../core/made.ts';
import { data, missing, type Segment, segments, slice } from '../../../core/map-source.ts';
import { type Certainty, INFERRED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import type { Values } from '../../../core/struct.ts';
import { TableCache } from '../../../core/tables.ts';
import { mirrored } from '../../volume/raid/mirrored.ts';
import { parity, type Row } from '../../volume/raid/parity.ts';
import { type Column, type Grade, striped } from '../../volume/raid/striped.ts';
import { chunkItem, chunkStripe, STRIPE_BYTES } from './structs.ts';

const DATA_TYPE = 0x1;
const METADATA_TYPES = 0x6;
const RAID0 = 0x8;
const RAID10 = 0x40;
const RAID5 = 0x80;
const RAID6 = 0x100;
const NAMES: readonly [number, string][] = [
  [RAID0, 'RAID0'],
  [0x10, 'RAID1'],
  [0x20, 'DUP'],
  [RAID10, 'RAID10'],
  [RAID5, 'RAID5'],
  [RAID6, 'RAID6'],
  [0x200, 'RAID1C3'],
  [0x400, 'RAID1C4'],
];
/** Chunks of one volume: a petabyte in chunks of a gigabyte. */
const MAX_CHUNKS = 1_000_000;
/** Chunks that are no more, each held against all others. */
const MAX_PAST = 5000;

/** A device that is there. */
export interface Device {
  readonly id: number;
  readonly uuid: string;
  readonly source: Source;
  readonly locator: string;
  /** It was away while others were written to. */
  readonly isStale: boolean;
}

interface Chunk {
  readonly logical: number;
  readonly length: number;
  readonly profile: string;
  readonly hasData: boolean;
  readonly hasMetadata: boolean;
  /** Its bytes, from the best of what is there. */
  readonly best: Source;
  /** Other ways to the same bytes. */
  others(): Source[];
  /** What it takes of devices. */
  readonly takes: readonly Stretch[];
}

/** Bytes of a device. */
interface Stretch {
  readonly device: number;
  readonly at: number;
  readonly length: number;
}

type Spec = Values<typeof chunkItem.fields>;

export class Chunks {
  /** Extents that were expanded, by where they lie: where that is, and whose bytes they are, these chunks decide. */
  readonly made = new TableCache<MadeSource>();
  readonly #devices: readonly Device[];
  readonly #list: Chunk[] = [];
  readonly #arePast: boolean;

  /** `arePast`: chunks that are no more, entered the newest first: of two that lay on the same bytes the newer is kept. */
  constructor(devices: readonly Device[], arePast = false) {
    this.#devices = devices;
    this.#arePast = arePast;
  }

  /** Empty, over the same devices where none of these chunks lies on them: for chunks that are no more. */
  before(): Chunks {
    const taken = this.#list.flatMap(({ takes }) => takes).sort((a, b) => a.at - b.at);
    const free = this.#devices.map((device) => {
      const own = taken.filter((one) => one.device === device.id);
      return { ...device, source: without(device, own) };
    });
    return new Chunks(free, true);
  }

  get all(): readonly Chunk[] {
    return this.#list;
  }

  /** Bytes of a chunk's item at `at`, with its stripes; 0 where there is none that makes sense. */
  static size(raw: Uint8Array, at: number): number {
    if (at + chunkItem.size > raw.length) return 0;
    const spec = chunkItem.decode(raw, at);
    const size = chunkItem.size + spec.stripes * STRIPE_BYTES;
    return chunkItem.violations(spec).length > 0 || at + size > raw.length ? 0 : size;
  }

  /** Enters a chunk; one that overlaps another that is known is left out. Answers whether it was entered. */
  add(logical: number, raw: Uint8Array, at: number, certainty: Certainty, why: Why): boolean {
    if (Chunks.size(raw, at) === 0 || !Number.isSafeInteger(logical) || this.#list.length >= MAX_CHUNKS) return false;
    const spec = chunkItem.decode(raw, at);
    const i = this.#before(logical) + 1;
    const isFree =
      (i === 0 || this.#list[i - 1].logical + this.#list[i - 1].length <= logical) &&
      (i === this.#list.length || logical + spec.length <= this.#list[i].logical);
    if (!isFree || !Number.isSafeInteger(logical + spec.length)) return false;
    const columns: Column[] = [];
    const stale: boolean[] = [];
    const takes: Stretch[] = [];
    const each = stripeLength(spec);
    for (let n = 0; n < spec.stripes; n++) {
      const stripe = chunkStripe.decode(raw, at + chunkItem.size + n * STRIPE_BYTES);
      const uuid = Buffer.from(stripe.uuid).toString('hex');
      const device =
        this.#devices.find((one) => one.uuid === uuid) ?? this.#devices.find(({ id }) => id === stripe.device);
      const isThere = device !== undefined && device.uuid === uuid && Number.isSafeInteger(stripe.offset);
      columns.push(isThere ? { source: device.source, at: stripe.offset } : { at: 0 });
      stale.push(isThere && device.isStale);
      takes.push({ device: stripe.device, at: stripe.offset, length: each });
    }
    const chunk = chunkOf(logical, spec, columns, stale, {
      certainty,
      why,
      lost: { ...why, code: 'btrfs.device-missing' },
    });
    if (chunk === undefined || (this.#arePast && this.#isTaken(takes))) return false;
    this.#list.splice(i, 0, { ...chunk, takes });
    return true;
  }

  #isTaken(takes: readonly Stretch[]): boolean {
    if (this.#list.length >= MAX_PAST) return true;
    const overlaps = (a: Stretch, b: Stretch): boolean =>
      a.device === b.device && a.at < b.at + b.length && b.at < a.at + a.length;
    return this.#list.some((chunk) => chunk.takes.some((one) => takes.some((other) => overlaps(one, other))));
  }

  /** The chunk that holds a logical byte. */
  at(logical: number): Chunk | undefined {
    const chunk = this.#list[this.#before(logical)];
    return chunk !== undefined && logical < chunk.logical + chunk.length ? chunk : undefined;
  }

  /** Index of the last chunk that starts at or before `logical`; -1 where there is none. */
  #before(logical: number): number {
    let low = -1;
    let high = this.#list.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.#list[middle].logical <= logical) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** Bytes of each stripe. */
function stripeLength({ length, type, stripes, subStripes }: Spec): number {
  if ((type & RAID0) !== 0) return length / stripes;
  if ((type & RAID10) !== 0) return (length * Math.max(1, subStripes)) / stripes;
  if ((type & RAID5) !== 0) return length / Math.max(1, stripes - 1);
  return (type & RAID6) !== 0 ? length / Math.max(1, stripes - 2) : length;
}

function chunkOf(
  logical: number,
  spec: Spec,
  columns: readonly Column[],
  stale: readonly boolean[],
  grade: Grade,
): Omit<Chunk, 'takes'> | undefined {
  const { length, type, stripeBytes } = spec;
  const ways = waysOf(spec, columns, stale, grade);
  if (ways === undefined) return undefined;
  return {
    logical,
    length,
    profile: NAMES.find(([bit]) => (type & bit) !== 0)?.[1] ?? 'single',
    hasData: (type & DATA_TYPE) !== 0,
    hasMetadata: (type & METADATA_TYPES) !== 0 && stripeBytes > 0,
    ...ways,
  };
}

function waysOf(
  { length, type, stripeBytes, stripes, subStripes }: Spec,
  columns: readonly Column[],
  stale: readonly boolean[],
  grade: Grade,
): Pick<Chunk, 'best' | 'others'> | undefined {
  const isHere = (i: number): boolean => columns[i].source !== undefined;
  /** Of several copies: one that is there, and rather one that was never away. */
  const rank = (i: number): number => (isHere(i) ? (stale[i] ? 1 : 0) : 2);
  const byRank = (list: readonly number[]): number[] => [...list].sort((a, b) => rank(a) - rank(b));
  if ((type & RAID0) !== 0) return { best: striped(columns, stripeBytes, length, grade), others: () => [] };
  if ((type & RAID10) !== 0) {
    if (subStripes < 1 || stripes % subStripes !== 0) return undefined;
    const groups = Array.from({ length: stripes / subStripes }, (_, g) =>
      byRank(Array.from({ length: subStripes }, (__, k) => g * subStripes + k)),
    );
    const way = (k: number): Source =>
      striped(
        groups.map((group) => columns[group[k]]),
        stripeBytes,
        length,
        grade,
      );
    return { best: way(0), others: () => Array.from({ length: subStripes - 1 }, (_, k) => way(k + 1)) };
  }
  if ((type & (RAID5 | RAID6)) !== 0) {
    const extra = (type & RAID6) !== 0 ? 2 : 1;
    if (stripes <= extra) return undefined;
    const row = (stripe: number): Row => rowOf(stripes, extra, stripe);
    const array = { chunk: stripeBytes, size: length, row, grade };
    const without = (lost: number): Source => {
      const rest = columns.map((column, i): Column => (i === lost ? { at: column.at } : column));
      return parity({ ...array, columns: rest });
    };
    return { best: parity({ ...array, columns }), others: () => columns.map((_, i) => without(i)) };
  }
  const order = byRank(columns.map((_, i) => i));
  const one = (i: number): Source => {
    const { source, at } = columns[i];
    return source === undefined
      ? mirrored([columns[i]], length, grade)
      : slice(source, at, length, grade.certainty, grade.why);
  };
  return { best: one(order[0]), others: () => order.slice(1).filter(isHere).map(one) };
}

/** Data and parity of a row move on by one device with each row. */
function rowOf(n: number, extra: number, stripe: number): Row {
  const place = (i: number): number => (i + stripe) % n;
  const data = Array.from({ length: n - extra }, (_, i) => place(i));
  const p = place(n - extra);
  if (extra === 1) return { data, p };
  const powers = Array.from({ length: n }, () => 0);
  for (const [i, column] of data.entries()) powers[column] = i;
  return { data, p, q: place(n - 1), powers };
}

/** A device without what chunks have of it now. */
function without({ source }: Device, taken: readonly Stretch[]): Source {
  const reused: Why = { what: 'a btrfs chunk', code: 'btrfs.extent-reused' };
  const free: Why = { what: 'a btrfs chunk that is no more', code: 'btrfs.chunk-old' };
  const out: Segment[] = [];
  let at = 0;
  for (const one of taken) {
    const [from, end] = [Math.min(one.at, source.size), Math.min(one.at + one.length, source.size)];
    if (end <= at) continue;
    if (from > at) out.push(data(source, at, from - at, INFERRED, free));
    out.push(missing(end - Math.max(at, from), reused));
    at = end;
  }
  if (at < source.size) out.push(data(source, at, source.size - at, INFERRED, free));
  return segments(out);
}
