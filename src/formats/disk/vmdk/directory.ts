/** Grain directories of hosted sparse extents: both copies, and what can be computed of them. Source: vmdk.md 3. */

import type { Tables } from './grains.ts';
import type { Place } from './layer.ts';
import type { Copy } from './merge.ts';
import { SECTOR } from './structs.ts';
import { UNREADABLE, Window } from './window.ts';

/** Tables read at once. */
const TABLES_SPAN = 256 * 1024;
/** Entries of the directory of the largest extent: 2 TiB of the smallest grains, in small tables. */
export const MAX_TABLES = 2 ** 22;

/** One copy of a directory. */
export interface Directory {
  /** Sectors of the tables; 0 where there is none, UNREADABLE where that is not known. */
  readonly entries: Uint32Array;
  /** The entries are those that were read, or follow from most of them. */
  readonly isSure: boolean;
  /** Entries that were replaced by what the others say. */
  readonly replaced: number;
  readonly firstReplaced: number;
}

/** Reads a directory and checks that its tables lie one behind the other, as hosts make them. */
export async function readDirectory(
  place: Place,
  at: number,
  count: number,
  tableSectors: number,
  isStream: boolean,
): Promise<Directory> {
  const size = place.source.size / SECTOR;
  const entries = new Uint32Array(count).fill(UNREADABLE);
  if (at > 0 && at < size) {
    const there = Math.min(count, Math.floor((size - at) * (SECTOR / 4)));
    entries.set(await new Window(place.source, TABLES_SPAN).words(at * SECTOR, there));
  }
  const isPossible = (v: number): boolean => v > 0 && v !== UNREADABLE && v + tableSectors <= size;
  const nothing = { replaced: 0, firstReplaced: -1 };
  if (isStream) {
    const bad = entries.findIndex((v) => v !== 0 && !isPossible(v));
    for (let i = 0; i < count; i++) if (entries[i] !== 0 && !isPossible(entries[i])) entries[i] = UNREADABLE;
    return { entries, isSure: bad < 0, ...nothing };
  }
  const rule = at + Math.ceil((count * 4) / SECTOR);
  const follows = (base: number): number => entries.reduce((n, v, i) => n + Number(v === base + i * tableSectors), 0);
  const own = majority(entries, tableSectors);
  const isByRule = follows(rule) > 0 || own === undefined;
  const base = isByRule ? rule : own;
  if (follows(base) * 2 <= count && own === undefined && entries.some(isPossible) && count > 1 && follows(rule) === 0) {
    // Tables lie anywhere: nothing can be computed.
    for (let i = 0; i < count; i++) if (entries[i] !== 0 && !isPossible(entries[i])) entries[i] = UNREADABLE;
    return { entries, isSure: entries.every((v) => v !== UNREADABLE), ...nothing };
  }
  let [replaced, firstReplaced] = [0, -1];
  const isSure = follows(base) * 2 > count;
  for (let i = 0; i < count; i++) {
    const computed = base + i * tableSectors;
    if (entries[i] === computed) continue;
    replaced++;
    if (firstReplaced < 0) firstReplaced = i;
    entries[i] = isPossible(computed) ? computed : UNREADABLE;
  }
  return { entries, isSure, replaced, firstReplaced };
}

/** Where the first table lies, if most entries agree on that. */
function majority(entries: Uint32Array, tableSectors: number): number | undefined {
  const votes = new Map<number, number>();
  // Enough to be sure; what is overwritten is overwritten in a row, so the samples are spread.
  const by = Math.max(1, Math.floor(entries.length / 1024));
  let asked = 0;
  for (let i = 0; i < entries.length; i += by) {
    const base = entries[i] - i * tableSectors;
    asked++;
    if (base > 0 && entries[i] !== 0 && entries[i] !== UNREADABLE) votes.set(base, (votes.get(base) ?? 0) + 1);
  }
  for (const [base, count] of votes) if (count * 2 > asked && (asked > 1 || entries.length === 1)) return base;
  return undefined;
}

/** Tables that two directories lead to. */
export function tablesOf(
  place: Place,
  main: Directory | undefined,
  spare: Directory | undefined,
  perTable: number,
): Tables {
  const count = (main ?? spare)!.entries.length;
  const windows = [new Window(place.source, TABLES_SPAN), new Window(place.source, TABLES_SPAN)];
  const copy = async (directory: Directory | undefined, which: number, i: number): Promise<Copy | undefined> => {
    const sector = directory?.entries[i] ?? 0;
    if (!isThere(directory, i)) return undefined;
    return { words: await windows[which].words(sector * SECTOR, perTable), isSure: directory!.isSure };
  };
  const isThere = (directory: Directory | undefined, i: number): boolean => {
    const sector = directory?.entries[i] ?? 0;
    return sector !== 0 && sector !== UNREADABLE;
  };
  return {
    count,
    state(i) {
      if (isThere(main, i) || isThere(spare, i)) return 'there';
      return [main, spare].every((directory) => (directory?.entries[i] ?? 0) === 0) ? 'none' : 'lost';
    },
    load: async (i) => [await copy(main, 0, i), await copy(spare, 1, i)],
    place(i) {
      const sector = main?.entries[i] ?? 0;
      const other = spare?.entries[i] ?? 0;
      return sector !== 0 && sector !== UNREADABLE ? sector : other === UNREADABLE ? 0 : other;
    },
  };
}

/** A pair of directories recognised by what they hold: tables that follow the directory and each other. */
export interface Pair {
  readonly spare?: number;
  readonly main: number;
  readonly tables: number;
}

/** Sectors at the start of an extent that are searched for directories. */
const SEARCHED = 8192;

/** Looks for the directories of an extent whose header is lost, with tables of 512 entries. */
export async function findDirectories(place: Place, tableSectors: number): Promise<Pair | undefined> {
  const window = new Window(place.source, TABLES_SPAN);
  const most = Math.min(SEARCHED, Math.floor(place.source.size / SECTOR));
  for (let at = 1; at < most; at++) {
    const tables = await startsDirectory(place, window, at, tableSectors);
    if (tables === 0) continue;
    const next = at + Math.ceil((tables * 4) / SECTOR) + tables * tableSectors;
    const second = next < most ? await startsDirectory(place, window, next, tableSectors) : 0;
    if (second === tables) return { spare: at, main: next, tables };
    // One entry alone is too little to be sure of.
    if (tables > 2) return { main: at, tables };
  }
  return undefined;
}

/** Entries that are looked at to tell how large a grain is, and how many lead somewhere at least. */
const ASKED = 65_536;
const LEAST_ASKED = 8;
const GRAINS: readonly number[] = [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/** Sectors of a grain by the tables alone: as far apart as most grains lie that follow each other; undefined where too few do. */
export async function grainBetween(
  place: Place,
  { main, tables }: Pair,
  tableSectors: number,
): Promise<number | undefined> {
  const first = main + Math.ceil((tables * 4) / SECTOR);
  const count = Math.min(ASKED, tables * tableSectors * (SECTOR / 4));
  const words = await new Window(place.source, TABLES_SPAN).words(first * SECTOR, count);
  const behind = first + tables * tableSectors;
  const used = words.filter((v) => v >= behind && v * SECTOR < place.source.size).sort();
  const steps = new Map<number, number>();
  for (let i = 1; i < used.length; i++) {
    const step = used[i] - used[i - 1];
    if (step > 0) steps.set(step, (steps.get(step) ?? 0) + 1);
  }
  const [most] = [...steps].sort((a, b) => b[1] - a[1]);
  if (used.length === 0) return undefined;
  // Of a few, the last tells: the file ends behind it.
  const rest = Math.ceil(place.source.size / SECTOR) - used[used.length - 1];
  if (used.length < LEAST_ASKED)
    return GRAINS.includes(rest) && used.every((v) => (v - used[0]) % rest === 0) ? rest : undefined;
  if (most === undefined || !GRAINS.includes(most[0])) return undefined;
  const isMost = used.filter((v) => (v - used[0]) % most[0] === 0).length * 2 > used.length;
  return isMost && most[1] * 2 > used.length ? most[0] : undefined;
}

/** Tables that a directory at this sector leads to; 0 where there is none. */
async function startsDirectory(place: Place, window: Window, at: number, tableSectors: number): Promise<number> {
  const head = await window.words(at * SECTOR, SECTOR / 4);
  const first = head[0];
  if (first <= at || first > at + MAX_TABLES / 128) return 0;
  const room = (first - at) * (SECTOR / 4);
  if (first * SECTOR >= place.source.size) return 0;
  const entries = room <= head.length ? head : await window.words(at * SECTOR, room);
  let count = 1;
  while (count < entries.length && entries[count] === first + count * tableSectors) count++;
  const isEnd = entries.subarray(count).every((v) => v === 0);
  return isEnd && Math.ceil((count * 4) / SECTOR) === first - at ? count : 0;
}
