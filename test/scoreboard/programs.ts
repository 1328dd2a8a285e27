/** Salvor and its peers on a damaged store, as people run them. */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import type { Manifest } from '../../src/export/index.ts';
import type { Case } from './case.ts';
import type { Recovered, Stretch } from './judge.ts';
import { PATH, ROOT, whyNot } from './place.ts';

/** What a program did. */
export interface Outcome {
  readonly files: readonly Recovered[];
  readonly seconds: number;
  /** Why there is nothing, or what went wrong. */
  readonly note?: string;
  /** Machines that were put together. */
  readonly assembled?: ReadonlySet<string>;
}

const LAUNCHER = join(ROOT, 'bin', 'salvor.js');
const LIMIT = 180; // seconds
const MOST_OUTPUT = 1 << 28;
/** Exit codes of salvor that are results. */
const RESULTS = [0, 1, 3];

interface Map {
  readonly runs: readonly { readonly offset: number; readonly length: number; readonly certainty: string }[];
}

function salvor(...args: string[]): { status: number | null; out: string; err: string } {
  const options = { encoding: 'utf8', maxBuffer: MOST_OUTPUT, timeout: LIMIT * 1000, killSignal: 'SIGKILL' } as const;
  const done = spawnSync(process.execPath, [LAUNCHER, ...args], options);
  return { status: done.status, out: done.stdout, err: done.stderr };
}

/** salvor recover --deep, and what its manifest says. */
export function runSalvor(one: Case, dir: string): Outcome {
  const began = performance.now();
  const done = salvor('recover', ...one.images, '--deep', '--out', dir, '--json', '--case', `${dir}.case`);
  const seconds = (performance.now() - began) / 1000;
  const crash = RESULTS.includes(done.status ?? -1)
    ? undefined
    : `exit ${done.status ?? `after ${LIMIT} s`}: ${done.err.slice(-300)}`;
  if (!existsSync(join(dir, 'manifest.json'))) {
    return { files: [], seconds, note: crash ?? done.err.trim().split('\n').at(-1) ?? 'no manifest' };
  }
  const manifest = JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8')) as Manifest;
  const files = manifest.files
    .filter((file) => file.kind === 'file' && existsSync(join(dir, file.path)))
    .map((file): Recovered => {
      const { verified, stated, inferred, guessed } = file.certainty.bytes;
      return {
        path: file.path,
        file: join(dir, file.path),
        gaps: file.gaps,
        good: verified + stated,
        doubtful: inferred + guessed,
        goodRanges: () => goodRanges(one, file.locator, file.size),
      };
    });
  // Texts that were made anew are graded line by line, never above inferred.
  for (const { path } of manifest.regenerated ?? []) {
    files.push({ path, file: join(dir, path), gaps: [], good: 0, doubtful: 1 });
  }
  const assembled = new Set(
    manifest.machines
      .filter(
        ({ disks }) =>
          disks.length > 0 && disks.every((disk) => disk.path !== null && disk.chain.length === (one.chain ?? 1)),
      )
      .map((machine) => machine.name),
  );
  return { files, seconds, assembled, ...(crash !== undefined && { note: crash }) };
}

/** Where a thing's bytes are graded good; all of it where that cannot be said. */
function goodRanges(one: Case, locator: string, size: number): Stretch[] {
  // The locator alone would leave out members whose place it does not tell.
  const inner = locator.includes('::') ? locator.slice(locator.indexOf('::')) : '';
  for (const args of one.images.length > 1 ? [[locator]] : [[one.images[0] + inner], [locator]]) {
    const done = salvor('map', ...args, '--json');
    if (done.out === '') continue;
    const { runs } = JSON.parse(done.out) as Map;
    return runs.filter((run) => /stated|verified/.test(run.certainty)).map((run) => [run.offset, run.length]);
  }
  return [[0, size]];
}

function filesBelow(dir: string): Recovered[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && lstatSync(join(entry.parentPath, entry.name)).size > 0)
    .map((entry) => {
      const file = join(entry.parentPath, entry.name);
      return { path: relative(dir, file), file, gaps: [] };
    });
}

function timed(
  seconds: number,
  program: string,
  args: readonly string[],
  cwd: string,
): { status: number | null; err: string } {
  const env = { ...process.env, PATH, TERM: 'dumb' };
  const done = spawnSync('timeout', ['-k', '5', String(seconds), program, ...args], {
    cwd,
    env,
    encoding: 'utf8',
    maxBuffer: MOST_OUTPUT,
  });
  return { status: done.status, err: (done.stderr ?? '').trim() };
}

/** The partition of a member as an image: these programs know no partition tables, so its place is told to them. */
function bare(one: Case, member: number, dir: string): string | undefined {
  const path = one.members[member];
  if (path === undefined) return undefined;
  const { partitionStart, partitionBytes } = one.made.truth.members[member];
  const out = join(dir, `part-${member}.img`);
  if (partitionStart === 0) {
    copyFileSync(path, out);
    return out;
  }
  const from = openSync(path, 'r');
  const to = openSync(out, 'wx');
  const buffer = Buffer.alloc(0x100000);
  const zeros = Buffer.alloc(0x100000);
  for (let at = 0; at < partitionBytes; ) {
    const n = readSync(from, buffer, 0, Math.min(buffer.length, partitionBytes - at), partitionStart + at);
    if (n === 0) break;
    const last = at + n >= partitionBytes;
    if (last || !buffer.subarray(0, n).equals(zeros.subarray(0, n))) writeSync(to, buffer, 0, n, at);
    at += n;
  }
  closeSync(from);
  closeSync(to);
  return out;
}

/** Mounts with vmfs-fuse or vmfs6-fuse, copies all out, and always unmounts. */
export function runFuse(one: Case, dir: string): Outcome {
  const program = one.made.truth.version === 6 ? 'vmfs6-fuse' : 'vmfs-fuse';
  const why = whyNot(program, 'fusermount3', 'timeout');
  if (why !== undefined) return { files: [], seconds: 0, note: why };
  const parts = one.members.flatMap((_, i) => bare(one, i, dir) ?? []);
  const point = join(dir, 'mnt');
  const out = join(dir, 'out');
  mkdirSync(point);
  mkdirSync(out);
  const began = performance.now();
  const mount = timed(20, program, [...parts, point], dir);
  if (mount.status !== 0) return { files: [], seconds: (performance.now() - began) / 1000, note: 'does not mount' };
  try {
    const copy = timed(60, 'cp', ['-r', '--sparse=always', `${point}/.`, out], dir);
    const seconds = (performance.now() - began) / 1000;
    const files = filesBelow(out).filter((file) => !/^\.\w+\.sf$/.test(file.path));
    return { files, seconds, ...(copy.status !== 0 && { note: copy.status === 124 ? 'hangs' : 'errors' }) };
  } finally {
    if (timed(10, 'fusermount3', ['-u', point], dir).status !== 0) timed(10, 'fusermount3', ['-uz', point], dir);
  }
}

/** PhotoRec in batch mode over each image. */
export function runPhotorec(one: Case, dir: string): Outcome {
  const why = whyNot('photorec', 'timeout');
  if (why !== undefined) return { files: [], seconds: 0, note: why };
  const began = performance.now();
  let note: string | undefined;
  for (const [i, image] of one.images.entries()) {
    const target = join(dir, `image-${i}`);
    mkdirSync(target);
    const commands = 'partition_none,options,keep_corrupted_file_no,fileopt,everything,enable,search';
    const done = timed(LIMIT, 'photorec', ['/log', '/d', join(target, 'rec'), '/cmd', image, commands], target);
    if (done.status !== 0) note = `exit ${done.status}`;
  }
  const seconds = (performance.now() - began) / 1000;
  const files = filesBelow(dir).filter(
    (file) => /(^|\/)rec\.\d+\//.test(file.path) && !file.path.endsWith('report.xml'),
  );
  return { files, seconds, ...(note !== undefined && { note }) };
}
