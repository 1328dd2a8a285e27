/** FAT volumes as mkfs.fat and mtools make them: every name, every byte, what is stated, what was deleted, and damage. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { INFERRED, STATED } from '../../src/core/run.ts';
import { Seen } from '../../src/formats/filesystem/fat/chain.ts';
import { fat } from '../../src/formats/filesystem/fat/index.ts';
import { bootSector, entryStruct } from '../../src/formats/filesystem/fat/structs.ts';
import { filesystems } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { dice } from '../faults/faults.ts';
import { seeded } from '../make/content.ts';
import type { ExtEntry } from '../make/ext.ts';
import { addToFat, deleteFromFat, makeFat, plainEntries, toolsAbsent } from '../make/fat.ts';
import { checkFormat } from '../suites/check-format.ts';
import { departures, departuresFrom, type Expected, everything, sha256, weakest, whole } from './volumes.ts';

const CORPUS = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpus', 'images.tar.gz');
const root = fs.mkdtempSync(join(tmpdir(), 'salvor-fat-test-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const absent = toolsAbsent('mkfs.fat', 'mcopy', 'mdeltree');
if (absent !== undefined) console.log(`Volumes of FAT are not made: ${absent}.`);

const bytes = (seed: number, size: number): Uint8Array => seeded(seed, size).read(0, size);
const entries = plainEntries(5, 200);
/** What fits on a floppy with clusters of 512 bytes. */
const few = plainEntries(5, 30);

const combinations: readonly [string, string, readonly string[], readonly ExtEntry[]][] = [
  ['FAT12 on a floppy', '1440K', ['-F', '12'], few],
  ['FAT12 with clusters of 4 KiB', '8M', ['-F', '12', '-s', '8'], entries],
  ['FAT12 with one table', '4M', ['-F', '12', '-f', '1'], few],
  ['FAT16', '32M', ['-F', '16'], entries],
  ['FAT16 with clusters of 512 bytes', '16M', ['-F', '16', '-s', '1'], entries],
  ['FAT16 with clusters of 16 KiB', '128M', ['-F', '16', '-s', '32'], entries],
  ['FAT16 with 1024 entries in the root and a label', '32M', ['-F', '16', '-r', '1024', '-n', 'SOME LABEL'], entries],
  ['FAT16 with three tables', '32M', ['-F', '16', '-f', '3'], entries],
  ['FAT32', '64M', ['-F', '32'], entries],
  ['FAT32 with clusters of 512 bytes', '40M', ['-F', '32', '-s', '1'], entries],
  ['FAT32 with clusters of 32 KiB', '2300M', ['-F', '32', '-s', '64'], few],
  ['FAT32 with one table', '64M', ['-F', '32', '-f', '1'], few],
  ['FAT32 with sectors of 4 KiB', '600M', ['-F', '32', '-S', '4096', '-s', '1'], few],
  ['FAT32 with the copy at 12', '64M', ['-F', '32', '-b', '12', '-R', '32'], few],
];

test('clusters that were seen are known again, and one that there is no room for comes to an end', () => {
  const seen = new Seen(2);
  const clusters = [2, 3, 32_767, 32_768, 65_535];
  expect(clusters.map((one) => seen.add(one))).toEqual(clusters.map(() => false));
  expect(clusters.map((one) => seen.add(one))).toEqual(clusters.map(() => true));
  expect(seen.add(65_536)).toBe(true);
  expect(seen.add(4)).toBe(false);
});

test.skipIf(absent !== undefined).each(combinations)(
  '%s: all names, all bytes, all stated',
  async (name, size, options, put) => {
    const image = join(root, `${name.replaceAll(/\W/g, '-')}.img`);
    makeFat(image, size, options, put);
    expect(await departures(image, put)).toEqual([]);
    fs.rmSync(image);
  },
);

test.skipIf(absent !== undefined).each(combinations.filter(([name]) => !/one table|2300|32 KiB/.test(name)))(
  '%s, without its boot sectors: all names, all bytes, all inferred',
  async (name, size, options, put) => {
    const image = join(root, `lost-${name.replaceAll(/\W/g, '-')}.img`);
    makeFat(image, size, options, put);
    const all = fs.readFileSync(image);
    fs.rmSync(image);
    const sector = all.readUInt16LE(0x0b);
    all.fill(0, 0, sector * all.readUInt16LE(0x0e));
    const stack = new Stack([{ name: 'x', source: new MemorySource(all) }], { only: true });
    const top = (await stack.inside(stack.roots[0]))!;
    expect(top.damage.map(({ code }) => code)).toEqual(['fat.boot.lost']);
    const found = await everything(stack, top);
    for (const { path, bytes: content } of put) {
      const source = await found.get(path)!.bytes!();
      expect(sha256(await whole(source)), path).toBe(sha256(content!));
      if (source.size > 0) expect(await weakest(source), path).toBe(INFERRED);
    }
    stack.close();
  },
);

test.skipIf(absent !== undefined)('files in pieces are read in order', async () => {
  const image = join(root, 'pieces.img');
  const small = Array.from({ length: 300 }, (_, i): ExtEntry => ({ path: `small${i}`, bytes: bytes(i, 600) }));
  makeFat(image, '20M', ['-F', '16', '-s', '1', '-r', '2048'], small);
  deleteFromFat(
    image,
    small.filter((_, i) => i % 2 === 0).map(({ path }) => path),
  );
  const large: ExtEntry = { path: 'large', bytes: bytes(999, 400_000) };
  addToFat(image, [large]);
  expect(await departures(image, [large, ...small.filter((_, i) => i % 2 === 1)])).toEqual([]);
});

test.skipIf(absent !== undefined)('a directory that lost a cluster shows what lies behind it, in doubt', async () => {
  const image = join(root, 'hole.img');
  const files = Array.from({ length: 90 }, (_, i): ExtEntry => ({ path: `folder/file${i}`, bytes: bytes(i, 700) }));
  makeFat(image, '20M', ['-F', '16', '-s', '1'], files);
  const open = async () => {
    const stack = new Stack([new MemorySource(fs.readFileSync(image))].map((source) => ({ name: 'x', source })));
    const found = await everything(stack, (await stack.inside(stack.roots[0]))!);
    stack.close();
    return found;
  };
  const whole = await open();
  expect(whole.get('folder')!.damage).toEqual([]);
  const raw = fs.readFileSync(image);
  const entry = raw.indexOf('FILE40');
  expect(entry).toBeGreaterThan(0);
  raw.fill(0, entry - (entry % 512), entry - (entry % 512) + 512);
  fs.writeFileSync(image, raw);
  const left = await open();
  expect(left.get('folder')!.damage.map(({ code }) => code)).toContain('fat.directory.end');
  expect(left.size).toBeGreaterThan(whole.size - 18);
  expect(left.get('folder/file89')!.state).toBe('live');
  expect(await weakest(await left.get('folder/file89')!.bytes!())).toBe(INFERRED);
});

const REAL = ['rustfatfs-fat12', 'rustfatfs-fat16', 'rustfatfs-floppy', 'dfvfs-fat12', 'velocidex-fat12'];
const FILES = [
  'rust-fatfs/fat12.img',
  'rust-fatfs/fat16.img',
  'rust-fatfs/floppy.img',
  'dfvfs/fat12.raw',
  'velocidex/fat12.dd',
];

test.skipIf(!fs.existsSync(CORPUS))('real volumes are listed and read as others read them', async () => {
  const files = FILES.map((file) => `fat/${file}`);
  const keys = REAL.map((key) => `expected/fat-${key}.json`);
  expect(spawnSync('tar', ['xSzf', CORPUS, '-C', root, ...files, ...keys]).status).toBe(0);
  for (const [i, file] of files.entries()) {
    const stack = new Stack([join(root, file)], { only: true });
    const [top] = await filesystems(stack, stack.roots[0]);
    expect(top.damage, file).toEqual([]);
    const found = await everything(stack, top);
    const all = JSON.parse(fs.readFileSync(join(root, keys[i]), 'utf8')) as Expected[];
    const list = all.filter(({ path }) => !path.includes('(Volume Label Entry)'));
    expect(found.size, file).toBe(list.length);
    for (const one of list) {
      const node = found.get(one.path.slice(1));
      expect(await departuresFrom(node, one), file).toEqual([]);
      if (node?.kind === 'file') expect(await weakest(await node.bytes!()), `${file}: ${one.path}`).toBe(STATED);
    }
    stack.close();
  }
});

const GONE: readonly ExtEntry[] = [
  ...Array.from({ length: 10 }, (_, i) => ({
    path: `folder/Deleted file ${i}.txt`,
    bytes: bytes(50 + i, 1 + i * 3000),
  })),
  { path: 'folder/inner/below.dat', bytes: bytes(70, 5000) },
  { path: 'A long name in the root', bytes: bytes(71, 100_000) },
  { path: 'SHORT.BIN', bytes: bytes(72, 2000) },
];

/** Names without a long one, whose first character is lost. */
const LOST_FIRST: Readonly<Record<string, string>> = {
  'SHORT.BIN': '_HORT.BIN',
  'folder/inner/below.dat': '_older/_nner/_elow.dat',
};

test.skipIf(absent !== undefined).each(['12', '16', '32'])('FAT%s: what was deleted comes back', async (kind) => {
  const image = join(root, `gone${kind}.img`);
  const keep: ExtEntry[] = [{ path: 'kept', bytes: bytes(80, 3000) }];
  makeFat(image, kind === '12' ? '4M' : '64M', ['-F', kind], keep);
  addToFat(image, GONE);
  deleteFromFat(image, ['folder'], 'mdeltree');
  deleteFromFat(image, ['A long name in the root', 'SHORT.BIN']);
  const stack = new Stack([image], { only: true });
  const top = (await stack.inside(stack.roots[0]))!;
  const found = await everything(stack, (await stack.child(top, '+deleted'))!);
  for (const { path, bytes: content } of GONE) {
    const node = found.get(LOST_FIRST[path] ?? path.replace('folder/', '_older/'));
    expect(node?.state, path).toBe('deleted');
    const source = await node!.bytes!();
    expect(sha256(await whole(source)), path).toBe(sha256(content!));
    expect(await weakest(source), path).toBeLessThanOrEqual(INFERRED);
  }
  stack.close();
});

test.skipIf(absent !== undefined)('what live files took of a deleted one is missing', async () => {
  const image = join(root, 'taken.img');
  const old: ExtEntry = { path: 'old file', bytes: bytes(90, 8192) };
  makeFat(image, '4M', ['-F', '12', '-s', '4'], [old]);
  deleteFromFat(image, ['old file']);
  const fd = fs.readFileSync(image);
  const table = 512;
  // Its second cluster, number 3, is another file's now: the last of a chain in both tables.
  const copies = [table, table + fd.readUInt16LE(0x16) * 512];
  for (const copy of copies) fd[copy + 4] |= 0xf0;
  for (const copy of copies) fd[copy + 5] = 0xff;
  fs.writeFileSync(image, fd);
  const stack = new Stack([image], { only: true });
  const top = (await stack.inside(stack.roots[0]))!;
  const found = await everything(stack, (await stack.child(top, '+deleted'))!);
  const source = await found.get('old file')!.bytes!();
  const gaps = await source.read(0, new Uint8Array(source.size));
  expect(gaps.map(({ offset, length, code }) => [offset, length, code])).toEqual([[2048, 2048, 'fat.cluster-reused']]);
  stack.close();
});

/** Files of a damaged volume that look undoubted and are not what was put there. */
async function lies(image: Uint8Array, truth: ReadonlyMap<string, ExtEntry>): Promise<string[]> {
  const out: string[] = [];
  const stack = new Stack([{ name: 'x', source: new MemorySource(image) }], { only: true });
  const top = await stack.inside(stack.roots[0]);
  for (const [path, node] of top?.kind === 'filesystem' ? await everything(stack, top) : []) {
    const put = truth.get(path)?.bytes;
    if (put === undefined || node.bytes === undefined) continue;
    const source = await node.bytes();
    if ((await weakest(source)) < STATED || node.damage.length > 0 || source.size === 0) continue;
    const data = new Uint8Array(source.size);
    const gaps = await source.read(0, data);
    if (gaps.length > 0) continue;
    // A size says how much of the last cluster belongs to a file, and nothing else does.
    const shared = Math.min(put.length, data.length);
    const isSame = sha256(data.subarray(0, shared)) === sha256(put.subarray(0, shared));
    if (!isSame || Math.ceil(put.length / 2048) !== Math.ceil(data.length / 2048)) out.push(path);
  }
  stack.close();
  return out;
}

test.skipIf(absent !== undefined).each(['12', '16', '32'])(
  'FAT%s: nothing stated is wrong after damage',
  async (kind) => {
    const image = join(root, `damaged${kind}.img`);
    const put = plainEntries(6, 60);
    makeFat(image, kind === '12' ? '4M' : kind === '16' ? '12M' : '140M', ['-F', kind, '-s', '4'], put);
    const sound = fs.readFileSync(image).subarray(0, 12 * 1024 * 1024);
    const truth = new Map(put.map((one) => [one.path, one]));
    expect(await lies(sound, truth)).toEqual([]);
    const reserved = sound.readUInt16LE(0x0e) * 512;
    const tables = (sound.readUInt16LE(0x16) || sound.readUInt32LE(0x24)) * 1024;
    const roll = dice(40 + Number(kind));
    for (let round = 0; round < 70; round++) {
      const copy = Buffer.from(sound);
      for (let n = 0; n < 3; n++) {
        // The boot sector's fields, the used start of both tables, and the root directory.
        const copyAt = reserved + roll(2) * (tables / 2);
        const places = [11 + roll(40), copyAt + roll(1000), reserved + tables + roll(512)];
        const at = places[roll(6) === 0 ? 0 : 1 + roll(2)];
        const length = roll(2) === 0 ? 1 : 1 + roll(300);
        const value = roll(256);
        for (let i = at; i < at + length; i++) copy[i] = length === 1 ? copy[i] ^ (1 << roll(8)) : value;
      }
      expect(await lies(copy, truth), `round ${round}`).toEqual([]);
    }
  },
);

test.skipIf(absent !== undefined)(
  'a boot sector that is lost is read by its copy, and one table by the other',
  async () => {
    const image = join(root, 'headless.img');
    const put = plainEntries(7, 20);
    makeFat(image, '64M', ['-F', '32'], put);
    const sound = fs.readFileSync(image);
    const reserved = sound.readUInt16LE(0x0e) * 512;
    const size = sound.readUInt32LE(0x24) * 512;
    for (const [from, length] of [
      [0, 512],
      [reserved, size],
      [reserved + size, size],
    ]) {
      const copy = Buffer.from(sound);
      copy.fill(0, from, from + length);
      const stack = new Stack([{ name: 'x', source: new MemorySource(copy) }], { only: true });
      const top = (await stack.inside(stack.roots[0]))!;
      const found = await everything(stack, top);
      for (const { path, bytes: content } of put) {
        const source = await found.get(path)!.bytes!();
        expect(sha256(await whole(source)), path).toBe(sha256(content!));
        if (content!.length > 0) expect(await weakest(source), path).toBe(INFERRED);
      }
      stack.close();
    }
  },
);

if (absent === undefined) {
  const image = join(root, 'suite.img');
  makeFat(
    image,
    '40M',
    ['-F', '32', '-s', '1'],
    [
      { path: 'a', bytes: bytes(1, 10) },
      { path: 'b/c', bytes: bytes(2, 9000) },
    ],
  );
  checkFormat(fat, {
    fixtures: [{ name: 'FAT32', source: new MemorySource(fs.readFileSync(image)), children: ['a', 'b'] }],
    others: [
      { name: 'noise', source: new MemorySource(bytes(9, 2 * 1024 * 1024)) },
      { name: 'zeros', source: new MemorySource(new Uint8Array(1024 * 1024)) },
    ],
    tables: [
      { at: 0, table: bootSector },
      { at: fatRoot(image), table: entryStruct },
      { at: fatRoot(image) + 32, table: entryStruct },
    ],
  });
}

/** Byte of the root directory of a FAT32 volume: its first cluster. */
function fatRoot(image: string): number {
  const head = fs.readFileSync(image).subarray(0, 512);
  return (head.readUInt16LE(0x0e) + head[0x10] * head.readUInt32LE(0x24)) * 512;
}
