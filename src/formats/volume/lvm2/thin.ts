/** Thin pools: trees that say which block of the pool holds which block of a device. Source: volumes.md section 5. */
import { MapSource } from '../../../core/map-source.ts';
import {
  type Certainty,
  DATA,
  GUESSED,
  INFERRED,
  LOST,
  MISSING,
  type RunList,
  type Why,
  weaker,
  ZERO,
} from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import { SECTOR } from './structs.ts';
import { type Branch, indexOf, MAX_LEVELS, readBranch, readSuper, TIME } from './thin-nodes.ts';
import { type Filled, ThinRemains } from './thin-remains.ts';

/** In place of the root of a tree of which nothing is left: no block of metadata. */
const NO_ROOT = -1;
/** Reasons that are kept so that they are the same objects. */
const MAX_WHYS = 4096;
/** Bytes of a block of data at most: 1 GiB, as device mapper allows. */
const MAX_UNIT: number = 2 ** 30;

/** A tree, and what it is worth. */
interface Tree {
  readonly root: number;
  readonly certainty: Certainty;
  /** Why it is worth no more than that. */
  readonly code?: string;
  /** Of a device that no live tree names: blocks of live ones are not its own any more. */
  readonly isGone?: true;
}

export class ThinPool {
  readonly #metadata: Source;
  readonly #data: Source;
  /** Of the tree of all devices; undefined where it is lost. */
  readonly #root: number | undefined;
  readonly #unit: number;
  readonly #certainty: Certainty;
  readonly #branches = new TableCache<Branch>();
  readonly #filled = new Map<number, Filled>();
  readonly #whys = new Map<string, Why>();
  /** Why all of it is no more than inferred. */
  readonly #doubt: string | undefined;
  #looking: Promise<ThinRemains> | undefined;
  #remains: ThinRemains | undefined;

  private constructor(
    metadata: Source,
    data: Source,
    root: number | undefined,
    unit: number,
    certainty: Certainty,
    doubt?: string,
  ) {
    this.#metadata = metadata;
    this.#data = data;
    this.#root = root;
    this.#unit = unit;
    this.#certainty = certainty;
    this.#doubt = doubt;
  }

  /**
   * Opens a pool. `unit`: bytes of a block of data by the text of the group, for where the superblock is lost. Undefined
   * where there is no superblock that makes sense and no node of a tree either.
   */
  static async open(metadata: Source, data: Source, unit: number, certainty: Certainty): Promise<ThinPool | undefined> {
    const found = await readSuper(metadata);
    if (found !== undefined) {
      const { dataBlockSectors, mappingRoot } = found.values;
      const grade = found.isSummed ? certainty : weaker(certainty, INFERRED);
      const doubt = found.isSummed ? undefined : 'lvm2.thin-super';
      return new ThinPool(metadata, data, mappingRoot, dataBlockSectors * SECTOR, grade, doubt);
    }
    if (!(unit > 0 && unit <= MAX_UNIT && unit % SECTOR === 0)) return undefined;
    const remains = await ThinRemains.of(metadata, Math.ceil(data.size / unit), undefined);
    const root = await remains.bestRoot();
    if (remains.isEmpty) return undefined;
    return new ThinPool(metadata, data, root, unit, weaker(certainty, INFERRED), 'lvm2.thin-super');
  }

  /** `length` bytes of a device; undefined where neither the pool nor anything that is left of older states knows it. */
  async device(id: number, length: number): Promise<Source | undefined> {
    const tree = await this.#treeOf(id);
    return (
      tree &&
      new MapSource(length, {
        runs: (from, end, out) => {
          let at = from;
          while (at < end) {
            const reached = this.#step(tree, at, end, out);
            if (reached === at) return at;
            at = reached;
          }
          return at;
        },
        load: (at) => this.#load(tree, Math.floor(at / this.#unit)),
      })
    );
  }

  async #treeOf(id: number): Promise<Tree | undefined> {
    const certainty = this.#certainty;
    let block = this.#root ?? NO_ROOT;
    for (let level = 0; level < MAX_LEVELS; level++) {
      const branch = await this.#branch(block);
      const i = branch.lost === undefined ? indexOf(branch, id) : -1;
      if (i >= 0 && branch.isLeaf && branch.keys[i] === id)
        return { root: branch.values[i], certainty, ...(this.#doubt && { code: this.#doubt }) };
      if (i < 0 || branch.isLeaf) break;
      block = branch.values[i];
    }
    const remains = await this.#left();
    const root = await remains.rootOf(id);
    const own = { isGone: true } as const;
    if (root !== undefined) return { ...own, root, certainty: weaker(certainty, INFERRED), code: 'lvm2.thin-older' };
    return remains.isSpent ? undefined : { ...own, root: NO_ROOT, certainty: GUESSED, code: 'lvm2.thin-root' };
  }

  async #left(): Promise<ThinRemains> {
    this.#looking ??= ThinRemains.of(this.#metadata, Math.ceil(this.#data.size / this.#unit), this.#root);
    this.#remains = await this.#looking;
    return this.#remains;
  }

  async #load({ root, certainty }: Tree, key: number): Promise<void> {
    let [block, low, high] = [root, 0, Number.POSITIVE_INFINITY];
    for (let level = 0; level < MAX_LEVELS; level++) {
      const branch = await this.#branch(block);
      if (branch.lost !== undefined) {
        if (this.#filled.has(block)) return;
        const remains = await this.#left();
        this.#filled.set(block, await remains.fill(low, high, certainty));
        return;
      }
      const i = branch.isLeaf ? -1 : indexOf(branch, key);
      if (i < 0) return;
      low = branch.keys[i];
      high = i + 1 < branch.n ? Math.min(high, branch.keys[i + 1]) : high;
      block = branch.values[i];
    }
  }

  /** Says what one stretch of a device is, as far as the tables in memory tell; `at` itself where they do not. */
  #step(tree: Tree, at: number, end: number, out: RunList): number {
    const key = Math.floor(at / this.#unit);
    let limit = Number.POSITIVE_INFINITY;
    let block = tree.root;
    for (let level = 0; level < MAX_LEVELS; level++) {
      const known = this.#branches.get(block);
      if (known === undefined) return at;
      const branch = known.lost === undefined ? known : this.#filled.get(block);
      if (branch === undefined) return at;
      const i = indexOf(branch, key);
      if (i + 1 < branch.n) limit = Math.min(limit, branch.keys[i + 1]);
      if (i >= 0 && known.lost === undefined && !known.isLeaf) {
        block = known.values[i];
        continue;
      }
      const why = this.#why(known.why, known.lost ?? tree.code);
      if (i >= 0 && branch.keys[i] === key) {
        const grade = 'grades' in branch ? (branch.grades[i] as Certainty) : tree.certainty;
        return this.#place(tree, branch.values[i], weaker(grade, tree.certainty), at, end, why, out);
      }
      const till = Math.min(end, limit * this.#unit);
      // Beside what fills the place of a lost node there may have been more.
      const isHole = known.lost === undefined;
      const added = isHole
        ? out.add(ZERO, tree.certainty, till - at, undefined, 0, why)
        : out.add(MISSING, LOST, till - at, undefined, 0, why);
      return added ? till : at;
    }
    const why = this.#why(
      { what: 'a tree of the thin pool that is too deep', source: this.#metadata },
      'lvm2.thin-loop',
    );
    return out.add(MISSING, LOST, end - at, undefined, 0, why) ? end : at;
  }

  /** Adds what one mapping says: the block of data that lies at `at`. */
  #place(tree: Tree, value: number, grade: Certainty, at: number, end: number, why: Why, out: RunList): number {
    const unit = this.#unit;
    const stop = Math.min(end, Math.floor(at / unit) * unit + unit);
    const block = Math.floor(value / TIME);
    const there = block * unit + (at % unit);
    // Past the end of the pool is missing by itself; what no number can hold has to be said.
    const lost = !Number.isSafeInteger(there)
      ? 'lvm2.thin-range'
      : tree.isGone === true && this.#remains?.isClaimed(block) === true
        ? 'lvm2.thin-reused'
        : undefined;
    const added =
      lost === undefined
        ? out.add(DATA, grade, stop - at, this.#data, there, why)
        : out.add(MISSING, LOST, stop - at, undefined, 0, this.#why(why, lost));
    return added ? stop : at;
  }

  /** The same why with a reason; the same object each time, so that runs merge. */
  #why(why: Why, code: string | undefined): Why {
    if (code === undefined) return why;
    const key = `${why.at}:${code}`;
    let made = this.#whys.get(key);
    if (made === undefined) {
      if (this.#whys.size >= MAX_WHYS) this.#whys.clear();
      made = { ...why, code };
      this.#whys.set(key, made);
    }
    return made;
  }

  async #branch(block: number): Promise<Branch> {
    const known = this.#branches.get(block);
    if (known !== undefined) return known;
    const branch = await readBranch(this.#metadata, block);
    this.#branches.set(block, branch, branch.n * 16 + 256);
    return branch;
  }
}
