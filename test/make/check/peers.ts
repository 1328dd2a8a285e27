import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readlinkSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Truth, TruthFile } from '../types.ts';

const MIB = 0x100000;

/** Why a peer cannot be used here, or undefined if it can. */
export function missing(program: string): string | undefined {
  const found = spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${program}`]).status === 0;
  if (!found) return `${program} is not installed`;
  if (program.endsWith('-fuse') && !existsSync('/dev/fuse')) return 'there is no /dev/fuse';
  return undefined;
}

/** Standard output of a peer. */
export function run(program: string, ...args: string[]): Buffer {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, TZ: 'UTC' };
  return execFileSync(program, args, { env, maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs `use` while the images are mounted; always unmounts. */
export function mounted<T>(program: string, images: readonly string[], dir: string, use: (root: string) => T): T {
  const root = join(dir, 'mnt');
  mkdirSync(root, { recursive: true });
  run(program, ...images, root);
  try {
    return use(root);
  } finally {
    run(missing('fusermount3') === undefined ? 'fusermount3' : 'fusermount', '-u', root);
  }
}

function pathOf(root: string, file: TruthFile): string | Buffer {
  if (file.rawName === undefined) return root + file.path;
  const above = file.path.slice(0, file.path.lastIndexOf('/') + 1);
  return Buffer.concat([Buffer.from(root + above), file.rawName]);
}

/** Up to 1 MiB at the start and 64 KiB at the end of extents, so that huge files are checked too; `tbz`: those as well. */
function windows(file: TruthFile, tbz: boolean): [number, number][] {
  const list: [number, number][] = [];
  const step = Math.max(1, Math.floor(file.extents.length / 24));
  for (let i = 0; i < file.extents.length; i += step) {
    const e = file.extents[i]!;
    if (e.kind === 'tbz' && !tbz) continue;
    list.push([e.offset, Math.min(MIB, e.length)]);
    const last = Math.min(65536, e.length);
    list.push([e.offset + e.length - last, last]);
  }
  return list;
}

function same(handle: number, file: TruthFile, tbz: boolean): boolean {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(MIB);
  if (file.sha256 !== undefined) {
    for (let n = readSync(handle, buffer); n > 0; n = readSync(handle, buffer)) hash.update(buffer.subarray(0, n));
    return hash.digest('hex') === file.sha256;
  }
  return windows(file, tbz).every(([at, length]) => {
    for (let done = 0; done < length; ) {
      const n = readSync(handle, buffer, done, length - done, at + done);
      if (n === 0) return false;
      done += n;
    }
    return buffer.subarray(0, length).equals(file.content!.read(at, length));
  });
}

/** Paths under a mount whose bytes are not what the truth says. */
export function differences(root: string, truth: Truth, skip: (file: TruthFile) => boolean): string[] {
  const bad: string[] = [];
  for (const file of truth.files) {
    if (skip(file)) continue;
    if (file.kind === 'symlink' && readlinkSync(pathOf(root, file)) !== file.target) bad.push(file.path);
    if (file.kind !== 'file') continue;
    try {
      const handle = openSync(pathOf(root, file), 'r');
      try {
        if (!same(handle, file, truth.version !== 6)) bad.push(file.path);
      } finally {
        closeSync(handle);
      }
    } catch (error) {
      bad.push(`${file.path}: ${(error as NodeJS.ErrnoException).code}`);
    }
  }
  return bad;
}
