/** The tree that is to be copied, item by item, in the same order each time it is walked. */
import type { Listing } from '../core/batches.ts';
import { MAX_PATH_BYTES, MAX_PATH_DEPTH } from '../core/limits.ts';
import type { Node } from '../core/node.ts';
import { mendedNodes, mendedOf, Pieces, stripesIn } from '../stack/mend.ts';
import { type CarvedName, childrenWith, type Depth } from '../stack/residue.ts';
import type { Stack } from '../stack/stack.ts';
import type { Match } from './glob.ts';
import { Names, OWN_NAMES } from './names.ts';

/** A tree of files, and the directory below DIR that it goes to ('' for DIR itself). */
export interface Tree {
  readonly node: Node;
  readonly path: string;
}

/** Which part of the trees is wanted. Absent: all of it. */
export interface Selection {
  /** Locators of directories that are wanted with all that is in them, and of single files. */
  readonly machine?: { readonly folders: ReadonlySet<string>; readonly files: ReadonlySet<string> };
  /** Locators of what lies on the way to those, where nothing else has to be entered. */
  readonly onWay?: ReadonlySet<string>;
  readonly paths?: Match;
  readonly system: boolean;
  /** Also what file systems no longer show. */
  readonly deep?: boolean;
  /** Also files that content alone tells of. */
  readonly carve?: CarvedName;
  /** Also what folders lack, made anew. */
  readonly mend?: boolean;
}

export type Encrypted = NonNullable<Awaited<ReturnType<typeof stripesIn>>>;

export interface Item {
  readonly node: Node;
  /** Relative to DIR, with '/'. */
  readonly path: string;
  /** Why it is not copied though it was asked for. */
  readonly skip?: 'system' | 'rdm' | 'path' | 'depth';
  /** What ransomware did to it, and its bytes without what was taken. */
  readonly encrypted?: Encrypted;
  /** The name had to be shortened or changed so that it could be told from another. */
  readonly renamed: boolean;
}

/** Files of one directory that wait until its other files have their names. */
const MAX_NAME_ONLY = 4096;

interface Level {
  readonly node: Node;
  readonly path: string;
  /** Path inside the volume, as globs see it. */
  readonly inner: string;
  readonly children: Listing<Node>;
  readonly names: Names;
  readonly pieces: Pieces;
  /** Raw names of those pieces that were given out. */
  readonly given: Set<string>;
  /** Files that are known by name only and come last: what is made anew in place of one gets its name. */
  readonly nameOnly: Node[];
  /** Whether all of its children but those were seen. */
  ended: boolean;
  inMachine: boolean;
  inPaths: boolean;
  /** Whether this directory was given out already. */
  out: boolean;
}

/** Items of all trees; a directory comes before what is in it, and only if something in it, or itself, is wanted. */
export async function* walk(
  stack: Stack,
  trees: readonly Tree[],
  selection: Selection,
  dir: string,
): AsyncGenerator<Item> {
  const top = new Names(OWN_NAMES);
  const room = MAX_PATH_BYTES - Buffer.byteLength(dir) - 16;
  const levels: Level[] = [];
  // Not a generator around another one for each tree: each of thousands of items would wait for both.
  for (let at = 0; at < trees.length || levels.length > 0; ) {
    if (levels.length === 0) {
      const tree = trees[at++];
      const root = levelOf(stack, tree.node, tree.path, '', tree.path === '' ? top : new Names(), selection);
      root.out = tree.path === '';
      if (!root.out && root.inMachine && root.inPaths) yield* pending([root]);
      levels.push(root);
    }
    const level = levels[levels.length - 1];
    const node = level.ended ? level.nameOnly.shift() : (level.children.now?.() ?? (await nextOf(level.children)));
    if (node === undefined) {
      if (level.ended) levels.pop();
      else if (selection.mend === true) yield* mended(level, room);
      level.ended = true;
      continue;
    }
    if (!level.ended && selection.mend === true && isNameOnly(node) && level.nameOnly.length < MAX_NAME_ONLY) {
      level.nameOnly.push(node);
      continue;
    }
    const isDirectory = node.kind === 'directory' || node.kind === 'filesystem';
    const inner = level.inner === '' ? node.name : `${level.inner}/${node.name}`;
    const name = level.names.take(node.rawName, !isDirectory);
    const path = level.path === '' ? name : `${level.path}/${name}`;
    const renamed = /;\d+$|~[0-9a-f]{12}/.test(name) && !node.name.endsWith(name.slice(-3));
    const inMachine = level.inMachine || isNamed(selection, node);
    const inPaths = level.inPaths || selection.paths?.(inner) === true;
    const wanted = inMachine && inPaths;
    const skip = skipOf(node, path, room, levels.length, selection);
    if (wanted && skip !== undefined) yield { node, path, skip, renamed };
    if (skip !== undefined) continue;
    if (wanted) {
      yield* pending(levels);
      const stripes = selection.mend === true ? stripesIn(node) : undefined;
      // Nearly nothing is a disk, and a promise costs more than that question.
      const encrypted = stripes && (await stripes);
      yield { node, path, renamed, ...(encrypted && { encrypted }) };
    }
    if (level.pieces.see(node) && wanted) level.given.add(node.rawName);
    if (!isDirectory || (!inMachine && selection.onWay?.has(node.locator) === false)) continue;
    const lower = levelOf(stack, node, path, inner, new Names(), selection);
    levels.push({ ...lower, inMachine, inPaths, out: wanted });
  }
}

/** Whether a file has no bytes at all to be copied. */
function isNameOnly(node: Node): boolean {
  return node.kind === 'file' && node.bytes === undefined;
}

async function nextOf(children: Listing<Node>): Promise<Node | undefined> {
  const next: IteratorResult<Node> = await children.next();
  return next.done === true ? undefined : next.value;
}

/** What a folder lacks, as far as all that it is of no use without was wanted. */
async function* mended(level: Level, room: number): AsyncGenerator<Item> {
  for (const node of await mendedNodes(level.node, level.pieces)) {
    const { uses } = mendedOf(node)!;
    if (level.given.size === 0 || !uses.every((name) => level.given.has(name))) continue;
    const name = level.names.take(node.rawName, true);
    const path = level.path === '' ? name : `${level.path}/${name}`;
    if (Buffer.byteLength(path) > room) continue;
    level.given.add(node.rawName);
    yield { node, path, renamed: false };
  }
}

/** Directories on the way to something wanted that were not given out yet. */
function* pending(levels: readonly Level[]): Generator<Item> {
  for (const level of levels) {
    if (level.out) continue;
    level.out = true;
    yield { node: level.node, path: level.path, renamed: false };
  }
}

function levelOf(stack: Stack, node: Node, path: string, inner: string, names: Names, wanted: Selection): Level {
  const inMachine = wanted.machine === undefined || isNamed(wanted, node);
  const inPaths = wanted.paths === undefined;
  const children = childrenWith(stack, node, depthOf(node, wanted));
  const seen = { pieces: new Pieces(), given: new Set<string>(), nameOnly: [], ended: false };
  return { node, path, inner, children, names, ...seen, inMachine, inPaths, out: false };
}

/** How far to look below a node: content is searched only where something was chosen of what that finds. */
function depthOf(node: Node, { deep, carve, onWay, machine }: Selection): Depth {
  if (carve !== undefined) return carve;
  if (deep !== true) return 'live';
  if (onWay === undefined || machine?.folders.has(node.locator) === true) return 'carved';
  const carved = `${node.locator}/+carved`;
  return onWay.has(carved) || machine?.folders.has(carved) === true ? 'carved' : 'deleted';
}

function isNamed(selection: Selection, node: Node): boolean {
  const { machine } = selection;
  return machine === undefined || machine.folders.has(node.locator) || machine.files.has(node.locator);
}

function skipOf(node: Node, path: string, room: number, depth: number, selection: Selection): Item['skip'] {
  if (node.kind === 'rdm') return 'rdm';
  if (node.kind === 'system' && !selection.system) return 'system';
  if (Buffer.byteLength(path) > room) return 'path';
  return node.kind === 'directory' && depth >= MAX_PATH_DEPTH ? 'depth' : undefined;
}
