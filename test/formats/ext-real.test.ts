/** ext volumes that others made, alone and inside disks and datastores. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { filesystems, home } from '../../src/stack/home.ts';
import { locate } from '../../src/stack/locate.ts';
import { Stack } from '../../src/stack/stack.ts';
import { ext2progsAbsent, makeExt, sampleEntries, writeEntries } from '../make/ext.ts';
import { writeImages } from '../make/images.ts';
import { makeStore } from '../make/stores.ts';

const CORPUS = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpus', 'images.tar.gz');
const root = fs.mkdtempSync(join(tmpdir(), 'salvor-ext-real-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

const REAL: readonly [string, string][] = [
  ['ext/dfvfs/ext2.raw', 'ext-dfvfs-ext2'],
  ['ext/dfvfs/ext4.raw', 'ext-dfvfs-ext4'],
  ['ext/discutils/data.ext4.dat', 'ext-discutils-data'],
  ['ext/ext4-view/test_disk_ext2.bin', 'ext-ext4view-test_disk_ext2'],
  ['ext/ext4-view/test_disk_ext3.bin', 'ext-ext4view-test_disk_ext3'],
  ['ext/fauxfaux/all-types-tiny.img', 'ext-fauxfaux-all-types-tiny'],
  ['ext/velocidex/hierarchy_64.ext4', 'ext-velocidex-hierarchy_64'],
  ['ext/velocidex/tiny.ext4', 'ext-velocidex-tiny'],
  ['vmdk/dfvfs/ext2.vmdk', 'vmdk-dfvfs-ext2'],
  ['qcow/dfvfs/ext2.qcow2', 'qcow2-dfvfs-ext2'],
  ['vhd/dfvfs/ext2.vhd', 'vhd-dfvfs-ext2'],
  ['vhdx/dfvfs/ext2.vhdx', 'vhdx-dfvfs-ext2'],
];
/** Mounted when it was copied: its answer key is of the volume without the journal. */
const MOUNTED = 'ext/ext4-view/test_disk_4k_block_journal.bin';

interface Expected {
  readonly path: string;
  readonly type: string;
  readonly size?: number;
  readonly mtime?: number;
  readonly sha256?: string;
  readonly target?: string;
}

const TYPES: Readonly<Record<string, string>> = { d: 'directory', f: 'file', l: 'symlink' };

async function everything(stack: Stack, top: Node): Promise<Map<string, Node>> {
  const out = new Map<string, Node>();
  const queue: [Node, string][] = [[top, '']];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for await (const child of stack.children(next[0])) {
      const path = `${next[1]}/${Buffer.from(child.rawName, 'latin1').toString()}`;
      out.set(path, child);
      if (child.children !== undefined) queue.push([child, path]);
    }
  }
  return out;
}

async function sha256(node: Node): Promise<string> {
  const source = (await node.bytes!())!;
  const hash = createHash('sha256');
  const block = new Uint8Array(1 << 20);
  for (let at = 0; at < source.size; at += block.length) {
    const part = block.subarray(0, Math.min(block.length, source.size - at));
    expect(await source.read(at, part)).toEqual([]);
    hash.update(part);
  }
  return hash.digest('hex');
}

/** What is otherwise than another system that mounted the volume saw it. */
async function differences(node: Node | undefined, one: Expected): Promise<string[]> {
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
  say('hash', await sha256(node), one.sha256);
  return out;
}

test.skipIf(!fs.existsSync(CORPUS))('real volumes are listed and read as Linux reads them', async () => {
  const names = [...REAL.flatMap(([file, key]) => [file, `expected/${key}.json`]), MOUNTED];
  expect(spawnSync('tar', ['xSzf', CORPUS, '-C', root, ...names]).status).toBe(0);
  for (const [file, key] of REAL) {
    const stack = new Stack([join(root, file)], { only: true });
    const [top, ...more] = await filesystems(stack, stack.roots[0]);
    expect(more).toEqual([]);
    expect(top.damage).toEqual([]);
    const found = await everything(stack, top);
    const list = JSON.parse(fs.readFileSync(join(root, `expected/${key}.json`), 'utf8')) as Expected[];
    expect(found.size, file).toBe(list.length);
    for (const one of list) expect(await differences(found.get(one.path), one), file).toEqual([]);
    stack.close();
  }
  // e2fsck, which puts the journal in place, finds 774 directories.
  const stack = new Stack([join(root, MOUNTED)], { only: true });
  const top = (await stack.inside(stack.roots[0]))!;
  expect(top.damage).toEqual([]);
  expect((await everything(stack, top)).size).toBe(774);
  stack.close();
});

test.runIf(ext2progsAbsent === undefined)(
  'a guest inside a datastore is entered by name, and not by listings',
  async () => {
    const entries = sampleEntries(5, 10);
    const from = join(root, 'from');
    writeEntries(from, entries);
    const image = join(root, 'guest.img');
    makeExt(image, '16M', from, ['-t', 'ext4']);
    const guest = fs.readFileSync(image);
    const made = makeStore(6, {
      seed: 9,
      name: 'guests',
      label: 'guests',
      members: [{ pes: 2, wrap: 'gpt' }],
      entries: [
        { path: '/web', kind: 'directory' },
        { path: '/web/web-flat.vmdk', kind: 'file', content: guest },
      ],
    });
    const [store] = await writeImages(made, root);
    const stack = new Stack([store], { only: true });
    const top = await home(stack);
    expect(top.format).toContain('VMFS6');
    expect([...(await everything(stack, top)).keys()].filter((path) => path.includes('notes'))).toEqual([]);
    const { node } = await locate(stack, '::/web/web-flat.vmdk::ext/home/x/notes.txt');
    expect(node.locator).toContain('/web/web-flat.vmdk::ext/home/x/notes.txt');
    const notes = entries.find(({ path }) => path === 'home/x/notes.txt')!;
    expect(await sha256(node)).toBe(createHash('sha256').update(notes.bytes!).digest('hex'));
    stack.close();
  },
);
