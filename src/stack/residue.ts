/** What a file system still holds and no longer shows: the virtual directories below its root. */
import type { Listing } from '../core/batches.ts';
import type { Node } from '../core/node.ts';
import type { Stack } from './stack.ts';

/** Names of what metadata tells; a real name that starts with '+' is written %2B in locators. */
const GONE: readonly string[] = ['+deleted', '+orphan'];
/** And of what content alone tells, which takes a look at every free block. */
const CARVED = '+carved';
/** The directory of files that content alone tells of: "+carved" itself, or one whose name says that it looks farther. */
export type CarvedName = `+carved${'' | '-all' | '-any' | '-all-any'}`;

/**
 * How far to look: only what is live, also what metadata still tells, also the disks that content alone tells of, also
 * all files that it tells of, in the directory of that name.
 */
export type Depth = 'live' | 'deleted' | 'carved' | CarvedName;

/** The virtual directories of a node that have something in them. Their format finds it when they are asked for. */
export async function* residueOf(stack: Stack, node: Node, depth: Depth): AsyncGenerator<Node> {
  if ((node.kind !== 'filesystem' && node.kind !== 'volume') || depth === 'live') return;
  const isAsked = depth !== 'deleted' && depth !== 'carved';
  for (const name of depth === 'deleted' ? GONE : [...GONE, isAsked ? depth : CARVED]) {
    // A file system may know disks by their content; files are looked for in any bytes, and only on request.
    const isOwn = name !== CARVED || isAsked;
    const found = isOwn ? await stack.child(node, name) : await node.child?.(name);
    if (found !== undefined) found.parent ??= node;
    if (found === undefined || found.state === 'live') continue;
    for await (const _ of stack.children(found)) {
      yield found;
      break;
    }
  }
}

/** A node's children, and behind them its virtual directories as far as `depth` goes. */
export function childrenWith(stack: Stack, node: Node, depth: Depth): Listing<Node> {
  // Not a generator around them where nothing comes behind: each entry of a long listing would wait for it.
  return depth === 'live' ? stack.children(node) : withResidue(stack, node, depth);
}

async function* withResidue(stack: Stack, node: Node, depth: Depth): AsyncGenerator<Node> {
  yield* stack.children(node);
  yield* residueOf(stack, node, depth);
}
