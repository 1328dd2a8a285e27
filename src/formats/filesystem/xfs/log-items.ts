/** Transactions of the log: their items, put together from operations that may lie in several records. */
import type { Source } from '../../../core/source.ts';
import { bytes8, struct, u16, u32, u64, viewOf } from '../../../core/struct.ts';
import { type Log, type LogPlace, type Lsn, recordBytes } from './log.ts';
import { logOperation } from './structs.ts';

export const ITEM_INODE = 0x123b;
export const ITEM_BUFFER = 0x123c;
export const ITEM_CHUNK = 0x123f;
/** Changes of maps that were begun: each has to be followed by its end, or a mount would go on with it. */
export const ITEM_MAP_BEGUN = 0x1244;
export const ITEM_MAP_DONE = 0x1245;
export const ITEM_EXCHANGE_BEGUN = 0x1248;
export const ITEM_EXCHANGE_DONE = 0x1249;
/** Kinds of items there are: frees of extents, quotas, counts of owners, attributes beside those above. */
const FIRST_ITEM = 0x1236;
const LAST_ITEM = 0x124f;

/** Every item's first region says what it is and how many regions it has. */
const itemHead = struct('XFS log item', 4, { type: u16(0), regions: u16(2, { min: 1, max: 1024 * 1024 }) });

/** Least significant first, as the machine that wrote it. */
export const bufferItem = struct('XFS log buffer item', 20, {
  type: u16(0, { oneOf: [ITEM_BUFFER] }),
  regions: u16(2),
  flags: u16(4),
  sectors: u16(6, { min: 1, max: 128 }),
  place: u64(8),
  mapWords: u32(16, { min: 1, max: 32 }),
});
export const BUFFER_INODES = 1;
export const BUFFER_CANCELLED = 2;

export const inodeItem = struct('XFS log inode item', 56, {
  type: u16(0, { oneOf: [ITEM_INODE] }),
  regions: u16(2, { min: 2, max: 5 }),
  fields: u32(4),
  attributeBytes: u16(8),
  dataBytes: u16(10),
  number: u64(16, { min: 1 }),
  place: u64(40),
  sectors: u32(48),
});

/** Chunks of inodes that were set aside. Behind its first words most significant first. */
export const chunkItem = struct(
  'XFS log chunk item',
  28,
  {
    ag: u32(4),
    block: u32(8),
    count: u32(12, { min: 1, max: 256 }),
    inodeSize: u32(16),
    blocks: u32(20),
    generation: u32(24),
  },
  'big',
);

/** Changes that are begun and ended by items name themselves so. */
export const intentItem = struct('XFS log intent', 16, { type: u16(0), id: bytes8(8) });

export interface Item {
  readonly type: number;
  readonly regions: readonly Uint8Array[];
}

export interface Transaction {
  /** Of the record in which it began: what is as new as this has it already. */
  readonly lsn: Lsn;
  readonly items: readonly Item[];
  /** Bytes from the start of the volume: of the record that ended it. */
  readonly at: number;
}

const OPERATION = 12;
const START = 1;
const COMMIT = 2;
const CONTINUED = 4;
const CONTINUES = 8;
const END = 16;
const TRANSACTION_MAGIC = 0x5452414e;
const HEADER = 16;
/** Bytes of transactions that are not yet ended. */
const MAX_HELD: number = 256 * 1024 * 1024;

/** What an operation takes beside its bytes. */
const OVERHEAD = 128;
/** Parts of one region: it is cut where a record is full. */
const MAX_PARTS = 64;
const MAX_REGION: number = 1024 * 1024;

interface Open {
  readonly lsn: Lsn;
  readonly header: Uint8Array[];
  readonly regions: Uint8Array[][];
  bytes: number;
  /** Parts of the last region. */
  parts: number;
}

/** The transactions that ended within `list`, in the order of their ends. Throws a reason where the log makes no sense. */
export async function* transactions(source: Source, log: Log, list: readonly LogPlace[]): AsyncGenerator<Transaction> {
  const open = new Map<number, Open>();
  let held = 0;
  for (const place of list) {
    if (!place.isLittle) throw new LogBreak('xfs.log.order', place.at);
    if (place.length === 0) continue;
    const data = await recordBytes(source, log, place);
    if (data === undefined) throw new LogBreak('xfs.log.unreadable', place.at);
    const lsn: Lsn = { high: place.cycle, low: place.block };
    for (let next = 0, n = 0; next + OPERATION <= data.length && n < place.operations; n++) {
      const { transaction, length, flags } = logOperation.decode(data, next);
      const from = next + OPERATION;
      next = from + length;
      if (next > data.length) throw new LogBreak('xfs.log.operation', place.at);
      const known = open.get(transaction);
      if (known === undefined) {
        // What began before the log's tail is in place already.
        if ((flags & START) === 0) continue;
        held += OVERHEAD;
        if (held > MAX_HELD) throw new LogBreak('xfs.log.large', place.at);
        open.set(transaction, { lsn, header: [], regions: [], bytes: OVERHEAD, parts: 0 });
        continue;
      }
      if ((flags & COMMIT) !== 0) {
        open.delete(transaction);
        held -= known.bytes;
        yield { lsn: known.lsn, items: itemsOf(known, place.at), at: log.start + place.at };
      } else {
        known.bytes += length + OVERHEAD;
        held += length + OVERHEAD;
        if (held > MAX_HELD) throw new LogBreak('xfs.log.large', place.at);
        take(known, data.subarray(from, next), flags & ~END, place.at);
      }
    }
  }
}

/** The log cannot be followed from here on. */
export class LogBreak extends Error {
  readonly code: string;
  /** Bytes from the start of the log. */
  readonly at: number;

  constructor(code: string, at: number) {
    super(code);
    this.code = code;
    this.at = at;
  }
}

function take(open: Open, part: Uint8Array, flags: number, at: number): void {
  const isRest = (flags & CONTINUES) !== 0;
  const had = open.header.reduce((sum, one) => sum + one.length, 0);
  if (part.length === 0) return;
  if (had < HEADER) {
    const isMagic = had > 0 || (part.length >= 4 && viewOf(part).getUint32(0, true) === TRANSACTION_MAGIC);
    if (!isMagic || had + part.length > HEADER) throw new LogBreak('xfs.log.transaction', at);
    open.header.push(part.slice());
    return;
  }
  if ((flags & ~(CONTINUED | CONTINUES)) !== 0) throw new LogBreak('xfs.log.operation', at);
  const last = open.regions.at(-1);
  if (isRest) {
    const before = last?.at(-1);
    if (last === undefined || before === undefined) throw new LogBreak('xfs.log.operation', at);
    const size = before.length + part.length;
    if (++open.parts > MAX_PARTS || size > MAX_REGION) throw new LogBreak('xfs.log.region', at);
    const joined = new Uint8Array(size);
    joined.set(before);
    joined.set(part, before.length);
    last[last.length - 1] = joined;
    return;
  }
  open.parts = 1;
  if (last === undefined || last.length >= regionsOf(last[0], at)) open.regions.push([part.slice()]);
  else last.push(part.slice());
}

function regionsOf(first: Uint8Array, at: number): number {
  if (first.length < itemHead.size) throw new LogBreak('xfs.log.item', at);
  const head = itemHead.decode(first);
  if (itemHead.violations(head).length > 0) throw new LogBreak('xfs.log.item', at);
  return head.regions;
}

function itemsOf({ regions }: Open, at: number): Item[] {
  return regions.map((list) => {
    const { type } = itemHead.decode(list[0].length < itemHead.size ? new Uint8Array(itemHead.size) : list[0]);
    const isWhole = type >= FIRST_ITEM && type <= LAST_ITEM && list.length === regionsOf(list[0], at);
    if (!isWhole) throw new LogBreak('xfs.log.item', at);
    return { type, regions: list };
  });
}
