/** The $MFT: all file records of a volume, read in pages. */
import type { Gap, Source } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import type { Fixup } from './fixup.ts';
import { decodeRecord, type FileRecord, fixedIn, isInUse, isRecord, withDoubts } from './record.ts';
import type { Extents } from './runs.ts';

/** Bytes of records read at once for one of them, and when all are read. */
const PAGE = 64 * 1024;
const BLOCK = 1024 * 1024;

interface Page {
  readonly bytes: Uint8Array;
  /** What decoding found out when it put back bytes in place, which is done once; by the record's place in the page. */
  readonly fixed: (Fixup | undefined)[];
  readonly gaps: readonly Gap[];
}

export interface Table {
  /** Bytes of $MFT, where they lie, and of a record. */
  readonly source: Source;
  readonly extents: Extents;
  readonly cluster: number;
  readonly record: number;
  /** Records that were read elsewhere, because they could not be read in their places. */
  readonly copies: ReadonlyMap<number, FileRecord>;
  /** Bytes of the volume as far as it is there: the table is not larger than that, whatever it says. */
  readonly most: number;
  /** Which records are in use; absent where nothing says so. */
  readonly bitmap?: Source | undefined;
}

export class Records {
  readonly #table: Table;
  readonly #pages = new TableCache<Page>();
  #bits: Uint8Array | undefined;
  #hasBits = false;
  /** Records that there is room for. */
  readonly count: number;

  constructor(table: Table) {
    this.#table = table;
    this.count = Math.floor(Math.min(table.source.size, table.most) / table.record);
  }

  /** A record as it stands in its place, in use or not; undefined where there is none or it cannot be read. */
  async raw(number: number): Promise<FileRecord | undefined> {
    if (!(number >= 0 && number < this.count)) return undefined;
    const copy = this.#table.copies.get(number);
    if (copy !== undefined) return copy;
    const base = this.#pageOf(number);
    return this.#decode(number, base, this.#pages.get(base) ?? (await this.#read(base)));
  }

  /** A record that is in use, with what is doubtful about it; undefined where there is none. */
  async get(number: number): Promise<FileRecord | undefined> {
    const found = await this.raw(number);
    if (found === undefined || !isInUse(found)) return undefined;
    if (!this.#hasBits) await this.#loadBits();
    return this.#judged(found);
  }

  /** Several records that are in use, each page of which is read once. */
  async many(numbers: readonly number[]): Promise<Map<number, FileRecord>> {
    const out = new Map<number, FileRecord>();
    if (!this.#hasBits) await this.#loadBits();
    let base = -1;
    let page: Page | undefined;
    let before = -1;
    for (const number of Float64Array.from(numbers).sort()) {
      if (number >= this.count || number === before) continue;
      before = number;
      const copy = this.#table.copies.get(number);
      // In order, so that records of one page follow each other.
      if (page === undefined || this.#pageOf(number) !== base) {
        base = this.#pageOf(number);
        page = this.#pages.get(base) ?? (await this.#read(base));
      }
      const found = copy ?? this.#decode(number, base, page);
      if (found !== undefined && isInUse(found)) out.set(number, this.#judged(found));
    }
    return out;
  }

  /** All records of the table in order, in use or not, in blocks. */
  async *all(signal: AbortSignal): AsyncGenerator<FileRecord[]> {
    const { record: size, source, copies } = this.#table;
    for (let at = 0; at < this.count * size && !signal.aborted; at += BLOCK) {
      const bytes = new Uint8Array(Math.min(BLOCK, this.count * size - at));
      const page = { bytes, gaps: await source.read(at, bytes), fixed: [] };
      const out: FileRecord[] = [];
      for (let number = at / size; number * size < at + bytes.length; number++) {
        const found = copies.get(number) ?? this.#decode(number, at, page);
        if (found !== undefined) out.push(found);
      }
      yield out;
    }
  }

  /** Where a record stands, in bytes from the start of the volume; -1 where that is not known. */
  place(number: number): number {
    const { extents, cluster, record } = this.#table;
    const at = number * record;
    const vcn = Math.floor(at / cluster);
    const i = extents.indexOf(vcn);
    if (i < 0 || vcn >= extents.end || extents.lcn[i] < 0) return -1;
    return (extents.lcn[i] - extents.vcn[i]) * cluster + at;
  }

  #judged(found: FileRecord): FileRecord {
    const { number } = found;
    const byte = this.#bits?.[number >>> 3];
    if (byte === undefined || (byte & (1 << (number & 7))) !== 0) return found;
    const expected = `record ${number} in use`;
    return withDoubts(found, [{ at: found.place, code: 'ntfs.record.free', expected, actual: 'free in its bitmap' }]);
  }

  async #loadBits(): Promise<void> {
    this.#hasBits = true;
    const { bitmap } = this.#table;
    if (bitmap === undefined) return;
    const bits = new Uint8Array(Math.min(bitmap.size, Math.ceil(this.count / 8)));
    if ((await bitmap.read(0, bits)).length === 0) this.#bits = bits;
  }

  #pageOf(number: number): number {
    const at = number * this.#table.record;
    return at - (at % PAGE);
  }

  #decode(number: number, base: number, page: Page): FileRecord | undefined {
    const { record: size, source } = this.#table;
    const at = number * size;
    if (page.gaps.length > 0 && page.gaps.some((gap) => gap.offset < at + size && gap.offset + gap.length > at))
      return undefined;
    const inner = at - base;
    const { bytes } = page;
    if (!isRecord(bytes, inner)) return undefined;
    const i = inner / size;
    const own = bytes.subarray(inner, inner + size);
    page.fixed[i] ??= fixedIn(own);
    return decodeRecord(own, number, { source, at, place: this.place(number) }, page.fixed[i]);
  }

  async #read(base: number): Promise<Page> {
    // A read fills all of it, with zeros where it must.
    const bytes = Buffer.allocUnsafeSlow(Math.min(PAGE, this.count * this.#table.record - base));
    const page = { bytes, gaps: await this.#table.source.read(base, bytes), fixed: [] };
    this.#pages.set(base, page, bytes.length);
    return page;
  }
}
