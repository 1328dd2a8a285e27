/** A small Linux that starts from a disk: GRUB, a kernel of Debian, busybox, and a line read from the disk. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { utf8 } from './bytes.ts';

const SECTOR = 512;
const KERNEL_AT = 2048;
const FLAVOUR = 'linux-image-cloud-amd64';
const CACHE = join(tmpdir(), 'salvor-guest');
/** Modules that lead to disks, in the order in which they are loaded; what they need goes before them. */
const DRIVERS = ['sd_mod', 'ata_piix', 'ahci', 'virtio_pci', 'virtio_blk', 'vmw_pvscsi'];

/** The disk as bytes with holes, and where the line lies that the guest prints. */
export interface GuestImage {
  readonly size: number;
  readonly pieces: readonly { at: number; bytes: Uint8Array }[];
  /** Sector of the line. */
  readonly lineAt: number;
}

/** The packages unpacked, or why they cannot be had here. */
export function guestParts(): { root: string } | string {
  const root = join(CACHE, 'root');
  if (existsSync(root)) return { root };
  if (!existsSync('/bin/busybox')) return 'busybox-static is not installed';
  mkdirSync(CACHE, { recursive: true });
  const dir = mkdtempSync(join(CACHE, 'part-'));
  const asked = spawnSync('apt-cache', ['depends', FLAVOUR], { encoding: 'utf8' });
  const kernel = /Depends: (linux-image-\S+)/.exec(asked.stdout ?? '')?.[1];
  if (kernel === undefined) return `apt knows no ${FLAVOUR}`;
  const packages = [kernel, 'grub-pc-bin', 'grub-common'];
  const got = spawnSync('apt-get', ['download', ...packages], { cwd: dir, encoding: 'utf8' });
  if (got.status !== 0) return `apt-get cannot download: ${got.stderr.trim().split('\n').pop()}`;
  for (const name of readdirSync(dir).filter((n) => n.endsWith('.deb'))) {
    execFileSync('dpkg-deb', ['-x', join(dir, name), join(dir, 'root')]);
  }
  try {
    renameSync(join(dir, 'root'), root);
  } catch (error) {
    if (!existsSync(root)) throw error; // another test was first
  }
  rmSync(dir, { recursive: true, force: true });
  return { root };
}

/** One file of a cpio archive in the "newc" form: 13 numbers of eight digits, the name, the bytes, each to 4 bytes. */
function entry(name: string, mode: number, bytes: Uint8Array = new Uint8Array(0), device: [number, number] = [0, 0]) {
  const hex = (n: number): string => n.toString(16).padStart(8, '0');
  const fields = [1, mode, 0, 0, 1, 0, bytes.length, 0, 0, device[0], device[1], name.length + 1, 0];
  const head = Buffer.from(`070701${fields.map(hex).join('')}${name}\0`, 'latin1');
  const pad = (n: number): Buffer => Buffer.alloc((4 - (n % 4)) % 4);
  return Buffer.concat([head, pad(head.length), bytes, pad(bytes.length)]);
}

function modulesOf(root: string): Map<string, string> {
  const base = join(root, 'lib/modules');
  const files = readdirSync(base, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ko'));
  return new Map(files.map((file) => [file.split('/').pop()!.slice(0, -3).replaceAll('-', '_'), join(base, file)]));
}

/** Modules and what they say they need, needs first. */
function inOrder(all: ReadonlyMap<string, string>, wanted: readonly string[]): string[] {
  const out: string[] = [];
  const seen = new Set<string>();
  const add = (name: string): void => {
    const file = all.get(name);
    if (file === undefined || seen.has(name)) return;
    seen.add(name);
    const text = readFileSync(file).toString('latin1');
    for (const needed of (/\0depends=([^\0]*)\0/.exec(text)?.[1] ?? '').split(',')) add(needed.replaceAll('-', '_'));
    out.push(name);
  };
  for (const name of wanted) add(name);
  // The checksum of T10-DIF is asked for by name when sd_mod starts.
  return out;
}

function initramfs(root: string, lineAt: number): Uint8Array {
  const all = modulesOf(root);
  const modules = inOrder(all, ['crct10dif_generic', ...DRIVERS]);
  const init = `#!/bin/busybox sh
export PATH=/bin
/bin/busybox mount -t devtmpfs dev /dev
for m in ${modules.join(' ')}; do /bin/busybox insmod /modules/$m.ko; done
n=0
while [ $n -lt 100 ]; do
  for d in /dev/sda /dev/vda /dev/nvme0n1; do [ -b $d ] && disk=$d; done
  [ -n "$disk" ] && break
  n=$((n+1)); /bin/busybox usleep 100000
done
line=$(/bin/busybox dd if=$disk bs=512 skip=${lineAt} count=1 2>/dev/null | /bin/busybox tr -d '\\000')
echo "salvor-guest: $disk says: $line"
/bin/busybox dd if=$disk bs=64k count=16 of=/dev/null 2>/dev/null && echo "salvor-guest: reads fine"
echo written | /bin/busybox dd of=$disk bs=512 seek=${lineAt + 1} conv=fsync 2>/dev/null && echo "salvor-guest: writes fine"
echo -n "salvor login: "
/bin/busybox sleep 600
/bin/busybox poweroff -f
`;
  const file = (name: string, path: string): Buffer => entry(name, 0o100755, readFileSync(path));
  return Buffer.concat([
    ...['bin', 'dev', 'modules'].map((name) => entry(name, 0o040755)),
    entry('dev/console', 0o020600, undefined, [5, 1]),
    file('bin/busybox', '/bin/busybox'),
    ...modules.map((name) => file(`modules/${name}.ko`, all.get(name)!)),
    entry('init', 0o100755, utf8(init)),
    entry('TRAILER!!!', 0),
  ]);
}

function boots(root: string, config: string): Uint8Array {
  const dir = mkdtempSync(join(CACHE, 'grub-'));
  const modules = join(root, 'usr/lib/grub/i386-pc');
  writeFileSync(join(dir, 'grub.cfg'), config);
  const out = join(dir, 'core.img');
  const args = ['-d', modules, '-O', 'i386-pc', '-o', out, '-p', '(hd0)', '-c', join(dir, 'grub.cfg')];
  execFileSync(join(root, 'usr/bin/grub-mkimage'), [...args, 'biosdisk', 'linux']);
  const core = readFileSync(out);
  rmSync(dir, { recursive: true });
  if (core.length > (KERNEL_AT - 1) * SECTOR) throw new Error('GRUB does not fit before the first partition');
  const disk = new Uint8Array(SECTOR + core.length);
  disk.set(readFileSync(join(modules, 'boot.img')).subarray(0, 440));
  // One active Linux partition from the first MiB on, and the signature.
  disk.set([0x80, 0, 2, 0, 0x83, 0xff, 0xff, 0xff, 0x00, 0x08, 0, 0, 0x00, 0xe8, 1, 0], 446);
  disk.set([0x55, 0xaa], 510);
  disk.set(core, SECTOR);
  return disk;
}

/** As guestParts, with what starts by EFI besides; or why it cannot be had here. */
export function efiParts(): { root: string; grub: string } | string {
  const parts = guestParts();
  if (typeof parts === 'string') return parts;
  if (spawnSync('mcopy', ['-V']).status !== 0) return 'mtools are not installed';
  const grub = join(CACHE, 'efi');
  if (existsSync(grub)) return { ...parts, grub };
  const dir = mkdtempSync(join(CACHE, 'part-'));
  const got = spawnSync('apt-get', ['download', 'grub-efi-amd64-bin'], { cwd: dir, encoding: 'utf8' });
  if (got.status !== 0) return `apt-get cannot download: ${got.stderr.trim().split('\n').pop()}`;
  for (const name of readdirSync(dir)) execFileSync('dpkg-deb', ['-x', join(dir, name), join(dir, 'root')]);
  try {
    renameSync(join(dir, 'root'), grub);
  } catch (error) {
    if (!existsSync(grub)) throw error; // another test was first
  }
  rmSync(dir, { recursive: true, force: true });
  return { ...parts, grub };
}

/** A disk of 128 MiB with an EFI system partition that starts, and says what stands at its end. */
export function efiGuest({ root, grub }: { root: string; grub: string }, file: string, line: string): void {
  const size = 128 * 1024 * 1024;
  const partAt = 2048 * SECTOR;
  const lineAt = size / SECTOR - 64;
  const dir = mkdtempSync(join(CACHE, 'esp-'));
  const inDir = (name: string, bytes: string | Uint8Array): string => {
    writeFileSync(join(dir, name), bytes);
    return join(dir, name);
  };
  const config = `linux ($root)/vmlinuz console=ttyS0 loglevel=4 panic=5\ninitrd ($root)/initrd\nboot\n`;
  const start = inDir('start.cfg', `search --file --set=root /vmlinuz\n${config}`);
  const modules = join(grub, 'usr/lib/grub/x86_64-efi');
  const boot = join(dir, 'BOOTX64.EFI');
  const args = ['-d', modules, '-O', 'x86_64-efi', '-o', boot, '-p', '/', '-c', start];
  execFileSync(join(root, 'usr/bin/grub-mkimage'), [...args, 'part_msdos', 'fat', 'search', 'linux']);
  const kernel = readdirSync(join(root, 'boot')).find((name) => name.startsWith('vmlinuz'))!;
  const disk = new Uint8Array(partAt);
  const sectors = lineAt - 2048;
  // One partition of the kind "EFI system", and the signature; no code to start by BIOS.
  disk.set([0, 0, 2, 0, 0xef, 0xff, 0xff, 0xff, 0x00, 0x08, 0, 0], 446);
  new DataView(disk.buffer).setUint32(458, sectors, true);
  disk.set([0x55, 0xaa], 510);
  writeFileSync(file, disk, { flag: 'wx' });
  execFileSync('truncate', ['-s', String(size), file]);
  const at = `${file}@@${partAt}`;
  execFileSync('mformat', ['-i', at, '-F', '-T', String(sectors), '-h', '16', '-s', '63', '::']);
  execFileSync('mmd', ['-i', at, '::/EFI', '::/EFI/BOOT']);
  execFileSync('mcopy', ['-i', at, boot, '::/EFI/BOOT/BOOTX64.EFI']);
  execFileSync('mcopy', ['-i', at, join(root, 'boot', kernel), '::/vmlinuz']);
  execFileSync('mcopy', ['-i', at, inDir('initrd', initramfs(root, lineAt)), '::/initrd']);
  execFileSync('dd', [
    `if=${inDir('line', `${line}\n`)}`,
    `of=${file}`,
    `seek=${lineAt}`,
    'conv=notrunc',
    'status=none',
  ]);
  rmSync(dir, { recursive: true });
}

/** A disk of 128 MiB that starts and says what stands at `lineAt`. */
export function guestImage(root: string, line: string): GuestImage {
  const boot = join(root, 'boot');
  const kernel = readFileSync(join(boot, readdirSync(boot).find((name) => name.startsWith('vmlinuz'))!));
  const kernelSectors = Math.ceil(kernel.length / SECTOR);
  const initAt = KERNEL_AT + Math.ceil(kernelSectors / 2048) * 2048;
  const lineAt = 229_376;
  const init = initramfs(root, lineAt);
  const initSectors = Math.ceil(init.length / SECTOR);
  const config = `linux (hd0)${KERNEL_AT}+${kernelSectors} console=ttyS0 loglevel=4 panic=5
initrd (hd0)${initAt}+${initSectors}
boot
`;
  if (initAt + initSectors > lineAt) throw new Error('the guest does not fit its disk');
  return {
    size: 128 * 1024 * 1024,
    lineAt,
    pieces: [
      { at: 0, bytes: boots(root, config) },
      { at: KERNEL_AT * SECTOR, bytes: kernel },
      { at: initAt * SECTOR, bytes: init },
      { at: lineAt * SECTOR, bytes: utf8(line) },
    ],
  };
}
