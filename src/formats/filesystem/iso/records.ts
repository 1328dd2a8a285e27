/** Directory records: where a file lies, said twice, and its name. */
import { type Values, viewOf } from '../../../core/struct.ts';
import type { Doubt } from '../posix.ts';
import { DIRECTORY, MORE, RECORD, record, SECTOR, SIZE_AT, START_AT } from './structs.ts';

export interface Found {
  readonly values: Values<typeof record.fields>;
  /** Bytes from the start of the directory. */
  readonly offset: number;
  readonly start: number;
  readonly size: number;
  readonly name: Uint8Array;
  /** What follows the name: fields of extensions. */
  readonly system: Uint8Array;
  readonly isDirectory: boolean;
  readonly isContinued: boolean;
  readonly doubts: readonly Omit<Doubt, 'at'>[];
}

/** The records in the bytes of a directory, and where there is something else. */
export function recordsIn(block: Uint8Array, blocks: number, isWide: boolean): { found: Found[]; nonsense: number[] } {
  const found: Found[] = [];
  const nonsense: number[] = [];
  for (let offset = 0; offset + RECORD < block.length; ) {
    const next = (Math.floor(offset / SECTOR) + 1) * SECTOR;
    // Records do not cross sectors; what is left of one is zeros.
    if (block[offset] === 0) {
      offset = next;
      continue;
    }
    const one = recordAt(block, offset, next, blocks, isWide);
    if (one === undefined) {
      nonsense.push(offset);
      offset = next;
      continue;
    }
    found.push(one);
    offset += one.values.length;
  }
  return { found, nonsense };
}

/** The record at `offset`, which ends before `limit`; undefined where there is none. */
export function recordAt(
  block: Uint8Array,
  offset: number,
  limit: number,
  blocks: number,
  isWide: boolean,
): Found | undefined {
  if (offset + RECORD > Math.min(limit, block.length)) return undefined;
  const values = record.decode(block, offset);
  const { length, nameLength } = values;
  const isInside = offset + length <= Math.min(limit, block.length) && RECORD + nameLength <= length;
  if (record.violations(values).length > 0 || !isInside) return undefined;
  const view = viewOf(block);
  const doubts: Omit<Doubt, 'at'>[] = [];
  const twice = (first: number, at: number, what: string): number => {
    const second = view.getUint32(offset + at + 4, false);
    if (first === second) return first;
    doubts.push({ code: 'iso.record', expected: `one ${what}`, actual: `${first} and ${second}` });
    return first < blocks || second >= blocks ? first : second;
  };
  const start = twice(values.start, START_AT, 'first block');
  let size = values.size;
  const other = view.getUint32(offset + SIZE_AT + 4, false);
  if (size !== other) {
    doubts.push({ code: 'iso.record', expected: 'one size', actual: `${size} and ${other}` });
    const room = Math.max(0, blocks - start) * SECTOR;
    if (size > room && other <= room) size = other;
  }
  const name = block.subarray(offset + RECORD, offset + RECORD + nameLength);
  if (isWide && nameLength > 1 && nameLength % 2 === 1)
    doubts.push({ code: 'iso.record', expected: 'a name of whole characters', actual: `${nameLength} bytes` });
  // The name is padded to an even length with what is before it.
  const systemAt = RECORD + nameLength + (nameLength % 2 === 0 ? 1 : 0);
  return {
    values,
    offset,
    start,
    size,
    name,
    system: block.subarray(offset + Math.min(systemAt, length), offset + length),
    isDirectory: (values.flags & DIRECTORY) !== 0,
    isContinued: (values.flags & MORE) !== 0,
    doubts,
  };
}

/** Whether a record is the directory's own, or that of the one above. */
export function isDot({ name }: Found): boolean {
  return name.length === 1 && name[0] <= 1;
}

const QUARTER = 900;

/** A time of seven bytes; undefined where there is none. */
export function timeOf(raw: Uint8Array): number | undefined {
  const [year, month, day, hour, minute, second, zone] = raw;
  if (month < 1 || month > 12 || day < 1 || day > 31) return undefined;
  const quarters = (zone << 24) >> 24;
  return Date.UTC(1900 + year, month - 1, day, hour, minute, second) / 1000 - quarters * QUARTER;
}
