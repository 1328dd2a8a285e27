/** Where in a file system a guest has its root: at the top, or in a subvolume that is mounted in place of it. */
import type { Node } from '../../core/node.ts';
import type { Stack } from '../stack.ts';
import { pathNode } from './files.ts';

/** Subvolumes that installers put the root into: openSUSE and Ubuntu, Debian, Fedora. */
const SUBVOLUMES = ['@', '@rootfs', 'root'];
/** Folders of snapshots, one of which may be what is started. */
const SNAPSHOTS = ['@/.snapshots', '.snapshots'];
const MAX_SNAPSHOTS = 1024;

/** The root of the guest in a file system: that of the default subvolume where it is one of those that are looked at. */
export async function systemRoot(stack: Stack, root: Node): Promise<Node> {
  const wanted = root.facts.details?.defaultSubvolume;
  if (wanted === undefined || (await pathNode(stack, root, 'etc')) !== undefined) return root;
  const found: Node[] = [];
  for (const name of SUBVOLUMES) {
    const node = await pathNode(stack, root, name);
    if (node !== undefined) found.push(node);
  }
  for (const folder of SNAPSHOTS) found.push(...(await snapshotsIn(stack, root, folder)));
  const own = found.find((node) => node.facts.details?.subvolume === wanted);
  if (own !== undefined) return own;
  for (const node of found) if ((await pathNode(stack, node, 'etc')) !== undefined) return node;
  return root;
}

async function snapshotsIn(stack: Stack, root: Node, path: string): Promise<Node[]> {
  const out: Node[] = [];
  const folder = await pathNode(stack, root, path);
  if (folder?.children === undefined) return out;
  for await (const number of stack.children(folder)) {
    const node = await pathNode(stack, number, 'snapshot');
    if (node !== undefined) out.push(node);
    if (out.length >= MAX_SNAPSHOTS) break;
  }
  return out;
}
