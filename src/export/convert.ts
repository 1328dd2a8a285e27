/** Converts: writes any disk as one file of a format, or as a few, and says where bytes are missing. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { formatMapfile, StatusMap } from '../codec/mapfile.ts';
import { CHUNK, leavesOf, TreeHash } from '../codec/tree-hash.ts';
import { forgetMade, MadeSource } from '../core/made.ts';
import type { Node } from '../core/node.ts';
import { type Occupied, occupiedOf } from '../core/occupied.ts';
import type { Packer, Packing } from '../core/packer.ts';
import type { RunList } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import type { Writer, WrittenFile } from '../core/writer.ts';
import type { Stack } from '../stack/stack.ts';
import { detected } from './detect.ts';
import { ExportError, interrupted, writeError } from './error.ts';
import { Journal, type Past, readJournal } from './journal.ts';
import { LargeCopy } from './large.ts';
import { takeLock } from './lock.ts';
import type { FileEntry } from './manifest.ts';
import { Meter } from './meter.ts';
import type { Progress } from './options.ts';
import { finishPart, isThere, openPart, removeOwn } from './output.ts';
import { pack } from './pack.ts';
import { compare } from './past.ts';
import { checkPlace, realOut } from './place.ts';
import { identities } from './plan.ts';
import { bottomsOf, type Summary, summarize } from './summary.ts';
import { keepYoungRoomSmall, Threads } from './threads.ts';

export interface ConvertOptions {
  /** The file that is written; nothing of that name may be there. */
  readonly out: string;
  readonly writer: Writer | Packer;
  readonly variant: string;
  /**
   * Read everything once before, so that zeros that nothing calls zeros take no room. Where nothing is said, that is
   * done for disks of which nearly all is data: the others know their zeros already.
   */
  readonly detect?: boolean;
  /** As it was typed, for the journal. */
  readonly command: readonly string[];
  readonly signal: AbortSignal;
  /** Threads that were started before; they are closed here. */
  readonly threads?: Threads;
  onProgress?(progress: Progress): void;
}

export interface Converted {
  readonly files: readonly { readonly path: string; readonly size: number; readonly tree: string }[];
  /** Hash of what the disk holds, where a file is written that is nothing but its bytes. */
  readonly content: string | undefined;
  /** Bytes of the disk, and how certain they are. */
  readonly size: number;
  readonly certainty: FileEntry['certainty'];
  readonly gaps: FileEntry['gaps'];
  readonly reasons: FileEntry['reasons'];
  /** The map of the gaps, where there are any. */
  readonly map: string | undefined;
}

const MODE = 0o644;
const BEGIN_ANEW = 'Run it as it was to go on, or remove that directory to begin anew.';
/** Share of a disk that is data from which on it is looked through for zeros. */
const NEARLY_ALL = 0.9;

/** Writes `disk` to `options.out`, or goes on where that was stopped. Throws ExportError. */
export async function convert(stack: Stack, node: Node, options: ConvertOptions): Promise<Converted> {
  const threads = options.threads ?? new Threads();
  try {
    return await converted(stack, node, threads, options);
  } finally {
    await threads.close();
  }
}

async function converted(stack: Stack, node: Node, threads: Threads, options: ConvertOptions): Promise<Converted> {
  const disk = await node.bytes?.();
  if (disk === undefined)
    throw new ExportError('nothing', `${node.locator} has no bytes to convert. Name a disk or a file.`);
  const out = path.resolve(options.out);
  const { dir: work, ancestor } = realOut(`${out}.converting`);
  checkPlace(
    work,
    ancestor,
    stack.evidence.directories,
    stack.evidence.opened.map((file) => file.identity),
  );
  const target = path.join(path.dirname(work), path.basename(out));
  const meter = new Meter(options.onProgress);
  meter.start('plan');
  const before = await summarize(disk, sparing());
  const detect = options.detect ?? before.data > disk.size * NEARLY_ALL;
  const occupied = await occupiedIn(disk, detect, threads, options, meter);
  const files = planned(disk, target, occupied, options);
  const names = files.map((file) => nameOf(target, file));
  for (const name of [...names, mapOf(target)]) refuse(name);
  checkPlace(
    work,
    ancestor,
    stack.evidence.directories,
    stack.evidence.opened.map((file) => file.identity),
  );
  const evidence = identities(stack, [...new Set(await bottomsOf(disk))]);
  fs.mkdirSync(path.join(work, '.salvor'), { recursive: true, mode: 0o700 });
  const unlock = takeLock(work);
  try {
    const past = readJournal(work);
    const header = {
      schema: 1,
      command: options.command,
      evidence,
      options: optionsOf(node, options, occupied),
    } as const;
    if (past?.header !== undefined) compare(work, past.header, header, BEGIN_ANEW);
    meter.totalBytes = occupied.count * occupied.unit;
    meter.filesTotal = files.length;
    meter.start('copy');
    forgetMade();
    const journal = new Journal(work, past, header);
    const written = await write(work, files, names, { past, journal, meter, threads, options });
    // Counted only now: reading has shown what cannot be read, and runs say so by now.
    const summary = await summarize(disk);
    for (const { part, name } of written) finishPart(part, name, MODE, undefined);
    const map = summary.lost > 0 ? mapOf(target) : undefined;
    if (map !== undefined) writeMap(map, disk.size, summary);
    return {
      files: written.map(({ name, size, tree }) => ({ path: name, size, tree })),
      content: written[files.findIndex((file) => file.isDisk === true)]?.tree,
      size: disk.size,
      ...summary.entry(node.damage.length === 0),
      map,
    };
  } catch (error) {
    throw options.signal.aborted ? stopped(options.writer) : writeError(target, errorOf(error));
  } finally {
    unlock();
    if (names.every(isThere)) fs.rmSync(work, { recursive: true, force: true });
  }
}

/** Saves memory as soon as a disk turns out to be one of compressed units: each of them is an object with others. */
function sparing(): (list: RunList) => void {
  let isSparing = false;
  return ({ sources }) => {
    if (isSparing || !sources.some((source) => source instanceof MadeSource)) return;
    isSparing = true;
    keepYoungRoomSmall();
  };
}

/** A file of the result; with `packing` its source is the disk, and its size is known when it is written. */
interface Planned extends WrittenFile {
  readonly packing?: Packing;
  readonly occupied?: Occupied;
}

function planned(
  disk: Source,
  target: string,
  occupied: Occupied,
  { writer, variant }: ConvertOptions,
): readonly Planned[] {
  const name = path.basename(target);
  try {
    if ('pack' in writer) {
      const packing = writer.pack({ variant, name, size: disk.size, occupied });
      return [{ suffix: '', source: disk, packing, occupied }];
    }
    return writer.plan(disk, { variant, name, stem: stemOf(target), occupied });
  } catch (error) {
    throw errorOf(error);
  }
}

/** What a format says when it is full, as a fault of the choice. */
function errorOf(error: unknown): unknown {
  return error instanceof RangeError
    ? new ExportError('out', `${error.message}. Convert to another format.`, { cause: error })
    : error;
}

function stopped(writer: Writer | Packer): ExportError {
  if (!('pack' in writer)) return interrupted();
  return new ExportError('interrupted', 'Interrupted. Nothing has the final name yet; the same command begins anew.');
}

async function occupiedIn(
  disk: Source,
  detect: boolean,
  threads: Threads,
  options: ConvertOptions,
  meter: Meter,
): Promise<Occupied> {
  const { writer, variant, signal } = options;
  const unit = writer.unit(variant, disk.size);
  meter.totalBytes = disk.size;
  const seen = (done: number): void => {
    meter.doneBytes = done;
    meter.tick('');
  };
  try {
    return detect ? await detected(disk, unit, threads, signal, seen) : await occupiedOf(disk, unit, signal);
  } catch (error) {
    throw signal.aborted ? stopped(writer) : error;
  } finally {
    meter.doneBytes = 0;
  }
}

interface Context {
  readonly past: Past | undefined;
  readonly journal: Journal;
  readonly meter: Meter;
  readonly threads: Threads;
  readonly options: ConvertOptions;
}

async function write(work: string, files: readonly Planned[], names: readonly string[], cx: Context) {
  const { past, journal, meter, threads, options } = cx;
  const out: { part: ReturnType<typeof openPart>; name: string; size: number; tree: string }[] = [];
  try {
    for (const [i, planned] of files.entries()) {
      const { source } = planned;
      const own = path.basename(names[i]);
      const known = past?.files.get(own);
      if (planned.packing !== undefined) {
        out.push({
          name: names[i],
          ...(await packed(path.join(work, own), planned, known !== undefined, cx)),
        });
        continue;
      }
      if (known === undefined) journal.add({ t: 'file', path: own, locator: own });
      const part = openPart(path.join(work, own), source.size, known !== undefined);
      const file = {
        path: own,
        source,
        fd: part.fd,
        fill: 'zero',
        past: part.before ? known : undefined,
        signal: options.signal,
      } as const;
      const { tree } = await new LargeCopy(file, threads, journal, meter).run();
      meter.filesDone++;
      out.push({ part, name: names[i], size: source.size, tree });
    }
    return out;
  } finally {
    journal.close();
  }
}

/** A compressed file: begun anew after a stop, for nothing says what a part of one holds. */
async function packed(full: string, planned: Planned, known: boolean, cx: Context) {
  const { journal, meter, threads, options } = cx;
  const { source: disk, packing, occupied } = planned;
  const name = path.basename(full);
  if (known) removeOwn(full);
  else journal.add({ t: 'file', path: name, locator: name });
  const part = openPart(full, 0, false);
  await pack(
    { name, fd: part.fd, disk, occupied: occupied!, packing: packing!, signal: options.signal },
    threads,
    meter,
  );
  meter.filesDone++;
  return { part, size: packing!.size, tree: await treeOfOpen(part.fd, packing!.size, threads) };
}

/** The hash of a file that was just written, by reading it. */
async function treeOfOpen(fd: number, size: number, threads: Threads): Promise<string> {
  const tree = new TreeHash(size);
  const running: Promise<void>[] = [];
  for (let i = 0; i < leavesOf(size); i++) {
    await threads.slot();
    const job = { kind: 'leaf', fd, at: i * CHUNK, length: Math.min(CHUNK, size - i * CHUNK) } as const;
    const done = threads.run<'leaf'>(job).then((leaf) => tree.leaf(i, leaf));
    done.catch(() => undefined);
    running.push(done);
  }
  await Promise.all(running);
  return tree.root();
}

function nameOf(target: string, { suffix }: WrittenFile): string {
  if (suffix === '') return target;
  return path.join(path.dirname(target), stemOf(target) + suffix);
}

function stemOf(target: string): string {
  return path.basename(target, path.extname(target));
}

/** Where it is named what of a disk could not be had: beside the file that is written. */
export function mapOf(target: string): string {
  return `${target}.map`;
}

function refuse(name: string): void {
  if (!isThere(name)) return;
  throw new ExportError(
    'exists',
    `${name} is there already, and nothing is ever overwritten. Give another name, or move it away.`,
  );
}

function optionsOf(node: Node, options: ConvertOptions, occupied: Occupied): Record<string, unknown> {
  const { variant } = options;
  return { locator: node.locator, variant, unit: occupied.unit, occupied: occupied.count };
}

function writeMap(name: string, size: number, summary: Summary): void {
  const map = new StatusMap(size);
  map.set(0, size, '+');
  for (const [offset, length] of summary.entry(true).gaps) map.set(offset, offset + length, '-');
  const said = ['Bytes of the disk that were not had (-); they stand as zeros in what was written.'];
  fs.writeFileSync(name, formatMapfile(map, said), { flag: 'wx', mode: MODE });
}
