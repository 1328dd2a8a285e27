/** Carvers: how whole files are known by their content alone, where nothing leads to them any more. */
import type { Key } from './finder.ts';
import type { Source } from './source.ts';

/** What the structure of a file says of it. */
export interface Carved {
  /** Bytes from its start to its end, or to the place up to which it can be followed. */
  readonly length: number;
  /** Its structure was followed to its end. What is not whole is cut, and kept apart. */
  readonly isWhole: boolean;
  /** Only its head says where it ends: what lies between may be anything. Such files are kept apart. */
  readonly isUnchecked?: boolean;
  /** Checksums over all that it holds agree. */
  readonly isProved?: boolean;
  /** Where its structure tells what kind of its family it is: "docx". */
  readonly extension?: string;
  /** What it says of itself: dates, titles, sizes. */
  readonly facts?: Readonly<Record<string, string | number>>;
}

export interface Carver {
  /** The usual ending of its names, and its name in listings. */
  readonly extension: string;
  readonly title: string;
  /** What stands near its start. Places are even; the first two bytes are looked up. */
  readonly keys: readonly Key[];
  /**
   * A first look at up to FIRST bytes from its start, fewer near the end of what is looked through, without waiting: what
   * short keys meet by chance is let go of here. False where it is no such file.
   */
  begins?(head: Uint8Array): boolean;
  /** No file of the kind is longer. */
  readonly most: number;
  /** Follows the structure from the start; undefined where it is no such file after all. */
  examine(file: Content): Promise<Carved | undefined>;
}

/** Bytes that `begins` may look at. */
export const FIRST = 1024;
const WINDOW = 1024 * 1024;
/** Bytes of the first read; each further one is larger, as most that begins like a file is none. */
const FIRST_READ = 16 * 1024;

/** Bytes from a place on, read in large pieces. */
export class Content {
  /** Bytes that there are at most. */
  readonly size: number;
  /** Bytes from the start of what is looked through to the start of the file. */
  readonly from: number;
  readonly #source: Source;
  #window: Uint8Array = new Uint8Array(0);
  #at = 0;
  #unit = FIRST_READ;
  #view: DataView = new DataView(this.#window.buffer);

  /** `head` is what was read already of the bytes from its start on, and stays as it is while they are followed. */
  constructor(source: Source, from: number, most: number, head?: Uint8Array) {
    this.#source = source;
    this.from = from;
    this.size = Math.min(most, source.size - from);
    if (head !== undefined) this.#turnTo(0, head.length > this.size ? head.subarray(0, this.size) : head);
  }

  #turnTo(at: number, window: Uint8Array): void {
    this.#at = at;
    this.#window = window;
    this.#view = new DataView(window.buffer, window.byteOffset, window.length);
  }

  /** What begins at `at`, as a file of its own. */
  inner(at: number): Content {
    return new Content(this.#source, this.from + at, this.size - at);
  }

  /** `length` bytes from `at` on; undefined where there are not so many, or they cannot be read. */
  async bytes(at: number, length: number): Promise<Uint8Array | undefined> {
    if (!(at >= 0) || !(length >= 0) || at + length > this.size) return undefined;
    if (at < this.#at || at + length > this.#at + this.#window.length) {
      const window = new Uint8Array(Math.min(Math.max(this.#unit, length), this.size - at));
      this.#unit = Math.min(WINDOW, this.#unit * 4);
      const gaps = await this.#source.read(this.from + at, window);
      const had = gaps.reduce((least, gap) => Math.min(least, gap.offset - this.from - at), window.length);
      this.#turnTo(at, window.subarray(0, Math.max(0, had)));
      if (length > this.#window.length) return undefined;
    }
    return this.#window.subarray(at - this.#at, at - this.#at + length);
  }

  /** A number of `size` bytes (1 to 8); NaN where it cannot be read or is 2**53 or more. */
  async number(at: number, size: 1 | 2 | 4 | 8, order: 'big' | 'little' = 'little'): Promise<number> {
    if ((await this.bytes(at, size)) === undefined) return Number.NaN;
    const [place, little] = [at - this.#at, order === 'little'];
    if (size === 1) return this.#view.getUint8(place);
    if (size === 2) return this.#view.getUint16(place, little);
    if (size === 4) return this.#view.getUint32(place, little);
    const [low, high] = [
      this.#view.getUint32(little ? place : place + 4, little),
      this.#view.getUint32(little ? place + 4 : place, little),
    ];
    return high < 0x200000 ? high * 2 ** 32 + low : Number.NaN;
  }

  /** ASCII characters; '' where they cannot be read. */
  async text(at: number, length: number): Promise<string> {
    const bytes = await this.bytes(at, length);
    return bytes === undefined ? '' : Buffer.from(bytes).toString('latin1');
  }

  /** Where `wanted` stands next, from `from` on and before `end`; -1 where it does not. */
  async find(wanted: readonly number[], from: number, end: number): Promise<number> {
    const needle = Uint8Array.from(wanted);
    const stop = Math.min(end, this.size);
    for (let at = from; at + needle.length <= stop; ) {
      const length = Math.min(WINDOW, stop - at);
      const block = await this.bytes(at, length);
      if (block === undefined) return -1;
      const found = Buffer.from(block.buffer, block.byteOffset, block.length).indexOf(needle);
      if (found >= 0) return at + found;
      at += Math.max(1, length - needle.length + 1);
    }
    return -1;
  }
}

/** A file that was followed to its end. */
export function whole(length: number, more: Omit<Carved, 'length' | 'isWhole'> = {}): Carved {
  return { length, isWhole: true, ...more };
}

/** A file that ends where its head says, with nothing behind the head that could be checked. */
export function unchecked(length: number, more: Omit<Carved, 'length' | 'isWhole'> = {}): Carved {
  return { length, isWhole: true, isUnchecked: true, ...more };
}

/** A file that breaks off, or whose end is not where it should be. */
export function cut(length: number, more: Omit<Carved, 'length' | 'isWhole'> = {}): Carved {
  return { length, isWhole: false, ...more };
}
