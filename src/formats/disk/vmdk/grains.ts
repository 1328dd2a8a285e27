/** From the tables of a sparse extent to a map: hosted sparse, stream-optimized and COWD. Source: vmdk.md 3 and 4. */
import { grainCodec } from '../../../codec/grain.ts';
import { MadeSource } from '../../../core/made.ts';
import {
  ABSENT,
  type Certainty,
  DATA,
  GUESSED,
  INFERRED,
  LOST,
  MISSING,
  type RunList,
  STATED,
  type Why,
  weaker,
  ZERO,
} from '../../../core/run.ts';
import type { Mapping } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import { type Census, takeCensus } from './census.ts';
import type { Place, Wish } from './layer.ts';
import {
  ALIGN,
  CODES,
  type Copy,
  HEADER,
  lostTable,
  type Merged,
  merged,
  ORDER,
  SHARED,
  type Table,
  UNCLAIMED,
} from './merge.ts';
import { mostCompressed } from './stream.ts';
import { SECTOR } from './structs.ts';
import { UNREADABLE } from './window.ts';

/** What the tables of an extent look like. Places and sizes are sectors. */
export interface Shape {
  readonly what: string;
  readonly sectors: number;
  readonly grain: number;
  readonly perTable: number;
  /** Where grains can lie: behind all that describes them. */
  readonly first: number;
  /** Where the first grain lies: grains follow each other from there; 0 where they do not. */
  readonly origin: number;
  /** 1 in a table says that a grain is zeros. */
  readonly zeroed: boolean;
  readonly isCompressed: boolean;
  /** Copies that every table has. */
  readonly copies: 1 | 2;
  /** Sectors of a table where tables and grains lie among each other. */
  readonly inlineTable: number;
  /** Where grains end: the end of the file, or what the header says of it. */
  readonly end: number;
  /** An entry v means sector base + v * scale. */
  readonly base: number;
  readonly scale: number;
  /** Grains are large and written one behind the other, so that their order says something of their places. */
  readonly byOrder: boolean;
}

/** 'none' where all copies of the directory agree that there is no such table, 'lost' where none leads to it. */
export type TableState = 'none' | 'lost' | 'there';

/** Tables by their number. */
export interface Tables {
  readonly count: number;
  state(i: number): TableState;
  /** Copies of a table that is there; one at least. */
  load(i: number): Promise<readonly [Copy | undefined, Copy | undefined]>;
  /** Bytes that a compressed grain takes at a sector, where that is known. */
  bytesOf?(grain: number, sector: number): number | undefined;
  /** Sector of table i; 0 where there is none. */
  place(i: number): number;
}

const BYTES_PER_ENTRY = 6;
/** Stands for the number of a table that is not there. */
const NO_TABLE = -1;
const LOST_WHOLE: Table = lostTable(1);
/** So many times the size of a disk no grain of it lies behind its start. */
const FAR = 2;
/** A grain's codec and inputs in memory. */
const MADE_COST = 512;

export class GrainMap implements Mapping {
  readonly shape: Shape;
  readonly place: Place;
  readonly tables: Tables;
  readonly #wish: Wish;
  readonly #tables = new TableCache<Table>();
  readonly #made = new TableCache<MadeSource>();
  readonly #whys = new Map<number, Why>();
  /** The most that anything here can be certain of, and the reason. */
  readonly #most: Certainty;
  #census: Promise<Census> | undefined;
  #counted: Census | undefined;
  #none: Table | undefined;

  constructor(place: Place, shape: Shape, tables: Tables, wish: Wish, most: Certainty) {
    this.place = place;
    this.shape = shape;
    this.tables = tables;
    this.#wish = wish;
    this.#most = weaker(most, wish.most);
  }

  /** Which grain is whose, over all tables; taken once. */
  census(): Promise<Census> {
    this.#census ??= takeCensus(this);
    return this.#census;
  }

  isLegal = (value: number): boolean => {
    if (value === 0 || (value === 1 && this.shape.zeroed)) return true;
    if (value === UNREADABLE) return false;
    const sector = this.sector(value);
    return sector >= this.shape.first && sector * SECTOR < this.place.source.size;
  };

  /** An entry that no host writes, also where the file was cut off: its grain would lie across others, or far behind all. */
  #isWild = (value: number): boolean => {
    if (value === UNREADABLE) return true;
    const { first, grain, origin, sectors } = this.shape;
    const sector = this.sector(value);
    if (origin > 0 && !this.shape.isCompressed && (sector - origin) % grain !== 0) return true;
    return sector > FAR * (first + sectors);
  };

  #isCut = (value: number): boolean =>
    this.sector(value) >= this.shape.first && !this.isLegal(value) && !this.#isWild(value);

  /** Where the grain of an entry lies. */
  sector(value: number): number {
    return this.shape.base + value * this.shape.scale;
  }

  /** One table of all its copies; undefined where there is none. */
  async merged(i: number): Promise<Merged | undefined> {
    const state = this.tables.state(i);
    if (state !== 'there') return state === 'none' ? undefined : lostTable(this.shape.perTable);
    const [a, b] = await this.tables.load(i);
    return merged(a, b, this.shape.copies, { isLegal: this.isLegal, isWild: this.#isWild, isCut: this.#isCut });
  }

  runs(from: number, end: number, out: RunList): number {
    const { grain, perTable } = this.shape;
    const size = grain * SECTOR;
    let at = from;
    while (at < end) {
      const number = Math.floor(at / (size * perTable));
      const stop = Math.min(end, (number + 1) * size * perTable);
      const whole = this.#whole(number);
      if (whole !== undefined) {
        if (!this.#say(whole, 0, 0, 0, stop - at, NO_TABLE, out)) return at;
        at = stop;
        continue;
      }
      const table = this.#tables.get(number);
      if (table === undefined) return at;
      while (at < stop) {
        const g = Math.floor(at / size);
        const till = Math.min(stop, (g + 1) * size);
        if (!this.#say(table, g - number * perTable, g, at - g * size, till - at, number, out)) return at;
        at = till;
      }
    }
    return at;
  }

  /** What a table that is not there says of all its grains: one run, and one for many of them. */
  #whole(number: number): Table | undefined {
    const census = this.#counted;
    if (census === undefined) return undefined;
    const state = this.tables.state(number);
    if (state === 'there' || census.orphans.length > 0) return undefined;
    if (state === 'lost' || census.isLost(number)) return LOST_WHOLE;
    this.#none ??= this.#graded(emptyTable(1, this.shape.copies), number, census);
    return this.#none;
  }

  async load(at: number): Promise<void> {
    const { grain, perTable } = this.shape;
    const number = Math.floor(at / (grain * SECTOR * perTable));
    const census = await this.census();
    this.#counted = census;
    if (this.#whole(number) !== undefined) return;
    const table = this.#graded((await this.merged(number)) ?? emptyTable(perTable, this.shape.copies), number, census);
    this.#tables.set(number, table, perTable * BYTES_PER_ENTRY);
  }

  #say(table: Table, i: number, grain: number, skip: number, length: number, number: number, out: RunList): boolean {
    const value = table.at[i];
    const certainty = table.certainty[i] as Certainty;
    if (certainty === LOST) return out.add(MISSING, LOST, length, undefined, 0, this.#why(number, table.code[i]));
    if (value === 0) {
      const { hole } = this.#wish;
      if (hole.state === ABSENT) {
        const doubt = certainty < STATED;
        return out.add(
          ABSENT,
          doubt ? certainty : 0,
          length,
          undefined,
          0,
          doubt ? this.#why(number, table.code[i]) : undefined,
        );
      }
      const why = hole.certainty < certainty ? hole.why : this.#why(number, table.code[i]);
      return out.add(hole.state, weaker(hole.certainty, certainty), length, undefined, 0, why);
    }
    const why = this.#why(number, table.code[i]);
    if (value === 1) return out.add(ZERO, certainty, length, undefined, 0, why);
    const { source } = this.place;
    const at = this.sector(value) * SECTOR;
    if (this.shape.isCompressed) return out.add(DATA, certainty, length, this.#inflated(value, grain), skip, why);
    const there = Math.max(0, Math.min(length, source.size - at - skip));
    if (there === length) return out.add(DATA, certainty, length, source, at + skip, why);
    if (out.capacity - out.n < 2) return false;
    out.add(DATA, certainty, there, source, at + skip, why);
    const cut: Why = { what: 'the end of the extent', code: 'past-end' };
    return out.add(MISSING, LOST, length - there, undefined, 0, cut);
  }

  #inflated(value: number, grain: number): MadeSource {
    const known = this.#made.get(grain);
    if (known !== undefined) return known;
    const bytes = this.shape.grain * SECTOR;
    const at = value * SECTOR;
    const { source } = this.place;
    const most = this.tables.bytesOf?.(grain, this.sector(value)) ?? mostCompressed(bytes);
    const length = Math.min(most, source.size - at);
    const made = new MadeSource(bytes, grainCodec(grain * this.shape.grain, this.shape.grain, this.shape.sectors), [
      { source, at, length },
    ]);
    this.#made.set(grain, made, MADE_COST);
    return made;
  }

  #why(number: number, code: number): Why {
    const key = (number + 1) * 16 + code;
    const known = this.#whys.get(key);
    if (known !== undefined) return known;
    const sector = number === NO_TABLE ? 0 : this.tables.place(number);
    const entry = number === NO_TABLE ? '' : `, entry ${number}`;
    const why: Why = {
      what: sector > 0 ? `${this.shape.what} grain table ${number}` : `${this.shape.what} grain directory${entry}`,
      source: this.place.source,
      at: sector * SECTOR,
      ...(code !== 0 && { code: CODES[code] }),
    };
    // One why an object, so that lists can merge; they are few, and made again when they are forgotten.
    if (this.#whys.size > MOST_WHYS) this.#whys.clear();
    this.#whys.set(key, why);
    return why;
  }

  /** What the other tables say against this one. */
  #graded(table: Table, number: number, census: Census): Table {
    if (census.isLost(number)) return this.#byOrder(table, number, census);
    const doubtful = census.unclaimed > 0;
    for (let i = 0; i < table.at.length; i++) {
      const value = table.at[i];
      if (table.certainty[i] === LOST) continue;
      if (value === 0 && doubtful) lower(table, i, INFERRED, UNCLAIMED);
      if (value > 1 && census.isShared(value)) lower(table, i, INFERRED, SHARED);
      if (value > 1 && census.isOff(value)) lower(table, i, INFERRED, ALIGN);
      lower(table, i, census.isUnlikely ? INFERRED : this.#most, HEADER);
    }
    return table;
  }

  /** A table of which nothing is left: grains that no table claims, in the order they were written. */
  #byOrder(table: Table, number: number, census: Census): Table {
    table.certainty.fill(LOST);
    if (census.orphans.length === 0) return table;
    let before = 0;
    for (let t = 0; t < number; t++) if (census.isLost(t)) before += this.shape.perTable;
    for (let i = 0; i < table.at.length && before + i < census.orphans.length; i++) {
      table.at[i] = census.orphans[before + i];
      table.certainty[i] = GUESSED;
      table.code[i] = ORDER;
    }
    return table;
  }
}

const MOST_WHYS = 4096;

function lower(table: Table, i: number, certainty: Certainty, code: number): void {
  if (table.certainty[i] <= certainty) return;
  table.certainty[i] = certainty;
  if (certainty < STATED) table.code[i] = code;
}

function emptyTable(entries: number, copies: 1 | 2): Table {
  const certainty = copies === 2 ? 4 : STATED;
  return {
    at: new Uint32Array(entries),
    certainty: new Uint8Array(entries).fill(certainty),
    code: new Uint8Array(entries),
  };
}
