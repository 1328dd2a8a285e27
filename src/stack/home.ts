/** Where a person means to be who names only the evidence: the one file system in it, or the first list of several. */
import type { Node } from '../core/node.ts';
import { diskEndings } from '../formats/index.ts';
import { beneath } from './beneath.ts';
import { passesThrough, type Stack } from './stack.ts';

/** Layers on the way from evidence to a file system; more is a loop or a joke. */
const MAX_LAYERS = 32;

/** All file systems below a node, in order, each once. Machines and texts are none. */
export async function filesystems(stack: Stack, from: Node): Promise<Node[]> {
  const found = new Map<string, Node>();
  await collect(stack, from, found, 0);
  return [...found.values()];
}

async function collect(stack: Stack, node: Node, found: Map<string, Node>, layer: number): Promise<void> {
  if (layer > MAX_LAYERS) return;
  if (node.kind === 'filesystem') found.set(node.locator, node);
  else if (node.children !== undefined) {
    for await (const child of stack.children(node)) await collect(stack, child, found, layer + 1);
  } else {
    const inside = await stack.inside(node);
    if (inside !== undefined && inside.kind !== 'machine') await collect(stack, inside, found, layer + 1);
  }
}

/** The one file system in all the sources; else the first node whose children are a choice to make. */
export async function home(stack: Stack): Promise<Node> {
  const all = new Map<string, Node>();
  for (const root of stack.roots) for (const one of await filesystems(stack, root)) all.set(one.locator, one);
  // Where nothing lives there any more, what lay there before is what is meant.
  if (all.size === 0)
    for (const root of stack.roots) for (const one of await beneath(stack, root)) all.set(one.locator, one);
  if (all.size === 1) return [...all.values()][0];
  if (stack.roots.length !== 1) return choice(stack, all);
  return firstChoice(stack, stack.roots[0]);
}

async function firstChoice(stack: Stack, from: Node): Promise<Node> {
  let node = from;
  while (node.children === undefined) {
    const inside = await stack.inside(node);
    if (inside === undefined || (inside.children === undefined && !passesThrough(inside))) return inside ?? node;
    node = inside;
  }
  return node;
}

/** Several file systems, or several sources without one, as a list of their own. */
function choice(stack: Stack, all: ReadonlyMap<string, Node>): Node {
  const list = all.size > 0 ? [...all.values()] : stack.roots;
  const shown = { name: 'sources', rawName: 'sources', locator: '' };
  return {
    ...shown,
    kind: 'directory',
    state: 'live',
    facts: {},
    damage: [],
    async *children() {
      yield* list;
    },
  };
}

/** What is converted of a node: the disk it is or holds, else its own bytes; undefined where it has none. */
export async function diskIn(stack: Stack, node: Node): Promise<Node | undefined> {
  if (node.kind === 'disk') return node;
  const inside = node.children === undefined ? await stack.inside(node) : undefined;
  if (inside?.kind === 'disk') return inside;
  return node.bytes === undefined ? undefined : node;
}

/** Where a person means to be who names only the evidence, and wants the bytes of a disk: the disk, not what it holds. */
export async function homeDisk(stack: Stack): Promise<Node> {
  const [root] = stack.roots;
  if (stack.roots.length !== 1 || root.bytes === undefined) return home(stack);
  const inside = await stack.inside(root);
  if (inside?.kind === 'disk') return innermost(stack, inside);
  // Of an archive nobody wants the bytes as a disk: one of those in it is meant, and has to be named.
  return inside?.kind === 'filesystem' && (await holdsDisks(stack, inside)) ? inside : root;
}

/** A disk that was cut into pieces is put together first, and is a disk of some format then. */
async function innermost(stack: Stack, from: Node): Promise<Node> {
  let disk = from;
  for (let layer = 0; layer < MAX_LAYERS && disk.backing === undefined && disk.children === undefined; layer++) {
    const inner = await stack.inside(disk);
    if (inner?.kind !== 'disk') break;
    disk = inner;
  }
  return disk;
}

/** What disks are named like in archives; boot images of guests, which stand in their roots, end in .img. */
const DISK_NAMES: readonly string[] = [...diskEndings, '.raw'];

async function holdsDisks(stack: Stack, filesystem: Node): Promise<boolean> {
  for await (const { kind, rawName } of stack.children(filesystem)) {
    if (kind === 'disk') return true;
    if (kind === 'file' && DISK_NAMES.some((ending) => rawName.toLowerCase().endsWith(ending))) return true;
  }
  return false;
}
