/** Chains of disks: what is wrong with a link is told, what could lie there is weighed, a choice is read through. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MemorySource } from '../src/core/memory.ts';
import { flatten } from '../src/core/resolve.ts';
import { INFERRED, LOST, RunList, STATED } from '../src/core/run.ts';
import type { Source } from '../src/core/source.ts';
import type { Choice } from '../src/stack/chains.ts';
import { locate } from '../src/stack/locate.ts';
import { type Solved, solve } from '../src/stack/solve.ts';
import { Stack } from '../src/stack/stack.ts';
import { evidenceOf } from './formats/stores.ts';
import { type Disk, disk } from './make/disk/content.ts';
import { makeVdi, type VdiSpec } from './make/disk/vdi.ts';
import { qemu, qemuAbsent, rawDisk } from './make/disks.ts';
import { machine } from './make/machines.ts';
import { makeStore } from './make/stores.ts';

const MIB = 1024 * 1024;
let dir = '';
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-solve-'));
});
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }));
const at = (name: string): string => path.join(dir, name);
const id = (n: number): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => (i < 2 ? (n >> (8 * i)) & 0xff : i));

/** VDI files in memory; the names are their locators. */
function vdis(files: Readonly<Record<string, VdiSpec>>, parents: readonly Choice[] = []): Stack {
  const given = Object.entries(files).map(([name, spec]) => ({ name, source: new MemorySource(makeVdi(spec).bytes) }));
  return new Stack(given, { parents });
}

/** Names and ties of each chain, from the top down. */
function shape({ chains }: Solved): string[] {
  return chains.map(({ levels }) =>
    levels.map(({ disk: { file }, tie }) => `${path.basename(file.locator)}${tie ? ` ${tie.how}` : ''}`).join(' > '),
  );
}

/** Whole bytes of a given disk, how many are missing, and the weakest grade of the others. */
async function whole(
  stack: Stack,
  name: string,
): Promise<{ bytes: Buffer; lost: number; weakest: number; codes: string[] }> {
  const node = (await stack.inside(stack.roots.find(({ locator }) => locator === name)!))!;
  const source: Source = await node.bytes!();
  const bytes = Buffer.alloc(source.size);
  const gaps = await source.read(0, bytes);
  let weakest = 4;
  const list = new RunList();
  for (let from = 0; from < source.size; ) {
    list.clear();
    from = await flatten(source, from, source.size, list);
    for (let i = 0; i < list.n; i++) if (list.certainty(i) !== LOST) weakest = Math.min(weakest, list.certainty(i));
  }
  const lost = gaps.reduce((sum, gap) => sum + gap.length, 0);
  return { bytes, lost, weakest, codes: node.damage.map(({ code }) => code) };
}

/** A base, a middle and a top of VMDK, as qemu-img makes them; answers what they are together. */
function threeOfQemu(): Buffer {
  fs.writeFileSync(at('raw'), rawDisk(16 * MIB, 8));
  // Its content id is random and written without leading zeros; tests put another of eight digits in its place.
  do qemu('qemu-img', ['convert', '-f', 'raw', '-O', 'vmdk', at('raw'), at('base.vmdk')]);
  while (!/^CID=[0-9a-f]{8}$/m.test(fs.readFileSync(at('base.vmdk'), 'latin1')));
  for (const [name, parent] of [
    ['mid.vmdk', 'base.vmdk'],
    ['top.vmdk', 'mid.vmdk'],
  ]) {
    qemu('qemu-img', ['create', '-q', '-f', 'vmdk', '-b', parent, '-F', 'vmdk', at(name)]);
    qemu('qemu-io', ['-c', `write -q -P ${name.charCodeAt(0)} ${name.length}M 1M`, at(name)]);
  }
  qemu('qemu-img', ['convert', '-O', 'raw', at('top.vmdk'), at('flat')]);
  const flat = fs.readFileSync(at('flat'));
  fs.rmSync(at('raw'));
  fs.rmSync(at('flat'));
  return flat;
}

const edit = (name: string, from: RegExp, to: string): void =>
  fs.writeFileSync(at(name), fs.readFileSync(at(name), 'latin1').replace(from, to), 'latin1');

test.skipIf(qemuAbsent !== undefined)('a parent with another content id is explained, and read through', async () => {
  const flat = threeOfQemu();
  edit('base.vmdk', /CID=[0-9a-f]{8}/, 'CID=0badcafe');
  const written = fs.statSync(at('mid.vmdk')).mtimeMs / 1000;
  fs.utimesSync(at('base.vmdk'), written - 50, written - 50);
  const before = new Stack([dir]);
  const solved = await solve(before);
  expect(shape(solved)).toEqual(['top.vmdk proved > mid.vmdk named > base.vmdk']);
  const { tie } = solved.chains[0].levels[1];
  expect(tie?.reasons.join('; ')).toMatch(/its identity is cid:0badcafe.*may only have been attached/);
  expect(tie?.offers[0]).toMatchObject({ isTaken: true, isRejected: false, missing: 0 });
  expect(tie?.offers.at(-1)).toMatchObject({ isRejected: true });
  before.close();
  const later = written + 50;
  fs.utimesSync(at('base.vmdk'), later, later);
  const stack = new Stack([at('top.vmdk')]);
  expect((await solve(stack)).chains[0].levels[1].tie?.reasons.join()).toMatch(/may have been used on its own/);
  const { bytes, weakest, codes } = await whole(stack, at('top.vmdk'));
  expect([bytes.equals(flat), weakest, codes]).toEqual([true, INFERRED, ['chain.identity']]);
  stack.close();
});

test.skipIf(qemuAbsent !== undefined)(
  'a parent that was renamed is found by what it is, and one that was edited by choice',
  async () => {
    const flat = threeOfQemu();
    fs.renameSync(at('base.vmdk'), at('web (copy).vmdk'));
    const stack = new Stack([dir]);
    const [proved] = (await solve(stack)).chains;
    expect(shape({ chains: [proved], isCut: false })).toEqual(['top.vmdk proved > mid.vmdk proved > web (copy).vmdk']);
    stack.close();
    edit('web (copy).vmdk', /CID=[0-9a-f]{8}/, 'CID=0badcafe');
    const lost = new Stack([dir]);
    const { levels, missing } = (await solve(lost)).chains[0];
    expect([levels.length, levels[1].tie?.how]).toEqual([2, 'missing']);
    const [offer] = levels[1].tie!.offers;
    expect([offer.disk.file.rawName, offer.isRejected, offer.missing]).toEqual(['web (copy).vmdk', false, 0]);
    expect(missing).toBeGreaterThan(0);
    lost.close();
    const parents = [{ child: at('mid.vmdk'), parent: at('web (copy).vmdk') }];
    const chosen = new Stack([at('top.vmdk')], { parents });
    const { bytes, weakest, codes } = await whole(chosen, at('top.vmdk'));
    expect([bytes.equals(flat), weakest, codes]).toEqual([true, INFERRED, ['chain.chosen']]);
    expect(chosen.unusedParents).toEqual([]);
    chosen.close();
  },
);

test.skipIf(qemuAbsent !== undefined)('a chosen parent in another folder finds its extents there', async () => {
  fs.mkdirSync(at('old'));
  fs.writeFileSync(at('raw'), rawDisk(16 * MIB, 9));
  const flat = ['convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=monolithicFlat'];
  qemu('qemu-img', [...flat, at('raw'), at('old/base.vmdk')]);
  qemu('qemu-img', ['create', '-q', '-f', 'vmdk', '-b', 'old/base.vmdk', '-F', 'vmdk', at('top.vmdk')]);
  const stack = new Stack([at('top.vmdk')], { parents: [{ child: 'top.vmdk', parent: at('old/base.vmdk') }] });
  const { bytes, lost, codes } = await whole(stack, at('top.vmdk'));
  // It says itself that it is the parent: then the choice takes nothing from its certainty.
  expect([bytes.equals(fs.readFileSync(at('raw'))), lost, codes]).toEqual([true, 0, []]);
  stack.close();
});

const base = disk(11, MIB, 9, 60);
const upper = disk(12, MIB, 9, 40);
const link = (n: number, parent: number, of: Disk = upper): VdiSpec => ({
  disk: of,
  type: 4,
  uuid: id(n),
  modified: id(n + 1000),
  link: id(parent),
});
const root = (n: number, of: Disk = base): VdiSpec => ({ disk: of, uuid: id(n), modified: id(n + 1000) });

test.skipIf(qemuAbsent !== undefined)('a child that names the wrong disk is put on the right one', async () => {
  const flat = threeOfQemu();
  qemu('qemu-img', ['create', '-q', '-f', 'vmdk', at('else.vmdk'), '16M']);
  edit('mid.vmdk', /"base.vmdk"/, '"else.vmdk"');
  const stack = new Stack([at('top.vmdk')]);
  expect(shape(await solve(stack))).toEqual(['top.vmdk proved > mid.vmdk proved > base.vmdk']);
  const { bytes, weakest, codes } = await whole(stack, at('top.vmdk'));
  expect([bytes.equals(flat), weakest, codes]).toEqual([true, STATED, []]);
  stack.close();
});

test('of two parents with one identity one is read, as inferred, and the other can be chosen', async () => {
  const other = disk(14, MIB, 9, 60);
  const files = { 'now.vdi': link(1, 2), 'a.vdi': root(2), 'b.vdi': root(2, other) };
  const stack = vdis(files);
  const solved = await solve(stack);
  expect(shape(solved)[0]).toBe('now.vdi alike > a.vdi');
  expect(solved.chains[0].levels[0].tie?.reasons.join()).toContain('b.vdi');
  const first = await whole(stack, 'now.vdi');
  expect([first.weakest, first.codes]).toEqual([INFERRED, ['chain.alike']]);
  const chosen = await whole(vdis(files, [{ child: 'now.vdi', parent: 'b.vdi' }]), 'now.vdi');
  expect(chosen.bytes.equals(first.bytes)).toBe(false);
  const block = other.order.find((i) => !upper.order.includes(i) && !upper.zero.includes(i))!;
  const expected = Buffer.from(other.raw.subarray(block * MIB, (block + 1) * MIB));
  expect(chosen.bytes.subarray(block * MIB, (block + 1) * MIB).equals(expected)).toBe(true);
});

test('of two copies of a parent the one that nobody wrote to is the one', async () => {
  const child = { ...link(1, 2), linkModified: id(77) };
  const files = { 'now.vdi': child, 'a.vdi': root(2), 'b.vdi': { ...root(2), modified: id(77) } };
  const stack = vdis(files);
  expect(shape(await solve(stack))[0]).toBe('now.vdi proved > b.vdi');
  expect((await whole(stack, 'now.vdi')).weakest).toBe(STATED);
  const { 'b.vdi': _kept, ...changed } = files;
  expect(shape(await solve(vdis(changed)))[0]).toBe('now.vdi changed > a.vdi');
});

test('a loop ends, and is told', async () => {
  const stack = vdis({ 'a.vdi': link(1, 2), 'b.vdi': link(2, 3), 'c.vdi': link(3, 1) });
  const solved = await solve(stack);
  expect(shape(solved)).toEqual(['a.vdi proved > b.vdi proved > c.vdi loop']);
  expect((await whole(stack, 'a.vdi')).codes).toEqual(['chain.loop']);
  const own = vdis({ 'a.vdi': link(1, 2), 'b.vdi': root(2) }, [{ child: 'a.vdi', parent: 'a.vdi' }]);
  expect((await whole(own, 'a.vdi')).codes).toEqual(['chain.loop']);
});

test('with the middle lost the base is offered, and what it gives is what it has', async () => {
  const files = { 'top.vdi': link(1, 2), 'base.vdi': root(3), 'small.vdi': root(4, disk(15, MIB, 5, 50)) };
  const solved = await solve(vdis(files));
  expect(shape(solved)[0]).toBe('top.vdi missing');
  const { tie } = solved.chains[0].levels[0];
  expect(tie?.offers.map(({ disk: one, isRejected }) => [one.file.rawName, isRejected])).toEqual([
    ['base.vdi', false],
    ['small.vdi', true],
  ]);
  expect(tie?.offers[1].reasons.join()).toContain('its capacity differs');
  expect(solved.chains[0].missing).toBe((9 - upper.order.length - upper.zero.length) * MIB);
  expect(tie?.offers[0].missing).toBe(0);
  const chosen = await whole(vdis(files, [{ child: 'top.vdi', parent: 'base.vdi' }]), 'top.vdi');
  expect([chosen.lost, chosen.weakest]).toEqual([0, INFERRED]);
});

/** A partition table in the first block, and a file system of `sectors` at the start of the second one. */
function guest(seed: number, hasTable: boolean, sectors: number): Disk {
  const made = disk(seed, MIB, 9, 100);
  const raw = Buffer.from(made.raw);
  raw.fill(0, 0, 512);
  if (hasTable) {
    raw.writeUInt8(7, 446 + 4);
    raw.writeUInt32LE(2048, 446 + 8);
    raw.writeUInt32LE(8192, 446 + 12);
    raw.writeUInt16LE(0xaa55, 510);
  }
  raw.write('NTFS    ', MIB + 3, 'latin1');
  raw.writeUInt16LE(512, MIB + 0x0b);
  raw.writeBigUInt64LE(BigInt(sectors), MIB + 0x28);
  raw.writeUInt16LE(0xaa55, MIB + 510);
  return { ...made, raw, order: hasTable ? [0] : made.order, zero: [] };
}

test('of two possible parents the one whose inside fits comes first', async () => {
  const top = guest(20, true, 1);
  const files = {
    'top.vdi': link(1, 2, top),
    'wrong.vdi': root(3, guest(21, false, 100_000)),
    'right.vdi': root(4, guest(22, false, 8000)),
  };
  const offers = (await solve(vdis(files))).chains[0].levels[0].tie!.offers;
  expect(offers.map(({ disk: one }) => one.file.rawName)).toEqual(['right.vdi', 'wrong.vdi']);
  expect(offers[0].guest).toMatchObject({ clashes: [], unknown: [] });
  expect(offers[0].guest?.fits.join()).toContain('NTFS');
  expect(offers[1].guest?.clashes.join()).toMatch(/NTFS says that it has \d+ bytes/);
});

test('what is read through a descriptor that was made anew is inferred', async () => {
  const made = machine({ name: 'web', seed: 31, disks: [{ bytes: 8 * MIB, fill: 0.5, thin: true }], snapshots: 1 });
  const entries = made.entries.filter((entry) => !entry.path.endsWith('/web.vmdk'));
  const evidence = evidenceOf(makeStore(6, { seed: 6, members: [{ pes: 16 }], entries }));
  const from = `${evidence[0].name}::vmfs/web`;
  const parents = [{ child: `${from}/web-000001.vmdk`, parent: `${from}/+regenerated/web.vmdk` }];
  const stack = new Stack(evidence, { parents });
  const list = new RunList();
  for (const name of ['+regenerated/web.vmdk', 'web-000001.vmdk']) {
    const source = await (await locate(stack, `${from}/${name}::vmdk`)).node.bytes!();
    list.clear();
    await flatten(source, 0, source.size, list);
    const grades = new Set(Array.from({ length: list.n }, (_, i) => list.certainty(i)));
    expect(
      [...grades].sort((a, b) => a - b),
      name,
    ).toEqual(name === 'web-000001.vmdk' ? [INFERRED, STATED] : [INFERRED]);
  }
});

test.skipIf(qemuAbsent !== undefined)('a machine that names an older state is told of', async () => {
  threeOfQemu();
  const config = ['.encoding = "UTF-8"', 'config.version = "8"', 'virtualHW.version = "13"', 'displayName = "web"'];
  const slot = ['scsi0:0.present = "TRUE"', 'scsi0:0.fileName = "mid.vmdk"'];
  fs.writeFileSync(at('web.vmx'), `${[...config, ...slot].join('\n')}\n`);
  const stack = new Stack([dir]);
  const [{ notices, levels }] = (await solve(stack)).chains;
  expect(levels[1].users.join()).toContain('web.vmx (scsi0:0)');
  expect(notices.join()).toMatch(/names .*mid.vmdk, and 1 newer layer lies on it/);
  stack.close();
});

test('a chain of 255 links takes one pass over their tables', async () => {
  const tiny = disk(30, 65536, 4, 40);
  const files: Record<string, VdiSpec> = {};
  // Names that say nothing: all is known by identities.
  for (let n = 255; n > 0; n--) files[`x${(n * 97) % 256}.vdi`] = link(n, n - 1, tiny);
  files['base.vdi'] = root(0, tiny);
  const started = performance.now();
  const stack = vdis(files);
  const solved = await solve(stack);
  expect(performance.now() - started).toBeLessThan(10_000);
  expect(solved.chains).toHaveLength(1);
  expect(solved.chains[0].levels).toHaveLength(256);
  expect(solved.chains[0].levels.slice(0, -1).every(({ tie }) => tie?.how === 'proved')).toBe(true);
  expect((await whole(stack, stack.roots[0].locator)).weakest).toBe(STATED);
}, 30_000);
