/** The list: everything that lies below the sources by name, kept in a case for search. */
import type { Case } from '../case/case.ts';
import type { NodeRow } from '../case/nodes.ts';
import type { Node } from '../core/node.ts';
import type { Stack } from '../stack/stack.ts';
import { MAX_LEVELS, walkBelow } from '../stack/walk.ts';

/** Rows of one transaction. */
const BATCH = 2000;

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
      if (done) rows.push(rowOf(node));
      if (rows.length >= BATCH) await flush();
    }
  }
  await flush();
  if (!options.signal.aborted) nodes.end();
  return count;
}

function rowOf({ locator, name, kind, state, facts, damage }: Node): NodeRow {
  const { size, modified } = facts;
  return { locator, name, kind, state, size: size ?? null, modified: modified ?? null, damage: damage.length };
}
