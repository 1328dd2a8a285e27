/** btrfs volumes as Linux makes them: every name, every byte, what is stated, what was deleted, and damage. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Stack } from '../../src/stack/stack.ts';
import { type BtrfsSpec, makeBtrfs, run } from '../make/btrfs.ts';
import { seeded } from '../make/content.ts';
import { type ExtEntry, sampleEntries, writeEntries } from '../make/ext.ts';
import { mountAbsent } from '../make/mounted.ts';
import { differences, everything } from './volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-btrfs-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const absent = mountAbsent('btrfs');
if (absent !== undefined) console.log(`Volumes of btrfs are not made: ${absent}.`);

const bytes = (seed: number, size: number): Uint8Array => seeded(seed, size).read(0, size);

/** Text that compresses, with stretches that do not, and zeros in between. */
function mixed(seed: number, size: number): Uint8Array {
  const out = Buffer.from(`line ${seed} of some text that repeats itself; `.repeat(size / 20)).subarray(0, size);
  for (let at = 100_000; at + 50_000 < size; at += 400_000) out.set(bytes(seed + at, 50_000), at);
  for (let at = 300_000; at + 40_000 < size; at += 500_000) out.fill(0, at, at + 40_000);
  return out;
}

const entries: ExtEntry[] = [
  ...sampleEntries(3, 400),
  { path: 'text', bytes: mixed(1, 2_000_003) },
  { path: 'short text', bytes: mixed(2, 1500) },
  { path: 'page of text', bytes: mixed(3, 4096) },
];
const pieces = bytes(500, 2 * 1024 * 1024);
for (let at = 4096; at < pieces.length; at += 8192) pieces.fill(0, at, at + 4096);
const rewritten = mixed(4, 1_000_000);
const all: ExtEntry[] = [
  ...entries,
  { path: 'pieces', bytes: pieces },
  { path: 'unwritten', bytes: new Uint8Array(1024 * 1024) },
  { path: 'rewritten', bytes: Uint8Array.from(rewritten).fill(7, 333_333, 400_000) },
  { path: 'clone', bytes: mixed(1, 2_000_003) },
];

/** Beside the sample: a file in hundreds of pieces, one that was set aside, one that was written over, and a clone. */
function fill(dir: string): void {
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

/** Every departure of a volume from what was put on it, given its devices. */
async function departures(images: readonly string[], put: readonly ExtEntry[]): Promise<string[]> {
  const out: string[] = [];
  const stack = new Stack([...images], { only: true });
  const top = (await stack.inside(stack.roots[0]))!;
  expect(top.format).toBe('btrfs file system');
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

const combinations: readonly [string, readonly string[], string?, number?][] = [
  ['defaults', []],
  ['nodes of 4 KiB', ['-n', '4096']],
  ['nodes of 64 KiB, compressed by lzo', ['-n', '65536'], 'compress-force=lzo'],
  ['mixed groups', ['-M']],
  ['single metadata, xxhash, compressed by zlib', ['-m', 'single', '--csum', 'xxhash'], 'compress-force=zlib:9'],
  ['sha256, compressed by zstd', ['--csum', 'sha256'], 'compress-force=zstd'],
  ['blake2, lzo', ['--csum', 'blake2'], 'compress-force=lzo'],
  ['DUP data', ['-d', 'dup']],
  ['holes in items', ['-O', '^no-holes'], 'compress=zstd'],
  ['a label, nothing inline', ['-L', 'some label'], 'max_inline=0'],
  ['RAID0', ['-d', 'raid0', '-m', 'raid0'], undefined, 2],
  ['RAID1', ['-d', 'raid1', '-m', 'raid1'], undefined, 2],
  ['RAID1C3', ['-d', 'raid1c3', '-m', 'raid1c3'], undefined, 3],
  ['RAID10', ['-d', 'raid10', '-m', 'raid10'], undefined, 4],
  ['RAID5', ['-d', 'raid5', '-m', 'raid5'], undefined, 3],
  ['RAID6, zlib', ['-d', 'raid6', '-m', 'raid6'], 'compress-force=zlib', 4],
];

function imagesOf(name: string, count = 1): string[] {
  return Array.from({ length: count }, (_, i) => join(root, `${name.replaceAll(/\W/g, '-')}-${i}.img`));
}

function specOf([name, options, mount, count]: (typeof combinations)[number]): BtrfsSpec {
  return { images: imagesOf(name, count), size: '256M', options, ...(mount !== undefined && { mount }) };
}

test.skipIf(absent !== undefined).each(combinations)('%s: all names, all bytes, all stated', async (...one) => {
  const spec = specOf(one);
  makeBtrfs(spec, fill);
  expect(await departures(spec.images, all)).toEqual([]);
  for (const image of spec.images) fs.rmSync(image);
});
