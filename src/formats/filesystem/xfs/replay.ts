/** A volume as it would be after its log was put in place, as a mount does it, but in memory. Source: guestfs.md part D5. */
import { crc32c } from '../../../codec/crc32c.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { agByteOf, type Geometry, inodeByteOf, inodeNumber } from './geometry.ts';
import { compareLsn, type Log, type Lsn, type Pending } from './log.ts';
import { inodeInto } from './log-inode.ts';
import {
  BUFFER_CANCELLED,
  BUFFER_INODES,
  bufferItem,
  chunkItem,
  ITEM_BUFFER,
  ITEM_CHUNK,
  ITEM_EXCHANGE_BEGUN,
  ITEM_EXCHANGE_DONE,
  ITEM_INODE,
  ITEM_MAP_BEGUN,
  ITEM_MAP_DONE,
  type Item,
  inodeItem,
  intentItem,
  LogBreak,
  type Transaction,
  transactions,
} from './log-items.ts';
import { isCovered, isOwn, isSummed, kindOf, lsnOf, magicOf } from './log-kinds.ts';
import { LogSheet } from './log-sheet.ts';
import { FORM_EXTENTS, INODE_CRC_AT, INODE_MAGIC } from './structs.ts';

interface Replayed {
  /** The volume as it would be. */
  readonly source: Source;
  readonly transactions: number;
  /** Why this may not be the last state, where that is so. */
  readonly doubt?: string;
}

const UNIT = 512;
/** Bytes that one bit of a buffer's map stands for. */
const GRAIN = 128;
const NULL_INODE = 0xffffffff;
/** Buffers that were given up, and changes that were begun. */
const MAX_NOTED = 4_000_000;

/** Puts what `pending` holds over the volume. */
export async function replay(source: Source, g: Geometry, log: Log, pending: Pending): Promise<Replayed> {
  const one = new Replay(source, g);
  let { doubt } = pending;
  let done = 0;
  try {
    // A first pass notes what was given up later, as earlier changes of that must not come back.
    for await (const found of transactions(source, log, pending.list)) one.note(found);
    for await (const found of transactions(source, log, pending.list)) {
      await one.apply(found);
      done++;
    }
  } catch (error) {
    if (!(error instanceof LogBreak)) throw error;
    doubt ??= error.code;
  }
  doubt ??= one.doubt;
  return { source: one.sheet.over(log.start), transactions: done, ...(doubt !== undefined && { doubt }) };
}

class Replay {
  readonly sheet: LogSheet;
  readonly #g: Geometry;
  /** How often buffers are given up by what is still to come. */
  readonly #cancelled = new Map<string, number>();
  /** The same by place alone. */
  readonly #places = new Map<number, number>();
  readonly #begun = new Set<string>();
  /** Something that the log changes could not be read: what else lies there is as it was before. */
  #isUnread = false;

  constructor(source: Source, g: Geometry) {
    this.#g = g;
    this.sheet = new LogSheet(source, g.blockSize);
  }

  /** Where no sums tell what is sound, and where a mount would go on with what was begun. */
  get doubt(): string | undefined {
    if (!this.#g.isChecked) return 'xfs.log.unchecked';
    if (this.#isUnread) return 'xfs.log.unreadable';
    return this.#begun.size > 0 ? 'xfs.log.begun' : undefined;
  }

  note({ items, at }: Transaction): void {
    for (const { type, regions } of items) {
      if (type === ITEM_BUFFER) {
        const head = regions[0].length < bufferItem.size ? undefined : bufferItem.decode(regions[0]);
        if (head === undefined || (head.flags & BUFFER_CANCELLED) === 0) continue;
        count(this.#cancelled, `${head.place}/${head.sectors}`, 1);
        count(this.#places, head.place, 1);
      } else if (isIntent(type) && regions[0].length >= intentItem.size) {
        const { id } = intentItem.decode(regions[0]);
        const isBegun = type === ITEM_MAP_BEGUN || type === ITEM_EXCHANGE_BEGUN;
        const key = `${isBegun ? type : type - 1} ${id.high} ${id.low}`;
        if (isBegun) this.#begun.add(key);
        else this.#begun.delete(key);
      }
      if (this.#cancelled.size + this.#begun.size > MAX_NOTED) throw new LogBreak('xfs.log.large', at);
    }
  }

  /** Blocks first, then inodes, then what is given up: inodes need the blocks they lie in. */
  async apply({ items, lsn, at }: Transaction): Promise<void> {
    const buffers = items.filter(({ type }) => type === ITEM_BUFFER || type === ITEM_CHUNK);
    const given = new Set(buffers.filter(({ type, regions }) => type === ITEM_BUFFER && isCancel(regions[0])));
    for (const item of buffers) {
      if (given.has(item)) continue;
      if (item.type === ITEM_CHUNK) await this.#chunk(item, at);
      else await this.#buffer(item, lsn, at);
      if (this.sheet.isFull) throw new LogBreak('xfs.log.large', at);
    }
    for (const item of items) if (item.type === ITEM_INODE) await this.#inode(item, lsn, at);
    for (const { regions } of given) {
      const { place, sectors } = bufferItem.decode(regions[0]);
      count(this.#cancelled, `${place}/${sectors}`, -1);
      count(this.#places, place, -1);
    }
  }

  async #buffer({ regions }: Item, lsn: Lsn, at: number): Promise<void> {
    const head = regions[0].length < bufferItem.size ? undefined : bufferItem.decode(regions[0]);
    if (head === undefined || bufferItem.violations(head).length > 0) throw new LogBreak('xfs.log.buffer', at);
    // Of these only the list of inodes without names was logged, which nothing here reads.
    if ((head.flags & BUFFER_INODES) !== 0 || this.#cancelled.has(`${head.place}/${head.sectors}`)) return;
    const start = head.place * UNIT;
    const block = await this.#get(start, head.sectors * UNIT);
    if (block === undefined) return;
    const before = this.#g.isChecked ? kindOf(block) : undefined;
    const isSound = before !== undefined && isOwn(block, before, start, this.#g) && isSummed(block, before);
    if (isSound && compareLsn(lsnOf(block, before), lsn) >= 0) return;
    const magic = magicOf(block);
    const logged = spread(block, regions, head.mapWords);
    if (logged === undefined) throw new LogBreak('xfs.log.buffer', at);
    const kind = this.#g.isChecked ? kindOf(block) : undefined;
    if (kind !== undefined) {
      const isLogged = (from: number, end: number): boolean => {
        for (let i = Math.floor(from / GRAIN); i * GRAIN < end; i++) if (logged[i] !== 1) return false;
        return true;
      };
      const isGood =
        (isSound && magicOf(block) === magic) || (isOwn(block, kind, start, this.#g) && isCovered(block, isLogged));
      seal(block, kind.crc, isGood);
    }
    this.sheet.put(start, block);
  }

  async #get(at: number, length: number): Promise<Uint8Array | undefined> {
    const bytes = await this.sheet.get(at, length);
    this.#isUnread ||= bytes === undefined;
    return bytes;
  }

  /** A chunk of inodes that was set aside: all free, each with its number. */
  async #chunk({ regions }: Item, at: number): Promise<void> {
    const g = this.#g;
    const head = regions[0].length < chunkItem.size ? undefined : chunkItem.decode(regions[0]);
    const isSane = head !== undefined && chunkItem.violations(head).length === 0 && head.inodeSize === g.inodeSize;
    const fits = isSane && head.blocks * g.blockSize === head.count * g.inodeSize;
    const start = fits ? agByteOf(g, head.ag, head.block) : undefined;
    if (head === undefined || start === undefined) throw new LogBreak('xfs.log.chunk', at);
    const length = head.blocks * g.blockSize;
    for (let at = start; at < start + length; at += g.blockSize) if (this.#places.has(at / UNIT)) return;
    const raw = new Uint8Array(g.inodeSize);
    const view = viewOf(raw);
    for (let i = 0; i < head.count; i++) {
      const number = inodeNumber(g, head.ag, head.block * g.super.inodesPerBlock + i);
      raw.fill(0);
      view.setUint16(0, INODE_MAGIC);
      raw[4] = 3;
      view.setUint32(92, head.generation);
      view.setUint32(96, NULL_INODE);
      view.setUint32(152, Math.floor(number / 2 ** 32));
      view.setUint32(156, number % 2 ** 32);
      raw.set(Buffer.from(g.uuid, 'hex'), 160);
      seal(raw, INODE_CRC_AT, true);
      if ((await this.#get(start + i * g.inodeSize, g.inodeSize)) === undefined) return;
      this.sheet.put(start + i * g.inodeSize, raw);
    }
  }

  async #inode({ regions }: Item, lsn: Lsn, at: number): Promise<void> {
    const g = this.#g;
    const head = regions[0].length < inodeItem.size ? undefined : inodeItem.decode(regions[0]);
    if (head === undefined || inodeItem.violations(head).length > 0) throw new LogBreak('xfs.log.inode', at);
    if (this.#cancelled.has(`${head.place}/${head.sectors}`)) return;
    const start = inodeByteOf(g, head.number);
    if (start === undefined) throw new LogBreak('xfs.log.inode', at);
    const raw = await this.#get(start, g.inodeSize);
    if (raw === undefined) return;
    const view = viewOf(raw);
    const isThird = view.getUint16(0, false) === INODE_MAGIC && raw[4] === 3;
    const wasSound =
      isThird &&
      crc32c(raw, INODE_CRC_AT) === view.getUint32(INODE_CRC_AT, true) &&
      view.getUint32(152) * 2 ** 32 + view.getUint32(156) === head.number;
    const own: Lsn = { high: view.getUint32(112), low: view.getUint32(116) };
    if (wasSound && compareLsn(own, lsn) > 0) return;
    const hasFork = inodeInto(raw, head, regions, lsn);
    if (hasFork === undefined) throw new LogBreak('xfs.log.inode', at);
    const isEmpty = raw[5] === FORM_EXTENTS && view.getUint32(76) === 0 && view.getUint32(28) === 0;
    if (raw[4] === 3) seal(raw, INODE_CRC_AT, wasSound || hasFork || isEmpty);
    this.sheet.put(start, raw);
  }
}

function count<K>(counts: Map<K, number>, key: K, by: number): void {
  const left = (counts.get(key) ?? 0) + by;
  if (left > 0) counts.set(key, left);
  else counts.delete(key);
}

function isIntent(type: number): boolean {
  return [ITEM_MAP_BEGUN, ITEM_MAP_DONE, ITEM_EXCHANGE_BEGUN, ITEM_EXCHANGE_DONE].includes(type);
}

function isCancel(first: Uint8Array): boolean {
  return first.length >= bufferItem.size && (bufferItem.decode(first).flags & BUFFER_CANCELLED) !== 0;
}

/** Puts the sum of a block where it belongs; a wrong one where what the block holds is not known to be sound. */
function seal(block: Uint8Array, at: number, isGood: boolean): void {
  const sum = crc32c(block, at);
  viewOf(block).setUint32(at, isGood ? sum : ~sum >>> 0, true);
}

/** Puts the logged parts of a buffer in place; answers which grains they were, undefined where parts and map disagree. */
function spread(block: Uint8Array, regions: readonly Uint8Array[], words: number): Uint8Array | undefined {
  const map = viewOf(regions[0]);
  if (regions[0].length < bufferItem.size + words * 4) return undefined;
  const grains = new Uint8Array(Math.ceil(block.length / GRAIN));
  const isSet = (bit: number): boolean =>
    bit < words * 32 && ((map.getUint32(bufferItem.size + (bit >>> 5) * 4, true) >>> (bit & 31)) & 1) === 1;
  let next = 1;
  for (let bit = 0; bit < words * 32; ) {
    if (!isSet(bit)) {
      bit++;
      continue;
    }
    const part = regions[next++];
    let n = 0;
    while (part !== undefined && isSet(bit + n) && (n + 1) * GRAIN <= part.length) n++;
    if (n === 0 || (bit + n) * GRAIN > block.length) return undefined;
    block.set(part.subarray(0, n * GRAIN), bit * GRAIN);
    grains.fill(1, bit, bit + n);
    bit += n;
  }
  return grains;
}
