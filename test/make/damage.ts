/** Deletion in every way that is thought possible (vmfs-writing.md 6); what ESXi does is not known for certain. */
import { type Change, Edit } from './damage-edit.ts';
import type { Made, TruthFile } from './types.ts';

/**
 * A: entry removed and descriptor freed, its pointers kept. B: and its pointers cleared, pointer blocks intact.
 * C: and the descriptor cleared whole. D: as A, but pointer blocks cleared. E: only the address in the entry cleared.
 */
export type Variant = 'A' | 'B' | 'C' | 'D' | 'E';

export interface DeleteOptions {
  /** Whether copies in the journal survive; they do unless this is false. */
  readonly journal?: boolean;
  /** VMFS3/5: the removed entry loses its address only, or the last entry takes its place and the directory shrinks. */
  readonly entry?: 'cleared' | 'moved';
  /** Of a directory: the newest files go first, or the oldest. */
  readonly order?: 'last' | 'first';
}

const ENTRY35 = 0x8c;
const ENTRY6 = 0x120;
/** File blocks of one cluster of VMFS3 and VMFS5. */
const BLOCKS35 = 200;
const SLOTS_AT = 0x40;
const BLOCK6 = 4096;
const HEADER6 = 0x10000;

interface Fields {
  /** Of a descriptor: its metadata, and the area and width of its pointers. */
  readonly meta: number;
  readonly pointers: number;
  readonly pointerArea: number;
  readonly pointer: number;
  /** Of a cluster: count of free resources, its width, and the bitmap. */
  readonly free: number;
  readonly freeWidth: 2 | 4;
  readonly bitmap: number;
}

const FIELDS35: Fields = {
  meta: 0x200,
  pointers: 0x400,
  pointerArea: 1024,
  pointer: 4,
  free: 0x208,
  freeWidth: 4,
  bitmap: 0x210,
};
const FIELDS6: Fields = {
  meta: 0x1000,
  pointers: 0x1600,
  pointerArea: 2560,
  pointer: 8,
  free: 0x1022,
  freeWidth: 2,
  bitmap: 0x1080,
};

/** Deletes one thing after another from a made store. */
export class Eraser {
  readonly #edit: Edit;
  readonly #made: Made;
  readonly #six: boolean;
  readonly #fields: Fields;
  readonly #files = new Map<string, TruthFile>();

  constructor(made: Made) {
    this.#edit = new Edit(made);
    this.#made = made;
    this.#six = made.truth.version === 6;
    this.#fields = this.#six ? FIELDS6 : FIELDS35;
    for (const file of made.truth.files) this.#files.set(file.path, file);
  }

  /** Deletes a file, or a directory without what is in it. */
  file(path: string, variant: Variant, options: DeleteOptions = {}): this {
    const file = this.#fileAt(path);
    const fd = fdName(file);
    this.#removeEntry(file, variant, options);
    if (variant !== 'E') this.#freeDescriptor(file);
    if (variant === 'B' && file.allocation !== 'inline')
      this.#edit.zero(fd, this.#fields.pointers, this.#fields.pointerArea);
    if (variant === 'C') this.#edit.zero(fd);
    if (variant === 'D') for (const name of this.#edit.names(`pb:${path}#`)) this.#edit.zero(name);
    if (options.journal === false) for (const name of this.#edit.names(`journal:${fd}`)) this.#edit.zero(name);
    return this;
  }

  /** Deletes a directory and all that is in it, from the bottom up, as rm -r does. */
  directory(path: string, variant: Variant, options: DeleteOptions = {}): this {
    const below = [...this.#files.values()].filter((file) => file.path.startsWith(`${path}/`));
    const depth = (file: TruthFile): number => file.path.split('/').length;
    if (options.order === 'first') below.sort((a, b) => depth(b) - depth(a));
    else below.reverse();
    for (const file of below) this.file(file.path, variant, options);
    return this.file(path, variant, options);
  }

  /** Lets a live file claim `count` blocks of another, from block `from` on; both keep their pointers in their FDs. */
  reuse(from: string, by: string, count: number): this {
    const { pointers, pointer } = this.#fields;
    const bytes = this.#edit.read(fdName(this.#fileAt(from)));
    this.#edit.write(fdName(this.#fileAt(by)), pointers, bytes.slice(pointers, pointers + count * pointer));
    return this;
  }

  /** Lets a live file claim the first blocks that another file's first pointer block names: `length` bytes of pointers. */
  copyPointers(from: string, by: string, length: number): this {
    const bytes = this.#edit.read(`pb:${from}#0`).slice(0, length);
    this.#edit.write(fdName(this.#fileAt(by)), this.#fields.pointers, bytes);
    return this;
  }

  /** Sets the bits of a file's blocks to free, as deletion does: those its descriptor or its pointer blocks name. */
  freeBlocks(path: string): this {
    const { pointers, pointerArea, pointer, free, freeWidth, bitmap } = this.#fields;
    const tables = this.#edit.names(`pb:${path}#`).map((name) => this.#edit.read(name));
    const lists = [this.#edit.read(fdName(this.#fileAt(path))).slice(pointers, pointers + pointerArea), ...tables];
    for (const list of lists) {
      const view = new DataView(list.buffer, list.byteOffset);
      for (let at = 0; at < list.length; at += pointer) {
        const low = view.getUint32(at, true);
        if ((low & 7) !== 1) continue;
        const block = low >>> 6;
        const cluster = this.#six ? low >>> 15 : Math.floor(block / BLOCKS35);
        const resource = this.#six ? view.getUint32(at + 4, true) >>> 19 : block % BLOCKS35;
        const bit = this.#six ? resource * 2 : resource;
        const name = `${this.#six ? 'sfb' : 'fbb'}.cluster/${cluster}`;
        const bytes = this.#edit.read(name);
        const place = bitmap + (bit >>> 3);
        const mask = 1 << (bit & 7);
        if ((bytes[place]! & mask) !== 0) throw new Error(`block ${block} of ${path} is free already`);
        this.#edit.write(name, place, Uint8Array.of(bytes[place]! | mask));
        const header = new DataView(bytes.buffer);
        if (freeWidth === 2) this.#edit.u16(name, free, header.getUint16(free, true) + 1);
        else this.#edit.u32(name, free, header.getUint32(free, true) + 1);
      }
    }
    return this;
  }

  /** Gives a descriptor another generation, as a file has that took the slot later. */
  renumber(path: string, generation: number): this {
    this.#edit.u32(fdName(this.#fileAt(path)), this.#fields.meta + 4, generation);
    return this;
  }

  changes(): Change[] {
    return this.#edit.changes();
  }

  #fileAt(path: string): TruthFile {
    const file = this.#files.get(path);
    if (file === undefined) throw new Error(`${this.#made.name} has no ${path}`);
    return file;
  }

  #removeEntry(file: TruthFile, variant: Variant, options: DeleteOptions): void {
    const cleared = variant === 'E' || (!this.#six && options.entry !== 'moved');
    if (cleared) this.#edit.u32(this.#entryName(file), 4, 0);
    else if (this.#six) this.#freeSlot(file);
    else this.#moveLast(file);
  }

  #entryName(file: TruthFile): string {
    return `dirent:${file.path}`;
  }

  /** VMFS6: the slot's bit is set, and the counts follow; the entry's bytes stay. */
  #freeSlot(file: TruthFile): void {
    const pieces = this.#pieces(parentOf(file.path));
    const entry = this.#edit.read(this.#entryName(file));
    const at = new DataView(entry.buffer).getUint32(0x10, true); // its own offset in the directory
    const block = HEADER6 + Math.floor((at - HEADER6) / BLOCK6) * BLOCK6;
    const slot = (at - block - SLOTS_AT) / ENTRY6;
    const head = this.#part(pieces, block, 0x40);
    this.#put(pieces, block + 8 + (slot >>> 3), Uint8Array.of(head[8 + (slot >>> 3)]! | (1 << (slot & 7))));
    this.#put(pieces, block + 6, Uint8Array.of(head[6]! + 1));
    const counts = new DataView(this.#part(pieces, 4, 8).buffer);
    const left = counts.getUint32(0, true) - 1;
    this.#put(pieces, 4, new Uint8Array(new Uint32Array([left, left]).buffer));
  }

  /** VMFS3/5: the last entry is moved into the hole, and the directory gets shorter by one. */
  #moveLast(file: TruthFile): void {
    const parent = this.#fileAt(parentOf(file.path));
    const pieces = this.#pieces(parent.path);
    const fd = fdName(parent);
    const lengthAt = this.#fields.meta + 0x14;
    const length = new DataView(this.#edit.read(fd).buffer).getUint32(lengthAt, true);
    for (let at = 2 * ENTRY35; at < length; at += ENTRY35) {
      const entry = this.#part(pieces, at, ENTRY35);
      if (new DataView(entry.buffer).getUint32(4, true) !== file.fdAddress) continue;
      this.#put(pieces, at, this.#part(pieces, length - ENTRY35, ENTRY35));
      this.#edit.u32(fd, lengthAt, length - ENTRY35);
      return;
    }
    throw new Error(`${parent.path} does not name ${file.path}`);
  }

  #freeDescriptor(file: TruthFile): void {
    const { free, freeWidth, bitmap } = this.#fields;
    const name = `fdc.cluster/${(file.fdAddress >>> 6) & 0xffff}`;
    const resource = file.fdAddress >>> 22;
    const bytes = this.#edit.read(name);
    const at = bitmap + (resource >>> 3);
    const mask = 1 << (resource & 7);
    if ((bytes[at]! & mask) !== 0) throw new Error(`${file.path} is free already`);
    this.#edit.write(name, at, Uint8Array.of(bytes[at]! | mask));
    const view = new DataView(bytes.buffer);
    if (freeWidth === 2) this.#edit.u16(name, free, view.getUint16(free, true) + 1);
    else this.#edit.u32(name, free, view.getUint32(free, true) + 1);
  }

  /** A directory lies in one structure, or in several with numbers. */
  #pieces(path: string): { name: string; length: number }[] {
    const names = [`dir:${path}`, ...this.#edit.names(`dir:${path}#`)];
    return names.map((name) => ({ name, length: this.#edit.read(name).length }));
  }

  #part(pieces: readonly { name: string; length: number }[], at: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    let start = 0;
    for (const { name, length: size } of pieces) {
      const from = Math.max(at, start);
      const end = Math.min(at + length, start + size);
      if (from < end) out.set(this.#edit.read(name).subarray(from - start, end - start), from - at);
      start += size;
    }
    return out;
  }

  #put(pieces: readonly { name: string; length: number }[], at: number, bytes: Uint8Array): void {
    let start = 0;
    for (const { name, length: size } of pieces) {
      const from = Math.max(at, start);
      const end = Math.min(at + bytes.length, start + size);
      if (from < end) this.#edit.write(name, from - start, bytes.subarray(from - at, end - at));
      start += size;
    }
  }
}

/** What deleting one file changes. */
export function deleteFile(made: Made, path: string, variant: Variant, options: DeleteOptions = {}): Change[] {
  return new Eraser(made).file(path, variant, options).changes();
}

/** What deleting a whole machine changes. */
export function deleteDirectory(made: Made, path: string, variant: Variant, options: DeleteOptions = {}): Change[] {
  return new Eraser(made).directory(path, variant, options).changes();
}

function fdName(file: TruthFile): string {
  return `fd/0x${file.fdAddress.toString(16).padStart(8, '0')}`;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
