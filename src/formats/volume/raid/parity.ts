/** RAID 4, 5 and 6: where data and parity lie, and what a missing device held. Source: volumes.md section 6. */
import { type Codec, type Input, MadeSource } from '../../../core/made.ts';
import { MapSource } from '../../../core/map-source.ts';
import { DATA, type RunList } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import { type Column, emit, type Grade } from './striped.ts';
import { SYNDROMES } from './syndrome.ts';

/** How the parity of one row is placed: columns of the data in order, then P, then Q where there is one. */
export interface Row {
  readonly data: readonly number[];
  readonly p: number;
  readonly q?: number;
  /** The power of the generator that Q takes each column with, by column. */
  readonly powers?: readonly number[];
}

/** Layouts of RAID 4 and 5 by the number that Linux gives them. */
export function parityRow(layout: number, n: number, stripe: number): Row | undefined {
  const turn = stripe % n;
  const p = [n - 1 - turn, turn, n - 1 - turn, turn, 0, n - 1][layout];
  if (p === undefined) return undefined;
  const data: number[] = [];
  for (let d = 0; d < n - 1; d++) {
    if (layout === 2 || layout === 3) data.push((p + 1 + d) % n);
    else data.push(d >= p ? d + 1 : d);
  }
  return { data, p };
}

/** Layouts of RAID 6 by the number that Linux gives them. */
export function doubleParityRow(layout: number, n: number, stripe: number): Row | undefined {
  if (layout >= 16 && layout <= 20) {
    const five = parityRow(layout === 20 ? 4 : layout - 16, n - 1, stripe);
    return five && { ...five, q: n - 1, powers: powersOf(n, five.p, n - 1) };
  }
  const turn = stripe % n;
  const next = (stripe + 1) % n;
  const places: Readonly<Record<number, readonly [number, number]>> = {
    0: [n - 1 - turn, (n - turn) % n],
    1: [turn, (turn + 1) % n],
    2: [n - 1 - turn, (n - turn) % n],
    3: [turn, (turn + 1) % n],
    4: [0, 1],
    5: [n - 2, n - 1],
    8: [turn, (turn + 1) % n],
    9: [n - 1 - next, (n - next) % n],
    10: [n - 1 - turn, (2 * n - 2 - turn) % n],
  };
  const place = places[layout];
  if (place === undefined) return undefined;
  const [p, q] = place;
  const data: number[] = [];
  if (layout === 2 || layout === 3) for (let d = 0; d < n - 2; d++) data.push((p + 2 + d) % n);
  else if (layout === 10) for (let d = 0; d < n - 2; d++) data.push((p + 1 + d) % n);
  else for (let column = 0; column < n; column++) if (column !== p && column !== q) data.push(column);
  // DDF counts all devices from the first one on, P and Q among them as zeros.
  const isDdf = layout >= 8;
  return { data, p, q, powers: isDdf ? Array.from({ length: n }, (_, i) => i) : powersOf(n, p, q) };
}

/** md counts the data from the device behind Q on, round and round. */
function powersOf(n: number, p: number, q: number): number[] {
  const out = Array.from({ length: n }, () => 0);
  for (let i = 1, power = 0; i < n; i++) {
    const column = (q + i) % n;
    if (column !== p) out[column] = power++;
  }
  return out;
}

interface ParityArray {
  readonly columns: readonly Column[];
  readonly chunk: number;
  readonly size: number;
  /** The layout of a row, by its number. */
  row(stripe: number): Row;
  readonly grade: Grade;
}

/** Rows whose rebuilt chunks are kept; making one again costs a read of the row. */
const KEPT_BYTES = 512;

/** The bytes of an array with parity; what a missing device held is computed where enough of the row is there. */
export function parity(array: ParityArray): Source {
  const { columns, chunk, size, grade } = array;
  const k = array.row(0).data.length;
  const rebuilt = new TableCache<Source>();
  const runs = (from: number, end: number, out: RunList): number => {
    let at = from;
    while (at < end) {
      const number = Math.floor(at / chunk);
      const inner = at - number * chunk;
      const stop = Math.min(end, at + chunk - inner);
      const stripe = Math.floor(number / k);
      const row = array.row(stripe);
      const column = row.data[number % k];
      const { source, at: base } = columns[column];
      let done: boolean;
      if (source !== undefined) done = emit(out, source, base + stripe * chunk + inner, stop - at, grade);
      else {
        let made = rebuilt.get(number);
        if (made === undefined) {
          made = rebuild(array, row, column, stripe);
          if (made !== undefined) rebuilt.set(number, made, KEPT_BYTES);
        }
        const { certainty, why } = grade;
        done =
          made === undefined
            ? emit(out, undefined, 0, stop - at, grade)
            : out.add(DATA, certainty, stop - at, made, inner, why);
      }
      if (!done) return at;
      at = stop;
    }
    return at;
  };
  return new MapSource(size, { runs });
}

/** What a column held in a row, made from the others; undefined where too many of them are missing. */
function rebuild({ columns, chunk }: ParityArray, row: Row, column: number, stripe: number): Source | undefined {
  const input = (index: number): Input => ({
    source: columns[index].source!,
    at: columns[index].at + stripe * chunk,
    length: chunk,
  });
  const isHere = (index: number): boolean => columns[index].source !== undefined;
  const others = row.data.filter((index) => index !== column);
  const lost = others.filter((index) => !isHere(index));
  if (lost.length === 0 && isHere(row.p)) return new MadeSource(chunk, xorOf(chunk), [...others, row.p].map(input));
  const { q, powers } = row;
  if (q === undefined || powers === undefined || !isHere(q) || lost.length > 1) return undefined;
  const there = others.filter(isHere);
  const places = there.map((index) => powers[index]);
  const inputs = there.map(input);
  const place = powers[column];
  if (lost.length === 0) return new MadeSource(chunk, SYNDROMES.fromQ(chunk, place, places), [...inputs, input(q)]);
  if (!isHere(row.p)) return undefined;
  const codec = SYNDROMES.fromBoth(chunk, place, powers[lost[0]], places);
  return new MadeSource(chunk, codec, [...inputs, input(row.p), input(q)]);
}

function xorOf(chunk: number): Codec {
  return {
    name: 'exclusive or',
    make(input, size) {
      const out = input.slice(0, size);
      for (let from = chunk; from < input.length; from += chunk)
        for (let i = 0; i < size; i++) out[i] ^= input[from + i];
      return out;
    },
  };
}
