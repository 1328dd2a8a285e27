/** The tree of all evidence: what was opened, page by page as the server hands it out. */
import { useCallback, useEffect, useReducer, useRef } from 'react';
import { address, get } from './api.ts';
import { ROOT, Rows, type TreeRow } from './rows.ts';
import type { Entry, TreePage } from './types.ts';

/** Layers that have one thing in them are opened at once, down to the first choice. */
const MAX_STRAIGHT = 12;

export interface Tree {
  readonly rows: readonly TreeRow[];
  /** Opens or closes the row at an index. */
  toggle(index: number): void;
  load(parent: string): void;
}

/** What is open of the tree of all evidence; `version` begins it anew. */
export function useTree(version: string): Tree {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const rows = useRef(new Rows());
  const loading = useRef(new Set<string>());

  const load = useCallback(async (parent: string): Promise<readonly Entry[]> => {
    const all = rows.current;
    const before = all.branch(parent);
    if (loading.current.has(parent) || (before !== undefined && before.next === undefined))
      return before?.entries ?? [];
    loading.current.add(parent);
    const query = { parent: parent === ROOT ? undefined : parent, after: before?.next };
    const page = await get<TreePage>(address('/api/tree', query)).catch((error: Error) => error);
    // Other evidence may have been opened meanwhile.
    if (rows.current !== all) return [];
    loading.current.delete(parent);
    all.take(parent, page instanceof Error ? { entries: [], error: page.message } : page);
    redraw();
    return page instanceof Error ? [] : page.entries;
  }, []);

  const toggle = useCallback(
    (index: number): void => {
      const wanted = rows.current.toggle(index);
      if (wanted !== undefined) void load(wanted);
      redraw();
    },
    [load],
  );

  useEffect(() => {
    rows.current = new Rows();
    loading.current = new Set();
    redraw();
    void straight(rows.current, load);
  }, [version, load]);

  return { rows: rows.current.list, toggle, load: (parent) => void load(parent) };
}

async function straight(rows: Rows, load: (parent: string) => Promise<readonly Entry[]>): Promise<void> {
  let parent = ROOT;
  for (let i = 0; i < MAX_STRAIGHT; i++) {
    const entries = await load(parent);
    if (entries.length !== 1 || !entries[0].expandable) return;
    parent = entries[0].locator;
    rows.toggle(rows.indexOf(parent));
  }
}
