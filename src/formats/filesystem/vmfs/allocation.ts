/** What the volume's own bitmaps say of file blocks: read where a file is, not all at once. vmfs.md section 6.2. */
import { TableCache } from '../../../core/tables.ts';
import { LARGE_BLOCK } from './address.ts';
import { type Bitmap, decode35, decodeSmallBlocks } from './bitmaps.ts';
import type { Geometry } from './geometry.ts';
import type { ResourceFiles } from './tables.ts';

export const UNREAD = 'unread';

/** Cluster headers read at once: a group of VMFS5, 128 KiB of VMFS6. */
const HEADERS_35 = 64;
const HEADERS_6 = 8;

/** Bitmaps of clusters that lie side by side; undefined where one does not check. */
type Page = readonly (Bitmap | undefined)[];

export class Allocation {
  readonly #g: Geometry;
  readonly #files: ResourceFiles;
  readonly #pages = new TableCache<Page>();
  /** The page asked last: pointers of a file mostly stay in one. */
  #number = -1;
  #page: Page = [];

  constructor(g: Geometry, files: ResourceFiles) {
    this.#g = g;
    this.#files = files;
  }

  /** 'vmfs.not-allocated', undefined where nothing speaks against the block, or UNREAD where load has to come first. */
  verdict(type: number, start: number): string | undefined {
    const place = this.#placeOf(start);
    if (place === undefined || type === LARGE_BLOCK) return undefined;
    if (place.page !== this.#number) {
      const page = this.#pages.get(place.page);
      if (page === undefined) return UNREAD;
      this.#number = place.page;
      this.#page = page;
    }
    const bitmap = this.#page[place.inPage];
    if (bitmap === undefined || place.resource >= bitmap.total) return undefined;
    return bitmap.allocated(place.resource) ? undefined : 'vmfs.not-allocated';
  }

  /** Whether the block that holds the byte `at` of the volume is free; undefined where no bitmap that checks speaks of it. */
  async isFree(at: number): Promise<boolean | undefined> {
    await this.load(at);
    const place = this.#placeOf(at);
    const bitmap = place && this.#pages.get(place.page)?.[place.inPage];
    return place === undefined || bitmap === undefined || place.resource >= bitmap.total
      ? undefined
      : !bitmap.allocated(place.resource);
  }

  /** Reads the bitmaps that speak of the block at `start` of the volume. */
  async load(start: number): Promise<void> {
    const place = this.#placeOf(start);
    if (place === undefined || this.#pages.get(place.page) !== undefined) return;
    const { source } = this.#files.fbb!;
    const headerBytes = this.#g.clusterHeaderBytes;
    const count = this.#pageSize();
    const first = place.page * count;
    const at = this.#headerAt(first);
    const block = new Uint8Array(Math.max(0, Math.min(count * headerBytes, source.size - at)));
    const gaps = block.length === 0 ? [] : await source.read(at, block);
    const decode = this.#g.version === 6 ? decodeSmallBlocks : decode35;
    const page: (Bitmap | undefined)[] = [];
    for (let i = 0; (i + 1) * headerBytes <= block.length; i++) {
      const bitmap = gaps.length > 0 ? undefined : decode(block, i * headerBytes, this.#g.lockBytes);
      page.push(bitmap?.cluster === first + i ? bitmap : undefined);
    }
    this.#pages.set(place.page, page, block.length);
  }

  #pageSize(): number {
    if (this.#g.version === 6) return HEADERS_6;
    return Math.min(HEADERS_35, this.#files.fbb!.header.clustersPerGroup);
  }

  /** Undefined where the volume has no bitmaps that can be believed. */
  #placeOf(start: number): { page: number; inPage: number; resource: number } | undefined {
    const fbb = this.#files.fbb;
    if (fbb === undefined || !fbb.sound || !(start >= 0)) return undefined;
    const perCluster = this.#g.version === 6 ? this.#g.blocksPerCluster : fbb.header.perCluster;
    if (perCluster === 0) return undefined;
    const block = Math.floor(start / this.#g.blockSize);
    const cluster = Math.floor(block / perCluster);
    const size = this.#pageSize();
    return { page: Math.floor(cluster / size), inPage: cluster % size, resource: block % perCluster };
  }

  /** Small-block clusters of VMFS6 are the resources of its large-block clusters: their headers are data there. */
  #headerAt(cluster: number): number {
    const fbb = this.#files.fbb!;
    if (this.#g.version !== 6) return fbb.clusterAt(cluster);
    const { perCluster, clustersPerGroup, groupOffset, groupSize } = fbb.header;
    const perGroup = perCluster * clustersPerGroup;
    const inGroup = (clustersPerGroup + (cluster % perGroup)) * this.#g.clusterHeaderBytes;
    return groupOffset + Math.floor(cluster / perGroup) * groupSize + inGroup;
  }
}
