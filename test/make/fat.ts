/** Volumes of FAT, exFAT and ISO 9660 as mtools, exfat-fuse and genisoimage fill them. */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seeded } from './content.ts';
import { type ExtEntry, writeEntries } from './ext.ts';

const env = {
  ...process.env,
  PATH: `/usr/sbin:/sbin:${process.env.PATH ?? ''}`,
  LC_ALL: 'C.UTF-8',
  MTOOLS_SKIP_CHECK: '1',
};
const stdio: ['ignore', 'ignore', 'pipe'] = ['ignore', 'ignore', 'pipe'];

/** Why volumes cannot be made here with these commands, or undefined where they can. */
export function toolsAbsent(...commands: readonly string[]): string | undefined {
  const gone = commands.filter((one) => spawnSync('sh', ['-c', `command -v ${one}`], { env }).status !== 0);
  return gone.length === 0 ? undefined : `${gone.join(' and ')} not there`;
}

/** Why exFAT volumes cannot be filled here, or undefined where they can. */
export function exfatAbsent(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can mount';
  if (!fs.existsSync('/dev/fuse')) return 'there is no /dev/fuse';
  return toolsAbsent('mkfs.exfat', 'mount.exfat-fuse', 'losetup');
}

/** Files of many kinds, with names that DOS would know and others. */
export function plainEntries(seed: number, many: number): ExtEntry[] {
  const bytes = (n: number, size: number): Uint8Array => seeded(seed * 1000 + n, size).read(0, size);
  return [
    { path: 'EMPTY', bytes: new Uint8Array(0) },
    { path: 'README.TXT', bytes: bytes(1, 7) },
    { path: 'lower.txt', bytes: bytes(2, 511) },
    { path: 'sector', bytes: bytes(3, 512) },
    { path: 'block', bytes: bytes(4, 4096) },
    { path: 'Large File.bin', bytes: bytes(5, 234_567) },
    { path: 'home/x/notes.text', bytes: bytes(6, 33_333) },
    { path: 'home/x/deep/er/and/still/deep/er/end', bytes: bytes(7, 1025) },
    { path: `home/${'long'.repeat(60)}`, bytes: bytes(8, 10) },
    { path: 'home/thirteenchars', bytes: bytes(9, 20) },
    { path: 'home/pl%us+@, ümläut ß', bytes: bytes(10, 20) },
    { path: 'home/日本語 русский', bytes: bytes(11, 3000) },
    ...Array.from({ length: many }, (_, i) => ({
      path: `many/file-${i}-${'n'.repeat(i % 40)}`,
      bytes: bytes(20 + i, i % 90),
    })),
  ];
}

function inFolder(entries: readonly ExtEntry[], work: (dir: string) => void): void {
  const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-fat-'));
  try {
    writeEntries(dir, entries);
    work(dir);
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

/** Makes a FAT volume of `size` and puts the entries on it. */
export function makeFat(image: string, size: string, options: readonly string[], entries: readonly ExtEntry[]): void {
  execFileSync('truncate', ['-s', size, image]);
  execFileSync('mkfs.fat', [...options, image], { env, stdio });
  addToFat(image, entries);
}

/** Puts more on a FAT volume. */
export function addToFat(image: string, entries: readonly ExtEntry[]): void {
  inFolder(entries, (dir) => {
    const tops = fs.readdirSync(dir).map((name) => join(dir, name));
    execFileSync('mcopy', ['-s', '-Q', '-D', 'o', '-i', image, ...tops, '::'], { env, stdio });
  });
}

/** Deletes files, or folders with all that is in them. */
export function deleteFromFat(image: string, paths: readonly string[], command: 'mdel' | 'mdeltree' = 'mdel'): void {
  execFileSync(command, ['-i', image, ...paths.map((path) => `::/${path}`)], { env, stdio });
}

/** Makes an exFAT volume, and lets each of `steps` work on it while it is mounted. */
export function makeExfat(
  image: string,
  size: string,
  options: readonly string[],
  ...steps: ((dir: string) => void)[]
): void {
  execFileSync('truncate', ['-s', size, image]);
  execFileSync('mkfs.exfat', [...options, image], { env, stdio });
  for (const step of steps) {
    const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-mount-'));
    const device = execFileSync('losetup', ['-f', '--show', image], { env, encoding: 'utf8' }).trim();
    try {
      execFileSync('mount.exfat-fuse', [device, dir], { env, stdio });
      try {
        step(dir);
      } finally {
        execFileSync('umount', [dir], { env });
      }
    } finally {
      execFileSync('losetup', ['-d', device], { env });
      fs.rmdirSync(dir);
    }
  }
}

/** Makes an ISO 9660 volume of the entries. */
export function makeIso(image: string, options: readonly string[], entries: readonly ExtEntry[]): void {
  inFolder(entries, (dir) =>
    execFileSync('genisoimage', ['-quiet', '-input-charset', 'utf-8', ...options, '-o', image, dir], { env, stdio }),
  );
}
