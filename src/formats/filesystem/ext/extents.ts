/** The map of a file in extents: a tree whose root stands in the inode. */
import { crc32cUpdate } from '../../../codec/crc32c.ts';
import { type Certainty, INFERRED, LOST, MISSING, type RunList, type Why, weaker, ZERO } from '../../../core/run.ts';
import type { Mapping } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { TableCache } from '../../../core/tables.ts';
import { type Ground, Placer } from './ground.ts';
import type { Inode } from './inode.ts';
import { EXTENT_BYTES, EXTENT_MAGIC, EXTENT_WRITTEN, extentHeader, MAP_BYTES, MAX_EXTENT_DEPTH } from './structs.ts';

/** One node of the tree. All numbers are blocks. */
interface Branch {
  readonly depth: number;
  readonly n: number;
  readonly logical: Float64Array;
  readonly length: Float64Array;
  readonly start: Float64Array;
  /** Set aside and never written: zeros. */
  readonly unwritten: Uint8Array;
  readonly certainty: Certainty;
  readonly why: Why;
  /** Why nothing of it can be used. */
  readonly lost?: string;
}

/** Nodes that a count of a file's blocks reads at most. */
const MAX_COUNTED = 65_536;

export class ExtentMap implements Mapping {
  readonly #ground: Ground;
  readonly #unit: number;
  readonly #inode: Inode;
  readonly #placer: Placer;
  #root: Branch;
  readonly #branches = new TableCache<Branch>();

  constructor(ground: Ground, inode: Inode, isDead = false) {
    this.#ground = ground;
    this.#unit = ground.geometry.blockSize;
    this.#inode = inode;
    this.#placer = new Placer(ground, isDead, inode.fate);
    const { certainty, why } = inode;
    this.#root = branchOf(inode.map, undefined, 0, certainty, why);
    // An inode that holds blocks and names none has lost its extents.
    const isEmpty = this.#root.lost === undefined && this.#root.n === 0 && inode.acl === 0 && inode.allocated > 0;
    if (isEmpty) this.#root = { ...this.#root, lost: 'ext.extents-empty' };
    this.#root = this.#judged(this.#root);
  }

  /** Why no extent of the file can be used; undefined where some can. */
  get lost(): string | undefined {
    return this.#root.lost;
  }

  /** From now on all of it is inferred at most, because of a check that failed. */
  doubt(code: string): void {
    const { certainty, why } = this.#root;
    this.#root = { ...this.#root, certainty: weaker(certainty, INFERRED), why: this.#placer.reason(why, code) };
  }

  /** Inferred, where something speaks against what the node leads to. Nodes with sums vouch for themselves. */
  #judged(branch: Branch): Branch {
    if (this.#inode.seed !== undefined) return branch;
    for (let i = 0; i < branch.n; i++) {
      const code = this.#placer.against(branch.start[i], branch.depth === 0 ? branch.length[i] : 1);
      if (code === undefined) continue;
      return { ...branch, certainty: weaker(branch.certainty, INFERRED), why: this.#placer.reason(branch.why, code) };
    }
    return branch;
  }

  /** Counts, and shows to `visit`, blocks of data and of the tree itself; undefined where the tree is damaged or too large to be counted. */
  async blocks(visit?: (start: number, length: number) => void): Promise<number | undefined> {
    let count = 0;
    let isWhole = true;
    const queue: Branch[] = [this.#root];
    for (let seen = 0; queue.length > 0; seen++) {
      const branch = queue.pop()!;
      if (seen > MAX_COUNTED) return undefined;
      // What the others lead to is shown all the same.
      isWhole &&= branch.lost === undefined;
      if (branch.lost !== undefined) continue;
      for (let i = 0; i < branch.n; i++) {
        const length = branch.depth === 0 ? branch.length[i] : 1;
        count += length;
        visit?.(branch.start[i], length);
        if (branch.depth > 0) queue.push(await this.#branch(branch, i));
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
    const block = Math.floor(at / this.#unit);
    let branch = this.#root;
    while (branch.lost === undefined && branch.depth > 0) {
      const i = indexOf(branch, block);
      if (i < 0) return;
      branch = await this.#branch(branch, i);
    }
    const i = branch.lost === undefined ? indexOf(branch, block) : -1;
    if (i >= 0) await this.#placer.load(branch.start[i] + block - branch.logical[i]);
  }

  #step(at: number, end: number, out: RunList): number {
    const block = Math.floor(at / this.#unit);
    let branch = this.#root;
    let { certainty, why } = branch;
    let limit = Number.POSITIVE_INFINITY;
    for (;;) {
      if (branch.lost !== undefined) {
        const stop = Math.min(end, limit * this.#unit);
        return this.#placer.emit(out, MISSING, LOST, at, stop, this.#placer.reason(branch.why, branch.lost));
      }
      const i = indexOf(branch, block);
      limit = Math.min(limit, i + 1 < branch.n ? branch.logical[i + 1] : limit);
      const isInside = i >= 0 && (branch.depth > 0 || block < branch.logical[i] + branch.length[i]);
      if (!isInside) return this.#placer.emit(out, ZERO, certainty, at, Math.min(end, limit * this.#unit), why);
      if (branch.depth === 0) {
        const stop = Math.min(end, Math.min(limit, branch.logical[i] + branch.length[i]) * this.#unit);
        if (branch.unwritten[i] === 1) return this.#placer.emit(out, ZERO, certainty, at, stop, why);
        return this.#placer.place(at, stop, branch.start[i], at - branch.logical[i] * this.#unit, certainty, why, out);
      }
      const next = this.#branches.get(branch.start[i]);
      if (next === undefined) return at;
      certainty = weaker(certainty, next.certainty);
      if (next.certainty <= certainty) why = next.why;
      branch = next;
    }
  }

  async #branch(parent: Branch, i: number): Promise<Branch> {
    const block = parent.start[i];
    const known = this.#branches.get(block);
    if (known !== undefined) return known;
    const { source } = this.#ground;
    const at = block * this.#unit;
    const bytes = new Uint8Array(this.#unit);
    // What is doubtful about the inode is about all that it leads to.
    const { code } = this.#inode.why;
    const what = `ext extents of inode ${this.#inode.number}`;
    const why: Why = { what, source, at, ...(code !== undefined && { code }) };
    const isThere = this.#placer.fits(block) && at + bytes.length <= source.size;
    const gaps = isThere ? await source.read(at, bytes) : [{}];
    const read = branchOf(bytes, parent, parent.logical[i], parent.certainty, why, this.#inode.seed);
    const lost = !isThere ? 'ext.pointer-range' : gaps.length > 0 ? 'ext.extents-unreadable' : read.lost;
    const branch = lost === undefined ? this.#judged(read) : { ...read, lost };
    this.#branches.set(block, branch, branch.n * 25 + 256);
    return branch;
  }
}

/** Whether the tree's root in the map at `at` has an extent that can be used: what a listing asks of each file, without decoding it. */
export function hasExtents(view: DataView, at: number): boolean {
  const { magic, entries, max, depth } = extentHeader.over(view, at);
  if (magic !== EXTENT_MAGIC || depth > MAX_EXTENT_DEPTH || entries === 0) return false;
  const isSound = entries <= max && max <= roomOf(MAP_BYTES);
  return isSound && (depth > 0 || view.getUint16(at + EXTENT_BYTES + 4, true) > 0);
}

/** Entries for which a node of the tree of that many bytes has room. */
function roomOf(length: number): number {
  return Math.floor((length - EXTENT_BYTES) / EXTENT_BYTES);
}

/** Decodes a node of the tree. `parent` absent: the root, which its inode's sum covers. */
function branchOf(
  bytes: Uint8Array,
  parent: Branch | undefined,
  first: number,
  certainty: Certainty,
  why: Why,
  seed?: number,
): Branch {
  const header = extentHeader.decode(bytes);
  const room = roomOf(bytes.length);
  const depth = parent === undefined ? header.depth : parent.depth - 1;
  const isSound = header.magic === EXTENT_MAGIC && header.depth === depth && header.depth <= MAX_EXTENT_DEPTH;
  const n = isSound && header.entries <= header.max && header.max <= room ? header.entries : -1;
  const size = Math.max(0, n);
  const out = {
    depth: Math.max(0, depth),
    logical: new Float64Array(size),
    length: new Float64Array(size),
    start: new Float64Array(size),
    unwritten: new Uint8Array(size),
  };
  // Nodes below the root are never empty.
  if (n < 0 || (parent !== undefined && n === 0)) return { ...out, n: 0, certainty, why, lost: 'ext.extent-header' };
  const view = viewOf(bytes);
  let code =
    parent !== undefined && seed !== undefined && !isSummed(bytes, view, header.max, seed)
      ? 'ext.extent-checksum'
      : undefined;
  let count = 0;
  let before = first;
  for (; count < n; count++) {
    const at = EXTENT_BYTES * (count + 1);
    const logical = view.getUint32(at, true);
    const length = view.getUint16(at + 4, true);
    const isLong = length > EXTENT_WRITTEN;
    if (logical < before || (depth === 0 && length === 0)) {
      code ??= 'ext.extent-order';
      break;
    }
    out.logical[count] = logical;
    out.length[count] = isLong ? length - EXTENT_WRITTEN : length;
    out.unwritten[count] = depth === 0 && isLong ? 1 : 0;
    out.start[count] =
      depth === 0
        ? view.getUint32(at + 8, true) + view.getUint16(at + 6, true) * 2 ** 32
        : view.getUint32(at + 4, true) + view.getUint16(at + 8, true) * 2 ** 32;
    before = logical + (depth === 0 ? out.length[count] : 1);
  }
  if (code === undefined) return { ...out, n: count, certainty, why };
  const doubted = { ...out, n: count, certainty: weaker(certainty, INFERRED), why: { ...why, code } };
  return count === 0 ? { ...doubted, lost: code } : doubted;
}

function isSummed(bytes: Uint8Array, view: DataView, max: number, seed: number): boolean {
  const tail = EXTENT_BYTES * (max + 1);
  return tail + 4 <= bytes.length && crc32cUpdate(seed, bytes.subarray(0, tail)) === view.getUint32(tail, true);
}

/** The last entry that starts at or before a block, or -1. */
function indexOf({ logical, n }: Branch, block: number): number {
  let low = -1;
  let high = n;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (logical[middle] <= block) low = middle;
    else high = middle;
  }
  return low;
}
