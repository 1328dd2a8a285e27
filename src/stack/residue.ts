/** What a file system still holds and no longer shows: the virtual directories below its root. */
import type { Node } from '../core/node.ts';
import type { Stack } from './stack.ts';

/** Their names; a real name that starts with '+' is written %2B in locators. */
const VIRTUAL: readonly string[] = ['+deleted', '+orphan'];

/** The virtual directories of a node that have something in them. Their format finds it when they are asked for. */
export async function* residueOf(stack: Stack, node: Node): AsyncGenerator<Node> {
  if (node.kind !== 'filesystem') return;
  for (const name of VIRTUAL) {
    const found = await stack.child(node, name);
    if (found === undefined || found.state === 'live') continue;
    for await (const _ of stack.children(found)) {
      yield found;
      break;
    }
  }
}

/** A node's children, and with `deleted` its virtual directories behind them. */
export async function* childrenWith(stack: Stack, node: Node, deleted: boolean): AsyncGenerator<Node> {
  yield* stack.children(node);
  if (deleted) yield* residueOf(stack, node);
}
