/**
 * Tables found by what they look like: words that are offsets of clusters inside the file, each once, and nothing else.
 * Source: qcow2.md section 11.1.
 */
import type { Source } from '../../../core/source.ts';
import {
  COMPRESSED,
  COPIED,
  compressedAt,
  type Geometry,
  offsetOf,
  RESERVED_HIGH,
  RESERVED_LOW,
  type Words,
  wordsOf,
} from './geometry.ts';
import { parseSnapshots, type Snapshot } from './snapshots.ts';

/** Bytes of a file that are looked at in search of tables. */
export const MAX_SURVEY: number = 64 * 1024 ** 3;
/** Bytes of tables that are kept. */
const MAX_TABLES: number = 256 * 1024 * 1024;
const BLOCK = 1024 * 1024;
/** Snapshots that a table found by its content can list. */
const MAX_LISTED = 256;

/** A cluster that looks like a table. */
export interface Table {
  /** Bytes from the start of the file. */
  readonly at: number;
  readonly words: Words;
  /** Offsets it holds, of tables or data, in order. */
  readonly targets: readonly number[];
  /** Entries that say that their cluster is used once. */
  readonly copied: number;
  readonly compressed: number;
  /** Entries with bits that only entries of data may have. */
  readonly zeros: number;
}

export interface Survey {
  /** What looks like an L2 table (also L1 and refcount tables do), by offset. */
  readonly tables: Map<number, Table>;
  /** What looks like an L1 table or another table of plain offsets. */
  readonly plain: Map<number, Table>;
  /** Clusters of nothing but zeros. */
  readonly zeros: Set<number>;
  readonly snapshots: { readonly at: number; readonly list: readonly Snapshot[] }[];
  /** Clusters that were looked at and hold something. */
  used: number;
  /** The whole file was looked at. */
  readonly whole: boolean;
}

/** Looks at all clusters that are wanted. Offsets of data lie below `end`. */
export async function surveyOf(
  file: Source,
  geometry: Geometry,
  wanted: (cluster: number) => boolean,
  signal: AbortSignal,
  end: number = file.size,
  limit: number = MAX_SURVEY,
): Promise<Survey> {
  const { clusterSize } = geometry;
  const out = {
    tables: new Map<number, Table>(),
    plain: new Map<number, Table>(),
    zeros: new Set<number>(),
    snapshots: [],
  };
  const survey: Survey & { whole: boolean } = { ...out, used: 0, whole: true };
  const size = Math.max(BLOCK, clusterSize);
  const buffer = new Uint8Array(size);
  let kept = 0;
  for (let at = 0; at < file.size; at += size) {
    if (at >= limit || kept > MAX_TABLES) {
      survey.whole = false;
      break;
    }
    const first = at / clusterSize;
    const count = Math.ceil(Math.min(size, file.size - at) / clusterSize);
    let some = false;
    for (let i = 0; i < count && !some; i++) some = wanted(first + i);
    if (!some) continue;
    signal.throwIfAborted();
    const into = buffer.subarray(0, Math.min(size, file.size - at));
    const gaps = await file.read(at, into);
    for (let i = 0; i < count; i++) {
      const from = i * clusterSize;
      const lost = gaps.some((gap) => gap.offset - at < from + clusterSize && gap.offset - at + gap.length > from);
      if (wanted(first + i) && !lost)
        kept += look(into.subarray(from, from + clusterSize), at + from, end, geometry, survey);
    }
  }
  return survey;
}

/** Looks at what tables lead to beyond what was looked at, so that an L1 table at the start of a large file is known. */
export async function followTables(
  file: Source,
  geometry: Geometry,
  survey: Survey,
  signal: AbortSignal,
): Promise<void> {
  const { clusterSize } = geometry;
  const buffer = new Uint8Array(clusterSize);
  let kept = 0;
  // What is met on the way is added to the survey, and not followed in its turn.
  const start = [...survey.plain.values()];
  for (const table of start) {
    // Data has no such tables at its start: the first that is none ends the search.
    for (const at of table.copied > 0 ? table.targets : []) {
      if (survey.tables.has(at) || kept > MAX_TABLES) continue;
      signal.throwIfAborted();
      if (at + clusterSize > file.size || (await file.read(at, buffer)).length > 0) break;
      kept += look(buffer, at, file.size, geometry, survey);
      if (!survey.tables.has(at)) break;
    }
  }
}

/** Sorts one cluster in; answers the bytes that are kept of it. */
function look(bytes: Uint8Array, at: number, end: number, geometry: Geometry, into: Survey): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const n = Math.floor(bytes.length / 8);
  let first = 0;
  while (first < n && view.getUint32(first * 8) === 0 && view.getUint32(first * 8 + 4) === 0) first++;
  if (first === n) {
    into.zeros.add(at);
    return 0;
  }
  into.used++;
  const isPlain = isTable(view, first, n, end, geometry, false);
  const isData = geometry.extended && isTable(view, first, n, end, geometry, true);
  if (!isPlain && !isData) {
    lookForSnapshots(bytes, view, at, end, into);
    return 0;
  }
  const words = wordsOf(bytes);
  // A file may end inside of its last L1 table, but not inside of an L2 table that was written.
  const l2 = geometry.extended ? isData : isPlain;
  if (l2 && bytes.length === geometry.clusterSize) {
    const table = tableOf(words, at, geometry, geometry.extended);
    if (table !== undefined) into.tables.set(at, table);
  }
  const plain = isPlain ? tableOf(words, at, geometry, false) : undefined;
  if (plain !== undefined && plain.compressed === 0 && plain.zeros === 0) into.plain.set(at, plain);
  return bytes.length;
}

/** Whether every word could stand in a table; ends at the first that could not. */
function isTable(
  view: DataView,
  first: number,
  n: number,
  end: number,
  geometry: Geometry,
  extended: boolean,
): boolean {
  const { clusterBits, clusterSize } = geometry;
  let offsets = 0;
  for (let i = extended ? first - (first % 2) : first; i < n; i++) {
    const high = view.getUint32(i * 8);
    const low = view.getUint32(i * 8 + 4);
    if (extended && i % 2 === 1) {
      if ((high & low) !== 0) return false;
      continue;
    }
    if (high === 0 && low === 0) continue;
    if ((high & COMPRESSED) !== 0) {
      if ((high & COPIED) !== 0) return false;
      const { at, length } = compressedAt(high, low, clusterBits);
      if (at < clusterSize || at + length > end + clusterSize) return false;
      offsets++;
      continue;
    }
    if ((high & RESERVED_HIGH) !== 0 || (low & RESERVED_LOW) !== 0 || (extended && (low & 1) !== 0)) return false;
    const offset = offsetOf(high, low);
    if (offset % clusterSize !== 0 || offset >= end) return false;
    if (offset > 0) offsets++;
    else if (high !== 0) return false;
  }
  return offsets > 0 || extended === false;
}

/** What a cluster of such words holds; undefined where an offset stands twice. */
function tableOf(words: Words, at: number, geometry: Geometry, extended: boolean): Table | undefined {
  const targets: number[] = [];
  let copied = 0;
  let compressed = 0;
  let zeros = 0;
  for (let i = 0; i < words.length; i += extended ? 4 : 2) {
    const high = words[i];
    const low = words[i + 1];
    if ((high & COMPRESSED) !== 0) {
      targets.push(compressedAt(high, low, geometry.clusterBits).at);
      compressed++;
      continue;
    }
    if ((high & COPIED) !== 0) copied++;
    if ((low & 1) !== 0) zeros++;
    const offset = offsetOf(high, low);
    if (offset > 0) targets.push(offset);
  }
  if (new Set(targets).size < targets.length || targets.includes(at)) return undefined;
  return { at, words, targets, copied, compressed, zeros };
}

function lookForSnapshots(bytes: Uint8Array, view: DataView, at: number, end: number, into: Survey): void {
  const l1At = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
  if (bytes.length < 48 || l1At === 0 || l1At % 512 !== 0 || l1At >= end) return;
  const { list } = parseSnapshots(bytes, at, MAX_LISTED, end);
  const isText = (name: string): boolean => Array.from(name).every((letter) => letter >= ' ');
  const named = list.filter(({ id, name }) => /^\d{1,10}$/.test(id) && isText(name));
  if (named.length > 0) into.snapshots.push({ at, list: named });
}
