/** VDI, VHD and VHDX: made in all variants, made by qemu-img, and real ones, against independent readings. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { RunList, ZERO } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { parallels, header as parallelsHeader } from '../../src/formats/disk/parallels/index.ts';
import { vdi } from '../../src/formats/disk/vdi/index.ts';
import * as vdiStructs from '../../src/formats/disk/vdi/structs.ts';
import { vhd } from '../../src/formats/disk/vhd/index.ts';
import * as vhdStructs from '../../src/formats/disk/vhd/structs.ts';
import { vhdx } from '../../src/formats/disk/vhdx/index.ts';
import * as vhdxStructs from '../../src/formats/disk/vhdx/structs.ts';
import { Stack } from '../../src/stack/stack.ts';
import { disk } from '../make/disk/content.ts';
import { bundle, makeParallels } from '../make/disk/parallels.ts';
import { makeVdi } from '../make/disk/vdi.ts';
import { makeVhd } from '../make/disk/vhd.ts';
import { makeVhdx } from '../make/disk/vhdx.ts';
import { checkFormat, type Fixture } from '../suites/check-format.ts';

const MIB = 1024 * 1024;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const fixture = (name: string, made: { bytes: Uint8Array }, raw: Uint8Array): Fixture => ({
  name,
  source: new MemorySource(made.bytes),
  sha256: sha256(raw),
});

const folder = mkdtempSync(join(tmpdir(), 'salvor-block-disks-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const hasQemu = spawnSync('qemu-img', ['--version']).status === 0;
const content = disk(3, MIB, 13, 40);

/** What qemu-img makes of a raw disk, with what it reads from it itself. */
function qemu(format: string, options: string): Fixture[] {
  if (!hasQemu) return [];
  const name = `${format} ${options || 'dynamic'} of qemu-img`;
  const [raw, made, back] = ['raw', 'made', 'back'].map((end) => join(folder, `${format}-${options}.${end}`));
  const run = (...args: string[]): void => {
    const done = spawnSync('qemu-img', args, { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`qemu-img ${args.join(' ')}: ${done.stderr}`);
  };
  writeFileSync(raw, content.raw);
  run('convert', '-f', 'raw', '-O', format, ...(options ? ['-o', options] : []), raw, made);
  run('convert', '-f', format, '-O', 'raw', made, back);
  return [{ name, source: new MemorySource(readFileSync(made)), sha256: sha256(readFileSync(back)) }];
}

const small = disk(5, 65536, 40, 50);
const ragged = disk(6, 65536, 40, 50, true, 39 * 65536 + 1536);
const old = disk(7, MIB, 5, 50);
const vdis = [
  fixture('vdi', makeVdi({ disk: content, uuid: Buffer.alloc(16, 1) }), content.raw),
  fixture('vdi of newer hosts', makeVdi({ disk: content, align: MIB }), content.raw),
  fixture('vdi of small blocks, cut short', makeVdi({ disk: ragged }), ragged.raw),
  fixture('fixed vdi', makeVdi({ disk: content, type: 2 }), content.raw),
  fixture('vdi version 0', makeVdi({ disk: old, old: true }), old.raw),
  ...qemu('vdi', ''),
  ...qemu('vdi', 'static=on'),
];
const even = (sector: number): boolean => Math.floor(sector / 3) % 2 === 0;
const holes = { ...small, raw: small.raw.map((byte, i) => (even(Math.floor(i / 512)) ? byte : 0)) };
const vhds = [
  fixture('vhd', makeVhd({ disk: small }), small.raw),
  fixture('vhd with holes in its blocks', makeVhd({ disk: small, has: even }), holes.raw),
  fixture('fixed vhd', makeVhd({ disk: small, type: 2 }), small.raw),
  fixture('fixed vhd with a footer of 511 bytes', makeVhd({ disk: small, type: 2, short: true }), small.raw),
  ...qemu('vpc', ''),
  ...qemu('vpc', 'subformat=fixed'),
];
const vhdxs = [
  fixture('vhdx', makeVhdx({ disk: content }), content.raw),
  fixture('fixed vhdx', makeVhdx({ disk: content, fixed: true }), content.raw),
  fixture('vhdx of sectors of 4 KiB', makeVhdx({ disk: content, sector: 4096 }), content.raw),
  ...qemu('vhdx', 'block_size=1M'),
  ...qemu('vhdx', 'subformat=fixed'),
];
const hdds = [
  {
    ...fixture('a.hds', makeParallels(content), content.raw),
    siblings: { 'DiskDescriptor.xml': new MemorySource(bundle(['a.hds'])) },
  },
  fixture('old.hds', makeParallels(content, true), content.raw),
  ...qemu('parallels', ''),
];
const prose: Fixture = { name: 'prose', source: new MemorySource(Buffer.from('Dear reader,\n'.repeat(9000))) };
const plain: Fixture = { name: 'raw', source: new MemorySource(content.raw) };
const zeros: Fixture = { name: 'zeros', source: new MemorySource([], 64 * MIB) };
const ones: Fixture = { name: 'ones', source: new MemorySource(new Uint8Array(4 * MIB).fill(0xff)) };
const nothing: Fixture = { name: 'nothing', source: new MemorySource(new Uint8Array(0)) };
const none = [prose, plain, zeros, ones, nothing];

if (!hasQemu) test.skip('qemu-img is not here: its disks are not compared', () => undefined);

checkFormat(vdi, {
  fixtures: vdis,
  others: [...none, ...vhds, ...vhdxs],
  tables: [
    { at: 0, table: vdiStructs.header },
    { at: 0, table: vdiStructs.headerV0 },
  ],
});
checkFormat(vhd, {
  fixtures: vhds,
  others: [...none, ...vdis, ...vhdxs],
  tables: [
    { at: 0, table: vhdStructs.footer },
    { at: 512, table: vhdStructs.dynamicHeader },
  ],
});
checkFormat(vhdx, {
  fixtures: vhdxs,
  others: [...none, ...vdis, ...vhds],
  tables: [
    { at: 0x10000, table: vhdxStructs.header },
    { at: 0x30000, table: vhdxStructs.regionTable },
    { at: 0x30010, table: vhdxStructs.regionEntry },
    { at: 0x200000, table: vhdxStructs.metadataTable },
    { at: 0x200020, table: vhdxStructs.metadataEntry },
  ],
});

checkFormat(parallels, {
  fixtures: hdds,
  others: [...none, ...vdis, ...vhds, ...vhdxs],
  tables: [{ at: 0, table: parallelsHeader }],
});

const CORPUS = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpus', 'images.tar.gz');
const HFS = 'parallels/dfvfs/hfsplus.hdd/hfsplus.hdd.0.{5fbaabe3-6958-40ff-92a7-860e329aab41}.hds';
const REAL: [file: string, sha256: string][] = [
  ['vhd/dfvfs/ntfs-dynamic.vhd', '8b10b52e3d1e76075d05a5101a6536b9fa8376a5b8f7c22f502d0987d165c876'],
  ['vhd/dfvfs/ntfs-fixed.vhd', 'cd81fade3878f1b2957f1ece168201876bdf4e90c9b30f60c2f232eba5fea76c'],
  ['vhd/dfvfs/ntfs-parent.vhd', 'c91d1766dd4b3327f33a082cbf958d3566dd84a3d71c2473a5ae6155e53171de'],
  ['vhd/dfvfs/ext2.vhd', '870be7ae16c1fa8faab05c6eb9205dc9a7ae35c5f552c5cf8a267c0bc6a5cb99'],
  ['vhd/dfvfs/ntfs-differential.vhd', 'b7922a46a6b08fa4f4fc0c51a25d5587d1d49f15cfade45ca740dd07110ae144'],
  ['vhdx/dfvfs/ext2.vhdx', 'a6c2f0e39afe6c6ab432ca5465349fcefe8dc944398e97b2d957d3f89dbb5d80'],
  ['vhdx/dfvfs/ntfs-fixed.vhdx', '5237dd895f38052344e2ef35a207fe9df08cd18d17b6ea857a1b93cc475e1f2e'],
  ['vhdx/dfvfs/fat-parent.vhdx', '2d1954fec68faefe81dd3687282a9b387bf8417f6d2cf0da3825fa1445b64cfb'],
  ['vhdx/dfvfs/fat-differential.vhdx', 'a538161f34bc44c12bf9a542ce9218741c62728723ea18d0e4f6ea92e9f32e93'],
  [HFS, 'b5d1c3bb34c26e20976ba041e742c7529cce93b9cb00b435ba5c4af3e652a1e1'],
];

test.skipIf(!existsSync(CORPUS))('real disks of Windows and others read as two other programs read them', async () => {
  const done = spawnSync('tar', [
    'xzf',
    CORPUS,
    '-C',
    folder,
    ...REAL.map(([file]) => file),
    join(HFS, '../DiskDescriptor.xml'),
  ]);
  expect(done.status).toBe(0);
  for (const [file, expected] of REAL) {
    const stack = new Stack([join(folder, file)]);
    const opened = await stack.inside(stack.roots[0]);
    expect(opened?.damage, file).toEqual([]);
    const source = await opened!.bytes!();
    const bytes = new Uint8Array(source.size);
    expect(await source.read(0, bytes), file).toEqual([]);
    expect(sha256(bytes), file).toBe(expected);
    const faults: unknown[] = [];
    for await (const damage of opened?.check?.(new AbortController().signal) ?? []) faults.push(damage);
    expect(faults, file).toEqual([]);
    stack.close();
  }
});

test.skipIf(!hasQemu)('what is data and what is zero is what qemu-img says, which does not tell of VHDX', async () => {
  const kinds = [
    ['vdi', vdi, 'vdi', ''],
    ['vpc', vhd, 'vpc', ''],
  ] as const;
  for (const [id, format, name, options] of kinds) {
    const made = join(folder, `${id}-${options}.made`);
    const done = spawnSync('qemu-img', ['map', '--output=json', '-f', name, made], { encoding: 'utf8' });
    const expected = (JSON.parse(done.stdout) as { start: number; length: number; data: boolean; zero: boolean }[]).map(
      ({ start, length, data }) => [start, length, data ? 'data' : 'zero'],
    );
    const node = await format.open(new MemorySource(readFileSync(made)), {
      source: made,
      self: made,
      signal: new AbortController().signal,
      damage: (at, code, wanted, actual, effect) => ({ code, at: `${made}@${at}`, expected: wanted, actual, effect }),
      siblings: async () => [],
    });
    expect(await shape(await node.bytes!())).toEqual(joined(expected as [number, number, string][]));
  }
});

async function shape(source: Source): Promise<[number, number, string][]> {
  const list = new RunList();
  const out: [number, number, string][] = [];
  for (let at = 0; at < source.size; ) {
    list.clear();
    const reached = await source.runs(at, source.size, list);
    for (let i = 0; i < list.n; i++) {
      out.push([at, list.length[i], list.state(i) === ZERO ? 'zero' : 'data']);
      at += list.length[i];
    }
    expect(at).toBe(reached);
  }
  return joined(out);
}

function joined(list: readonly [number, number, string][]): [number, number, string][] {
  const out: [number, number, string][] = [];
  for (const [at, length, kind] of list) {
    const last = out.at(-1);
    if (last !== undefined && last[2] === kind) last[1] += length;
    else out.push([at, length, kind]);
  }
  return out;
}
