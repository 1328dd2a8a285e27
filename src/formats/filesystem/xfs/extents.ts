/** The map of a file: extents in its inode, or in a tree whose root stands there. */
import { crc32c } from '../../../codec/crc32c.ts';
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
import type { Mapping, Source } from '../../../core/source.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { TableCache } from '../../../core/tables.ts';
import type { Fate } from '../claimants.ts';
import type { FreeSpace } from './free.ts';
import { byteOf, type Geometry } from './geometry.ts';
import { type Extent, extentAt, type Inode } from './inodes.ts';
import { FORM_BTREE, FORM_EXTENTS, LONG_BYTES, LONG_CRC_AT, longBlock, MAP_MAGIC } from './structs.ts';

/** What maps need of their volume. */
export interface Ground {
  readonly source: Source;
  readonly geometry: Geometry;
  readonly free: FreeSpace;
}

/** A block of the tree, or the fork itself. */
interface Branch {
  readonly level: number;
  readonly n: number;
  /** First block of the file below each entry. */
  readonly logical: Float64Array;
  /** Blocks of the volume: of the data, or of the next level. */
  readonly block: Float64Array;
  readonly count: Float64Array;
  readonly unwritten: Uint8Array;
  readonly certainty: Certainty;
  readonly why: Why;
  /** Why nothing of it can be used. */
  readonly lost?: string;
}

const RECORD = 16;
const MAX_LEVELS = 12;
/** Blocks of a tree that a count of a file's blocks reads at most. */
const MAX_COUNTED = 65_536;

export class ExtentMap implements Mapping {
  readonly #ground: Ground;
  readonly #inode: Inode;
  readonly #isDead: boolean;
  readonly #branches = new TableCache<Branch>();
  readonly #reasons = new Map<string, Why>();
  #root: Branch;

  constructor(ground: Ground, inode: Inode, isDead = false) {
    this.#ground = ground;
    this.#inode = inode;
    this.#isDead = isDead;
    this.#root = rootOf(ground.geometry, inode);
  }

  /** From now on all of it is inferred at most, because of a check that failed. */
  doubt(code: string): void {
    const { certainty, why } = this.#root;
    this.#root = { ...this.#root, certainty: weaker(certainty, INFERRED), why: { ...why, code } };
  }

  /** Blocks of data and of the tree, and extents; undefined where it is damaged or too large to be counted. */
  async count(): Promise<{ readonly blocks: number; readonly extents: number } | undefined> {
    let [blocks, extents, seen] = [0, 0, 0];
    const queue = [this.#root];
    for (let branch = queue.pop(); branch !== undefined; branch = queue.pop()) {
      if (branch.lost !== undefined || seen++ > MAX_COUNTED) return undefined;
      for (let i = 0; i < branch.n; i++) {
        if (branch.level === 0) {
          blocks += branch.count[i];
          extents++;
        } else {
          blocks++;
          queue.push(await this.#branch(branch, i));
        }
      }
    }
    return { blocks, extents };
  }

  /** Every extent, in order, as far as the tree can be followed. */
  async *extents(): AsyncGenerator<Extent> {
    const stack: { branch: Branch; i: number }[] = [{ branch: this.#root, i: 0 }];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { branch } = top;
      if (branch.lost !== undefined || top.i >= branch.n) stack.pop();
      else if (branch.level > 0) stack.push({ branch: await this.#branch(branch, top.i++), i: 0 });
      else {
        const i = top.i++;
        const { logical, block, count, unwritten } = branch;
        yield { logical: logical[i], block: block[i], count: count[i], isUnwritten: unwritten[i] === 1 };
      }
    }
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
    const block = Math.floor(at / this.#unit);
    let branch = this.#root;
    while (branch.lost === undefined && branch.level > 0) {
      const i = indexOf(branch, block);
      if (i < 0) return;
      branch = await this.#branch(branch, i);
    }
    const i = branch.lost === undefined ? indexOf(branch, block) : -1;
    if (i < 0) return;
    const ag = this.#agOf(branch.block[i] + block - branch.logical[i]);
    await this.#ground.free.load(ag.number);
  }

  get #unit(): number {
    return this.#ground.geometry.blockSize;
  }

  #agOf(block: number): { readonly number: number; readonly block: number } {
    const size = 2 ** this.#ground.geometry.super.agBlockLog;
    const number = Math.floor(block / size);
    return { number, block: block - number * size };
  }

  #step(at: number, end: number, out: RunList): number {
    const unit = this.#unit;
    const block = Math.floor(at / unit);
    let branch = this.#root;
    let { certainty, why } = branch;
    let limit = Number.POSITIVE_INFINITY;
    for (;;) {
      const till = Math.min(end, limit * unit);
      if (branch.lost !== undefined)
        return out.add(MISSING, LOST, till - at, undefined, 0, this.#reason(branch.why, branch.lost)) ? till : at;
      const i = indexOf(branch, block);
      if (i + 1 < branch.n) limit = Math.min(limit, branch.logical[i + 1]);
      const isInside = i >= 0 && (branch.level > 0 || block < branch.logical[i] + branch.count[i]);
      if (!isInside) {
        const stop = Math.min(end, limit * unit);
        return out.add(ZERO, certainty, stop - at, undefined, 0, why) ? stop : at;
      }
      if (branch.level > 0) {
        const next = this.#branches.get(branch.block[i]);
        if (next === undefined) return at;
        certainty = weaker(certainty, next.certainty);
        if (next.certainty <= certainty) why = next.why;
        branch = next;
        continue;
      }
      const stop = Math.min(end, limit * unit, (branch.logical[i] + branch.count[i]) * unit);
      if (branch.unwritten[i] === 1) return out.add(ZERO, certainty, stop - at, undefined, 0, why) ? stop : at;
      return this.#place(at, stop, branch.block[i] + block - branch.logical[i], certainty, why, out);
    }
  }

  /** Bytes of a block of the volume, as far as its AG says one and the same of what follows. */
  #place(at: number, stop: number, block: number, own: Certainty, why: Why, out: RunList): number {
    const unit = this.#unit;
    const g = this.#ground.geometry;
    const ag = this.#agOf(block);
    const start = byteOf(g, block);
    if (start === undefined)
      return out.add(MISSING, LOST, stop - at, undefined, 0, this.#reason(why, 'xfs.extent-range')) ? stop : at;
    const said = this.#ground.free.at(ag.number, ag.block);
    if (said === undefined) return at;
    const inner = at % unit;
    const later = this.#isDead ? this.#inode.fate?.(block, block + said.end - ag.block) : undefined;
    const end = Math.min(stop, at - inner + ((later?.end ?? block + said.end - ag.block) - block) * unit);
    const { source } = this.#ground;
    const code = this.#codeOf(said.state, later?.fate);
    const reason = code === undefined ? why : this.#reason(why, code);
    if (this.#isDead && (said.state !== 'free' || later?.fate === 'later'))
      return out.add(MISSING, LOST, end - at, source, start + inner, reason) ? end : at;
    const isSure = code === undefined && !this.#isDead;
    const certainty = isSure ? own : weaker(own, later?.fate === 'unsure' ? GUESSED : INFERRED);
    return out.add(DATA, certainty, end - at, source, start + inner, reason) ? end : at;
  }

  #codeOf(state: string, fate: Fate): string | undefined {
    if (state === 'unreadable') return 'xfs.free-space';
    if (this.#isDead && fate === 'unsure' && state === 'free') return 'xfs.block-claimed';
    if (this.#isDead) return state === 'free' && fate === undefined ? undefined : 'xfs.block-reused';
    return state === 'free' ? 'xfs.block-free' : undefined;
  }

  /** The same object each time, so that runs merge. */
  #reason(why: Why, code: string): Why {
    const key = `${why.at} ${code}`;
    let reason = this.#reasons.get(key);
    if (reason === undefined) {
      reason = { ...why, code };
      this.#reasons.set(key, reason);
    }
    return reason;
  }

  async #branch(parent: Branch, i: number): Promise<Branch> {
    const block = parent.block[i];
    const known = this.#branches.get(block);
    if (known !== undefined) return known;
    const { source, geometry: g } = this.#ground;
    const at = byteOf(g, block);
    const bytes = new Uint8Array(g.blockSize);
    const isThere = at !== undefined && at + bytes.length <= source.size;
    const gaps = isThere ? await source.read(at, bytes) : [{}];
    const { code } = this.#inode.why;
    const what = `XFS extents of inode ${this.#inode.number}`;
    const why: Why = { what, source, at: at ?? 0, ...(code !== undefined && { code }) };
    const read =
      gaps.length > 0
        ? nothing(why, 'xfs.extents-unreadable')
        : blockOf(g, bytes, at!, parent.level - 1, why, this.#inode);
    // What it holds begins where the level above says.
    const isOrdered = read.n === 0 || read.logical[0] >= parent.logical[i];
    const branch = isOrdered ? read : nothing(why, 'xfs.extents-order');
    this.#branches.set(block, branch, branch.n * 25 + 256);
    return branch;
  }
}

function rootOf(g: Geometry, inode: Inode): Branch {
  const { fork, why, certainty } = inode;
  const view = viewOf(fork);
  if (inode.format === FORM_EXTENTS) {
    const most = Math.floor(fork.length / RECORD);
    if (!(inode.extents <= most)) return nothing(why, 'xfs.extents-count');
    return leafOf(view, 0, inode.extents, why, certainty);
  }
  if (inode.format !== FORM_BTREE) return nothing(why, 'xfs.inode.format');
  const [level, n] = [view.getUint16(0, false), view.getUint16(2, false)];
  const most = Math.floor((fork.length - 4) / RECORD);
  if (level === 0 || level > MAX_LEVELS || n === 0 || n > most) return nothing(why, 'xfs.extents-root');
  return nodeOf(view, 4, n, most, level, why, certainty, g);
}

/** A block of the tree, checked against itself. */
function blockOf(g: Geometry, bytes: Uint8Array, at: number, level: number, why: Why, inode: Inode): Branch {
  const head = longBlock.decode(bytes);
  const view = viewOf(bytes);
  if (head.magic !== (g.isChecked ? MAP_MAGIC.checked : MAP_MAGIC.old) || head.level !== level)
    return nothing(why, 'xfs.extents-block');
  let code: string | undefined;
  if (g.isChecked) {
    if (crc32c(bytes, LONG_CRC_AT) !== view.getUint32(LONG_CRC_AT, true)) code = 'xfs.extents-checksum';
    else if (head.owner !== inode.number) code = 'xfs.extents-owner';
    else if (head.place * 512 !== at) code = 'xfs.extents-place';
  }
  const first = g.isChecked ? LONG_BYTES.checked : LONG_BYTES.old;
  const most = Math.floor((bytes.length - first) / RECORD);
  if (head.records > most) return nothing(why, 'xfs.extents-count');
  const grade: Certainty = code === undefined ? inode.certainty : weaker(inode.certainty, INFERRED);
  const said = code === undefined ? why : { ...why, code };
  if (level === 0) return leafOf(view, first, head.records, said, grade);
  return nodeOf(view, first, head.records, most, level, said, grade, g);
}

function leafOf(view: DataView, at: number, n: number, why: Why, certainty: Certainty): Branch {
  const out = emptyOf(0, n, why, certainty);
  for (let i = 0; i < n; i++) {
    const one = extentAt(view, at + i * RECORD);
    out.logical[i] = one.logical;
    out.block[i] = one.block;
    out.count[i] = one.count;
    out.unwritten[i] = Number(one.isUnwritten);
    const isOrdered = i === 0 || one.logical >= out.logical[i - 1] + out.count[i - 1];
    if (!isOrdered || one.count === 0) return nothing(why, 'xfs.extents-order');
  }
  return out;
}

function nodeOf(
  view: DataView,
  at: number,
  n: number,
  most: number,
  level: number,
  why: Why,
  certainty: Certainty,
  g: Geometry,
): Branch {
  const out = emptyOf(level, n, why, certainty);
  for (let i = 0; i < n; i++) {
    out.logical[i] = readU64(view, at + i * 8, false);
    out.block[i] = readU64(view, at + most * 8 + i * 8, false);
    const isOrdered = i === 0 || out.logical[i] > out.logical[i - 1];
    if (!isOrdered || byteOf(g, out.block[i]) === undefined) return nothing(why, 'xfs.extents-order');
  }
  return out;
}

function emptyOf(level: number, n: number, why: Why, certainty: Certainty): Branch {
  return {
    level,
    n,
    logical: new Float64Array(n),
    block: new Float64Array(n),
    count: new Float64Array(level === 0 ? n : 0),
    unwritten: new Uint8Array(level === 0 ? n : 0),
    certainty,
    why,
  };
}

function nothing(why: Why, lost: string): Branch {
  return { ...emptyOf(0, 0, why, LOST), lost };
}

/** The last i with logical[i] <= block; -1 where all are larger. */
function indexOf({ logical, n }: Branch, block: number): number {
  let low = -1;
  let high = n;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (logical[middle] <= block) low = middle;
    else high = middle;
  }
  return low;
}
