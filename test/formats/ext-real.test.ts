/** ext volumes that others made, alone and inside disks and datastores. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { filesystems, home } from '../../src/stack/home.ts';
import { locate } from '../../src/stack/locate.ts';
import { Stack } from '../../src/stack/stack.ts';
import { ext2progsAbsent, makeExt, sampleEntries, writeEntries } from '../make/ext.ts';
import { writeImages } from '../make/images.ts';
import { makeStore } from '../make/stores.ts';
import { departuresFrom, type Expected, everything, sha256, whole } from './volumes.ts';

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
    for (const one of list) expect(await departuresFrom(found.get(one.path.slice(1)), one), file).toEqual([]);
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
    expect(sha256(await whole(await node.bytes!()))).toBe(sha256(notes.bytes!));
    stack.close();
  },
);
