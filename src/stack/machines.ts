/** Virtual machines of a file system: their configurations, and the chains of disks that these name. */
import { MAX_CHAIN, MAX_PATH_DEPTH } from '../core/limits.ts';
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import { formats } from '../formats/index.ts';
import { MENDED, mendedNodes, mendedOf, Pieces } from './mend.ts';
import { siblingNode } from './siblings.ts';
import type { Stack } from './stack.ts';

export interface MachineDisk {
  readonly slot: string;
  /** The name in the configuration. */
  readonly file: string;
  /** Descriptors from the one named down to the base; empty where the named one is missing. */
  readonly chain: readonly Node[];
  /** Everything the chain is made of: descriptors and their extents. */
  readonly files: readonly Node[];
  /** What of it is missing, in a sentence. */
  readonly broken?: string;
}

export interface Machine {
  /** Display name, or that of its configuration. */
  readonly name: string;
  readonly node: Node;
  readonly config: Node;
  /** The directory that holds the configuration. */
  readonly folder: Node | undefined;
  readonly disks: readonly MachineDisk[];
}

const endings = formats.filter((f) => f.layer === 'machine').flatMap((f) => f.names ?? []);

/** Whether a node's name is one of a machine's configuration. */
export function isConfiguration(node: Node): boolean {
  const name = node.rawName.toLowerCase();
  return (node.kind === 'file' || node.kind === 'evidence') && endings.some((ending) => name.endsWith(ending));
}

interface Level {
  readonly node: Node;
  readonly children: AsyncIterator<Node>;
  readonly pieces: Pieces;
  readonly machines: Machine[];
}

/**
 * All machines below a file system or a directory, in the order of its tree. With `mend`, a configuration that was
 * regenerated stands for the one that it replaces, or for one that is lost.
 */
export async function* machinesOf(stack: Stack, filesystem: Node, mend = true): AsyncGenerator<Machine> {
  const levelOf = (node: Node): Level => ({ node, children: stack.children(node), pieces: new Pieces(), machines: [] });
  const levels = [levelOf(filesystem)];
  while (levels.length > 0) {
    const level = levels[levels.length - 1];
    const next = await level.children.next();
    if (next.done === true) {
      levels.pop();
      yield* withMended(stack, level.machines, mend ? await mendedNodes(level.node, level.pieces) : []);
      continue;
    }
    const node = next.value;
    level.pieces.see(node);
    if (isConfiguration(node)) {
      const machine = await machineOf(stack, node, mend);
      if (machine !== undefined) level.machines.push(machine);
    } else if (node.children !== undefined && levels.length < MAX_PATH_DEPTH) levels.push(levelOf(node));
  }
}

async function* withMended(stack: Stack, machines: Machine[], nodes: readonly Node[]): AsyncGenerator<Machine> {
  const replaced = new Set(nodes.map((node) => mendedOf(node)?.replaces));
  yield* machines.filter(({ config }) => !replaced.has(config.rawName));
  for (const node of nodes.filter(isConfiguration)) {
    const machine = await machineOf(stack, node);
    if (machine !== undefined) yield machine;
  }
}

/** The machine that a configuration describes; undefined where it describes none. */
export async function machineOf(stack: Stack, config: Node, mend = true): Promise<Machine | undefined> {
  const node = await stack.inside(config);
  if (node === undefined || node.kind !== 'machine') return undefined;
  const disks: MachineDisk[] = [];
  for (const { slot, file } of node.disks ?? [])
    disks.push({ slot, file, ...(await chainOf(stack, config, file, mend)) });
  const base = config.name.replace(/\.[^.]*$/, '');
  const parent = stack.parentOf(config);
  const folder = mendedOf(config) === undefined ? parent : parent?.parent;
  return { name: node.name === '' ? base : node.name, node, config, folder, disks };
}

/** What stands in for a descriptor that is missing beside another. */
async function regenerated(stack: Stack, from: Node, name: string): Promise<Node | undefined> {
  const folder = stack.parentOf(from);
  const virtual = folder === undefined || name.includes('/') ? undefined : await stack.child(folder, MENDED);
  return virtual === undefined ? undefined : stack.child(virtual, name);
}

type Chain = Pick<MachineDisk, 'chain' | 'files' | 'broken'>;

async function chainOf(stack: Stack, config: Node, file: string, mend: boolean): Promise<Chain> {
  const chain: Node[] = [];
  const files: Node[] = [];
  const seen = new Set<string>();
  let from = config;
  let broken: string | undefined;
  let name: string | undefined = file;
  while (name !== undefined) {
    const there = await siblingNode(stack, from, name, false);
    const descriptor: Node | undefined = there ?? (mend ? await regenerated(stack, from, name) : undefined);
    if (descriptor === undefined) return { chain, files, broken: `${name} is named by ${from.locator} and missing` };
    if (seen.has(descriptor.locator)) return { chain, files, broken: `the chain comes back to ${descriptor.locator}` };
    if (chain.length >= MAX_CHAIN) return { chain, files, broken: `the chain has more than ${MAX_CHAIN} links` };
    seen.add(descriptor.locator);
    chain.push(descriptor);
    files.push(descriptor);
    const opened: Node | undefined = await stack.inside(descriptor);
    for (const extent of opened?.disk?.extents ?? []) {
      const found = await siblingNode(stack, descriptor, extent, false);
      if (found !== undefined) files.push(found);
      else broken ??= `${printable(extent)} is named by ${descriptor.locator} and missing`;
    }
    name = opened?.disk?.parent;
    from = descriptor;
  }
  return { chain, files, ...(broken !== undefined && { broken }) };
}
