/** QCOW2 and QCOW: images of qemu-img, of makers, and of others, compared with what qemu-img reads. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Damage } from '../../src/core/damage.ts';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { CERTAINTY_NAMES, DATA, MISSING, RunList, STATED, ZERO } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { qcow1, qcow1Header } from '../../src/formats/disk/qcow1.ts';
import { fileNames } from '../../src/formats/disk/qcow2/header.ts';
import { qcow2 } from '../../src/formats/disk/qcow2/index.ts';
import { header } from '../../src/formats/disk/qcow2/structs.ts';
import { Stack } from '../../src/stack/stack.ts';
import { makeQcow1 } from '../make/qcow1.ts';
import { small3, small6 } from '../make/stores.ts';
import { checkFormat, type Fixture } from '../suites/check-format.ts';
import { brokenInvariants } from '../suites/check-source.ts';
import { damaged, layouts, make, placesOf, qemuAbsent, smaller } from './qcow2-images.ts';
import { evidenceOf } from './stores.ts';

const noQemu = qemuAbsent !== undefined;
const dir = mkdtempSync(join(tmpdir(), 'salvor-qcow2-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const at = (name: string): string => join(dir, name);
const qemu = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { stdio: 'pipe', encoding: 'utf8' });

async function inside(files: Readonly<Record<string, Uint8Array>>): Promise<Node> {
  const given = Object.entries(files).map(([name, bytes]) => ({ name, source: new MemorySource(bytes) }));
  const stack = new Stack(given);
  return (await stack.inside(stack.roots[0]))!;
}

async function whole(node: Node): Promise<{ bytes: Uint8Array; gaps: number; source: Source }> {
  const source = (await node.bytes!()) as Source;
  const bytes = new Uint8Array(source.size);
  const gaps = await source.read(0, bytes);
  return { bytes, gaps: gaps.reduce((sum, gap) => sum + gap.length, 0), source };
}

/** Bytes by state and certainty. */
async function grades(source: Source): Promise<Record<string, number>> {
  const out: Record<string, number> = {};
  const list = new RunList();
  for (let position = 0; position < source.size; ) {
    list.clear();
    position = await flatten(source, position, source.size, list);
    for (let i = 0; i < list.n; i++) {
      const grade = CERTAINTY_NAMES[list.certainty(i)];
      out[grade] = (out[grade] ?? 0) + list.length[i];
    }
  }
  return out;
}

const clusters = new Map<number, Uint8Array>();
for (const n of [0, 1, 5, 63, 64, 65, 200, 201, 202])
  clusters.set(
    n,
    new Uint8Array(4096).map((_, i) => (i >> 4) * n + n),
  );
const older = (compressed: readonly number[]): Fixture => {
  const truth = new Uint8Array(1_000_000);
  for (const [n, bytes] of clusters) truth.set(bytes, n * 4096);
  const spec = { size: truth.length, clusterBits: 12, l2Bits: 6, clusters, compressed: new Set(compressed) };
  return { name: `qcow1 ${compressed.length}`, source: new MemorySource(makeQcow1(spec)), sha256: sha256(truth) };
};

const small = new Set([
  'v3 64K',
  'v2 4K',
  'v3 512',
  'deflate 4K',
  'zstd 16K',
  'subclusters 64K',
  'snapshots 4K',
  'refcounts of 1 bit',
]);
const fixtures: Fixture[] = noQemu
  ? []
  : layouts
      .filter((layout) => small.has(layout.name))
      .map((layout) => {
        const { bytes, truth } = make(smaller(layout, 8));
        return { name: layout.name, source: new MemorySource(bytes), sha256: sha256(truth) };
      });
const others: Fixture[] = [
  { name: 'nothing', source: new MemorySource(new Uint8Array(0)) },
  { name: 'zeros', source: new MemorySource([], 64 * 0x100000) },
  { name: 'VMFS3', source: evidenceOf(small3())[0].source },
  { name: 'VMFS6', source: evidenceOf(small6())[0].source },
  {
    name: 'noise',
    source: new MemorySource(new Uint8Array(0x300000).map((_, i) => Math.imul(i ^ (i >> 7), 0x9e3779b1) >>> 24)),
  },
];

describe.skipIf(noQemu)('QCOW2 of qemu-img', () => {
  if (!noQemu) checkFormat(qcow2, { fixtures, others: [...others, older([])], tables: [{ at: 0, table: header }] });

  test('is stated from its first to its last byte, and what is sound has nothing wrong', async () => {
    for (const { name, source } of fixtures) {
      const node = await inside({ [name]: new Uint8Array(await read(source)) });
      expect(Object.keys(await grades((await node.bytes!())!)), name).toEqual(['stated']);
      expect(await all(node.check!(new AbortController().signal)), name).toEqual([]);
    }
  });

  test('shows each snapshot', async () => {
    const image = make(layouts.find((layout) => layout.name === 'snapshots 4K')!);
    const node = await inside({ 'x.qcow2': image.bytes });
    expect(node.snapshots?.map((one) => one.name)).toEqual([...image.snapshots.keys()]);
    for (const [name, truth] of image.snapshots) {
      const { bytes, gaps, source } = await whole((await node.child!(name))!);
      expect([name, gaps, sha256(bytes)]).toEqual([name, 0, sha256(truth)]);
      expect(await brokenInvariants(source)).toEqual([]);
    }
    // Without their table they are found again by their L1 tables, and so are the names.
    const lost = await inside({ 'x.qcow2': damaged(image.bytes, 'snapshots') });
    expect(lost.damage.map((one) => one.code)).toContain('qcow2.snapshots');
    const found = await Promise.all(lost.snapshots!.map(async (one) => sha256((await whole(one)).bytes)));
    expect(found).toEqual([...image.snapshots.values()].map(sha256));
    const headless = await inside({ 'x.qcow2': damaged(image.bytes, 'header') });
    expect(headless.snapshots?.map((one) => one.name)).toEqual([...image.snapshots.keys()]);
  });

  test('says what is data and what is zeros as qemu-img map does', async () => {
    const image = make(layouts.find((layout) => layout.name === 'subclusters 64K')!);
    writeFileSync(at('map.qcow2'), image.bytes);
    const map = JSON.parse(qemu('qemu-img', 'map', '--output=json', at('map.qcow2'))) as {
      start: number;
      length: number;
      zero: boolean;
    }[];
    const source = (await (await inside({ 'map.qcow2': image.bytes })).bytes!())!;
    const list = new RunList(100_000);
    await source.runs(0, source.size, list);
    const states = new Uint8Array(source.size / 512);
    for (let i = 0, position = 0; i < list.n; position += list.length[i++]) {
      states.fill(list.state(i), position / 512, (position + list.length[i]) / 512);
    }
    for (const { start, length, zero } of map) {
      const kinds = new Set(states.subarray(start / 512, (start + length) / 512));
      expect([start, ...kinds]).toEqual([start, zero ? ZERO : DATA]);
    }
  });

  test('finds what lies below: raw, QCOW2, by JSON and by server', async () => {
    const base = make({ ...layouts[0], size: 4 }).truth;
    writeFileSync(at('base.raw'), base);
    qemu('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', at('base.raw'), '-F', 'raw', at('mid.qcow2'));
    qemu('qemu-io', '-c', 'write -P 77 100k 300k', '-c', 'write -z 1M 128k', at('mid.qcow2'));
    qemu(
      'qemu-img',
      'create',
      '-q',
      '-f',
      'qcow2',
      '-o',
      'cluster_size=4k',
      '-b',
      at('mid.qcow2'),
      '-F',
      'qcow2',
      at('top.qcow2'),
      '6M',
    );
    qemu('qemu-io', '-c', 'write -P 78 300k 300k', at('top.qcow2'));
    qemu('qemu-img', 'convert', '-O', 'raw', at('top.qcow2'), at('top.raw'));
    const files = {
      'top.qcow2': readFileSync(at('top.qcow2')),
      'mid.qcow2': readFileSync(at('mid.qcow2')),
      'base.raw': base,
    };
    const { bytes, gaps, source } = await whole(await inside(files));
    expect([gaps, sha256(bytes)]).toEqual([0, sha256(readFileSync(at('top.raw')))]);
    expect(await brokenInvariants(source)).toEqual([]);
    const { 'base.raw': _, ...alone } = files;
    const without = await inside(alone);
    expect(without.damage.map((one) => one.code)).toContain('chain.parent');
    expect((await whole(without)).gaps).toBeGreaterThan(0);
    expect(fileNames('json:{"driver":"qcow2","file":{"driver":"file","filename":"/a/b/base.qcow2"}}')).toEqual([
      'base.qcow2',
    ]);
    expect(fileNames('nbd://host:10809/disk.raw?x=1')).toEqual(['disk.raw']);
    expect(fileNames('../x/base.img')).toEqual(['../x/base.img']);
  });

  test('reads an external data file, and the file alone where the tables are lost', async () => {
    for (const raw of ['off', 'on']) {
      rmSync(at('data.raw'), { force: true });
      qemu(
        'qemu-img',
        'create',
        '-q',
        '-f',
        'qcow2',
        '-o',
        `data_file=${at('data.raw')},data_file_raw=${raw}`,
        at('ext.qcow2'),
        '4M',
      );
      qemu('qemu-io', '-c', 'write -P 5 0 64k', '-c', 'write -P 7 1M 200k', '-c', 'write -z 1M 64k', at('ext.qcow2'));
      qemu('qemu-img', 'convert', '-O', 'raw', at('ext.qcow2'), at('ext.raw'));
      const [image, data] = [readFileSync(at('ext.qcow2')), readFileSync(at('data.raw'))];
      const truth = readFileSync(at('ext.raw'));
      const { bytes, gaps } = await whole(await inside({ 'ext.qcow2': image, 'data.raw': data }));
      expect([raw, gaps, sha256(bytes)]).toEqual([raw, 0, sha256(truth)]);
      expect((await whole(await inside({ 'ext.qcow2': image }))).gaps).toBeGreaterThan(0);
      const lost = await whole(await inside({ 'ext.qcow2': damaged(image, 'l1'), 'data.raw': data }));
      if (raw === 'on') expect([lost.gaps, sha256(lost.bytes)]).toEqual([0, sha256(data)]);
    }
  });

  test('opens encrypted images, and says that their data needs a key', async () => {
    const secret = ['--object', 'secret,id=s,data=hello'];
    const options = ['-o', 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10'];
    // It times its own hashing, and gives up where the machine is busy.
    let done = false;
    for (let i = 0; i < 20 && !done; i++)
      done =
        spawnSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...secret, ...options, at('luks.qcow2'), '4M']).status ===
        0;
    expect(done).toBe(true);
    const target = `driver=qcow2,file.filename=${at('luks.qcow2')},encrypt.key-secret=s`;
    qemu('qemu-io', ...secret, '--image-opts', '-c', 'write -P 9 0 128k', target);
    const node = await inside({ 'luks.qcow2': readFileSync(at('luks.qcow2')) });
    expect(node.notices?.join()).toMatch(/LUKS/);
    const source = (await node.bytes!())!;
    expect(await source.read(0, new Uint8Array(131_072))).toEqual([{ offset: 0, length: 131_072, code: 'encrypted' }]);
  });

  test('says of damage what qemu-img check says, and keeps what is not in doubt', async () => {
    const image = make(layouts[0]);
    const { l2, cluster } = placesOf(image.bytes);
    const cases: [string, (bytes: Uint8Array, view: DataView) => void, string][] = [
      ['leak', (_, view) => view.setUint16(2 * cluster + 2 * (image.bytes.length / cluster - 1), 0), 'qcow2.refcount'],
      ['cross', (bytes) => bytes.copyWithin(l2[0] + 8, l2[0], l2[0] + 8), 'qcow2.shared'],
      ['metadata', (_, view) => view.setUint32(l2[0] + 4, cluster), 'qcow2.overlap'],
      ['outside', (_, view) => view.setUint32(l2[0] + 4, 0x7fff0000), 'qcow2.outside'],
      ['unaligned', (_, view) => view.setUint32(l2[0] + 4, view.getUint32(l2[0] + 4) + 512), 'qcow2.l2-entry'],
      ['copied', (_, view) => view.setUint32(l2[0], 0), 'qcow2.copied'],
    ];
    for (const [name, hurt, code] of cases) {
      const bytes = Uint8Array.from(image.bytes);
      hurt(bytes, new DataView(bytes.buffer));
      writeFileSync(at('hurt.qcow2'), bytes);
      const peer = spawnSync('qemu-img', ['check', at('hurt.qcow2')]).status;
      const node = await inside({ 'hurt.qcow2': bytes });
      const found = await all(node.check!(new AbortController().signal));
      expect([name, peer !== 0, found.map((one) => one.code).includes(code)]).toEqual([name, true, true]);
      await noLie(node, image.truth, name);
    }
  });

  test('loses only what is behind the end of a file that was cut off', async () => {
    const image = make(layouts[2]);
    for (const part of [0.9, 0.5, 0.1]) {
      const node = await inside({ 'cut.qcow2': image.bytes.subarray(0, Math.floor(image.bytes.length * part) - 100) });
      await noLie(node, image.truth, `cut at ${part}`);
      expect((await whole(node)).gaps).toBeLessThan(image.truth.length * (1.15 - part));
    }
  });

  test('a table that leads mostly behind the end of its file is one still', async () => {
    const image = make(layouts[0]);
    const { l2, cluster } = placesOf(image.bytes);
    const node = await inside({ 'cut.qcow2': image.bytes.subarray(0, l2[0] + 4 * cluster) });
    await noLie(node, image.truth, 'cut');
    expect(node.damage.map((one) => one.code)).toEqual(['qcow2.cut-off']);
    const { bytes, gaps } = await whole(node);
    expect(gaps).toBeLessThan(image.truth.length);
    expect(bytes.some((byte) => byte !== 0)).toBe(true);
  });

  test('does not let a claim of 2 ** 60 bytes take time or memory', async () => {
    const bytes = Uint8Array.from(make(layouts[0]).bytes.subarray(0, 0x40000));
    for (const field of [24, 36, 56, 60]) {
      const hostile = bytes.slice();
      hostile.set([0x0f, 0xff, 0xff, 0xff], field);
      const node = await qcow2.open(new MemorySource(hostile), cx);
      expect(node.damage.length).toBeGreaterThan(0);
    }
  });
});

const cx = {
  source: 'x',
  self: 'x::qcow2',
  signal: new AbortController().signal,
  damage: (position: number, code: string, expected: string, actual: string, effect: string): Damage => ({
    code,
    at: `x@${position}`,
    expected,
    actual,
    effect,
  }),
  siblings: async () => [],
};

async function all(list: AsyncIterable<Damage>): Promise<Damage[]> {
  const out: Damage[] = [];
  for await (const one of list) out.push(one);
  return out;
}

async function read(source: Source): Promise<Uint8Array> {
  const bytes = new Uint8Array(source.size);
  await source.read(0, bytes);
  return bytes;
}

/** Nothing that is stated differs from the truth. */
async function noLie(node: Node, truth: Uint8Array, name: string): Promise<void> {
  const { bytes, source } = await whole(node);
  const list = new RunList();
  for (let position = 0; position < source.size; ) {
    list.clear();
    await flatten(source, position, source.size, list);
    for (let i = 0; i < list.n; i++) {
      const end = position + list.length[i];
      const same = Buffer.compare(bytes.subarray(position, end), truth.subarray(position, end)) === 0;
      const stated = list.state(i) !== MISSING && list.certainty(i) >= STATED;
      expect([name, position, !stated || same]).toEqual([name, position, true]);
      position = end;
    }
  }
}

describe('QCOW of version 1', () => {
  checkFormat(qcow1, {
    fixtures: [older([]), older([0, 5, 63, 200, 201])],
    others: [...others, ...fixtures],
    tables: [{ at: 0, table: qcow1Header }],
  });

  test.skipIf(noQemu)('is what qemu-img reads, also from below', async () => {
    for (const [name, compressed] of [
      ['plain', []],
      ['packed', [0, 1, 5, 201]],
    ] as const) {
      const base = new Uint8Array(1_048_576).fill(3);
      const spec = {
        size: 1_048_576,
        clusterBits: 12,
        l2Bits: 6,
        clusters,
        compressed: new Set<number>(compressed),
        backing: 'base1.raw',
      };
      writeFileSync(at('base1.raw'), base);
      writeFileSync(at(`${name}.qcow`), makeQcow1(spec));
      const args = [
        'convert',
        '-O',
        'raw',
        `json:{"driver":"qcow","file.filename":"${at(`${name}.qcow`)}","backing":{"driver":"raw","file.filename":"${at('base1.raw')}"}}`,
      ];
      qemu('qemu-img', ...args, at('one.raw'));
      const { bytes, gaps } = await whole(await inside({ 'a.qcow': makeQcow1(spec), 'base1.raw': base }));
      expect([name, gaps, sha256(bytes)]).toEqual([name, 0, sha256(readFileSync(at('one.raw')))]);
    }
  });

  test('an L2 table without an entry states nothing, neither zeros nor what lies below', async () => {
    const spec = { size: 1_048_576, clusterBits: 12, l2Bits: 6, clusters, compressed: new Set<number>() };
    const base = new Uint8Array(1_048_576).fill(3);
    for (const backing of [undefined, 'base1.raw']) {
      const image = makeQcow1(backing === undefined ? spec : { ...spec, backing });
      const given = (bytes: Uint8Array) => ({ 'a.qcow': bytes, ...(backing !== undefined && { 'base1.raw': base }) });
      const truth = (await whole(await inside(given(image)))).bytes;
      const view = new DataView(image.buffer, image.byteOffset);
      const l2 = view.getUint32(view.getUint32(44) + 4);
      image.fill(0, l2, l2 + 512);
      await noLie(await inside(given(image)), truth, String(backing));
    }
  });
});
