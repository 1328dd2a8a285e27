/** Files by their content alone: whole ones exactly, and nothing that is not one. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import { Content } from '../src/core/carver.ts';
import { MemorySource } from '../src/core/memory.ts';
import type { Node } from '../src/core/node.ts';
import { carvers } from '../src/formats/file/index.ts';
import { startsIn } from '../src/scan/starts.ts';
import { BROKEN, CARVED, UNCHECKED } from '../src/stack/carve.ts';
import { locate } from '../src/stack/locate.ts';
import { Places } from '../src/stack/places.ts';
import { Stack } from '../src/stack/stack.ts';
import { build, salvor } from './cli/salvor.ts';
import { dice } from './faults/faults.ts';
import { seeded } from './make/content.ts';
import { ext2progsAbsent, makeExt } from './make/ext.ts';
import {
  bmpFile,
  jpegFile,
  mp4File,
  pdfFile,
  pngFile,
  sqliteFile,
  tarFile,
  wavFile,
  words,
  zipFile,
} from './make/files.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-carve-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const UNIT = 4096;
const withSbin = { ...process.env, PATH: `/usr/sbin:/sbin:${process.env.PATH ?? ''}` };
const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const noise = (seed: number, length: number): Buffer => Buffer.from(seeded(seed, length).read(0, length));

/** One file of each kind. */
function filesOf(seed: number): [string, Buffer][] {
  const text = (n: number, length: number): Buffer => words(seed * 100 + n, length);
  const document = text(1, 90_000);
  return [
    ['png', pngFile(seed, 90 + seed, 80)],
    ['jpg', jpegFile(seed, 900 + seed * 37)],
    ['bmp', bmpFile(seed, 101 + seed, 90)],
    ['gz', zlib.gzipSync(text(2, 150_000 + seed))],
    ['zst', zlib.zstdCompressSync(text(3, 200_000), { params: { [zlib.constants.ZSTD_c_checksumFlag]: 1 } })],
    [
      'zip',
      zipFile([
        ['a/b.txt', text(4, 60_000), false],
        ['c.bin', noise(seed, 9000), true],
      ]),
    ],
    [
      'docx',
      zipFile([
        ['[Content_Types].xml', Buffer.from('<Types/>'), false],
        ['word/document.xml', document, false],
        ['word/media/image1.png', pngFile(seed + 50, 40, 40), true],
      ]),
    ],
    [
      'tar',
      tarFile([
        ['one', text(5, 30_001)],
        ['two', text(6, 20_001)],
      ]),
    ],
    ['pdf', pdfFile(seed * 10, 5)],
    ['sqlite', sqliteFile(seed * 10, 300)],
    ['wav', wavFile(seed, 50_000)],
    ['mp4', mp4File(seed, 60_000)],
  ];
}

function filler(roll: (below: number) => number, units: number): Buffer {
  const kind = roll(3);
  if (kind === 0) return Buffer.alloc(units * UNIT);
  return kind === 1 ? noise(roll(1e9), units * UNIT) : words(roll(1e9), units * UNIT);
}

const padded = (data: Buffer): Buffer => Buffer.concat([data, Buffer.alloc((UNIT - (data.length % UNIT)) % UNIT)]);

interface Put {
  readonly kind: string;
  readonly at: number;
  readonly bytes: Buffer;
}

/** Files between fillers: in one piece, in two with something between, and with their second half in front. */
function image(seed: number): { bytes: Buffer; whole: Put[]; pieces: Put[] } {
  const roll = dice(seed);
  const parts: Buffer[] = [filler(roll, 3)];
  let at = parts[0].length;
  const whole: Put[] = [];
  const pieces: Put[] = [];
  const add = (data: Buffer): void => {
    parts.push(data);
    at += data.length;
  };
  for (let n = 1; n <= 6; n++) {
    for (const [kind, bytes] of filesOf(seed * 10 + n)) {
      const cut = UNIT * (1 + roll(Math.max(1, Math.floor(bytes.length / UNIT) - 1)));
      const how = bytes.length < 3 * UNIT ? 0 : n <= 4 ? 0 : n - 4;
      if (how === 0) whole.push({ kind, at, bytes });
      else pieces.push({ kind, at, bytes });
      if (how === 1) {
        add(bytes.subarray(0, cut));
        add(filler(roll, 1 + roll(20)));
        add(padded(bytes.subarray(cut)));
      } else if (how === 2) {
        add(padded(bytes.subarray(cut)));
        add(filler(roll, 4));
        add(padded(bytes.subarray(0, cut)));
      } else add(padded(bytes));
      add(filler(roll, 1 + roll(6)));
    }
  }
  return { bytes: Buffer.concat(parts), whole, pieces };
}

async function listed(folder: Node): Promise<Node[]> {
  const out: Node[] = [];
  for await (const node of folder.children!()) out.push(node);
  return out;
}

async function bytesOf(node: Node): Promise<Uint8Array> {
  const source = await node.bytes!();
  const data = new Uint8Array(source.size);
  expect(await source.read(0, data)).toEqual([]);
  return data;
}

test.each([1, 2, 3])('image %i: every whole file exactly, and nothing else', async (seed) => {
  const { bytes, whole, pieces } = image(seed);
  const stack = new Stack([{ name: 'x', source: new MemorySource(bytes) }], { only: true });
  const folder = (await stack.child(stack.roots[0], CARVED))!;
  const nodes = (await listed(folder)).filter(({ kind }) => kind === 'file');
  const isBare = ({ kind }: Put): boolean => ['wav', 'bmp'].includes(kind);
  const wanted = new Map(whole.filter((put) => !isBare(put)).map((put) => [sha256(put.bytes), put]));
  const wrong: string[] = [];
  for (const node of nodes) {
    const hash = sha256(await bytesOf(node));
    const put = wanted.get(hash);
    if (put === undefined && !whole.some((one) => isBare(one) && sha256(one.bytes) === hash)) wrong.push(node.rawName);
    if (put === undefined) continue;
    expect(node.rawName).toBe(`f${String(put.at).padStart(12, '0')}.${put.kind}`);
    wanted.delete(hash);
  }
  expect([...wanted.values()].map(({ kind, at }) => `${kind} at ${at}`)).toEqual([]);
  expect(wrong, `of ${pieces.length} in pieces`).toEqual([]);
  // Raw sound and pixels can be anything, so these are kept apart; the whole ones are among them, or proved by filling.
  const apart = await listed((await stack.child(folder, UNCHECKED))!);
  const had = new Set(await Promise.all([...apart, ...nodes].map(async (node) => sha256(await bytesOf(node)))));
  for (const put of whole.filter(isBare)) expect(had.has(sha256(put.bytes)), `${put.kind} at ${put.at}`).toBe(true);
  stack.close();
});

test('a file is found by its name alone, and recovered with its grade', async () => {
  build();
  const { bytes, whole } = image(4);
  const file = join(root, 'disk.img');
  fs.writeFileSync(file, bytes);
  const png = whole.find(({ kind }) => kind === 'png')!;
  const name = `f${String(png.at).padStart(12, '0')}.png`;
  const stack = new Stack([file], { only: true });
  const { node } = await locate(stack, `${file}/${CARVED}/${name}`);
  expect(sha256(await bytesOf(node))).toBe(sha256(png.bytes));
  stack.close();
  const out = join(root, 'out');
  const { err } = await salvor('recover', file, '--carve', '--out', out);
  expect(err).not.toContain('salvor:');
  const isBare = ({ kind }: Put): boolean => ['wav', 'bmp'].includes(kind);
  const names = fs.readdirSync(join(out, CARVED)).filter((one) => one !== BROKEN && one !== UNCHECKED);
  expect(names.length).toBeGreaterThanOrEqual(whole.filter((put) => !isBare(put)).length);
  const manifest = JSON.parse(fs.readFileSync(join(out, 'manifest.json'), 'utf8')) as {
    files: { path: string; certainty: { worst: string } }[];
  };
  const worst = (path: string): string | undefined => manifest.files.find((one) => one.path === path)?.certainty.worst;
  expect(worst(`${CARVED}/${name}`)).toBe('inferred');
  const wav = whole.find(({ kind }) => kind === 'wav')!;
  expect(worst(`${CARVED}/${UNCHECKED}/f${String(wav.at).padStart(12, '0')}.wav`)).toBe('guessed');
  expect((await salvor('tree', `${file}/${CARVED}`)).out).toContain(name);
});

test('no carver throws or hangs on what only begins like its files', async () => {
  const roll = dice(9);
  for (const carver of carvers) {
    for (let round = 0; round < 40; round++) {
      const size = 1 + roll(40_000);
      const bytes =
        round % 3 === 0 ? Buffer.alloc(size) : round % 3 === 1 ? noise(roll(1e9), size) : words(roll(1e9), size);
      for (const { offset, bytes: key } of carver.keys)
        bytes.set(key.slice(0, Math.max(0, size - offset)), Math.min(offset, size));
      const found = await carver.examine(new Content(new MemorySource(bytes), 0, carver.most));
      if (found !== undefined) expect(found.length, carver.title).toBeLessThanOrEqual(size);
      if (found?.isProved === true && round % 3 === 1) expect(`${carver.title}: noise is proved`).toBe('');
    }
  }
}, 60_000);

test('one changed byte is never proved', async () => {
  const roll = dice(11);
  for (const [kind, bytes] of filesOf(7)) {
    for (let round = 0; round < 30; round++) {
      const copy = Buffer.from(bytes);
      copy[roll(copy.length)] ^= 1 << roll(8);
      for (const carver of carvers) {
        const begins = carver.keys.some(({ offset, bytes: key }) => key.every((byte, i) => copy[offset + i] === byte));
        const found = begins ? await carver.examine(new Content(new MemorySource(copy), 0, carver.most)) : undefined;
        // Headers are outside of some checksums; what is proved is what the file holds.
        if (found?.isProved === true && found.isWhole && kind === 'png') expect(`${kind}, round ${round}`).toBe('');
      }
    }
  }
});

test.skipIf(ext2progsAbsent !== undefined)(
  'only what no live file has is looked at, unless all is asked for',
  async () => {
    const dir = join(root, 'ext');
    const [kept, lost] = [pngFile(1, 120, 90), pngFile(2, 130, 90)];
    fs.mkdirSync(dir);
    fs.writeFileSync(join(dir, 'kept.png'), kept);
    fs.writeFileSync(join(dir, 'lost.png'), lost);
    const volume = join(root, 'ext.img');
    makeExt(volume, '16M', dir, ['-t', 'ext4', '-b', '1024']);
    execFileSync('debugfs', ['-w', '-R', 'rm /lost.png', volume], { stdio: 'ignore', env: withSbin });
    const disk = join(root, 'parted.img');
    fs.writeFileSync(disk, Buffer.concat([oneLinux(32_768), Buffer.alloc(1024 * 1024 - 512), fs.readFileSync(volume)]));
    for (const [file, inner] of [
      [volume, ''],
      [disk, ''],
      [disk, '::mbr/p1::ext'],
    ]) {
      const names = async (folder: string): Promise<string[]> => {
        const stack = new Stack([file], { only: true });
        const { node } = await locate(stack, `${file}${inner}/${folder}`);
        const out = await Promise.all((await listed(node)).filter(({ kind }) => kind === 'file').map(bytesOf));
        stack.close();
        return out.map(sha256).sort();
      };
      expect(await names('+carved'), `${file}${inner}`).toEqual([sha256(lost)]);
      expect(await names('+carved-all'), `${file}${inner}`).toEqual([sha256(kept), sha256(lost)].sort());
    }
  },
);

test('a million places are kept in columns, in order and by where they begin', () => {
  const places = new Places();
  const facts = { width: 1, height: 2 };
  for (let i = 0; i < 5000; i++)
    places.add({
      at: i * 512,
      carver: i % 7,
      found: { length: i + 1, isWhole: i % 2 === 0, isProved: i % 3 === 0, facts },
    });
  const all = [...places];
  expect(all.length).toBe(5000);
  expect(all[4321]).toEqual({
    at: 4321 * 512,
    carver: 2,
    found: { length: 4322, isWhole: false, isProved: false, facts },
  });
  expect([...places.from(77 * 512)]).toEqual([all[77]]);
  expect([...places.from(3)]).toEqual([]);
});

test('at every byte only where that is asked for', async () => {
  const png = pngFile(3, 80, 80);
  const bytes = Buffer.concat([noise(1, 70_001), png, words(2, 50_000)]);
  const stack = new Stack([{ name: 'x', source: new MemorySource(bytes) }], { only: true });
  const names = async (folder: string): Promise<string[]> =>
    (await listed((await stack.child(stack.roots[0], folder))!)).map(({ rawName }) => rawName);
  expect(await names('+carved')).toEqual([]);
  expect(await names('+carved-any')).toEqual(['f000000070001.png']);
  expect(await stack.child(stack.roots[0], '+carved-none')).toBeUndefined();
  stack.close();
});

test('a name across two windows, and files at their edges', async () => {
  const window = 4 * 1024 * 1024;
  const bytes = Buffer.alloc(2 * window + 100_000);
  const put = [pngFile(4, 60, 60), pngFile(5, 60, 60), tarFile([['one', words(1, 5000)]])];
  const places = [window - 3, 2 * window, 2 * window + 50_001];
  for (const [i, at] of places.entries()) put[i].copy(bytes, at);
  const how = { carvers, everywhere: true, signal: new AbortController().signal };
  const found: number[] = [];
  for await (const { at, carver } of startsIn(new MemorySource(bytes), how))
    if (['png', 'tar'].includes(carver.extension)) found.push(at);
  expect(found).toEqual(places);
});

/** A sector with a partition table of one Linux volume behind the first MiB. */
function oneLinux(sectors: number): Buffer {
  const out = Buffer.alloc(512);
  out[450] = 0x83;
  out.writeUInt32LE(2048, 454);
  out.writeUInt32LE(sectors, 458);
  out.writeUInt16LE(0xaa55, 510);
  return out;
}
