/**
 * Verifies a finished recovery: everything its manifest names is read again and hashed again. Only large holes are
 * not read, where the file system has nothing allocated for them.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { CHUNK } from '../codec/tree-hash.ts';
import { ExportError, interrupted, reason } from './error.ts';
import { type FileEntry, MANIFEST, type Manifest, readManifest } from './manifest.ts';
import { Meter } from './meter.ts';
import type { Progress } from './options.ts';
import { rehash, type Wanted } from './rehash.ts';
import { Threads } from './threads.ts';

export interface Difference {
  readonly path: string;
  readonly what: 'missing' | 'kind' | 'size' | 'tree' | 'sha256' | 'link' | 'gaps' | 'unreadable';
  readonly expected: string;
  readonly actual: string;
}

export interface VerifyResult {
  readonly manifest: Manifest;
  /** Entries that were looked at, and bytes that were read. */
  readonly files: number;
  readonly bytes: number;
  readonly differences: readonly Difference[];
  /** Names in the directory that the manifest does not know. */
  readonly unknown: readonly string[];
  /** Nothing differs and nothing is unknown. */
  readonly intact: boolean;
}

export interface VerifyOptions {
  readonly signal: AbortSignal;
  onProgress?(progress: Progress): void;
}

/** Files under way at once. */
const TASKS = 8;
const MAX_UNKNOWN = 10_000;
/** What a file system may take for its own lists of a file's extents: a part of its bytes, and a little more. */
const EXTENT_LISTS = 0.0002;
const EXTENT_BYTES = 8192;

/** Throws ExportError('manifest') where there is no manifest, and 'interrupted'. All else is in the result. */
export async function verify(dir: string, options: VerifyOptions): Promise<VerifyResult> {
  const manifest = readManifest(dir);
  const meter = new Meter(options.onProgress);
  meter.start('check');
  meter.filesTotal = manifest.files.length;
  for (const file of manifest.files) meter.totalBytes += file.size;
  // In the order of the manifest, whichever is done first.
  const found: Difference[][] = [];
  const threads = new Threads();
  const running = new Set<Promise<void>>();
  let failed: unknown;
  try {
    for (const [i, entry] of manifest.files.entries()) {
      while (running.size >= TASKS) await Promise.race(running);
      if (options.signal.aborted) throw interrupted();
      if (failed !== undefined) throw failed;
      const task = differencesOf(dir, entry, threads, meter, options.signal)
        .then((differences) => {
          found[i] = differences;
          meter.filesDone++;
          meter.tick(entry.path);
        })
        .catch((error: unknown) => {
          failed ??= error;
        });
      running.add(task);
      void task.then(() => running.delete(task));
    }
    await Promise.all(running);
    if (failed !== undefined) throw failed;
  } finally {
    await Promise.all(running);
    await threads.close();
  }
  const differences = found.flat();
  const unknown = unknownNames(dir, manifest);
  const intact = differences.length === 0 && unknown.length === 0;
  return { manifest, files: manifest.files.length, bytes: meter.doneBytes, differences, unknown, intact };
}

async function differencesOf(
  dir: string,
  entry: FileEntry,
  threads: Threads,
  meter: Meter,
  signal: AbortSignal,
): Promise<Difference[]> {
  const full = path.join(dir, entry.path);
  const differs = (what: Difference['what'], expected: string, actual: string): Difference[] => [
    { path: entry.path, what, expected, actual },
  ];
  const stat = lstat(dir, entry.path);
  const kind = entry.link !== undefined ? 'symbolic link' : entry.tree === null ? 'directory' : 'file';
  if (stat === undefined) return differs('missing', `a ${kind}`, 'nothing');
  const actual = kindOf(stat);
  if (actual !== kind) return differs('kind', `a ${kind}`, `a ${actual}`);
  if (entry.link !== undefined) {
    const target = fs.readlinkSync(full);
    return target === entry.link ? [] : differs('link', JSON.stringify(entry.link), JSON.stringify(target));
  }
  if (entry.tree === null) return [];
  if (stat.size !== entry.size) return differs('size', `${entry.size} bytes`, `${stat.size} bytes`);
  const out = gapsInside(entry)
    ? []
    : differs('gaps', `gaps that add up to what is missing of ${entry.size} bytes`, 'others');
  try {
    const wanted = { sha256: entry.sha256 !== null, ...holesOf(entry, stat) };
    const again = await rehash(threads, full, entry.size, wanted, signal, (bytes) => {
      meter.doneBytes += bytes;
      meter.tick(entry.path);
    });
    if (again.tree !== entry.tree) out.push(...differs('tree', entry.tree, again.tree));
    if (entry.sha256 !== null && again.sha256 !== entry.sha256) {
      out.push(...differs('sha256', entry.sha256, again.sha256 ?? 'none'));
    }
  } catch (error) {
    if (error instanceof ExportError) throw error;
    out.push(...differs('unreadable', `${entry.size} readable bytes`, reason(error)));
  }
  return out;
}

/**
 * Holes that need no reading: nothing lies in them as long as no more is allocated than what was written beside them.
 * Where more is allocated, or SHA-256 asks for every byte, all is read.
 */
function holesOf({ holes, written, sha256, size }: FileEntry, stat: fs.Stats): Pick<Wanted, 'holes'> {
  if (holes === undefined || written === undefined || sha256 !== null) return {};
  // Lists of extents take blocks of their own.
  if (stat.blocks * 512 > written * (1 + EXTENT_LISTS) + EXTENT_BYTES) return {};
  const whole = ([at, length]: readonly [number, number]): boolean =>
    at % CHUNK === 0 && length > 0 && at + length <= size && (length % CHUNK === 0 || at + length === size);
  const ordered = holes.every((hole, i) => whole(hole) && (i === 0 || holes[i - 1][0] + holes[i - 1][1] <= hole[0]));
  return ordered ? { holes } : {};
}

/** Looks at a path without following links on the way: each directory must be one. */
function lstat(dir: string, name: string): fs.Stats | undefined {
  let at = dir;
  let stat: fs.Stats | undefined;
  for (const part of name.split('/')) {
    if (stat !== undefined && !stat.isDirectory()) return undefined;
    at = path.join(at, part);
    stat = fs.lstatSync(at, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
  }
  return stat;
}

function kindOf(stat: fs.Stats): string {
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'symbolic link';
  return stat.isFile() ? 'file' : 'special file';
}

/** Gaps lie in the file, in order, and are as long as the manifest says is missing. */
function gapsInside({ gaps, size, certainty }: FileEntry): boolean {
  let end = 0;
  let sum = 0;
  for (const [offset, length] of gaps) {
    if (offset < end || length <= 0 || offset + length > size) return false;
    end = offset + length;
    sum += length;
  }
  const bytes = Object.values(certainty.bytes).reduce((total, count) => total + count, 0);
  return sum >= certainty.bytes.missing && bytes === size;
}

function unknownNames(dir: string, manifest: Manifest): string[] {
  const known = new Set(manifest.files.map((entry) => entry.path));
  for (const entry of manifest.files) {
    for (let at = path.posix.dirname(entry.path); at !== '.'; at = path.posix.dirname(at)) known.add(at);
  }
  const out: string[] = [];
  const waiting = [''];
  while (waiting.length > 0 && out.length < MAX_UNKNOWN) {
    const folder = waiting.pop()!;
    for (const entry of fs.readdirSync(path.join(dir, folder), { withFileTypes: true })) {
      const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (name === '.salvor' || name === MANIFEST) continue;
      if (!known.has(name)) out.push(name);
      else if (entry.isDirectory()) waiting.push(name);
    }
  }
  return out.sort();
}
