/** The inside of disks as one tree: folders of the datastore, disks, their file systems, and the files in these. */
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import { type Disk, disksOf, plainDisks } from './disks.ts';
import { filesystems } from './home.ts';
import { locate } from './locate.ts';
import { machinesOf } from './machines.ts';
import { mendedOf } from './mend.ts';
import type { Stack } from './stack.ts';

/**
 * A directory of all file systems inside the disks below `from` (all sources if absent): web01/web01.vmdk/p2/Users/….
 * Of a chain of snapshots the newest disk is there, and the one that a machine's configuration names.
 */
export async function guestTree(stack: Stack, from?: Node): Promise<Node> {
  const top = new Folder(from?.locator ?? '', from?.rawName ?? 'sources');
  const met = new Set<string>();
  const files = await topDisks(stack, from);
  for (const file of [...files, ...(await plainOnes(stack, files, from))]) {
    stack.signal.throwIfAborted();
    // A volume that spans disks is found in each of them.
    const inside = (await filesystems(stack, file)).filter(({ locator }) => !met.has(locator));
    if (inside.length === 0) continue;
    for (const { locator } of inside) met.add(locator);
    const folder = foldersOf(stack, file, from).reduce((at, node) => at.folder(node), top);
    const disk = folder.folder(file);
    for (const one of inside) disk.put(one, partOf(file, one));
  }
  return top.node();
}

/** Files that are a guest's disk as plain sectors, and sources that are: what is in these is no store of disks. */
async function plainOnes(stack: Stack, disks: readonly Node[], from: Node | undefined): Promise<Node[]> {
  const out = (await plainDisks(stack)).filter((file) => from === undefined || isIn(file, from));
  const known = [...disks, ...out];
  for (const { locator } of await stack.files()) {
    const isStore = known.some((disk) => disk.locator === locator || disk.locator.startsWith(`${locator}::`));
    const { node } = await locate(stack, locator);
    if (isStore || (from !== undefined && !isIn(node, from))) continue;
    if ((await stack.layer(node))?.kind !== 'disk') out.push(node);
  }
  return out;
}

/** Disks that nothing lies on, and those that machines start from, in the order of their locators. */
async function topDisks(stack: Stack, from: Node | undefined): Promise<Node[]> {
  const { disks } = await disksOf(stack);
  const below = new Set<string>();
  for (const { file, layer } of disks) {
    const parent = layer === undefined ? undefined : await stack.below(file, layer);
    if (parent !== undefined) below.add(parent.file.locator);
  }
  const named = await namedByMachines(stack);
  return disks
    .filter(({ file, isBeside }) => !isBeside && (!below.has(file.locator) || named.has(file.locator)))
    .map(({ file }) => file)
    .filter((file) => !standsInFor(stack, file, disks))
    .filter((file) => from === undefined || isIn(file, from))
    .sort((a, b) => (a.locator < b.locator ? -1 : 1));
}

/** Whether a descriptor was made anew for one that opens as well. */
function standsInFor(stack: Stack, file: Node, disks: readonly Disk[]): boolean {
  const replaces = mendedOf(file)?.replaces;
  const folder = stack.parentOf(file)?.parent?.locator;
  const isIt = (one: Node): boolean => one.rawName === replaces && stack.parentOf(one)?.locator === folder;
  return replaces !== undefined && disks.some((disk) => isIt(disk.file));
}

function isIn(file: Node, from: Node): boolean {
  const rest = file.locator.startsWith(from.locator) ? file.locator.slice(from.locator.length) : undefined;
  return rest !== undefined && (rest === '' || /^(::|\/)/.test(rest));
}

async function namedByMachines(stack: Stack): Promise<Set<string>> {
  const out = new Set<string>();
  const tops: Node[] = [];
  for (const root of stack.roots) {
    if (root.kind === 'directory') tops.push(root);
    else tops.push(...(await filesystems(stack, root)));
  }
  for (const top of tops) {
    for await (const machine of machinesOf(stack, top)) {
      for (const { chain } of machine.disks) if (chain.length > 0) out.add(chain[0].locator);
    }
  }
  return out;
}

/** The folders on the way to a file, from the file system or the source that it lies in. */
function foldersOf(stack: Stack, file: Node, from: Node | undefined): Node[] {
  const out: Node[] = [];
  const isOutside = (node: Node): boolean => node.locator === from?.locator || stack.roots.includes(node);
  for (let at = stack.parentOf(file); at?.kind === 'directory' && !isOutside(at); at = stack.parentOf(at))
    out.unshift(at);
  return out;
}

/** What tells a file system from others in the same disk: "p2", "p3-root"; '' where the disk holds nothing else. */
function partOf(file: Node, inside: Node): string {
  const steps = inside.locator.slice(file.locator.length).split('::');
  return steps
    .filter((step) => step.includes('/'))
    .map((step) => step.slice(step.indexOf('/') + 1).replaceAll('/', '-'))
    .join('-');
}

/** A directory that is no structure on any disk: what it holds is known before it is listed. */
class Folder {
  readonly #locator: string;
  readonly #rawName: string;
  readonly #children = new Map<string, Folder | Node>();

  constructor(locator: string, rawName: string) {
    this.#locator = locator;
    this.#rawName = rawName;
  }

  folder(node: Node): Folder {
    const known = this.#children.get(node.rawName);
    if (known instanceof Folder && known.#locator === node.locator) return known;
    const made = new Folder(node.locator, node.rawName);
    this.#children.set(this.#free(node.rawName), made);
    return made;
  }

  put(filesystem: Node, part: string): void {
    const rawName = this.#free(part === '' ? 'files' : part);
    this.#children.set(rawName, { ...filesystem, rawName, name: printable(rawName) });
  }

  #free(name: string): string {
    let free = name;
    for (let n = 2; this.#children.has(free); n++) free = `${name};${n}`;
    return free;
  }

  node(): Node {
    const children = this.#children;
    return {
      name: printable(this.#rawName),
      rawName: this.#rawName,
      locator: this.#locator,
      kind: 'directory',
      state: 'live',
      facts: {},
      damage: [],
      async *children() {
        for (const child of children.values()) yield child instanceof Folder ? child.node() : child;
      },
    };
  }
}
