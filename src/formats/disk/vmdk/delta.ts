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
  const open: number[] = [];
  let isWiped = found.length > 0;
  for (let i = 0; i < places.length; i++) {
    if (places[i] === UNREADABLE) open.push(i);
    if (places[i] !== 0) isWiped = false;
  }
  // A directory that is empty beside tables was wiped.
  if (isWiped) for (let i = 0; i < places.length; i++) open.push(i);
  const guessed = new Set<number>();
  // Tables are made as they are needed: their order says something only where none was left out.
  const all = found.length === open.length ? found : [];
  const isOnly = open.length === 1 && found.length === 1;
  for (let i = 0; i < open.length; i++) {
    const slot = open[i];
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
    state(i) {
      if (places[i] === UNREADABLE) return 'lost';
      return places[i] === 0 && isWhole ? 'none' : 'there';
    },
    async load(i) {
      if (places[i] === 0) return [{ words: new Uint32Array(ENTRIES), isSure: false }, undefined];
      const copy = await read(places[i]);
      return [{ ...copy, isSure: copy.isSure && !guessed.has(i), isGuess: guessed.has(i) && !isOnly }, undefined];
    },
    place: (i) => (places[i] === UNREADABLE ? 0 : places[i]),
  };
}

/** Damage of a directory some of whose entries lead nowhere. */
export function directoryDamage(place: Place, at: number, before: number, single: Single): Damage[] {
  const lost = lostIn(single.places);
  if (lost === 0 && single.guessed.size === 0) return [];
  const actual = `${before} that cannot be`;
  const effect = `${single.found} tables were found by what they hold, ${single.guessed.size} are taken for entries in their order; ${lost} are missing`;
  return [place.damage(at * SECTOR, 'vmdk.directory', 'entries that lead to tables', actual, effect)];
}

/** Entries that lead nowhere. */
export function lostIn(places: Float64Array): number {
  let count = 0;
  for (let i = 0; i < places.length; i++) if (places[i] === UNREADABLE) count++;
  return count;
}
