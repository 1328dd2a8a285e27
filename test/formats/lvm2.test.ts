/** LVM2 groups: whole, short of devices, with lost headers, and inside the disks of machines. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { INFERRED, STATED } from '../../src/core/run.ts';
import { lvm2 } from '../../src/formats/volume/lvm2/index.ts';
import { area, label, location, metadataHeader, pvHeader } from '../../src/formats/volume/lvm2/structs.ts';
import { home } from '../../src/stack/home.ts';
import { guestTree } from '../../src/stack/inside.ts';
import { locate } from '../../src/stack/locate.ts';
import { Stack } from '../../src/stack/stack.ts';
import { Bytes } from '../make/bytes.ts';
import { seeded } from '../make/content.ts';
import { ext2progsAbsent, makeExt, sampleEntries, writeEntries } from '../make/ext.ts';
import { writeImages } from '../make/images.ts';
import { type LvSpec, makeLvm2 } from '../make/lvm2.ts';
import { makeStore } from '../make/stores.ts';
import type { EntrySpec } from '../make/vmfs/spec.ts';
import { checkFormat } from '../suites/check-format.ts';
import { type Read, read, volume } from './devices.ts';

const CORPUS = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpus', 'images.tar.gz');
const root = fs.mkdtempSync(join(tmpdir(), 'salvor-lvm2-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

const KIB = 1024;
const MIB = 1024 * KIB;
const bytes = (seed: number, size: number): Uint8Array => seeded(seed, size).read(0, size);
const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

const volumes: LvSpec[] = [
  { name: 'root', type: 'linear', content: bytes(60, 3 * MIB), on: [0] },
  { name: 'data', type: 'striped', content: bytes(61, 6 * MIB), chunk: 64 * KIB, on: [0, 1, 2] },
  { name: 'old', type: 'linear', content: bytes(62, 2 * MIB), on: [1], isRemoved: true },
  { name: 'copy', type: 'raid1', content: bytes(63, 2 * MIB), on: [1, 2] },
  { name: 'five', type: 'raid5_ls', content: bytes(64, 4 * MIB), chunk: 64 * KIB, on: [0, 1, 2] },
  { name: 'six', type: 'raid6_zr', content: bytes(65, 4 * MIB), chunk: 64 * KIB, on: [0, 1, 2, 3] },
];
const group = makeLvm2(7, 4, volumes);

async function logical(devices: readonly (Uint8Array | undefined)[], name: string): Promise<Read> {
  const node = await (await volume(devices)).child!(name);
  return read((await node!.bytes!())!);
}

test('each kind of logical volume is read whole', async () => {
  const node = await volume(group);
  expect(node.damage).toEqual([]);
  expect(node.name).toBe('vg7');
  const names: string[] = [];
  for await (const child of node.children!()) names.push(child.name);
  expect(names).toEqual(['root', 'data', 'copy', 'five', 'six']);
  for (const { name, content } of volumes.filter(({ isRemoved }) => isRemoved !== true)) {
    const had = await logical(group, name);
    expect([sha256(had.data), had.lost, had.weakest], name).toEqual([sha256(content), 0, STATED]);
  }
});

test('a volume that was removed is there as it was last written of', async () => {
  const gone = (await (await volume(group)).child!('+deleted'))!;
  const list: Node[] = [];
  for await (const child of gone.children!()) list.push(child);
  expect(list.map(({ name, state }) => [name, state])).toEqual([['old-2', 'deleted']]);
  const had = await read((await list[0].bytes!())!);
  expect([sha256(had.data), had.weakest]).toEqual([sha256(volumes[2].content), INFERRED]);
});

test('without a physical volume, what redundancy holds is had and the rest is missing', async () => {
  const without = group.map((one, i) => (i === 2 ? undefined : one));
  const node = await volume(without);
  expect(node.damage.map(({ code }) => code)).toEqual(['lvm2.member-missing']);
  expect(node.damage[0].expected).toContain('/dev/sdc1');
  for (const name of ['root', 'copy', 'five', 'six']) {
    const { content } = volumes.find((one) => one.name === name)!;
    const had = await logical(without, name);
    expect([sha256(had.data), had.lost], name).toEqual([sha256(content), 0]);
  }
  expect((await logical(without, 'data')).lost).toBe(2 * MIB);
});

test('lost labels and headers are made up for by the texts, and nothing is stated then', async () => {
  const [first, ...rest] = group;
  const label = first.slice().fill(0, 512, 1024);
  const header = group.map((one) => one.slice().fill(0, 4096, 4608));
  for (const devices of [[label, ...rest], header]) {
    const node = await volume(devices);
    expect(node.damage.length).toBeGreaterThan(0);
    const had = await logical(devices, 'root');
    expect([sha256(had.data), had.weakest]).toEqual([sha256(volumes[0].content), INFERRED]);
  }
});

test('a leg of a RAID that missed changes is not read while the others do; without notes nothing is stated', async () => {
  const now = bytes(120, 2 * MIB);
  const before = bytes(121, 2 * MIB);
  const spec: LvSpec = { name: 'copy', type: 'raid1', content: now, on: [0, 1], stale: [0] };
  const devices = makeLvm2(13, 2, [spec]);
  // The first leg holds what was there before; its data is behind its notes, in the second extent.
  devices[0].set(before, 2 * MIB);
  const had = await logical(devices, 'copy');
  expect([sha256(had.data), had.weakest]).toEqual([sha256(now), STATED]);
  // Two that were never made alike are not surer because a third one is older still.
  const three = makeLvm2(14, 3, [{ ...spec, on: [0, 1, 2], stale: [2] }]);
  for (const one of three.slice(0, 2)) one.fill(0, MIB + 40, MIB + 48);
  expect((await logical(three, 'copy')).weakest).toBe(INFERRED);
  // Without their notes nothing says which of two legs is newer.
  const bare = makeLvm2(13, 2, [{ ...spec, stale: [] }]).map((one) => one.fill(0, MIB, MIB + 64));
  expect((await logical(bare, 'copy')).weakest).toBe(INFERRED);
});

test('a snapshot of the old kind shows its origin as it was', async () => {
  const origin = bytes(110, 2 * MIB);
  const chunk = 4 * KIB;
  const store = new Bytes(MIB);
  store
    .u32(0, 0x70416e53)
    .u32(4, 1)
    .u32(8, 1)
    .u32(12, chunk / 512);
  const before = origin.slice();
  for (const [i, old] of [3, 400, 17].entries()) {
    const kept = bytes(111 + i, chunk);
    store.u64(chunk + i * 16, old).u64(chunk + i * 16 + 8, 2 + i);
    store.raw((2 + i) * chunk, kept);
    before.set(kept, old * chunk);
  }
  const tie = ['type = "snapshot"', 'chunk_size = 8', 'origin = "root"', 'cow_store = "snap"'];
  const devices = makeLvm2(12, 1, [
    { name: 'root', type: 'linear', content: origin, on: [0] },
    { name: 'snap', type: 'linear', content: store.data, on: [0] },
    { name: 'snapshot0', type: 'other', content: origin, on: [], segment: tie },
  ]);
  expect(sha256((await logical(devices, 'root')).data)).toBe(sha256(origin));
  expect(sha256((await logical(devices, 'snap')).data)).toBe(sha256(before));
});

test.skipIf(ext2progsAbsent !== undefined)('machines from one template keep their own volumes apart', async () => {
  const entries: EntrySpec[] = [];
  const files = new Map<string, Uint8Array>();
  for (const [i, vm] of ['web', 'mail'].entries()) {
    const from = join(root, vm);
    const put = sampleEntries(70 + i, 5);
    writeEntries(from, put);
    files.set(vm, put.find(({ path }) => path === 'large')!.bytes!);
    const image = join(root, `${vm}.img`);
    makeExt(image, '12M', from, ['-t', 'ext4']);
    // The same seed: the same identities, as in clones.
    const disks = makeLvm2(9, 2, [
      { name: 'root', type: 'striped', chunk: 64 * KIB, content: fs.readFileSync(image), on: [0, 1] },
    ]);
    entries.push({ path: `/${vm}`, kind: 'directory' });
    for (const [d, disk] of disks.entries()) {
      entries.push({ path: `/${vm}/disk${d}-flat.vmdk`, kind: 'file', content: disk });
      const text = [
        '# Disk DescriptorFile',
        'version=1',
        'CID=12345678',
        'parentCID=ffffffff',
        'createType="vmfs"',
        `RW ${disk.length / 512} VMFS "disk${d}-flat.vmdk"`,
        '',
      ];
      entries.push({ path: `/${vm}/disk${d}.vmdk`, kind: 'file', content: text.join('\n') });
    }
  }
  const made = makeStore(6, { seed: 9, name: 'clones', label: 'clones', members: [{ pes: 2, wrap: 'gpt' }], entries });
  const stack = new Stack(await writeImages(made, root), { only: true });
  expect((await home(stack)).format).toContain('VMFS6');
  for (const vm of ['web', 'mail']) {
    for (const disk of ['disk0', 'disk1']) {
      const { node } = await locate(stack, `::/${vm}/${disk}.vmdk::lvm2/root::ext/large`);
      expect(sha256((await read((await node.bytes!())!)).data), `${vm} ${disk}`).toBe(sha256(files.get(vm)!));
    }
  }
  const seen: string[] = [];
  const look = async (node: Node): Promise<void> => {
    for await (const child of node.children!()) {
      if (child.kind === 'filesystem') seen.push(child.locator);
      else if (child.children !== undefined) await look(child);
    }
  };
  await look(await guestTree(stack));
  expect(seen).toHaveLength(2);
  stack.close();
});

test.skipIf(!fs.existsSync(CORPUS))('a real group is read as LVM reads it', async () => {
  spawnSync('tar', ['xSzf', CORPUS, '-C', root, 'lvm/dfvfs/lvm.raw', 'expected/lvm-dfvfs.test_logical_volume1.json']);
  const stack = new Stack([join(root, 'lvm/dfvfs/lvm.raw')], { only: true });
  const list = JSON.parse(fs.readFileSync(join(root, 'expected/lvm-dfvfs.test_logical_volume1.json'), 'utf8')) as {
    path: string;
    sha256?: string;
  }[];
  for (const { path, sha256: wanted } of list.filter((one) => one.sha256 !== undefined)) {
    const { node } = await locate(stack, `${stack.roots[0].locator}::lvm2/test_logical_volume1::ext${path}`);
    expect(sha256((await read((await node.bytes!())!)).data), path).toBe(wanted);
  }
  stack.close();
});

const alone = makeLvm2(8, 1, [{ name: 'root', type: 'linear', content: bytes(80, 2 * MIB), on: [0] }])[0];
const noise = new MemorySource(bytes(92, 2 * MIB));

checkFormat(lvm2, {
  fixtures: [{ name: 'a group of one device', source: new MemorySource(alone), children: ['root'] }],
  others: [{ name: 'noise', source: noise }],
  tables: [
    { at: 512, table: label },
    { at: 544, table: pvHeader },
    { at: 584, table: area },
    { at: 4096, table: metadataHeader },
    { at: 4136, table: location },
  ],
});
