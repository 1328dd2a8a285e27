/** VMDK in all its kinds: the same bytes as independent tools read, and the same map of data and zeros. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { flatten } from '../../src/core/resolve.ts';
import { DATA, RunList } from '../../src/core/run.ts';
import { vmdk } from '../../src/formats/disk/vmdk/index.ts';
import { cowdHeader, seHeader, seVolatile, sparseHeader } from '../../src/formats/disk/vmdk/structs.ts';
import { faulty, unreadable } from '../faults/faults.ts';
import { converted, files, qemu, qemuAbsent, rawDisk } from '../make/disks.ts';
import { cowdDelta } from '../make/machine/cowd.ts';
import { seDelta } from '../make/machine/se-delta.ts';
import { streamDisk } from '../make/machine/stream.ts';
import { checkFormat, type Fixture } from '../suites/check-format.ts';
import { cxOf, judge, lies } from './judged.ts';

const MIB = 1024 * 1024;
const SECTORS = 36 * 2048 + 24;
const raw = rawDisk(SECTORS * 512, 3);
const SUBFORMATS = [
  'monolithicSparse',
  'monolithicFlat',
  'twoGbMaxExtentSparse',
  'twoGbMaxExtentFlat',
  'streamOptimized',
];

const fixture = (name: string, all: Record<string, Uint8Array>, more: Partial<Fixture> = {}): Fixture => {
  const siblings = Object.fromEntries(Object.entries(all).map(([n, bytes]) => [n, new MemorySource(bytes)]));
  return { name, source: siblings[name], siblings, ...more };
};
const small = rawDisk(5 * MIB, 4);
const sha256 = createHash('sha256').update(small).digest('hex');
const made =
  qemuAbsent !== undefined ? [] : SUBFORMATS.map((kind) => fixture('d.vmdk', converted(small, kind), { sha256 }));
const stream = streamDisk(raw, 's.vmdk').bytes;
const cowd = cowdDelta(SECTORS, 5);
const se = seDelta(SECTORS, 6);

checkFormat(vmdk, {
  fixtures: [
    ...made,
    fixture('s.vmdk', { 's.vmdk': streamDisk(small, 's.vmdk').bytes }, { sha256 }),
    fixture('d-delta.vmdk', { 'd-delta.vmdk': cowd.bytes }),
    fixture('d-sesparse.vmdk', { 'd-sesparse.vmdk': se.bytes }),
  ],
  others: [
    { name: 'zeros.vmdk', source: new MemorySource([], 64 * MIB) },
    { name: 'd-flat.vmdk', source: new MemorySource(raw) },
    { name: 'nothing.vmdk', source: new MemorySource(new Uint8Array(0)) },
    { name: 'notes.vmdk', source: new MemorySource(Buffer.from('Dear reader,\nversion 1 of this.\n'.repeat(90))) },
  ],
  tables: [
    { at: 0, table: sparseHeader },
    { at: 0, table: cowdHeader },
    { at: 0, table: seHeader },
    { at: 512, table: seVolatile },
  ],
});

test.skipIf(qemuAbsent !== undefined).each(SUBFORMATS)('%s has the map that qemu-img sees', async (kind) => {
  let map: { start: number; length: number; data: boolean; zero: boolean }[] = [];
  const all = files((dir) => {
    writeFileSync(join(dir, 'raw'), raw);
    const options = ['-f', 'raw', '-O', 'vmdk', '-o', `subformat=${kind}`, join(dir, 'raw'), join(dir, 'd.vmdk')];
    qemu('qemu-img', ['convert', ...options]);
    map = JSON.parse(qemu('qemu-img', ['map', '--output=json', join(dir, 'd.vmdk')]));
    rmSync(join(dir, 'raw'));
  });
  const judged = await judge(vmdk, all, 'd.vmdk', raw);
  expect(judged.codes).toEqual([]);
  expect(judged.wrong.stated ?? 0).toBe(0);
  expect((judged.right.stated ?? 0) + (judged.right.verified ?? 0)).toBe(raw.length);
  if (kind.endsWith('Flat')) return;
  const expected = new Uint8Array(raw.length);
  for (const run of map) if (run.data) expected.fill(1, run.start, run.start + run.length);
  const bytes = await judged.node!.bytes!();
  const found = new Uint8Array(raw.length);
  const list = new RunList(5000);
  await flatten(bytes, 0, bytes.size, list);
  for (let i = 0, at = 0; i < list.n; at += list.length[i++]) {
    if (list.state(i) === DATA) found.fill(1, at, at + list.length[i]);
  }
  expect(Buffer.compare(found, expected)).toBe(0);
});

test.skipIf(qemuAbsent !== undefined)(
  'zeroed grains, and large disks, are read without their size in memory',
  async () => {
    const all = files((dir) => {
      const target = join(dir, 'd.vmdk');
      qemu('qemu-img', ['create', '-f', 'vmdk', '-o', 'subformat=monolithicSparse,zeroed_grain=on', target, '900G']);
      qemu('qemu-io', ['-c', 'write -P 7 700G 1M', '-c', 'write -P 9 64k 128k', '-c', 'write -z 64k 64k', target]);
    });
    const cx = cxOf('d.vmdk', all);
    const node = await vmdk.open(new MemorySource(all['d.vmdk']), cx);
    expect(node.damage).toEqual([]);
    const bytes = await node.bytes!();
    const into = new Uint8Array(MIB);
    await bytes.read(700 * 2 ** 30, into);
    expect(into.every((b) => b === 7)).toBe(true);
    await bytes.read(0, into);
    expect([into[65535], into[65536], into[131071], into[131072], into[196607], into[196608]]).toEqual([
      0, 0, 0, 9, 9, 0,
    ]);
  },
);

test.skipIf(qemuAbsent !== undefined)('deltas are read as qemu-img reads them', async () => {
  const base = rawDisk(SECTORS * 512, 9);
  const text = (id: number, parent: string, type: string, line: string): string =>
    `# Disk DescriptorFile\nversion=1\nCID=0000000${id}\nparentCID=${parent}\ncreateType="${type}"\n${id > 1 ? 'parentFileNameHint="base.vmdk"\n' : ''}# Extent description\nRW ${SECTORS} ${line}\n\n# The Disk Data Base\n#DDB\n`;
  const ends = [
    ['vmfsSparse', 'VMFSSPARSE', 'c-delta.vmdk', cowd.bytes, cowd.patches],
    ['seSparse', 'SESPARSE', 'c-sesparse.vmdk', se.bytes, se.patches],
  ] as const;
  for (const [type, kind, file, delta, patches] of ends) {
    let flat = new Uint8Array(0);
    files((dir) => {
      writeFileSync(join(dir, 'base-flat.vmdk'), base);
      writeFileSync(join(dir, 'base.vmdk'), text(1, 'ffffffff', 'vmfs', 'VMFS "base-flat.vmdk"'));
      writeFileSync(join(dir, file), delta);
      writeFileSync(join(dir, 'c.vmdk'), text(2, '00000001', type, `${kind} "${file}"`));
      qemu('qemu-img', ['convert', '-O', 'raw', join(dir, 'c.vmdk'), join(dir, 'flat')]);
      flat = new Uint8Array(readFileSync(join(dir, 'flat')));
    });
    const expected = base.slice();
    for (const { at, bytes } of patches) expected.set(bytes.subarray(0, expected.length - at), at);
    expect(Buffer.compare(flat, expected), `what the maker says of ${type} is what qemu-img reads`).toBe(0);
  }
});

test('a sector that cannot be read costs its own grain of a stream, not those around', async () => {
  const { bytes, grains } = streamDisk(raw, 's.vmdk');
  const [number, at] = [...grains][20];
  const source = faulty(new MemorySource(bytes), [unreadable(at + 1024, 512)]);
  const disk = await (await vmdk.open(source, cxOf('s.vmdk', {}))).bytes!();
  const into = new Uint8Array(disk.size);
  const gaps = await disk.read(0, into);
  expect(gaps.map(({ offset, length }) => [offset, length])).toEqual([[number * 65536, 65536]]);
  const expected = raw.slice();
  expected.fill(0, number * 65536, (number + 1) * 65536);
  expect(Buffer.compare(into, expected)).toBe(0);
});

test.skipIf(qemuAbsent !== undefined)(
  'what tables name behind the end of a cut stream is missing, no zeros',
  async () => {
    const whole = converted(raw, 'streamOptimized')['d.vmdk'];
    const source = new MemorySource(whole.subarray(0, Math.floor((whole.length * 0.6) / 512) * 512));
    const disk = await (await vmdk.open(source, cxOf('d.vmdk', {}))).bytes!();
    const into = new Uint8Array(disk.size);
    const gaps = await disk.read(0, into);
    expect(gaps.length).toBeGreaterThan(0);
    const expected = raw.slice();
    for (const { offset, length } of gaps) expected.fill(0, offset, offset + length);
    expect(Buffer.compare(into, expected)).toBe(0);
  },
);

test('raw device mappings, unknown extents and encrypted disks are named', async () => {
  const text = Buffer.from(
    '# Disk DescriptorFile\nversion=3\nCID=fffffffe\nparentCID=ffffffff\nencryptionKeys="vmware:key/list/x"\ncreateType="vmfsRawDeviceMap"\nRW 8 VMFSRDM "x-rdm.vmdk"\nRW 4 WONDER "x"\nRW 2 ZERO\nNOACCESS 2 ZERO\n',
  );
  const judged = await judge(vmdk, { 'x.vmdk': text }, 'x.vmdk', new Uint8Array(16 * 512));
  expect(judged.codes).toEqual(['vmdk.raw-device', 'vmdk.extent-type']);
  expect(judged.size).toBe(16 * 512);
  expect(judged.right.stated).toBe(4 * 512);
  expect(judged.node?.notices?.join()).toContain('encrypt');
});

test('a check names every entry that is wrong', async () => {
  const bytes = cowd.bytes.slice();
  const view = new DataView(bytes.buffer);
  const table = view.getUint32(2048, true) * 512;
  const used = Array.from({ length: 4096 }, (_, i) => i).filter((i) => view.getUint32(table + i * 4, true) > 0);
  view.setUint32(table + used[0] * 4, view.getUint32(table + used[1] * 4, true), true);
  view.setUint32(table + used[2] * 4, 0x70000000, true);
  const node = await vmdk.open(new MemorySource(bytes), cxOf('d-delta.vmdk', {}));
  const found: string[] = [];
  for await (const one of node.check!(new AbortController().signal)) found.push(`${one.code} ${one.at}`);
  expect(found).toContain(`vmdk.grain-shared d-delta.vmdk@${table + used[0] * 4}`);
  expect(found).toContain(`vmdk.grain-shared d-delta.vmdk@${table + used[1] * 4}`);
  expect(found).toContain(`vmdk.grain-range d-delta.vmdk@${table + used[2] * 4}`);
});

test('a header that claims 2**60 sectors takes neither time nor memory', async () => {
  const bytes = stream.slice(0, 4096);
  new DataView(bytes.buffer).setUint32(16, 0x10000000, true);
  for (const size of [20, 512, 4096]) {
    const judged = await judge(vmdk, { 'h.vmdk': bytes.slice(0, size) }, 'h.vmdk', new Uint8Array(0));
    expect(lies(judged)).toBe(0);
  }
});

const CORPUS = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpus');

test.skipIf(!existsSync(join(CORPUS, 'images.tar.gz')))('disks of the corpus have the bytes they should', async () => {
  const { entries } = JSON.parse(readFileSync(join(CORPUS, 'manifest.json'), 'utf8')) as {
    entries: { topic: string; kind: string; path: string; expected: { flat?: { sha256: string } } }[];
  };
  const dir = mkdtempSync(join(tmpdir(), 'salvor-vmdk-'));
  try {
    const tar = ['-xSzf', join(CORPUS, 'images.tar.gz'), '-C', dir, '--wildcards', 'vmdk/*'];
    expect(spawnSync('tar', tar).status).toBe(0);
    const disks = entries.filter(({ topic }) => topic === 'vmdk');
    expect(disks.length).toBeGreaterThan(8);
    for (const { path, kind, expected } of disks) {
      const folder = join(dir, dirname(path));
      const all = Object.fromEntries(
        readdirSync(folder).map((n) => [n, new Uint8Array(readFileSync(join(folder, n)))]),
      );
      const name = basename(path);
      const node = await vmdk.open(new MemorySource(all[name]), cxOf(name, all));
      const bytes = await node.bytes!();
      const into = new Uint8Array(bytes.size);
      expect(await bytes.read(0, into), path).toEqual([]);
      if (kind !== 'disk') continue;
      expect(node.damage, path).toEqual([]);
      expect(createHash('sha256').update(into).digest('hex'), path).toBe(expected.flat?.sha256);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
