/** Tables that tell where bytes lie, kept in one cache that the whole process shares and that stays bounded. */
import { TABLE_CACHE_BYTES } from './limits.ts';

interface Entry {
  readonly owner: TableCache<unknown>;
  readonly key: number;
  readonly value: unknown;
  readonly cost: number;
  /** Asked for since it was last considered for letting go. */
  used: boolean;
}

/** All entries of all caches, those that were considered longest ago first. */
const entries = new Set<Entry>();
let total = 0;

/** One owner's view of the shared cache: tables by a number, usually their offset. */
export class TableCache<V> {
  readonly #mine = new Map<number, Entry>();
  readonly #onForgotten: ((value: V) => void) | undefined;

  /** `onForgotten` is given what is let go of; nobody may hold on to what this cache answers, then. */
  constructor(onForgotten?: (value: V) => void) {
    this.#onForgotten = onForgotten;
  }

  get(key: number): V | undefined {
    const entry = this.#mine.get(key);
    if (entry === undefined) return undefined;
    // A mark, no move to the end of the list: tables are asked for far more often than they are let go of.
    entry.used = true;
    return entry.value as V;
  }

  /** Keeps `value`, which takes `cost` bytes, and lets go of old tables beyond the limit that nobody asked for of late. */
  set(key: number, value: V, cost: number): void {
    this.#forget(key);
    const entry: Entry = { owner: this as TableCache<unknown>, key, value, cost, used: false };
    this.#mine.set(key, entry);
    entries.add(entry);
    total += cost;
    for (const oldest of entries) {
      if (total <= TABLE_CACHE_BYTES) break;
      if (oldest === entry) continue;
      if (oldest.used) {
        // Once more at the end of the list, where this loop meets it again.
        oldest.used = false;
        entries.delete(oldest);
        entries.add(oldest);
      } else oldest.owner.#forget(oldest.key);
    }
  }

  /** Lets go of all tables of this owner. */
  clear(): void {
    for (const key of this.#mine.keys()) this.#forget(key);
  }

  #forget(key: number): void {
    const entry = this.#mine.get(key);
    if (entry === undefined) return;
    this.#mine.delete(key);
    entries.delete(entry);
    total -= entry.cost;
    this.#onForgotten?.(entry.value as V);
  }
}
