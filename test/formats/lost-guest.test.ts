/** Disks of guests that lost their partition table. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { flatten } from '../../src/core/resolve.ts';
import { INFERRED, RunList } from '../../src/core/run.ts';
import { beneath } from '../../src/stack/beneath.ts';
import { filesystems } from '../../src/stack/home.ts';
import { locate } from '../../src/stack/locate.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { debugfs, ext2progsAbsent, makeExt, sampleEntries, writeEntries } from '../make/ext.ts';
import { makeMounted, mountAbsent } from '../make/mounted.ts';
import { sha256, whole } from './volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-lost-guest-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const MIB = 1024 * 1024;

test.skipIf(ext2progsAbsent !== undefined)('file systems are found behind each other, inferred', async () => {
  const entries = sampleEntries(6, 5);
  const large = entries.find(({ path }) => path === 'large')!.bytes!;
  const from = join(root, 'from');
  writeEntries(from, entries);
  const image = join(root, 'volume.img');
  makeExt(image, '12M', from, ['-t', 'ext4']);
  const volume = fs.readFileSync(image);
  for (const places of [
    [MIB, 20 * MIB],
    [63 * 512, 150 * MIB],
  ]) {
    const disk = Buffer.alloc(170 * MIB);
    for (const at of places) volume.copy(disk, at);
    const stack = new Stack([{ name: 'disk', source: new MemorySource(disk) }], { only: true });
    const found = await filesystems(stack, stack.roots[0]);
    expect(found.map(({ locator }) => locator)).toEqual(places.map((at) => `disk::lost-guest/at${at}::ext`));
    for (const at of places) {
      const { node } = await locate(stack, `disk::lost-guest/at${at}::ext/large`);
      const source = await node.bytes!();
      expect(sha256(await whole(source))).toBe(sha256(large));
      const list = new RunList();
      await flatten(source, 0, source.size, list);
      for (let i = 0; i < list.n; i++) expect(list.certainty(i)).toBe(INFERRED);
    }
    const table = (await stack.inside(stack.roots[0]))!;
    expect(table.damage.map(({ code }) => code)).toEqual(['lost-guest.table']);
    stack.close();
  }
});

test('noise is no disk of a guest', async () => {
  const noise = new MemorySource(seeded(3, 40 * MIB).read(0, 40 * MIB));
  const stack = new Stack([{ name: 'noise', source: noise }], { only: true });
  expect(await stack.inside(stack.roots[0])).toBeUndefined();
  stack.close();
});

test.skipIf(ext2progsAbsent !== undefined)('what its table leads to is not found a second time', async () => {
  const from = join(root, 'again');
  writeEntries(from, sampleEntries(6, 5));
  const image = join(root, 'again.img');
  makeExt(image, '12M', from, ['-t', 'ext4']);
  const disk = Buffer.alloc(16 * MIB);
  fs.readFileSync(image).copy(disk, MIB);
  // One partition of 12 MiB, of type 0x83.
  disk.set([0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x60, 0, 0], 446);
  disk.set([0x55, 0xaa], 510);
  const stack = new Stack([{ name: 'disk', source: new MemorySource(disk) }], { only: true });
  expect((await filesystems(stack, stack.roots[0])).map(({ locator }) => locator)).toEqual(['disk::mbr/p1::ext']);
  expect(await beneath(stack, stack.roots[0])).toEqual([]);
  disk.fill(0, 0, 512);
  const without = new Stack([{ name: 'disk', source: new MemorySource(disk) }], { only: true });
  expect((await filesystems(without, without.roots[0])).length).toBe(1);
});

test.skipIf(mountAbsent('xfs') !== undefined)(
  'the groups of an XFS volume begin with copies, and are no volumes',
  async () => {
    const image = join(root, 'xfs.img');
    makeMounted('xfs', image, '64M', []);
    const bytes = fs.readFileSync(image);
    expect(bytes.toString('latin1', 16 * MIB, 16 * MIB + 4)).toBe('XFSB');
    const stack = new Stack([{ name: 'disk', source: new MemorySource(bytes) }], { only: true });
    expect((await filesystems(stack, stack.roots[0])).length).toBe(1);
    expect(await beneath(stack, stack.roots[0])).toEqual([]);
  },
);

test.skipIf(ext2progsAbsent !== undefined)(
  'a superblock in the journal of a live volume is no older volume; the same one in free blocks is one',
  async () => {
    const from = join(root, 'logged');
    writeEntries(from, sampleEntries(6, 5));
    const image = join(root, 'logged.img');
    makeExt(image, '96M', from, ['-t', 'ext4', '-b', '1024', '-J', 'size=4']);
    const blocks = debugfs(image, ['blocks <8>'], false)
      .match(/\b\d+\b/g)!
      .map(Number);
    const start = blocks.find((block) => block % 1024 === 0 && blocks.includes(block + 1))!;
    const bytes = fs.readFileSync(image);
    const logged = Buffer.from(bytes);
    bytes.copy(logged, (start + 1) * 1024, 1024, 2048);
    const stack = new Stack([{ name: 'disk', source: new MemorySource(logged) }], { only: true });
    expect((await filesystems(stack, stack.roots[0])).map(({ locator }) => locator)).toEqual(['disk::ext']);
    expect(await beneath(stack, stack.roots[0])).toEqual([]);
    const free = Buffer.alloc(224 * MIB);
    bytes.copy(free);
    bytes.copy(free, 112 * MIB);
    const two = new Stack([{ name: 'disk', source: new MemorySource(free) }], { only: true });
    expect((await beneath(two, two.roots[0])).map(({ locator }) => locator)).toEqual([
      `disk::lost-guest/at${112 * MIB}::ext`,
    ]);
  },
);
