/** Tables that tell where bytes lie, kept in one cache that the whole process shares and that stays bounded. */
import { TABLE_CACHE_BYTES } from './limits.ts';

interface Entry {
  readonly owner: TableCache<unknown>;
  readonly key: number;
  readonly value: unknown;
  readonly cost: number;
}

/** All entries of all caches, least recently used first. */
const entries = new Set<Entry>();
let total = 0;

/** One owner's view of the shared cache: tables by a number, usually their offset. */
export class TableCache<V> {
  readonly #mine = new Map<number, Entry>();

  get(key: number): V | undefined {
    const entry = this.#mine.get(key);
    if (entry === undefined) return undefined;
    entries.delete(entry);
    entries.add(entry);
    return entry.value as V;
  }

  /** Keeps `value`, which takes `cost` bytes, and lets go of the oldest tables beyond the limit. */
  set(key: number, value: V, cost: number): void {
    this.#forget(key);
    const entry: Entry = { owner: this as TableCache<unknown>, key, value, cost };
    this.#mine.set(key, entry);
    entries.add(entry);
    total += cost;
    for (const oldest of entries) {
      if (total <= TABLE_CACHE_BYTES || oldest === entry) break;
      oldest.owner.#forget(oldest.key);
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
  }
}
