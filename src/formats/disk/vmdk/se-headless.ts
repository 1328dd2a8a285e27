/**
 * A seSparse delta whose constant header is lost: its directory, tables and grains are found by what they hold, and the
 * size of the disk is what the descriptor says. Source: vmdk.md section 5.
 */
import { viewOf } from '../../../core/struct.ts';
import type { Place } from './layer.ts';
import { SE_ENTRIES, SECTOR } from './structs.ts';
import { Window } from './window.ts';

const SPAN = 1024 * 1024;
/** Bytes from the start of the file that are searched for the directory, and for what follows it. */
const SEARCHED: number = 256 * SPAN;
/** Hosts let regions begin at multiples of so many sectors. */
const REGION = 2048;
const GRAIN = 8;
const TABLE_SECTORS = (SE_ENTRIES * 8) / SECTOR;
/** High half of an entry of the directory that leads to a table. */
const IS_TABLE = 0x10000000;
/** Kinds of entries of a table: none, two of zeros, a grain. */
const KIND_GRAIN = 3;
/** Grains are given out in order: of their numbers so many are in use at least. */
const LEAST_USED = 0.5;
/** Grains that are looked at in one piece. */
const LOOK = 256;

/** Where the structures of a delta lie, in sectors. */
export interface SeLayout {
  readonly directory: number;
  readonly region: number;
  readonly grains: number;
}

/** The layout of a delta for so many entries in its directory; undefined where its tables cannot be told. */
export async function seLayoutIn(place: Place, entries: number): Promise<SeLayout | undefined> {
  const window = new Window(place.source, SPAN);
  const end = Math.floor(Math.min(place.source.size, SEARCHED) / SECTOR);
  for (let at = 1; at < end; at++) {
    place.signal.throwIfAborted();
    const first = await window.bytes(at * SECTOR, SECTOR);
    if (!mayBeDirectory(first)) continue;
    const tables = tablesIn(await window.bytes(at * SECTOR, roundUp(entries * 8, SECTOR)), entries);
    if (tables === 0) continue;
    const layout = await layoutBehind(place, at, at + Math.ceil((entries * 8) / SECTOR), tables);
    if (layout !== undefined) return layout;
  }
  return undefined;
}

/** All entries of the sector are none or lead to a table. */
function mayBeDirectory(sector: Uint8Array): boolean {
  const view = viewOf(sector);
  let isUsed = false;
  for (let i = 0; i < SECTOR; i += 8) {
    const high = view.getUint32(i + 4, true);
    if (high !== IS_TABLE && (high !== 0 || view.getUint32(i, true) !== 0)) return false;
    isUsed ||= high === IS_TABLE;
  }
  return isUsed;
}

/** How many tables a directory leads to: each once, and all numbers up to the last; 0 where it is none. */
function tablesIn(bytes: Uint8Array, entries: number): number {
  const view = viewOf(bytes);
  const seen = new Set<number>();
  let last = -1;
  for (let i = 0; i < bytes.length / 8; i++) {
    const low = view.getUint32(i * 8, true);
    const high = view.getUint32(i * 8 + 4, true);
    if (low === 0 && high === 0) continue;
    if (high !== IS_TABLE || i >= entries || seen.has(low)) return 0;
    seen.add(low);
    last = Math.max(last, low);
  }
  return last + 1 === seen.size ? seen.size : 0;
}

async function layoutBehind(
  place: Place,
  directory: number,
  end: number,
  tables: number,
): Promise<SeLayout | undefined> {
  const window = new Window(place.source, SPAN);
  const most = Math.floor(Math.min(place.source.size, SEARCHED + end * SECTOR) / SECTOR);
  let first = end;
  while (first < most && (await window.bytes(first * SECTOR, SECTOR)).every((byte) => byte === 0)) first++;
  // Every table has something in it, so the first one begins at most its own length before what is not zeros.
  const aligned = Math.floor(first / REGION) * REGION;
  for (const region of new Set([aligned, end])) {
    if (region < end || first >= region + TABLE_SECTORS) continue;
    const top = await topGrain(place, region, tables);
    const grains = top === undefined ? undefined : await grainsFor(place, top, region + tables * TABLE_SECTORS);
    if (grains !== undefined) return { directory, region, grains };
  }
  return undefined;
}

/** The highest number of a grain in all tables; undefined where one of them cannot be a table. */
async function topGrain(place: Place, region: number, tables: number): Promise<number | undefined> {
  const window = new Window(place.source, SPAN);
  const seen = new Set<number>();
  let top = -1;
  for (let t = 0; t < tables; t++) {
    place.signal.throwIfAborted();
    const view = viewOf(await window.bytes((region + t * TABLE_SECTORS) * SECTOR, SE_ENTRIES * 8));
    let isUsed = false;
    for (let i = 0; i < SE_ENTRIES * 8; i += 8) {
      const low = view.getUint32(i, true);
      const high = view.getUint32(i + 4, true);
      if (low === 0 && high === 0) continue;
      isUsed = true;
      const kind = high >>> 28;
      if (kind === 1 || kind === 2) continue;
      if (kind !== KIND_GRAIN || (high & 0xffff) !== 0) return undefined;
      const grain = ((high >>> 16) & 0xfff) + low * 4096;
      if (seen.has(grain)) return undefined;
      seen.add(grain);
      top = Math.max(top, grain);
    }
    if (!isUsed) return undefined;
  }
  return top >= 0 && seen.size >= (top + 1) * LEAST_USED ? top : undefined;
}

/** Where grain 0 lies: the highest grain in use is the last that is not zeros, as room behind it was never written. */
async function grainsFor(place: Place, top: number, least: number): Promise<number | undefined> {
  const window = new Window(place.source, SPAN);
  let grain = Math.floor(place.source.size / (GRAIN * SECTOR)) - 1;
  while (grain * GRAIN >= least) {
    place.signal.throwIfAborted();
    const from = Math.floor(grain / LOOK) * LOOK;
    const bytes = await window.bytes(from * GRAIN * SECTOR, (grain - from + 1) * GRAIN * SECTOR);
    const last = bytes.findLastIndex((byte) => byte !== 0);
    grain = from + Math.floor(last / (GRAIN * SECTOR));
    if (last >= 0) break;
  }
  const grains = (grain - top) * GRAIN;
  return grains >= least ? grains : undefined;
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
