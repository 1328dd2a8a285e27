/** Files of a guest by their paths: links followed within its own file system, letters of any case for Windows. */

import type { Node } from '../../core/node.ts';
import { readText } from '../../formats/text.ts';
import type { Stack } from '../stack.ts';

/** Links in one path, and entries of a directory that are looked through for a name in other letters. */
const MAX_LINKS = 8;
const MAX_LOOKED = 50_000;
/** Bytes of a text of a guest that are read. */
const MAX_READ = 256 * 1024;

/** The node of a path below a file system; undefined where there is none. */
export async function pathNode(stack: Stack, root: Node, path: string, anyCase = false): Promise<Node | undefined> {
  let names = path.split('/').filter((name) => name !== '');
  let at: Node | undefined = root;
  const way: Node[] = [root];
  let links = 0;
  while (names.length > 0 && at !== undefined) {
    const [name, ...rest] = names;
    names = rest;
    if (name === '.') continue;
    if (name === '..') {
      // Never above the file system's own root.
      if (way.length > 1) way.pop();
      at = way.at(-1);
      continue;
    }
    at = (await stack.child(way.at(-1)!, name)) ?? (anyCase ? await inAnyCase(stack, way.at(-1)!, name) : undefined);
    if (at?.kind === 'symlink' && at.facts.target !== undefined) {
      if (++links > MAX_LINKS) return undefined;
      if (at.facts.target.startsWith('/')) way.length = 1;
      names = [...at.facts.target.split('/').filter((one) => one !== ''), ...rest];
      at = way.at(-1);
    } else if (at !== undefined) way.push(at);
  }
  return at;
}

async function inAnyCase(stack: Stack, folder: Node, name: string): Promise<Node | undefined> {
  const wanted = name.toLowerCase();
  let looked = 0;
  for await (const child of stack.children(folder)) {
    if (child.rawName.toLowerCase() === wanted) return child;
    if (++looked > MAX_LOOKED) return undefined;
  }
  return undefined;
}

/** A small text of a guest; undefined where it is not there, or not all of it could be read. */
export async function textAt(stack: Stack, root: Node, path: string): Promise<string | undefined> {
  const source = await (await pathNode(stack, root, path))?.bytes?.();
  if (source === undefined || source.size > MAX_READ) return undefined;
  const { raw, gaps } = await readText(source, MAX_READ);
  return gaps.length > 0 ? undefined : Buffer.from(raw, 'latin1').toString('utf8');
}

/** Names of what a directory holds, the first few thousand. */
export async function namesAt(stack: Stack, root: Node, path: string, anyCase = false): Promise<string[]> {
  const folder = await pathNode(stack, root, path, anyCase);
  const out: string[] = [];
  if (folder?.children === undefined) return out;
  for await (const child of stack.children(folder)) {
    out.push(child.rawName);
    if (out.length >= MAX_LOOKED) break;
  }
  return out;
}
