/** Volumes that the kernel of this machine writes, through a loop device; needs to be root. */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { ExtEntry } from './ext.ts';

const TOOLS = '/usr/sbin:/sbin';
/** With these three mkfs.xfs makes smaller volumes and logs, as the tests of its own makers need them. */
const SMALL = { TEST_DIR: '1', TEST_DEV: '1', QA_CHECK_FS: '1' };
const env = { ...process.env, ...SMALL, PATH: `${TOOLS}:${process.env.PATH ?? ''}` };

/** Why the kernel cannot make volumes of this kind here, or undefined where it can. */
export function mountAbsent(kind: string): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can mount';
  const known = fs.readFileSync('/proc/filesystems', 'utf8').split('\n');
  if (!known.some((line) => line.trim() === kind)) return `this kernel has no ${kind}`;
  if (spawnSync(`mkfs.${kind}`, ['-V'], { env }).error !== undefined) return `mkfs.${kind} is not there`;
  return spawnSync('losetup', ['-f'], { env }).status === 0 ? undefined : 'there are no loop devices';
}

/** Makes a volume in `image`, and lets each of `steps` work on it while it is mounted; it is unmounted in between. */
export function makeMounted(
  kind: string,
  image: string,
  size: string,
  options: readonly string[],
  ...steps: ((dir: string) => void)[]
): void {
  execFileSync('truncate', ['-s', size, image]);
  execFileSync(`mkfs.${kind}`, ['-q', ...options, image], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  for (const step of steps) {
    const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-mount-'));
    execFileSync('mount', ['-o', 'loop', image, dir], { env });
    try {
      step(dir);
    } finally {
      execFileSync('umount', [dir], { env });
      fs.rmdirSync(dir);
    }
  }
}

/** As `makeMounted`, but the volume is stopped at once as if power had failed, with its journal or log written out. */
export function makeStopped(
  kind: string,
  image: string,
  size: string,
  options: readonly string[],
  step: (dir: string) => void,
): void {
  makeMounted(kind, image, size, options, (dir) => {
    step(dir);
    execFileSync('xfs_io', ['-x', '-c', 'shutdown -f', dir], { env });
  });
}

/** What the kernel finds in a volume, once it has put its journal or log in place: files and links, not what is no file. */
export function readMounted(image: string): ExtEntry[] {
  const out: ExtEntry[] = [];
  const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-mount-'));
  execFileSync('mount', ['-o', 'loop', image, dir], { env });
  try {
    for (const one of fs.readdirSync(dir, { withFileTypes: true, recursive: true })) {
      const full = join(one.parentPath, one.name);
      const path = relative(dir, full);
      if (one.isSymbolicLink()) out.push({ path, target: fs.readlinkSync(full) });
      else if (one.isFile()) out.push({ path, bytes: new Uint8Array(fs.readFileSync(full)) });
    }
  } finally {
    execFileSync('umount', [dir], { env });
    fs.rmdirSync(dir);
  }
  return out;
}
