/** Where the scoreboard keeps things, and which programs are there. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT: string = join(import.meta.dirname, '..', '..');
export const CACHE: string = join(ROOT, '.cache', 'scoreboard');
export const PAGE: string = join(ROOT, 'docs', 'scoreboard.md');
/** Debian keeps file-system programs in sbin. */
export const PATH: string = `${process.env.PATH}:/usr/sbin:/sbin`;

/** Why programs cannot be used here, or undefined where they can. */
export function whyNot(...programs: readonly string[]): string | undefined {
  for (const program of programs) {
    const found = spawnSync('sh', ['-c', `command -v ${program}`], { env: { ...process.env, PATH } }).status === 0;
    if (!found) return `${program} is not installed`;
    if (program.endsWith('-fuse') && !existsSync('/dev/fuse')) return 'there is no /dev/fuse';
  }
  return undefined;
}
