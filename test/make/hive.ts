/** Registry hives with known content, written from the published description of the format. */
import { Bytes } from './bytes.ts';

export type HiveValue = string | number | Uint8Array;

/** A key: values by name, and keys below it. */
export interface HiveKey {
  readonly values?: Readonly<Record<string, HiveValue>>;
  readonly keys?: Readonly<Record<string, HiveKey>>;
}

export interface HiveOptions {
  /** How lists of keys are written; 'ri' is a list of two lists of the kind lh. */
  readonly list?: 'lf' | 'lh' | 'li' | 'ri';
  /** The last change was not written out. */
  readonly dirty?: boolean;
  /** Names as two bytes a character. */
  readonly wide?: boolean;
}

const PAGE = 4096;
const NONE = 0xffffffff;

/** Keys from a list of "A\\B\\C" paths with their values. */
export function hiveTree(paths: Readonly<Record<string, Readonly<Record<string, HiveValue>>>>): HiveKey {
  type Open = { values: Record<string, HiveValue>; keys: Record<string, Open> };
  const root: Open = { values: {}, keys: {} };
  for (const [path, values] of Object.entries(paths)) {
    let at = root;
    for (const name of path.split('\\')) {
      at.keys[name] ??= { values: {}, keys: {} };
      at = at.keys[name];
    }
    Object.assign(at.values, values);
  }
  return root;
}

/** Cells of one bin, in the order in which they are written. */
class Cells {
  readonly cells: Uint8Array[] = [];
  used = 32; // behind the header of the bin
  readonly #list: NonNullable<HiveOptions['list']>;
  readonly #wide: boolean;

  constructor({ list = 'lh', wide = false }: HiveOptions) {
    this.#list = list;
    this.#wide = wide;
  }

  add(data: Uint8Array): number {
    const size = Math.ceil((data.length + 4) / 8) * 8;
    const at = this.used;
    const out = new Bytes(size).raw(4, data);
    new DataView(out.data.buffer).setInt32(0, -size, true);
    this.cells.push(out.data);
    this.used += size;
    return at;
  }

  value(name: string, data: HiveValue): number {
    const [type, raw] =
      typeof data === 'number'
        ? [4, new Bytes(4).u32(0, data).data]
        : typeof data === 'string'
          ? [1, new Uint8Array(Buffer.from(`${data}\0`, 'utf16le'))]
          : [3, data];
    const isHere = raw.length <= 4;
    const named = nameBytes(name, this.#wide);
    const out = new Bytes(20 + named.length).text(0, 'vk').u16(2, named.length);
    out
      .u32(4, isHere ? raw.length + 0x80000000 : raw.length)
      .u32(12, type)
      .u16(16, this.#wide ? 0 : 1);
    if (isHere) out.raw(8, raw);
    else out.u32(8, this.add(raw));
    return this.add(out.raw(20, named).data);
  }

  #one(part: readonly Placed[], kind: 'lf' | 'lh' | 'li'): number {
    const step = kind === 'li' ? 4 : 8;
    const out = new Bytes(4 + part.length * step).text(0, kind).u16(2, part.length);
    for (const [i, { name, at }] of part.entries()) {
      out.u32(4 + i * step, at);
      if (kind === 'lf') out.raw(8 + i * step, Buffer.from(name.slice(0, 4), 'latin1'));
      if (kind === 'lh') out.u32(8 + i * step, hash(name));
    }
    return this.add(out.data);
  }

  lists(children: readonly Placed[]): number {
    if (this.#list !== 'ri') return this.#one(children, this.#list);
    const half = Math.ceil(children.length / 2);
    const parts = [this.#one(children.slice(0, half), 'lh'), this.#one(children.slice(half), 'lh')];
    return this.add(new Bytes(12).text(0, 'ri').u16(2, 2).u32(4, parts[0]!).u32(8, parts[1]!).data);
  }

  key(name: string, { values = {}, keys = {} }: HiveKey): number {
    const children = Object.entries(keys)
      .sort(([a], [b]) => (a.toUpperCase() < b.toUpperCase() ? -1 : 1))
      .map(([child, inner]) => ({ name: child, at: this.key(child, inner) }));
    const records = Object.entries(values).map(([own, data]) => this.value(own, data));
    const named = nameBytes(name, this.#wide);
    const out = new Bytes(76 + named.length).text(0, 'nk').u16(2, this.#wide ? 0 : 0x20);
    out
      .u32(20, children.length)
      .u32(28, children.length === 0 ? NONE : this.lists(children))
      .u32(32, NONE);
    out.u32(36, records.length).u32(44, NONE).u32(48, NONE).u16(72, named.length);
    if (records.length === 0) out.u32(40, NONE);
    else {
      const table = new Bytes(records.length * 4);
      for (const [i, at] of records.entries()) table.u32(i * 4, at);
      out.u32(40, this.add(table.data));
    }
    return this.add(out.raw(76, named).data);
  }
}

interface Placed {
  readonly name: string;
  readonly at: number;
}

/** The bytes of a hive. */
export function makeHive(root: HiveKey, options: HiveOptions = {}): Uint8Array {
  const cells = new Cells(options);
  const at = cells.key('ROOT', root);
  const size = Math.ceil(cells.used / PAGE) * PAGE;
  const head = new Bytes(PAGE)
    .text(0, 'regf')
    .u32(4, 7)
    .u32(8, options.dirty === true ? 6 : 7)
    .u32(20, 1)
    .u32(24, 5);
  head.u32(32, 1).u32(36, at).u32(40, size).u32(44, 1);
  let sum = 0;
  for (let i = 0; i < 508; i += 4) sum ^= new DataView(head.data.buffer).getUint32(i, true);
  head.u32(508, sum >>> 0);
  const bin = new Bytes(size).text(0, 'hbin').u32(4, 0).u32(8, size);
  let place = 32;
  for (const one of cells.cells) {
    bin.raw(place, one);
    place += one.length;
  }
  if (place < size) bin.u32(place, size - place); // the rest is one free cell
  return new Uint8Array(Buffer.concat([head.data, bin.data]));
}

function nameBytes(name: string, wide: boolean): Uint8Array {
  return new Uint8Array(Buffer.from(name, wide ? 'utf16le' : 'latin1'));
}

function hash(name: string): number {
  let out = 0;
  for (const c of name.toUpperCase()) out = (Math.imul(out, 37) + c.charCodeAt(0)) >>> 0;
  return out;
}
