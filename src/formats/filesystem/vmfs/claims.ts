/**
 * What all descriptors of a volume claim together: a pointer whose block a second one claims is not stated.
 * Taken once per volume, from metadata only. Source: vmfs.md section 8.9.
 */
import {
  clusterOf,
  FILE_BLOCK,
  fdNumbers,
  fileBlockAt,
  LARGE_BLOCK,
  resourceOf,
  SUB_BLOCK,
  typeOf,
} from './address.ts';
import type { Geometry } from './geometry.ts';

/** File blocks in one page of the claim bitmaps; pages exist only where something is claimed. */
const PAGE_BLOCKS = 1 << 16;

class Bitmap {
  readonly #pages = new Map<number, Uint8Array>();

  has(n: number): boolean {
    const page = this.#pages.get(Math.floor(n / PAGE_BLOCKS));
    const bit = n % PAGE_BLOCKS;
    return page !== undefined && (page[bit >>> 3] & (1 << (bit & 7))) !== 0;
  }

  add(n: number): void {
    const number = Math.floor(n / PAGE_BLOCKS);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new Uint8Array(PAGE_BLOCKS / 8);
      this.#pages.set(number, page);
    }
    const bit = n % PAGE_BLOCKS;
    page[bit >>> 3] |= 1 << (bit & 7);
  }
}

export class Claims {
  readonly #g: Geometry;
  readonly #once = new Bitmap();
  readonly #twice = new Bitmap();
  /** Large blocks and the descriptor that claims each. */
  readonly #large = new Map<number, number>();
  readonly #largeTwice = new Set<number>();
  readonly #resources = new Set<number>();
  readonly #resourcesTwice = new Set<number>();
  /** File blocks of system files that the bitmap calls free; other files are asked about where they are read. */
  readonly freeBlocks: Set<number> = new Set();
  /** The check that a descriptor fails against all other metadata, by its address. */
  readonly doubts: Map<number, string> = new Map();
  /** Clusters of descriptors that the bitmap calls free as a whole. */
  readonly emptyClusters: Set<number> = new Set();

  constructor(g: Geometry) {
    this.#g = g;
  }

  /** Enters one pointer of descriptor `owner`. */
  claim(owner: number, low: number, high: number): void {
    const type = typeOf(low);
    if (type === FILE_BLOCK) this.#claimBlock(fileBlockAt(this.#g, low, high) / this.#g.blockSize);
    else if (type === LARGE_BLOCK) this.#claimLarge(owner, fileBlockAt(this.#g, low, high) / this.#g.largeBlock);
    else {
      const key = this.#key(low, high);
      if (this.#resources.has(key)) this.#resourcesTwice.add(key);
      this.#resources.add(key);
    }
  }

  /** The check that a descriptor fails, or undefined. */
  descriptor(address: number): string | undefined {
    const numbers = fdNumbers(address);
    if (numbers !== undefined && this.emptyClusters.has(numbers.cluster)) return 'vmfs.fd.free';
    return this.doubts.get(address);
  }

  /** The check that a block at `start` of the volume fails, or undefined. */
  block(type: number, start: number): string | undefined {
    if (type === LARGE_BLOCK) {
      return this.#largeTwice.has(start / this.#g.largeBlock) ? 'vmfs.claimed-twice' : undefined;
    }
    const block = start / this.#g.blockSize;
    if (this.#twice.has(block)) return 'vmfs.claimed-twice';
    if (this.freeBlocks.has(block)) return 'vmfs.not-allocated';
    const inLarge = this.#g.version === 6 && this.#large.has(Math.floor(block / this.#g.blocksPerCluster));
    return inLarge ? 'vmfs.claimed-twice' : undefined;
  }

  /** The check that a sub-block or pointer block fails, or undefined. */
  resource(low: number, high: number): string | undefined {
    return this.#resourcesTwice.has(this.#key(low, high)) ? 'vmfs.claimed-twice' : undefined;
  }

  #claimBlock(block: number): void {
    if (this.#once.has(block)) this.#twice.add(block);
    else this.#once.add(block);
  }

  #claimLarge(owner: number, number: number): void {
    const known = this.#large.get(number);
    if (known === undefined) this.#large.set(number, owner);
    else if (known !== owner) this.#largeTwice.add(number);
  }

  #key(low: number, high: number): number {
    const kind = typeOf(low) === SUB_BLOCK ? 2 : typeOf(low);
    return (clusterOf(this.#g, low, high) * 1024 + resourceOf(this.#g, low, high)) * 8 + kind;
  }
}
