/** Tables of the deltas that ESX hosts write, found where a directory leads to them, or by what they hold. */
import type { Damage } from '../../../core/damage.ts';
import { MapSource } from '../../../core/map-source.ts';
import { type Certainty, STATED, ZERO } from '../../../core/run.ts';
import { saysUnused } from '../placing/align.ts';
import { NOWHERE } from '../placing/pieces.ts';
import { placed } from '../placing/place.ts';
import { isCounted } from './check.ts';
import { GrainMap, type Shape, type Tables } from './grains.ts';
import { type Place, type Wish, ZEROS } from './layer.ts';
import type { Copy } from './merge.ts';
import { SECTOR } from './structs.ts';
import { UNREADABLE } from './window.ts';

/** Entries of a directory for which guests are asked: 64 GiB in tables of 2 MiB. */
const MAX_ASKED = 32_768;

/** A directory of tables without a second copy. */
interface Single {
  /** Sector of each table; 0 where there is none, UNREADABLE where the entry is impossible. */
  readonly places: Float64Array;
  /** Entries that were given a table, or none, in their order. */
  readonly guessed: ReadonlySet<number>;
  /** Entries that were given the table whose content says so. */
  readonly said: ReadonlySet<number>;
  /** Tables that were found by what they hold. */
  readonly found: number;
  /** There was one table for one entry. */
  readonly isOnly: boolean;
}

/** A delta whose directory was read. */
export interface Delta {
  /** As in `Single`, before any table is given to an entry. */
  readonly places: Float64Array;
  readonly shape: Shape;
  words(sector: number): Promise<Copy>;
  /** Tables that nothing leads to, in the order in which they were made. */
  find(): Promise<number[]>;
}

/** Tables that nothing leads to, and entries of the directory that may be theirs. */
interface Loose extends Delta {
  readonly found: readonly number[];
  readonly open: readonly number[];
  /** The disk lies on nothing, so that what it has nothing of was never written. */
  readonly isBottom: boolean;
}

/** The map of a delta, with tables that its directory lost; tells of these in `damage`. */
export async function deltaMap(
  place: Place,
  delta: Delta,
  directory: number,
  wish: Wish,
  most: Certainty,
  damage: Damage[],
): Promise<GrainMap> {
  const { places, shape, words } = delta;
  const before = lostIn(places);
  const isEmpty = places.every((at) => at === 0);
  if (before === 0 && !isEmpty) {
    const map = new GrainMap(place, shape, singleTables(plain(places), words), wish, most);
    const isTorn = places.includes(0) && isCounted(map) && (await map.census()).loose.length > 0;
    if (!isTorn) return map;
  }
  const open = Array.from(places.keys()).filter((i) => places[i] === 0 || places[i] === UNREADABLE);
  const found = await delta.find();
  // Beside entries that can be none, those that say that there is no table are believed.
  const lost = before > 0 ? open.filter((i) => places[i] === UNREADABLE) : open;
  const isBottom = wish.hole.state === ZERO;
  const single =
    found.length === 0 ? plain(places) : await placedTables(place, { ...delta, found, open: lost, isBottom });
  damage.push(...directoryDamage(place, directory, before, single));
  return new GrainMap(place, shape, singleTables(single, words), wish, most);
}

function plain(places: Float64Array): Single {
  return { places, guessed: new Set(), said: new Set(), found: 0, isOnly: false };
}

/** Gives tables to entries: by what the guest says in what they lead to, else in their order. */
async function placedTables(place: Place, loose: Loose): Promise<Single> {
  const { places, found, open } = loose;
  const guessed = new Set<number>();
  // A directory that is empty beside tables was wiped; one that is not may have lost any of its entries.
  const isWiped = places.every((at) => at === 0);
  const isCertain = open.every((slot) => places[slot] === UNREADABLE);
  const isOnly = open.length === 1 && found.length === 1 && isCertain;
  const isAsked = !isOnly && places.length > 1 && places.length <= MAX_ASKED;
  const given = isAsked ? await byGuest(place, loose) : undefined;
  const isLost = isCertain || isWiped;
  for (const slot of open) places[slot] = isLost && given?.unused.has(slot) !== true ? UNREADABLE : 0;
  for (const [slot, at] of [...(given?.said ?? []), ...(given?.ordered ?? [])]) places[slot] = at;
  for (const slot of given?.ordered.keys() ?? []) guessed.add(slot);
  if (isLost) for (const slot of given?.unused ?? []) guessed.add(slot);
  if (given === undefined || given.ordered.size === 0) {
    const slots = open.filter((slot) => places[slot] === UNREADABLE || places[slot] === 0);
    const left = found.filter((at) => !places.includes(at));
    // Tables are made as they are needed: their order says something only where none was left out.
    for (const [i, slot] of slots.length === left.length ? slots.entries() : []) {
      places[slot] = left[i];
      guessed.add(slot);
    }
  }
  return { places, guessed, said: new Set(given?.said.keys()), found: found.length, isOnly };
}

interface Given {
  /** Tables by their entries: where what they lead to says so, and where that and order do. */
  readonly said: ReadonlyMap<number, number>;
  readonly ordered: ReadonlyMap<number, number>;
  /** Entries that never had one by what the guest says. */
  readonly unused: ReadonlySet<number>;
}

async function byGuest(
  place: Place,
  { places, found, isBottom, open, shape, words }: Loose,
): Promise<Given | undefined> {
  const slotAt = new Map(
    [...places.entries()].flatMap(([slot, at]) => (at > 0 && at !== UNREADABLE ? [[at, slot]] : [])),
  );
  const all = [...slotAt.keys(), ...found].sort((a, b) => a - b);
  const closed = new Uint8Array(places.length).fill(1);
  for (const slot of [...open, ...slotAt.values()]) closed[slot] = 0;
  const side = plain(Float64Array.from(all));
  const sectors = all.length * shape.perTable * shape.grain;
  const map = new GrainMap(
    place,
    { ...shape, sectors },
    singleTables(side, words),
    { hole: ZEROS, most: STATED },
    STATED,
  );
  const coverage = shape.perTable * shape.grain * SECTOR;
  const pieces = { bytes: new MapSource(sectors * SECTOR, map), count: all.length, coverage };
  const known = Int32Array.from(all, (at) => slotAt.get(at) ?? NOWHERE);
  const cluster = shape.grain * SECTOR;
  const { byContent, hasGuest, isOrdered, slotOf, usage } = await placed(
    { pieces, slots: places.length, known, closed, cluster },
    place.cx,
  );
  if (!hasGuest) return undefined;
  const said = new Map<number, number>();
  const ordered = new Map<number, number>();
  for (const [i, at] of all.entries()) {
    if (known[i] !== NOWHERE || slotOf[i] < 0) continue;
    if (byContent[i] === 1) said.set(slotOf[i], at);
    // In what lies on another disk, tables are made where that is changed: there use says nothing of them.
    else if (isBottom && isOrdered) ordered.set(slotOf[i], at);
  }
  const isAll = said.size + ordered.size === found.length;
  const isUnused = (slot: number): boolean => usage !== undefined && saysUnused(usage, slot);
  const unused = new Set(isBottom && isOrdered && isAll ? open.filter(isUnused) : []);
  for (const slot of [...said.keys(), ...ordered.keys()]) unused.delete(slot);
  return { said, ordered, unused };
}

/** Both kinds of deltas have so many entries in a table. */
const ENTRIES = 4096;

/** The tables of such a directory; `read` gives the words of one. */
function singleTables({ places, guessed, said, isOnly }: Single, read: (sector: number) => Promise<Copy>): Tables {
  const isWhole = guessed.size + said.size === 0 && places.every((at) => at !== UNREADABLE);
  return {
    count: places.length,
    state(i) {
      if (places[i] === UNREADABLE) return 'lost';
      return places[i] === 0 && isWhole ? 'none' : 'there';
    },
    async load(i) {
      if (places[i] === 0)
        return [{ words: new Uint32Array(ENTRIES), isSure: false, isGuess: guessed.has(i) }, undefined];
      const copy = await read(places[i]);
      return [
        { ...copy, isSure: copy.isSure && !guessed.has(i) && !said.has(i), isGuess: guessed.has(i) && !isOnly },
        undefined,
      ];
    },
    place: (i) => (places[i] === UNREADABLE ? 0 : places[i]),
  };
}

/** Damage of a directory some of whose entries lead nowhere. */
function directoryDamage(place: Place, at: number, before: number, single: Single): Damage[] {
  const lost = lostIn(single.places);
  if (lost === 0 && single.guessed.size + single.said.size === 0) return [];
  const actual = `${before} that cannot be`;
  const effect = `${single.found} tables were found by what they hold, ${single.said.size} are given to entries by what they lead to, ${single.guessed.size} entries are filled in their order or by what the guest has in use, as guessed; ${lost} are missing`;
  return [place.damage(at * SECTOR, 'vmdk.directory', 'entries that lead to tables', actual, effect)];
}

/** Entries that lead nowhere. */
function lostIn(places: Float64Array): number {
  let count = 0;
  for (let i = 0; i < places.length; i++) if (places[i] === UNREADABLE) count++;
  return count;
}
