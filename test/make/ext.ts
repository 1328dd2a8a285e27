/** ext volumes as mke2fs and debugfs write them, from a folder of files whose content is known. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { seeded } from './content.ts';

/** One thing in the folder. */
export interface ExtEntry {
  readonly path: string;
  readonly bytes?: Uint8Array;
  /** Holes are left where the bytes are zeros for 4 KiB or more. */
  readonly sparse?: boolean;
  readonly target?: string;
}

const TOOLS: readonly string[] = ['/usr/sbin', '/sbin', ...(process.env.PATH ?? '').split(':')];

/** Why volumes cannot be made here, or undefined where they can. */
export const ext2progsAbsent: string | undefined = ['mke2fs', 'debugfs'].every((tool) =>
  TOOLS.some((dir) => fs.existsSync(join(dir, tool))),
)
  ? undefined
  : 'mke2fs and debugfs are not there';

const env = { ...process.env, PATH: TOOLS.join(':'), MKE2FS_FIRST_META_BG: '0' };

/** Files of many kinds: empty, tiny, short and long, sparse, linked, with long and strange names, many in one folder. */
export function sampleEntries(seed: number, many = 300): ExtEntry[] {
  const bytes = (n: number, size: number): Uint8Array => seeded(seed * 1000 + n, size).read(0, size);
  const sparse = new Uint8Array(3_000_000);
  sparse.set(bytes(1, 5000), 1_000_000);
  // Its end is data: mke2fs forgets holes at the end of files on volumes with inline data.
  sparse.set(bytes(2, 70_000), 2_930_000);
  return [
    { path: 'empty', bytes: new Uint8Array(0) },
    { path: 'tiny', bytes: bytes(3, 7) },
    { path: 'sixty', bytes: bytes(4, 60) },
    { path: 'hundred', bytes: bytes(5, 100) },
    { path: 'block', bytes: bytes(6, 4096) },
    { path: 'large', bytes: bytes(7, 2_345_678) },
    { path: 'sparse', bytes: sparse, sparse: true },
    { path: 'home/x/notes.txt', bytes: bytes(8, 33_333) },
    { path: 'home/x/deep/er/still/end', bytes: bytes(9, 1025) },
    { path: `home/${'long'.repeat(63)}`, bytes: bytes(10, 10) },
    { path: 'home/pl%us+:@ ümlaut', bytes: bytes(11, 20) },
    { path: 'fast', target: 'home/x/notes.txt' },
    { path: 'slow', target: `home/${'../home/'.repeat(20)}x/notes.txt` },
    ...Array.from({ length: many }, (_, i) => ({
      path: `many/file-${i}-${'n'.repeat(i % 40)}`,
      bytes: bytes(20 + i, i % 90),
    })),
  ];
}

/** Writes the entries below `dir`. */
export function writeEntries(dir: string, entries: readonly ExtEntry[]): void {
  for (const { path, bytes, sparse, target } of entries) {
    const full = join(dir, path);
    fs.mkdirSync(join(full, '..'), { recursive: true });
    if (target !== undefined) fs.symlinkSync(target, full);
    else if (sparse === true) writeSparse(full, bytes!);
    else fs.writeFileSync(full, bytes!);
  }
}

function writeSparse(path: string, bytes: Uint8Array): void {
  const fd = fs.openSync(path, 'wx');
  for (let at = 0; at < bytes.length; at += 4096) {
    const part = bytes.subarray(at, at + 4096);
    if (part.some((byte) => byte !== 0)) fs.writeSync(fd, part, 0, part.length, at);
  }
  fs.ftruncateSync(fd, bytes.length);
  fs.closeSync(fd);
}

/** Makes a volume of `size` in `image` from the folder `from`. `options` are those of mke2fs. */
export function makeExt(image: string, size: string, from: string, options: readonly string[]): void {
  const fixed = [
    '-q',
    '-F',
    '-U',
    '6b1f3f8e-0000-4000-8000-00000000e474',
    '-E',
    'hash_seed=6b1f3f8e-0000-4000-8000-00000000e475',
  ];
  execFileSync('mke2fs', [...fixed, '-d', from, ...options, image, size], { env, stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Runs commands of debugfs on a volume, which it may change. */
export function debugfs(image: string, commands: readonly string[], write = true): string {
  const args = [...(write ? ['-w'] : []), '-f', '-', image];
  return execFileSync('debugfs', args, {
    env,
    input: `${commands.join('\n')}\n`,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
  });
}

/** Puts blocks into the journal of a volume as one transaction, with sums; a mount would write them to their places. */
export function logBlocks(image: string, blocks: ReadonlyMap<number, Uint8Array>): void {
  const content = `${image}.blocks`;
  fs.writeFileSync(content, Buffer.concat([...blocks.values()]));
  debugfs(image, ['jo -c', `jw -b ${[...blocks.keys()].join(',')} ${content}`, 'jc']);
  fs.rmSync(content);
}

/** The blocks in which two volumes of one size differ, as the second has them. */
export function differingBlocks(before: string, after: string, blockSize: number): Map<number, Uint8Array> {
  const [a, b] = [fs.readFileSync(before), fs.readFileSync(after)];
  const out = new Map<number, Uint8Array>();
  for (let at = 0; at < b.length; at += blockSize) {
    const block = b.subarray(at, at + blockSize);
    if (!block.equals(a.subarray(at, at + blockSize))) out.set(at / blockSize, block);
  }
  return out;
}
