/** What the tests of NTFS share: everything below a file system, its bytes, and how certain they are. */
import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { DATA, RunList, STATED, ZERO } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { filesystems } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** All bytes of a source that has them all. */
export async function whole(source: Source): Promise<Uint8Array> {
  const bytes = new Uint8Array(source.size);
  expect(await source.read(0, bytes)).toEqual([]);
  return bytes;
}

/** The weakest grade of any byte; what is missing counts as 0. */
export async function weakest(source: Source): Promise<number> {
  const list = new RunList();
  let out = STATED as number;
  for (let at = 0; at < source.size; ) {
    list.clear();
    at = await source.runs(at, source.size, list);
    for (let i = 0; i < list.n; i++)
      out = Math.min(out, list.state(i) === DATA || list.state(i) === ZERO ? list.certainty(i) : 0);
  }
  return out;
}

/** All nodes below one, by path (UTF-8). */
export async function everything(stack: Stack, top: Node): Promise<Map<string, Node>> {
  const out = new Map<string, Node>();
  const queue: [Node, string][] = [[top, '']];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const [node, path] = next;
    for await (const child of stack.children(node)) {
      const name = `${path}${Buffer.from(child.rawName, 'latin1').toString()}`;
      out.set(name, child);
      if (child.children !== undefined) queue.push([child, `${name}/`]);
    }
  }
  return out;
}

/** The file system on a volume in memory. */
export async function opened(source: Source): Promise<{ stack: Stack; top: Node | undefined }> {
  const stack = new Stack([{ name: 'x.img', source }], { only: true });
  return { stack, top: (await filesystems(stack, stack.roots[0]))[0] };
}

/** Bytes of a source, whatever of them can be had. */
export async function part(source: Source, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await source.read(at, bytes);
  return bytes;
}
