/** Two copies of a grain table made one: each entry with how certain it is. Source: vmdk.md sections 3 and 11. */
import { type Certainty, GUESSED, INFERRED, LOST, STATED, VERIFIED } from '../../../core/run.ts';

/** Why an entry is less than stated, or missing. */
export const CODES = [
  '',
  'vmdk.copies-differ',
  'vmdk.one-copy',
  'vmdk.grain-shared',
  'vmdk.grains-unclaimed',
  'vmdk.header',
  'vmdk.grain-range',
  'vmdk.table-lost',
  'vmdk.grain-align',
  'vmdk.order',
] as const;
export const DIFFER = 1;
export const ONE_COPY = 2;
export const SHARED = 3;
export const UNCLAIMED = 4;
export const HEADER = 5;
export const RANGE = 6;
export const TABLE_LOST = 7;
export const ALIGN = 8;
export const ORDER = 9;

/** Entries that stand in one sector, or in half of one: what overwrites one of them overwrites the others. */
export const NEIGHBOURS = 64;

export interface Table {
  /** Sector of each grain; 0: nothing here; 1: zeros, where the extent knows that. */
  readonly at: Uint32Array;
  readonly certainty: Uint8Array;
  /** Index into CODES. */
  readonly code: Uint8Array;
}

/** One copy of a table. */
export interface Copy {
  readonly words: Uint32Array;
  /** The directory that led to it was sound. */
  readonly isSure: boolean;
  /** Which table it is was guessed. */
  readonly isGuess?: boolean;
  /** Entries from here on may be something else: what would say so is lost. */
  readonly known?: number;
}

export interface Merged extends Table {
  /** Entries where both copies are there and differ. */
  readonly differ: number;
  /** Entries that no copy gives a place inside the file. */
  readonly illegal: number;
}

/** What entries can be. */
export interface Ranges {
  /** A place inside the file, or none. */
  readonly isLegal: (v: number) => boolean;
  /** One that no host writes. */
  readonly isWild: (v: number) => boolean;
  /** One that was a place before the file was cut off. */
  readonly isCut: (v: number) => boolean;
}

/** A table of which nothing is known. */
export function lostTable(entries: number): Merged {
  return {
    at: new Uint32Array(entries),
    certainty: new Uint8Array(entries),
    code: new Uint8Array(entries).fill(TABLE_LOST),
    differ: 0,
    illegal: entries,
  };
}

/**
 * `expected`: copies that a sound extent has. An entry that is impossible makes the other entries of its copy doubtful
 * as well: whatever wrote it seldom wrote one word only.
 */
export function merged(
  a: Copy | undefined,
  b: Copy | undefined,
  expected: 1 | 2,
  { isLegal, isWild, isCut }: Ranges,
): Merged {
  const first = a ?? b;
  if (first === undefined) throw new Error('a table without copies');
  const second = a === undefined ? undefined : b;
  const count = first.words.length;
  const table = { at: new Uint32Array(count), certainty: new Uint8Array(count), code: new Uint8Array(count) };
  const sound = (copy: Copy | undefined): boolean =>
    copy?.isSure === true && copy.words.every((v) => isLegal(v) || isCut(v));
  const [isFirst, isSecond] = [sound(first), sound(second)];
  const wild = new Uint8Array(count);
  let differ = 0;
  let illegal = 0;
  for (let i = 0; i < count; i++) {
    const x = first.words[i];
    const y = second === undefined ? x : second.words[i];
    let value = x;
    let certainty: Certainty = second === undefined ? (isFirst && expected === 1 ? STATED : INFERRED) : VERIFIED;
    if (second === undefined && first.isGuess === true) certainty = GUESSED;
    let code = second === undefined && certainty < STATED ? ONE_COPY : 0;
    if (x !== y) {
      differ++;
      certainty = INFERRED;
      code = DIFFER;
      value = chosen(x, y, isLegal, isCut, isFirst, isSecond);
      // Both look right: an update that reached one copy only, or a copy that was overwritten.
      if (isFirst === isSecond && x !== 0 && y !== 0 && isLegal(x) && isLegal(y)) certainty = GUESSED;
    }
    if (second === undefined && i >= (first.known ?? count)) {
      value = 0;
      certainty = LOST;
      code = TABLE_LOST;
    } else if (!isLegal(value)) {
      illegal++;
      wild[i] = Number(isWild(value));
      value = 0;
      certainty = LOST;
      code = RANGE;
    }
    table.at[i] = value;
    table.certainty[i] = certainty;
    table.code[i] = code;
  }
  return { ...table, differ, illegal: illegal + loseNeighbours(table, wild) };
}

/** Where most entries are none that a host would ever write, those that could be some are so by chance. */
function loseNeighbours({ at, certainty, code }: Table, wild: Uint8Array): number {
  let more = 0;
  for (let from = 0; from < at.length; from += NEIGHBOURS) {
    const end = Math.min(at.length, from + NEIGHBOURS);
    let bad = 0;
    for (let i = from; i < end; i++) bad += wild[i];
    if (bad * 2 <= end - from) continue;
    for (let i = from; i < end; i++) {
      if (certainty[i] === LOST) continue;
      more++;
      at[i] = 0;
      certainty[i] = LOST;
      code[i] = RANGE;
    }
  }
  return more;
}

/**
 * Entries are never taken back, so one that is set is newer than one that is not: also where it leads behind the end of
 * a file that was cut off, and what it led to is missing then.
 */
function chosen(
  x: number,
  y: number,
  isLegal: (v: number) => boolean,
  isCut: (v: number) => boolean,
  isFirst: boolean,
  isSecond: boolean,
): number {
  if (!isLegal(x)) return y === 0 && isCut(x) ? x : y;
  if (!isLegal(y)) return x === 0 && isCut(y) ? y : x;
  if (x === 0) return isFirst && !isSecond ? x : y;
  if (y === 0) return isSecond && !isFirst ? y : x;
  return isSecond && !isFirst ? y : x;
}
