/** What a Linux starts with: the modules in its initramfs, packed in every way, and the entry of the menu that names it. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { packingAt } from '../../src/codec/unpack.ts';
import type { GuestFacts } from '../../src/core/guest.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { bareDisk } from '../../src/stack/bootable.ts';
import { guestOf } from '../../src/stack/guest/index.ts';
import { modulesHeld } from '../../src/stack/guest/initramfs.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded as content } from '../make/content.ts';
import { type ExtEntry, ext2progsAbsent, makeExt, writeEntries } from '../make/ext.ts';
import { cpio, PACKINGS, packed } from '../make/initramfs.ts';
import { mbrDisk } from '../make/layout.ts';

const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-initramfs-'));
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

const KERNEL = '5.14.0-427.el9.x86_64';
const seeded = (seed: number, size: number): Uint8Array => content(seed, size).read(0, size);
const utf8 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
/** Some of it packs well, some of it not at all. */
const body = (n: number): Uint8Array => Buffer.concat([seeded(n, 3000), Buffer.alloc(40_000, 'module ')]);
const EARLY = cpio([['kernel/x86/microcode/GenuineIntel.bin', seeded(1, 60_000)]]);
const held = (modules: readonly string[], version = KERNEL): Uint8Array =>
  cpio([
    ['init', utf8('#!/bin/sh\n')],
    ...modules.map((one, i) => [`usr/lib/modules/${version}/kernel/drivers/${one}.ko.xz`, body(i)] as const),
    ['usr/bin/sh', seeded(9, 100_000)],
  ]);

describe('an initramfs', () => {
  const MODULES = ['block/virtio_blk', 'scsi/sd_mod', 'ata/ahci', 'net/virtio-net'];
  const NAMES = ['ahci', 'sd_mod', 'virtio_blk', 'virtio_net'];

  test.each(PACKINGS)('packed with %s, behind the microcode or alone', async (how) => {
    const main = packed(how, held(MODULES));
    for (const image of [Buffer.concat([EARLY, main]), Buffer.concat([main, Buffer.alloc(64)])]) {
      const seen = await modulesHeld(new MemorySource(image));
      expect(seen.unread).toBeUndefined();
      expect([...seen.modules].sort()).toEqual(NAMES);
      expect([...seen.kernels]).toEqual([KERNEL]);
    }
  });

  test.each(PACKINGS.filter((how) => how !== 'plain'))(
    'what %s unpacks is what was packed, to the byte',
    async (how) => {
      const large = Buffer.concat([body(3), seeded(5, 800_000), Buffer.alloc(9_000_000, 'abcdefg'), body(4)]);
      const image = packed(how, large);
      const hash = createHash('sha256');
      for await (const piece of packingAt(image, 0)!.unpack!(image)) hash.update(piece);
      expect(hash.digest('hex')).toBe(createHash('sha256').update(large).digest('hex'));
    },
  );

  test.each(PACKINGS)('%s cut off, or with a bit turned: nothing is claimed that was not in it', async (how) => {
    const image = Buffer.concat([EARLY, packed(how, held(MODULES))]);
    for (let i = 1; i < 40; i++) {
      const cut = image.subarray(0, Math.floor((image.length * i) / 40));
      const seen = await modulesHeld(new MemorySource(cut));
      for (const one of seen.modules) expect(NAMES).toContain(one);
      if (seen.modules.size < NAMES.length && cut.length > EARLY.length) expect(seen.unread, `${i}`).toBeDefined();
      const turned = Buffer.from(image);
      turned[(i * 7919) % turned.length] ^= 1 << (i % 8);
      await modulesHeld(new MemorySource(turned));
    }
  });

  test('says why it does not know more', async () => {
    const why = async (bytes: Uint8Array): Promise<string> => (await modulesHeld(new MemorySource(bytes))).unread ?? '';
    expect(await why(Buffer.concat([EARLY, utf8('BZh91AY&SY')]))).toContain('packed with bzip2, which is not read');
    expect(await why(Buffer.concat([EARLY, utf8('text')]))).toContain('nothing that a kernel starts with');
    expect(await why(new Uint8Array(0))).toContain('no end');
    expect(await why(cpio([['squashfs-root.img', seeded(2, 100)]]))).toContain('squashfs-root.img inside it');
  });
});

describe.skipIf(ext2progsAbsent !== undefined)('the entry that is started', () => {
  const file = (path: string, text: string | Uint8Array = ''): ExtEntry => ({
    path,
    bytes: typeof text === 'string' ? utf8(text) : text,
  });
  const OLD = '5.14.0-362.el9.x86_64';
  const BASE = [
    file('etc/os-release', 'PRETTY_NAME="Rocky Linux 9.4"\nID="rocky"\nVERSION_ID="9.4"\n'),
    file('etc/hostname', 'app01\n'),
    file('usr/lib/dracut/dracut.conf.d/01-dist.conf', 'hostonly="yes"\n'),
    ...[KERNEL, OLD].map((version) =>
      file(`usr/lib/modules/${version}/modules.builtin`, 'kernel/drivers/virtio/virtio_pci.ko\n'),
    ),
    { path: 'lib', target: 'usr/lib' },
    file(`boot/initramfs-${KERNEL}.img`, Buffer.concat([EARLY, held(['scsi/vmw_pvscsi', 'scsi/sd_mod'])])),
    file(`boot/initramfs-${OLD}.img`, packed('gzip', held(['block/virtio_blk'], OLD))),
    file('boot/initramfs-0-rescue-m.img', held(['ata/ahci', 'scsi/sd_mod'])),
  ];
  const entry = (version: string): ExtEntry =>
    file(
      `boot/loader/entries/m-${version}.conf`,
      `title Rocky (${version})\nversion ${version}\nlinux /boot/vmlinuz-${version}\ninitrd /boot/initramfs-${version}.img $tuned_initrd\n`,
    );
  const ENTRIES = [KERNEL, OLD, '0-rescue-m'].map(entry);
  const kept = (saved: string): ExtEntry =>
    file('boot/grub2/grubenv', `# GRUB Environment Block\nsaved_entry=${saved}\n####`);
  let count = 0;

  async function guest(entries: readonly ExtEntry[]): Promise<GuestFacts> {
    const at = join(dir, String(count++));
    fs.mkdirSync(`${at}.tree`);
    writeEntries(`${at}.tree`, entries);
    makeExt(`${at}.fs`, '16M', `${at}.tree`, ['-t', 'ext4', '-b', '1024']);
    mbrDisk(`${at}.img`, [{ type: 0x83, volume: `${at}.fs` }], 0x2222, 'GRUB \0Geom');
    const stack = new Stack([`${at}.img`], { only: true });
    const found = await guestOf(stack, (await bareDisk(stack, stack.roots[0]))!);
    stack.close();
    return found;
  }

  test('is the newest, or the one that was kept, of entries in files of their own', async () => {
    const newest = await guest([...BASE, ...ENTRIES]);
    expect(newest.drivers?.value).toEqual(['pvscsi']);
    expect(newest.drivers?.from).toContain(`initramfs-${KERNEL}.img`);
    expect(newest.notes).toEqual([]);
    expect((await guest([...BASE, ...ENTRIES, kept(`m-${OLD}`)])).drivers?.value).toEqual(['virtio']);
    expect((await guest([...BASE, ...ENTRIES, kept('2')])).drivers?.value).toEqual(['sata']);
    expect((await guest([...BASE, ...ENTRIES, kept('gone')])).drivers?.value).toEqual(['pvscsi']);
    const told = file('boot/loader/loader.conf', 'timeout 3\ndefault m-5.14.0-362*\n');
    expect((await guest([...BASE, ...ENTRIES, told])).drivers?.value).toEqual(['virtio']);
  });

  test('is found in the menus of GRUB and extlinux, and without a menu by its name', async () => {
    const item = (title: string, version: string): string =>
      `menuentry '${title}' --class x $menuentry_id_option 'id-${version}' {\n\tlinux\t/boot/vmlinuz-${version} root=/dev/x\n\tinitrd\t/boot/initramfs-${version}.img\n}\n`;
    const menu = (choice: string): ExtEntry =>
      file(
        'boot/grub2/grub.cfg',
        `set default="${choice}"\n${item('Rocky', KERNEL)}submenu 'More' {\n${item('Older', OLD)}}\n${item('Rescue', '0-rescue-m')}`,
      );
    expect((await guest([...BASE, menu('0')])).drivers?.value).toEqual(['pvscsi']);
    expect((await guest([...BASE, menu('2')])).drivers?.value).toEqual(['sata']);
    const saved = [menu(['$', '{saved_entry}'].join('')), kept(`More>id-${OLD}`)];
    expect((await guest([...BASE, ...saved])).drivers?.value).toEqual(['virtio']);
    const small = `DEFAULT old\nLABEL new\n  LINUX vmlinuz-${KERNEL}\n  INITRD initramfs-${KERNEL}.img\nLABEL old\n  LINUX vmlinuz-${OLD}\n  INITRD initramfs-${OLD}.img\n`;
    expect((await guest([...BASE, file('boot/extlinux.conf', small)])).drivers?.value).toEqual(['virtio']);
    // A menu on an EFI partition; here that is the same file system.
    const efi = file('EFI/redhat/grub.cfg', `set default="1"\n${item('Rocky', KERNEL)}${item('Older', OLD)}`);
    expect((await guest([...BASE, efi])).drivers?.value).toEqual(['virtio']);
    const alone = await guest(BASE);
    expect(alone.drivers?.value).toEqual(['pvscsi']);
    expect(alone.drivers?.from).not.toContain('starts it');
  });

  test('is found in a menu of the first GRUB, with modules in lib itself', async () => {
    const old = '2.6.18-398.el5';
    const image = packed(
      'gzip',
      cpio([
        ['init', utf8('#!/bin/nash')],
        ...['sd_mod', 'mptspi', 'ext3'].map((one) => [`lib/${one}.ko`, body(1)] as const),
      ]),
    );
    const base = [
      file('etc/redhat-release', 'Red Hat Enterprise Linux Server release 5.11 (Tikanga)\n'),
      file(`lib/modules/${old}/modules.dep`),
      file(`boot/initrd-${old}.img`, image),
      file('boot/initrd-rescue.img', packed('gzip', held(['ata/ata_piix', 'scsi/sd_mod'], old))),
    ];
    const menu = (choice: string): ExtEntry =>
      file(
        'boot/grub/menu.lst',
        `# grub.conf\ndefault${choice}\ntimeout=5\ntitle Red Hat (${old})\n\troot (hd0,0)\n\tkernel /boot/vmlinuz-${old} ro root=/dev/x\n\tinitrd /boot/initrd-${old}.img\ntitle rescue\n\tkernel (hd0,0)/boot/vmlinuz\n\tinitrd (hd0,0)/boot/initrd-rescue.img\n`,
      );
    expect((await guest([...base, menu('=0')])).drivers?.value).toEqual(['lsilogic']);
    expect((await guest([...base, menu(' 1')])).drivers?.value).toEqual(['ide']);
    expect((await guest(base)).drivers?.value).toEqual(['lsilogic']);
  });

  test('one that cannot be read to its end leaves the word to the settings', async () => {
    const torn = held(['scsi/vmw_pvscsi', 'scsi/sd_mod']).subarray(0, 50_000);
    const settings = file('etc/dracut.conf.d/x.conf', 'add_drivers+=" virtio_blk "\n');
    const found = await guest([...BASE, settings, file(`boot/initramfs-${KERNEL}.img`, torn)]);
    expect(found.drivers?.value).toEqual(['pvscsi', 'virtio']);
    expect(found.notes.join()).toContain('is not read whole');
    const foreign = await guest([...BASE, file(`boot/initramfs-${KERNEL}.img`, held(['scsi/hv_storvsc']))]);
    expect(foreign.drivers).toBeUndefined();
    expect(foreign.notes.join()).toContain('but hv_storvsc');
  });
});
