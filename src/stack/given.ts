/** Disks among all that a person gave: files themselves, and what lies in directories, some levels deep. */
import type { Node } from '../core/node.ts';
import { isNamedLikeDisk } from '../formats/index.ts';
import type { Stack } from './stack.ts';

/** Levels of directories that are gone into, and files that are looked at, for a disk that is nowhere near. */
const MAX_LEVELS = 4;
const MAX_LOOKED = 16_384;

/** Files of the host that are named like disks, or were given themselves; never what stands inside of others. */
export async function* givenDisks(stack: Stack): AsyncGenerator<Node> {
  const waiting = stack.roots.map((node) => ({ node, level: 0 }));
  let looked = 0;
  // The list grows while it is gone through.
  for (const { node, level } of waiting) {
    if (++looked > MAX_LOOKED) return;
    if (node.kind === 'evidence') {
      if (level === 0 || isNamedLikeDisk(node.rawName)) yield node;
    } else if (node.kind === 'directory' && level < MAX_LEVELS) {
      try {
        for await (const child of stack.children(node))
          if (waiting.length < MAX_LOOKED) waiting.push({ node: child, level: level + 1 });
      } catch (error) {
        // A folder that cannot be listed offers nothing.
        if (stack.signal.aborted) throw error;
      }
    }
  }
}

/** All of them by their names, once for all who ask. */
const named = new WeakMap<Stack, Promise<ReadonlyMap<string, readonly Node[]>>>();

async function byNames(stack: Stack): Promise<ReadonlyMap<string, readonly Node[]>> {
  const out = new Map<string, Node[]>();
  for await (const node of givenDisks(stack)) {
    const same = out.get(node.rawName);
    if (same === undefined) out.set(node.rawName, [node]);
    else same.push(node);
  }
  return out;
}

/** A file of this name among what was given; undefined where there is none, or more than one. */
export async function givenNamed(stack: Stack, name: string): Promise<Node | undefined> {
  let all = named.get(stack);
  if (all === undefined) {
    all = byNames(stack);
    named.set(stack, all);
  }
  const found = (await all).get(name) ?? [];
  return found.length === 1 ? found[0] : undefined;
}
