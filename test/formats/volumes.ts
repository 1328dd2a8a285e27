/** File systems of guests held against what was put on them, or against what other systems read from them. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { expect } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { DATA, RunList, STATED, ZERO } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { Stack } from '../../src/stack/stack.ts';
import type { ExtEntry } from '../make/ext.ts';
import { brokenInvariants } from '../suites/check-source.ts';

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export async function whole(source: Source): Promise<Uint8Array> {
  const bytes = new Uint8Array(source.size);
  expect(await source.read(0, bytes)).toEqual([]);
  return bytes;
}

/** SHA-256 of all bytes, of sources of any size. */
async function hashOf(source: Source): Promise<string> {
  const hash = createHash('sha256');
  const block = new Uint8Array(8 << 20);
  for (let at = 0; at < source.size; at += block.length) {
    const part = block.subarray(0, Math.min(block.length, source.size - at));
    expect(await source.read(at, part)).toEqual([]);
    hash.update(part);
  }
  return hash.digest('hex');
}

/** The weakest grade of any byte that is data or zeros. */
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

/** Every departure of an opened volume from what was put on it. */
export async function departures(image: string, put: readonly ExtEntry[]): Promise<string[]> {
  const out: string[] = [];
  const stack = new Stack([image], { only: true });
  const top = (await stack.inside(stack.roots[0]))!;
  expect(top.kind).toBe('filesystem');
  const found = await everything(stack, top);
  for (const d of top.damage) out.push(`volume: ${d.code}: ${d.expected} / ${d.actual}`);
  for (const entry of put) {
    const node = found.get(entry.path);
    found.delete(entry.path);
    if (node === undefined) out.push(`${entry.path} is not there`);
    else out.push(...(await differences(node, entry)));
  }
  for (const [path, node] of found) if (node.kind !== 'directory') out.push(`${path} is there too`);
  stack.close();
  return out;
}

export async function differences(node: Node, { path, bytes, target }: ExtEntry): Promise<string[]> {
  const out = node.damage.map((d) => `${path}: ${d.code} at ${d.at}`);
  if (target !== undefined)
    return node.facts.target === target ? out : [...out, `${path}: leads to ${node.facts.target}`];
  const source = await node.bytes!();
  if (source.size !== bytes!.length) out.push(`${path}: ${source.size} bytes, not ${bytes!.length}`);
  else if (sha256(await whole(source)) !== sha256(bytes!)) out.push(`${path}: other bytes`);
  if ((await weakest(source)) < STATED) out.push(`${path}: not stated`);
  if (bytes!.length > 4096) out.push(...(await brokenInvariants(source)));
  return out;
}

/** Which units of 1 KiB of an image hold bytes of files. */
export async function dataOf(image: string): Promise<Uint8Array> {
  const stack = new Stack([image], { only: true });
  const out = new Uint8Array(fs.statSync(image).size / 1024);
  const list = new RunList();
  for (const node of (await everything(stack, (await stack.inside(stack.roots[0]))!)).values()) {
    const source = node.kind === 'file' ? await node.bytes!() : undefined;
    for (let at = 0; source !== undefined && at < source.size; ) {
      list.clear();
      at = await source.runs(at, source.size, list);
      for (let i = 0; i < list.n; i++)
        if (list.state(i) === DATA)
          out.fill(1, Math.floor(list.at[i] / 1024), Math.ceil((list.at[i] + list.length[i]) / 1024));
    }
  }
  stack.close();
  return out;
}

/** What another system saw of a file. */
export interface Expected {
  readonly path: string;
  readonly type: string;
  readonly size?: number;
  readonly mtime?: number;
  readonly sha256?: string;
  readonly target?: string;
}

const TYPES: Readonly<Record<string, string>> = { d: 'directory', f: 'file', l: 'symlink' };

/** What is otherwise than another system that mounted the volume saw it. */
export async function departuresFrom(node: Node | undefined, one: Expected): Promise<string[]> {
  if (node === undefined) return [`${one.path} is not there`];
  const out: string[] = node.damage.map((d) => `${one.path}: ${d.code}`);
  const say = (what: string, is: string | number | undefined, should: string | number | undefined): void => {
    if (should !== undefined && is !== should) out.push(`${one.path}: ${what} ${is}, not ${should}`);
  };
  say('kind', node.kind, TYPES[one.type] ?? 'system');
  say('target', node.facts.target, one.target);
  say('time', Math.trunc(node.facts.modified ?? 0), one.mtime);
  if (one.type !== 'f') return out;
  say('size', node.facts.size, one.size);
  if (one.sha256 !== undefined) say('hash', await hashOf(await node.bytes!()), one.sha256);
  return out;
}
