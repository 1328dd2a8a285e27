/** QCOW2 version 3 with compressed clusters. Source: qcow2.md sections 1 to 4. */
import type { Packer, Packing, PackOptions, Placed } from '../../../core/packer.ts';
import { viewOf } from '../../../core/struct.ts';
import { CLUSTER, COPIED, checkSize, ENTRIES, header, pointers, put } from './qcow2.ts';

const SECTOR = 512;
/** Refcounts of 16 bits in one cluster. */
const COUNTS: number = CLUSTER / 2;
const COMPRESSED = 0x40000000;
/** Bits of a compressed cluster's place; the sectors that it reaches into stand above them. */
const PLACE_BITS = 54;
/** The place is in the low bits of the upper word, then the sectors. */
const SECTORS_SHIFT: number = PLACE_BITS - 32;
/** A cluster counts no more compressed ones than its refcount can say. */
const MAX_SHARED = 65535;

export const qcow2Packer: Packer = {
  variants: ['qcow2-zlib', 'qcow2-zstd'],
  unit: () => CLUSTER,
  pack: (options) => new Packed(options),
};

class Packed implements Packing {
  readonly method: 'deflate-4k' | 'zstd';
  /** One sector has to be saved, or reading gets slower for nothing. */
  readonly worth: number = CLUSTER - SECTOR;
  readonly #disk: number;
  readonly #l1: Float64Array;
  /** Refcounts, a cluster of them at a time. */
  readonly #counts: Uint8Array[] = [];
  /** First cluster that nothing lies in yet; the header has the first. */
  #free = 1;
  /** Where the next compressed cluster goes, and the end of the clusters that are its. */
  #at = 0;
  #end = 0;
  /** The table under way, and which one it is. */
  #table = new Uint8Array(CLUSTER);
  #current = -1;

  constructor({ variant, size }: PackOptions) {
    this.method = variant.endsWith('zstd') ? 'zstd' : 'deflate-4k';
    this.#disk = size;
    this.#l1 = new Float64Array(checkSize(size));
    this.#count(0);
  }

  get size(): number {
    return this.#free * CLUSTER;
  }

  add(unit: number, bytes: Uint8Array, isPacked: boolean): readonly Placed[] {
    const out: Placed[] = [];
    const table = Math.floor(unit / ENTRIES);
    if (table !== this.#current) out.push(...this.#closeTable());
    this.#current = table;
    const entry = (unit % ENTRIES) * 8;
    const view = viewOf(this.#table);
    const at = isPacked ? this.#shared(bytes.length) : this.#take(1);
    if (isPacked) {
      const sectors = Math.floor((at + bytes.length - 1) / SECTOR) - Math.floor(at / SECTOR);
      put(view, entry, at, (COMPRESSED | (sectors << SECTORS_SHIFT)) >>> 0);
    } else put(view, entry, at, COPIED);
    out.push({ at, bytes });
    return out;
  }

  *finish(): Iterable<Placed> {
    yield* this.#closeTable();
    const l1At = this.#take(Math.max(1, Math.ceil((this.#l1.length * 8) / CLUSTER)));
    yield { at: l1At, bytes: pointers(this.#l1.length, (i) => this.#l1[i], COPIED) };
    // Refcounts count the clusters that they lie in, too.
    let blocks = 0;
    let tables = 0;
    for (;;) {
      const wanted = Math.ceil((this.#free + blocks + tables) / COUNTS);
      const wide = Math.ceil(wanted / ENTRIES);
      if (wanted <= blocks && wide <= tables) break;
      blocks = Math.max(blocks, wanted);
      tables = Math.max(tables, wide);
    }
    const blocksAt = this.#take(blocks);
    const tableAt = this.#take(tables);
    while (this.#counts.length < blocks) this.#counts.push(new Uint8Array(CLUSTER));
    for (let i = 0; i < blocks; i++) yield { at: blocksAt + i * CLUSTER, bytes: this.#counts[i] };
    const wide = pointers(tables * ENTRIES, (i) => (i < blocks ? blocksAt + i * CLUSTER : 0), 0);
    yield { at: tableAt, bytes: wide };
    const type = this.method === 'zstd' ? 1 : 0;
    yield { at: 0, bytes: header(this.#disk, this.#l1.length, l1At, tables, tableAt, type) };
  }

  #closeTable(): Placed[] {
    if (this.#current < 0) return [];
    const at = this.#take(1);
    this.#l1[this.#current] = at;
    const bytes = this.#table;
    this.#table = new Uint8Array(CLUSTER);
    return [{ at, bytes }];
  }

  /** Room of clusters of their own. */
  #take(clusters: number): number {
    const at = this.#free * CLUSTER;
    for (let i = 0; i < clusters; i++) this.#count(this.#free + i);
    this.#free += clusters;
    return at;
  }

  /** Room of `length` bytes in clusters that compressed ones share; each counts all that reach into it. */
  #shared(length: number): number {
    const isFull = this.#at < this.#end && this.#countOf(Math.floor(this.#at / CLUSTER)) >= MAX_SHARED;
    const isNext = this.#end === this.#free * CLUSTER;
    if (isFull || (this.#at + length > this.#end && !isNext)) {
      this.#at = this.#free * CLUSTER;
      this.#end = this.#at;
    }
    while (this.#at + length > this.#end) {
      this.#free++;
      this.#end += CLUSTER;
    }
    const at = this.#at;
    for (let i = Math.floor(at / CLUSTER); i * CLUSTER < at + length; i++) this.#count(i);
    this.#at += length;
    return at;
  }

  #countOf(cluster: number): number {
    const block = this.#counts[Math.floor(cluster / COUNTS)];
    const at = (cluster % COUNTS) * 2;
    return block === undefined ? 0 : block[at] * 256 + block[at + 1];
  }

  #count(cluster: number): void {
    const i = Math.floor(cluster / COUNTS);
    while (this.#counts.length <= i) this.#counts.push(new Uint8Array(CLUSTER));
    const now = this.#countOf(cluster) + 1;
    const at = (cluster % COUNTS) * 2;
    this.#counts[i][at] = now >>> 8;
    this.#counts[i][at + 1] = now & 0xff;
  }
}
