/** XFS volumes as Linux makes them: every name, every byte, what is stated, what was deleted, and damage. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { crc32c } from '../../src/codec/crc32c.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { INFERRED, STATED } from '../../src/core/run.ts';
import { xfs } from '../../src/formats/filesystem/xfs/index.ts';
import { agFree, agInodes, inodeCore, superBlock } from '../../src/formats/filesystem/xfs/structs.ts';
import { filesystems } from '../../src/stack/home.ts';
import { locate } from '../../src/stack/locate.ts';
import { Stack } from '../../src/stack/stack.ts';
import { dice } from '../faults/faults.ts';
import { seeded } from '../make/content.ts';
import { type ExtEntry, sampleEntries, writeEntries } from '../make/ext.ts';
import { makeMounted, mountAbsent } from '../make/mounted.ts';
import { checkFormat } from '../suites/check-format.ts';
import { dataOf, departures, departuresFrom, type Expected, everything, sha256, weakest, whole } from './volumes.ts';

const CORPUS = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpus', 'images.tar.gz');
const root = fs.mkdtempSync(join(tmpdir(), 'salvor-xfs-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const absent = mountAbsent('xfs');
if (absent !== undefined) console.log(`Volumes of XFS are not made: ${absent}.`);

const bytes = (seed: number, size: number): Uint8Array => seeded(seed, size).read(0, size);

/** Beside the sample: a file in hundreds of pieces, one that was set aside and not written, and many links. */
function fill(dir: string): void {
  writeEntries(dir, entries);
  const file = fs.openSync(join(dir, 'pieces'), 'w');
  for (let at = 0; at < pieces.length; at += 8192) fs.writeSync(file, pieces, at, 4096, at);
  fs.ftruncateSync(file, pieces.length);
  fs.closeSync(file);
  spawnSync('fallocate', ['-l', '1M', join(dir, 'unwritten')]);
}
const pieces = bytes(500, 4 * 1024 * 1024);
for (let at = 4096; at < pieces.length; at += 8192) pieces.fill(0, at, at + 4096);
const entries: ExtEntry[] = sampleEntries(3, 700);
const expected: ExtEntry[] = [
  ...entries,
  { path: 'pieces', bytes: pieces },
  { path: 'unwritten', bytes: new Uint8Array(1024 * 1024) },
];

const combinations: readonly [string, readonly string[]][] = [
  ['defaults', []],
  ['blocks of 1 KiB', ['-b', 'size=1024']],
  ['blocks of 2 KiB, inodes of 512', ['-b', 'size=2048', '-i', 'size=512']],
  ['inodes of 2 KiB', ['-i', 'size=2048']],
  ['inodes of 1 KiB', ['-i', 'size=1024']],
  ['directories of 16 KiB', ['-n', 'size=16384']],
  ['directories of 8 KiB in blocks of 1 KiB', ['-b', 'size=1024', '-n', 'size=8192']],
  ['version 4', ['-m', 'crc=0']],
  ['version 4, inodes of 256, without types', ['-m', 'crc=0', '-i', 'size=256', '-n', 'ftype=0']],
  ['version 4, blocks of 1 KiB', ['-m', 'crc=0', '-b', 'size=1024']],
  ['sectors of 4 KiB', ['-s', 'size=4096']],
  ['without bigtime', ['-m', 'bigtime=0,inobtcount=0']],
  ['without reflink and finobt', ['-m', 'reflink=0,finobt=0']],
  ['rmapbt', ['-m', 'rmapbt=1']],
  ['without sparse inodes', ['-i', 'sparse=0']],
  ['many AGs', ['-d', 'agcount=13']],
  ['a label', ['-L', 'some label']],
];

test.skipIf(absent !== undefined).each(combinations)('%s: all names, all bytes, all stated', async (name, options) => {
  const image = join(root, `${name.replaceAll(/\W/g, '-')}.img`);
  try {
    makeMounted('xfs', image, /AGs/.test(name) ? '2G' : '320M', options, fill);
  } catch (error) {
    // Newer kernels do not mount all that mkfs can still make.
    if (!/version 4|types/.test(name)) throw error;
    console.log(`XFS, ${name}: this kernel does not mount it.`);
    return;
  }
  expect(await departures(image, expected)).toEqual([]);
  fs.rmSync(image);
});

const REAL = ['dfvfs', 'xfuse-xfs4096', 'xfuse-xfs_4kn', 'xfuse-xfs_noftype', 'xfuse-xfs_preallocated'];

test.skipIf(!fs.existsSync(CORPUS))(
  'real volumes are listed and read as Linux reads them',
  async () => {
    const files = REAL.map((one) => (one === 'dfvfs' ? 'xfs/dfvfs/xfs.raw' : `xfs/${one.replace('-', '/')}.img`));
    const names = [
      ...files,
      ...REAL.map((one) => `expected/xfs-${one}.json`),
      'vhdx/discutils/xfs5.vhdx',
      'expected/vhdx-discutils-xfs5.json',
    ];
    expect(spawnSync('tar', ['xSzf', CORPUS, '-C', root, ...names]).status).toBe(0);
    const all = [
      ...REAL.map((one, i) => [files[i], `xfs-${one}`]),
      ['vhdx/discutils/xfs5.vhdx', 'vhdx-discutils-xfs5'],
    ];
    for (const [file, key] of all) {
      const stack = new Stack([join(root, file)], { only: true });
      const [top] = await filesystems(stack, stack.roots[0]);
      expect(top.damage, file).toEqual([]);
      const found = await everything(stack, top);
      const list = JSON.parse(fs.readFileSync(join(root, `expected/${key}.json`), 'utf8')) as Expected[];
      expect(found.size, file).toBe(list.length);
      for (const one of list) expect(await departuresFrom(found.get(one.path.slice(1)), one), file).toEqual([]);
      stack.close();
    }
  },
  60_000,
);

const GONE: ExtEntry[] = Array.from({ length: 18 }, (_, i) => ({
  path: `gone/g${i}`,
  bytes: bytes(600 + i, 3 + i * 7919),
}));
const NAMED: ExtEntry[] = Array.from({ length: 12 }, (_, i) => ({
  path: `many/n${i}`,
  bytes: bytes(700 + i, 5000 + i),
}));

test.skipIf(absent !== undefined)('what was deleted comes back with names and sizes', async () => {
  const image = join(root, 'deleted.img');
  const keep = Array.from({ length: 300 }, (_, i): ExtEntry => ({ path: `many/keep${i}`, bytes: bytes(800 + i, 9) }));
  makeMounted(
    'xfs',
    image,
    '320M',
    [],
    (dir) => writeEntries(dir, [...GONE, ...NAMED, ...keep]),
    (dir) => {
      for (const { path } of [...GONE, ...NAMED]) fs.rmSync(join(dir, path));
    },
  );
  const stack = new Stack([image], { only: true });
  const top = (await stack.inside(stack.roots[0]))!;
  const found = await everything(stack, (await stack.child(top, '+deleted'))!);
  let exact = 0;
  for (const { path, bytes: content } of [...GONE, ...NAMED]) {
    const node = found.get(path);
    if (node === undefined) continue;
    expect(node.state).toBe('deleted');
    const source = await node.bytes!();
    expect(await weakest(source), path).toBeLessThanOrEqual(INFERRED);
    if (sha256(await whole(source)) === sha256(content!)) exact++;
  }
  // Nothing was written over; one file fits into nothing that is kept.
  expect(exact).toBeGreaterThanOrEqual(29);
  stack.close();
});

test.skipIf(absent !== undefined)(
  'damage is named, and nothing stated is wrong',
  async () => {
    const image = join(root, 'damaged.img');
    makeMounted('xfs', image, '320M', ['-b', 'size=1024'], fill);
    const sound = fs.readFileSync(image);
    const truth = new Map(expected.map((one) => [one.path, one]));
    const isData = await dataOf(image);
    const roll = dice(77);
    for (let round = 0; round < 25; round++) {
      const before: [number, number][] = [];
      // Metadata lies at the start of AGs, and inodes in the first megabytes.
      for (let n = 0; n < 6; n++) {
        const ag = roll(4) * 80 * 1024 * 1024;
        const at = ag + roll(512 * 1024);
        const length = roll(2) === 0 ? 1 : 1 + roll(2000);
        const value = roll(256);
        // What files hold carries no sums, so that is left alone.
        for (let i = at; i < at + length; i++) {
          if (isData[i >>> 10] !== 0) continue;
          before.push([i, sound[i]]);
          sound[i] = length === 1 ? sound[i] ^ 1 : value;
        }
      }
      const stack = new Stack([{ name: 'x', source: new MemorySource(sound) }], { only: true });
      const top = await stack.inside(stack.roots[0]);
      const found = top?.kind === 'filesystem' ? await everything(stack, top) : [];
      for (const [path, node] of found) {
        const put = truth.get(path);
        if (put?.bytes === undefined || node.bytes === undefined) continue;
        const source = await node.bytes();
        const data = new Uint8Array(source.size);
        const gaps = await source.read(0, data);
        if (gaps.length > 0 || (await weakest(source)) < STATED || node.damage.length > 0) continue;
        expect(sha256(data) === sha256(put.bytes), `round ${round}, ${path}`).toBe(true);
      }
      stack.close();
      for (const [i, byte] of before.toReversed()) sound[i] = byte;
    }
  },
  60_000,
);

test.skipIf(absent !== undefined)('a volume without its first superblock is read by a copy, inferred', async () => {
  const image = join(root, 'headless.img');
  makeMounted('xfs', image, '320M', [], (dir) => writeEntries(dir, sampleEntries(4, 3)));
  const file = fs.openSync(image, 'r+');
  fs.writeSync(file, new Uint8Array(4096), 0, 4096, 0);
  fs.closeSync(file);
  const stack = new Stack([image], { only: true });
  const { node } = await locate(stack, `${image}::xfs/large`);
  const source = await node.bytes!();
  expect(sha256(await whole(source))).toBe(sha256(sampleEntries(4, 3).find(({ path }) => path === 'large')!.bytes!));
  expect(await weakest(source)).toBe(INFERRED);
  stack.close();
});

test.skipIf(absent !== undefined)('a volume under repair, or of a newer kind, is inferred', async () => {
  const image = join(root, 'features.img');
  makeMounted('xfs', image, '100M', [], (dir) => writeEntries(dir, [{ path: 'a', bytes: bytes(1, 9000) }]));
  const sound = fs.readFileSync(image);
  for (const [bit, codes] of [
    [0, []],
    [0x10, ['xfs.repair']],
    [0x40000, ['xfs.feature']],
  ] as const) {
    const copy = Buffer.from(sound);
    copy.writeUInt32BE(copy.readUInt32BE(216) | bit, 216);
    copy.writeUInt32LE(crc32c(copy.subarray(0, 512), 224), 224);
    const stack = new Stack([{ name: 'x', source: new MemorySource(copy) }], { only: true });
    const top = (await stack.inside(stack.roots[0]))!;
    expect(top.damage.map(({ code }) => code)).toEqual(codes);
    const source = await (await stack.child(top, 'a'))!.bytes!();
    expect(await weakest(source)).toBe(bit === 0 ? STATED : INFERRED);
    stack.close();
  }
});

if (absent === undefined) {
  const image = join(root, 'suite.img');
  makeMounted('xfs', image, '300M', ['-d', 'agcount=2'], (dir) =>
    writeEntries(dir, [
      { path: 'a', bytes: bytes(1, 10) },
      { path: 'b/c', bytes: bytes(2, 9000) },
    ]),
  );
  // Only its first part is of interest; what is missing behind it is damage.
  const small = join(root, 'small.img');
  fs.copyFileSync(image, small);
  checkFormat(xfs, {
    fixtures: [{ name: 'two AGs', source: new MemorySource(fs.readFileSync(small)), children: ['a', 'b'] }],
    others: [{ name: 'noise', source: new MemorySource(bytes(9, 2 * 1024 * 1024)) }],
    tables: [
      { at: 0, table: superBlock },
      { at: 512, table: agFree },
      { at: 1024, table: agInodes },
      { at: 65_536, table: inodeCore },
    ],
  });
}
