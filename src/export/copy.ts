/** Copies the items of a plan: small files by the batch, large ones chunk by chunk, and what is there already not at all. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { treeOf } from '../codec/tree-hash.ts';
import { flattenChecked } from '../core/checked.ts';
import type { RunList } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { entryOf } from './entry.ts';
import { interrupted, writeError } from './error.ts';
import { type Layout, WHOLE_FILE, type WholeFile } from './jobs.ts';
import type { Journal, Past, PastFile } from './journal.ts';
import { LargeCopy } from './large.ts';
import { LayoutBuilder } from './layout.ts';
import type { FileEntry } from './manifest.ts';
import type { Meter } from './meter.ts';
import { PART } from './names.ts';
import type { RecoverOptions } from './options.ts';
import { finishPart, linkIsSafe, makeDirectory, openPart, removeOwn, usableTime } from './output.ts';
import { isDirectory } from './plan.ts';
import { rehash, shaOf } from './rehash.ts';
import { type Summary, summarize } from './summary.ts';
import type { Threads } from './threads.ts';
import { stamp } from './times.ts';
import type { Item } from './walk.ts';

/** Files and bytes that one message to a thread carries at most, a single larger file aside. */
const BATCH_FILES = 128;
const BATCH_BYTES = 8 * 1024 * 1024;
/** Checks and batches under way at once. */
const TASKS = 8;
const DEFAULT_MODE = 0o644;

/** A small file that waits for its batch. */
interface Waiting {
  readonly item: Item;
  readonly index: number;
  readonly summary: Summary;
  readonly written: number;
  readonly whole: WholeFile;
}

/** What a copy works with. */
export interface CopyContext {
  readonly dir: string;
  readonly options: RecoverOptions;
  readonly threads: Threads;
  readonly journal: Journal;
  readonly past: Past | undefined;
  readonly meter: Meter;
}

export class Copy {
  /** In the order of the items. */
  readonly entries: FileEntry[] = [];
  readonly notes: string[] = [];
  readonly #cx: CopyContext;
  /** The directory, as a path that names are put behind. */
  readonly #base: string;
  readonly #directories: { item: Item; index: number }[] = [];
  /** Files that need the patient way, after all others. */
  readonly #again: { item: Item; index: number }[] = [];
  readonly #tasks = new Set<Promise<void>>();
  #batch: Waiting[] = [];
  /** Files of the batch that are not noted yet. */
  #planned: Item[] = [];
  readonly #layout: LayoutBuilder;
  #batchBytes = 0;
  #count = 0;
  #error: unknown;

  constructor(cx: CopyContext) {
    this.#cx = cx;
    this.#base = path.join(cx.dir, '/');
    this.#layout = new LayoutBuilder(cx.options.fill);
  }

  /** Takes the next item. Throws ExportError. */
  async item(item: Item): Promise<void> {
    if (this.#cx.options.signal.aborted) throw interrupted();
    if (this.#error !== undefined) throw this.#error;
    const index = this.#count++;
    try {
      if (isDirectory(item)) this.#directory(item, index);
      else await this.#file(item, index);
    } catch (error) {
      throw writeError(this.#full(item), error);
    }
  }

  /** Finishes what is under way, and gives directories their entries. Throws ExportError. */
  async finish(): Promise<void> {
    await this.#flush();
    await this.settle();
    if (this.#error !== undefined) throw this.#error;
    for (const { item, index } of this.#again) {
      if (this.#cx.options.signal.aborted) throw interrupted();
      await this.#large(item, index, await item.node.bytes!(), undefined).catch((error: unknown) => {
        throw writeError(this.#full(item), error);
      });
    }
    for (const { item, index } of this.#directories) this.entries[index] = entryOf(item);
  }

  /** Waits for all threads to end what they do. */
  async settle(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }

  #full(item: Item): string {
    return this.#base + item.path;
  }

  #directory(item: Item, index: number): void {
    const known = this.#cx.past?.directories.has(item.path) === true;
    if (!known) this.#cx.journal.add({ t: 'dir', path: item.path });
    makeDirectory(this.#full(item), known);
    this.#directories.push({ item, index });
  }

  async #file(item: Item, index: number): Promise<void> {
    const { past, meter } = this.#cx;
    const known = past?.files.get(item.path);
    meter.file = item.path;
    if (known?.done !== undefined) {
      await this.#task(item, () => this.#believe(item, index, known));
      return;
    }
    const source = await item.node.bytes?.();
    if (source === undefined) this.#nameOnly(item, index, known);
    else if (item.node.kind === 'symlink' && this.#link(item, index, known)) return;
    else if (source.size > WHOLE_FILE) await this.#large(item, index, source, known);
    else await this.#small(item, index, source, known);
  }

  /** A file that a run before this one finished: kept if its bytes still have their hash, otherwise copied again. */
  async #believe(item: Item, index: number, known: PastFile): Promise<void> {
    const { threads, meter, options } = this.#cx;
    const entry = known.done!;
    const stat = fs.lstatSync(this.#full(item), { throwIfNoEntry: false });
    let same = false;
    if (entry.link !== undefined)
      same = stat?.isSymbolicLink() === true && fs.readlinkSync(this.#full(item)) === entry.link;
    else if (stat?.isFile() === true && stat.size === entry.size) {
      const wanted = { sha256: false, synced: known.synced };
      const again = await rehash(threads, this.#full(item), entry.size, wanted, options.signal, () => {});
      same = again.tree === entry.tree;
    }
    if (!same) {
      removeOwn(this.#full(item));
      this.#again.push({ item, index });
      return;
    }
    this.entries[index] = entry;
    const bytes = entry.size - entry.certainty.bytes.missing;
    meter.doneBytes += Math.min(bytes, (stat?.blocks ?? 0) * 512);
    meter.keptBytes += Math.min(bytes, (stat?.blocks ?? 0) * 512);
    meter.lostBytes += entry.certainty.bytes.missing;
    this.#done(item);
  }

  /** Known by name alone: an empty file stands for it, and its entry says why. */
  #nameOnly(item: Item, index: number, known: PastFile | undefined): void {
    if (known === undefined) this.#announce([item]);
    const full = this.#full(item);
    if (known !== undefined) removeOwn(full);
    const open = openPart(full, 0, false);
    finishPart(open, full, modeOf(item), usableTime(item.node.facts.modified));
    fs.closeSync(open.fd);
    this.#note(index, entryOf(item, { size: 0, tree: treeOf(0, []), sha256: null }));
    this.#done(item);
  }

  /** Whether a symbolic link was made; otherwise it is copied as a text. */
  #link(item: Item, index: number, known: PastFile | undefined): boolean {
    const target = item.node.facts.target ?? '';
    if (this.#cx.options.symlinks === 'text') return false;
    const raw = Buffer.from(target, 'latin1');
    if (!linkIsSafe(item.path, target)) {
      this.notes.push(`${item.path} is a symbolic link that leads elsewhere; its text was written as a file.`);
      return false;
    }
    const full = this.#full(item);
    if (known === undefined) this.#announce([item]);
    if (known !== undefined) removeOwn(full);
    fs.symlinkSync(raw, full);
    const time = usableTime(item.node.facts.modified);
    if (time !== undefined) fs.lutimesSync(full, stamp(time), stamp(time));
    this.#note(index, entryOf(item, { size: 0, tree: null, sha256: null, link: fs.readlinkSync(full) }));
    this.#done(item);
    return true;
  }

  async #small(item: Item, index: number, source: Source, known: PastFile | undefined): Promise<void> {
    const layout = this.#layout;
    const before = layout.counts;
    let at = 0;
    const add = (list: RunList): void => {
      for (let i = 0; i < list.n; at += list.length[i++]) layout.add(list, i, at, 0, list.length[i]);
    };
    const summary = await summarize(source, add, flattenChecked);
    if (layout.foreign) {
      layout.cutBack(before);
      return this.#large(item, index, source, known);
    }
    const full = this.#full(item);
    if (known !== undefined) removeOwn(full);
    else this.#planned.push(item);
    const after = layout.counts;
    const [data, fills] = [after.data - before.data, after.fills - before.fills];
    const names = { part: full + PART, path: full, size: source.size };
    const facts = { mode: modeOf(item), modified: usableTime(item.node.facts.modified) };
    const written = after.written - before.written;
    this.#batch.push({ item, index, summary, written, whole: { ...names, ...facts, data, fills } });
    this.#batchBytes += source.size;
    if (this.#batch.length >= BATCH_FILES || this.#batchBytes >= BATCH_BYTES) await this.#flush();
  }

  async #flush(): Promise<void> {
    const batch = this.#batch;
    if (batch.length === 0) return;
    this.#announce(this.#planned);
    const layout = this.#layout.take();
    this.#batch = [];
    this.#planned = [];
    this.#batchBytes = 0;
    await this.#task(batch[0].item, () => this.#runBatch(batch, layout));
  }

  async #runBatch(batch: readonly Waiting[], layout: Layout): Promise<void> {
    const { threads, journal, options, meter } = this.#cx;
    await threads.slot();
    const files = batch.map((waiting) => waiting.whole);
    const results = await threads.run<'files'>({ kind: 'files', fill: options.fill, files, layout });
    const done: FileEntry[] = [];
    for (const [i, { item, index, summary, written, whole }] of batch.entries()) {
      const result = results[i];
      if (result === undefined) {
        this.#again.push({ item, index });
        continue;
      }
      const entry = entryOf(item, { size: whole.size, ...result }, summary);
      this.entries[index] = entry;
      done.push(entry);
      meter.doneBytes += written;
      meter.lostBytes += summary.lost;
      this.#done(item);
    }
    if (done.length > 0) journal.add(...done.map((entry) => ({ t: 'done', entry }) as const));
  }

  async #large(item: Item, index: number, source: Source, known: PastFile | undefined): Promise<void> {
    const { options, threads, journal, meter } = this.#cx;
    const full = this.#full(item);
    if (known === undefined) this.#announce([item]);
    const open = openPart(full, source.size, known !== undefined);
    try {
      const past = open.before ? known : undefined;
      const { fill, signal } = options;
      const file = { path: item.path, source, fd: open.fd, fill, past, signal };
      const { summary, ...copied } = await new LargeCopy(file, threads, journal, meter).run();
      const wantsSha = options.sha256 || source.size <= WHOLE_FILE;
      const sha256 = wantsSha ? await shaOf(threads, open.part, source.size) : null;
      finishPart(open, full, modeOf(item), usableTime(item.node.facts.modified));
      this.#note(index, entryOf(item, { size: source.size, sha256, ...copied }, summary));
      this.#done(item);
    } finally {
      fs.closeSync(open.fd);
    }
  }

  /** Notes names before they are made: what lies under them from now on is ours. */
  #announce(items: readonly Item[]): void {
    if (items.length === 0) return;
    this.#cx.journal.add(...items.map(({ path, node }) => ({ t: 'file', path, locator: node.locator }) as const));
  }

  #note(index: number, entry: FileEntry): void {
    this.entries[index] = entry;
    this.#cx.journal.add({ t: 'done', entry });
  }

  #done(item: Item): void {
    this.#cx.meter.filesDone++;
    this.#cx.meter.tick(item.path);
  }

  /** Starts `work` beside others, a few at most; what it throws stops the run at the next item. */
  async #task(item: Item, work: () => Promise<void>): Promise<void> {
    while (this.#tasks.size >= TASKS) await Promise.race(this.#tasks);
    const task = work().catch((error: unknown) => {
      this.#error ??= writeError((error as { path?: string }).path ?? this.#full(item), error);
    });
    this.#tasks.add(task);
    void task.then(() => this.#tasks.delete(task));
  }
}

function modeOf(item: Item): number {
  return (item.node.facts.mode ?? DEFAULT_MODE) & 0o777;
}
