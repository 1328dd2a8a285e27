/** Differencing VDI, VHD and VHDX over their parents, and logs of VHDX that were not replayed. */
import { expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { INFERRED, RunList } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { type Disk, disk, type MadeDisk } from '../make/disk/content.ts';
import { bundle, makeParallels, partsBundle } from '../make/disk/parallels.ts';
import { makeVdi } from '../make/disk/vdi.ts';
import { makeVhd } from '../make/disk/vhd.ts';
import { makeVhdx } from '../make/disk/vhdx.ts';
import { brokenInvariants } from '../suites/check-source.ts';

const MIB = 1024 * 1024;
const id = (n: number): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => (n * 16 + i) & 0xff);
const base = disk(11, MIB, 9, 60);
const middle = disk(12, MIB, 9, 40);
const top = disk(13, MIB, 9, 30);

/** What is read through `layers`, the uppermost first, each with what it has itself. */
function through(layers: readonly { disk: Disk; has?: (sector: number) => boolean }[]): Buffer {
  const out = Buffer.alloc(layers[0].disk.size);
  for (const { disk: layer, has } of [...layers].reverse()) {
    for (let sector = 0; sector < layer.size / 512; sector++) {
      const block = Math.floor((sector * 512) / layer.block);
      const isHere = layer.order.includes(block) && (has === undefined || has(sector));
      if (isHere) out.set(layer.raw.subarray(sector * 512, sector * 512 + 512), sector * 512);
      else if (layer.zero.includes(block)) out.fill(0, sector * 512, sector * 512 + 512);
    }
  }
  return out;
}

async function opened(
  files: Record<string, MadeDisk>,
): Promise<{ node: Node; source: Source; bytes: Buffer; lost: number }> {
  const stack = new Stack(
    Object.entries(files).map(([name, { bytes }]) => ({ name, source: new MemorySource(bytes) })),
  );
  const node = (await stack.inside(stack.roots[0]))!;
  const source = await node.bytes!();
  const bytes = Buffer.alloc(source.size);
  const gaps = await source.read(0, bytes);
  expect(await brokenInvariants(source)).toEqual([]);
  return { node, source, bytes, lost: gaps.reduce((sum, gap) => sum + gap.length, 0) };
}

async function weakest(source: Source): Promise<number> {
  const list = new RunList();
  let out = 4;
  for (let at = 0; at < source.size; ) {
    list.clear();
    at = await flatten(source, at, source.size, list);
    for (let i = 0; i < list.n; i++) out = Math.min(out, list.certainty(i));
  }
  return out;
}

const some = (sector: number): boolean => sector % 7 < 3;
const vdiBase = { disk: base, uuid: id(1), modified: id(2) };
const vdiMiddle = { disk: middle, type: 4, uuid: id(3), modified: id(4), link: id(1), linkModified: id(2) };
const vdiTop = { disk: top, type: 4, uuid: id(5), modified: id(6), link: id(3), linkModified: id(4) };

test('a VDI finds its parents by their identifiers, whatever they are called', async () => {
  const files = { 'now.vdi': makeVdi(vdiTop), 'x.vdi': makeVdi(vdiBase), 'y.vdi': makeVdi(vdiMiddle) };
  const { node, bytes, lost, source } = await opened(files);
  expect(node.damage).toEqual([]);
  expect(lost).toBe(0);
  expect(bytes.equals(through([{ disk: top }, { disk: middle }, { disk: base }]))).toBe(true);
  expect(await weakest(source)).toBe(3);
});

test('a parent that was written to since is read through as inferred', async () => {
  const changed = makeVdi({ ...vdiBase, modified: id(9) });
  const { node, source, bytes } = await opened({ 'now.vdi': makeVdi(vdiMiddle), 'base.vdi': changed });
  expect(node.damage.map((one) => one.code)).toEqual(['chain.changed']);
  expect(await weakest(source)).toBe(INFERRED);
  expect(bytes.equals(through([{ disk: middle }, { disk: base }]))).toBe(true);
});

test('what only a lost parent has is missing', async () => {
  const { node, lost } = await opened({ 'now.vdi': makeVdi(vdiMiddle) });
  expect(node.damage.map((one) => one.code)).toEqual(['chain.parent']);
  expect(lost).toBe((9 - middle.order.length - middle.zero.length) * MIB);
});

test('a VHD has some sectors itself, and the others in its parent', async () => {
  const parent = makeVhd({ disk: base, id: id(1) });
  const child = {
    disk: { ...middle, zero: [] },
    type: 4,
    id: id(2),
    parent: { id: id(1), name: 'base.vhd' },
    has: some,
  };
  const { node, bytes, lost } = await opened({ 'now.vhd': makeVhd({ ...child, stale: 0xee }), 'base.vhd': parent });
  expect(node.damage).toEqual([]);
  expect(lost).toBe(0);
  expect(bytes.equals(through([{ disk: { ...middle, zero: [] }, has: some }, { disk: base }]))).toBe(true);
  const renamed = await opened({ 'now.vhd': makeVhd(child), 'moved.vhd': parent });
  expect(renamed.bytes.equals(bytes)).toBe(true);
});

test('a bitmap that was lost hides nothing behind the parent', async () => {
  const parent = makeVhd({ disk: base, id: id(1) });
  const child = makeVhd({ disk: middle, type: 4, id: id(2), parent: { id: id(1), name: 'base.vhd' } });
  const bitmap = child.parts.find((part) => part.name === 'bitmap')!;
  child.bytes.fill(0, bitmap.at, bitmap.at + bitmap.length);
  const { lost } = await opened({ 'now.vhd': child, 'base.vhd': parent });
  expect(lost).toBe(MIB);
});

test('a VHD without its first bytes is known by the footer at its end, and guessed', async () => {
  const made = makeVhd({ disk: base });
  const table = made.parts.find((part) => part.name === 'table')!;
  made.bytes.fill(0, 0, table.at + table.length);
  const { node, source } = await opened({ 'a.vhd': made });
  expect(node.damage.map((one) => one.code)).toEqual(expect.arrayContaining(['vhd.lost', 'vhd.header']));
  expect(source.size).toBe(base.size);
  expect(await weakest(source)).toBeLessThan(INFERRED);
});

test.each([2 ** 16, 2 ** 19, 2 ** 21])('without header and table, blocks of %i bytes are told apart', async (block) => {
  const made = makeVhd({ disk: disk(31, block, 16, 60) });
  const table = made.parts.find((part) => part.name === 'table')!;
  made.bytes.fill(0, 0, table.at + table.length);
  const { node, source } = await opened({ 'a.vhd': made });
  expect(node.facts.details).toMatchObject({ blockSize: block });
  expect(await weakest(source)).toBeLessThan(INFERRED);
});

test('a block without a bit and without a byte states neither zeros nor the parent', async () => {
  const parent = makeVhd({ disk: base, id: id(1) });
  const files = (made: MadeDisk): Record<string, MadeDisk> => ({ 'now.vhd': made, 'base.vhd': parent });
  for (const child of [
    makeVhd({ disk: middle, id: id(2) }),
    makeVhd({ disk: middle, type: 4, id: id(2), parent: { id: id(1), name: 'base.vhd' } }),
  ]) {
    const bitmap = child.parts.find((part) => part.name === 'bitmap')!;
    expect(await weakest((await opened(files(child))).source)).toBeGreaterThan(INFERRED);
    child.bytes.fill(0, bitmap.at, bitmap.at + bitmap.length + MIB);
    expect(await weakest((await opened(files(child))).source)).toBe(INFERRED);
  }
});

test.each([512, 4096] as const)('a VHDX of sectors of %i bytes over its parent', async (sector) => {
  const has = (number: number): boolean => some(number);
  const hasSector = (number: number): boolean => some(Math.floor((number * 512) / sector));
  const parent = makeVhdx({ disk: base, sector, dataWrite: 'dddddddd-0000-0000-0000-00000000000a' });
  const link = { dataWrite: 'dddddddd-0000-0000-0000-00000000000a', name: 'base.vhdx' };
  const child = makeVhdx({ disk: middle, sector, parent: link, has });
  const { node, bytes, lost } = await opened({ 'now.avhdx': child, 'base.vhdx': parent });
  expect(node.damage).toEqual([]);
  expect(lost).toBe(0);
  expect(bytes.equals(through([{ disk: middle, has: hasSector }, { disk: base }]))).toBe(true);
  // Written to since: found by its name, and not what the child lies on.
  const later = makeVhdx({ disk: base, sector, dataWrite: 'dddddddd-0000-0000-0000-00000000000b' });
  const other = await opened({ 'now.avhdx': child, 'base.vhdx': later });
  expect(other.node.damage.map((one) => one.code)).toEqual(['chain.identity']);
  expect(await weakest(other.source)).toBe(INFERRED);
});

test('a log that was not replayed is, and the file stays as it is', async () => {
  const made = makeVhdx({ disk: base, open: true });
  const before = Buffer.from(made.bytes);
  const { node, bytes, source } = await opened({ 'a.vhdx': made });
  expect(node.damage.map((one) => one.code)).toEqual(['vhdx.log-replayed']);
  expect(bytes.equals(Buffer.from(base.raw))).toBe(true);
  expect(await weakest(source)).toBe(3);
  expect(before.equals(made.bytes)).toBe(true);
});

test('a log that is broken makes the disk less certain', async () => {
  const made = makeVhdx({ disk: base, open: true });
  made.bytes.fill(0x33, 0x100000 + 8192 + 100, 0x100000 + 8192 + 200);
  const { node, source } = await opened({ 'a.vhdx': made });
  expect(node.damage.map((one) => one.code)).toContain('vhdx.log-replayed');
  expect(await weakest(source)).toBeLessThanOrEqual(INFERRED);
});

test('with both headers lost the log is replayed where it says something new', async () => {
  const made = makeVhdx({ disk: base, open: true });
  for (const { at, length } of made.parts.filter((part) => part.name.startsWith('header')))
    made.bytes.fill(0, at, at + length);
  const { node, bytes, source } = await opened({ 'a.vhdx': made });
  expect(node.damage.map((one) => one.code)).toContain('vhdx.log-open');
  expect(bytes.equals(Buffer.from(base.raw))).toBe(true);
  expect(await weakest(source)).toBe(INFERRED);
});

test('a Parallels bundle says in its descriptor which image lies on which', async () => {
  const layer = { ...middle, zero: [] };
  const text = { bytes: bundle(['root.hds', 'now.hds']), parts: [] };
  const files = { 'now.hds': makeParallels(layer), 'root.hds': makeParallels(base), 'DiskDescriptor.xml': text };
  const { node, bytes, lost } = await opened(files);
  expect(node.damage).toEqual([]);
  expect(lost).toBe(0);
  expect(bytes.equals(through([{ disk: layer }, { disk: base }]))).toBe(true);
  const alone = await opened({ 'now.hds': makeParallels(layer) });
  expect(await weakest(alone.source)).toBe(INFERRED);
});

test('a bundle by its descriptor is the state that is in use', async () => {
  const text = { bytes: bundle(['root.hds', 'now.hds']), parts: [] };
  const files = { 'DiskDescriptor.xml': text, 'root.hds': makeParallels(base), 'now.hds': makeParallels(top) };
  const { node, bytes, lost } = await opened(files);
  expect([node.kind, lost]).toEqual(['disk', 0]);
  expect(bytes.equals(through([{ disk: top }, { disk: base }]))).toBe(true);
});

test('a bundle in parts is all of them in a row, and what is not there is missing', async () => {
  const [first, second] = [seeded(31, MIB).read(0, MIB), seeded(32, MIB / 2).read(0, MIB / 2)];
  const sectors = (part: Uint8Array): number => part.length / 512;
  const image = makeParallels(base);
  const descriptor = partsBundle([
    { name: 'a.hds', sectors: sectors(first) },
    { name: 'b.hds', sectors: base.size / 512 },
    { name: 'c.hds', sectors: sectors(second) },
  ]);
  const text = { bytes: descriptor, parts: [] };
  const parts = { 'a.hds': { bytes: first, parts: [] }, 'c.hds': { bytes: second, parts: [] } };
  const wanted = Buffer.concat([first, base.raw, second]);
  const whole = await opened({ 'DiskDescriptor.xml': text, ...parts, 'b.hds': image });
  expect([whole.lost, whole.node.damage]).toEqual([0, []]);
  expect(whole.bytes.equals(wanted)).toBe(true);
  const without = await opened({ 'DiskDescriptor.xml': text, ...parts });
  expect(without.node.damage.map(({ code }) => code)).toEqual(['parallels.image']);
  expect(without.lost).toBe(base.size);
  wanted.fill(0, MIB, MIB + base.size);
  expect(without.bytes.equals(wanted)).toBe(true);
});

test('what is wrong with an image of a bundle is said of that image, once', async () => {
  const text = { bytes: bundle(['root.hds']), parts: [] };
  const open = makeParallels(base);
  Buffer.from(open.bytes.buffer, open.bytes.byteOffset).writeUInt32LE(0x746f6e59, 44);
  const { node } = await opened({ 'DiskDescriptor.xml': text, 'root.hds': open });
  expect(node.damage.map(({ code, at }) => [code, at])).toEqual([['parallels.in-use', 'root.hds@44']]);
  const one = { bytes: partsBundle([{ name: 'gone.hds', sectors: 2048 }]), parts: [] };
  const { node: gone, lost } = await opened({ 'DiskDescriptor.xml': one });
  expect([gone.damage.map(({ code }) => code), lost]).toEqual([['parallels.image'], MIB]);
});

test('parts of a bundle that are no whole numbers of sectors are left out', async () => {
  const said = partsBundle([
    { name: 'a.hds', sectors: 2048.3 },
    { name: 'b.hds', sectors: 10 },
  ]);
  const part = { bytes: new Uint8Array(MIB), parts: [] };
  const { node } = await opened({ 'DiskDescriptor.xml': { bytes: said, parts: [] }, 'a.hds': part, 'b.hds': part });
  expect(node.damage.map(({ code }) => code)).toEqual(['parallels.storage', 'parallels.storage']);
});
