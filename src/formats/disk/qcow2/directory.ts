/** L1 tables: which L2 table maps which stretch of the disk, and how sure that is. Source: qcow2.md section 3. */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { type Certainty, STATED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { type Geometry, offsetOf, readWords, type Words } from './geometry.ts';

/** Entry of a directory whose L2 table is known to be lost. */
export const LOST_TABLE = -1;
/** Damages of single entries that are listed; the count goes on in the last one. */
const LISTED = 16;

/** One state of the disk: the live one, or that of a snapshot. */
export interface Directory {
  /** Bytes from the start of the file; -1 where no L1 table says this. */
  readonly at: number;
  /** Offset of the L2 table of each slot, 0 where there is none, LOST_TABLE where it is lost. */
  readonly tables: Float64Array;
  /** What each slot is certain of at most. */
  readonly grades: Uint8Array;
  /** Why it is less than stated. */
  readonly codes: Map<number, string>;
}

/** A directory of `slots` slots that says the same of all. */
export function blankDirectory(at: number, slots: number, table: number, grade: Certainty, code?: string): Directory {
  const codes = new Map<number, string>();
  if (code !== undefined) for (let i = 0; i < slots; i++) codes.set(i, code);
  return { at, tables: new Float64Array(slots).fill(table), grades: new Uint8Array(slots).fill(grade), codes };
}

/** Makes one slot no more certain than `grade`. */
export function weaken(directory: Directory, slot: number, grade: Certainty, code: string): void {
  if (directory.grades[slot] <= grade) return;
  directory.grades[slot] = grade;
  directory.codes.set(slot, code);
}

/** Reads an L1 table of `entries` entries for a disk of `slots`; undefined where none of it can be read. */
export async function readDirectory(
  source: Source,
  at: number,
  entries: number,
  slots: number,
  geometry: Geometry,
  cx: Cx,
  damage: Damage[],
): Promise<Directory | undefined> {
  const there = Math.min(entries, Math.floor((source.size - at) / 8));
  if (!(at > 0) || at % geometry.clusterSize !== 0 || there <= 0) return undefined;
  const words = await readWords(source, at, there * 8);
  if (words === undefined) return undefined;
  const directory = blankDirectory(at, Math.max(slots, there), LOST_TABLE, STATED, undefined);
  decode(words, there, directory, source.size, geometry, cx, damage);
  for (let slot = there; slot < directory.tables.length; slot++) directory.codes.set(slot, 'qcow2.l1-short');
  return directory;
}

function decode(
  words: Words,
  n: number,
  into: Directory,
  end: number,
  geometry: Geometry,
  cx: Cx,
  damage: Damage[],
): void {
  let bad = 0;
  for (let i = 0; i < n; i++) {
    const high = words[2 * i];
    const low = words[2 * i + 1];
    const offset = offsetOf(high, low);
    const clean = (high & 0x7f000000) === 0 && (low & 0x1ff) === 0;
    into.tables[i] = offset;
    if (high === 0 && low === 0) continue;
    if (clean && offset > 0 && offset % geometry.clusterSize === 0 && offset + geometry.clusterSize <= end) continue;
    // A table that lies across the end may still be there in part, but then its file was cut off in the middle of it.
    into.tables[i] = LOST_TABLE;
    into.codes.set(i, offset >= end && clean ? 'past-end' : 'qcow2.l1-entry');
    if (++bad > LISTED) continue;
    const expected = `the offset of an L2 table, a multiple of ${geometry.clusterSize} inside the file`;
    const effect = `${geometry.coverage} bytes of the disk from ${hex(i * geometry.coverage)} on are missing`;
    damage.push(cx.damage(into.at + i * 8, 'qcow2.l1-entry', expected, `0x${word(high, low)}`, effect));
  }
  if (bad > LISTED) {
    const effect = 'what they map is missing';
    damage.push(cx.damage(into.at, 'qcow2.l1-entries', 'offsets of L2 tables', `${bad} others`, effect));
  }
}

/** Sixteen digits of a 64-bit word. */
export function word(high: number, low: number): string {
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}
