/** Devices in memory, opened as one volume, and all that can be read of it. */

import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { DATA, MISSING, RunList, STATED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { Stack } from '../../src/stack/stack.ts';

/** A stack over these devices, in the order given. */
function opened(devices: readonly (Uint8Array | undefined)[]): Stack {
  const named = devices.flatMap((data, i) =>
    data === undefined ? [] : [{ name: `d${i}`, source: new MemorySource(data) }],
  );
  return new Stack(named, { only: true });
}

export async function volume(devices: readonly (Uint8Array | undefined)[]): Promise<Node> {
  const stack = opened(devices);
  return (await stack.inside(stack.roots[0]))!;
}

export interface Read {
  readonly data: Uint8Array;
  readonly lost: number;
  /** Of what was had. */
  readonly weakest: number;
}

export async function read(source: Source): Promise<Read> {
  const data = new Uint8Array(source.size);
  const gaps = await source.read(0, data);
  let weakest: number = STATED;
  const list = new RunList();
  for (let at = 0; at < source.size; ) {
    list.clear();
    at = await flatten(source, at, source.size, list);
    for (let i = 0; i < list.n; i++) if (list.state(i) === DATA) weakest = Math.min(weakest, list.certainty(i));
    for (let i = 0; i < list.n; i++) if (list.state(i) === MISSING) weakest = Math.min(weakest, STATED);
  }
  return { data, lost: gaps.reduce((sum, gap) => sum + gap.length, 0), weakest };
}
