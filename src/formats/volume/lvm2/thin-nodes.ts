/** What the metadata of a thin pool is made of: a superblock, and nodes of trees that say their own place. Source: volumes.md section 5. */
import { crc32cUpdate } from '../../../codec/crc32c.ts';
import type { Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { readU64, struct, u32, u64, viewOf } from '../../../core/struct.ts';

/** Bytes of a block of metadata. */
export const BLOCK = 4096;
const SUPER_SALT = 160_774;
const NODE_SALT = 121_107;
const INTERNAL = 1;
const ENTRIES_AT = 32;
/** Levels of a tree; more is a loop or a joke. */
export const MAX_LEVELS = 16;
/** A mapping keeps a block's number above 24 bits of time. */
export const TIME: number = 2 ** 24;

const poolSuper = struct('thin pool superblock', BLOCK, {
  sum: u32(0),
  block: u64(8, { oneOf: [0] }),
  magic: u64(32, { oneOf: [27_022_010] }),
  version: u32(40, { min: 1, max: 2 }),
  transaction: u64(48),
  mappingRoot: u64(320, { min: 1 }),
  dataBlockSectors: u32(336, { min: 1, max: 2 ** 21 }),
});

export type PoolSuper = ReturnType<typeof poolSuper.decode>;

const nodeHeader = struct('thin pool tree node', ENTRIES_AT, {
  sum: u32(0),
  flags: u32(4, { oneOf: [1, 2] }),
  block: u64(8),
  entries: u32(16, { max: 508 }),
  most: u32(20, { max: 508 }),
  valueSize: u32(24, { oneOf: [8] }),
});

/** A node of a tree: keys in order, and what each leads to. */
export interface Branch {
  readonly isLeaf: boolean;
  readonly n: number;
  readonly keys: Float64Array;
  readonly values: Float64Array;
  readonly why: Why;
  /** Why nothing of it can be used. */
  readonly lost?: string;
}

/** The superblock at the start of a pool's metadata, and whether its sum agrees; undefined where none makes sense. */
export async function readSuper(metadata: Source): Promise<{ values: PoolSuper; isSummed: boolean } | undefined> {
  const block = new Uint8Array(BLOCK);
  if (metadata.size < BLOCK || (await metadata.read(0, block)).length > 0) return undefined;
  const values = poolSuper.decode(block);
  if (poolSuper.violations(values).length > 0) return undefined;
  return { values, isSummed: sumOf(block, SUPER_SALT) === values.sum };
}

const NOTHING = { isLeaf: true, n: 0, keys: new Float64Array(0), values: new Float64Array(0) };

/** Reads one node; one that cannot be used says why. */
export async function readBranch(metadata: Source, block: number): Promise<Branch> {
  const at = block * BLOCK;
  const bytes = new Uint8Array(BLOCK);
  const isThere = at >= 0 && Number.isSafeInteger(at) && at + BLOCK <= metadata.size;
  const gaps = isThere ? await metadata.read(at, bytes) : [{}];
  const why: Why = { what: `thin pool tree node ${block}`, source: metadata, at };
  if (gaps.length > 0) return { ...NOTHING, why, lost: 'lvm2.thin-node-missing' };
  return branchIn(bytes, block, why) ?? { ...NOTHING, why, lost: 'lvm2.thin-node' };
}

/** The node in the bytes of a block; undefined where they are none, or that of another place. */
export function branchIn(bytes: Uint8Array, block: number, why: Why): Branch | undefined {
  const head = nodeHeader.decode(bytes);
  if (head.block !== block || head.entries > head.most || nodeHeader.violations(head).length > 0) return undefined;
  const fits = ENTRIES_AT + head.most * 16 <= BLOCK;
  if (!fits || sumOf(bytes, NODE_SALT) !== head.sum) return undefined;
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
export function indexOf({ keys, n }: Pick<Branch, 'keys' | 'n'>, key: number): number {
  let low = -1;
  let high = n;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (keys[middle] <= key) low = middle;
    else high = middle;
  }
  return low;
}
