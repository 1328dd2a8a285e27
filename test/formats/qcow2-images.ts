/** QCOW2 images in many layouts, made by qemu-img, with what it says they hold; and structures of them to damage. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dice } from '../faults/faults.ts';
import { type GuestKind, guestAbsent, guestImage } from '../scoreboard/guests.ts';

const MIB = 2 ** 20;

export const qemuAbsent: string | undefined =
  spawnSync('qemu-img', ['--version']).status === 0 ? undefined : 'qemu-img (qemu-utils) is not there';

export interface Layout {
  readonly name: string;
  /** Of `qemu-img create` or `convert`. */
  readonly options: string;
  /** MiB. */
  readonly size: number;
  /** How it is filled: from a raw disk, compressed or not, or by single writes in a random order. */
  readonly fill: 'convert' | 'compress' | 'writes';
  /** States between which more is written. */
  readonly snapshots?: number;
  readonly backing?: boolean;
  /** The file system on it; without one it has a partition table, and random bytes. */
  readonly guest?: GuestKind;
}

export interface Image {
  readonly bytes: Uint8Array;
  readonly truth: Uint8Array;
  readonly backing: Uint8Array | undefined;
  readonly snapshots: ReadonlyMap<string, Uint8Array>;
}

/** Share of a disk that files on it take. */
const FILL = 0.6;

export const layouts: readonly Layout[] = [
  { name: 'v3 64K', options: '', size: 16, fill: 'convert' },
  { name: 'v2 64K', options: 'compat=0.10', size: 32, fill: 'convert', guest: 'ntfs' },
  { name: 'v3 4K', options: 'cluster_size=4k', size: 32, fill: 'convert', guest: 'ext4' },
  { name: 'v2 4K', options: 'cluster_size=4k,compat=0.10', size: 32, fill: 'convert', guest: 'xfs' },
  { name: 'v3 512', options: 'cluster_size=512', size: 32, fill: 'convert', guest: 'ext4' },
  { name: 'v3 1K', options: 'cluster_size=1k', size: 32, fill: 'convert', guest: 'ntfs' },
  { name: 'v3 8K', options: 'cluster_size=8k', size: 32, fill: 'convert', guest: 'xfs' },
  { name: 'v3 32K', options: 'cluster_size=32k', size: 32, fill: 'convert', guest: 'ntfs' },
  { name: 'v3 2M', options: 'cluster_size=2M', size: 32, fill: 'convert' },
  { name: 'v3 1M', options: 'cluster_size=1M', size: 32, fill: 'convert' },
  { name: 'deflate 64K', options: '', size: 16, fill: 'compress' },
  { name: 'deflate 4K', options: 'cluster_size=4k', size: 32, fill: 'compress', guest: 'ext4' },
  { name: 'deflate v2', options: 'compat=0.10', size: 32, fill: 'compress', guest: 'ext4' },
  { name: 'zstd 64K', options: 'compression_type=zstd', size: 32, fill: 'compress', guest: 'xfs' },
  { name: 'zstd 16K', options: 'compression_type=zstd,cluster_size=16k', size: 32, fill: 'compress', guest: 'ntfs' },
  { name: 'subclusters 64K', options: 'extended_l2=on', size: 16, fill: 'writes' },
  { name: 'subclusters 16K', options: 'extended_l2=on,cluster_size=16k', size: 32, fill: 'convert', guest: 'ext4' },
  { name: 'refcounts of 1 bit', options: 'refcount_bits=1', size: 32, fill: 'convert', guest: 'xfs' },
  { name: 'refcounts of 64 bits', options: 'refcount_bits=64', size: 32, fill: 'convert', guest: 'ext4' },
  { name: 'preallocated 64K', options: 'preallocation=metadata', size: 16, fill: 'writes' },
  { name: 'snapshots 64K', options: '', size: 16, fill: 'writes', snapshots: 2 },
  { name: 'snapshots 4K', options: 'cluster_size=4k', size: 8, fill: 'writes', snapshots: 2 },
  { name: 'writes 64K', options: 'lazy_refcounts=on', size: 64, fill: 'writes' },
  { name: 'overlay 64K', options: '', size: 16, fill: 'writes', backing: true },
];

const run = (command: string, ...args: string[]): void => void execFileSync(command, args, { stdio: 'pipe' });

/** A disk with a partition table and stretches of text and of random bytes. */
function disk(size: number, seed: number): Uint8Array {
  const out = new Uint8Array(size);
  const random = dice(seed);
  for (let at = 0; at < size; at += 65_536) {
    const kind = random(4);
    if (kind === 0 && at > 0) continue;
    const word = random(2 ** 31);
    for (let i = at; i < at + 65_536; i++) out[i] = kind === 1 ? random(256) : (Math.imul(i >>> 4, word) >>> 24) & 0x7f;
  }
  out.fill(0, 440, 512);
  const table = Buffer.from('8020210083fefffff00800000000100000', 'hex');
  out.set(table.subarray(0, 16), 446);
  const view = new DataView(out.buffer);
  view.setUint32(454, 2048, true);
  view.setUint32(458, size / 512 - 2048, true);
  out.set([0x55, 0xaa], 510);
  return out;
}

function write(file: string, size: number, random: (below: number) => number, count: number, from: number): void {
  const args: string[] = [];
  for (let i = 0; i < count; i++) {
    // The start first, as any installer does.
    const at = i === 0 ? from : 4096 * random(size / 4096 - 32);
    args.push('-c', `write -P ${1 + random(254)} ${at} ${4096 * (1 + random(24))}`);
    if (i % 9 === 8) args.push('-c', `write -z ${4096 * random(size / 4096 - 32)} 65536`);
  }
  run('qemu-io', '-f', 'qcow2', ...args, file);
}

/** A layout of `size` MiB at most whose disk holds no file system: those need more room. */
export function smaller(layout: Layout, size: number): Layout {
  const { guest, ...rest } = layout;
  return guest === undefined || layout.size > size ? { ...rest, size: Math.min(size, rest.size) } : layout;
}

function rawOf({ guest, size }: Layout, seed: number): Uint8Array {
  return guest === undefined ? disk(size * MIB, seed) : guestImage({ kind: guest, mib: size, seed, fill: FILL });
}

/** Why a layout cannot be made here, or undefined where it can. */
export function layoutAbsent({ guest }: Layout): string | undefined {
  return guest === undefined ? undefined : guestAbsent(guest);
}

/** Makes one image. Takes a second at most. */
export function make(layout: Layout, seed = 7): Image {
  const dir = mkdtempSync(join(tmpdir(), 'salvor-qcow2-'));
  try {
    const [raw, file, out] = ['disk.raw', 'disk.qcow2', 'out.raw'].map((name) => join(dir, name));
    const size = layout.size * MIB;
    const random = dice(seed);
    const options = layout.options === '' ? [] : ['-o', layout.options];
    writeFileSync(raw, rawOf(layout, seed));
    if (layout.fill === 'writes') {
      // By its name alone: the image may be put elsewhere, with its backing file beside it.
      const below = layout.backing === true ? ['-b', 'disk.raw', '-F', 'raw'] : [];
      run('qemu-img', 'create', '-q', '-f', 'qcow2', ...options, ...below, file, String(size));
      write(file, size, random, 60, 0);
    } else {
      const compress = layout.fill === 'compress' ? ['-c'] : [];
      run('qemu-img', 'convert', '-q', '-O', 'qcow2', ...compress, ...options, raw, file);
    }
    const snapshots = new Map<string, Uint8Array>();
    for (let i = 1; i <= (layout.snapshots ?? 0); i++) {
      run('qemu-img', 'snapshot', '-c', `state ${i}`, file);
      run('qemu-img', 'convert', '-l', `snapshot.name=state ${i}`, '-O', 'raw', file, out);
      snapshots.set(`state ${i}`, readFileSync(out));
      write(file, size, random, 20, 4096 * i);
    }
    run('qemu-img', 'convert', '-O', 'raw', file, out);
    const backing = layout.backing === true ? readFileSync(raw) : undefined;
    return { bytes: readFileSync(file), truth: readFileSync(out), backing, snapshots };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Where an image keeps its structures, read from its header. */
export interface Places {
  readonly cluster: number;
  readonly l1: { at: number; length: number };
  readonly l2: readonly number[];
  readonly refcounts: readonly { at: number; length: number }[];
  readonly snapshots: { at: number; length: number } | undefined;
}

export function placesOf(bytes: Uint8Array): Places {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = (at: number): number => view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
  const cluster = 2 ** view.getUint32(20);
  const l1 = { at: long(40), length: view.getUint32(36) * 8 };
  const l2: number[] = [];
  for (let at = l1.at; at < l1.at + l1.length; at += 8) {
    const offset = (view.getUint32(at) & 0xffffff) * 2 ** 32 + view.getUint32(at + 4);
    if (offset > 0) l2.push(offset);
  }
  const table = { at: long(48), length: view.getUint32(56) * cluster };
  const refcounts = [table];
  for (let at = table.at; at < table.at + table.length; at += 8)
    if (long(at) > 0) refcounts.push({ at: long(at), length: cluster });
  const listed = view.getUint32(60) > 0 ? { at: long(64), length: Math.min(cluster, 4096) } : undefined;
  return { cluster, l1, l2, refcounts, snapshots: listed };
}

export const damages = ['header', 'l1', 'header and l1', 'refcounts', 'snapshots', 'all of these', 'l2'] as const;
export type DamageName = (typeof damages)[number];

/** A copy with structures gone: zeros, or noise where `seed` says so. */
export function damaged(image: Uint8Array, what: DamageName, seed = 0): Uint8Array {
  const out = Uint8Array.from(image);
  const places = placesOf(image);
  const random = dice(seed);
  const wipe = ({ at, length }: { at: number; length: number }): void => {
    const end = Math.min(out.length, at + length);
    for (let i = at; i < end; i++) out[i] = seed === 0 ? 0 : random(256);
  };
  const all = what === 'all of these';
  if (what.includes('header') || all) wipe({ at: 0, length: places.cluster });
  if (what.endsWith('l1') || all) wipe(places.l1);
  if (what === 'refcounts' || all) for (const place of places.refcounts) wipe(place);
  if ((what === 'snapshots' || all) && places.snapshots !== undefined) wipe(places.snapshots);
  if (what === 'l2') for (const at of places.l2) wipe({ at, length: places.cluster });
  return out;
}
