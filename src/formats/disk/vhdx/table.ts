/** The block allocation table of a VHDX, in which entries of blocks and of sector bitmaps take turns. Source: vhdx.md. */
import { ABSENT, ZERO } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { BAD, blankPage, FREE, PARTIAL, type Page, PRESENT, type Sectors, UNREAD, ZEROS } from '../blocks.ts';
import { bytesAt, MIB } from './structs.ts';

const ENTRY = 8;
const NOT_PRESENT = 0;
const FULL = 6;
const SOME = 7;
const STATE_BITS = 7;
/** Bits of an entry between its state and its place. */
const UNUSED = 0xffff8;
const BITMAP_BITS: number = 2 ** 23;

export interface Table {
  /** What is read: the file with its log replayed. */
  readonly view: Source;
  readonly at: number;
  readonly length: number;
  readonly blockSize: number;
  readonly sector: number;
  readonly hasParent: boolean;
}

/** Blocks between two entries of bitmaps. */
export function ratioOf(blockSize: number, sector: number): number {
  return (BITMAP_BITS * sector) / blockSize;
}

/** Position of the entry of a block. */
export function entryAt({ at, blockSize, sector }: Table, block: number): number {
  return at + ENTRY * (block + Math.floor(block / ratioOf(blockSize, sector)));
}

/** Entries of blocks that fit into the table. */
export function countOf({ length, blockSize, sector }: Table): number {
  const entries = Math.floor(length / ENTRY);
  const ratio = ratioOf(blockSize, sector);
  return entries - Math.floor(entries / (ratio + 1));
}

export async function readPage(table: Table, first: number, n: number): Promise<Page> {
  const page = blankPage(n);
  if (n === 0) return page;
  const from = entryAt(table, first);
  const raw = new Uint8Array(entryAt(table, first + n - 1) + ENTRY - from);
  const gaps = await table.view.read(from, raw);
  const view = viewOf(raw);
  const ratio = ratioOf(table.blockSize, table.sector);
  const skipped = Math.floor(first / ratio);
  for (let i = 0; i < n; i++) {
    const at = ENTRY * (i + Math.floor((first + i) / ratio) - skipped);
    const low = view.getUint32(at, true);
    page.kind[i] = kindOf(low, table.hasParent);
    page.at[i] = view.getUint32(at + 4, true) * 2 ** 32 + (low - (low % MIB));
    const isLost = gaps.some((gap) => from + at + ENTRY > gap.offset && from + at < gap.offset + gap.length);
    if (isLost) page.kind[i] = UNREAD;
  }
  return page;
}

function kindOf(low: number, hasParent: boolean): number {
  const state = low & STATE_BITS;
  if ((low & UNUSED) !== 0) return BAD;
  if (state === NOT_PRESENT) return FREE;
  if (state < 4) return ZEROS;
  if (state === FULL) return PRESENT;
  return state === SOME && hasParent ? PARTIAL : BAD;
}

/** Where the bitmap of a chunk lies; undefined where it has none. */
export async function bitmapPlace(table: Table, chunk: number): Promise<number | undefined> {
  const ratio = ratioOf(table.blockSize, table.sector);
  const at = table.at + ENTRY * ((chunk + 1) * ratio + chunk);
  if (at + ENTRY > table.at + table.length) return undefined;
  const raw = await bytesAt(table.view, at, ENTRY);
  if (raw === undefined) return undefined;
  const view = viewOf(raw);
  const low = view.getUint32(0, true);
  const place = view.getUint32(4, true) * 2 ** 32 + (low - (low % MIB));
  return (low & STATE_BITS) === FULL && (low & UNUSED) === 0 && place >= MIB ? place : undefined;
}

/** The sectors that a block of a disk with a parent has itself. */
export async function sectorsOf(table: Table, block: number): Promise<Sectors | undefined> {
  const ratio = ratioOf(table.blockSize, table.sector);
  const place = await bitmapPlace(table, Math.floor(block / ratio));
  if (place === undefined) return undefined;
  const size = table.blockSize / table.sector / 8;
  const raw = await bytesAt(table.view, place + (block % ratio) * size, size);
  if (raw === undefined || table.sector === 512) return raw && { bits: raw };
  // One bit for a sector of 4 KiB stands for eight of 512 bytes.
  const bits = new Uint8Array(size * 8);
  for (let i = 0; i < bits.length; i++) bits[i] = ((raw[i >> 3] >> (i & 7)) & 1) === 1 ? 0xff : 0;
  return { bits };
}

/** What blocks without an entry of their own are. */
export function freeOf(hasParent: boolean): typeof ABSENT | typeof ZERO {
  return hasParent ? ABSENT : ZERO;
}
