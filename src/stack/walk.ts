/** Everything below a thing, through disks and volumes into file systems. */
import { Batches, type Listing } from '../core/batches.ts';
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

/** Steps that are gathered at most before somebody looks at them. */
const MAX_STEPS = 1000;

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
  readonly children: Listing<Node>;
}

/** A node and everything below it, through disks and volumes into file systems, depth first, each thing twice. */
export function walkBelow(
  stack: Stack,
  start: Node,
  levels: number,
  signal: AbortSignal,
  deleted = false,
): AsyncIterableIterator<Step> {
  return new Batches(stepsBelow(stack, start, levels, signal, deleted));
}

/** The steps of walkBelow as they come at hand. What is listed is not known before the batch that names it is over. */
export async function* stepsBelow(
  stack: Stack,
  start: Node,
  levels: number,
  signal: AbortSignal,
  deleted = false,
): AsyncGenerator<readonly Step[]> {
  const met = new Set<string>();
  const open: Level[] = [];
  let steps: Step[] = [];
  let next: Node | undefined = start;
  while (!signal.aborted) {
    if (next !== undefined) {
      const depth = open.length;
      steps.push({ node: next, depth, done: false });
      const isLayer = LAYERS.includes(next.kind);
      const below = depth < Math.min(levels, MAX_LEVELS) && !(isLayer && met.has(next.locator));
      if (isLayer) met.add(next.locator);
      const children = below ? childrenOf(stack, next, next === start, deleted) : undefined;
      if (children === undefined) steps.push({ node: next, depth, done: true });
      else open.push({ node: next, children });
    }
    const level = open[open.length - 1];
    if (level === undefined) break;
    next = level.children.now?.();
    if (next !== undefined && steps.length < MAX_STEPS) continue;
    if (steps.length > 0) {
      yield steps;
      steps = [];
    }
    if (next !== undefined) continue;
    const child: IteratorResult<Node> = await level.children.next();
    next = child.done === true ? undefined : child.value;
    if (next !== undefined) continue;
    open.pop();
    steps.push({ node: level.node, depth: open.length, done: true });
  }
  // After Ctrl-C: what was begun is ended, so that a document is whole although the tree is not.
  for (let level = open.pop(); level !== undefined; level = open.pop()) {
    steps.push({ node: level.node, depth: open.length, done: true });
  }
  if (steps.length > 0) yield steps;
}

/**
 * What lies below a node: its children, or for a layer, and for whatever a person names, what is in its bytes.
 * Undefined where nothing can.
 */
function childrenOf(stack: Stack, node: Node, named: boolean, deleted: boolean): Listing<Node> | undefined {
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
