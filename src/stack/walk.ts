/** Everything below a thing, through disks and volumes into file systems. */
import { MAX_DEPTH, MAX_PATH_DEPTH } from '../core/limits.ts';
import type { Kind, Node } from '../core/node.ts';
import { CARVED, keptOf } from './carve.ts';
import { shortfall, summarize } from './placed.ts';
import { childrenWith } from './residue.ts';
import type { Stack } from './stack.ts';

/** Levels that are walked: no sound format makes more, so what is deeper is a loop that went unnoticed. */
export const MAX_LEVELS: number = MAX_PATH_DEPTH + MAX_DEPTH;
/** What is looked into on the way down: ways to other bytes. Files are not. */
export const LAYERS: readonly Kind[] = ['evidence', 'disk', 'partition', 'volume'];

/** A node met on a walk. */
export interface Step {
  readonly node: Node;
  /** Levels below the start, whose own depth is 0. */
  readonly depth: number;
  /** Everything below it has been met: what listing it showed to be wrong is now known. Never before `false`. */
  readonly done: boolean;
}

/** A node whose children are being met. */
interface Level {
  readonly node: Node;
  readonly children: AsyncIterator<Node>;
}

/** A node and everything below it, through disks and volumes into file systems, depth first, each container twice. */
export async function* walkBelow(
  stack: Stack,
  start: Node,
  levels: number,
  signal: AbortSignal,
  deleted = false,
): AsyncGenerator<Step> {
  const met = new Set<string>();
  const open: Level[] = [];
  let next: Node | undefined = start;
  while (!signal.aborted) {
    if (next !== undefined) {
      yield { node: next, depth: open.length, done: false };
      const isLayer = LAYERS.includes(next.kind);
      const below = open.length < Math.min(levels, MAX_LEVELS) && !(isLayer && met.has(next.locator));
      if (isLayer) met.add(next.locator);
      const children = below ? childrenOf(stack, next, next === start, deleted) : undefined;
      if (children === undefined) yield { node: next, depth: open.length, done: true };
      else open.push({ node: next, children });
    }
    const level = open[open.length - 1];
    if (level === undefined) return;
    const child: IteratorResult<Node> = await level.children.next();
    next = child.done === true ? undefined : child.value;
    if (next !== undefined) continue;
    open.pop();
    yield { node: level.node, depth: open.length, done: true };
  }
  // After Ctrl-C: what was begun is ended, so that a document is whole although the tree is not.
  for (let level = open.pop(); level !== undefined; level = open.pop()) {
    yield { node: level.node, depth: open.length, done: true };
  }
}

/**
 * What lies below a node: its children, or for a layer, and for whatever a person names, what is in its bytes.
 * Undefined where nothing can.
 */
function childrenOf(
  stack: Stack,
  node: Node,
  named: boolean,
  deleted: boolean,
): AsyncIterableIterator<Node> | undefined {
  if (node.children !== undefined || node.kind === 'filesystem')
    return childrenWith(stack, node, deleted ? 'deleted' : 'live');
  return named || LAYERS.includes(node.kind) ? insideOf(stack, node, deleted) : undefined;
}

/** What is in a node's bytes, and what a search that was ended before found in them by content alone. */
async function* insideOf(stack: Stack, node: Node, deleted: boolean): AsyncGenerator<Node> {
  const inside = await stack.inside(node);
  if (inside !== undefined) yield inside;
  if (!deleted || (await keptOf(stack, node)) === undefined) return;
  const carved = await stack.child(node, CARVED);
  if (carved !== undefined) yield carved;
}

/** What is wrong with a node beside its damage: bytes of it that are missing or uncertain. Undefined where none are. */
export async function lossOf(node: Node, signal: AbortSignal): Promise<string | undefined> {
  if (node.bytes === undefined || LAYERS.includes(node.kind)) return undefined;
  return shortfall(await summarize(await node.bytes(), signal));
}
