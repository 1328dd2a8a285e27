/** Stream-optimized extents: compressed grains that say where they belong. Source: vmdk.md 3.1. */
import { GRAIN_MARKER } from '../../../codec/grain.ts';
import { inflateZlib, startsZlib } from '../../../codec/zlib.ts';
import { viewOf } from '../../../core/struct.ts';
import type { Tables } from './grains.ts';
import type { Place } from './layer.ts';
import type { Copy } from './merge.ts';
import { marker, SECTOR } from './structs.ts';
import { Window } from './window.ts';

/** Extents up to this size are walked from grain to grain even where their tables are whole. */
export const MAX_WALKED: number = 16 * 2 ** 30;
const STEP = 4096;
/** Where the way is lost, sectors are tried one by one: large reads. */
const SEARCH = 1024 * 1024;
/** Grains that are tried to be inflated after the way was lost. */
const MAX_TRIED = 65536;
/** Sectors of metadata that a marker can announce: tables, a directory of the largest disk, a footer. */
const MAX_METADATA = 65536;

/** The most bytes that a compressed grain of `bytes` bytes takes, with its marker. */
export function mostCompressed(bytes: number): number {
  return GRAIN_MARKER + bytes + Math.ceil(bytes / 8) + 64;
}

/** What markers in a row say. */
export interface Walk {
  /** Sectors of the grains, by their number in the disk, as a table of so many grains. */
  table(number: number, perTable: number): Copy;
  /** Whether there are any in it. */
  has(number: number, perTable: number): boolean;
  /** Bytes of a grain with its marker; undefined where it was not met. */
  bytesOf(grain: number, sector: number): number | undefined;
  readonly grains: number;
  /** Number of the last grain in the disk that was found; -1 where none was. */
  readonly last: number;
  /** Largest sector of the disk that a grain belongs to, and one grain more. */
  readonly sectors: number;
  /** Bytes that were neither grains nor metadata, and where they start. */
  readonly strange: number;
  readonly firstStrange: number;
}

/** Goes from marker to marker from sector `first` on. What is damaged is passed over, to the next whole grain. */
export async function walk(place: Place, first: number, grain: number, sectors: number): Promise<Walk> {
  const { source } = place;
  const found = new Map<number, number>();
  const lengths = new Map<number, number>();
  const bytes = grain * SECTOR;
  const near = new Window(source, STEP, true);
  const far = new Window(source, SEARCH, true);
  let [strange, firstStrange, tried, most] = [0, -1, 0, 0];
  let isLost = false;
  let last: { grain: number; at: number; end: number } | undefined;
  let at = first * SECTOR;
  while (at + SECTOR <= source.size) {
    place.signal.throwIfAborted();
    const block = await (isLost ? far : near).bytes(at, SECTOR);
    const next = step(block, at, grain, sectors, source.size);
    const isGrain = next?.grain !== undefined;
    if (
      next === undefined ||
      (isGrain && isLost && (++tried > MAX_TRIED || !(await isWhole(place, at, bytes, next.end))))
    ) {
      // The grain before may have led here with a wrong length: what follows it directly is looked at too.
      if (last !== undefined) {
        if (!(await isWhole(place, last.at, bytes, last.end))) found.delete(last.grain);
        at = last.at;
        last = undefined;
      } else {
        if (firstStrange < 0) firstStrange = at;
        strange += SECTOR;
      }
      isLost = true;
      at += SECTOR;
      continue;
    }
    if (isGrain) {
      isLost = false;
      // A place that is claimed again was written again: what comes later counts in a stream.
      found.set(next.grain!, at / SECTOR);
      lengths.set(next.grain!, next.end - at);
      last = { grain: next.grain!, at, end: next.end };
      most = Math.max(most, (next.grain! + 1) * grain);
    }
    at = next.end;
  }
  const numbers = [...found.keys()].sort((a, b) => a - b);
  const keys = Float64Array.from(numbers);
  const places = Float64Array.from(numbers, (n) => found.get(n)!);
  const table = (number: number, perTable: number): Copy => {
    const words = new Uint32Array(perTable);
    for (let i = below(keys, number * perTable); i < keys.length && keys[i] < (number + 1) * perTable; i++) {
      words[keys[i] - number * perTable] = places[i];
    }
    return { words, isSure: true };
  };
  const bytesOf = (grain: number, sector: number): number | undefined =>
    found.get(grain) === sector ? lengths.get(grain) : undefined;
  const has = (number: number, perTable: number): boolean =>
    (keys[below(keys, number * perTable)] ?? Number.POSITIVE_INFINITY) < (number + 1) * perTable;
  return { table, has, bytesOf, grains: keys.length, last: keys.at(-1) ?? -1, sectors: most, strange, firstStrange };
}

interface Step {
  /** Number of the grain in the disk; absent for metadata and padding. */
  readonly grain?: number;
  /** Where the next marker is. */
  readonly end: number;
}

/** What stands at a place of a stream; undefined where it is nothing that belongs there. */
function step(block: Uint8Array, at: number, grain: number, sectors: number, size: number): Step | undefined {
  const { value, size: length, type } = marker.decode(block);
  if (length > 0) {
    const end = at + Math.ceil((GRAIN_MARKER + length) / SECTOR) * SECTOR;
    const fits = value < sectors && value % grain === 0 && length <= mostCompressed(grain * SECTOR);
    if (!fits || at + GRAIN_MARKER + length > size || !startsZlib(block[12], block[13])) return undefined;
    return { grain: value / grain, end };
  }
  if (value === 0 && type === 0) return { end: at + SECTOR };
  const isMetadata = type >= 1 && type <= 4 && value <= MAX_METADATA;
  return isMetadata ? { end: at + SECTOR * (1 + value) } : undefined;
}

/** Whether the grain at `at` can be inflated. */
async function isWhole(place: Place, at: number, bytes: number, end: number): Promise<boolean> {
  const input = new Uint8Array(Math.min(end, place.source.size) - at);
  if ((await place.source.read(at, input)).length > 0) return false;
  const length = viewOf(input).getUint32(8, true);
  return inflateZlib(input.subarray(GRAIN_MARKER, GRAIN_MARKER + length), bytes).length > 0;
}

function below(keys: Float64Array, value: number): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The tables of a stream, and what its markers say beside them. */
export function withWalk(tables: Tables | undefined, walked: Walk, count: number, perTable: number): Tables {
  return {
    count,
    state(i) {
      const own = tables?.state(i);
      if (own === 'there' || walked.has(i, perTable)) return 'there';
      if (own === undefined) return i * perTable > walked.last ? 'lost' : 'there';
      return own;
    },
    async load(i) {
      const seen = walked.table(i, perTable);
      // Where nothing says what was still to come, what lies behind the last grain is not known.
      if (tables === undefined) return [undefined, { ...seen, known: walked.last + 1 - i * perTable }];
      return [tables.state(i) === 'there' ? (await tables.load(i))[0] : undefined, seen];
    },
    bytesOf: (grain, sector) => walked.bytesOf(grain, sector),
    place: (i) => tables?.place(i) ?? 0,
  };
}
