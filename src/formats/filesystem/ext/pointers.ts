/** The map of a file in block pointers, as ext2 and ext3 keep it: twelve direct ones, then one, two and three tables deep. */
import { type Certainty, INFERRED, LOST, MISSING, type RunList, type Why, weaker, ZERO } from '../../../core/run.ts';
import type { Mapping } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { TableCache } from '../../../core/tables.ts';
import { type Ground, Placer } from './ground.ts';
import { groupOf } from './groups.ts';
import type { Inode } from './inode.ts';

const DIRECT = 12;
const LEVELS = 3;
/** Tables that a count of a file's blocks reads at most: those of a file of 256 GiB in blocks of 4 KiB. */
const MAX_COUNTED = 65_536;

interface Table {
  readonly words: Uint32Array;
  readonly certainty: Certainty;
  readonly why: Why;
  readonly lost?: string;
}

/** Where a block's pointer stands: the pointer in the inode it starts from, and the way below it. */
interface Way {
  /** Index in the inode. */
  readonly top: number;
  readonly levels: number;
  /** Of the block, below that pointer. */
  readonly rest: number;
}

export class PointerMap implements Mapping {
  readonly #ground: Ground;
  readonly #unit: number;
  readonly #per: number;
  readonly #inode: Inode;
  readonly #placer: Placer;
  readonly #isDead: boolean;
  #top: Table;
  readonly #tables = new TableCache<Table>();

  constructor(ground: Ground, inode: Inode, isDead = false) {
    this.#ground = ground;
    this.#unit = ground.geometry.blockSize;
    this.#per = this.#unit / 4;
    this.#inode = inode;
    this.#isDead = isDead;
    this.#placer = new Placer(ground, isDead, inode.fate);
    const view = viewOf(inode.map);
    const words = Uint32Array.from({ length: DIRECT + LEVELS }, (_, i) => view.getUint32(4 * i, true));
    const isEmpty = words.every((word) => word === 0) && inode.acl === 0 && inode.allocated > 0;
    const { certainty, why } = inode;
    this.#top = { words, certainty, why, ...(isEmpty && { lost: 'ext.pointers-empty' }) };
    const against = this.#against(words);
    if (against !== undefined) this.doubt(against);
  }

  #against(words: Uint32Array): string | undefined {
    for (const word of words) {
      const code = word === 0 ? undefined : this.#placer.against(word, 1);
      if (code !== undefined) return code;
    }
    return undefined;
  }

  /** Why no pointer of the file can be used; undefined where some can. */
  get lost(): string | undefined {
    return this.#top.lost;
  }

  /** From now on all of it is inferred at most, because of a check that failed. */
  doubt(code: string): void {
    const { certainty, why } = this.#top;
    this.#top = { ...this.#top, certainty: weaker(certainty, INFERRED), why: this.#placer.reason(why, code) };
  }

  /** Counts, and shows to `visit`, blocks of data and of tables; undefined where tables are damaged or too many to be counted. */
  async blocks(visit?: (start: number, length: number) => void): Promise<number | undefined> {
    let count = 0;
    let seen = 0;
    let isWhole = true;
    const queue: { block: number; levels: number }[] = [];
    this.#top.words.forEach((block, i) => {
      if (block !== 0) queue.push({ block, levels: Math.max(0, i - DIRECT + 1) });
    });
    while (queue.length > 0) {
      const { block, levels } = queue.pop()!;
      count++;
      visit?.(block, 1);
      if (levels === 0) continue;
      if (seen++ > MAX_COUNTED) return undefined;
      const table = await this.#table(block);
      // What the others lead to is shown all the same.
      isWhole &&= table.lost === undefined;
      if (table.lost !== undefined) continue;
      for (const word of table.words) {
        if (word === 0) continue;
        if (levels === 1) {
          count++;
          visit?.(word, 1);
        } else queue.push({ block: word, levels: levels - 1 });
      }
    }
    return isWhole ? count : undefined;
  }

  runs(from: number, end: number, out: RunList): number {
    let at = from;
    while (at < end) {
      const reached = this.#step(at, end, out);
      if (reached === at) return at;
      at = reached;
    }
    return at;
  }

  async load(at: number): Promise<void> {
    const way = this.#way(Math.floor(at / this.#unit));
    if (way === undefined || this.#top.lost !== undefined) return;
    let pointer = this.#top.words[way.top];
    for (let level = way.levels; level > 0; level--) {
      if (pointer === 0) return;
      const table = await this.#table(pointer);
      if (table.lost !== undefined) return;
      pointer = table.words[Math.floor(way.rest / this.#per ** (level - 1)) % this.#per];
    }
    if (pointer !== 0) await this.#placer.load(pointer);
  }

  #way(block: number): Way | undefined {
    if (block < DIRECT) return { top: block, levels: 0, rest: 0 };
    let rest = block - DIRECT;
    for (let levels = 1; levels <= LEVELS; levels++) {
      const span = this.#per ** levels;
      if (rest < span) return { top: DIRECT + levels - 1, levels, rest };
      rest -= span;
    }
    return undefined;
  }

  #step(at: number, end: number, out: RunList): number {
    const block = Math.floor(at / this.#unit);
    const way = this.#way(block);
    let table = this.#top;
    if (way === undefined || table.lost !== undefined) {
      return this.#placer.emit(
        out,
        MISSING,
        LOST,
        at,
        end,
        this.#placer.reason(table.why, table.lost ?? 'ext.no-pointer'),
      );
    }
    let { certainty, why } = table;
    let index = way.top;
    for (let level = way.levels; ; level--) {
      const pointer = table.words[index];
      const span = this.#per ** level;
      const stop = Math.min(end, (block - (way.rest % span) + span) * this.#unit);
      if (pointer === 0) return this.#placer.emit(out, ZERO, certainty, at, stop, why);
      if (level === 0) return this.#placer.place(at, stop, pointer, at % this.#unit, certainty, why, out);
      const next = this.#tables.get(pointer);
      if (next === undefined) return at;
      if (next.lost !== undefined) {
        return this.#placer.emit(out, MISSING, LOST, at, stop, this.#placer.reason(next.why, next.lost));
      }
      certainty = weaker(certainty, next.certainty);
      if (next.certainty <= certainty) why = next.why;
      table = next;
      index = Math.floor(way.rest / this.#per ** (level - 1)) % this.#per;
    }
  }

  async #table(block: number): Promise<Table> {
    const known = this.#tables.get(block);
    if (known !== undefined) return known;
    const { source, groups, geometry } = this.#ground;
    const at = block * this.#unit;
    const bytes = new Uint8Array(this.#unit);
    const { code } = this.#inode.why;
    const what = `ext pointers of inode ${this.#inode.number}`;
    const why: Why = { what, source, at, ...(code !== undefined && { code }) };
    const isThere = this.#placer.fits(block) && at + bytes.length <= source.size;
    const gaps = isThere ? await source.read(at, bytes) : [{}];
    const view = viewOf(bytes);
    const words = Uint32Array.from({ length: this.#per }, (_, i) => view.getUint32(4 * i, true));
    let lost = !isThere ? 'ext.pointer-range' : gaps.length > 0 ? 'ext.pointers-unreadable' : undefined;
    // A table without a pointer is never kept: this one was wiped.
    if (lost === undefined && words.every((word) => word === 0)) lost = 'ext.pointers-empty';
    // Words that lead outside the volume, nearly all of them: no table, but something else that was written there.
    const wild = words.reduce((count, word) => count + Number(word !== 0 && !this.#placer.fits(word)), 0);
    if (lost === undefined && wild > this.#per / 8) lost = 'ext.pointers-wild';
    let doubt: string | undefined;
    if (lost === undefined) {
      const group = groupOf(geometry, block);
      await groups.load(group);
      const bit = Math.floor(
        (block - geometry.super.firstBlock - group * geometry.blocksPerGroup) / geometry.clusterRatio,
      );
      const used = groups.inUse(group, bit, bit + 1);
      const fate = this.#isDead ? this.#inode.fate?.(block) : undefined;
      if (this.#isDead && (used !== false || fate === 'later')) lost = 'ext.block-reused';
      else if (fate === 'unsure') lost = 'ext.block-claimed';
      else if (!this.#isDead && used !== true) doubt = used === false ? 'ext.block-free' : 'ext.bitmap';
      doubt ??= this.#against(words);
    }
    const certainty = doubt === undefined ? this.#top.certainty : weaker(this.#top.certainty, INFERRED);
    const table = { words, certainty, why: doubt === undefined ? why : { ...why, code: doubt }, ...(lost && { lost }) };
    this.#tables.set(block, table, bytes.length + 256);
    return table;
  }
}
