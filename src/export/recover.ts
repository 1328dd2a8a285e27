/** Recovers: brings files and machines out of evidence into a directory, with proof of what was got. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { sentence } from '../core/damage.ts';
import type { Identity } from '../core/evidence.ts';
import { MAX_NOTES } from '../core/limits.ts';
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import type { Source } from '../core/source.ts';
import { CARVED } from '../stack/carve.ts';
import { sentenceOf } from '../stack/encrypted.ts';
import type { Machine } from '../stack/machines.ts';
import { mendedOf, originsOf } from '../stack/mend.ts';
import type { Stack } from '../stack/stack.ts';
import { Copy } from './copy.ts';
import { unique } from './entry.ts';
import { ExportError, interrupted, reason, writeError } from './error.ts';
import { type Header, Journal, type Past, readJournal } from './journal.ts';
import { takeLock } from './lock.ts';
import {
  type EncryptedEntry,
  type FileEntry,
  type LeftOut,
  MANIFEST,
  type MachineEntry,
  type Manifest,
  type RegeneratedEntry,
  writeManifest,
} from './manifest.ts';
import { Meter } from './meter.ts';
import type { RecoverOptions } from './options.ts';
import { finishDirectories, isThere } from './output.ts';
import { compare, finished } from './past.ts';
import { checkPlace, realOut } from './place.ts';
import { type Plan, planOf } from './plan.ts';
import { summarize } from './summary.ts';
import { Threads } from './threads.ts';
import { type Item, walk } from './walk.ts';

/** Room that is left on the disk for everything else. */
const SPARE_BYTES = 1024 * 1024;
const DELTAS =
  'snapshot deltas are copied as they are; "salvor cat IMAGE::FOLDER/NAME.vmdk::vmdk" reads the disk as a snapshot sees it';
const LEFT_OUT: Readonly<Record<NonNullable<Item['skip']>, string>> = {
  system: "the file system's own files; --system copies them too",
  rdm: 'raw device mappings: the data is on the mapped disk',
  path: 'paths too long to be written; bring them out one by one with "salvor cat"',
  depth: 'directories nested too deeply; bring them out one by one with "salvor cat"',
};

/**
 * Copies what a stack's evidence holds to `options.out`, or goes on with a run that was stopped there.
 * Damage is in the manifest; only faults of the command or of the target throw, as ExportError.
 */
export async function recover(stack: Stack, options: RecoverOptions): Promise<Manifest> {
  const meter = new Meter(options.onProgress);
  const { dir, ancestor } = realOut(options.out);
  checkPlace(dir, ancestor, stack.evidence.directories, identitiesOf(stack));
  const past = readJournal(dir);
  meter.start('plan');
  const threads = new Threads();
  threads.startAll();
  try {
    return await planAndCopy(stack, options, { dir, ancestor, past, meter, threads });
  } finally {
    await threads.close();
  }
}

interface Begun {
  readonly dir: string;
  /** The nearest directory above that was there. */
  readonly ancestor: string;
  readonly past: Past | undefined;
  readonly meter: Meter;
  readonly threads: Threads;
}

async function planAndCopy(stack: Stack, options: RecoverOptions, begun: Begun): Promise<Manifest> {
  const { dir, ancestor, past, meter } = begun;
  const plan = await planOf(stack, options, dir, past, meter).catch((error: unknown) => {
    throw options.signal.aborted ? interrupted() : error;
  });
  checkPlace(dir, ancestor, stack.evidence.directories, identitiesOf(stack));
  const header = headerOf(options, plan);
  if (past?.header !== undefined) compare(dir, past.header, header);
  if (past !== undefined && isThere(path.join(dir, MANIFEST))) return finished(dir);
  await options.onEstimate?.(plan.estimate);
  checkSpace(dir, plan);
  if (options.signal.aborted) throw interrupted();
  const unlock = prepare(dir);
  try {
    return await copyAll(stack, options, { ...begun, plan, header });
  } finally {
    unlock();
  }
}

function identitiesOf(stack: Stack): Identity[] {
  return stack.evidence.opened.map((file) => file.identity);
}

interface Run extends Begun {
  readonly plan: Plan;
  readonly header: Header;
}

async function copyAll(stack: Stack, options: RecoverOptions, run: Run): Promise<Manifest> {
  const { dir, plan, header, past, meter, threads } = run;
  for (const bad of past?.bad ?? []) {
    plan.sources.find((source) => path.resolve(source.path) === bad.path)?.markBad(bad.from, bad.end);
  }
  meter.totalBytes = plan.estimate.bytesOnDisk;
  meter.filesTotal = plan.estimate.files;
  meter.start('copy');
  const journal = new Journal(dir, past, header);
  try {
    const copy = new Copy({ dir, options, threads, journal, past, meter });
    const seen = new Seen(plan.machines);
    try {
      for await (const item of walk(stack, plan.trees, plan.selection, dir)) {
        seen.item(item);
        if (item.skip === undefined) await copy.item(item);
      }
      await copy.finish();
    } finally {
      await copy.settle();
    }
    meter.start('finish');
    const folders = copy.entries.filter((entry) => entry.tree === null && entry.link === undefined);
    finishDirectories(dir, folders);
    const notes = [...plan.notes, ...notesOf(plan), ...seen.notes, ...copy.notes];
    const manifest: Manifest = {
      schema: 1,
      evidence: plan.evidence,
      files: await seen.counted(copy.entries),
      machines: plan.machines.map((machine) => seen.machine(machine)),
      regenerated: seen.regenerated,
      encrypted: seen.encrypted,
      notes: notes.slice(0, MAX_NOTES),
      left_out: seen.leftOut(),
    };
    writeManifest(dir, manifest);
    return manifest;
  } catch (error) {
    throw writeError(dir, error);
  } finally {
    journal.close();
  }
}

function headerOf(options: RecoverOptions, plan: Plan): Header {
  const { vm, paths, locators, fill, sha256, symlinks, system, deep, mend, from, guests, carve } = options;
  const given = {
    vm: vm?.toLowerCase() ?? null,
    paths: paths ?? [],
    ...(locators !== undefined && { locators: [...locators].sort() }),
    fill,
    sha256,
    symlinks,
    system,
    deep: deep === true,
    mend: mend !== false,
    from: from?.locator ?? null,
    guests: guests === true,
    carve: carve === CARVED ? true : (carve ?? false),
  };
  return { schema: 1, command: options.command, evidence: plan.evidence, options: given };
}

function checkSpace(dir: string, plan: Plan): void {
  const { bytesOnDisk, presentBytes, freeBytes } = plan.estimate;
  const wanted = Math.max(0, bytesOnDisk - presentBytes) + SPARE_BYTES;
  if (wanted <= freeBytes) return;
  const next = 'Make room, give another directory with --out, or select less with --vm or --path.';
  throw new ExportError('space', `${dir} needs ${wanted} bytes more and has ${freeBytes} free. ${next}`);
}

/** Makes the directory and its .salvor, and takes the lock. */
function prepare(dir: string): () => void {
  try {
    fs.mkdirSync(dir, { recursive: true });
    if (fs.realpathSync(dir) !== dir) throw new Error('it became a symbolic link meanwhile');
    const own = path.join(dir, '.salvor');
    fs.mkdirSync(own, { recursive: true, mode: 0o700 });
    if (!fs.lstatSync(own).isDirectory()) throw new Error('.salvor is no directory');
    return takeLock(dir);
  } catch (error) {
    if (error instanceof ExportError) throw error;
    throw new ExportError('out', `${dir} cannot be written to: ${reason(error)}. Give another directory with --out.`);
  }
}

function notesOf(plan: Plan): string[] {
  return plan.trees.flatMap(({ node }) => [
    ...(node.notices ?? []).map((notice) => `${node.locator}: ${notice}`),
    ...unique(node.damage).map(sentence),
  ]);
}

/** What is learnt of the whole while items go by: where machines' files went, and what is left out. */
class Seen {
  readonly notes: string[] = [];
  readonly regenerated: RegeneratedEntry[] = [];
  readonly encrypted: EncryptedEntry[] = [];
  readonly #masked = new Map<string, Source>();
  readonly #paths = new Map<string, string | undefined>();
  readonly #leftOut = new Map<NonNullable<Item['skip']>, number>();

  constructor(machines: readonly Machine[]) {
    for (const { config, disks } of machines) {
      this.#paths.set(config.locator, undefined);
      for (const disk of disks) for (const node of disk.chain) this.#paths.set(node.locator, undefined);
    }
  }

  item(item: Item): void {
    const { skip, node, path: name } = item;
    if (skip !== undefined) {
      this.#leftOut.set(skip, (this.#leftOut.get(skip) ?? 0) + 1);
      if ((skip === 'path' || skip === 'depth') && this.notes.length < MAX_NOTES) {
        this.notes.push(`${node.locator} was left out: ${LEFT_OUT[skip]}`);
      }
    } else {
      this.#mended(node, name);
      this.#encrypted(item);
      if (this.#paths.has(node.locator)) this.#paths.set(node.locator, name);
      if (item.renamed && this.notes.length < MAX_NOTES) this.notes.push(`${node.locator} was written as ${name}.`);
    }
  }

  #encrypted({ encrypted, path: name }: Item): void {
    if (encrypted === undefined) return;
    const { kind, length, period } = encrypted.stripes;
    this.encrypted.push({ path: name, what: sentenceOf(encrypted.stripes), kind, length, period });
    if (kind !== 'unclear') this.#masked.set(name, encrypted.source);
  }

  /**
   * Entries that count what was encrypted as missing. The copies still hold those bytes as they lie on the volume: a
   * key may turn up one day.
   */
  async counted(entries: readonly FileEntry[]): Promise<FileEntry[]> {
    const out = [...entries];
    for (const [i, entry] of out.entries()) {
      const source = this.#masked.get(entry.path);
      if (source === undefined) continue;
      out[i] = { ...entry, ...(await summarize(source)).entry(entry.damage.length === 0) };
    }
    return out;
  }

  #mended(node: Node, name: string): void {
    const mended = mendedOf(node);
    if (mended === undefined) return;
    const { lacks, replaces, notes } = mended;
    const texts = { lacks: printable(lacks), ...(replaces !== undefined && { replaces: printable(replaces) }) };
    this.regenerated.push({ path: name, ...texts, ...originsOf(mended), notes: notes.map(printable) });
  }

  machine(machine: Machine): MachineEntry {
    const disks = machine.disks.map(({ slot, chain }) => ({
      slot,
      path: chain.length === 0 ? null : (this.#paths.get(chain[0].locator) ?? null),
      chain: chain.map((node) => node.locator),
    }));
    const notes = machine.disks.flatMap(({ slot, broken }) => (broken === undefined ? [] : [`${slot}: ${broken}`]));
    if (machine.disks.some(({ chain }) => chain.length > 1)) notes.unshift(DELTAS);
    const config = this.#paths.get(machine.config.locator) ?? machine.config.locator;
    return { name: machine.name, config, disks, ...(notes.length > 0 && { note: notes.join('; ') }) };
  }

  leftOut(): LeftOut[] {
    return [...this.#leftOut].map(([kind, count]) => ({ kind, count, reason: LEFT_OUT[kind] }));
  }
}
