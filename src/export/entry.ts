/** Manifest entries: what is said of one item. */
import type { Damage } from '../core/damage.ts';
import { MAX_DAMAGES } from '../core/limits.ts';
import type { FileEntry } from './manifest.ts';
import { nothingCounted, type Summary } from './summary.ts';
import type { Item } from './walk.ts';

/** What copying an item gave. */
export interface Written {
  readonly size: number;
  readonly tree: string | null;
  readonly sha256: string | null;
  readonly link?: string;
  readonly holes?: FileEntry['holes'];
  readonly written?: number;
}

/** The entry of an item. Without `written` it is a directory, without `summary` it has no bytes to be sure of. */
export function entryOf(item: Item, written?: Written, summary?: Summary): FileEntry {
  const { node } = item;
  const damage = unique(node.damage);
  const intact = damage.length === 0;
  const known = written === undefined || written.link !== undefined || node.bytes !== undefined;
  const counted =
    summary?.entry(intact) ??
    nothingCounted(known ? (intact && node.state === 'live' ? 'stated' : 'inferred') : 'missing');
  return {
    path: item.path,
    locator: node.locator,
    kind: node.kind === 'filesystem' ? 'directory' : node.kind,
    state: node.state,
    size: written?.size ?? 0,
    tree: written?.tree ?? null,
    sha256: written?.sha256 ?? null,
    mode: node.facts.mode === undefined ? null : node.facts.mode & 0o777,
    modified: node.facts.modified ?? null,
    certainty: counted.certainty,
    gaps: counted.gaps,
    damage,
    reasons: counted.reasons,
    ...(written?.holes?.length && { holes: written.holes, written: written.written ?? 0 }),
    ...(written?.link !== undefined && { link: written.link }),
  };
}

/** Each damage once: a directory that is listed twice says the same twice. */
export function unique(damage: readonly Damage[]): Damage[] {
  if (damage.length === 0) return [];
  const seen = new Map<string, Damage>();
  for (const one of damage) {
    const key = `${one.code} ${one.at} ${one.actual}`;
    if (!seen.has(key) && seen.size < MAX_DAMAGES) seen.set(key, one);
  }
  return [...seen.values()];
}
