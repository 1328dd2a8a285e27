/** Directories as nodes, for file systems whose entries say all of a file: FAT, exFAT and ISO 9660. */
import type { Damage } from '../../core/damage.ts';
import type { Cx } from '../../core/format.ts';
import { MAX_DAMAGES, MAX_ENTRIES, MAX_PATH_DEPTH } from '../../core/limits.ts';
import { encodeName } from '../../core/locator.ts';
import type { Facts, Node } from '../../core/node.ts';
import type { Source } from '../../core/source.ts';
import type { Extent } from './fat/chain.ts';
import { type Folder, folder } from './folder.ts';
import { bare, childNamed, type Doubt, type Place, whyNotWalked } from './posix.ts';

const DELETED = '+deleted';
/** Directories that are entered while all are walked. */
const MAX_DIRECTORIES = 1_000_000;
/** Deleted files and folders that are listed. */
const MAX_DELETED = 1_000_000;

/** One thing that a directory names. */
export interface Entry {
  /** UTF-8, a byte a character. */
  readonly rawName: string;
  readonly at: number;
  readonly isDirectory: boolean;
  readonly isGone: boolean;
  readonly facts: Facts;
  readonly doubts: readonly Doubt[];
  /** First cluster or block; 0 where it has none. */
  readonly start: number;
  readonly size: number;
  /** Bytes from the start that were ever written; zeros follow. */
  readonly valid: number;
  /** Its clusters follow each other, and the table does not say so. */
  readonly isContiguous: boolean;
  /** First clusters that it may have had instead, where part of the number is lost. */
  readonly others?: readonly number[];
  /** Stretches of one after the other, where it lies in more than one: first block, and bytes. */
  readonly pieces?: readonly { readonly start: number; readonly size: number }[];
  /** The directory it was found in; undefined for the root. */
  readonly within?: Opened;
}

/** A directory that was read. */
export interface Opened {
  readonly entry: Entry;
  readonly entries: readonly Entry[];
  readonly doubts: readonly Doubt[];
  /** Where it lies; empty where that is no matter of clusters. */
  readonly extents: readonly Extent[];
}

/** A volume as its directories need it. */
export interface Tree {
  readonly cx: Cx;
  /** Directories by first cluster, with the first place each was met in. */
  readonly directories: Map<number, string>;
  /** A code of this volume. */
  code(of: string): string;
  /** What a directory holds, live or gone. */
  open(directory: Entry): Promise<Opened>;
  bytes(file: Entry): Promise<Source>;
}

/** The root directory as the node of the whole volume. */
export function rootNode(tree: Tree, root: Entry, locator: string, name: string, damage: Damage[]): Node {
  const place: Place = { locator, rawName: name, above: [] };
  let deleted: Promise<Node | undefined> | undefined;
  return {
    ...bare(place, 'filesystem', root.facts, damage),
    children: () => childrenOf(tree, root, place, damage),
    child: (rawName) => {
      if (rawName !== DELETED) return childNamed(childrenOf(tree, root, place, damage, rawName), rawName);
      deleted ??= deletedNode(tree, root, locator);
      return deleted;
    },
  };
}

function note(tree: Tree, { at, code, expected, actual }: Doubt, effect: string): Damage {
  return tree.cx.damage(at, code, expected, actual, effect);
}

function entryNode(tree: Tree, entry: Entry, at: Place): Node {
  const damage = entry.doubts.map((doubt) => note(tree, doubt, 'what it leads to is inferred, not stated'));
  const place: Place = entry.isGone ? { ...at, state: 'deleted' } : at;
  if (entry.facts.target !== undefined) return bare(place, 'symlink', entry.facts, damage);
  if (entry.facts.details?.type !== undefined) return bare(place, 'system', entry.facts, damage);
  if (!entry.isDirectory) return { ...bare(place, 'file', entry.facts, damage), bytes: () => tree.bytes(entry) };
  return {
    ...bare(place, 'directory', entry.facts, damage),
    children: () => childrenOf(tree, entry, place, damage),
    child: (rawName) => childNamed(childrenOf(tree, entry, place, damage, rawName), rawName),
  };
}

async function* childrenOf(
  tree: Tree,
  entry: Entry,
  place: Place,
  damage: Damage[],
  only?: string,
): AsyncGenerator<Node> {
  const report = (doubt: Doubt): void => {
    // A directory is listed more than once; what is wrong with it is said once.
    const said = note(tree, doubt, 'entries of this directory may be missing or wrong');
    if (damage.length < MAX_DAMAGES && !damage.some((d) => d.at === said.at && d.code === said.code)) damage.push(said);
  };
  const { at, start } = entry;
  const again = `cluster ${start} again`;
  const refusal = whyNotWalked(tree.code('directory'), start, place, tree.directories, again);
  if (refusal !== undefined) return report({ at, ...refusal });
  const opened = await tree.open(entry);
  for (const doubt of opened.doubts) report(doubt);
  const above = [...place.above, start];
  const names = new Map<string, number>();
  let count = 0;
  for (const one of opened.entries) {
    if (one.isGone) continue;
    if (++count > MAX_ENTRIES)
      return report({
        at: one.at,
        code: tree.code('entries'),
        expected: `at most ${MAX_ENTRIES} entries`,
        actual: 'more',
      });
    const before = names.get(one.rawName) ?? 0;
    names.set(one.rawName, before + 1);
    const rawName = before === 0 ? one.rawName : `${one.rawName};${before + 1}`;
    if (only !== undefined && rawName !== only) continue;
    yield entryNode(tree, one, { locator: `${place.locator}/${encodeName(rawName)}`, rawName, above });
  }
}

/** A directory that was met on a walk, and the names that lead to it. */
interface Step {
  readonly opened: Opened;
  readonly path: readonly string[];
}

/** All directories, those that are gone too where `withGone`, each once, live ones first. */
export async function* walk(tree: Tree, root: Entry, withGone: boolean): AsyncGenerator<Step> {
  const seen = new Set<number>([root.start]);
  const queue: { entry: Entry; path: readonly string[] }[] = [{ entry: root, path: [] }];
  const later: typeof queue = [];
  for (let at = 0; !tree.cx.signal.aborted; ) {
    const next = at < queue.length ? queue[at++] : later.pop();
    if (next === undefined) return;
    // What is gone comes last, so that all that lives is known: a folder that was moved is no deleted one.
    if (next.entry.isGone && seen.has(next.entry.start)) continue;
    seen.add(next.entry.start);
    const opened = await tree.open(next.entry);
    yield { opened, path: next.path };
    for (const entry of opened.entries) {
      const isWanted = entry.isDirectory && entry.start > 0 && (withGone || !entry.isGone);
      if (!isWanted || next.path.length >= MAX_PATH_DEPTH || seen.size > MAX_DIRECTORIES) continue;
      if (seen.has(entry.start) && !entry.isGone) continue;
      const step = { entry, path: [...next.path, entry.rawName] };
      if (entry.isGone) later.push(step);
      else {
        seen.add(entry.start);
        queue.push(step);
      }
    }
  }
}

/** What was deleted, in the folders that it was deleted from; undefined where nothing is left of anything. */
async function deletedNode(tree: Tree, root: Entry, locator: string): Promise<Node | undefined> {
  const top = folder(`${locator}/${DELETED}`, DELETED);
  let count = 0;
  for await (const { opened, path } of walk(tree, root, true)) {
    let place: Folder | undefined;
    for (const entry of opened.entries) {
      if (!entry.isGone || count > MAX_DELETED) continue;
      place ??= path.reduce((folderOf, name) => folderOf.enter(name), top);
      count++;
      if (entry.isDirectory) place.enter(entry.rawName);
      else for (const one of versions(entry)) place.add(entry.rawName, (at, name) => goneNode(tree, one, at, name));
    }
  }
  return count === 0 ? undefined : top.node;
}

/** An entry for each first cluster that it may have had. */
function versions(entry: Entry): Entry[] {
  return [entry, ...(entry.others ?? []).map((start) => ({ ...entry, start }))];
}

function goneNode(tree: Tree, entry: Entry, locator: string, rawName: string): Node {
  return entryNode(tree, entry, { locator, rawName, above: [] });
}
