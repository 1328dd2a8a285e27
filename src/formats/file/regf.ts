/**
 * Registry hives of Windows, read by paths of keys. Source: the published description of the regf format: base block,
 * cells, and nk, vk, lf, lh, li and ri records. What the logs beside a hive hold is not laid over it.
 */
import type { Source } from '../../core/source.ts';
import { struct, text, u16, u32, viewOf } from '../../core/struct.ts';

/** Cells are counted from behind the base block. */
const BINS_AT = 4096;
const ROOT = struct('regf base block', 512, {
  magic: text(0, 4),
  first: u32(4),
  second: u32(8),
  major: u32(20, { oneOf: [1] }),
  minor: u32(24, { max: 6 }),
  root: u32(36),
  size: u32(40),
  checksum: u32(508),
});
const KEY = struct('nk', 76, {
  magic: text(0, 2),
  flags: u16(2),
  subkeys: u32(20),
  list: u32(28),
  values: u32(36),
  valueList: u32(40),
  nameLength: u16(72),
});
const VALUE = struct('vk', 20, {
  magic: text(0, 2),
  nameLength: u16(2),
  length: u32(4),
  data: u32(8),
  type: u32(12),
  flags: u16(16),
});
const LIST = struct('list', 4, { magic: text(0, 2), count: u16(2) });
/** What says how long a cell is: negative where it is in use. */
const CELL_HEAD = 4;

/** Names of a key or value are one byte a character. */
const ASCII_KEY = 0x20;
const ASCII_VALUE = 1;
const NONE = 0xffffffff;
/** Data of four bytes and less stands in the record itself. */
const RESIDENT = 0x80000000;
/** Bytes of one cell that are read; values that are longer are not strings that anybody looks for here. */
const MAX_CELL = 64 * 1024;
/** Subkeys and values of one key that are looked through. */
const MAX_LISTED = 65_536;
/** Lists of lists. */
const MAX_LISTS = 1024;
const STRING = 1;
const EXPANDED = 2;
const BINARY = 3;
const DWORD = 4;
/** Values of one key that are read whole. */
const MAX_BINARIES = 4096;
const DWORD_BIG = 5;
const LINK = 6;
const STRINGS = 7;
const QWORD = 11;

/** Subkeys and values that one listing has. */
const MAX_SHOWN = 5000;
const TYPES = ['none', 'string', 'expandable string', 'binary', 'number', 'number, big-endian', 'link', 'strings'];
const MORE_TYPES: Readonly<Record<number, string>> = {
  8: 'resource list',
  9: 'resource descriptor',
  11: '64-bit number',
};
const SHOWN_BYTES = 256;

/** What lies directly below a key. */
interface KeyListing {
  readonly keys: readonly Key[];
  readonly values: readonly { readonly name: string; readonly type: string; readonly data: string }[];
  /** There are more than were listed. */
  readonly isCut: boolean;
}

export interface Key {
  readonly name: string;
  readonly subkeys: number;
  readonly at: number;
}

/** What the record of a value says. */
interface Value {
  readonly name: string;
  readonly type: number;
  /** Bytes of its data. */
  readonly size: number;
  /** The data itself, where it stands in the record; else its cell. */
  readonly place: Uint8Array | number;
}

/** A hive; what cannot be read in it is not there, and `faults` counts it. */
export class Hive {
  readonly #source: Source;
  readonly #root: number;
  /** The last change was not written out whole: newer settings may stand in the logs beside it. */
  readonly isDirty: boolean;
  /** Cells that were not what they should be. */
  faults = 0;

  private constructor(source: Source, root: number, isDirty: boolean) {
    this.#source = source;
    this.#root = root;
    this.isDirty = isDirty;
  }

  /** Opens a hive; undefined where these bytes are none. */
  static async open(source: Source): Promise<Hive | undefined> {
    if (source.size < BINS_AT) return undefined;
    const block = new Uint8Array(512);
    const gaps = await source.read(0, block);
    const head = ROOT.decode(block);
    if (gaps.length > 0 || head.magic !== 'regf' || ROOT.violations(head).length > 0) return undefined;
    const view = viewOf(block);
    let sum = 0;
    for (let at = 0; at < 508; at += 4) sum ^= view.getUint32(at, true);
    // Two values stand for others, so that neither of them can be met.
    const wanted = sum >>> 0 === 0 ? 1 : sum >>> 0 === NONE ? NONE - 1 : sum >>> 0;
    const hive = new Hive(source, head.root, head.first !== head.second || wanted !== head.checksum);
    return (await hive.#key(head.root)) === undefined ? undefined : hive;
  }

  /** The key of a path like "ControlSet001\\Services"; undefined where there is none. Cases of letters do not count. */
  async key(path: string): Promise<Key | undefined> {
    let at = this.#root;
    for (const name of path.split('\\')) {
      const next = await this.#child(at, name.toLowerCase());
      if (next === undefined) return undefined;
      at = next;
    }
    return this.#key(at);
  }

  /** A string or number of a key; undefined where it is not there, or is of another kind. */
  async value(path: string, name: string): Promise<string | number | undefined> {
    const key = await this.key(path);
    const wanted = name.toLowerCase();
    for await (const value of this.#values(key?.at, MAX_LISTED)) {
      if (value.name.toLowerCase() !== wanted) continue;
      const content = await this.#content(value);
      if (content === undefined) continue;
      if (value.type === DWORD && content.length >= 4) return viewOf(content).getUint32(0, true);
      if (value.type === STRING || value.type === EXPANDED) return dataText(value.type, content);
    }
    return undefined;
  }

  /** Values of a key that are bytes, by name, the first few thousand. */
  async binaries(path: string): Promise<Map<string, Uint8Array>> {
    const out = new Map<string, Uint8Array>();
    const key = await this.key(path);
    for await (const value of this.#values(key?.at, MAX_BINARIES)) {
      const content = value.type === BINARY ? await this.#content(value) : undefined;
      if (content?.length === value.size) out.set(value.name, content.slice());
    }
    return out;
  }

  /** All subkeys and values of a key; '' is the root. Undefined where there is no such key. */
  async list(path: string): Promise<KeyListing | undefined> {
    const at = path === '' ? this.#root : (await this.key(path))?.at;
    const cell = at === undefined ? undefined : await this.#cell(at, 76);
    if (cell === undefined) return undefined;
    const keys: Key[] = [];
    for await (const offset of this.#offsets(cell)) {
      if (keys.length >= MAX_SHOWN) break;
      const key = await this.#key(offset);
      if (key !== undefined) keys.push(key);
    }
    const values: { name: string; type: string; data: string }[] = [];
    for await (const value of this.#values(at, MAX_SHOWN)) {
      const { name, type, size } = value;
      const content = await this.#content(value);
      const data = content === undefined ? `${size} bytes that are not shown` : dataText(type, content);
      values.push({ name, type: TYPES[type] ?? MORE_TYPES[type] ?? `type ${type}`, data });
    }
    return { keys, values, isCut: keys.length >= MAX_SHOWN || KEY.decode(cell).values > MAX_SHOWN };
  }

  /** The values of the key at `at`, without what is kept in cells of their own. */
  async *#values(at: number | undefined, most: number): AsyncGenerator<Value> {
    const record = at === undefined ? undefined : await this.#cell(at, 76);
    if (record === undefined) return;
    const { values, valueList } = KEY.decode(record);
    const list = values === 0 || valueList === NONE ? undefined : await this.#cell(valueList, 4);
    const count = list === undefined ? 0 : Math.min(values, most, Math.floor(list.length / 4));
    for (let i = 0; i < count; i++) {
      const cell = await this.#cell(viewOf(list!).getUint32(i * 4, true), 20);
      if (cell === undefined) continue;
      const { magic, nameLength, length, data, type, flags } = VALUE.decode(cell);
      if (magic !== 'vk') this.faults++;
      else {
        const isHere = length >= RESIDENT;
        const size = isHere ? length - RESIDENT : length;
        const name = nameOf(cell, 20, nameLength, (flags & ASCII_VALUE) !== 0);
        yield { name, type, size, place: isHere ? cell.subarray(8, 8 + Math.min(4, size)) : data };
      }
    }
  }

  /** The data of a value; undefined where it cannot be read, or is longer than one cell can be. */
  async #content({ size, place }: Value): Promise<Uint8Array | undefined> {
    if (typeof place !== 'number') return place;
    return size > MAX_CELL ? undefined : (await this.#cell(place, size))?.subarray(0, size);
  }

  async #key(at: number): Promise<Key | undefined> {
    const cell = await this.#cell(at, 76);
    if (cell === undefined) return undefined;
    const { magic, flags, nameLength, subkeys } = KEY.decode(cell);
    if (magic !== 'nk') return void this.faults++;
    return { name: nameOf(cell, 76, nameLength, (flags & ASCII_KEY) !== 0), subkeys, at };
  }

  /** The subkey of that name, in lower case. */
  async #child(at: number, wanted: string): Promise<number | undefined> {
    const cell = await this.#cell(at, 76);
    if (cell === undefined) return undefined;
    let looked = 0;
    for await (const offset of this.#offsets(cell, hashOf(wanted))) {
      if (looked++ > MAX_LISTED) return undefined;
      if ((await this.#key(offset))?.name.toLowerCase() === wanted) return offset;
    }
    return undefined;
  }

  /** Where the subkeys of a key lie; of lists with hashes, only those of that hash if one is given. */
  async *#offsets(cell: Uint8Array, hash?: number): AsyncGenerator<number> {
    const key = KEY.decode(cell);
    if (key.magic !== 'nk' || key.subkeys === 0 || key.list === NONE) return;
    const seen = new Set<number>();
    const waiting = [key.list];
    for (let list = waiting.pop(); list !== undefined && seen.size < MAX_LISTS; list = waiting.pop()) {
      if (seen.has(list)) continue;
      seen.add(list);
      const body = await this.#cell(list, 4);
      if (body === undefined) continue;
      const { magic, count } = LIST.decode(body);
      const step = magic === 'lf' || magic === 'lh' ? 8 : 4;
      if (!/^(lf|lh|li|ri)$/.test(magic)) {
        this.faults++;
        continue;
      }
      const view = viewOf(body);
      const inner: number[] = [];
      for (let i = 0; i < count && 4 + (i + 1) * step <= body.length; i++) {
        const offset = view.getUint32(4 + i * step, true);
        if (magic === 'ri') inner.push(offset);
        else if (hash === undefined || magic !== 'lh' || view.getUint32(8 + i * step, true) === hash) yield offset;
      }
      // The last one in is the first one out: so they keep their order.
      waiting.push(...inner.reverse());
    }
  }

  /** The content of a cell in use, of at least `least` bytes. */
  async #cell(offset: number, least: number): Promise<Uint8Array | undefined> {
    const at = BINS_AT + offset;
    if (offset === NONE || at + CELL_HEAD > this.#source.size) return undefined;
    const head = new Uint8Array(CELL_HEAD);
    const gaps = await this.#source.read(at, head);
    const size = -viewOf(head).getInt32(0, true) - CELL_HEAD;
    if (gaps.length > 0 || size < least || at + CELL_HEAD + size > this.#source.size) {
      this.faults++;
      return undefined;
    }
    const body = new Uint8Array(Math.min(size, MAX_CELL));
    if ((await this.#source.read(at + CELL_HEAD, body)).length === 0) return body;
    this.faults++;
    return undefined;
  }
}

function nameOf(cell: Uint8Array, at: number, length: number, isAscii: boolean): string {
  const raw = cell.subarray(at, Math.min(cell.length, at + length));
  return new TextDecoder(isAscii ? 'latin1' : 'utf-16le').decode(raw);
}

/** What an lh list holds of each name: of its capital letters. */
function hashOf(name: string): number {
  let hash = 0;
  for (const c of name.toUpperCase()) hash = (Math.imul(hash, 37) + c.charCodeAt(0)) >>> 0;
  return hash;
}

/** The data of a value in words. */
function dataText(type: number, content: Uint8Array): string {
  const view = new DataView(content.buffer, content.byteOffset, content.length);
  const wide = (): string => new TextDecoder('utf-16le').decode(content);
  if (type === DWORD && content.length >= 4) return String(view.getUint32(0, true));
  if (type === DWORD_BIG && content.length >= 4) return String(view.getUint32(0, false));
  if (type === QWORD && content.length >= 8)
    return `0x${[4, 0].map((at) => view.getUint32(at, true).toString(16).padStart(8, '0')).join('')}`;
  if (type === STRING || type === EXPANDED || type === LINK) return wide().replace(/\0[\s\S]*$/, '');
  if (type === STRINGS) return wide().replace(/\0+$/, '').replaceAll('\0', '\n');
  const hex = Buffer.from(content.subarray(0, SHOWN_BYTES))
    .toString('hex')
    .replace(/(..)(?=.)/g, '$1 ');
  return content.length > SHOWN_BYTES ? `${hex} … (${content.length} bytes)` : hex;
}
