/**
 * What a set of files holds. A block that a live file claims holds its bytes, whatever a deleted file's pointers say;
 * of two that are gone and claim one block, at least one is wrong.
 * Live is what the root directory leads to, not what a bitmap says. Source: vmfs.md sections 4.3 and 8.7.
 */
import { clusterOf, FILE_BLOCK, fileBlockAt, LARGE_BLOCK, resourceOf, typeOf } from './address.ts';
import { levelsOf } from './blocks.ts';
import type { Descriptor } from './descriptor.ts';
import type { Geometry } from './geometry.ts';
import { Owners } from './residue-owners.ts';
import { TYPE_RDM } from './structs.ts';
import type { Volume } from './volume.ts';

/** File blocks of one page of bits; pages exist only where something is claimed. */
const PAGE_BLOCKS = 1 << 16;

/** File blocks by their numbers, a bit each. */
class Blocks {
  readonly #pages = new Map<number, Uint8Array>();

  has(number: number): boolean {
    const page = this.#pages.get(Math.floor(number / PAGE_BLOCKS));
    const bit = number % PAGE_BLOCKS;
    return page !== undefined && (page[bit >>> 3] & (1 << (bit & 7))) !== 0;
  }

  add(number: number): void {
    const page = Math.floor(number / PAGE_BLOCKS);
    let bits = this.#pages.get(page);
    if (bits === undefined) {
      bits = new Uint8Array(PAGE_BLOCKS / 8);
      this.#pages.set(page, bits);
    }
    const bit = number % PAGE_BLOCKS;
    bits[bit >>> 3] |= 1 << (bit & 7);
  }
}

export class FileClaims {
  readonly #g: Geometry;
  readonly #once = new Blocks();
  readonly #twice = new Blocks();
  readonly #large = new Set<number>();
  /** Sub-blocks and pointer blocks. */
  readonly #resources = new Set<number>();
  readonly #resourcesTwice = new Set<number>();

  /** Who holds what; kept for live files only. */
  readonly #owners: Owners | undefined;
  readonly #resourceOwners = new Map<number, number>();
  #adding = 0;

  /** `named`: whether it is to be known which file holds a block. */
  constructor(g: Geometry, named = false) {
    this.#g = g;
    this.#owners = named ? new Owners() : undefined;
  }

  /** Descriptor address of the file that holds the block which starts at this byte of the volume. */
  ownerOf(start: number): number | undefined {
    return this.#owners?.of(Math.floor(start / this.#g.blockSize));
  }

  /** Descriptor address of the file that holds this sub-block or pointer block. */
  ownerOfResource(low: number, high: number): number | undefined {
    return this.#resourceOwners.get(this.#key(low, high));
  }

  /** Enters all that a descriptor points to. */
  async add(volume: Volume, fd: Descriptor): Promise<void> {
    const levels = levelsOf(fd.zla);
    this.#adding = fd.address;
    if (levels !== undefined && fd.type !== TYPE_RDM) await this.addTable(volume, fd.pointers, levels);
  }

  /** Whether one of these files claims the file block that starts at this byte of the volume. */
  block(start: number): boolean {
    return this.#once.has(Math.floor(start / this.#g.blockSize));
  }

  /** Whether two of these files claim the block. */
  blockTwice(start: number): boolean {
    return this.#twice.has(Math.floor(start / this.#g.blockSize));
  }

  /** Whether two of these files claim this sub-block or pointer block. */
  resourceTwice(low: number, high: number): boolean {
    return this.#resourcesTwice.has(this.#key(low, high));
  }

  /** Whether one of these files claims this sub-block or pointer block. */
  resource(low: number, high: number): boolean {
    return this.#resources.has(this.#key(low, high));
  }

  /** Enters all that pointers lead to, and themselves. */
  async addTable(volume: Volume, words: Uint32Array, levels: number): Promise<void> {
    const step = this.#g.pointerWords;
    for (let i = 0; i < words.length; i += step) {
      const low = words[i];
      const high = step === 2 ? words[i + 1] : 0;
      if (low === 0 && high === 0) continue;
      this.#claim(low, high);
      if (levels === 0) continue;
      const table = await volume.tables.load(low, high);
      if (table !== undefined) await this.addTable(volume, table.words, levels - 1);
    }
  }

  #claim(low: number, high: number): void {
    const type = typeOf(low);
    const first = fileBlockAt(this.#g, low, high) / this.#g.blockSize;
    if (type === FILE_BLOCK) this.#claimBlock(first);
    else if (type === LARGE_BLOCK && this.#g.version === 6) {
      // Each of its 512 slots names a large block again.
      if (this.#large.has(first)) return;
      this.#large.add(first);
      for (let i = 0; i < this.#g.blocksPerCluster; i++) this.#claimBlock(first + i);
    } else {
      const key = this.#key(low, high);
      if (this.#resources.has(key)) this.#resourcesTwice.add(key);
      this.#resources.add(key);
      if (this.#owners !== undefined && !this.#resourceOwners.has(key)) this.#resourceOwners.set(key, this.#adding);
    }
  }

  #claimBlock(number: number): void {
    if (this.#once.has(number)) this.#twice.add(number);
    else {
      this.#once.add(number);
      this.#owners?.add(number, this.#adding);
    }
  }

  #key(low: number, high: number): number {
    return (clusterOf(this.#g, low, high) * 1024 + resourceOf(this.#g, low, high)) * 8 + typeOf(low);
  }
}
