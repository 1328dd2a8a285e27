/** Apple disk images with chunks of every kind, read beside qemu-img, damaged, and without their trailer. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Damage } from '../../src/core/damage.ts';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { INFERRED, RunList } from '../../src/core/run.ts';
import { dmg } from '../../src/formats/disk/dmg/index.ts';
import { trailer } from '../../src/formats/disk/dmg/structs.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { disk } from '../make/disk/content.ts';
import { hasBzip2, hasXz, makeDmg, type Packing } from '../make/disk/dmg.ts';
import { makeVhd } from '../make/disk/vhd.ts';
import { checkFormat } from '../suites/check-format.ts';

const KIB = 1024;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
/** Bytes that pack: words of few letters with runs between them, and noise. */
function content(seed: number, size: number): Uint8Array {
  const bytes = seeded(seed, size).read(0, size).slice();
  for (let i = 0; i < size; i++) {
    if (((i >> 9) & 3) === 0) bytes[i] = 0x20;
    else if (((i >> 9) & 3) === 1) bytes[i] = 0x61 + (bytes[i] & 3);
  }
  return bytes;
}

const kinds: Packing[] = [
  'zlib',
  'raw',
  'adc',
  ...(hasBzip2 ? (['bzip2'] as const) : []),
  ...(hasXz ? (['lzma'] as const) : []),
  'zero',
  'ignored',
];
const CHUNK = 64 * KIB;
const parts = [
  { name: 'Driver Descriptor Map (DDM : 0)', bytes: content(1, 512), packings: ['raw'] as const, chunk: 512 },
  { name: 'disk image (Apple_HFS : 1)', bytes: content(2, 20 * CHUNK + 512), packings: kinds, chunk: CHUNK },
  { name: ' (Apple_Free : 2)', bytes: new Uint8Array(8 * KIB), packings: ['ignored'] as const, chunk: CHUNK },
];
// What is packed as zeros has to be zeros.
for (let n = 0; n * CHUNK < parts[1].bytes.length; n++)
  if (['zero', 'ignored'].includes(kinds[n % kinds.length])) parts[1].bytes.fill(0, n * CHUNK, (n + 1) * CHUNK);
const plain = Buffer.concat(parts.map(({ bytes }) => bytes));
const image = makeDmg(parts);
const folder = mkdtempSync(join(tmpdir(), 'salvor-dmg-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

checkFormat(dmg, {
  fixtures: [{ name: 'all kinds', source: new MemorySource(image), sha256: sha256(plain) }],
  others: [
    { name: 'vhd', source: new MemorySource(makeVhd({ disk: disk(3, KIB * KIB, 3, 40) }).bytes) },
    { name: 'a text called x.dmg', source: new MemorySource(Buffer.from('<?xml?><plist></plist>')) },
  ],
  tables: [{ at: image.length - trailer.size, table: trailer }],
});

async function opened(bytes: Uint8Array): Promise<{ node: Node; bytes: Buffer; gaps: [number, number, string][] }> {
  const stack = new Stack([{ name: 'x.dmg', source: new MemorySource(bytes) }]);
  const node = (await stack.inside(stack.roots[0]))!;
  const source = await node.bytes!();
  const out = Buffer.alloc(source.size);
  const gaps = await source.read(0, out);
  return { node, bytes: out, gaps: gaps.map(({ offset, length, code }) => [offset, length, code]) };
}

async function faults(node: Node): Promise<Damage[]> {
  const out: Damage[] = [];
  for await (const one of node.check!(new AbortController().signal)) out.push(one);
  return out;
}

test('the checksums of its parts agree, and a changed byte is named', async () => {
  const { node } = await opened(image);
  expect(await faults(node)).toEqual([]);
  const changed = Buffer.from(image);
  changed[100] ^= 1;
  const { node: other } = await opened(changed);
  const [fault, ...more] = await faults(other);
  expect(more).toEqual([]);
  expect(fault).toMatchObject({ code: 'dmg.checksum' });
  expect(fault.effect).toContain('Driver Descriptor Map');
});

test.skipIf(spawnSync('qemu-img', ['--version']).status !== 0)('qemu-img reads the same bytes', () => {
  const own = makeDmg([{ ...parts[1], packings: ['zlib', 'raw', 'ignored'] }]);
  const [from, to] = [join(folder, 'qemu.dmg'), join(folder, 'qemu.raw')];
  writeFileSync(from, own);
  const done = spawnSync('qemu-img', ['convert', '-f', 'dmg', '-O', 'raw', from, to], { encoding: 'utf8' });
  expect(done.status, done.stderr).toBe(0);
  const wanted = Buffer.from(parts[1].bytes);
  for (let n = 2; n * CHUNK < wanted.length; n += 3) wanted.subarray(n * CHUNK, (n + 1) * CHUNK).fill(0);
  expect(sha256(readFileSync(to))).toBe(sha256(wanted));
});

test('without its trailer the tables are found at the end, and all is inferred', async () => {
  const { node, bytes, gaps } = await opened(image.subarray(0, image.length - 512));
  expect(node.damage.map(({ code }) => code)).toEqual(['dmg.no-trailer']);
  expect([sha256(bytes), gaps]).toEqual([sha256(plain), []]);
  const list = new RunList();
  const source = await node.bytes!();
  await source.runs(0, source.size, list);
  for (let i = 0; i < list.n; i++) expect(list.certainty(i)).toBe(INFERRED);
});

test('a chunk that cannot be unpacked is missing, and no other', async () => {
  const broken = Buffer.from(image);
  broken.fill(0xee, 512 + 100, 512 + 300); // the first chunk of the second part, packed with zlib
  const { bytes, gaps } = await opened(broken);
  expect(gaps.map(([at, length]) => [at, length])).toEqual([[512, CHUNK]]);
  expect(sha256(bytes.subarray(512 + CHUNK))).toBe(sha256(plain.subarray(512 + CHUNK)));
  const lzfse = makeDmg([{ ...parts[1], packings: ['raw', 'lzfse'] }]);
  const other = await opened(lzfse);
  expect(other.gaps[0]).toEqual([CHUNK, CHUNK, 'dmg.packing']);
});

test.skipIf(!hasXz)('of a chunk of LZMA that its check disproves nothing is given', async () => {
  const own = makeDmg([{ ...parts[1], packings: ['lzma'] }]);
  // The check stands before the index, whose length the last bytes of the stream give.
  const end = own.indexOf(Buffer.from('\xfd7zXZ', 'latin1'), 6);
  const index = 4 * (own.readUInt32LE(end - 8) + 1);
  own[end - 12 - index - 1] ^= 1;
  const { gaps } = await opened(own);
  expect(gaps.map(([at, length]) => [at, length])).toEqual([[0, CHUNK]]);
});

test('a trailer with more sectors than a disk has is not followed', async () => {
  const huge = Buffer.from(image);
  huge.writeBigUInt64BE(2n ** 50n, huge.length - 512 + 492);
  const { node, bytes } = await opened(huge);
  expect(node.damage.map(({ code }) => code)).toEqual(['dmg.trailer']);
  expect(sha256(bytes)).toBe(sha256(plain));
});

test('a unit that would unpack to more than any program packs is refused', async () => {
  const bytes = new Uint8Array(64 * KIB * KIB);
  const bomb = makeDmg([{ name: 'bomb', bytes, packings: ['zlib'], chunk: bytes.length }]);
  const { gaps } = await opened(bomb);
  expect(gaps).toEqual([[0, bytes.length, 'dmg.chunk-size']]);
});
