/** One large file, or one that needs patience: chunk by chunk, several at a time, noted so that it can go on. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { blake3 } from '../codec/blake3.ts';
import { CHUNK, leavesOf, type Taken, TreeHash } from '../codec/tree-hash.ts';
import { flattenChecked } from '../core/checked.ts';
import { FileSource } from '../core/evidence.ts';
import { flatten } from '../core/resolve.ts';
import { DATA, MISSING, RunList } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { addWrite, behindMade, fillGap, type Writes, writeChunk } from './chunk.ts';
import { interrupted } from './error.ts';
import type { Fill, Layout } from './jobs.ts';
import type { Journal, PastFile } from './journal.ts';
import { LayoutBuilder } from './layout.ts';
import type { Meter } from './meter.ts';
import { Summary, summarize } from './summary.ts';
import type { Threads } from './threads.ts';

/** Leaves are noted when this many wait, or after this long. */
const NOTE_LEAVES = 16;
const NOTE_MS = 1000;
const SYNC_MS = 10_000;
/** Chunks from which on a hole is noted in the manifest, and how many are. */
const HOLE_CHUNKS = 16;
const MAX_HOLES = 4096;
/** File systems allocate whole blocks. */
const BLOCK = 4096;

export interface LargeFile {
  readonly path: string;
  readonly source: Source;
  readonly fd: number;
  readonly fill: Fill;
  /** The output holds what a run before this one wrote, and this is what it noted. */
  readonly past: PastFile | undefined;
  readonly signal: AbortSignal;
}

export interface Copied {
  readonly tree: string;
  readonly summary: Summary;
  /** Large stretches that were left as holes, [offset, length], and the bytes that were written beside them. */
  readonly holes: readonly (readonly [number, number])[];
  readonly written: number;
}

export class LargeCopy {
  readonly #file: LargeFile;
  readonly #threads: Threads;
  readonly #journal: Journal;
  readonly #meter: Meter;
  readonly #tree: TreeHash;
  readonly #expected: ReadonlyMap<number, Uint8Array>;
  readonly #layout: LayoutBuilder;
  readonly #running = new Set<Promise<void>>();
  #first = 0;
  /** Leaves in order that are not noted yet, and the chunk of the first. */
  #leaves: Taken[] = [];
  #leavesFrom = 0;
  #noted = performance.now();
  #synced = performance.now();
  #syncing: Promise<void> | undefined;
  #error: unknown;
  #unreadable = false;
  readonly #holes: [number, number][] = [];
  #written = 0;
  /** For chunks that main copies itself. */
  #buffer: Uint8Array | undefined;

  constructor(file: LargeFile, threads: Threads, journal: Journal, meter: Meter) {
    this.#file = file;
    this.#threads = threads;
    this.#journal = journal;
    this.#meter = meter;
    this.#layout = new LayoutBuilder(file.fill, true);
    this.#tree = new TreeHash(file.source.size, (leaf) => this.#leaves.push(leaf));
    const synced = file.past?.synced;
    if (synced !== undefined && this.#tree.restore(synced.chunks, synced.tops)) this.#first = synced.chunks;
    this.#leavesFrom = this.#first;
    this.#expected = file.past?.leaves ?? new Map();
  }

  /** Copies it all. Throws what a write threw, or ExportError('interrupted'); what was done by then is noted. */
  async run(): Promise<Copied> {
    const { source } = this.#file;
    try {
      const summary = await this.#plan();
      await this.#settled();
      this.#throwError();
      this.#note();
      await this.#syncing;
      // A read that failed is in the map of its source now: count again, so that gaps and certainty agree with it.
      const counted = this.#unreadable ? await summarize(source) : summary;
      return { tree: this.#tree.root(), summary: counted, holes: this.#holes, written: this.#written };
    } catch (error) {
      await this.#settled();
      await this.#syncing;
      this.#note();
      throw error;
    }
  }

  /** Walks the runs, and hands out a job for each chunk that holds something. */
  async #plan(): Promise<Summary> {
    const { source } = this.#file;
    const list = new RunList();
    const summary = new Summary();
    for (let at = 0; at < source.size; ) {
      list.clear();
      const answer = flattenChecked(source, at, source.size, list, true);
      const reached = typeof answer === 'number' ? answer : await answer;
      summary.add(list);
      for (let i = 0, from = at; i < list.n; i++) {
        await this.#run(list, i, from);
        from += list.length[i];
      }
      at = reached;
      this.#throwError();
    }
    return summary;
  }

  /** Puts run `i`, which starts at `from`, into chunks. Whole chunks of nothing are skipped at once. */
  async #run(list: RunList, i: number, from: number): Promise<void> {
    const { size } = this.#file.source;
    const end = from + list.length[i];
    for (let at = from; at < end; ) {
      const chunk = Math.floor(at / CHUNK);
      const inside = at - chunk * CHUNK;
      const whole = end === size ? leavesOf(size) - chunk : Math.floor((end - chunk * CHUNK) / CHUNK);
      if (inside === 0 && whole > 0 && this.#isHole(list, i)) {
        if (chunk + whole > this.#first) {
          const first = Math.max(chunk, this.#first);
          this.#tree.zeros(first, chunk + whole - first);
        }
        const till = Math.min(end, (chunk + whole) * CHUNK);
        if (whole >= HOLE_CHUNKS && this.#holes.length < MAX_HOLES) this.#holes.push([at, till - at]);
        at = Math.min(end, (chunk + whole) * CHUNK);
        continue;
      }
      const length = Math.min(end - at, CHUNK - inside);
      this.#layout.add(list, i, at, at - from, length);
      at += length;
      if (at % CHUNK === 0 || at === size) await this.#chunk(chunk, Math.min(CHUNK, size - chunk * CHUNK));
    }
  }

  /** Whole chunks of a gap are holes where zeros stand in it: what is broken may claim more than any disk has room for. */
  #isHole(list: RunList, i: number): boolean {
    return !this.#layout.leaves(list, i) || (list.state(i) === MISSING && this.#file.fill === 'zero');
  }

  async #chunk(chunk: number, length: number): Promise<void> {
    const { foreign, written, empty } = this.#layout;
    const layout = this.#layout.take();
    this.#written += foreign ? length : blocksOf(layout);
    if (chunk < this.#first) {
      this.#count(written, written);
      return;
    }
    if (empty) {
      this.#tree.zeros(chunk, 1);
      return;
    }
    await this.#threads.slot();
    if (this.#file.signal.aborted) throw interrupted();
    this.#throwError();
    this.#tendJournal();
    const at = chunk * CHUNK;
    const { fd, fill, past } = this.#file;
    const expect = this.#expected.get(chunk);
    const job = { kind: 'chunk', fd, at, length, layout, fill, before: past !== undefined } as const;
    const task = async (): Promise<void> => {
      const result = foreign ? undefined : await this.#threads.run<'chunk'>({ ...job, ...(expect && { expect }) });
      // What a thread could not read, or found to be disproved, is known only once it was read here.
      if (result?.leaf === undefined && !foreign) this.#unreadable = true;
      const leaf = result?.leaf ?? (await this.#patiently(at, length));
      this.#tree.leaf(chunk, leaf);
      this.#count(written, result?.kept === true ? written : 0);
    };
    const running = task().catch((error: unknown) => {
      this.#error ??= error;
    });
    this.#running.add(running);
    void running.then(() => this.#running.delete(running));
    // What main copies itself holds main's one buffer.
    if (foreign) await running;
  }

  /** One chunk through the source itself: for bytes in memory, and where evidence did not answer. */
  async #patiently(at: number, length: number): Promise<Uint8Array> {
    const before = this.#patience;
    let free = (): void => {};
    this.#patience = new Promise((resolve) => {
      free = resolve;
    });
    await before;
    try {
      return await this.#copyHere(at, length);
    } finally {
      free();
    }
  }

  #patience: Promise<void> = Promise.resolve();

  async #copyHere(at: number, length: number): Promise<Uint8Array> {
    const { source, fill, fd } = this.#file;
    this.#buffer ??= new Uint8Array(CHUNK);
    const bytes = this.#buffer.subarray(0, length);
    for (const gap of await source.read(at, bytes)) await this.#lost(gap.offset, gap.length);
    const writes: Writes = [];
    await eachRun(source, at, at + length, (list, i, from) => {
      const isGap = list.state(i) === MISSING && fill !== 'skip';
      if (isGap) fillGap(bytes.subarray(from - at, from - at + list.length[i]), from, fill);
      if (isGap || list.state(i) === DATA) addWrite(writes, from - at, from - at + list.length[i]);
    });
    // What a run before this one left in holes is written over; there is no way to punch them again.
    writeChunk(fd, bytes, at, this.#file.past === undefined ? writes : [0, length]);
    this.#meter.tick(this.#file.path);
    return blake3(bytes);
  }

  /** Enters what could not be read, so that runs say so too, now and after a resume. */
  async #lost(offset: number, length: number): Promise<void> {
    this.#unreadable = true;
    this.#meter.lostBytes += length;
    await eachRun(this.#file.source, offset, offset + length, (list, i) => {
      const evidence = list.sourceOf(i);
      if (!(evidence instanceof FileSource)) return;
      const from = list.at[i];
      const end = from + list.length[i];
      evidence.markBad(from, end);
      this.#journal.add({ t: 'bad', path: path.resolve(evidence.path), from, end });
    });
  }

  #count(bytes: number, kept: number): void {
    this.#meter.doneBytes += bytes;
    this.#meter.keptBytes += kept;
    this.#meter.tick(this.#file.path);
  }

  #throwError(): void {
    if (this.#error !== undefined) throw this.#error;
  }

  async #settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  #tendJournal(): void {
    const now = performance.now();
    if (this.#leaves.length >= NOTE_LEAVES || (this.#leaves.length > 0 && now - this.#noted > NOTE_MS)) this.#note();
    if (this.#syncing !== undefined || now - this.#synced < SYNC_MS) return;
    this.#note();
    const { taken } = this.#tree;
    const tops = [...this.#tree.tops()];
    this.#syncing = new Promise((resolve) => {
      // A sync that fails says nothing is safe: then nothing is noted, and the writes will fail by themselves.
      fs.fdatasync(this.#file.fd, (error) => {
        if (error === null) this.#journal.synced(this.#file.path, taken, tops);
        this.#synced = performance.now();
        this.#syncing = undefined;
        resolve();
      });
    });
  }

  #note(): void {
    this.#noted = performance.now();
    if (this.#leaves.length === 0) return;
    this.#journal.leaves(this.#file.path, this.#leavesFrom, this.#leaves);
    this.#leavesFrom = this.#tree.taken;
    this.#leaves = [];
  }
}

/** Bytes that a layout's parts take on the disk at most, each in whole blocks. */
function blocksOf({ data, fills, made }: Layout): number {
  let sum = 0;
  const add = (at: number, length: number): void => {
    sum += Math.ceil((at + length) / BLOCK) * BLOCK - Math.floor(at / BLOCK) * BLOCK;
  };
  for (let i = 0; i < data.length; i += 4) add(data[i], data[i + 1]);
  for (let i = 0; i < fills.length; i += 2) add(fills[i], fills[i + 1]);
  for (let i = 0; i < made.length; i = behindMade(made, i)) add(made[i], made[i + 1]);
  return sum;
}

/** Calls `each` with every run of a stretch, and the offset where it starts. */
export async function eachRun(
  source: Source,
  from: number,
  end: number,
  each: (list: RunList, i: number, from: number) => void,
): Promise<void> {
  const list = new RunList();
  for (let at = from; at < end; ) {
    list.clear();
    const reached = await flatten(source, at, end, list);
    for (let i = 0; i < list.n; at += list.length[i++]) each(list, i, at);
    at = reached;
  }
}
