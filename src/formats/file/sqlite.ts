/**
 * Tables of SQLite databases, row by row, from the pages that are live. Source: the published description of the
 * SQLite database file format. What a write-ahead log beside a database holds is not laid over it.
 */
import type { Source } from '../../core/source.ts';
import { struct, text, u8, viewOf } from '../../core/struct.ts';

const HEADER = struct('SQLite header', 100, { magic: text(0, 16), reserved: u8(20) });
const HEADER_BYTES = 100;
const INTERIOR = 5;
const LEAF = 13;
/** Pages of one table, rows of it, and bytes of one row that are read. */
const MAX_PAGES = 65_536;
const MAX_ROWS = 200_000;
const MAX_ROW = 4 * 1024 * 1024;
/** Bytes of all rows of a table; rows of their own are never more than the file has. */
const MAX_BYTES = 256 * 1024 * 1024;
const MAX_COLUMNS = 256;
/** What a page's cells leave to other pages when they are long, by the format's own formula. */
const MINIMUM = 32 / 255;

export type Cell = number | string | Uint8Array | null;

export interface Row {
  /** Its key, which stands for a column that is an integer primary key. */
  readonly id: number;
  readonly cells: readonly Cell[];
}

/** A database; what cannot be read in it is left out, and `faults` counts it. */
export class Database {
  readonly #source: Source;
  readonly #page: number;
  readonly #usable: number;
  /** The header was written with the last change: pages and header are of one state. */
  readonly isCurrent: boolean;
  faults = 0;

  private constructor(source: Source, page: number, usable: number, isCurrent: boolean) {
    this.#source = source;
    this.#page = page;
    this.#usable = usable;
    this.isCurrent = isCurrent;
  }

  /** Opens a database; undefined where these bytes are none. */
  static async open(source: Source): Promise<Database | undefined> {
    if (source.size < HEADER_BYTES) return undefined;
    const block = new Uint8Array(HEADER_BYTES);
    const gaps = await source.read(0, block);
    const { magic, reserved } = HEADER.decode(block);
    const view = viewOf(block);
    const raw = view.getUint16(16, false);
    const page = raw === 1 ? 65_536 : raw;
    const isPower = page >= 512 && (page & (page - 1)) === 0;
    if (gaps.length > 0 || magic !== 'SQLite format 3' || !isPower || page - reserved < 480) return undefined;
    // Only UTF-8 is read; the other two are not what programs choose.
    if (view.getUint32(56, false) > 1) return undefined;
    return new Database(source, page, page - reserved, view.getUint32(24, false) === view.getUint32(92, false));
  }

  /** The rows of a table by its name; undefined where there is no such table. */
  async table(name: string): Promise<Row[] | undefined> {
    const root = await this.#rootOf(name);
    return root === undefined ? undefined : this.#rows(root);
  }

  /** Whether there is a table of that name. */
  async has(name: string): Promise<boolean> {
    return (await this.#rootOf(name)) !== undefined;
  }

  async #rootOf(name: string): Promise<number | undefined> {
    const found = (await this.#rows(1)).find(({ cells }) => cells[0] === 'table' && cells[1] === name)?.cells[3];
    return typeof found === 'number' ? found : undefined;
  }

  async #rows(root: number): Promise<Row[]> {
    const out: Row[] = [];
    const seen = new Set<number>();
    const waiting = [root];
    let left = Math.min(this.#source.size, MAX_BYTES);
    for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
      if (out.length >= MAX_ROWS || left < 0 || waiting.length > MAX_PAGES) {
        this.faults++;
        break;
      }
      if (seen.has(number) || seen.size >= MAX_PAGES) {
        this.faults++;
        continue;
      }
      seen.add(number);
      const page = await this.#read(number);
      if (page === undefined) continue;
      const base = number === 1 ? HEADER_BYTES : 0;
      const kind = page[base];
      const view = viewOf(page);
      const cells = view.getUint16(base + 3, false);
      const first = base + (kind === INTERIOR ? 12 : 8);
      if ((kind !== INTERIOR && kind !== LEAF) || first + cells * 2 > page.length) {
        this.faults++;
        continue;
      }
      const below: number[] = [];
      const met = new Set<number>();
      for (let i = 0; i < cells && left >= 0; i++) {
        const at = view.getUint16(first + i * 2, false);
        // Two pointers never lead to one cell.
        if (met.has(at)) this.faults++;
        else if (at < first || at + 4 > page.length) this.faults++;
        else if (kind === INTERIOR) below.push(view.getUint32(at, false));
        else {
          left -= Math.min(varint(page, at)?.value ?? 0, MAX_ROW);
          const row = left < 0 ? undefined : await this.#row(page, at);
          if (row === undefined) this.faults++;
          else out.push(row);
        }
        met.add(at);
      }
      if (kind === INTERIOR) waiting.push(view.getUint32(base + 8, false), ...below.toReversed());
    }
    return out;
  }

  async #row(page: Uint8Array, at: number): Promise<Row | undefined> {
    const length = varint(page, at);
    const id = length && varint(page, length.end);
    if (length === undefined || id === undefined || length.value > MAX_ROW) return undefined;
    const payload = await this.#payload(page, id.end, length.value);
    const cells = payload && cellsOf(payload);
    return cells === undefined ? undefined : { id: id.value, cells };
  }

  /** All bytes of a row: those in the page, and those in the pages that go on from it. */
  async #payload(page: Uint8Array, at: number, length: number): Promise<Uint8Array | undefined> {
    const usable = this.#usable;
    const most = usable - 35;
    const least = Math.floor((usable - 12) * MINIMUM) - 23;
    const kept = least + ((length - least) % (usable - 4));
    const here = length <= most ? length : kept <= most ? kept : least;
    if (at + here > page.length) return undefined;
    const out = new Uint8Array(length);
    out.set(page.subarray(at, at + here));
    if (here === length) return out;
    if (at + here + 4 > page.length) return undefined;
    let next = viewOf(page).getUint32(at + here, false);
    const seen = new Set<number>();
    for (let done = here; done < length; ) {
      const more = next === 0 || seen.has(next) ? undefined : await this.#read(next);
      if (more === undefined) return undefined;
      seen.add(next);
      next = viewOf(more).getUint32(0, false);
      const part = more.subarray(4, Math.min(usable, 4 + length - done));
      out.set(part, done);
      done += part.length;
    }
    return out;
  }

  async #read(number: number): Promise<Uint8Array | undefined> {
    const at = (number - 1) * this.#page;
    const page = new Uint8Array(this.#page);
    const isThere = number > 0 && at + this.#page <= this.#source.size;
    if (isThere && (await this.#source.read(at, page)).length === 0) return page.subarray(0, this.#usable);
    this.faults++;
    return undefined;
  }
}

/** A number of one to nine bytes, the highest bits first; those beyond what a number holds are refused. */
function varint(bytes: Uint8Array, at: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let i = 0; i < 9; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return undefined;
    value = i === 8 ? value * 256 + byte : value * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(value)) return undefined;
    if (i === 8 || byte < 0x80) return { value, end: at + i + 1 };
  }
  return undefined;
}

const SIZES = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0];

function cellsOf(payload: Uint8Array): Cell[] | undefined {
  const head = varint(payload, 0);
  if (head === undefined || head.value > payload.length) return undefined;
  const out: Cell[] = [];
  let data = head.value;
  for (let at = head.end; at < head.value && out.length < MAX_COLUMNS; ) {
    const type = varint(payload, at);
    if (type === undefined || type.value === 10 || type.value === 11) return undefined;
    at = type.end;
    const size = type.value < 10 ? SIZES[type.value] : Math.floor((type.value - 12) / 2);
    if (data + size > payload.length) return undefined;
    out.push(cellOf(payload.subarray(data, data + size), type.value));
    data += size;
  }
  return out;
}

function cellOf(bytes: Uint8Array, type: number): Cell {
  if (type === 0) return null;
  if (type === 8 || type === 9) return type - 8;
  if (type === 7) return viewOf(bytes).getFloat64(0, false);
  if (type < 7) {
    let value = 0;
    for (const byte of bytes) value = value * 256 + byte;
    return bytes[0] >= 0x80 ? value - 2 ** (8 * bytes.length) : value;
  }
  return type % 2 === 0 ? bytes.slice() : new TextDecoder().decode(bytes);
}
