/** A folder of a VirtualBox machine as it lies: its snapshots joined, its configuration lost, torn or a copy, disks elsewhere. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bootable, machinesIn } from '../../src/stack/bootable.ts';
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
  dir = fs.mkdtempSync(join(tmpdir(), 'salvor-vbox-'));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

/** A VDI of three blocks; a letter fills a block, a dot leaves it out. */
function vdi(own: number, parent: number | undefined, blocks: string): Uint8Array {
  const raw = new Uint8Array(blocks.length * BLOCK);
  const there = blocks.split('').flatMap((c, i) => (c === '.' ? [] : [i]));
  for (const i of there) raw.fill(blocks.charCodeAt(i), i * BLOCK, (i + 1) * BLOCK);
  const disk = { size: raw.length, block: BLOCK, raw, order: there, zero: [], absent: [] };
  const link = parent === undefined ? {} : { link: guidBytes(id(parent)), linkModified: guidBytes(id(9)) };
  return makeVdi({
    disk,
    type: parent === undefined ? 1 : 4,
    uuid: guidBytes(id(own)),
    modified: guidBytes(id(9)),
    ...link,
  }).bytes;
}

const SNAPSHOT = (n: number): string => `Snapshots/{${id(n)}}.vdi`;
const medium = (n: number, file: string, inner = ''): string =>
  `<HardDisk uuid="{${id(n)}}" location="${file}" format="VDI">${inner}</HardDisk>`;
const TREE = medium(1, 'web01.vdi', medium(2, SNAPSHOT(2), medium(3, SNAPSHOT(3))) + medium(4, SNAPSHOT(4)));
const VBOX = `<?xml version="1.0"?>
<VirtualBox xmlns="http://www.virtualbox.org/" version="1.19-linux">
  <Machine uuid="{${id(7)}}" name="web01" OSType="Debian_64" currentSnapshot="{${id(8)}}" snapshotFolder="Snapshots">
    <MediaRegistry><HardDisks>${TREE}</HardDisks></MediaRegistry>
    <Snapshot uuid="{${id(8)}}" name="clean" timeStamp="2024-05-01T10:00:00Z"><Hardware/></Snapshot>
    <Hardware><CPU count="1"/><Memory RAMSize="512"/>
      <StorageControllers><StorageController name="SATA" type="AHCI" PortCount="1">
        <AttachedDevice type="HardDisk" port="0" device="0"><Image uuid="{${id(3)}}"/></AttachedDevice>
      </StorageController></StorageControllers>
    </Hardware>
  </Machine>
</VirtualBox>
`;
const DISKS: Readonly<Record<string, Uint8Array>> = {
  'web01.vdi': vdi(1, undefined, 'AAA'),
  [SNAPSHOT(2)]: vdi(2, 1, '.B.'),
  [SNAPSHOT(3)]: vdi(3, 2, '..C'),
  [SNAPSHOT(4)]: vdi(4, 1, '.X.'),
};

function folder(name: string, files: Readonly<Record<string, Uint8Array | string>>): string {
  const out = join(dir, name);
  for (const [file, bytes] of Object.entries(files)) {
    fs.mkdirSync(join(out, file, '..'), { recursive: true });
    fs.writeFileSync(join(out, file), bytes);
  }
  return out;
}

/** The first letter of each block of the machine's only disk; a question mark where it is missing. */
async function letters(...sources: string[]): Promise<{ text: string; doubts: readonly string[]; broken?: string }> {
  const stack = new Stack(sources);
  const machines = await machinesIn(stack, undefined);
  expect(machines.map(({ name }) => name)).toEqual(['web01']);
  const { disks, doubts = [], lost } = await bootable(stack, machines[0]);
  let text = lost.length > 0 ? 'lost' : '';
  for (const { source } of disks)
    for (let at = 0; at < source.size; at += BLOCK) {
      const byte = new Uint8Array(1);
      text += (await source.read(at, byte)).length > 0 ? '?' : String.fromCharCode(byte[0]);
    }
  const broken = disks[0]?.broken;
  stack.close();
  return { text, doubts, ...(broken !== undefined && { broken }) };
}

test('disks are joined along the tree of snapshots; one that is missing is missing, and is named', async () => {
  expect(await letters(folder('whole', { 'web01.vbox': VBOX, ...DISKS }))).toEqual({ text: 'ABC', doubts: [] });
  const { [SNAPSHOT(2)]: gone, ...rest } = DISKS;
  expect(gone.length).toBeGreaterThan(0);
  const lacking = await letters(folder('lacking', { 'web01.vbox': VBOX, ...rest }));
  expect(lacking.text).toBe('??C');
  expect(lacking.broken).toContain(`(${SNAPSHOT(2)} by its configuration): uuid:${id(2)}`);
});

test('a configuration that is torn gives way to the copy before it, and both are said', async () => {
  const copy = { 'web01.vbox-prev': VBOX, ...DISKS };
  const only = await letters(folder('prev', copy));
  expect(only.text).toBe('ABC');
  expect(only.doubts.join()).toMatch(/no configuration of its own can be read.*before the last change/);
  // Where the file is torn before its root begins, it is no configuration at all.
  for (const length of [0, 60, 300, 900, VBOX.indexOf('<AttachedDevice') + 20, VBOX.length - 30]) {
    const torn = await letters(folder(`torn-${length}`, { 'web01.vbox': VBOX.slice(0, length), ...copy }));
    expect(torn.text, `${length}`).toBe('ABC');
    expect(torn.doubts.join(), `${length}`).toMatch(/web01\.vbox-prev, its settings before the last change/);
  }
});

test('without any configuration, the ends of chains are named; one alone is the machine', async () => {
  const { [SNAPSHOT(4)]: branch, ...line } = DISKS;
  const alone = await salvor('plan', folder('line', line), '--target', 'kvm');
  expect(alone.out).toContain(`{${id(3)}}.vdi::vdi`);
  const both = await salvor('plan', folder('branched', { ...line, [SNAPSHOT(4)]: branch }));
  expect(both.err).toContain('No configuration was found');
  expect(both.err).toContain(`${SNAPSHOT(3)} (over others)`);
  expect(both.err).toContain(`${SNAPSHOT(4)} (over others)`);
  expect(both.err).not.toContain(SNAPSHOT(2));
});

test('a torn configuration without disks takes those that are given beside it', async () => {
  const torn = folder('cut', { 'web01.vbox': VBOX.slice(0, VBOX.indexOf('<StorageControllers>')), ...DISKS });
  const told = await salvor('plan', torn, '--target', 'kvm');
  expect(told.err).toContain('its configuration names no disk');
  expect(told.err).toContain(SNAPSHOT(3));
  const given = await salvor('plan', join(torn, 'web01.vbox'), join(torn, SNAPSHOT(3)), '--target', 'kvm');
  expect(given.out).toContain('memory: 512 MiB');
  expect(given.out).toContain(`{${id(3)}}.vdi::vdi`);
  expect(given.out).toContain('! ');
});

test('disks in other folders are found where these are given, too', async () => {
  const { 'web01.vdi': base, ...rest } = DISKS;
  const own = folder('apart', { 'web01.vbox': VBOX, ...rest });
  const other = folder('disks', { 'base/web01.vdi': base });
  expect((await letters(own)).text).toBe('?BC');
  expect((await letters(own, other)).text).toBe('ABC');
  expect((await letters(own, join(other, 'base/web01.vdi'))).text).toBe('ABC');
  // Another disk of that name, which says something else of itself, is not taken.
  const wrong = folder('wrong', { 'web01.vdi': vdi(5, undefined, 'ZZZ') });
  expect((await letters(own, wrong)).text).toBe('?BC');
  // The configuration alone, with the folders that its disks lie in.
  const config = join(own, 'web01.vbox');
  expect((await letters(config, join(own, 'Snapshots'), other)).text).toBe('ABC');
  const alone = await salvor('plan', config, '--target', 'kvm');
  expect(alone.err).toContain('give the whole folder of the machine as the source');
});

test('a disk of the same name in another machine’s folder is not taken', async () => {
  const vmx = 'config.version = "8"\nvirtualHW.version = "14"\nguestOS = "debian10-64"\n';
  const disk = (file: string): string =>
    `${vmx}scsi0.present = "TRUE"\nscsi0:0.present = "TRUE"\nscsi0:0.fileName = "${file}"\n`;
  const raw = Buffer.alloc(BLOCK, 'R');
  const given = folder('two', {
    'a/a.vmx': disk('disk.vmdk'),
    'b/disk.vmdk':
      '# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=ffffffff\ncreateType="vmfs"\nRW 2048 VMFS "disk-flat.vmdk"\n',
    'b/disk-flat.vmdk': raw,
    'c/c.vmx': disk('/vmfs/volumes/old/b/disk.vmdk'),
  });
  const stack = new Stack([given]);
  const machines = await machinesIn(stack, undefined);
  const found = machines.map(({ config, disks }) => [config.rawName, disks[0].chain.map(({ locator }) => locator)]);
  expect(found).toContainEqual(['a.vmx', []]);
  // In full, and in a folder of that name: it is the one that is meant.
  expect(found).toContainEqual(['c.vmx', [join(given, 'b/disk.vmdk')]]);
  stack.close();
});

test.skipIf(missing('qemu-img') !== undefined)(
  'a layer that knows its parent by name alone finds it in a folder of that name, as inferred',
  async () => {
    const at = folder('named', { 'tops/.keep': '', 'bases/.keep': '' });
    const run = (...args: string[]): void => {
      const done = spawnSync('qemu-img', args, { cwd: at, encoding: 'utf8' });
      expect(done.status, done.stderr).toBe(0);
    };
    run('create', '-q', '-f', 'qcow2', 'bases/base.qcow2', '1M');
    run('create', '-q', '-f', 'qcow2', '-u', '-b', '/srv/bases/base.qcow2', '-F', 'qcow2', 'tops/near.qcow2', '1M');
    run('create', '-q', '-f', 'qcow2', '-u', '-b', '/srv/other/base.qcow2', '-F', 'qcow2', 'tops/far.qcow2', '1M');
    const [near, far] = await Promise.all(
      ['near', 'far'].map((name) => salvor('chain', join(at, 'tops', `${name}.qcow2`), join(at, 'bases'))),
    );
    expect(near.out).toContain('BY NAME ONLY');
    expect(near.out).toContain('0 whole and sure');
    expect(far.out).toContain('BROKEN');
  },
);

test('what is written for VirtualBox again keeps the board, the card and the clock that the guest had', async () => {
  const own = VBOX.replace(
    '<Memory RAMSize="512"/>',
    '<Memory RAMSize="512"/><Firmware type="EFI"/><Network><Adapter slot="0" enabled="true" MACAddress="0800275A1B2C" type="82540EM"><NAT/></Adapter></Network>',
  );
  const from = folder('again', { 'web01.vbox': own, ...DISKS });
  const out = join(dir, 'again-out');
  await salvor('recover', from, '--target', 'virtualbox', '--out', out);
  const written = fs.readFileSync(join(out, 'web01.vbox'), 'utf8');
  expect(written).toContain('<Chipset type="PIIX3"/>');
  expect(written).toContain('type="82540EM"');
  expect(written).toContain('MACAddress="0800275A1B2C"');
  // Without a word on it, VirtualBox runs the clock in local time.
  expect(written).toContain('<RTC localOrUTC="local"/>');
  const stack = new Stack([out]);
  const [machine] = await machinesIn(stack, undefined);
  expect([machine.model.board?.value, machine.model.firmware.value, machine.model.cards[0].word]).toEqual([
    'pc',
    'efi',
    '82540EM',
  ]);
  expect(machine.disks[0].broken).toBeUndefined();
  expect(machine.disks[0].notes).toBeUndefined();
  stack.close();
});
