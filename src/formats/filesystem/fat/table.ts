/**
 * The file allocation table: for each cluster the one that follows it. Copies are compared entry by entry; pages of it
 * are read when they are asked for.
 */
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { TableCache } from '../../../core/tables.ts';

/** What an entry can be beside the number of a cluster, or 0 for free. */
export const LAST = 0xffffffff;
export const BAD = 0xfffffffe;
/** Its bytes cannot be read. */
export const UNREAD = 0xfffffffd;
/** The first cluster has this number. */
export const FIRST = 2;

/** Entries of a page: even, so that those of 12 bits begin at whole bytes. */
const PAGE = 16_384;

export type Width = 12 | 16 | 28 | 32;

export interface TablePlace {
  /** Bytes of the volume at which each copy starts. */
  readonly copies: readonly number[];
  readonly width: Width;
  /** Clusters that the volume has; the last one is clusters + 1. */
  readonly clusters: number;
}

interface Page {
  /** What the copies say, of which most are the same array. */
  readonly said: readonly Uint32Array[];
}

/** What the copies say of one cluster. */
interface Link {
  readonly next: number;
  /** They do not all say the same, or are not all there. */
  readonly differs: boolean;
}

export class Table {
  readonly #source: Source;
  readonly place: TablePlace;
  readonly #pages = new TableCache<Page>();

  constructor(source: Source, place: TablePlace) {
    this.#source = source;
    this.place = place;
  }

  /** What copy number `preferred` says, or another one where that makes no sense; undefined where it is not loaded. */
  link(cluster: number, preferred: number): Link | undefined {
    const page = this.#pages.get(Math.floor(cluster / PAGE));
    if (page === undefined) return undefined;
    const i = cluster % PAGE;
    const { said } = page;
    const next = said[preferred][i];
    const differs = said.some((copy) => copy[i] !== next);
    if (!differs || this.leads(next)) return { next, differs };
    const other = said.find((copy) => this.leads(copy[i]));
    return { next: other === undefined ? next : other[i], differs };
  }

  /** Whether no copy says that the cluster is in use; undefined where it is not loaded. */
  isFree(cluster: number): boolean | undefined {
    const page = this.#pages.get(Math.floor(cluster / PAGE));
    return page?.said.every((copy) => copy[cluster % PAGE] === 0);
  }

  /** Whether an entry belongs to a chain: it leads on, or ends it. */
  leads(next: number): boolean {
    return next === LAST || this.has(next);
  }

  /** Whether the volume has a cluster of this number. */
  has(cluster: number): boolean {
    return cluster >= FIRST && cluster < this.place.clusters + FIRST;
  }

  /** The first cluster of which no copy of the table has an entry in the source. */
  get end(): number {
    const { copies, width, clusters } = this.place;
    const entries = Math.ceil((this.#source.size - Math.min(...copies)) / bytesOf(width));
    return Math.max(FIRST, Math.min(clusters + FIRST, entries));
  }

  async load(cluster: number): Promise<void> {
    const key = Math.floor(cluster / PAGE);
    if (this.#pages.get(key) !== undefined) return;
    const first = key * PAGE;
    const count = Math.min(PAGE, this.place.clusters + FIRST - first);
    const said: Uint32Array[] = [];
    for (const at of this.place.copies) said.push(await this.#read(at, first, count));
    for (let n = 1; n < said.length; n++) if (sameEntries(said[0], said[n])) said[n] = said[0];
    this.#pages.set(key, { said }, new Set(said).size * count * 4);
  }

  async #read(at: number, first: number, count: number): Promise<Uint32Array> {
    const { width } = this.place;
    const perByte = bytesOf(width);
    const from = at + first * perByte;
    const raw = new Uint8Array(Math.ceil(count * perByte));
    const gaps = await this.#source.read(from, raw);
    const out = decode(raw, count, width);
    for (const { offset, length } of gaps) {
      const start = Math.max(0, Math.floor((offset - from) / perByte));
      out.fill(UNREAD, start, Math.min(count, Math.ceil((offset - from + length) / perByte)));
    }
    return out;
  }
}

/** Bytes of an entry. */
function bytesOf(width: Width): number {
  return width === 12 ? 1.5 : width === 16 ? 2 : 4;
}

function decode(raw: Uint8Array, count: number, width: Width): Uint32Array {
  const out = new Uint32Array(count);
  const view = viewOf(raw);
  const most = 2 ** width;
  for (let i = 0; i < count; i++) {
    let value: number;
    if (width === 16) value = view.getUint16(i * 2, true);
    else if (width === 12) {
      const at = (i * 3) >> 1;
      const pair = raw[at] | ((raw[at + 1] ?? 0) << 8);
      value = (i & 1) === 0 ? pair & 0xfff : pair >> 4;
    } else {
      value = view.getUint32(i * 4, true);
      // The upper four bits of FAT32 are not part of it.
      if (width === 28) value &= 0x0fffffff;
    }
    out[i] = value >= most - 8 ? LAST : value === most - 9 ? BAD : value;
  }
  return out;
}

function sameEntries(a: Uint32Array, b: Uint32Array): boolean {
  return a.every((value, i) => value === b[i]);
}
