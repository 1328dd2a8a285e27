/** What a made store holds and no longer shows, as tests look at it. */
import { expect } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { INFERRED, RunList } from '../../src/core/run.ts';
import { home } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { faulty } from '../faults/faults.ts';
import type { Change } from '../make/damage-edit.ts';
import type { Made, TruthFile } from '../make/types.ts';
import { evidenceOf } from './stores.ts';

/** A made store with changes over it. */
export function opened(store: Made, changes: readonly Change[]): Stack {
  const evidence = evidenceOf(store).map((e, i) => {
    return { ...e, source: faulty(e.source, onMember(changes, i)) };
  });
  return new Stack(evidence, { only: true });
}

/** Everything below one of the virtual directories, by its path in it. */
export async function below(stack: Stack, name: '+deleted' | '+orphan'): Promise<Map<string, Node>> {
  const out = new Map<string, Node>();
  const top = (await stack.child(await home(stack), name))!;
  const queue = [{ node: top, path: '' }];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    for await (const child of stack.children(next.node)) {
      const path = `${next.path}/${Buffer.from(child.rawName, 'latin1').toString('utf8')}`;
      out.set(path, child);
      if (child.children !== undefined) queue.push({ node: child, path });
    }
  }
  return out;
}

/** Files and links of a folder, its own directories left out. */
export function inside(store: Made, folder: string): TruthFile[] {
  return store.truth.files.filter((f) => f.path.startsWith(`${folder}/`) && f.kind !== 'directory');
}

/** Everything below both of them; what stands in both has the second under its whole path. */
export async function belowStack(stack: Stack): Promise<Map<string, Node>> {
  const out = new Map<string, Node>();
  for (const state of ['+deleted', '+orphan'] as const) {
    for (const [path, node] of await below(stack, state)) out.set(out.has(path) ? `/${state}${path}` : path, node);
  }
  return out;
}

/** No byte of what is gone is stated. */
export async function expectNoLie(node: Node): Promise<void> {
  const source = await node.bytes?.();
  if (source === undefined || source.size === 0) return;
  for (const list of await runsOf(source)) {
    for (let i = 0; i < list.n; i++) expect(list.certainty(i)).toBeLessThanOrEqual(INFERRED);
  }
}

/** All runs of some bytes, down to the evidence. */
export async function runsOf(source: Awaited<ReturnType<NonNullable<Node['bytes']>>>): Promise<RunList[]> {
  const out: RunList[] = [];
  for (let at = 0; at < source.size; ) {
    const list = new RunList();
    at = await flatten(source, at, source.size, list);
    out.push(list);
  }
  return out;
}

/** The changes to one image. */
export function onMember(changes: readonly Change[], member: number): Change[] {
  return changes.filter((change) => change.member === member);
}
