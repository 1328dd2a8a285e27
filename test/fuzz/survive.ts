/** What must hold for any bytes whatever: no exception, no endless loop, bounded time, runs that tile. */

import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { RunList } from '../../src/core/run.ts';
import type { NamedSource } from '../../src/stack/evidence.ts';
import { filesystems } from '../../src/stack/home.ts';
import { machinesOf } from '../../src/stack/machines.ts';
import { Stack } from '../../src/stack/stack.ts';

/** Nodes visited and bytes read per case: enough to reach every structure of a small store. */
const MOST_NODES = 2000;
const MOST_READ = 64 * 1024;
const MOST_RUNS = 4096;

/** Opens everything and reads the start of everything. Answers what went wrong, or undefined. */
export async function survives(evidence: NamedSource[], milliseconds = 5000): Promise<string | undefined> {
  const started = performance.now();
  try {
    const stack = new Stack(evidence, { only: true });
    let visited = 0;
    for (const root of stack.roots) {
      const queue: Node[] = await filesystems(stack, root);
      for (const volume of queue) {
        for await (const { name, chain } of disksOf(stack, volume))
          if (chain.length > 256) return `${name}: an endless chain`;
      }
      for (let node = queue.pop(); node !== undefined && visited < MOST_NODES; node = queue.pop()) {
        visited++;
        const problem = await readStart(node);
        if (problem !== undefined) return `${node.locator}: ${problem}`;
        for await (const child of stack.children(node)) {
          queue.push(child);
          if (queue.length > MOST_NODES) break;
        }
      }
    }
  } catch (error) {
    return `threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
  const took = performance.now() - started;
  return took > milliseconds ? `took ${Math.round(took)} ms` : undefined;
}

async function readStart(node: Node): Promise<string | undefined> {
  const source = await node.bytes?.();
  if (source === undefined) return undefined;
  if (!Number.isSafeInteger(source.size) || source.size < 0) return `a size of ${source.size}`;
  const into = new Uint8Array(Math.min(source.size, MOST_READ));
  for (const gap of await source.read(0, into)) {
    if (gap.offset < 0 || gap.offset + gap.length > into.length || !(gap.length > 0))
      return `gap ${JSON.stringify(gap)}`;
  }
  const list = new RunList(MOST_RUNS);
  const reached = await flatten(source, 0, source.size, list);
  let sum = 0;
  for (let i = 0; i < list.n; i++) sum += list.length[i];
  return sum === reached ? undefined : `runs of ${sum} bytes reach ${reached}`;
}

async function* disksOf(stack: Stack, volume: Node): AsyncGenerator<{ name: string; chain: readonly Node[] }> {
  for await (const machine of machinesOf(stack, volume)) {
    for (const disk of machine.disks) yield { name: machine.name, chain: disk.chain };
  }
}
