/** Guests as disks without any configuration, and what is true of each; those of Windows stand in guests-windows.ts. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { makeBtrfs, run } from './btrfs.ts';
import { type ExtEntry, makeExt, writeEntries } from './ext.ts';
import { BIOS_BOOT, BSD_BOOT, BSD_UFS, ESP, gptDisk, LINUX, mbrDisk } from './layout.ts';
import { makeLvm2 } from './lvm2.ts';
import { makeMd } from './md.ts';
import { makeMounted } from './mounted.ts';
import { formatNtfs, onVolume } from './ntfs.ts';

const MIB = 2 ** 20;

/** What has to come out for each platform. */
export interface GuestTruth {
  readonly firmware: 'bios' | 'efi';
  /** Names of its disks in the order in which they were plugged in. */
  readonly order: readonly string[];
  readonly host?: string;
  /** Words of each platform for the guest, and the controller that its disks get. */
  readonly kvm: readonly [guest: string, storage: string];
  readonly virtualbox: readonly [guest: string, storage: string];
  readonly vmware: readonly [guest: string, storage: string];
  readonly proxmox: readonly [guest: string, storage: string];
  readonly localTime?: boolean;
  /** Addresses of its cards; none where it wrote none down. */
  readonly macs?: readonly string[];
}

export interface MadeGuest extends GuestTruth {
  readonly dir: string;
  readonly name: string;
  /** Files in the order in which they are handed over, which is not that of the machine. */
  readonly files: readonly string[];
}

const utf8 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const file = (path: string, text = ''): ExtEntry => ({ path, bytes: utf8(text) });

/** Makes disks and volumes below a folder, each under a name of its own. */
export class Workshop {
  readonly dir: string;
  #count = 0;

  constructor(dir: string) {
    this.dir = dir;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  volume(): string {
    return this.path(`.volume-${this.#count++}`);
  }

  bytes(content: Uint8Array): string {
    const out = this.volume();
    fs.writeFileSync(out, content);
    return out;
  }

  ext(entries: readonly ExtEntry[], size = '16M', options: readonly string[] = []): string {
    const from = this.volume();
    const image = this.volume();
    fs.mkdirSync(from);
    writeEntries(from, entries);
    makeExt(image, size, from, ['-t', 'ext4', '-b', '1024', ...options]);
    return image;
  }

  xfs(entries: readonly ExtEntry[], options: readonly string[] = []): string {
    const image = this.volume();
    makeMounted('xfs', image, '40M', ['--unsupported', ...options], (at) => writeEntries(at, entries));
    return image;
  }

  btrfs(fill: (mounted: string) => void): string {
    const image = this.volume();
    makeBtrfs({ images: [image], size: '128M', options: [] }, fill);
    return image;
  }

  ntfs(fill: (mounted: string) => void, mib = 24): string {
    const image = this.volume();
    formatNtfs(image, mib * MIB, []);
    onVolume(image, fill);
    return image;
  }

  /** An EFI system partition with loaders at these paths. */
  esp(...loaders: string[]): string {
    const image = this.volume();
    run('truncate', '-s', '4M', image);
    run('mkfs.vfat', '-F', '12', '-i', 'CAFE0001', image);
    const source = this.bytes(utf8('MZ'));
    const made = new Set<string>();
    for (const loader of loaders) {
      const names = loader.split('/');
      for (let i = 1; i < names.length; i++) {
        const folder = names.slice(0, i).join('/');
        if (!made.has(folder)) run('mmd', '-i', image, `::${folder}`);
        made.add(folder);
      }
      run('mcopy', '-i', image, source, `::${loader}`);
    }
    return image;
  }
}

const modules = (version: string, builtin: readonly string[], loadable: readonly string[]): ExtEntry[] => [
  file(`usr/lib/modules/${version}/modules.builtin`, builtin.map((one) => `kernel/drivers/${one}.ko\n`).join('')),
  ...loadable.map((one) => file(`usr/lib/modules/${version}/kernel/drivers/${one}`)),
  { path: 'lib', target: 'usr/lib' },
];
const release = (pretty: string, id: string, version: string): ExtEntry =>
  file('etc/os-release', `NAME=x\nPRETTY_NAME="${pretty}"\nID="${id}"\nVERSION_ID="${version}"\n`);
const host = (name: string): ExtEntry => file('etc/hostname', `${name}\n`);
const LIB64 = file('usr/lib64/ld-linux-x86-64.so.2');
const COMMON = ['block/virtio_blk.ko', 'ata/ahci.ko', 'ata/ata_piix.ko', 'scsi/vmw_pvscsi.ko.xz'];

function debian(at: Workshop): MadeGuest {
  const root = at.ext([
    release('Debian GNU/Linux 12 (bookworm)', 'debian', '12'),
    host('db01'),
    file('etc/fstab', 'UUID=1 / ext4 defaults 0 1\n'),
    file('etc/initramfs-tools/initramfs.conf', 'MODULES=most\n'),
    file('boot/grub/i386-pc/normal.mod'),
    ...modules('6.1.0-9-amd64', ['ata/ata_piix'], COMMON),
    LIB64,
  ]);
  mbrDisk(at.path('debian.img'), [{ type: 0x83, volume: root }], 0x1111, 'GRUB \0Geom');
  return {
    dir: at.dir,
    name: 'Debian 12 on ext4, BIOS',
    files: ['debian.img'],
    order: ['debian.img'],
    firmware: 'bios',
    host: 'db01',
    kvm: ['http://debian.org/debian/12', 'virtio'],
    virtualbox: ['Debian_64', 'sata'],
    vmware: ['debian12-64', 'pvscsi'],
    proxmox: ['l26', 'virtio'],
  };
}

const UUIDS = ['aaaaaaaa-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000002'] as const;

function ubuntu(at: Workshop): MadeGuest {
  const [srv, data] = UUIDS;
  const fstab = `# / was on /dev/sda2 during curtin installation
LABEL=cloudimg-rootfs / ext4 defaults 0 1
# /boot/efi was on /dev/sda1 during curtin installation
/dev/disk/by-uuid/CAFE-0001 /boot/efi vfat defaults 0 1
# /srv was on /dev/sdb1 during curtin installation
/dev/disk/by-uuid/${srv} /srv ext4 defaults 0 1
# /data was on /dev/sdc1 during curtin installation
UUID=${data.toUpperCase()} /data ext4 defaults 0 1
`;
  const root = at.ext([
    release('Ubuntu 22.04.3 LTS', 'ubuntu', '22.04'),
    host('web-u'),
    file('etc/fstab', fstab),
    file('etc/initramfs-tools/initramfs.conf', 'MODULES=most\n'),
    ...modules(
      '5.15.0-91-generic',
      ['block/virtio_blk', 'scsi/virtio_scsi'],
      [...COMMON.slice(1), 'message/fusion/mptsas.ko'],
    ),
    LIB64,
  ]);
  const esp = at.esp('EFI/ubuntu/shimx64.efi', 'EFI/BOOT/BOOTX64.EFI');
  gptDisk(
    at.path('u-system.img'),
    [{ type: ESP, volume: esp }, { type: BIOS_BOOT }, { type: LINUX, volume: root }],
    1,
    'GRUB \0',
  );
  gptDisk(at.path('u-a.img'), [{ type: LINUX, volume: at.ext([file('x')], '4M', ['-U', data]) }], 2);
  gptDisk(at.path('u-b.img'), [{ type: LINUX, volume: at.ext([file('y')], '4M', ['-U', srv]) }], 3);
  return {
    dir: at.dir,
    name: 'Ubuntu 22.04, EFI, three disks whose order only a table of file systems knows',
    files: ['u-a.img', 'u-b.img', 'u-system.img'],
    order: ['u-system.img', 'u-b.img', 'u-a.img'],
    firmware: 'efi',
    host: 'web-u',
    kvm: ['http://ubuntu.com/ubuntu/22.04', 'virtio'],
    virtualbox: ['Ubuntu_64', 'sata'],
    vmware: ['ubuntu-64', 'pvscsi'],
    proxmox: ['l26', 'virtio-scsi'],
  };
}

const RHEL: ExtEntry[] = [
  release('Red Hat Enterprise Linux 9.3 (Plow)', 'rhel', '9.3'),
  host('app9'),
  file('usr/lib/dracut/dracut.conf.d/01-dist.conf', 'hostonly="yes"\n'),
  file('etc/fstab', '/dev/mapper/rhel-root / xfs defaults 0 0\nUUID=2 /boot/efi vfat defaults 0 0\n'),
  ...modules('5.14.0-362.el9.x86_64', ['fs/none'], COMMON),
  file('usr/lib64/libc.so.6'),
];

function rhel(at: Workshop): MadeGuest {
  const content = new Uint8Array(fs.readFileSync(at.xfs(RHEL)));
  const [pv] = makeLvm2(3, 1, [{ name: 'root', type: 'linear', content, on: [0] }]);
  const esp = at.esp('EFI/redhat/shimx64.efi', 'EFI/BOOT/BOOTX64.EFI');
  gptDisk(
    at.path('rhel.img'),
    [
      { type: ESP, volume: esp },
      { type: LINUX, volume: at.ext([file('grub2/grubenv'), file('vmlinuz')]) },
      { type: LINUX, volume: at.bytes(pv!) },
    ],
    4,
  );
  return {
    dir: at.dir,
    name: 'RHEL 9 on XFS in LVM, EFI',
    files: ['rhel.img'],
    order: ['rhel.img'],
    firmware: 'efi',
    host: 'app9',
    // Its initramfs is made for the machine it ran on, which nothing here names.
    kvm: ['http://redhat.com/rhel/9.0', 'sata'],
    virtualbox: ['RedHat_64', 'sata'],
    vmware: ['rhel9-64', 'sata'],
    proxmox: ['l26', 'sata'],
  };
}

function suse(at: Workshop): MadeGuest {
  const system: ExtEntry[] = [
    release('openSUSE Leap 15.5', 'opensuse-leap', '15.5'),
    host('leap'),
    file('etc/fstab', 'UUID=1 / btrfs defaults 0 0\nUUID=1 /var btrfs subvol=/@/var 0 0\n'),
    file('etc/dracut.conf.d/99-all.conf', 'hostonly="no"\n'),
    ...modules('5.14.21-default', [], [...COMMON, 'scsi/virtio_scsi.ko.zst']),
    LIB64,
  ];
  const root = at.btrfs((mounted) => {
    run('btrfs', 'subvolume', 'create', join(mounted, '@'));
    for (const name of ['var', '.snapshots', 'boot']) fs.mkdirSync(join(mounted, '@', name));
    fs.mkdirSync(join(mounted, '@/.snapshots/1'));
    run('btrfs', 'subvolume', 'create', join(mounted, '@/.snapshots/1/snapshot'));
    writeEntries(join(mounted, '@/.snapshots/1/snapshot'), system);
    run('btrfs', 'subvolume', 'create', join(mounted, '@/boot/grub2'));
    run('btrfs', 'subvolume', 'set-default', join(mounted, '@/.snapshots/1/snapshot'));
  });
  gptDisk(at.path('suse.img'), [{ type: BIOS_BOOT }, { type: LINUX, volume: root }], 5, 'GRUB \0');
  return {
    dir: at.dir,
    name: 'openSUSE on btrfs, its root a snapshot, BIOS on GPT',
    files: ['suse.img'],
    order: ['suse.img'],
    firmware: 'bios',
    host: 'leap',
    kvm: ['http://opensuse.org/opensuse/15.5', 'virtio'],
    virtualbox: ['OpenSUSE_64', 'sata'],
    vmware: ['opensuse-64', 'pvscsi'],
    proxmox: ['l26', 'virtio-scsi'],
  };
}

function alpine(at: Workshop): MadeGuest {
  const root = at.ext([
    release('Alpine Linux v3.19', 'alpine', '3.19.1'),
    host('edge'),
    file('etc/fstab', 'UUID=3 / ext4 rw 0 1\n'),
    file('etc/mkinitfs/mkinitfs.conf', 'features="ata base ide scsi usb virtio ext4"\n'),
    file('boot/extlinux.conf', 'DEFAULT lts\n'),
    ...modules(
      '6.6.16-0-lts',
      [],
      ['block/virtio_blk.ko.gz', 'ata/ahci.ko.gz', 'ata/ata_piix.ko.gz', 'nvme/host/nvme.ko.gz'],
    ),
    { path: 'usr/lib/ld-musl-x86_64.so.1', bytes: utf8('x') },
  ]);
  mbrDisk(at.path('alpine.img'), [{ type: 0x83, volume: root }], 0x2222, '\x33\xc0\xfaisolinux');
  return {
    dir: at.dir,
    name: 'Alpine on ext4, started by extlinux, BIOS',
    files: ['alpine.img'],
    order: ['alpine.img'],
    firmware: 'bios',
    host: 'edge',
    kvm: ['http://alpinelinux.org/alpinelinux/3.19', 'virtio'],
    virtualbox: ['Linux26_64', 'sata'],
    vmware: ['other5xlinux-64', 'sata'],
    proxmox: ['l26', 'virtio'],
  };
}

function freebsd(at: Workshop): MadeGuest {
  gptDisk(at.path('bsd.img'), [{ type: BSD_BOOT }, { type: BSD_UFS }], 6, '\xfc\x31\xc0Boot loader too large');
  return {
    dir: at.dir,
    name: 'FreeBSD, known by its partitions alone, BIOS',
    files: ['bsd.img'],
    order: ['bsd.img'],
    firmware: 'bios',
    kvm: ['http://freebsd.org/freebsd/13.0', 'sata'],
    virtualbox: ['FreeBSD_64', 'sata'],
    vmware: ['freebsd-64', 'sata'],
    proxmox: ['other', 'sata'],
  };
}

function centos(at: Workshop): MadeGuest {
  const system = [
    release('CentOS Linux 7 (Core)', 'centos', '7'),
    host('old7'),
    file('etc/fstab', '/dev/mapper/centos-root / ext4 defaults 0 0\nUUID=9 /boot ext4 defaults 0 0\n'),
    file(
      'etc/udev/rules.d/70-persistent-net.rules',
      'SUBSYSTEM=="net", ATTR{address}=="00:50:56:aa:bb:01", NAME="eth0"\n',
    ),
    file('etc/sysconfig/network-scripts/ifcfg-eth1', 'DEVICE=eth1\nHWADDR=00:50:56:AA:BB:02\n'),
    file('etc/dracut.conf.d/x.conf', 'hostonly="yes"\nadd_drivers+=" vmw_pvscsi mptsas "\n'),
    ...modules('3.10.0-1160.el7.x86_64', ['ata/ata_piix'], COMMON),
    LIB64,
  ];
  const content = new Uint8Array(fs.readFileSync(at.ext(system, '18M')));
  const pvs = makeLvm2(10, 3, [{ name: 'root', type: 'striped', content, chunk: 65_536, on: [0, 1, 2] }]);
  // pv0 is /dev/sda1 for the maker of groups, and so on.
  const boot = at.ext([file('grub2/i386-pc/normal.mod')], '4M');
  mbrDisk(
    at.path('c-2.img'),
    [
      { type: 0x8e, volume: at.bytes(pvs[0]!) },
      { type: 0x83, volume: boot },
    ],
    0x31,
    'GRUB ',
    1,
  );
  mbrDisk(at.path('c-1.img'), [{ type: 0x8e, volume: at.bytes(pvs[2]!) }], 0x32);
  mbrDisk(at.path('c-3.img'), [{ type: 0x8e, volume: at.bytes(pvs[1]!) }], 0x33);
  return {
    dir: at.dir,
    name: 'CentOS 7 striped over three disks by LVM, whose text names their places, BIOS',
    files: ['c-1.img', 'c-2.img', 'c-3.img'],
    order: ['c-2.img', 'c-3.img', 'c-1.img'],
    firmware: 'bios',
    host: 'old7',
    macs: ['00:50:56:aa:bb:01', '00:50:56:aa:bb:02'],
    kvm: ['http://centos.org/centos/7.0', 'pvscsi'],
    virtualbox: ['RedHat_64', 'lsisas'],
    vmware: ['centos7-64', 'pvscsi'],
    proxmox: ['l26', 'pvscsi'],
  };
}

function raid(at: Workshop): MadeGuest {
  const system = [
    release('Debian GNU/Linux 11 (bullseye)', 'debian', '11'),
    host('nas'),
    file('etc/fstab', 'UUID=7 / ext4 defaults 0 1\n'),
    file('etc/initramfs-tools/initramfs.conf', 'MODULES=dep\n'),
    file('etc/initramfs-tools/modules', '# why\nahci\nvirtio_blk\n'),
    ...modules('5.10.0-28-amd64', [], COMMON),
    LIB64,
  ];
  const content = new Uint8Array(fs.readFileSync(at.ext(system)));
  const spec = { version: '1.2', seed: 4, level: 5, layout: 2, devices: 3, chunk: 65_536 } as const;
  const members = makeMd(spec, content);
  const boot = at.ext([file('grub/i386-pc/normal.mod')], '4M');
  const names = ['r-c.img', 'r-a.img', 'r-b.img'];
  for (const [i, name] of names.entries()) {
    const own = { type: 0xfd, volume: at.bytes(members[i]!) };
    if (i === 0) mbrDisk(at.path(name), [own, { type: 0x83, volume: boot }], 0x41, 'GRUB ', 1);
    else mbrDisk(at.path(name), [own], 0x41 + i);
  }
  return {
    dir: at.dir,
    name: 'Debian 11 on RAID 5 of three disks, BIOS',
    files: ['r-a.img', 'r-b.img', 'r-c.img'].reverse(),
    order: names,
    firmware: 'bios',
    host: 'nas',
    kvm: ['http://debian.org/debian/11', 'virtio'],
    virtualbox: ['Debian_64', 'sata'],
    vmware: ['debian11-64', 'sata'],
    proxmox: ['l26', 'virtio'],
  };
}

export const linuxGuests: readonly ((at: Workshop) => MadeGuest)[] = [
  debian,
  ubuntu,
  rhel,
  suse,
  alpine,
  freebsd,
  centos,
  raid,
];
