/** QCOW2 and QCOW images that others made, and what happens to them on bad days. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { RunList, STATED } from '../../src/core/run.ts';
import { Stack } from '../../src/stack/stack.ts';
import { layouts, make, qemuAbsent } from './qcow2-images.ts';

const CORPUS = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpus');
const ARCHIVE = join(CORPUS, 'images.tar.gz');
const isAbsent = !existsSync(ARCHIVE);
const dir = mkdtempSync(join(tmpdir(), 'salvor-qcow2-real-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Entry {
  readonly path: string;
  readonly topic: string;
  readonly expected: { readonly virtual_size: number; readonly flat: { readonly sha256: string } };
}

const PIECE = 16 * 2 ** 20;

async function sha256(node: Node): Promise<string> {
  const source = (await node.bytes!())!;
  const hash = createHash('sha256');
  for (let at = 0; at < source.size; at += PIECE) {
    const bytes = new Uint8Array(Math.min(PIECE, source.size - at));
    expect(await source.read(at, bytes)).toEqual([]);
    hash.update(bytes);
  }
  return hash.digest('hex');
}

async function open(bytes: Uint8Array, as?: string): Promise<Node | undefined> {
  const given = [{ name: 'disk', source: new MemorySource(bytes) }];
  const stack = new Stack(given, as === undefined ? {} : { as: { format: as, at: 0 } });
  return stack.inside(stack.roots[0]);
}

test.skipIf(isAbsent)('real images read as their answer keys say', async () => {
  expect(spawnSync('tar', ['-xzf', ARCHIVE, '-C', dir, 'qcow']).status).toBe(0);
  const { entries } = JSON.parse(readFileSync(join(CORPUS, 'manifest.json'), 'utf8')) as { entries: Entry[] };
  const ours = entries.filter(({ path, topic }) => topic === 'qcow' && path.startsWith('qcow/'));
  expect(ours.length).toBeGreaterThan(3);
  for (const { expected, path } of ours) {
    const node = (await open(readFileSync(join(dir, path))))!;
    expect([path, node.facts.size, node.damage.length]).toEqual([path, expected.virtual_size, 0]);
    expect([path, await sha256(node)]).toEqual([path, expected.flat.sha256]);
  }
});

test.skipIf(qemuAbsent !== undefined)(
  'what a guest wrote over the start is shown, and the image below it, too',
  async () => {
    const { bytes, truth } = make(layouts[0]);
    const over = Uint8Array.from(bytes);
    // A guest that took the file for a raw disk wrote its partition table over the header.
    over.fill(0, 0, 65_536);
    over.set(truth.subarray(0, 512), 0);
    expect((await open(over))?.format).toMatch(/MBR/);
    const below = (await open(over, 'qcow2'))!;
    expect(below.damage.map((one) => one.code)).toEqual(['qcow2.header']);
    const source = (await below.bytes!())!;
    const there = new Uint8Array(truth.length);
    await source.read(0, there);
    expect(Buffer.compare(there, truth)).toBe(0);
    const list = new RunList();
    await flatten(source, 0, source.size, list);
    for (let i = 0; i < list.n; i++) expect(list.certainty(i)).toBeLessThan(STATED);
  },
);

test.skipIf(qemuAbsent !== undefined)('marks of a bad day are said, and do not stop anything', async () => {
  const { bytes, truth } = make(layouts[2]);
  const marked = Uint8Array.from(bytes);
  marked[79] |= 3;
  const node = (await open(marked))!;
  expect(node.notices?.join(' ')).toMatch(/dirty bit.*corrupt/);
  const there = new Uint8Array(truth.length);
  expect(await (await node.bytes!())!.read(0, there)).toEqual([]);
  expect(Buffer.compare(there, truth)).toBe(0);
  // A feature that nobody knows makes all of it less than stated.
  marked[78] |= 1;
  expect((await open(marked))!.damage.map((one) => one.code)).toContain('qcow2.features');
});

test.skipIf(qemuAbsent !== undefined)('a magic alone that is overwritten costs nothing but certainty', async () => {
  const { bytes, truth } = make(layouts[0]);
  const hurt = Uint8Array.from(bytes);
  hurt.fill(0, 0, 4);
  const node = (await open(hurt))!;
  expect(node.damage.map((one) => one.code)).toEqual(['qcow2.header']);
  expect(await sha256(node)).toBe(createHash('sha256').update(truth).digest('hex'));
});
