/** Guests known from their disks alone: firmware, order, system and bus of made machines. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { GuestFacts } from '../../src/core/guest.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { planMachine } from '../../src/export/index.ts';
import { Hive } from '../../src/formats/file/regf.ts';
import { machineWriters } from '../../src/formats/index.ts';
import { type Bootable, bareDisk } from '../../src/stack/bootable.ts';
import { guestOf } from '../../src/stack/guest/index.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { type ExtEntry, ext2progsAbsent, makeExt, writeEntries } from '../make/ext.ts';
import { type HiveKey, type HiveOptions, hiveTree, makeHive } from '../make/hive.ts';
import { makeLvm2 } from '../make/lvm2.ts';
import { makeMounted, mountAbsent } from '../make/mounted.ts';
import { formatNtfs, ntfs3gAbsent, onVolume } from '../make/ntfs.ts';
import { gptParts, mbrSector } from '../make/wrap.ts';

const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-guest-'));
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));
const MIB = 2 ** 20;
const xfsAbsent = mountAbsent('xfs');

const utf8 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const file = (path: string, text = ''): ExtEntry => ({ path, bytes: utf8(text) });
const guid = (text: string): Uint8Array => {
  const b = Buffer.from(text.replaceAll('-', ''), 'hex');
  return Uint8Array.from([b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], ...b.subarray(8)]);
};
const ESP = guid('C12A7328-F81F-11D2-BA4B-00A0C93EC93B');
const BIOS_BOOT = guid('21686148-6449-6E6F-744E-656564454649');
const LINUX = guid('0FC63DAF-8483-4772-8E79-3D69D8477DE4');

/** A disk of GPT partitions; those without bytes are 1 MiB of what nobody reads. */
function gptDisk(name: string, parts: readonly { type: Uint8Array; bytes?: Uint8Array }[], code?: string): string {
  const sizes = parts.map(({ bytes }) => bytes?.length ?? MIB);
  const size = sizes.reduce((sum, one) => sum + one, 2 * MIB);
  const out = new Uint8Array(size);
  let at = MIB;
  const list = parts.map(({ type, bytes }, i) => {
    if (bytes !== undefined) out.set(bytes, at);
    const entry = { type, first: at / 512, sectors: sizes[i] / 512, name: '' };
    at += sizes[i];
    return entry;
  });
  for (const part of gptParts(size, list, 5)) out.set(part.bytes(), part.at);
  if (code !== undefined) out.set(utf8(code), 0x80);
  fs.writeFileSync(join(dir, name), out);
  return join(dir, name);
}

/** A disk with one partition of an MBR, and code before its table. */
function mbrDisk(name: string, type: number, volume: Uint8Array, code: string, active = true): string {
  const out = new Uint8Array(MIB + volume.length);
  out.set(mbrSector(type, 2048, volume.length / 512, 77, active));
  out.set(utf8(code), 0x60);
  out.set(volume, MIB);
  fs.writeFileSync(join(dir, name), out);
  return join(dir, name);
}

let made = 0;
function extVolume(entries: readonly ExtEntry[]): Uint8Array {
  const from = join(dir, `from-${made}`);
  const image = join(dir, `volume-${made++}`);
  fs.mkdirSync(from);
  writeEntries(from, entries);
  makeExt(image, '16M', from, ['-t', 'ext4', '-b', '1024']);
  const bytes = new Uint8Array(fs.readFileSync(image));
  fs.rmSync(image);
  fs.rmSync(from, { recursive: true });
  return bytes;
}

function ntfsVolume(fill: (mounted: string) => void): Uint8Array {
  const image = join(dir, `volume-${made++}`);
  formatNtfs(image, 24 * MIB, []);
  onVolume(image, fill);
  const bytes = new Uint8Array(fs.readFileSync(image));
  fs.rmSync(image);
  return bytes;
}

async function looked(...disks: string[]): Promise<{ machine: Bootable; guest: GuestFacts }> {
  const stack = new Stack(disks, { only: true });
  const all: Bootable[] = [];
  for (const root of stack.roots) all.push((await bareDisk(stack, root))!);
  const machine = { ...all[0], disks: all.flatMap((one) => one.disks) };
  return { machine, guest: await guestOf(stack, machine) };
}

/** What a machine would be on a platform: firmware, storage, the disks as they come. */
function planned({ machine, guest }: Awaited<ReturnType<typeof looked>>, target: string) {
  const writer = machineWriters.find(({ platform }) => platform.target === target)!;
  const { target: decided, disks, later } = planMachine(machine, guest, writer, '/x');
  const { firmware, storage, guest: word, board, localTime } = decided;
  return {
    firmware,
    storage,
    word,
    board,
    localTime,
    later: later.length > 0,
    order: disks.map(({ node }) => node.name),
  };
}

const DEBIAN: ExtEntry[] = [
  file('usr/lib/os-release', 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'),
  { path: 'etc/os-release', target: '../usr/lib/os-release' },
  file('etc/hostname', 'db01\n'),
  file('etc/fstab', '/dev/sda1 / ext4 defaults 0 1\n'),
  file('etc/initramfs-tools/initramfs.conf', '#\nMODULES=most\n'),
  file('boot/grub/i386-pc/normal.mod'),
  file('usr/lib/modules/6.1.0-9-amd64/modules.builtin', 'kernel/drivers/ata/ata_piix.ko\n'),
  file('usr/lib/modules/6.1.0-9-amd64/kernel/drivers/block/virtio_blk.ko'),
  file('usr/lib/modules/6.1.0-9-amd64/kernel/drivers/scsi/vmw_pvscsi.ko.xz'),
  file('usr/lib/modules/6.1.0-9-amd64/kernel/drivers/ata/ahci.ko'),
  file('usr/lib/modules/5.10.0-1-amd64/modules.builtin'),
  { path: 'lib', target: 'usr/lib' },
  file('usr/lib64/ld-linux-x86-64.so.2'),
];
const RHEL: ExtEntry[] = [
  file(
    'etc/os-release',
    'NAME="Red Hat Enterprise Linux"\nPRETTY_NAME="Red Hat Enterprise Linux 9.3 (Plow)"\nID="rhel"\nVERSION_ID="9.3"\n',
  ),
  file('etc/hostname', 'app9\n'),
  file('usr/lib/dracut/dracut.conf.d/01-dist.conf', 'hostonly="yes"\n'),
  file('lib/modules/5.14.0-362.el9.x86_64/modules.builtin', 'kernel/fs/ext4/ext4.ko\n'),
  file('etc/fstab', 'UUID=1 / xfs defaults 0 0\nUUID=2 /boot/efi vfat defaults 0 0\n'),
  file('usr/lib64/libc.so.6'),
];

describe.skipIf(ext2progsAbsent !== undefined)('Linux', () => {
  test('Debian on ext4, GRUB and BIOS, an initramfs for all machines', async () => {
    const seen = await looked(mbrDisk('db01.img', 0x83, extVolume(DEBIAN), 'GRUB \0Geom'));
    expect(seen.guest).toMatchObject({
      product: { value: 'Debian GNU/Linux 12 (bookworm)' },
      hostname: { value: 'db01' },
      firmware: { value: 'bios' },
      architecture: { value: 'x86_64' },
      drivers: { value: ['virtio', 'sata', 'pvscsi', 'ide'] },
    });
    expect(seen.guest.notes.join()).toContain('/dev/sda1');
    expect(planned(seen, 'kvm')).toMatchObject({
      firmware: 'bios',
      storage: 'virtio',
      board: 'q35',
      word: 'http://debian.org/debian/12',
      later: false,
    });
    expect(planned(seen, 'vmware')).toMatchObject({ storage: 'pvscsi', word: 'debian12-64' });
    expect(planned(seen, 'virtualbox')).toMatchObject({ storage: 'sata', word: 'Debian_64' });
  });

  test('Ubuntu with both ways to start: GRUB for EFI and its table say which; data disks come after it', async () => {
    const ubuntu = [
      file('etc/os-release', 'PRETTY_NAME="Ubuntu 22.04.3 LTS"\nID=ubuntu\nVERSION_ID="22.04"\n'),
      file('etc/fstab', 'LABEL=x / ext4 defaults 0 1\nLABEL=UEFI /boot/efi vfat umask=0077 0 1\n'),
    ];
    const parts = [{ type: BIOS_BOOT }, { type: ESP }, { type: LINUX, bytes: extVolume(ubuntu) }];
    const system = gptDisk('ubuntu.img', parts, 'GRUB \0');
    const one = gptDisk('one.img', [{ type: LINUX, bytes: extVolume([file('a/b', 'data')]) }]);
    const two = gptDisk('two.img', [{ type: LINUX, bytes: extVolume([file('c', 'data')]) }]);
    const seen = await looked(one, system, two);
    expect(seen.guest).toMatchObject({ firmware: { value: 'efi' }, bootDisk: { value: 1 }, id: { value: 'ubuntu' } });
    expect(planned(seen, 'kvm')).toMatchObject({ firmware: 'efi', board: 'q35', storage: 'sata', later: true });
    expect(planned(seen, 'proxmox').order).toEqual(['ubuntu.img', 'one.img', 'two.img']);
    const bios = await looked(
      gptDisk('grub.img', [{ type: BIOS_BOOT }, { type: LINUX, bytes: extVolume(DEBIAN) }], 'GRUB \0'),
    );
    expect(bios.guest.firmware?.value).toBe('bios');
  });

  test('RHEL on XFS in LVM, started by EFI, its initramfs made for one machine: nothing is claimed of drivers', async () => {
    if (xfsAbsent !== undefined) {
      console.log(`XFS is not made: ${xfsAbsent}.`);
      return;
    }
    const image = join(dir, 'root.xfs');
    try {
      makeMounted('xfs', image, '40M', ['--unsupported'], (at) => writeEntries(at, RHEL));
    } catch {
      console.log('XFS of this size cannot be made here.');
      return;
    }
    const content = new Uint8Array(fs.readFileSync(image));
    const pv = makeLvm2(3, 1, [{ name: 'root', type: 'linear', content, on: [0] }])[0];
    const seen = await looked(
      gptDisk('rhel.img', [
        { type: ESP },
        { type: LINUX, bytes: extVolume([file('grub2/x')]) },
        { type: LINUX, bytes: pv },
      ]),
    );
    expect(seen.guest).toMatchObject({
      product: { value: 'Red Hat Enterprise Linux 9.3 (Plow)' },
      hostname: { value: 'app9' },
      firmware: { value: 'efi' },
    });
    expect(seen.guest.drivers).toBeUndefined();
    expect(seen.guest.notes.join()).toContain('made for the machine that it ran on');
    expect(planned(seen, 'kvm')).toMatchObject({
      firmware: 'efi',
      storage: 'sata',
      word: 'http://redhat.com/rhel/9.0',
      later: true,
    });
  });

  test('a hostile guest: links that go round, long names, texts of noise', async () => {
    const entries = [
      { path: 'etc', target: 'etc' },
      { path: 'usr/lib/os-release', target: '/../../../../etc/os-release' },
      file('lib/modules/\u0001evil', 'x'),
    ];
    const seen = await looked(mbrDisk('evil.img', 0x83, extVolume(entries), 'x'));
    expect(seen.guest.product).toBeUndefined();
    expect(planned(seen, 'kvm').storage).toBe('sata');
  });
});

const service = (start: number) => ({ Type: 1, Start: start });
function systemHive(services: Readonly<Record<string, number>>): HiveKey {
  return hiveTree({
    Select: { Current: 2, Default: 2 },
    'ControlSet001\\Services\\viostor': service(0),
    'ControlSet002\\Control\\ComputerName\\ComputerName': { ComputerName: 'FILES01' },
    'ControlSet002\\Control\\TimeZoneInformation': { Bias: 0 },
    ...Object.fromEntries(
      Object.entries(services).map(([name, start]) => [`ControlSet002\\Services\\${name}`, service(start)]),
    ),
  });
}
function softwareHive(product: string, build: string, kind: string): HiveKey {
  const values = { ProductName: product, CurrentBuildNumber: build, InstallationType: kind };
  return hiveTree({ 'Microsoft\\Windows NT\\CurrentVersion': values, Other: { x: 1 } });
}

describe.skipIf(ntfs3gAbsent !== undefined)('Windows', () => {
  const windows = (system: HiveKey, software: HiveKey, options: HiveOptions = {}, folder = 'Windows/System32/config') =>
    ntfsVolume((at) => {
      fs.mkdirSync(join(at, folder), { recursive: true });
      fs.mkdirSync(join(at, folder, '../../SysWOW64'));
      fs.writeFileSync(join(at, folder, 'SYSTEM'), makeHive(system, options));
      fs.writeFileSync(join(at, folder, 'SOFTWARE'), makeHive(software, options));
      fs.writeFileSync(join(at, 'hiberfil.sys'), 'HIBR0000');
    });

  test('Server 2019 from VMware, EFI: its drivers choose the bus', async () => {
    const system = systemHive({ pvscsi: 0, storahci: 0, viostor: 3, LSI_SAS: 3, stornvme: 0, intelide: 3, atapi: 0 });
    const volume = windows(system, softwareHive('Windows Server 2019 Standard', '17763', 'Server'));
    const seen = await looked(gptDisk('win.img', [{ type: ESP }, { type: LINUX, bytes: volume }]));
    expect(seen.guest).toMatchObject({
      product: { value: 'Windows Server 2019 Standard' },
      version: { value: '17763' },
      hostname: { value: 'FILES01' },
      firmware: { value: 'efi' },
      architecture: { value: 'x86_64' },
      drivers: { value: ['sata', 'nvme', 'pvscsi'] },
      localTime: { value: true },
    });
    expect(seen.guest.notes.join()).toContain('hibernated');
    expect(planned(seen, 'kvm')).toMatchObject({
      firmware: 'efi',
      storage: 'sata',
      localTime: true,
      word: 'http://microsoft.com/win/2k19',
      later: true,
    });
    expect(planned(seen, 'vmware')).toMatchObject({ storage: 'pvscsi', word: 'windows2019srv-64' });
    expect(planned(seen, 'proxmox')).toMatchObject({ storage: 'sata', word: 'win10' });
  });

  test('Windows 7: a driver that starts counts only where a device is bound to it; the set that is started next', async () => {
    const guest = async (name: string, more: Record<string, Record<string, string | number>>): Promise<GuestFacts> => {
      const system = hiveTree({
        Select: { Current: 1, Default: 2 },
        'ControlSet001\\Services\\LSI_SAS': service(0),
        'ControlSet002\\Services\\viostor': service(0),
        'ControlSet002\\Services\\msahci': service(0),
        ...more,
      });
      const volume = windows(system, softwareHive('Windows 7 Professional', '7601', 'Client'));
      return (await looked(mbrDisk(name, 7, volume, 'Missing operating system'))).guest;
    };
    const database = 'ControlSet002\\Control\\CriticalDeviceDatabase\\';
    const own = { [`${database}pci#cc_0106`]: { Service: 'msahci' } };
    const virtio = { [`${database}pci#ven_1af4&dev_1001&rev_00`]: { Service: 'viostor' } };
    const before = {
      'ControlSet002\\Enum\\PCI\\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00\\3&1': { Service: 'viostor' },
    };
    expect((await guest('w7-none.img', {})).drivers?.value).toEqual(['virtio', 'sata']);
    const loose = (await guest('w7-loose.img', own)).drivers;
    expect(loose?.value).toEqual(['sata']);
    expect(loose?.from).toContain('not virtio, whose driver starts, but is bound to no device');
    expect((await guest('w7-critical.img', { ...own, ...virtio })).drivers?.value).toEqual(['virtio', 'sata']);
    expect((await guest('w7-before.img', { ...own, ...before })).drivers?.value).toEqual(['virtio', 'sata']);
  });

  test('Windows 11 calls itself 10; folders in other letters; a hive that was not written out', async () => {
    const volume = windows(
      systemHive({ viostor: 0 }),
      softwareHive('Windows 10 Pro', '22631', 'Client'),
      { dirty: true, list: 'ri' },
      'WINDOWS/system32/config',
    );
    const seen = await looked(mbrDisk('w11.img', 7, volume, 'Missing operating system'));
    expect(seen.guest).toMatchObject({
      product: { value: 'Windows 11 Pro' },
      firmware: { value: 'bios' },
      drivers: { value: ['virtio'] },
    });
    expect(seen.guest.notes.join()).toContain('not written out whole');
    expect(planned(seen, 'kvm')).toMatchObject({
      storage: 'virtio',
      word: 'http://microsoft.com/win/11',
      later: false,
    });
    // Nothing that VirtualBox has is driven from the start; SATA is the best guess, and that is said.
    expect(planned(seen, 'virtualbox').storage).toBe('sata');
  });
});

test.each([
  ['lf', false],
  ['lh', true],
  ['li', false],
  ['ri', true],
] as const)('hives with lists of the kind %s', async (list, wide) => {
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`Service${i}`, service(i % 5)]));
  const tree = hiveTree({ 'A\\B c\\D': { Text: 'wörd', Number: 7, Long: 'x'.repeat(3000), Raw: new Uint8Array(9) } });
  const hive = (await Hive.open(
    new MemorySource(
      makeHive(
        {
          keys: {
            ...tree.keys,
            Services: { keys: Object.fromEntries(Object.entries(many).map(([k, values]) => [k, { values }])) },
          },
        },
        { list, wide },
      ),
    ),
  ))!;
  expect(hive.isDirty).toBe(false);
  expect(await hive.value('a\\b C\\d', 'tEXT')).toBe('wörd');
  expect(await hive.value('A\\B c\\D', 'Number')).toBe(7);
  expect(await hive.value('A\\B c\\D', 'Long')).toBe('x'.repeat(3000));
  expect(await hive.value('A\\B c\\D', 'Raw')).toBeUndefined();
  expect(await hive.value('A\\B c\\D', 'None')).toBeUndefined();
  expect(await hive.value('Services\\Service299', 'Start')).toBe(4);
  expect(await hive.key('Services\\Service300')).toBeUndefined();
  expect(hive.faults).toBe(0);
});

test('a damaged hive answers what it can, ends, and never throws', async () => {
  const sound = makeHive(systemHive({ storahci: 0, viostor: 0, pvscsi: 3 }));
  const noise = seeded(4, 4000).read(0, 4000);
  let answered = 0;
  for (let i = 0; i < 1000; i++) {
    const bytes = sound.slice();
    for (let n = 0; n < 4; n++)
      bytes[(noise[(i * 4 + n) % 4000] * 256 + noise[(i + n * 7) % 4000]) % bytes.length] ^= 1 << (i % 8);
    const hive = await Hive.open(new MemorySource(i % 3 === 0 ? bytes.subarray(0, 4096 + ((i * 5) % 4096)) : bytes));
    if ((await hive?.value('ControlSet002\\Services\\storahci', 'Start')) === 0) answered++;
  }
  expect(answered).toBeGreaterThan(100);
});
