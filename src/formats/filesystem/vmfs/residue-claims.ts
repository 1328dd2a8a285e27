/**
 * What live files hold: a block that one of them claims holds its bytes, whatever a deleted file's pointers say.
 * Live is what the root directory leads to, not what a bitmap says. Source: vmfs.md sections 4.3 and 8.7.
 */
import { clusterOf, FILE_BLOCK, fileBlockAt, LARGE_BLOCK, resourceOf, typeOf } from './address.ts';
import { levelsOf } from './blocks.ts';
import type { Descriptor } from './descriptor.ts';
import type { Geometry } from './geometry.ts';
import { TYPE_RDM } from './structs.ts';
import type { Volume } from './volume.ts';

/** File blocks of one page of bits; pages exist only where something is claimed. */
const PAGE_BLOCKS = 1 << 16;

export class LiveClaims {
  readonly #g: Geometry;
  readonly #pages = new Map<number, Uint8Array>();
  readonly #large = new Set<number>();
  /** Sub-blocks and pointer blocks. */
  readonly #resources = new Set<number>();

  constructor(g: Geometry) {
    this.#g = g;
  }

  /** Enters all that a live descriptor points to. */
  async add(volume: Volume, fd: Descriptor): Promise<void> {
    const levels = levelsOf(fd.zla);
    if (levels !== undefined && fd.type !== TYPE_RDM) await this.#addTable(volume, fd.pointers, levels);
  }

  /** Whether a live file claims the file block that starts at this byte of the volume. */
  block(start: number): boolean {
    const number = Math.floor(start / this.#g.blockSize);
    const page = this.#pages.get(Math.floor(number / PAGE_BLOCKS));
    const bit = number % PAGE_BLOCKS;
    return page !== undefined && (page[bit >>> 3] & (1 << (bit & 7))) !== 0;
  }

  /** Whether a live file claims this sub-block or pointer block. */
  resource(low: number, high: number): boolean {
    return this.#resources.has(this.#key(low, high));
  }

  async #addTable(volume: Volume, words: Uint32Array, levels: number): Promise<void> {
    const step = this.#g.pointerWords;
    for (let i = 0; i < words.length; i += step) {
      const low = words[i];
      const high = step === 2 ? words[i + 1] : 0;
      if (low === 0 && high === 0) continue;
      this.#claim(low, high);
      if (levels === 0) continue;
      const table = await volume.tables.load(low, high);
      if (table !== undefined) await this.#addTable(volume, table.words, levels - 1);
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
    } else this.#resources.add(this.#key(low, high));
  }

  #claimBlock(number: number): void {
    const page = Math.floor(number / PAGE_BLOCKS);
    let bits = this.#pages.get(page);
    if (bits === undefined) {
      bits = new Uint8Array(PAGE_BLOCKS / 8);
      this.#pages.set(page, bits);
    }
    const bit = number % PAGE_BLOCKS;
    bits[bit >>> 3] |= 1 << (bit & 7);
  }

  #key(low: number, high: number): number {
    return (clusterOf(this.#g, low, high) * 1024 + resourceOf(this.#g, low, high)) * 8 + typeOf(low);
  }
}
