/** Tar archives and OVA: those that tar writes, in all its dialects, damaged ones, and the disks inside. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { INFERRED, RunList, STATED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { tarHeader } from '../../src/formats/filesystem/tar/header.ts';
import { tar } from '../../src/formats/filesystem/tar/index.ts';
import { locate } from '../../src/stack/locate.ts';
import { Stack } from '../../src/stack/stack.ts';
import { faulty, put, truncated, unreadable, zeroed } from '../faults/faults.ts';
import { entry, pack } from '../make/archive/tar.ts';
import { seeded } from '../make/content.ts';
import { converted, qemuAbsent, rawDisk } from '../make/disks.ts';
import { makeStore } from '../make/stores.ts';
import { checkFormat } from '../suites/check-format.ts';
import { brokenInvariants } from '../suites/check-source.ts';
import { evidenceOf } from './stores.ts';

const MIB = 1024 * 1024;
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-tar-'));
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

const bytesOf = (seed: number, length: number): Uint8Array => seeded(seed, length).read(0, length);
const disk = bytesOf(1, 3 * MIB + 100);
const three = pack([
  entry('vm.ovf', Buffer.from('<Envelope/>')),
  entry('vm-disk1.vmdk', disk),
  entry('vm.mf', bytesOf(2, 700)),
]);
const plain = { name: 'three.ova', source: new MemorySource(three), children: ['vm.ovf', 'vm-disk1.vmdk', 'vm.mf'] };
const text = { name: 'text', source: new MemorySource(Buffer.from('vm.ovf\n'.repeat(900))) };
const noise = { name: 'noise', source: new MemorySource(bytesOf(9, 65536)) };
const nothing = { name: 'zeros', source: new MemorySource([], MIB) };

checkFormat(tar, { fixtures: [plain], others: [text, noise, nothing], tables: [{ at: 0, table: tarHeader }] });

async function opened(source: Source, name = 'x.ova'): Promise<{ stack: Stack; root: Node; files: Map<string, Node> }> {
  const stack = new Stack([{ name, source }]);
  const root = (await stack.inside(stack.roots[0]))!;
  const files = new Map<string, Node>();
  for await (const child of stack.children(root)) files.set(child.rawName, child);
  return { stack, root, files };
}

async function read(node: Node | undefined): Promise<{ bytes: Buffer; lost: number; weakest: number }> {
  const source = await node!.bytes!();
  expect(await brokenInvariants(source)).toEqual([]);
  const bytes = Buffer.alloc(source.size);
  const gaps = await source.read(0, bytes);
  let weakest = 4;
  const list = new RunList();
  for (let at = 0; at < source.size; ) {
    list.clear();
    at = await flatten(source, at, source.size, list);
    for (let i = 0; i < list.n; i++) weakest = Math.min(weakest, list.certainty(i));
  }
  return { bytes, lost: gaps.reduce((sum, gap) => sum + gap.length, 0), weakest };
}

const codes = (node: Node): string[] => node.damage.map(({ code }) => code);

beforeAll(() => {
  const src = path.join(dir, 'src');
  fs.mkdirSync(path.join(src, 'deep'), { recursive: true });
  fs.writeFileSync(path.join(src, 'a.bin'), bytesOf(3, 5000));
  fs.writeFileSync(path.join(src, 'deep', `${'long'.repeat(50)}.bin`), bytesOf(4, 3000));
  fs.linkSync(path.join(src, 'a.bin'), path.join(src, 'hard'));
  fs.symlinkSync('a.bin', path.join(src, 'soft'));
  const sparse = fs.openSync(path.join(src, 'sparse.img'), 'w');
  for (let i = 0; i < 40; i++) fs.writeSync(sparse, bytesOf(10 + i, 5000), 0, 5000, i * 300_000);
  fs.ftruncateSync(sparse, 20 * MIB);
  fs.closeSync(sparse);
});

test.each(['gnu', 'pax', 'gnu -S', 'pax -S'])('what tar writes as %s is read as it was', async (dialect) => {
  const file = path.join(dir, `${dialect}.tar`);
  const [format, ...more] = dialect.split(' ');
  const done = spawnSync('tar', [...more, `--format=${format}`, '-cf', file, '-C', path.join(dir, 'src'), '.']);
  expect(done.status).toBe(0);
  const stack = new Stack([file]);
  const root = (await stack.inside(stack.roots[0]))!;
  expect(root.damage).toEqual([]);
  for (const name of ['a.bin', 'hard', 'sparse.img', `deep/${'long'.repeat(50)}.bin`]) {
    const { node } = await locate(stack, `${file}::tar/${name}`);
    const { bytes, lost, weakest } = await read(node);
    expect([lost, weakest], name).toEqual([0, STATED]);
    expect(bytes.equals(fs.readFileSync(path.join(dir, 'src', name))), name).toBe(true);
  }
  const soft = (await stack.child(root, 'soft'))!;
  expect([soft.kind, soft.facts.target, String((await read(soft)).bytes)]).toEqual(['symlink', 'a.bin', 'a.bin']);
  stack.close();
});

test('sizes in base 256 are read', async () => {
  const { files } = await opened(new MemorySource(pack([entry('big', disk, { base256: true })])));
  expect((await read(files.get('big'))).bytes.equals(Buffer.from(disk))).toBe(true);
});

test('a damaged header loses a name, and the members after it are had', async () => {
  const at = three.findIndex(
    (_, i) => i % 512 === 0 && Buffer.from(three.buffer, i, 13).toString('latin1') === 'vm-disk1.vmdk',
  );
  for (const fault of [put(at + 30, Uint8Array.of(77)), zeroed(at, 512), unreadable(at, 512)]) {
    const { root, files } = await opened(faulty(new MemorySource(three), [fault]));
    expect(codes(root)).toEqual(['tar.header']);
    expect([...files.keys()]).toEqual(['vm.ovf', `lost-0x${at.toString(16)}`, 'vm.mf']);
    const lost = await read(files.get(`lost-0x${at.toString(16)}`));
    expect([lost.bytes.subarray(0, disk.length).equals(Buffer.from(disk)), lost.weakest]).toEqual([true, INFERRED]);
    expect((await read(files.get('vm.mf'))).weakest).toBe(INFERRED);
    expect((await read(files.get('vm.ovf'))).weakest).toBe(STATED);
  }
});

test('zeros in the middle are no end where members follow', async () => {
  const { root, files } = await opened(faulty(new MemorySource(three), [zeroed(1024, 4096)]));
  expect(codes(root)).toEqual(['tar.end-early']);
  expect(files.has('vm.mf')).toBe(true);
  const lost = [...files.values()].find(({ state }) => state === 'orphan')!;
  const { bytes } = await read(lost);
  expect(bytes.includes(Buffer.from(disk.subarray(8192, 20_000)))).toBe(true);
});

test('the first header is not needed where the name says what it is', async () => {
  const source = faulty(new MemorySource(three), [zeroed(0, 512)]);
  expect([...(await opened(source)).files.keys()]).toContain('vm-disk1.vmdk');
});

test('an archive that is cut off says what is missing', async () => {
  const { root, files } = await opened(truncated(new MemorySource(three), 2 * MIB));
  expect(codes(root)).toEqual(['tar.cut']);
  const { bytes, lost } = await read(files.get('vm-disk1.vmdk'));
  expect([bytes.length, lost]).toEqual([disk.length, disk.length - (2 * MIB - 1536)]);
  expect(codes(files.get('vm-disk1.vmdk')!)).toEqual(['tar.cut']);
});

test('names lead nowhere, and the later of two is the one', async () => {
  const hostile = ['../../etc/passwd', '/abs', 'a/../b', 'x', 'x', 'x/y', `${'d/'.repeat(300)}e`];
  const { root, files, stack } = await opened(
    new MemorySource(pack(hostile.map((name, i) => entry(name, Buffer.from(`${i}`))))),
  );
  expect([...files.keys()].sort()).toEqual(['..', 'a', 'abs', 'd', 'x', 'x;2', 'x;3']);
  expect(String((await read(files.get('x;3'))).bytes)).toBe('4');
  expect(String((await read((await stack.child((await stack.child(root, 'x'))!, 'y'))!)).bytes)).toBe('5');
});

test.skipIf(qemuAbsent !== undefined)('the disk inside an OVA opens where it lies', async () => {
  const raw = rawDisk(8 * MIB, 5);
  const stream = converted(raw, 'streamOptimized')['d.vmdk'];
  const file = path.join(dir, 'm.ova');
  fs.writeFileSync(file, pack([entry('m.ovf', Buffer.from('<Envelope/>')), entry('m-disk1.vmdk', stream)]));
  const stack = new Stack([file]);
  const { node } = await locate(stack, `${file}::tar/m-disk1.vmdk::vmdk`);
  expect(node.damage).toEqual([]);
  expect((await read(node)).bytes.equals(Buffer.from(raw))).toBe(true);
  stack.close();
});

test('an OVA inside a datastore opens there', async () => {
  const file = { path: '/iso/three.ova', kind: 'file' as const, mode: 0o600, content: three };
  const folder = { path: '/iso', kind: 'directory' as const, mode: 0o755 };
  const evidence = evidenceOf(makeStore(6, { seed: 6, members: [{ pes: 16 }], entries: [folder, file] }));
  const stack = new Stack(evidence);
  const { node } = await locate(stack, `${evidence[0].name}::vmfs/iso/three.ova::tar/vm-disk1.vmdk`);
  expect((await read(node)).bytes.equals(Buffer.from(disk))).toBe(true);
});
