/** Tables of the deltas that ESX hosts write, found where a directory leads to them, or by what they hold. */
import type { Damage } from '../../../core/damage.ts';
import type { Tables } from './grains.ts';
import type { Place } from './layer.ts';
import type { Copy } from './merge.ts';
import { SECTOR } from './structs.ts';
import { UNREADABLE } from './window.ts';

/** A directory of tables without a second copy. */
export interface Single {
  /** Sector of each table; 0 where there is none, UNREADABLE where the entry is impossible. */
  readonly places: Float64Array;
  /** Tables that were found by what they hold, and given to entries in their order. */
  readonly guessed: ReadonlySet<number>;
  /** Tables that were found by what they hold. */
  readonly found: number;
  /** There was one table for one entry. */
  readonly isOnly: boolean;
}

/** Gives tables that nothing leads to the entries that lead nowhere, both in their order. */
export function withFound(places: Float64Array, found: readonly number[]): Single {
  const bad = [...places.keys()].filter((i) => places[i] === UNREADABLE);
  // A directory that is empty beside tables was wiped.
  const open = bad.length > 0 ? bad : places.every((at) => at === 0) && found.length > 0 ? [...places.keys()] : [];
  const guessed = new Set<number>();
  // Tables are made as they are needed: their order says something only where none was left out.
  const all = found.length === open.length ? found : [];
  const isOnly = open.length === 1 && found.length === 1;
  const isWiped = bad.length === 0 && open.length > 0;
  for (const [i, slot] of open.entries()) {
    places[slot] = all[i] ?? UNREADABLE;
    if (all[i] !== undefined) guessed.add(slot);
  }
  return { places, guessed, found: found.length, isOnly: isOnly && !isWiped };
}

/** Both kinds of deltas have so many entries in a table. */
const ENTRIES = 4096;

/** The tables of such a directory; `read` gives the words of one. */
export function singleTables({ places, guessed, isOnly }: Single, read: (sector: number) => Promise<Copy>): Tables {
  const isWhole = guessed.size === 0 && places.every((at) => at !== UNREADABLE);
  return {
    count: places.length,
    async load(i) {
      if (places[i] === 0) return isWhole ? 'none' : [{ words: new Uint32Array(ENTRIES), isSure: false }, undefined];
      if (places[i] === UNREADABLE) return [undefined, undefined];
      const copy = await read(places[i]);
      return [{ ...copy, isSure: copy.isSure && !guessed.has(i), isGuess: guessed.has(i) && !isOnly }, undefined];
    },
    place: (i) => (places[i] === UNREADABLE ? 0 : places[i]),
  };
}

/** Damage of a directory some of whose entries lead nowhere. */
export function directoryDamage(place: Place, at: number, before: number, single: Single): Damage[] {
  const lost = single.places.reduce((n, v) => n + Number(v === UNREADABLE), 0);
  if (lost === 0 && single.guessed.size === 0) return [];
  const actual = `${before} that cannot be`;
  const effect = `${single.found} tables were found by what they hold, ${single.guessed.size} are taken for entries in their order; ${lost} are missing`;
  return [place.damage(at * SECTOR, 'vmdk.directory', 'entries that lead to tables', actual, effect)];
}
