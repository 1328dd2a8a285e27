/** Which clusters are in use, by $Bitmap, and which ones two files claim. */
import type { Source } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';

/** Clusters of one page of bits. */
export const PAGE_CLUSTERS: number = 8 * 65_536;

/** Bits of a page; undefined where it cannot be read. */
type Bits = Uint8Array | undefined;

export class ClusterBitmap {
  readonly #source: Source | undefined;
  readonly #pages = new TableCache<{ readonly bits: Bits }>();

  /** `source` holds the bits, lowest of each byte first; absent where they are lost. */
  constructor(source: Source | undefined) {
    this.#source = source;
  }

  /** The page that holds a cluster's bit, if it was loaded. */
  page(cluster: number): { readonly bits: Bits } | undefined {
    return this.#pages.get(Math.floor(cluster / PAGE_CLUSTERS));
  }

  /** Whether a cluster is free; undefined where its bit cannot be read. */
  async isFree(cluster: number): Promise<boolean | undefined> {
    const { bits } = this.page(cluster) ?? (await this.load(cluster));
    const used = bitAt(bits, cluster % PAGE_CLUSTERS);
    return used === undefined ? undefined : !used;
  }

  /** Loads the page that holds a cluster's bit. */
  async load(cluster: number): Promise<{ readonly bits: Bits }> {
    const number = Math.floor(cluster / PAGE_CLUSTERS);
    const at = (number * PAGE_CLUSTERS) / 8;
    const length = Math.min(PAGE_CLUSTERS / 8, (this.#source?.size ?? 0) - at);
    let bits: Bits = length > 0 ? new Uint8Array(length) : undefined;
    if (bits !== undefined && (await this.#source!.read(at, bits)).length > 0) bits = undefined;
    const page = { bits };
    this.#pages.set(number, page, (bits?.length ?? 0) + 64);
    return page;
  }
}

/** Whether a bit is set; undefined where there is none. */
export function bitAt(bits: Bits, i: number): boolean | undefined {
  return bits === undefined || i >>> 3 >= bits.length ? undefined : (bits[i >>> 3] & (1 << (i & 7))) !== 0;
}

/** The end of the bits from `from` on that are as that one is, at most `end`. */
export function sameUntil(bits: Bits, from: number, end: number): number {
  const first = bitAt(bits, from);
  if (bits === undefined || first === undefined) return end;
  const whole = first ? 0xff : 0;
  let i = from + 1;
  while (i < end) {
    if ((i & 7) === 0 && bits[i >>> 3] === whole) i += 8;
    else if (bitAt(bits, i) === first) i++;
    else break;
  }
  return Math.min(i, end);
}

/** Clusters by how often something claims them, in pages that exist only where something does. */
export class Claims {
  readonly #clusters: number;
  readonly #once: (Uint8Array | undefined)[] = [];
  readonly #twice: (Uint8Array | undefined)[] = [];
  #left: number;

  constructor(clusters: number) {
    this.#clusters = clusters;
    // Sound volumes claim each cluster once; what goes on and on is not followed to its end.
    this.#left = 2 * clusters + PAGE_CLUSTERS;
  }

  /** More was claimed than a volume has, several times over: nothing can be told apart. */
  get isHopeless(): boolean {
    return this.#left < 0;
  }

  /** Enters `length` clusters from `start` on. */
  add(start: number, length: number): void {
    const end = Math.min(start + length, this.#clusters);
    this.#left -= Math.max(0, end - start);
    if (this.#left < 0) return;
    for (let at = start; at < end; ) {
      const n = Math.floor(at / PAGE_CLUSTERS);
      const stop = Math.min(end, (n + 1) * PAGE_CLUSTERS);
      this.#once[n] ??= new Uint8Array(PAGE_CLUSTERS / 8);
      this.#enter(this.#once[n], n, at - n * PAGE_CLUSTERS, stop - n * PAGE_CLUSTERS);
      at = stop;
    }
  }

  /** The page of bits of the clusters claimed more than once; undefined where there are none. */
  page(cluster: number): Bits {
    return this.#twice[Math.floor(cluster / PAGE_CLUSTERS)];
  }

  #enter(once: Uint8Array, page: number, from: number, end: number): void {
    for (let i = from; i < end; ) {
      const isWhole = (i & 7) === 0 && end - i >= 8;
      const mask = isWhole ? 0xff : 1 << (i & 7);
      const both = once[i >>> 3] & mask;
      if (both !== 0) {
        this.#twice[page] ??= new Uint8Array(PAGE_CLUSTERS / 8);
        this.#twice[page][i >>> 3] |= both;
      }
      once[i >>> 3] |= mask;
      i += isWhole ? 8 : 1;
    }
  }
}
