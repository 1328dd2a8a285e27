/** Virtual machines of a file system: their configurations, and the chains of disks that these name. */
import { MAX_CHAIN, MAX_PATH_DEPTH } from '../core/limits.ts';
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import { formats } from '../formats/index.ts';
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

/** All machines below a file system or a directory, in the order of its tree. */
export async function* machinesOf(stack: Stack, filesystem: Node): AsyncGenerator<Machine> {
  const levels = [stack.children(filesystem)];
  while (levels.length > 0) {
    const next = await levels[levels.length - 1].next();
    if (next.done === true) {
      levels.pop();
      continue;
    }
    const node = next.value;
    if (isConfiguration(node)) {
      const machine = await machineOf(stack, node);
      if (machine !== undefined) yield machine;
    } else if (node.children !== undefined && levels.length < MAX_PATH_DEPTH) levels.push(stack.children(node));
  }
}

/** The machine that a configuration describes; undefined where it describes none. */
export async function machineOf(stack: Stack, config: Node): Promise<Machine | undefined> {
  const node = await stack.inside(config);
  if (node === undefined || node.kind !== 'machine') return undefined;
  const disks: MachineDisk[] = [];
  for (const { slot, file } of node.disks ?? []) disks.push({ slot, file, ...(await chainOf(stack, config, file)) });
  const base = config.name.replace(/\.[^.]*$/, '');
  return { name: node.name === '' ? base : node.name, node, config, folder: stack.parentOf(config), disks };
}

type Chain = Pick<MachineDisk, 'chain' | 'files' | 'broken'>;

async function chainOf(stack: Stack, config: Node, file: string): Promise<Chain> {
  const chain: Node[] = [];
  const files: Node[] = [];
  const seen = new Set<string>();
  let from = config;
  let broken: string | undefined;
  let name: string | undefined = file;
  while (name !== undefined) {
    const descriptor = await siblingNode(stack, from, name, false);
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
