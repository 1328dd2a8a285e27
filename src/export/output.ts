/** Makes directories and files in the target. Every step on the way is looked at, and nothing is ever written over. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { ExportError } from './error.ts';
import { PART } from './names.ts';
import { stamp } from './times.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = fs.constants;
/** Who may look at a file that is not complete. */
const PART_MODE = 0o600;

/** Makes a directory whose parent is there; `known`: it may be there, made by a run before. */
export function makeDirectory(full: string, known: boolean): void {
  const stat = fs.lstatSync(full, { throwIfNoEntry: false });
  if (stat === undefined) {
    fs.mkdirSync(full, 0o700);
    return;
  }
  if (known && stat.isDirectory()) return;
  throw new ExportError(
    'exists',
    `${full} appeared meanwhile and is not ours. Move it away and run the command again.`,
  );
}

export interface OpenPart {
  readonly fd: number;
  readonly part: string;
  /** It holds what a run before this one wrote. */
  readonly before: boolean;
}

/** Opens NAME.part for reading and writing with its full size; one of a run before is used again where it can be. */
export function openPart(full: string, size: number, known: boolean): OpenPart {
  const part = full + PART;
  if (known) {
    const fd = reopen(full, part, size);
    if (fd !== undefined) return { fd, part, before: true };
  }
  const fd = fs.openSync(part, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, PART_MODE);
  fs.ftruncateSync(fd, size);
  return { fd, part, before: false };
}

function reopen(full: string, part: string, size: number): number | undefined {
  // A kill between the last name and its note leaves a whole file under its own name.
  if (isThere(full) && !isThere(part)) fs.renameSync(full, part);
  const stat = fs.lstatSync(part, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (stat.isFile() && stat.nlink === 1 && stat.size === size) {
    fs.chmodSync(part, PART_MODE);
    return fs.openSync(part, O_NOFOLLOW | O_RDWR);
  }
  fs.unlinkSync(part);
  return undefined;
}

/** Takes away what an earlier run left of a file that is copied anew. Both names must be this program's own. */
export function removeOwn(full: string): void {
  for (const name of [full, full + PART]) if (isThere(name)) fs.unlinkSync(name);
}

/** Gives an open part its mode, times and name; the name must be free. */
export function finishPart(open: OpenPart, full: string, mode: number, modified: number | undefined): void {
  fs.fchmodSync(open.fd, mode);
  if (modified !== undefined) fs.futimesSync(open.fd, stamp(modified), stamp(modified));
  if (isThere(full)) {
    throw new ExportError(
      'exists',
      `${full} appeared meanwhile and is not ours. Move it away and run the command again.`,
    );
  }
  fs.renameSync(open.part, full);
}

/** A symbolic link, if its text is relative and cannot lead out of `dir` whatever other links there are. */
export function linkIsSafe(linkPath: string, target: string): boolean {
  const parts = target.split('/');
  if (target === '' || target.startsWith('/') || target.includes('\0')) return false;
  // '..' only at the start: behind a name it would leave what that name leads to, which may be a link.
  const ups = parts.findIndex((part) => part !== '..' && part !== '.');
  if (ups < 0 || parts.slice(ups).includes('..')) return false;
  const depth = linkPath.split('/').length - 1;
  return parts.slice(0, ups).filter((part) => part === '..').length <= depth;
}

export function isThere(full: string): boolean {
  return fs.lstatSync(full, { throwIfNoEntry: false }) !== undefined;
}

/** A time that a file can be given, or undefined. Seconds since 1970. */
export function usableTime(seconds: number | undefined): number | undefined {
  return seconds !== undefined && Number.isFinite(seconds) && Math.abs(seconds) < 2 ** 40 ? seconds : undefined;
}

/** Modes and times of directories, once nothing more is put into them: the deepest first. */
export function finishDirectories(
  dir: string,
  directories: readonly { path: string; mode: number | null; modified: number | null }[],
): void {
  for (const { path: name, mode, modified } of [...directories].reverse()) {
    const full = path.join(dir, name);
    if (fs.lstatSync(full).isSymbolicLink()) continue;
    fs.chmodSync(full, mode ?? 0o755);
    const time = usableTime(modified ?? undefined);
    if (time !== undefined) fs.utimesSync(full, stamp(time), stamp(time));
  }
}
