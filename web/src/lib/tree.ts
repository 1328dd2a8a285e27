/** The tree as a flat list of rows: what was opened, page by page as the server hands it out. */
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { address, get } from './api.ts';
import type { Entry, TreePage } from './types.ts';

interface Branch {
  readonly entries: readonly Entry[];
  readonly next?: number | undefined;
  readonly error?: string;
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

const ROOT = '';
/** Layers that have one thing in them are opened at once, down to the first choice. */
const MAX_STRAIGHT = 12;

export interface Tree {
  readonly rows: readonly TreeRow[];
  toggle(locator: string): void;
  load(parent: string): void;
}

/** What is open of the tree of all evidence; `version` begins it anew. */
export function useTree(version: string): Tree {
  const [branches, setBranches] = useState<ReadonlyMap<string, Branch>>(new Map());
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const loading = useRef(new Set<string>());
  const state = useRef(branches);
  state.current = branches;

  const load = useCallback(async (parent: string): Promise<readonly Entry[]> => {
    const before = state.current.get(parent);
    if (loading.current.has(parent) || (before !== undefined && before.next === undefined))
      return before?.entries ?? [];
    loading.current.add(parent);
    const query = { parent: parent === ROOT ? undefined : parent, after: before?.next };
    const page = await get<TreePage>(address('/api/tree', query)).catch((error: Error) => error);
    loading.current.delete(parent);
    const known = before?.entries ?? [];
    const branch: Branch =
      page instanceof Error
        ? { entries: known, error: page.message }
        : { entries: [...known, ...page.entries], next: page.next };
    setBranches((all) => new Map(all).set(parent, branch));
    return branch.entries;
  }, []);

  useEffect(() => {
    setBranches(new Map());
    state.current = new Map();
    loading.current.clear();
    setOpen(new Set());
    void straight(ROOT, load).then((ways) => setOpen(new Set(ways)));
  }, [version, load]);

  const toggle = useCallback(
    (locator: string): void => {
      if (!state.current.has(locator)) void load(locator);
      setOpen((before) => {
        const next = new Set(before);
        if (!next.delete(locator)) next.add(locator);
        return next;
      });
    },
    [load],
  );
  const rows = useMemo(() => rowsOf(branches, open), [branches, open]);
  return { rows, toggle, load: (parent) => void load(parent) };
}

async function straight(from: string, load: (parent: string) => Promise<readonly Entry[]>): Promise<string[]> {
  const ways: string[] = [];
  for (let parent = from; ways.length < MAX_STRAIGHT; ) {
    const entries = await load(parent);
    if (entries.length !== 1 || !entries[0].expandable) break;
    parent = entries[0].locator;
    ways.push(parent);
  }
  return ways;
}

function rowsOf(branches: ReadonlyMap<string, Branch>, open: ReadonlySet<string>): TreeRow[] {
  const rows: TreeRow[] = [];
  const add = (parent: string, depth: number, way: readonly string[]): void => {
    const branch = branches.get(parent);
    if (branch === undefined) {
      rows.push({ key: `${depth} wait ${parent}`, depth, more: parent, isOpen: false });
      return;
    }
    for (const entry of branch.entries) {
      // A volume that spans several disks lies below each of them; below itself it would never end.
      const isOpen = open.has(entry.locator) && !way.includes(entry.locator);
      rows.push({ key: `${way.length} ${parent} ${entry.locator}`, depth, entry, isOpen });
      if (isOpen) add(entry.locator, depth + 1, [...way, entry.locator]);
    }
    if (branch.error !== undefined) rows.push({ key: `error ${parent}`, depth, error: branch.error, isOpen: false });
    else if (branch.next !== undefined) rows.push({ key: `more ${parent}`, depth, more: parent, isOpen: false });
  };
  add(ROOT, 0, []);
  return rows;
}
