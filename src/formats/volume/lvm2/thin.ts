/** Thin pools: trees that say which block of the pool holds which block of a device. Source: volumes.md section 5. */
import { crc32cUpdate } from '../../../codec/crc32c.ts';
import { MapSource } from '../../../core/map-source.ts';
import {
  type Certainty,
  DATA,
  INFERRED,
  LOST,
  MISSING,
  type RunList,
  type Why,
  weaker,
  ZERO,
} from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { readU64, struct, u32, u64, viewOf } from '../../../core/struct.ts';
import { TableCache } from '../../../core/tables.ts';
import { SECTOR } from './structs.ts';

/** Bytes of a block of metadata. */
const BLOCK = 4096;
const SUPER_SALT = 160_774;
const NODE_SALT = 121_107;
const INTERNAL = 1;
const ENTRIES_AT = 32;
const MAX_LEVELS = 16;
/** A mapping keeps a block's number above 24 bits of time. */
const TIME: number = 2 ** 24;

const poolSuper = struct('thin pool superblock', BLOCK, {
  sum: u32(0),
  block: u64(8, { oneOf: [0] }),
  magic: u64(32, { oneOf: [27_022_010] }),
  version: u32(40, { min: 1, max: 2 }),
  mappingRoot: u64(320, { min: 1 }),
  dataBlockSectors: u32(336, { min: 1, max: 2 ** 21 }),
});

const nodeHeader = struct('thin pool tree node', ENTRIES_AT, {
  sum: u32(0),
  flags: u32(4, { oneOf: [1, 2] }),
  block: u64(8),
  entries: u32(16, { max: 508 }),
  most: u32(20, { max: 508 }),
  valueSize: u32(24, { oneOf: [8] }),
});

/** A node of a tree: keys in order, and what each leads to. */
interface Branch {
  readonly isLeaf: boolean;
  readonly n: number;
  readonly keys: Float64Array;
  readonly values: Float64Array;
  readonly why: Why;
  /** Why nothing of it can be used. */
  readonly lost?: string;
}

export class ThinPool {
  readonly #metadata: Source;
  readonly #data: Source;
  readonly #root: number;
  readonly #unit: number;
  readonly #certainty: Certainty;
  readonly #branches = new TableCache<Branch>();

  private constructor(metadata: Source, data: Source, root: number, unit: number, certainty: Certainty) {
    this.#metadata = metadata;
    this.#data = data;
    this.#root = root;
    this.#unit = unit;
    this.#certainty = certainty;
  }

  /** Undefined where the metadata has no superblock that makes sense. */
  static async open(metadata: Source, data: Source, certainty: Certainty): Promise<ThinPool | undefined> {
    const block = new Uint8Array(BLOCK);
    if (metadata.size < BLOCK || (await metadata.read(0, block)).length > 0) return undefined;
    const found = poolSuper.decode(block);
    if (poolSuper.violations(found).length > 0) return undefined;
    const grade = sumOf(block, SUPER_SALT) === found.sum ? certainty : weaker(certainty, INFERRED);
    return new ThinPool(metadata, data, found.mappingRoot, found.dataBlockSectors * SECTOR, grade);
  }

  /** `length` bytes of a device; undefined where the pool does not know it. */
  async device(id: number, length: number): Promise<Source | undefined> {
    let block = this.#root;
    for (let level = 0; level < MAX_LEVELS; level++) {
      const branch = await this.#branch(block);
      if (branch.lost !== undefined) return undefined;
      const i = indexOf(branch, id);
      if (i < 0) return undefined;
      if (branch.isLeaf) return branch.keys[i] === id ? this.#mapped(branch.values[i], length) : undefined;
      block = branch.values[i];
    }
    return undefined;
  }

  #mapped(root: number, length: number): Source {
    return new MapSource(length, {
      runs: (from, end, out) => {
        let at = from;
        while (at < end) {
          const reached = this.#step(root, at, end, out);
          if (reached === at) return at;
          at = reached;
        }
        return at;
      },
      load: async (at) => {
        const key = Math.floor(at / this.#unit);
        let block = root;
        for (let level = 0; level < MAX_LEVELS; level++) {
          const branch = await this.#branch(block);
          const i = branch.lost === undefined && !branch.isLeaf ? indexOf(branch, key) : -1;
          if (i < 0) return;
          block = branch.values[i];
        }
      },
    });
  }

  /** Says what one stretch of a device is, as far as the tables in memory tell; `at` itself where they do not. */
  #step(root: number, at: number, end: number, out: RunList): number {
    const unit = this.#unit;
    const key = Math.floor(at / unit);
    let limit = Number.POSITIVE_INFINITY;
    let block = root;
    for (let level = 0; level < MAX_LEVELS; level++) {
      const branch = this.#branches.get(block);
      if (branch === undefined) return at;
      const till = (): number => Math.min(end, limit * unit);
      if (branch.lost !== undefined)
        return out.add(MISSING, LOST, till() - at, undefined, 0, { ...branch.why, code: branch.lost }) ? till() : at;
      const i = indexOf(branch, key);
      if (i + 1 < branch.n) limit = Math.min(limit, branch.keys[i + 1]);
      if (i >= 0 && !branch.isLeaf) {
        block = branch.values[i];
        continue;
      }
      if (i < 0 || branch.keys[i] !== key)
        return out.add(ZERO, this.#certainty, till() - at, undefined, 0, branch.why) ? till() : at;
      const stop = Math.min(end, (key + 1) * unit);
      const there = Math.floor(branch.values[i] / TIME) * unit + at - key * unit;
      // Past the end of the pool is missing by itself; what no number can hold has to be said.
      if (!Number.isSafeInteger(there))
        return out.add(MISSING, LOST, stop - at, undefined, 0, { ...branch.why, code: 'lvm2.thin-range' }) ? stop : at;
      return out.add(DATA, this.#certainty, stop - at, this.#data, there, branch.why) ? stop : at;
    }
    const why: Why = {
      what: 'a tree of the thin pool that is too deep',
      source: this.#metadata,
      code: 'lvm2.thin-loop',
    };
    return out.add(MISSING, LOST, end - at, undefined, 0, why) ? end : at;
  }

  async #branch(block: number): Promise<Branch> {
    const known = this.#branches.get(block);
    if (known !== undefined) return known;
    const at = block * BLOCK;
    const bytes = new Uint8Array(BLOCK);
    const isThere = Number.isSafeInteger(at) && at + BLOCK <= this.#metadata.size;
    const gaps = isThere ? await this.#metadata.read(at, bytes) : [{}];
    const why: Why = { what: `thin pool tree node ${block}`, source: this.#metadata, at };
    const branch = gaps.length > 0 ? { ...NOTHING, why, lost: 'lvm2.thin-node-missing' } : branchOf(bytes, block, why);
    this.#branches.set(block, branch, branch.n * 16 + 256);
    return branch;
  }
}

const NOTHING = { isLeaf: true, n: 0, keys: new Float64Array(0), values: new Float64Array(0) };

function branchOf(bytes: Uint8Array, block: number, why: Why): Branch {
  const head = nodeHeader.decode(bytes);
  const isSound = nodeHeader.violations(head).length === 0 && head.block === block && head.entries <= head.most;
  const fits = ENTRIES_AT + head.most * 16 <= BLOCK;
  if (!isSound || !fits || sumOf(bytes, NODE_SALT) !== head.sum) return { ...NOTHING, why, lost: 'lvm2.thin-node' };
  const isLeaf = (head.flags & INTERNAL) === 0;
  const keys = new Float64Array(head.entries);
  const values = new Float64Array(head.entries);
  const view = viewOf(bytes);
  const valuesAt = ENTRIES_AT + head.most * 8;
  for (let i = 0; i < head.entries; i++) {
    keys[i] = readU64(view, ENTRIES_AT + i * 8);
    values[i] = readU64(view, valuesAt + i * 8);
  }
  return { isLeaf, n: head.entries, keys, values, why };
}

function sumOf(block: Uint8Array, salt: number): number {
  return (crc32cUpdate(0xffffffff, block.subarray(4)) ^ salt) >>> 0;
}

/** The last i with keys[i] <= key; -1 where all are larger. */
function indexOf({ keys, n }: Branch, key: number): number {
  let low = -1;
  let high = n;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (keys[middle] <= key) low = middle;
    else high = middle;
  }
  return low;
}
