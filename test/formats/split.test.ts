/** Disks in pieces: whole, with lacking and short pieces, and what only looks like one. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { slice } from '../../src/core/map-source.ts';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { INFERRED, RunList, VERIFIED } from '../../src/core/run.ts';
import { split } from '../../src/formats/disk/split.ts';
import { filesystems } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { makeStore } from '../make/stores.ts';
import { checkFormat } from '../suites/check-format.ts';
import { evidenceOf } from './stores.ts';

const PIECE = 256 * 1024;
const raw = seeded(3, 4 * PIECE + 5120).read(0, 4 * PIECE + 5120);
const cut = (i: number): MemorySource => new MemorySource(raw.subarray(i * PIECE, (i + 1) * PIECE));
const named = (names: readonly string[]): Record<string, MemorySource> =>
  Object.fromEntries(names.map((name, i) => [name, cut(i)]));
const digits = named(['d.001', 'd.002', 'd.003', 'd.004', 'd.005']);
const letters = named(['d.img.aa', 'd.img.ab', 'd.img.ac', 'd.img.ad', 'd.img.ae']);
const chunks = named([0, 1, 2, 3, 4].map((i) => `d.vmdk.00000000${i}`));
const sha256 = createHash('sha256').update(raw).digest('hex');
const fixture = (files: Record<string, MemorySource>) => {
  const [name] = Object.keys(files);
  return { name, source: files[name], siblings: files, sha256 };
};

checkFormat(split, {
  fixtures: [digits, letters, chunks].map(fixture),
  others: [
    { name: 'd.002', source: cut(1), siblings: digits },
    { name: 'd.001', source: cut(0) },
    { name: 'd.img', source: cut(0), siblings: digits },
    // Logs that were rotated have any size.
    { name: 'l.001', source: cut(0), siblings: { 'l.002': new MemorySource(raw.subarray(0, 3 * PIECE)) } },
  ],
  tables: [],
});

async function opened(files: Record<string, MemorySource>): Promise<{ node: Node; bytes: Buffer; lost: number }> {
  const stack = new Stack(Object.entries(files).map(([name, source]) => ({ name, source })));
  const node = (await stack.inside(stack.roots[0]))!;
  const source = await node.bytes!();
  const bytes = Buffer.alloc(source.size);
  const gaps = await source.read(0, bytes);
  const list = new RunList();
  await flatten(source, 0, source.size, list);
  for (let i = 0; i < list.n; i++) expect(list.certainty(i)).toBeLessThanOrEqual(INFERRED);
  return { node, bytes, lost: gaps.reduce((sum, gap) => sum + gap.length, 0) };
}

test('lacking pieces are gaps where they belong', async () => {
  const { 'd.001': _first, 'd.003': _third, ...rest } = digits;
  const { node, bytes, lost } = await opened(rest);
  expect(node.damage.map(({ code }) => code)).toEqual(['split.piece', 'split.piece']);
  expect([bytes.length, lost]).toEqual([raw.length, 2 * PIECE]);
  expect(bytes.subarray(3 * PIECE).equals(Buffer.from(raw.subarray(3 * PIECE)))).toBe(true);
});

test('a piece that was cut off leaves a gap up to the next one', async () => {
  const short = { ...digits, 'd.002': new MemorySource(raw.subarray(PIECE, PIECE + 1000)) };
  const { node, bytes, lost } = await opened(short);
  expect(node.damage.map(({ code }) => code)).toEqual(['split.piece']);
  expect([bytes.length, lost]).toEqual([raw.length, PIECE - 1000]);
});

test('a datastore is found in a disk in pieces', async () => {
  const store = makeStore(6, { seed: 6, members: [{ pes: 16 }], entries: [] });
  const [{ source: image }] = evidenceOf(store);
  const half = Math.ceil(image.size / 1024) * 512;
  const first = slice(image, 0, half, VERIFIED);
  const stack = new Stack([
    { name: 'lun.001', source: first },
    { name: 'lun.002', source: slice(image, half, image.size - half, VERIFIED) },
  ]);
  expect(await filesystems(stack, stack.roots[0])).toHaveLength(1);
  // One piece alone is what it is.
  const alone = new Stack([{ name: 'lun.001', source: first }], { only: true });
  expect((await alone.inside(alone.roots[0]))?.format).not.toBe(split.title);
});
