/** The rows of the tree as one flat list. Pages, openings and closings change only the stretch that they are about. */
import type { Entry } from './types.ts';

export interface Branch {
  entries: Entry[];
  next?: number | undefined;
  error?: string | undefined;
}

export interface TreeRow {
  readonly key: string;
  readonly depth: number;
  readonly entry?: Entry;
  /** A row that stands for what was not loaded yet: of which parent. */
  readonly more?: string;
  readonly error?: string;
  readonly isOpen: boolean;
}

export const ROOT = '';
/** Rows that are put in by one call: more arguments than that overflow the stack. */
const AT_ONCE = 10_000;

/** What is open and what is loaded of the tree, and the rows that this makes. */
export class Rows {
  readonly list: TreeRow[] = [waiting(ROOT, 0)];
  readonly #branches = new Map<string, Branch>();

  branch(parent: string): Branch | undefined {
    return this.#branches.get(parent);
  }

  /** Enters a page of what lies below a parent, wherever the tree shows it. */
  take(
    parent: string,
    page: { entries: readonly Entry[]; next?: number | undefined; error?: string | undefined },
  ): void {
    const branch = this.#branches.get(parent) ?? { entries: [] };
    for (const entry of page.entries) branch.entries.push(entry);
    branch.next = page.next;
    branch.error = page.error;
    this.#branches.set(parent, branch);
    // A volume that spans several disks lies below each of them, so one parent may wait in several places.
    for (let at = this.list.length - 1; at >= 0; at--) {
      if (this.list[at].more !== parent) continue;
      const { depth } = this.list[at];
      const fresh = page.entries.map((entry) => rowOf(entry, depth));
      this.#replace(at, 1, [...fresh, ...this.#tail(parent, depth)]);
    }
  }

  /** Opens or closes the row at an index; answers the parent that has to be asked for. */
  toggle(at: number): string | undefined {
    const { entry, depth, isOpen } = this.list[at] ?? {};
    if (entry === undefined || depth === undefined) return undefined;
    const { locator } = entry;
    if (isOpen === true) {
      let end = at + 1;
      while (end < this.list.length && this.list[end].depth > depth) end++;
      this.#replace(at, end - at, [{ ...this.list[at], isOpen: false }]);
      return undefined;
    }
    // Below itself it would never end.
    if (this.#isWithin(at, locator)) return undefined;
    this.#replace(at, 1, [{ ...this.list[at], isOpen: true }]);
    const branch = this.#branches.get(locator);
    const below = (branch?.entries ?? []).map((one) => rowOf(one, depth + 1));
    this.#replace(at + 1, 0, [
      ...below,
      ...(branch === undefined ? [waiting(locator, depth + 1)] : this.#tail(locator, depth + 1)),
    ]);
    return branch === undefined ? locator : undefined;
  }

  /** The row of an entry; -1 where it is not shown. */
  indexOf(locator: string): number {
    return this.list.findIndex((row) => row.entry?.locator === locator);
  }

  #tail(parent: string, depth: number): TreeRow[] {
    const branch = this.#branches.get(parent);
    if (branch?.error !== undefined) return [{ key: `error ${parent}`, depth, error: branch.error, isOpen: false }];
    return branch?.next === undefined ? [] : [waiting(parent, depth)];
  }

  /** Whether a row of that name stands on the way up from a row. */
  #isWithin(at: number, locator: string): boolean {
    let { depth } = this.list[at];
    for (let i = at - 1; i >= 0 && depth > 0; i--) {
      if (this.list[i].depth >= depth) continue;
      depth = this.list[i].depth;
      if (this.list[i].entry?.locator === locator) return true;
    }
    return false;
  }

  #replace(at: number, count: number, rows: readonly TreeRow[]): void {
    this.list.splice(at, count);
    for (let i = 0; i < rows.length; i += AT_ONCE) this.list.splice(at + i, 0, ...rows.slice(i, i + AT_ONCE));
  }
}

function rowOf(entry: Entry, depth: number): TreeRow {
  return { key: `${depth} ${entry.locator}`, depth, entry, isOpen: false };
}

function waiting(parent: string, depth: number): TreeRow {
  return { key: `more ${depth} ${parent}`, depth, more: parent, isOpen: false };
}
