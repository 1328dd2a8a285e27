/** VirtualBox machines whose registry and media do not agree: explained, and the newest state offered beside the named one. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { machinesIn } from '../../src/stack/bootable.ts';
import { Stack } from '../../src/stack/stack.ts';
import { build, salvor } from '../cli/salvor.ts';
import { missing } from '../make/check/peers.ts';
import { makeVdi } from '../make/disk/vdi.ts';
import { guidBytes } from '../make/layout.ts';

const BLOCK = 1024 * 1024;
const id = (n: number): string => `${String(n).repeat(8)}-0000-4000-8000-00000000000${n}`;
let dir = '';
beforeAll(() => {
  build();
  dir = fs.mkdtempSync(join(tmpdir(), 'salvor-registry-'));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

/** A VDI of two blocks; each of those given is filled with one byte. A parent makes it one that differs from it. */
function vdi(own: number, parent: number | undefined, blocks: readonly (string | undefined)[]): Uint8Array {
  const there = blocks.flatMap((text, i) => (text === undefined ? [] : [i]));
  const raw = new Uint8Array(blocks.length * BLOCK);
  for (const [i, text] of blocks.entries())
    if (text !== undefined) raw.fill(text.charCodeAt(0), i * BLOCK, (i + 1) * BLOCK);
  const disk = { size: raw.length, block: BLOCK, raw, order: there, zero: [], absent: [] };
  const link = parent === undefined ? {} : { link: guidBytes(id(parent)), linkModified: guidBytes(id(9)) };
  const type = parent === undefined ? 1 : 4;
  return makeVdi({ disk, type, uuid: guidBytes(id(own)), modified: guidBytes(id(9)), ...link }).bytes;
}

function place(name: string, files: Readonly<Record<string, Uint8Array>>, wanted: number): string {
  const folder = join(dir, name);
  fs.mkdirSync(join(folder, 'Snapshots'), { recursive: true });
  for (const [file, bytes] of Object.entries(files)) fs.writeFileSync(join(folder, file), bytes);
  const text = `<?xml version="1.0"?>
<VirtualBox xmlns="http://www.virtualbox.org/" version="1.16-linux">
  <Machine uuid="{${id(7)}}" name="web01" OSType="Debian_64" snapshotFolder="Snapshots">
    <MediaRegistry><HardDisks><HardDisk uuid="{${id(wanted)}}" location="web01.vdi" format="VDI" type="Normal"/></HardDisks></MediaRegistry>
    <Hardware><CPU count="1"/><Memory RAMSize="512"/></Hardware>
    <StorageControllers><StorageController name="SATA" type="AHCI" PortCount="1">
      <AttachedDevice type="HardDisk" port="0" device="0"><Image uuid="{${id(wanted)}}"/></AttachedDevice>
    </StorageController></StorageControllers>
  </Machine>
</VirtualBox>
`;
  fs.writeFileSync(join(folder, 'web01.vbox'), text);
  return folder;
}

test('a disk that is another one than the registry wants is explained (B2), and so is one that is there twice (B3)', async () => {
  const folder = place(
    'b2',
    { 'web01.vdi': vdi(2, undefined, ['A', 'B']), 'copy.vdi': vdi(2, undefined, ['A', 'B']) },
    1,
  );
  const [machine, ...others] = await machinesIn(new Stack([folder]), undefined);
  expect(others).toEqual([]);
  expect(machine.disks[0].broken).toBeUndefined();
  const notes = machine.disks[0].notes!.join('\n');
  expect(notes).toContain('does not match the value stored in the media registry');
  expect(notes).toMatch(/copy\.vdi says the same of itself/);
  const told = await salvor('plan', folder, '--target', 'virtualbox');
  expect(told.out).toContain('! ');
  expect(told.out).toContain('it was replaced or copied over');
  const sound = place('sound', { 'web01.vdi': vdi(1, undefined, ['A', 'B']) }, 1);
  const [own] = await machinesIn(new Stack([sound]), undefined);
  expect(own.disks[0].notes).toBeUndefined();
});

test('where snapshots are lost from the configuration, the newest state is a machine of its own (B4, B5)', async () => {
  const files = {
    'web01.vdi': vdi(1, undefined, ['A', 'B']),
    [`Snapshots/{${id(2)}}.vdi`]: vdi(2, 1, ['C', undefined]),
    [`Snapshots/{${id(3)}}.vdi`]: vdi(3, 2, [undefined, 'D']),
    [`Snapshots/{${id(4)}}.vdi`]: vdi(4, 1, ['E', undefined]),
  };
  const folder = place('b4', files, 1);
  const machines = await machinesIn(new Stack([folder]), undefined);
  expect(machines.map(({ name }) => name)).toEqual(['web01', 'web01;2', 'web01;3']);
  expect(machines[0].disks[0].chain.map(({ rawName }) => rawName)).toEqual(['web01.vdi']);
  expect(machines[0].disks[0].notes!.join()).toContain('2 newer states lie on it');
  const ends = machines.slice(1).map(({ disks }) => disks[0]);
  expect(ends.map(({ broken }) => broken)).toEqual([undefined, undefined]);
  expect(ends.map(({ chain }) => chain.length).sort((a, b) => a - b)).toEqual([2, 3]);
  const newest = machines.find(({ disks }) => disks[0].chain.length === 3)!;
  // What is named is what is taken, unless the other one is asked for.
  const told = await salvor('plan', folder, '--vm', 'web01', '--target', 'virtualbox');
  expect(told.out).toContain('Machine "web01"');
  expect(told.out).toContain('Its snapshots were lost from the configuration');
  const out = join(dir, 'newest');
  const done = await salvor('recover', folder, '--vm', newest.name, '--target', 'virtualbox', '--out', out);
  expect(done.err).not.toContain('fault of the program');
  const raw = join(dir, 'newest.raw');
  const [file] = fs.readdirSync(out).filter((name) => name.endsWith('.vdi'));
  if (missing('qemu-img') !== undefined) return;
  expect(spawnSync('qemu-img', ['convert', '-f', 'vdi', '-O', 'raw', join(out, file), raw]).status).toBe(0);
  const bytes = fs.readFileSync(raw);
  expect(
    [bytes[0], bytes[BLOCK - 1], bytes[BLOCK], bytes[2 * BLOCK - 1]].map((c) => String.fromCharCode(c)).join(''),
  ).toBe('CCDD');
});
