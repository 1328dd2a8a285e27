/** exFAT volumes as mkfs.exfat and exfat-fuse make them: every name, every byte, what was deleted, and damage. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { DATA, INFERRED, RunList, STATED } from '../../src/core/run.ts';
import { exfat } from '../../src/formats/filesystem/exfat/index.ts';
import { bootSector, fileEntry, streamEntry } from '../../src/formats/filesystem/exfat/structs.ts';
import { filesystems } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { dice } from '../faults/faults.ts';
import { seeded } from '../make/content.ts';
import { type ExtEntry, writeEntries } from '../make/ext.ts';
import { exfatAbsent, makeExfat, plainEntries } from '../make/fat.ts';
import { checkFormat } from '../suites/check-format.ts';
import { departures, departuresFrom, type Expected, everything, sha256, weakest, whole } from './volumes.ts';

const CORPUS = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpus', 'images.tar.gz');
const root = fs.mkdtempSync(join(tmpdir(), 'salvor-exfat-test-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const absent = exfatAbsent();
if (absent !== undefined) console.log(`Volumes of exFAT are not made: ${absent}.`);

const bytes = (seed: number, size: number): Uint8Array => seeded(seed, size).read(0, size);
const entries: ExtEntry[] = [...plainEntries(8, 200), { path: 'home/🎉 emoji 𝄞', bytes: bytes(1, 99) }];
const pieces = bytes(500, 1024 * 1024);

/** Two files that grow in turns lie in pieces. */
function fill(dir: string): void {
  writeEntries(dir, entries);
  const files = ['pieces', 'others'].map((name) => fs.openSync(join(dir, name), 'w'));
  for (let at = 0; at < pieces.length; at += 65_536)
    for (const file of files) fs.writeSync(file, pieces, at, 65_536, at);
  for (const file of files) fs.closeSync(file);
}
const expected = [...entries, { path: 'pieces', bytes: pieces }, { path: 'others', bytes: pieces }];

const combinations: readonly [string, string, readonly string[]][] = [
  ['defaults', '64M', []],
  ['clusters of 512 bytes', '32M', ['-c', '512']],
  ['clusters of 32 KiB and a label', '64M', ['-c', '32768', '-L', 'läbel']],
  ['clusters of 128 KiB', '128M', ['-c', '131072']],
  ['a large volume', '3G', []],
];

test.skipIf(absent !== undefined).each(combinations)(
  '%s: all names, all bytes, all stated',
  async (name, size, options) => {
    const image = join(root, `${name.replaceAll(/\W/g, '-')}.img`);
    makeExfat(image, size, options, fill);
    expect(await departures(image, expected)).toEqual([]);
    fs.rmSync(image);
  },
);

test.skipIf(!fs.existsSync(CORPUS))('real volumes are listed and read as others read them', async () => {
  const files = [0, 1].map((i) => `exfat/dsoprea/test-${i}.exfat`);
  const keys = [0, 1].map((i) => `expected/exfat-dsoprea-${i}.json`);
  expect(spawnSync('tar', ['xSzf', CORPUS, '-C', root, ...files, ...keys]).status).toBe(0);
  for (const [i, file] of files.entries()) {
    const stack = new Stack([join(root, file)], { only: true });
    const [top] = await filesystems(stack, stack.roots[0]);
    expect(top.damage, file).toEqual([]);
    const found = await everything(stack, top);
    const list = JSON.parse(fs.readFileSync(join(root, keys[i]), 'utf8')) as Expected[];
    expect(found.size, file).toBe(list.length);
    for (const one of list) {
      const node = found.get(one.path.slice(1));
      expect(await departuresFrom(node, one), file).toEqual([]);
      if (node?.kind === 'file') expect(await weakest(await node.bytes!()), `${file}: ${one.path}`).toBe(STATED);
    }
    stack.close();
  }
});

test.skipIf(absent !== undefined)('what was deleted comes back, inferred', async () => {
  const image = join(root, 'gone.img');
  const gone = Array.from(
    { length: 12 },
    (_, i): ExtEntry => ({ path: `a/b/Gone ${i}`, bytes: bytes(20 + i, 1 + i * 7000) }),
  );
  const all = [...gone, { path: 'lone.bin', bytes: bytes(40, 300_000) }];
  makeExfat(
    image,
    '64M',
    [],
    (dir) => writeEntries(dir, [{ path: 'kept', bytes: bytes(3, 5000) }, ...all]),
    (dir) => {
      fs.rmSync(join(dir, 'a'), { recursive: true });
      fs.rmSync(join(dir, 'lone.bin'));
    },
  );
  const stack = new Stack([image], { only: true });
  const top = (await stack.inside(stack.roots[0]))!;
  const found = await everything(stack, (await stack.child(top, '+deleted'))!);
  for (const { path, bytes: content } of all) {
    const node = found.get(path);
    expect(node?.state, path).toBe('deleted');
    const source = await node!.bytes!();
    expect(sha256(await whole(source)), path).toBe(sha256(content!));
    expect(await weakest(source), path).toBeLessThanOrEqual(INFERRED);
  }
  stack.close();
});

/** Which sectors of an image hold bytes of files. */
async function dataOf(image: string): Promise<Uint8Array> {
  const stack = new Stack([image], { only: true });
  const out = new Uint8Array(Math.ceil(fs.statSync(image).size / 512));
  const list = new RunList();
  for (const node of (await everything(stack, (await stack.inside(stack.roots[0]))!)).values()) {
    const source = node.kind === 'file' ? await node.bytes!() : undefined;
    for (let at = 0; source !== undefined && at < source.size; ) {
      list.clear();
      at = await source.runs(at, source.size, list);
      for (let i = 0; i < list.n; i++)
        if (list.state(i) === DATA)
          out.fill(1, Math.floor(list.at[i] / 512), Math.ceil((list.at[i] + list.length[i]) / 512));
    }
  }
  stack.close();
  return out;
}

test.skipIf(absent !== undefined)('a directory that lost a cluster shows what lies behind it, in doubt', async () => {
  const image = join(root, 'hole.img');
  const files = Array.from({ length: 90 }, (_, i): ExtEntry => ({ path: `folder/file-${i}`, bytes: bytes(i, 700) }));
  makeExfat(image, '32M', ['-c', '512'], (dir) => writeEntries(dir, files));
  const raw = fs.readFileSync(image);
  const entry = raw.indexOf(Buffer.from('file-40', 'utf16le'));
  expect(entry).toBeGreaterThan(0);
  raw.fill(0, entry - (entry % 512), entry - (entry % 512) + 512);
  const stack = new Stack([{ name: 'x', source: new MemorySource(raw) }]);
  const left = await everything(stack, (await stack.inside(stack.roots[0]))!);
  expect(left.get('folder')!.damage.map(({ code }) => code)).toContain('exfat.directory.end');
  expect(left.size).toBeGreaterThan(84);
  expect(left.get('folder/file-89')!.state).toBe('live');
  expect(await weakest(await left.get('folder/file-89')!.bytes!())).toBe(INFERRED);
  stack.close();
});

test.skipIf(absent !== undefined)('nothing stated is wrong after damage', async () => {
  const image = join(root, 'damaged.img');
  makeExfat(image, '8M', ['-c', '512'], fill);
  const sound = fs.readFileSync(image);
  const truth = new Map(expected.map((one) => [one.path, one]));
  const isData = await dataOf(image);
  const head = bootSector.decode(sound);
  const tableEnd = head.tableAt * 512 + (head.clusters + 2) * 4;
  const heapAt = head.heapAt * 512;
  const roll = dice(31);
  for (let round = 0; round < 60; round++) {
    const copy = Buffer.from(sound);
    for (let n = 0; n < 5; n++) {
      const places = [64 + roll(60), head.tableAt * 512 + roll(tableEnd - head.tableAt * 512), heapAt + roll(100_000)];
      const at = places[roll(6) === 0 ? 0 : 1 + roll(2)];
      const length = roll(2) === 0 ? 1 : 1 + roll(400);
      const value = roll(256);
      for (let i = at; i < at + length; i++)
        if (isData[i >>> 9] === 0) copy[i] = length === 1 ? copy[i] ^ (1 << roll(8)) : value;
    }
    const stack = new Stack([{ name: 'x', source: new MemorySource(copy) }], { only: true });
    const top = await stack.inside(stack.roots[0]);
    for (const [path, node] of top?.kind === 'filesystem' ? await everything(stack, top) : []) {
      const put = truth.get(path)?.bytes;
      if (put === undefined || node.bytes === undefined) continue;
      const source = await node.bytes();
      if ((await weakest(source)) < STATED || node.damage.length > 0) continue;
      expect(sha256(await whole(source)) === sha256(put), `round ${round}, ${path}`).toBe(true);
    }
    stack.close();
  }
});

test.skipIf(absent !== undefined)(
  'a boot region that is lost is read by its copy, with all that is stated',
  async () => {
    const image = join(root, 'headless.img');
    makeExfat(image, '16M', [], (dir) => writeEntries(dir, entries));
    const copy = fs.readFileSync(image);
    copy.fill(0, 0, 6144);
    const stack = new Stack([{ name: 'x', source: new MemorySource(copy) }], { only: true });
    const top = (await stack.inside(stack.roots[0]))!;
    expect(top.damage.map(({ code }) => code)).toEqual(['exfat.boot']);
    const found = await everything(stack, top);
    for (const { path, bytes: content } of entries)
      expect(sha256(await whole(await found.get(path)!.bytes!())), path).toBe(sha256(content!));
    stack.close();
  },
);

/** Sums a boot region anew. */
function resum(image: Buffer): void {
  let sum = 0;
  for (let i = 0; i < 11 * 512; i++)
    if (i !== 106 && i !== 107 && i !== 112) sum = ((((sum & 1) << 31) | (sum >>> 1)) + image[i]) >>> 0;
  for (let i = 0; i < 512; i += 4) image.writeUInt32LE(sum, 11 * 512 + i);
}

test.skipIf(absent !== undefined)(
  'a volume that says it has four billion clusters takes no room for them',
  async () => {
    const image = join(root, 'many.img');
    makeExfat(image, '8M', ['-c', '512'], fill);
    const copy = fs.readFileSync(image);
    copy.writeUInt32LE(2 ** 26, 84);
    copy.writeUInt32LE(0xfffffff5, 92);
    resum(copy);
    const before = process.memoryUsage().arrayBuffers;
    const stack = new Stack([{ name: 'x', source: new MemorySource(copy) }], { only: true });
    const top = (await stack.inside(stack.roots[0]))!;
    expect(top.facts.details?.clusters).toBe(0xfffffff5);
    const found = await everything(stack, top);
    for (const { path, bytes: content } of expected)
      expect(sha256(await whole(await found.get(path)!.bytes!())), path).toBe(sha256(content!));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(128 * 1024 * 1024);
    stack.close();
  },
);

if (absent === undefined) {
  const image = join(root, 'suite.img');
  makeExfat(image, '8M', ['-c', '512'], (dir) =>
    writeEntries(dir, [
      { path: 'a', bytes: bytes(1, 10) },
      { path: 'b/c', bytes: bytes(2, 9000) },
    ]),
  );
  const head = bootSector.decode(fs.readFileSync(image));
  const rootAt = head.heapAt * 512 + (head.root - 2) * 512;
  checkFormat(exfat, {
    fixtures: [{ name: 'exFAT', source: new MemorySource(fs.readFileSync(image)), children: ['a', 'b'] }],
    others: [{ name: 'noise', source: new MemorySource(bytes(9, 2 * 1024 * 1024)) }],
    tables: [
      { at: 0, table: bootSector },
      { at: rootAt + 96, table: fileEntry },
      { at: rootAt + 128, table: streamEntry },
    ],
  });
}
