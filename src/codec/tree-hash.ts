/**
 * Tree hash: a BLAKE3 tree over 4 MiB chunks.
 *
 *   leaf   = BLAKE3(chunk); the last chunk may be short
 *   parent = BLAKE3(left ‖ right); left holds the largest power of two of leaves below the number under the parent
 *   root   = BLAKE3("salvor-tree-1" ‖ u64le size ‖ top); an empty file's top is BLAKE3("")
 *
 * That is the shape of RFC 6962, so it grows from left to right with one hash kept per set bit of the number of
 * leaves. Stretches of zeros cost O(log n): trees of nothing but zero chunks are known in advance.
 */
import { blake3 } from './blake3.ts';

/** Bytes under one leaf. */
export const CHUNK: number = 4 * 1024 * 1024;
const PREFIX = Buffer.from('salvor-tree-1', 'latin1');

/** Tops of complete trees of zero chunks, by height: 1, 2, 4 … chunks. */
const zeroTops: Uint8Array[] = [];

function zeroTop(height: number): Uint8Array {
  if (zeroTops.length === 0) zeroTops.push(blake3(new Uint8Array(CHUNK)));
  while (zeroTops.length <= height) zeroTops.push(parent(zeroTops.at(-1)!, zeroTops.at(-1)!));
  return zeroTops[height];
}

/** The leaf of a full chunk of zeros. */
export function zeroLeaf(): Uint8Array {
  return zeroTop(0);
}

/** Leaves of a file of `size` bytes. */
export function leavesOf(size: number): number {
  return Math.ceil(size / CHUNK);
}

/** One leaf, or a number of zero chunks in a row, as they were taken in order. */
export type Taken = Uint8Array | number;

/** Takes leaves in any order, as long as few are in flight, and gives the root at the end. */
export class TreeHash {
  readonly #size: number;
  readonly #leaves: number;
  /** Complete trees, highest first: one for each set bit of `taken`. */
  #tops: { height: number; hash: Uint8Array }[] = [];
  #taken = 0;
  /** What came before its turn, by the index of its first leaf. */
  readonly #early = new Map<number, Taken>();
  readonly #onTaken: ((leaf: Taken, index: number) => void) | undefined;

  /** `size` in bytes. `onTaken` hears of leaves in the order of the file. */
  constructor(size: number, onTaken?: (leaf: Taken, index: number) => void) {
    this.#size = size;
    this.#leaves = leavesOf(size);
    this.#onTaken = onTaken;
  }

  /** Leaves taken in order so far. */
  get taken(): number {
    return this.#taken;
  }

  /** The state after `taken` leaves, for `restore`. */
  tops(): readonly Uint8Array[] {
    return this.#tops.map((top) => top.hash);
  }

  /** Goes on where another tree was after `taken` leaves. Answers false, and changes nothing, where that cannot be. */
  restore(taken: number, tops: readonly Uint8Array[]): boolean {
    const heights: number[] = [];
    for (let height = 52; height >= 0; height--) if (Math.floor(taken / 2 ** height) % 2 === 1) heights.push(height);
    if (taken > this.#leaves || heights.length !== tops.length || tops.some((top) => top.length !== 32)) return false;
    this.#tops = heights.map((height, i) => ({ height, hash: tops[i] }));
    this.#taken = taken;
    return true;
  }

  /** The hash of chunk `index`. */
  leaf(index: number, hash: Uint8Array): void {
    this.#arrived(index, hash);
  }

  /** `count` chunks of zeros from chunk `index` on; the last one of the file may be short. */
  zeros(index: number, count: number): void {
    this.#arrived(index, count);
  }

  /** The root, in hex. Throws RangeError while leaves are missing. */
  root(): string {
    if (this.#taken !== this.#leaves) throw new RangeError(`${this.#taken} of ${this.#leaves} leaves were given`);
    let top = this.#tops.length === 0 ? blake3(new Uint8Array(0)) : this.#tops.at(-1)!.hash;
    for (let i = this.#tops.length - 2; i >= 0; i--) top = parent(this.#tops[i].hash, top);
    return rootOf(this.#size, top);
  }

  #arrived(index: number, leaf: Taken): void {
    if (index !== this.#taken) {
      if (index < this.#taken || this.#early.has(index)) throw new RangeError(`leaf ${index} was given twice`);
      this.#early.set(index, leaf);
      return;
    }
    this.#take(leaf);
    for (let next = this.#early.get(this.#taken); next !== undefined; next = this.#early.get(this.#taken)) {
      this.#early.delete(this.#taken);
      this.#take(next);
    }
  }

  #take(leaf: Taken): void {
    this.#onTaken?.(leaf, this.#taken);
    if (typeof leaf !== 'number') {
      this.#push(0, leaf);
      return;
    }
    const short = this.#size % CHUNK;
    const endsShort = short > 0 && this.#taken + leaf === this.#leaves;
    let left = endsShort ? leaf - 1 : leaf;
    while (left > 0) {
      let height = 0;
      while (2 ** (height + 1) <= left && this.#taken % 2 ** (height + 1) === 0) height++;
      this.#push(height, zeroTop(height));
      left -= 2 ** height;
    }
    if (endsShort) this.#push(0, blake3(new Uint8Array(short)));
  }

  #push(height: number, hash: Uint8Array): void {
    this.#taken += 2 ** height;
    let top = { height, hash };
    for (let last = this.#tops.at(-1); last !== undefined && last.height === top.height; last = this.#tops.at(-1)) {
      this.#tops.pop();
      top = { height: top.height + 1, hash: parent(last.hash, top.hash) };
    }
    this.#tops.push(top);
  }
}

/** The root of a file whose leaves are all at hand, in order. */
export function treeOf(size: number, leaves: readonly Uint8Array[]): string {
  const tree = new TreeHash(size);
  for (const [i, leaf] of leaves.entries()) tree.leaf(i, leaf);
  return tree.root();
}

function parent(left: Uint8Array, right: Uint8Array): Uint8Array {
  const both = new Uint8Array(64);
  both.set(left, 0);
  both.set(right, 32);
  return blake3(both);
}

function rootOf(size: number, top: Uint8Array): string {
  const bytes = Buffer.alloc(PREFIX.length + 8 + 32);
  PREFIX.copy(bytes);
  bytes.writeUInt32LE(size % 2 ** 32, PREFIX.length);
  bytes.writeUInt32LE(Math.floor(size / 2 ** 32), PREFIX.length + 4);
  bytes.set(top, PREFIX.length + 8);
  return Buffer.from(blake3(bytes)).toString('hex');
}
