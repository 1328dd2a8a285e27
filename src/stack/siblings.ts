/** Files that belong together by name: a disk's extents, a machine's disks. Only inside what is already open. */
import * as path from 'node:path';
import type { Candidate } from '../core/format.ts';
import type { Node } from '../core/node.ts';
import type { Stack } from './stack.ts';

/** Where ESXi mounts datastores; what follows is a UUID or a label. */
const VOLUMES = '/vmfs/volumes/';

/** Resolves a name that stands in the file `node`: beside it, elsewhere on its volume, or on a volume named in full. */
export async function siblingNode(stack: Stack, node: Node, name: string, only: boolean): Promise<Node | undefined> {
  const folder = stack.parentOf(node);
  if (node.kind === 'evidence') {
    const base = name.split('/').pop() ?? '';
    const inFolder = folder === undefined ? undefined : await stack.child(folder, base);
    return inFolder ?? besideEvidence(stack, node, base, only);
  }
  if (folder === undefined) return undefined;
  if (name.startsWith(VOLUMES)) {
    const [volume, ...rest] = name.slice(VOLUMES.length).split('/');
    const root = rootOf(stack, folder);
    const { uuid, label } = root.facts.details ?? {};
    return volume === uuid || volume === label || volume === root.rawName ? walk(stack, root, rest) : undefined;
  }
  return walk(stack, name.startsWith('/') ? rootOf(stack, folder) : folder, name.split('/'));
}

/** As siblingNode, as bytes for a format. */
export async function siblingsByName(stack: Stack, node: Node, name: string, only: boolean): Promise<Candidate[]> {
  const found = await siblingNode(stack, node, name, only);
  const source = await found?.bytes?.();
  return found === undefined || source === undefined ? [] : [{ source, locator: found.locator }];
}

function besideEvidence(stack: Stack, node: Node, base: string, only: boolean): Node | undefined {
  const given = stack.roots.find((root) => root.kind === 'evidence' && root.rawName === base);
  if (given !== undefined || only) return given;
  const folder = path.dirname(path.resolve(node.locator));
  return stack.evidence.neighbours().find((n) => n.rawName === base && path.dirname(n.locator) === folder);
}

/** The directory on top of which there is no other. */
function rootOf(stack: Stack, folder: Node): Node {
  let root = folder;
  while (root.kind === 'directory') {
    const above = stack.parentOf(root);
    if (above === undefined) break;
    root = above;
  }
  return root;
}

async function walk(stack: Stack, from: Node, names: readonly string[]): Promise<Node | undefined> {
  let at: Node | undefined = from;
  for (const name of names) {
    if (name === '' || name === '.') continue;
    if (at === undefined) return undefined;
    // Never above the volume's own root.
    if (name === '..') at = at.kind === 'directory' ? stack.parentOf(at) : at;
    else at = await stack.child(at, name);
  }
  return at;
}
