/** Backups of Proxmox machines: whole, cut off, with damaged extents, and without their header. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { INFERRED, STATED } from '../../src/core/run.ts';
import { vma } from '../../src/formats/filesystem/vma/index.ts';
import { extentHeader, vmaHeader } from '../../src/formats/filesystem/vma/structs.ts';
import { diagnose } from '../../src/stack/diagnosis.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { makeVma } from '../make/vma.ts';
import { guestAbsent, guestImage } from '../scoreboard/guests.ts';
import { checkFormat } from '../suites/check-format.ts';
import { brokenInvariants } from '../suites/check-source.ts';
import { type Read, read } from './devices.ts';

const MIB = 2 ** 20;
const CONF = 'name: web\nmemory: 2048\ncores: 2\nscsi0: local:100/vm-100-disk-0.raw,size=9M\nboot: order=scsi0\n';
const holed = (seed: number, size: number): Uint8Array => {
  const out = seeded(seed, size).read(0, size);
  for (let at = 3 * 4096; at < size; at += 7 * 4096) out.fill(0, at, at + 2 * 4096);
  out.fill(0, 2 * MIB, 3 * MIB);
  return out;
};
const one = holed(1, 9 * MIB + 4096);
const two = holed(2, 5 * MIB);
const backup = makeVma({ 'qemu-server.conf': CONF }, [
  { name: 'drive-scsi0', content: one },
  { name: 'drive-scsi1', content: two },
]);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function opened(bytes: Uint8Array): Promise<Map<string, Node> & { top?: Node }> {
  const stack = new Stack([{ name: 'backup.vma', source: new MemorySource(bytes) }], { only: true });
  const top = (await stack.inside(stack.roots[0]))!;
  const out: Map<string, Node> & { top?: Node } = new Map();
  out.top = top;
  for await (const node of top.children!()) out.set(node.rawName, node);
  return out;
}

/** What a disk has, and how much of it is given and not so. */
async function had(node: Node, truth: Uint8Array): Promise<Read & { wrong: number }> {
  const source = (await node.bytes!())!;
  expect(await brokenInvariants(source)).toEqual([]);
  const out = await read(source);
  const given = truth.slice();
  for (const { offset, length } of await source.read(0, new Uint8Array(source.size)))
    given.fill(0, offset, offset + length);
  let wrong = 0;
  for (let i = 0; i < truth.length; i++) if (out.data[i] !== given[i]) wrong++;
  return { ...out, wrong };
}

checkFormat(vma, {
  fixtures: [
    {
      name: 'backup',
      source: new MemorySource(backup),
      children: ['qemu-server.conf', 'disk-drive-scsi0.raw', 'disk-drive-scsi1.raw'],
    },
  ],
  others: [
    { name: 'zeros', source: new MemorySource([], 4 * MIB) },
    { name: 'prose', source: new MemorySource(Buffer.from('VMAE of a reader,\n'.repeat(900))) },
  ],
  tables: [
    { at: 0, table: vmaHeader },
    { at: 12_800, table: extentHeader },
  ],
});

test('disks and configurations are read as they were', async () => {
  const found = await opened(backup);
  expect(found.top!.damage).toEqual([]);
  for (const [name, truth] of [
    ['disk-drive-scsi0.raw', one],
    ['disk-drive-scsi1.raw', two],
  ] as const) {
    const { data, lost, weakest } = await had(found.get(name)!, truth);
    expect([sha256(data), lost, weakest]).toEqual([sha256(truth), 0, STATED]);
  }
  const text = await read((await found.get('qemu-server.conf')!.bytes!())!);
  expect(Buffer.from(text.data).toString()).toBe(CONF);
});

test('of a backup that was cut off, what is left is had and the rest is missing', async () => {
  const found = await opened(backup.subarray(0, 6 * MIB + 100));
  expect(found.top!.damage.map(({ code }) => code)).toContain('vma.cut-off');
  const { lost, wrong, weakest } = await had(found.get('disk-drive-scsi0.raw')!, one);
  expect({ wrong, weakest }).toEqual({ wrong: 0, weakest: STATED });
  expect(lost).toBeGreaterThan(2 * MIB);
  expect(lost).toBeLessThan(7 * MIB);
});

test('behind a damaged extent the next one is found; one whose sum does not agree is inferred', async () => {
  const starts: number[] = [];
  for (let at = backup.indexOf('VMAE'); at >= 0; at = backup.indexOf('VMAE', at + 1))
    if (at % 512 === 0) starts.push(at);
  expect(starts.length).toBeGreaterThan(3);
  const gone = Buffer.from(backup).fill(0, starts[1], starts[1] + 512);
  const found = await opened(gone);
  expect(found.top!.damage.map(({ code }) => code)).toEqual(['vma.extent']);
  const first = await had(found.get('disk-drive-scsi0.raw')!, one);
  const second = await had(found.get('disk-drive-scsi1.raw')!, two);
  expect([first.wrong, second.wrong]).toEqual([0, 0]);
  expect(first.lost + second.lost).toBe(59 * 65_536);
  const changed = Buffer.from(backup);
  changed[starts[1] + 30] ^= 1;
  expect(await had((await opened(changed)).get('disk-drive-scsi0.raw')!, one)).toMatchObject({
    wrong: 0,
    lost: 0,
    weakest: INFERRED,
  });
});

test('without its header disks are numbered and inferred', async () => {
  const found = await opened(Buffer.from(backup).fill(0xee, 0, 12_000));
  expect(found.top!.damage.map(({ code }) => code)).toContain('vma.header');
  expect(await had(found.get('disk-device-1.raw')!, one)).toMatchObject({ wrong: 0, weakest: INFERRED });
});

test.skipIf(guestAbsent('ext4') !== undefined)(
  'the machine in it, and the file system on its disk, are shown',
  async () => {
    const content = guestImage({ kind: 'ext4', mib: 64, seed: 5, fill: 0.5 });
    const bytes = makeVma({ 'qemu-server.conf': CONF }, [{ name: 'drive-scsi0', content }]);
    const stack = new Stack([{ name: 'vzdump-qemu-100.vma', source: new MemorySource(bytes) }], { only: true });
    const { found } = await diagnose(stack);
    expect(found.filesystems).toBe(1);
    expect(found.damaged).toBe(0);
  },
);
