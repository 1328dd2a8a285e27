/** Machines: configurations found in a tree, with the disks they name and what those disks are made of. */
import type { Node } from '../core/node.ts';
import { formats } from '../formats/index.ts';
import { siblingNode } from './siblings.ts';
import type { Stack } from './stack.ts';

export interface MachineDisk {
  readonly slot: string;
  /** The name in the configuration, as it stands there. */
  readonly file: string;
  /** The file of that name, where it is there. */
  readonly descriptor?: Node;
  /** What is in that file, opened as a disk. */
  readonly node?: Node;
  /** Locators of the descriptors from this disk down to its base. */
  readonly chain: readonly string[];
  /** All files that the chain is made of. */
  readonly files: readonly Node[];
}

export interface Machine {
  readonly name: string;
  /** The configuration file, and what it says. */
  readonly config: Node;
  readonly node: Node;
  readonly folder: Node;
  readonly disks: readonly MachineDisk[];
}

/** Links of a chain of snapshots; ESXi allows 32, other products 255. */
const MAX_CHAIN = 256;

/** All machines in a tree, in the order of its directories. */
export async function* machinesOf(stack: Stack, root: Node): AsyncGenerator<Machine> {
  const endings = formats.filter((f) => f.layer === 'machine').flatMap((f) => f.names ?? []);
  const queue: Node[] = [root];
  for (let folder = queue.pop(); folder !== undefined; folder = queue.pop()) {
    for await (const child of stack.children(folder)) {
      if (child.kind === 'directory') queue.push(child);
      const name = child.rawName.toLowerCase();
      if (child.bytes === undefined || !endings.some((ending) => name.endsWith(ending))) continue;
      const node = await stack.inside(child);
      if (node?.kind === 'machine') yield await machine(stack, child, node, folder);
    }
  }
}

async function machine(stack: Stack, config: Node, node: Node, folder: Node): Promise<Machine> {
  const disks: MachineDisk[] = [];
  for (const { slot, file } of node.disks ?? []) disks.push(await machineDisk(stack, config, slot, file));
  return { name: node.name === '' ? config.name : node.name, config, node, folder, disks };
}

async function machineDisk(stack: Stack, config: Node, slot: string, file: string): Promise<MachineDisk> {
  const descriptor = await siblingNode(stack, config, file, false);
  if (descriptor === undefined) return { slot, file, chain: [], files: [] };
  const chain: string[] = [];
  const files: Node[] = [];
  let top: Node | undefined;
  let at: Node | undefined = descriptor;
  while (at !== undefined && chain.length < MAX_CHAIN && !chain.includes(at.locator)) {
    const link: Node = at;
    chain.push(link.locator);
    files.push(link);
    const disk: Node | undefined = await stack.inside(link);
    if (disk?.disk === undefined) break;
    top ??= disk;
    for (const extent of disk.disk.extents) {
      const part = await siblingNode(stack, link, extent, false);
      if (part !== undefined) files.push(part);
    }
    at = disk.disk.parent === undefined ? undefined : await siblingNode(stack, link, disk.disk.parent, false);
  }
  return { slot, file, descriptor, ...(top !== undefined && { node: top }), chain, files };
}
