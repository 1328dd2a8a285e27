/** btrfs volumes that the kernel of this machine writes, on one image or several; needs to be root. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const env = { ...process.env, PATH: `/usr/sbin:/sbin:${process.env.PATH ?? ''}` };

export interface BtrfsSpec {
  /** One for each device. */
  readonly images: readonly string[];
  readonly size: string;
  /** Options of mkfs.btrfs. */
  readonly options: readonly string[];
  /** Options of the mount, beside those that keep freed blocks as they are. */
  readonly mount?: string;
}

/** Runs a program as root would, with the tools of the system in reach. */
export function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Makes a volume, and lets each of `steps` work on it while it is mounted; it is unmounted in between. */
export function makeBtrfs({ images, size, options, mount }: BtrfsSpec, ...steps: ((dir: string) => void)[]): void {
  const loops: string[] = [];
  try {
    for (const image of images) {
      run('truncate', '-s', size, image);
      loops.push(run('losetup', '-f', '--show', image).trim());
    }
    run('mkfs.btrfs', '-q', '-f', ...options, ...loops);
    if (loops.length > 1) run('btrfs', 'device', 'scan', ...loops);
    for (const step of steps) {
      const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-mount-'));
      const given = loops.slice(1).map((loop) => `device=${loop}`);
      run(
        'mount',
        '-t',
        'btrfs',
        '-o',
        ['nodiscard', ...(mount === undefined ? [] : [mount]), ...given].join(),
        loops[0],
        dir,
      );
      try {
        step(dir);
      } finally {
        run('umount', dir);
        fs.rmdirSync(dir);
      }
    }
  } finally {
    if (loops.length > 1) run('btrfs', 'device', 'scan', '--forget');
    for (const loop of loops) run('losetup', '-d', loop);
  }
}
