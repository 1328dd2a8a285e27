/** The list: everything that lies below the sources by name, kept in a case for search. */
import type { Case } from '../case/case.ts';
import type { NodeRow } from '../case/nodes.ts';
import type { Node } from '../core/node.ts';
import { CERTAINTY_NAMES, type Certainty } from '../core/run.ts';
import { placed } from '../stack/placed.ts';
import type { Stack } from '../stack/stack.ts';
import { LAYERS, MAX_LEVELS, walkBelow } from '../stack/walk.ts';

/** Rows of one transaction. */
const BATCH = 2000;
/** Runs of one thing that are looked at for its certainty. */
const MAX_RUNS = 20_000;
const MISSING_GRADE = CERTAINTY_NAMES.indexOf('missing');

export interface ListOptions {
  /** Names what is listed, so that the list of other sources is never taken for it. */
  readonly evidence: string;
  readonly signal: AbortSignal;
  /** Called after every batch; what it answers is waited for. */
  onProgress?(nodes: number): void | Promise<void>;
}

/** Walks all sources and keeps every node by name. Answers how many there are; what was listed before is replaced. */
export async function list(into: Case, stack: Stack, options: ListOptions): Promise<number> {
  const { nodes } = into;
  nodes.begin(options.evidence);
  let rows: NodeRow[] = [];
  let count = 0;
  const flush = async (): Promise<void> => {
    nodes.add(rows);
    count += rows.length;
    rows = [];
    await options.onProgress?.(count);
  };
  for (const root of stack.roots) {
    for await (const { node, done } of walkBelow(stack, root, MAX_LEVELS, options.signal, true)) {
      // What is wrong with a directory is known once all of it was read.
      if (done) rows.push({ ...rowOf(node), certainty: await certaintyOf(node, options.signal) });
      if (rows.length >= BATCH) await flush();
    }
  }
  await flush();
  if (!options.signal.aborted) nodes.end();
  return count;
}

/** The grade of the least certain of a thing's own bytes. Null where it has none, or so many runs that not all were looked at. */
async function certaintyOf(node: Node, signal: AbortSignal): Promise<string | null> {
  if (node.bytes === undefined || LAYERS.includes(node.kind)) return null;
  const source = await node.bytes();
  let worst: Certainty | undefined;
  let runs = 0;
  for await (const { certainty } of placed(source, 0, source.size, signal)) {
    if (worst === undefined || certainty < worst) worst = certainty;
    if (worst === MISSING_GRADE) break;
    // What was not looked at may be worse.
    if (++runs > MAX_RUNS) return null;
  }
  return worst === undefined || signal.aborted ? null : CERTAINTY_NAMES[worst];
}

function rowOf({ locator, name, kind, state, facts, damage }: Node): Omit<NodeRow, 'certainty'> {
  const { size, modified } = facts;
  return { locator, name, kind, state, size: size ?? null, modified: modified ?? null, damage: damage.length };
}
