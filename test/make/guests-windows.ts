/** Guests of Windows as disks without any configuration, their registries written as hives. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { Bytes } from './bytes.ts';
import type { MadeGuest, Workshop } from './guests.ts';
import { type HiveOptions, type HiveValue, hiveTree, makeHive } from './hive.ts';
import { BASIC, ESP, gptDisk, MSR, mbrDisk } from './layout.ts';

const MIB = 2 ** 20;

interface Windows {
  readonly product: string;
  readonly build: string;
  readonly kind: 'Client' | 'Server';
  readonly host: string;
  /** Drivers, and when each starts. */
  readonly services: Readonly<Record<string, number>>;
  /** \DosDevices\C: and so on. */
  readonly letters?: Readonly<Record<string, Uint8Array>>;
  readonly is64: boolean;
  readonly universal?: boolean;
  readonly options?: HiveOptions;
}

/** How a letter names a partition of an MBR: by its disk and where it starts. */
export function byPlace(signature: number, at: number): Uint8Array {
  return new Bytes(12).u32(0, signature).u64(4, at).data;
}

/** How a letter names a partition of a GPT. */
export function byGuid(unique: Uint8Array): Uint8Array {
  return new Bytes(24).text(0, 'DMIO:ID:').raw(8, unique).data;
}

function systemPaths({ host, services, letters = {}, universal }: Windows): Record<string, Record<string, HiveValue>> {
  const set = 'ControlSet001';
  const clock = universal === true ? { Bias: 0, RealTimeIsUniversal: 1 } : { Bias: 0 };
  return {
    Select: { Current: 1, Default: 1, LastKnownGood: 2 },
    [`${set}\\Control\\ComputerName\\ComputerName`]: { ComputerName: host },
    [`${set}\\Control\\TimeZoneInformation`]: clock,
    // What another set says counts for nothing.
    'ControlSet002\\Services\\viostor': { Type: 1, Start: 0 },
    ...Object.fromEntries(
      Object.entries(services).map(([name, start]) => [`${set}\\Services\\${name}`, { Type: 1, Start: start }]),
    ),
    MountedDevices: {
      '\\??\\Volume{0c5fd5d1-0000-0000-0000-100000000000}': new Uint8Array(12),
      ...Object.fromEntries(Object.entries(letters).map(([letter, place]) => [`\\DosDevices\\${letter}:`, place])),
      // A drive for discs is named by a path.
      '\\DosDevices\\R:': new Uint8Array(Buffer.from('\\??\\IDE#CdRomNECVMWar_VMware_IDE_CDR10', 'utf16le')),
    },
  };
}

/** A volume that Windows lives on. */
function volumeOf(at: Workshop, windows: Windows): string {
  const { product, build, kind, is64, options } = windows;
  return at.ntfs((mounted) => {
    const config = join(mounted, 'Windows/System32/config');
    fs.mkdirSync(config, { recursive: true });
    if (is64) fs.mkdirSync(join(mounted, 'Windows/SysWOW64'));
    fs.writeFileSync(join(config, 'SYSTEM'), makeHive(hiveTree(systemPaths(windows)), options));
    const values = { ProductName: product, CurrentBuildNumber: build, InstallationType: kind };
    const software = hiveTree({ 'Microsoft\\Windows NT\\CurrentVersion': values });
    fs.writeFileSync(join(config, 'SOFTWARE'), makeHive(software, options));
  });
}

const MBR_CODE = 'Missing operating system';

function seven(at: Workshop): MadeGuest {
  const volume = volumeOf(at, {
    product: 'Windows 7 Professional',
    build: '7601',
    kind: 'Client',
    host: 'PC7',
    is64: false,
    services: { intelide: 3, pciide: 0, atapi: 0, msahci: 3, LSI_SAS: 3, iaStorV: 3 },
    options: { list: 'lf' },
  });
  mbrDisk(at.path('win7.img'), [{ type: 7, volume }], 0x77, MBR_CODE);
  return {
    dir: at.dir,
    name: 'Windows 7 of 32 bits, BIOS, IDE',
    files: ['win7.img'],
    order: ['win7.img'],
    firmware: 'bios',
    host: 'PC7',
    localTime: true,
    kvm: ['http://microsoft.com/win/7', 'ide'],
    virtualbox: ['Windows7', 'ide'],
    vmware: ['windows7', 'ide'],
    proxmox: ['win7', 'ide'],
  };
}

function ten(at: Workshop): MadeGuest {
  const volume = volumeOf(at, {
    product: 'Windows 10 Pro',
    build: '19045',
    kind: 'Client',
    host: 'DESKTOP-10',
    is64: true,
    universal: true,
    services: { storahci: 0, stornvme: 0, viostor: 3, pvscsi: 3, LSI_SAS: 3, atapi: 3 },
  });
  const esp = at.esp('EFI/Microsoft/Boot/bootmgfw.efi', 'EFI/BOOT/BOOTX64.EFI');
  gptDisk(at.path('win10.img'), [{ type: ESP, volume: esp }, { type: MSR }, { type: BASIC, volume }], 10);
  return {
    dir: at.dir,
    name: 'Windows 10, EFI, SATA, its clock in UTC',
    files: ['win10.img'],
    order: ['win10.img'],
    firmware: 'efi',
    host: 'DESKTOP-10',
    localTime: false,
    kvm: ['http://microsoft.com/win/10', 'sata'],
    virtualbox: ['Windows10_64', 'sata'],
    vmware: ['windows9-64', 'sata'],
    proxmox: ['win10', 'sata'],
  };
}

function server19(at: Workshop): MadeGuest {
  const data = (seed: number): Uint8Array => {
    const volume = at.ntfs((mounted) => fs.writeFileSync(join(mounted, 'data.txt'), 'x'), 8);
    return gptDisk(at.path(`s19-${seed}.img`), [{ type: MSR }, { type: BASIC, volume }], seed)[1]!;
  };
  const [e, d] = [data(21), data(22)];
  const volume = volumeOf(at, {
    product: 'Windows Server 2019 Standard',
    build: '17763',
    kind: 'Server',
    host: 'FILES01',
    is64: true,
    services: { pvscsi: 0, storahci: 0, viostor: 3, LSI_SAS: 3 },
    letters: { E: byGuid(e), D: byGuid(d) },
  });
  const esp = at.esp('EFI/Microsoft/Boot/bootmgfw.efi');
  gptDisk(at.path('s19-boot.img'), [{ type: ESP, volume: esp }, { type: MSR }, { type: BASIC, volume }], 23);
  return {
    dir: at.dir,
    name: 'Windows Server 2019 from VMware, EFI, three disks whose order only its letters know',
    files: ['s19-21.img', 's19-22.img', 's19-boot.img'],
    order: ['s19-boot.img', 's19-22.img', 's19-21.img'],
    firmware: 'efi',
    host: 'FILES01',
    localTime: true,
    kvm: ['http://microsoft.com/win/2k19', 'sata'],
    virtualbox: ['Windows2019_64', 'sata'],
    vmware: ['windows2019srv-64', 'pvscsi'],
    proxmox: ['win10', 'sata'],
  };
}

function server08(at: Workshop): MadeGuest {
  const data = (name: string, signature: number): void => {
    const volume = at.ntfs((mounted) => fs.writeFileSync(join(mounted, 'data.txt'), 'x'), 8);
    mbrDisk(at.path(name), [{ type: 7, volume }], signature);
  };
  data('s08-y.img', 0xd15c0003);
  data('s08-x.img', 0xd15c0002);
  const volume = volumeOf(at, {
    product: 'Windows Server 2008 R2 Enterprise',
    build: '7601',
    kind: 'Server',
    host: 'SQL08',
    is64: true,
    services: { LSI_SAS: 0, LSI_SCSI: 3, msahci: 3, intelide: 0, atapi: 0 },
    letters: { F: byPlace(0xd15c0003, MIB), D: byPlace(0xd15c0002, MIB), C: byPlace(0xd15c0001, MIB) },
    options: { list: 'li', wide: true },
  });
  mbrDisk(at.path('s08-z.img'), [{ type: 7, volume }], 0xd15c0001, MBR_CODE);
  return {
    dir: at.dir,
    name: 'Windows Server 2008 R2 on LSI SAS, BIOS, three disks whose order only its letters know',
    files: ['s08-y.img', 's08-x.img', 's08-z.img'],
    order: ['s08-z.img', 's08-x.img', 's08-y.img'],
    firmware: 'bios',
    host: 'SQL08',
    localTime: true,
    kvm: ['http://microsoft.com/win/2k8r2', 'ide'],
    virtualbox: ['Windows2008_64', 'lsisas'],
    vmware: ['windows7srv-64', 'lsisas'],
    proxmox: ['win7', 'ide'],
  };
}

export const windowsGuests: readonly ((at: Workshop) => MadeGuest)[] = [seven, ten, server19, server08];
