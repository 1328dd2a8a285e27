/** What there is to copy: file systems inside the evidence, or the files of a directory that was given. */
import { inQuotes } from '../codec/shell.ts';
import { MAX_LAYERS } from '../core/limits.ts';
import type { Kind, Node } from '../core/node.ts';
import { beneath } from '../stack/beneath.ts';
import { filesystems } from '../stack/home.ts';
import type { CarvedName } from '../stack/residue.ts';
import { passesThrough, type Stack } from '../stack/stack.ts';
import { counted } from '../stack/words.ts';
import { ExportError } from './error.ts';
import { Names, OWN_NAMES } from './names.ts';
import type { Tree } from './walk.ts';

/** The trees at and below a node that a person named. Throws ExportError('nothing') where it holds no files. */
export async function treesFrom(
  stack: Stack,
  from: Node,
  carve?: CarvedName,
): Promise<{ trees: Tree[]; notes: string[] }> {
  if (from.kind === 'directory' || from.kind === 'filesystem') return { trees: [{ node: from, path: '' }], notes: [] };
  if (WAYS.includes(from.kind)) {
    const nodes = await filesystems(stack, from);
    if (nodes.length > 0) return { trees: named(nodes), notes: [] };
    const carved = carve && (await stack.child(from, carve));
    if (carved !== undefined) return { trees: [{ node: carved, path: carved.rawName }], notes: [] };
    const next = `See what is there with "salvor inspect", or copy its bytes with "salvor cat ${inQuotes(from.locator)}".`;
    throw new ExportError('nothing', `No file system was found in ${from.locator}. ${next}`);
  }
  // One file is a folder of its own, in which its neighbours can still be asked for.
  const parent = stack.parentOf(from);
  const shown = { name: from.name, rawName: from.rawName, locator: parent?.locator ?? '' };
  const folder: Node = {
    ...shown,
    kind: 'directory',
    state: 'live',
    facts: {},
    damage: [],
    child: async (rawName) => (parent === undefined ? undefined : stack.child(parent, rawName)),
    async *children() {
      yield from;
    },
  };
  return { trees: [{ node: folder, path: '' }], notes: [] };
}

/** What is only a way to other bytes. */
const WAYS: readonly Kind[] = ['evidence', 'disk', 'partition', 'volume'];

/** Trees that go to a directory each, or to the top where there is one only. */
function named(nodes: readonly Node[]): Tree[] {
  const names = new Names(OWN_NAMES);
  return nodes.map((node) => ({ node, path: nodes.length === 1 ? '' : names.take(nameOf(node), false) }));
}

/**
 * The trees of a stack, with the directories they go to; with `deep`, or where nothing lives there, also what lay on the
 * evidence before. Throws ExportError('nothing') where there is none.
 */
export async function treesOf(
  stack: Stack,
  deep: boolean,
  carve?: CarvedName,
): Promise<{ trees: Tree[]; notes: string[] }> {
  const found = new Map<string, Node>();
  const plain: Node[] = [];
  const notes: string[] = [];
  for (const root of stack.roots) {
    const before = found.size;
    const files = root.kind === 'directory' ? await filesystemsBelow(stack, root, found) : undefined;
    if (files === undefined) await enter(stack, root, found, 0);
    else if (files.images === 0 && found.size === before && files.plain > 0) plain.push(root);
    else if (files.plain > 0) {
      notes.push(`${root.locator} also holds ${counted(files.plain, 'file')} without a file system, not copied.`);
    }
  }
  const nodes = [...found.values(), ...plain];
  const older = deep || nodes.length === 0 ? await olderOf(stack) : [];
  if (nodes.length + older.length === 0) {
    const carved = carve === undefined ? [] : await carvedOf(stack, carve);
    if (carved.length > 0) return { trees: carved, notes };
    const given = stack.roots.map((root) => root.locator).join(', ') || 'nothing';
    const scan = stack.roots.find((root) => root.kind === 'evidence');
    const whole = deep ? 'Look through' : 'Try again with --deep, or look through';
    const search =
      scan &&
      `${whole} all of it with "salvor scan ${inQuotes(scan.locator)}": what starts where nothing tells is found so. `;
    const next = `${search ?? ''}See what is there with "salvor inspect", or force a format with --as FORMAT@OFFSET.`;
    throw new ExportError('nothing', `No file system was found in ${given}. ${next}`);
  }
  const names = new Names(OWN_NAMES);
  const only = nodes.length + older.length === 1;
  const trees = nodes.map((node) => ({ node, path: nodes.length === 1 ? '' : names.take(nameOf(node), false) }));
  for (const node of older) trees.push({ node, path: only ? '' : names.take(`+older-${node.rawName}`, false) });
  if (older.length > 0) notes.push(`${counted(older.length, 'older file system')} found beneath what lives there now.`);
  return { trees, notes };
}

/** What is known by its content alone of sources that nothing else is known of. */
async function carvedOf(stack: Stack, name: CarvedName): Promise<Tree[]> {
  const names = new Names(OWN_NAMES);
  const out: Tree[] = [];
  for (const root of stack.roots) {
    const node = root.kind === 'evidence' ? await stack.child(root, name) : undefined;
    const path = stack.roots.length === 1 ? name : names.take(`${root.rawName}${name}`, false);
    if (node !== undefined) out.push({ node, path });
  }
  return out;
}

/** File systems that lay on the evidence before. */
async function olderOf(stack: Stack): Promise<Node[]> {
  const out: Node[] = [];
  for (const root of stack.roots) {
    if (root.kind === 'evidence') out.push(...(await beneath(stack, root)));
  }
  return out;
}

function nameOf(node: Node): string {
  const label = node.facts.details?.label;
  return typeof label === 'string' && label !== '' ? label : node.rawName;
}

/** Looks into all files of a directory. `images` of them hold file systems, `plain` do not. */
async function filesystemsBelow(
  stack: Stack,
  directory: Node,
  found: Map<string, Node>,
): Promise<{ images: number; plain: number }> {
  const count = { images: 0, plain: 0 };
  for await (const child of stack.children(directory)) {
    stack.signal.throwIfAborted();
    if (child.kind === 'directory') {
      const inner = await filesystemsBelow(stack, child, found);
      count.images += inner.images;
      count.plain += inner.plain;
    } else if (await enter(stack, child, found, 0)) count.images++;
    else count.plain++;
  }
  return count;
}

/** Enters a node's bytes down to its file systems. Whether there was one. */
async function enter(stack: Stack, node: Node, found: Map<string, Node>, depth: number): Promise<boolean> {
  if (depth > MAX_LAYERS) return false;
  const inside = await stack.inside(node);
  if (inside === undefined) return false;
  if (inside.kind === 'filesystem') {
    found.set(inside.locator, inside);
    return true;
  }
  if (passesThrough(inside)) return enter(stack, inside, found, depth + 1);
  if (inside.kind !== 'volume' || inside.children === undefined) return false;
  let any = false;
  for await (const child of stack.children(inside)) {
    if (await enter(stack, child, found, depth + 1)) any = true;
  }
  return any;
}
