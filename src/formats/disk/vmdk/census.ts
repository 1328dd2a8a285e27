/** Which grain of a sparse extent is whose, over all tables: what two claim, what none does. Source: vmdk.md 11. */
import { LOST } from '../../../core/run.ts';
import type { GrainMap } from './grains.ts';
import type { Merged } from './merge.ts';
import { SECTOR } from './structs.ts';
import { Bits, Window } from './window.ts';

/** Grains of one extent that are told apart: 32 MiB for each of the two sets. Larger extents go without. */
const MAX_GRAINS = 2 ** 28;
/** Unclaimed grains that are looked at, to tell lost ones from room that was never used. */
const MAX_LOOKED_AT = 1024;
/** Unclaimed grains that are kept to fill lost tables. */
const MAX_ORPHANS = 2 ** 22;

const LEAST_FULL = 0.95;

export interface Census {
  /** Entries whose two copies differ, and that point to no grain. */
  readonly differ: number;
  readonly illegal: number;
  readonly shared: number;
  readonly off: number;
  /** Grains with something in them that no table claims. */
  readonly unclaimed: number;
  readonly firstUnclaimed: number;
  /** There are more of them than were given back. */
  readonly isLoss: boolean;
  /** All that is used lies twice as far apart as it should. */
  readonly isUnlikely: boolean;
  /** Tables of which nothing is left. */
  readonly lost: number;
  isLost(table: number): boolean;
  /** Sectors of grains for them. */
  readonly orphans: readonly number[];
  /** Sectors of all grains that no table claims, where something is in one of them. */
  readonly loose: readonly number[];
  /** Tables with each kind of trouble, the first of them. */
  readonly firstTrouble: number;
  isShared(value: number): boolean;
  isOff(value: number): boolean;
}

/** Reads all tables of an extent. */
export async function takeCensus(map: GrainMap): Promise<Census> {
  const { place, tables } = map;
  const count = new Count(map);
  for (let t = 0; t < tables.count; t++) {
    // A header can claim millions of tables that are not there: those must cost nothing.
    const state = tables.state(t);
    if (state === 'none') count.none();
    else if (state === 'lost') count.gone(t);
    else {
      place.signal.throwIfAborted();
      count.add(t, (await map.merged(t))!);
    }
  }
  return count.census();
}

class Count {
  readonly #map: GrainMap;
  readonly #unit: number;
  readonly #origin: number;
  readonly #slots: number;
  readonly #isCounted: boolean;
  readonly #claimed: Bits;
  readonly #twice: Bits;
  readonly #lost: Bits;
  #gone = 0;
  #differ = 0;
  #illegal = 0;
  #shared = 0;
  #off = 0;
  #used = 0;
  #empty = 0;
  #zeroed = 0;
  #stride = 0;
  #firstTrouble = -1;

  constructor(map: GrainMap) {
    this.#map = map;
    const { shape, place } = map;
    const isGrid = shape.origin > 0 && !shape.isCompressed;
    this.#lost = new Bits(map.tables.count);
    this.#unit = isGrid ? shape.grain : 1;
    this.#origin = isGrid ? shape.origin : shape.first;
    this.#slots = Math.floor((Math.min(shape.end, place.source.size / SECTOR) - this.#origin) / this.#unit);
    this.#isCounted = this.#slots > 0 && this.#slots <= MAX_GRAINS;
    this.#claimed = new Bits(this.#isCounted ? this.#slots + 1 : 0);
    this.#twice = new Bits(this.#isCounted ? this.#slots + 1 : 0);
  }

  none(): void {
    this.#empty++;
  }

  gone(t: number): void {
    this.#lose(t);
    this.#illegal += this.#map.shape.perTable;
    if (this.#firstTrouble < 0) this.#firstTrouble = t;
  }

  add(t: number, table: Merged): void {
    const { shape, tables } = this.#map;
    const at = tables.place(t);
    for (let s = 0; at > 0 && s < shape.inlineTable; s++) this.#claim(at + s);
    this.#differ += table.differ;
    this.#illegal += table.illegal;
    if (table.differ + table.illegal > 0 && this.#firstTrouble < 0) this.#firstTrouble = t;
    let used = 0;
    let gone = 0;
    for (let i = 0; i < table.at.length; i++) {
      if (table.certainty[i] === LOST) gone++;
      if (table.at[i] > 1) {
        used++;
        this.#grain(this.#map.sector(table.at[i]));
      } else this.#zeroed += table.at[i];
    }
    this.#used += used;
    if (gone === table.at.length) this.#lose(t);
    else if (used + gone === 0) this.#empty++;
  }

  async census(): Promise<Census> {
    const { shape, tables } = this.#map;
    const isWhole = this.#isCounted && !shape.isCompressed;
    const loose = isWhole ? await unclaimedOf(this.#map, this.#claimed, this.#slots, this.#origin, this.#unit) : NONE;
    // Nothing in any table, and grains all the same: it is the tables that are gone.
    const isWiped = this.#gone === 0 && this.#empty === tables.count && loose.count > 0;
    if (isWiped) for (let t = 0; t < tables.count; t++) this.#lose(t);
    const isSpread = shape.scale === 1 && loose.count > 0 && this.#used > 2 && this.#stride > this.#unit;
    return {
      differ: this.#differ,
      illegal: this.#illegal,
      shared: this.#shared,
      off: this.#off,
      firstTrouble: this.#firstTrouble,
      unclaimed: loose.count,
      firstUnclaimed: loose.first,
      // Where grains were given back, their places are left behind with what was in them.
      isLoss: loose.count > this.#zeroed,
      isUnlikely: this.#off > 0 ? this.#off * 2 > this.#used : isSpread,
      lost: this.#gone,
      isLost: (t) => this.#lost.has(t),
      orphans: shape.byOrder && isFull(loose.count, this.#gone * shape.perTable) ? loose.sectors : [],
      loose: loose.sectors,
      isShared: (value) => this.#isShared(this.#map.sector(value)),
      isOff: (value) => this.#unit > 1 && this.#isOff(this.#map.sector(value)),
    };
  }

  #lose(t: number): void {
    if (!this.#lost.add(t)) this.#gone++;
  }

  #grain(sector: number): void {
    const { shape } = this.#map;
    if (this.#isOff(sector)) this.#off++;
    else this.#stride = divisor(this.#stride, sector - this.#origin);
    const sectors = this.#unit > 1 || shape.isCompressed ? 1 : shape.grain;
    for (let s = 0; s < sectors; s++) this.#claim(sector + s);
  }

  #claim(sector: number): void {
    const slot = this.#slotOf(sector);
    if (!this.#isCounted || sector < this.#origin || slot > this.#slots) return;
    if (this.#claimed.add(slot) && !this.#twice.add(slot)) this.#shared++;
  }

  #isShared(sector: number): boolean {
    const slot = this.#slotOf(sector);
    return this.#isCounted && sector >= this.#origin && slot <= this.#slots && this.#twice.has(slot);
  }

  #slotOf(sector: number): number {
    return Math.floor((sector - this.#origin) / this.#unit);
  }

  #isOff(sector: number): boolean {
    return sector < this.#origin || (sector - this.#origin) % this.#unit !== 0;
  }
}

/** Order says something of the places of grains only where few places were left out. */
function isFull(grains: number, places: number): boolean {
  return places > 0 && grains <= places && grains >= places * LEAST_FULL;
}

interface Loose {
  readonly count: number;
  readonly first: number;
  readonly sectors: readonly number[];
}

/** Grains that no table claims and that hold something; room that was never written to is not among them. */
async function unclaimedOf(map: GrainMap, claimed: Bits, slots: number, origin: number, unit: number): Promise<Loose> {
  const sectors: number[] = [];
  let all = 0;
  for (let slot = 0; slot < slots; slot++) {
    if (claimed.has(slot)) continue;
    all++;
    if (sectors.length < MAX_ORPHANS) sectors.push(origin + slot * unit);
  }
  const window = new Window(map.place.source, unit * SECTOR);
  let isFilled = false;
  for (let i = 0; i < Math.min(sectors.length, MAX_LOOKED_AT) && !isFilled; i++) {
    map.place.signal.throwIfAborted();
    const bytes = await window.bytes(sectors[i] * SECTOR, unit * SECTOR);
    isFilled = bytes.some((byte) => byte !== 0);
  }
  return isFilled || all > MAX_LOOKED_AT ? { count: all, first: sectors[0], sectors } : NONE;
}

const NONE: Loose = { count: 0, first: 0, sectors: [] };

function divisor(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return x;
}
