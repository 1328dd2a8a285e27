/** Guest disks: a partition table and a real file system, made by mkfs with fixed identity and time, kept in .cache. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mbrSector } from '../make/wrap.ts';
import { type GuestFile, guestFiles } from './guest-files.ts';
import { CACHE, PATH, whyNot } from './place.ts';

export type GuestKind = 'ext4' | 'ntfs' | 'xfs';

export interface GuestSpec {
  readonly kind: GuestKind;
  /** Whole MiB; the first is the partition table's. */
  readonly mib: number;
  readonly seed: number;
  /** Share of the disk that its files take. */
  readonly fill: number;
}

const MIB = 0x100000;
/** Grows when what is made changes, so that older guests are not taken for new ones. */
const EDITION = 1;
const TIME = 1_700_000_000;
const CLOCK = '2023-11-14 22:13:20';
const TYPES: Record<GuestKind, number> = { ext4: 0x83, ntfs: 0x07, xfs: 0x83 };
const NEEDS: Record<GuestKind, readonly string[]> = {
  ext4: ['mke2fs', 'debugfs'],
  ntfs: ['mkntfs', 'ntfscp', 'faketime'],
  xfs: ['mkfs.xfs', 'faketime'],
};

/** Why guests of a kind cannot be made here, or undefined where they can. */
export function guestAbsent(kind: GuestKind): string | undefined {
  return whyNot(...NEEDS[kind]);
}

/** A guest's disk, the same bytes each time. Throws where a program for it is not installed. */
export function guestImage(spec: GuestSpec): Buffer {
  const why = guestAbsent(spec.kind);
  if (why !== undefined)
    throw new Error(`A guest with ${spec.kind} cannot be made: ${why}. npm test -- --peers installs it.`);
  const folder = join(CACHE, 'guests');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${spec.kind}-${spec.mib}-${spec.seed}-${spec.fill}-v${EDITION}.img`);
  if (existsSync(path)) return readFileSync(path);
  const disk = Buffer.alloc(spec.mib * MIB);
  disk.set(mbrSector(TYPES[spec.kind], 2048, (spec.mib - 1) * 2048, spec.seed, true), 0);
  disk.set(partition(spec), MIB);
  writeFileSync(`${path}.${process.pid}`, disk);
  renameSync(`${path}.${process.pid}`, path);
  return disk;
}

/** Names a guest's bytes, for the record. */
export function guestHash(spec: GuestSpec): string {
  return createHash('sha256').update(guestImage(spec)).digest('hex').slice(0, 12);
}

function partition(spec: GuestSpec): Buffer {
  const dir = mkdtempSync(join(tmpdir(), 'salvor-guest-'));
  try {
    const image = join(dir, 'fs.img');
    writeFileSync(image, '');
    run(dir, 'truncate', '-s', `${spec.mib - 1}M`, image);
    const files = guestFiles(spec.seed, spec.fill * (spec.mib - 1) * MIB);
    for (const file of files) writeFileSync(join(dir, file.name), file.bytes);
    MAKERS[spec.kind](dir, spec, files);
    return readFileSync(image);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function uuid(seed: number): string {
  const hex = createHash('sha256').update(`guest ${seed}`).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    '-',
  );
}

type Maker = (dir: string, spec: GuestSpec, files: readonly GuestFile[]) => void;

const MAKERS: Record<GuestKind, Maker> = {
  ext4(dir, { seed }, files) {
    const id = uuid(seed);
    const options = `hash_seed=${id},nodiscard,lazy_itable_init=0,root_owner=0:0`;
    run(dir, 'mke2fs', '-q', '-F', '-t', 'ext4', '-b', '4096', '-m', '0', '-U', id, '-E', options, 'fs.img');
    // debugfs takes all times from its environment; mke2fs -d would take those of the copied files.
    const script = files.map(({ name }, i) => `write ${name} ${i % 3 === 0 ? 'etc' : 'home'}/${name}\n`).join('');
    writeFileSync(join(dir, 'script'), `mkdir etc\nmkdir home\n${script}`);
    run(dir, 'debugfs', '-w', '-f', 'script', 'fs.img');
  },
  ntfs(dir, { seed }, files) {
    run(dir, 'faketime', '-f', CLOCK, 'mkntfs', '-q', '-F', '-Q', '-c', '4096', '-L', `guest${seed}`, 'fs.img');
    for (const { name } of files) run(dir, 'faketime', '-f', CLOCK, 'ntfscp', '-f', 'fs.img', name, name);
  },
  xfs(dir, { seed }, files) {
    const entries = files.map(({ name }) => `${name} ---644 0 0 ${join(dir, name)}\n`).join('');
    writeFileSync(join(dir, 'proto'), `/\n0 0\nd--755 0 0\n${entries}$\n`);
    const args = ['--unsupported', '-q', '-m', `uuid=${uuid(seed)}`, '-p', 'proto', 'fs.img'];
    run(dir, 'faketime', '-f', CLOCK, 'mkfs.xfs', ...args);
  },
};

function run(cwd: string, program: string, ...args: string[]): void {
  const env = { PATH, TZ: 'UTC', LC_ALL: 'C', E2FSPROGS_FAKE_TIME: String(TIME) };
  const done = spawnSync(program, args, { cwd, env, encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${done.stderr}`);
}
