/** What lay on a piece of evidence before what lives there now. */
import type { Node } from '../core/node.ts';
import { formats } from '../formats/index.ts';
import { filesystems } from './home.ts';
import type { Stack } from './stack.ts';

/** Older file systems on a piece of evidence that are not reached through what lives there. */
export async function beneath(stack: Stack, node: Node): Promise<Node[]> {
  const out = new Map<string, Node>();
  const inside = await stack.inside(node);
  const live = new Set(inside === undefined ? [] : (await filesystems(stack, node)).map((one) => one.locator));
  for (const format of formats.filter((one) => one.lastResort)) {
    const opened = inside?.format === format.title ? inside : await stack.openAs(node, format);
    if (opened === undefined) continue;
    for (const one of await filesystems(stack, opened)) if (!live.has(one.locator)) out.set(one.locator, one);
  }
  return [...out.values()];
}
