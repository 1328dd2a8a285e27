/** NTFS volumes as mkntfs makes them and ntfs-3g fills them, from files whose content is known. */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seeded } from './content.ts';

/** One thing on a volume; `path` may name a stream: "file.txt:stream". */
export interface NtfsEntry {
  readonly path: string;
  readonly bytes?: Uint8Array;
  /** Holes are left where the bytes are zeros for 64 KiB or more. */
  readonly sparse?: boolean;
  /** A second name of another file. */
  readonly linkTo?: string;
}

const TOOLS: readonly string[] = ['/usr/sbin', '/sbin', ...(process.env.PATH ?? '').split(':')];
const env = { ...process.env, PATH: TOOLS.join(':') };
const HOLE = 65_536;

/** Why volumes cannot be made here, or undefined where they can. */
export const ntfs3gAbsent: string | undefined = absence();

function absence(): string | undefined {
  const lacks = ['mkntfs', 'ntfs-3g', 'umount'].filter((tool) => !TOOLS.some((dir) => fs.existsSync(join(dir, tool))));
  if (lacks.length > 0) return `${lacks.join(' and ')} not there`;
  const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-ntfs-probe-'));
  try {
    const image = join(dir, 'image');
    formatNtfs(image, 4 * 1024 * 1024, []);
    onVolume(image, () => {});
    return undefined;
  } catch {
    return 'NTFS cannot be mounted here (needs root and /dev/fuse)';
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

/** A fresh volume of `bytes` in `image`; `options` are those of mkntfs. */
export function formatNtfs(image: string, bytes: number, options: readonly string[]): void {
  fs.writeFileSync(image, '');
  fs.truncateSync(image, bytes);
  const sector = options.includes('-s') ? [] : ['-s', '512'];
  execFileSync('mkntfs', ['-Q', '-F', '-q', ...sector, ...options, image], { env, stdio: 'ignore' });
}

/** Mounts a volume, lets `act` change it, and unmounts it. */
export function onVolume(image: string, act: (mounted: string) => void, options = ''): void {
  const at = fs.mkdtempSync(join(tmpdir(), 'salvor-ntfs-mount-'));
  const all = ['streams_interface=windows', 'noatime', 'big_writes', ...(options === '' ? [] : [options])].join(',');
  try {
    execFileSync('ntfs-3g', ['-o', all, image, at], { env, stdio: 'ignore' });
    try {
      act(at);
    } finally {
      unmount(image, at);
    }
  } finally {
    fs.rmdirSync(at);
  }
}

function unmount(image: string, at: string): void {
  const pid = holderOf(image);
  for (let tries = 0; tries < 50; tries++) {
    if (spawnSync('umount', [at], { env, stdio: 'ignore' }).status === 0) break;
    spawnSync('sleep', ['0.1']);
  }
  // The process behind a mount writes what is left after it is unmounted.
  for (let tries = 0; tries < 500 && pid !== undefined && isAlive(pid); tries++) spawnSync('sleep', ['0.01']);
}

/** Whether a process still runs; one that ended and was not asked for yet has no command line. */
function isAlive(pid: string): boolean {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1') !== '';
  } catch {
    return false;
  }
}

/** The process that serves a mounted image. */
function holderOf(image: string): string | undefined {
  return fs.readdirSync('/proc').find((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').includes(image);
    } catch {
      return false;
    }
  });
}

/** A volume of `bytes` with the entries on it. */
export function makeNtfs(
  image: string,
  bytes: number,
  options: readonly string[],
  entries: readonly NtfsEntry[],
): void {
  formatNtfs(image, bytes, options);
  onVolume(image, (at) => fillNtfs(at, entries), options.includes('-C') ? 'compression' : '');
}

/** Writes the entries below a mounted volume. */
export function fillNtfs(at: string, entries: readonly NtfsEntry[]): void {
  for (const { path, bytes, sparse, linkTo } of entries) {
    const full = join(at, path);
    if (!path.includes(':')) fs.mkdirSync(join(full, '..'), { recursive: true });
    if (linkTo !== undefined) fs.linkSync(join(at, linkTo), full);
    else if (sparse === true) writeSparse(full, bytes!);
    else fs.writeFileSync(full, bytes!);
  }
}

function writeSparse(path: string, bytes: Uint8Array): void {
  const fd = fs.openSync(path, 'w');
  for (let at = 0; at < bytes.length; at += HOLE) {
    const part = bytes.subarray(at, at + HOLE);
    if (part.some((byte) => byte !== 0)) fs.writeSync(fd, part, 0, part.length, at);
  }
  fs.ftruncateSync(fd, bytes.length);
  fs.closeSync(fd);
}

/** Two files written in turn, so that each is in as many pieces as it has clusters of `step` bytes. */
export function interleave(
  at: string,
  names: readonly [string, string],
  step: number,
  all: readonly [Uint8Array, Uint8Array],
): void {
  const open = names.map((name) => fs.openSync(join(at, name), 'w'));
  for (let from = 0; from < all[0].length; from += step) {
    open.forEach((fd, i) => {
      const part = all[i].subarray(from, from + step);
      fs.writeSync(fd, part, 0, part.length, from);
      fs.fsyncSync(fd);
    });
  }
  for (const fd of open) fs.closeSync(fd);
}

/** Bytes that compress well and are not of one value only. */
function text(seed: number, size: number): Uint8Array {
  const words = seeded(seed, 4096).read(0, 4096);
  const out = new Uint8Array(size);
  for (let i = 0; i < size; i++) out[i] = 97 + (words[(i >>> 3) & 4095] % 16) + (i % 3);
  return out;
}

/** Files of many kinds: empty, tiny, short and long, sparse, linked, with streams, long and strange names, many in one folder. */
export function sampleNtfs(seed: number, many = 300): NtfsEntry[] {
  const bytes = (n: number, size: number): Uint8Array => seeded(seed * 1000 + n, size).read(0, size);
  const sparse = new Uint8Array(3_000_000);
  sparse.set(bytes(1, 5000), 1_000_000);
  sparse.set(bytes(2, 70_000), 2_900_000);
  const mixed = new Uint8Array(700_000);
  mixed.set(text(seed, 300_000));
  mixed.set(bytes(15, 150_000), 300_000);
  mixed.set(text(seed + 1, 99_999), 600_000);
  return [
    { path: 'empty', bytes: new Uint8Array(0) },
    { path: 'tiny', bytes: bytes(3, 7) },
    { path: 'resident.bin', bytes: bytes(4, 600) },
    { path: 'block', bytes: bytes(6, 4096) },
    { path: 'large', bytes: bytes(7, 2_345_678) },
    { path: 'sparse', bytes: sparse, sparse: true },
    { path: 'text.log', bytes: text(seed + 2, 456_789) },
    { path: 'mixed', bytes: mixed },
    { path: 'home/x/notes.txt', bytes: bytes(8, 33_333) },
    { path: 'home/x/deep/er/still/end', bytes: bytes(9, 1025) },
    { path: `home/${'long'.repeat(63)}`, bytes: bytes(10, 10) },
    { path: 'home/pl%us+@ ümlaut 日本 😀', bytes: bytes(11, 20) },
    { path: 'home/x/linked', linkTo: 'home/x/notes.txt' },
    { path: 'again', linkTo: 'home/x/notes.txt' },
    { path: 'tiny:second', bytes: bytes(12, 99) },
    { path: 'large:third', bytes: bytes(13, 22_222) },
    ...Array.from({ length: many }, (_, i) => ({
      path: `many/file-${i}-${'n'.repeat(i % 40)}`,
      bytes: bytes(20 + i, i % 90),
    })),
  ];
}
