/** Trees of btrfs: items by key, and stretches of keys of which nothing can be read. */
import { readU64, viewOf } from '../../../core/struct.ts';
import type { Nodes, Pointer, TreeNode } from './nodes.ts';
import { BRANCH_ENTRY, KEY_BYTES, LEAF_ENTRY, nodeHeader } from './structs.ts';

export interface Key {
  readonly objectid: number;
  readonly type: number;
  readonly offset: number;
}

export interface Item extends Key {
  readonly node: TreeNode;
  /** Bytes from the start of the node. */
  readonly at: number;
  readonly size: number;
  /** The check that failed on the way to it. */
  readonly doubt?: string;
}

/** A leaf and the keys it stands for, or why it cannot be read. */
export interface Leaf {
  readonly node?: TreeNode;
  /** Its first key; undefined for the first leaf. */
  readonly from?: Key;
  /** The first key behind it; undefined for the last leaf. */
  readonly to?: Key;
  readonly doubt?: string;
  readonly lost?: string;
  /** Logical place of what is wrong. */
  readonly place: number;
}

/** Keys of which nothing is known. */
export interface Lost {
  readonly lost: string;
  readonly place: number;
  /** Some of them were read: their node is damaged, and may have lost any of its items. */
  readonly isPart?: true;
}

const LEVELS = 8;
/** Leaves that one question walks through at most. */
const MAX_LEAVES = 8_000_000;

export class Tree {
  readonly id: number;
  readonly nodes: Nodes;
  readonly root: Pointer;
  /** Why all of it is doubted, where it is. */
  readonly doubt: string | undefined;

  constructor(id: number, nodes: Nodes, root: Pointer, doubt?: string) {
    this.id = id;
    this.nodes = nodes;
    this.root = root;
    this.doubt = doubt;
  }

  /** The leaf that would hold `key`. */
  async leaf(key: Key): Promise<Leaf> {
    let pointer = this.root;
    let from: Key | undefined;
    let to: Key | undefined;
    let doubt: string | undefined;
    for (let depth = 0; depth <= LEVELS; depth++) {
      const node = await this.nodes.get(pointer);
      const { place } = pointer;
      const sides = { ...(from && { from }), ...(to && { to }), place };
      if (node === undefined) return { ...sides, lost: 'btrfs.node.lost' };
      doubt ??= node.doubt;
      // What is wrong with a node counts more than what is doubted of all of them.
      const said = doubt ?? this.doubt;
      if (node.level === 0) return { ...sides, node, ...(said !== undefined && { doubt: said }) };
      if (node.n === 0) return { ...sides, lost: 'btrfs.node.empty' };
      const i = Math.max(0, indexOf(node, key));
      const own = keyOf(node, i);
      // Keys of a damaged node may be in any order: what a leaf stands for always holds the key that was asked for.
      const isBefore = compare(own, key) <= 0;
      if (isBefore && (from === undefined ? i > 0 : compare(own, from) > 0)) from = own;
      const next = i + 1 < node.n ? keyOf(node, i + 1) : undefined;
      const isBehind = next !== undefined && compare(next, key) > 0;
      if (isBehind && (to === undefined || compare(next, to) < 0)) to = next;
      const view = viewOf(node.bytes);
      const at = nodeHeader.size + i * BRANCH_ENTRY + KEY_BYTES;
      pointer = { place: readU64(view, at), generation: readU64(view, at + 8), level: node.level - 1 };
    }
    return { lost: 'btrfs.node.depth', place: pointer.place };
  }

  /** All items from `first` to `last`, in order, and what of that cannot be read. */
  async *items(first: Key, last: Key): AsyncGenerator<Item | Lost> {
    let key = first;
    for (let count = 0; count < MAX_LEAVES; count++) {
      const leaf = await this.leaf(key);
      if (leaf.lost !== undefined) yield { lost: leaf.lost, place: leaf.place };
      else yield* itemsOf(leaf, key, last);
      if (leaf.doubt !== undefined && leaf.doubt !== this.doubt)
        yield { lost: leaf.doubt, place: leaf.place, isPart: true };
      // Keys only grow, whatever nodes say.
      if (leaf.to === undefined || compare(leaf.to, last) > 0 || compare(leaf.to, key) <= 0) return;
      key = leaf.to;
    }
    yield { lost: 'btrfs.tree.size', place: this.root.place };
  }

  /** The first item of that object and type, from `offset` on; undefined where there is none. */
  async first(objectid: number, type: number, offset = 0, last = Number.POSITIVE_INFINITY): Promise<Item | undefined> {
    for await (const item of this.items({ objectid, type, offset }, { objectid, type, offset: last }))
      if (!('lost' in item)) return item;
    return undefined;
  }

  /** All items of that object and type. */
  of(objectid: number, type: number): AsyncGenerator<Item | Lost> {
    return this.items({ objectid, type, offset: 0 }, { objectid, type, offset: Number.POSITIVE_INFINITY });
  }
}

/** The items of a leaf from `first` to `last`. Those that lie outside of it, or outside of its keys, are lost. */
export function* itemsOf(leaf: Leaf, first: Key, last: Key): Generator<Item | Lost> {
  const node = leaf.node!;
  const view = viewOf(node.bytes);
  for (let i = 0; i < node.n; i++) {
    const key = keyOf(node, i);
    if (compare(key, first) < 0 || compare(key, last) > 0) continue;
    if (leaf.to !== undefined && compare(key, leaf.to) >= 0) continue;
    const entry = nodeHeader.size + i * LEAF_ENTRY + KEY_BYTES;
    const at = nodeHeader.size + view.getUint32(entry, true);
    const size = view.getUint32(entry + 4, true);
    if (at < nodeHeader.size + node.n * LEAF_ENTRY || at + size > node.bytes.length)
      yield { lost: 'btrfs.item', place: node.place };
    else yield { ...key, node, at, size, ...(leaf.doubt !== undefined && { doubt: leaf.doubt }) };
  }
}

export function keyOf(node: TreeNode, i: number): Key {
  return { objectid: node.objectid[i], type: node.type[i], offset: node.offset[i] };
}

function compare(a: Key, b: Key): number {
  if (a.objectid !== b.objectid) return a.objectid < b.objectid ? -1 : 1;
  if (a.type !== b.type) return a.type - b.type;
  return a.offset === b.offset ? 0 : a.offset < b.offset ? -1 : 1;
}

/** The last i whose key is at or before `key`; -1 where all are behind it. */
function indexOf(node: TreeNode, key: Key): number {
  let low = -1;
  let high = node.n;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (compare(keyOf(node, middle), key) <= 0) low = middle;
    else high = middle;
  }
  return low;
}
