/** What the tests of btrfs put on volumes, and how they open them. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { Node } from '../../src/core/node.ts';
import type { Source } from '../../src/core/source.ts';
import { Stack } from '../../src/stack/stack.ts';
import { run } from '../make/btrfs.ts';
import { seeded } from '../make/content.ts';
import { type ExtEntry, sampleEntries, writeEntries } from '../make/ext.ts';

export const bytes = (seed: number, size: number): Uint8Array => seeded(seed, size).read(0, size);

/** Text that compresses, with stretches that do not, and zeros in between. */
export function mixed(seed: number, size: number): Uint8Array {
  const out = Buffer.from(`line ${seed} of some text that repeats itself; `.repeat(size / 20)).subarray(0, size);
  for (let at = 100_000; at + 50_000 < size; at += 400_000) out.set(bytes(seed + at, 50_000), at);
  for (let at = 300_000; at + 40_000 < size; at += 500_000) out.fill(0, at, at + 40_000);
  return out;
}

export const entries: ExtEntry[] = [
  ...sampleEntries(3, 200),
  { path: 'text', bytes: mixed(1, 1_200_003) },
  { path: 'short text', bytes: mixed(2, 1500) },
  { path: 'page of text', bytes: mixed(3, 4096) },
];
export const pieces = bytes(500, 1024 * 1024);
for (let at = 4096; at < pieces.length; at += 8192) pieces.fill(0, at, at + 4096);
export const rewritten = mixed(4, 1_000_000);
export const all: ExtEntry[] = [
  ...entries,
  { path: 'pieces', bytes: pieces },
  { path: 'unwritten', bytes: new Uint8Array(1024 * 1024) },
  { path: 'rewritten', bytes: Uint8Array.from(rewritten).fill(7, 333_333, 400_000) },
  { path: 'clone', bytes: mixed(1, 1_200_003) },
];

/** Beside the sample: a file in hundreds of pieces, one that was set aside, one that was written over, and a clone. */
export function fill(dir: string): void {
  writeEntries(dir, entries);
  const file = fs.openSync(join(dir, 'pieces'), 'w');
  for (let at = 0; at < pieces.length; at += 8192) fs.writeSync(file, pieces, at, 4096, at);
  fs.ftruncateSync(file, pieces.length);
  fs.closeSync(file);
  spawnSync('fallocate', ['-l', '1M', join(dir, 'unwritten')]);
  fs.writeFileSync(join(dir, 'rewritten'), rewritten);
  run('sync', '-f', dir);
  const again = fs.openSync(join(dir, 'rewritten'), 'r+');
  fs.writeSync(again, new Uint8Array(400_000 - 333_333).fill(7), 0, 400_000 - 333_333, 333_333);
  fs.closeSync(again);
  run('cp', '--reflink=always', join(dir, 'text'), join(dir, 'clone'));
}

/** Opens what is on these devices. */
export async function opened(
  images: readonly (string | { name: string; source: Source })[],
): Promise<{ stack: Stack; top: Node }> {
  const stack = new Stack([...images], { only: true });
  return { stack, top: (await stack.inside(stack.roots[0]))! };
}
