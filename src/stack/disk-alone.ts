/** Which disk a person means who names sources and nothing in them. */
import type { Node } from '../core/node.ts';
import { disksOf } from './disks.ts';
import type { Stack } from './stack.ts';

/**
 * The disks that the sources are taken as a whole: an image or a device is itself one, whatever lies on it; a directory
 * or an archive stands for those in it. Empty where there are none.
 */
export async function disksMeant(stack: Stack): Promise<readonly Node[]> {
  const out = new Map<string, Node>();
  for (const root of stack.roots)
    if (root.children === undefined && !(await isArchive(stack, root))) out.set(root.locator, root);
  if (out.size === stack.roots.length) return [...out.values()];
  const { disks } = await disksOf(stack);
  for (const { file, isBeside } of disks) if (!isBeside) out.set(file.locator, file);
  return [...out.values()];
}

/** Whether a file is one of those that are named by their ending and hold others, such as a tar: its bytes are no disk's. */
async function isArchive(stack: Stack, root: Node): Promise<boolean> {
  const format = await stack.formatOf(root);
  return format?.layer === 'filesystem' && format.names !== undefined;
}
