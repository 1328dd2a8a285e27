/** What a machine is started with, and what is read from its screen: no guest is needed for it. */
import { expect, test } from 'vitest';
import { parseKeyValues } from '../src/codec/keyvalue.ts';
import { type StorageKind, UNKNOWN_GUEST } from '../src/core/guest.ts';
import type { MachineDisk } from '../src/core/machine.ts';
import type { TargetMachine } from '../src/core/machine-writer.ts';
import { decide, kindOf, qemuHere } from '../src/formats/index.ts';
import { vmwareModel } from '../src/formats/machine/vmware.ts';
import { choose, type Wishes } from '../src/serve/boot/choices.ts';
import { parsePpm, pngOf } from '../src/serve/boot/screen.ts';
import { GOOD, isDesktop, isText, NEXT, type Sign, signIn, textOf } from '../src/serve/boot/signs.ts';

const MIB = 2 ** 20;

const wishes: Wishes = {
  network: false,
  display: 'none',
  accelerator: { args: ['-accel', 'tcg'], value: 'emulated', reason: 'for the test' },
  processors: 2,
  hostMemory: 4096 * MIB,
  efi: undefined,
};

test('hardware becomes arguments, and hostile words become none', () => {
  const hardware = vmwareModel(
    parseKeyValues(
      [
        'memSize = "65536"',
        'numvcpus = "64"',
        'guestOS = "windows9"',
        'scsi0.virtualDev = "constructor"',
        'scsi1.virtualDev = "lsisas1068"',
        'ethernet0.present = "TRUE"',
        'ethernet0.virtualDev = "constructor"',
        'ethernet0.generatedAddress = "00:0c:29:01:02:03"',
      ].join('\n'),
    ),
    [],
  );
  const decided = (controller: number, asked?: StorageKind): TargetMachine => {
    const said: MachineDisk = {
      slot: `scsi${controller}:0`,
      bus: 'scsi',
      controller,
      unit: 0,
      device: 'disk',
      file: 'x',
      chain: [],
      from: 'the test',
    };
    const disks = Array.from({ length: 7 }, (_, i) => ({ said, size: MIB, file: `disk${i}` }));
    const { platform } = qemuHere(kindOf(hardware, said), 'nothing');
    return decide(platform, hardware, UNKNOWN_GUEST, disks, { name: 'x', stem: 'x' }, asked);
  };
  const overlays = Array.from({ length: 7 }, (_, i) => `/tmp/a,b/disk${i}.qcow2`);
  const { args, choices } = choose(decided(1), overlays, wishes);
  expect(args.join(' ')).not.toMatch(/constructor|function/);
  expect(args).toContain('scsi-hd,bus=scsi0.0,scsi-id=1,drive=disk1,bootindex=2');
  expect(args.filter((word) => word.startsWith('mptsas1068'))).toHaveLength(1);
  expect(args.join(' ')).toContain('file=/tmp/a,,b/disk0.qcow2');
  expect(args.join(' ')).toContain('e1000-82545em,netdev=net0,mac=00:0c:29:01:02:03');
  expect(args.join(' ')).toContain('restrict=on');
  expect(choices.find(({ what }) => what === 'memory')?.value).toBe('2457 MiB');
  expect(choices.find(({ what }) => what === 'processors')?.value).toBe('2');
  // A controller that nothing names becomes one that nearly all guests know.
  const other = choose(decided(0), overlays, wishes).args;
  expect(other).toContain('ide-hd,bus=sata0.0,drive=disk0,bootindex=1');
  expect(other).toContain('ide-hd,bus=sata1.0,drive=disk6,bootindex=7');
  expect(choose(decided(0, 'nvme'), overlays, wishes).args).toContain('nvme,serial=disk3,drive=disk3,bootindex=4');
  expect(() => decided(0, 'ide')).toThrow('qemu has no place for 7 disks on ide');
  expect(() => choose({ ...decided(1), firmware: 'efi' }, overlays, wishes)).toThrow(/EFI .*apt install ovmf/);
});

test.each([
  ['login', 'debian login: ', ''],
  ['login', '', 'Debian GNU/Linux 12 web01 tty1\n\nweb01 login:'],
  ['panic', 'x\r\n[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n', ''],
  ['rescue', 'BusyBox v1.35\r\n\r\n(initramfs) ', ''],
  ['loader', '', 'error: no such device: 1234.\ngrub rescue>'],
  ['shell', '\x1b[2J\x1b[01;01HUEFI \x1b[0mInteractive Shell v2.2\r\n', ''],
  ['nothing', '', 'Booting from Hard Disk...\nNo bootable device.'],
  ['nothing', 'BdsDxe: No bootable option or device was found.\r\n', ''],
  [undefined, 'Starting systemd-logind.service - login\r\nmore to come', 'Booting from Hard Disk...'],
])('what is seen: %s', (sign, serial, screen) => {
  expect(signIn(serial, screen, undefined)?.sign).toBe(sign);
  if (sign !== undefined && !GOOD.includes(sign as Sign)) expect(NEXT[sign as Sign]).toMatch(/\.$/);
});

test('the letters of a screen in text mode, and pictures that look like a desktop', () => {
  const row = (text: string): string =>
    Array.from(text.padEnd(80), (c) => `0x07${c.charCodeAt(0).toString(16).padStart(2, '0')}`).join(' ');
  expect(textOf(`00000000000b8000: ${row('No bootable device.')}\r\n00000000000b80a0: ${row(' two')}`)).toBe(
    'No bootable device.\n two',
  );
  const side = 800;
  const flat = { width: side, height: 600, pixels: new Uint8Array(side * 600 * 3).fill(120) };
  expect(isDesktop(flat)).toBe(false);
  expect(isDesktop({ ...flat, pixels: flat.pixels.map((_, i) => (i * 7919) % 251) })).toBe(true);
  expect(isText({ ...flat, width: 720, height: 400 })).toBe(true);
});

test('a picture of the screen becomes a PNG', () => {
  const ppm = Buffer.concat([Buffer.from('P6\n2 1\n255\n'), Buffer.from([255, 0, 0, 0, 0, 255])]);
  const picture = parsePpm(ppm)!;
  expect(picture).toMatchObject({ width: 2, height: 1 });
  const png = pngOf(picture);
  expect(png.subarray(12, 24).toString('hex')).toBe('494844520000000200000001');
  expect(parsePpm(ppm.subarray(0, -1))).toBeUndefined();
  expect(parsePpm(Buffer.from('P5\n2 1\n255\n'))).toBeUndefined();
});
