/** Reads of small structures that lie near each other: one large read serves many. */
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';

/** What an entry is whose bytes could not be read: no table or grain lies there. */
export const UNREADABLE = 0xffffffff;

export class Window {
  readonly #source: Source;
  readonly #span: number;
  #bytes = new Uint8Array(0);
  #at = 0;

  /** `span` bytes are read at a time. */
  constructor(source: Source, span: number) {
    this.#source = source;
    this.#span = span;
  }

  /** `length` bytes at `at`, good until the next call. What cannot be read or lies past the end is 0xff. */
  async bytes(at: number, length: number): Promise<Uint8Array> {
    if (at < this.#at || at + length > this.#at + this.#bytes.length) await this.#fill(at, length);
    return this.#bytes.subarray(at - this.#at, at - this.#at + length);
  }

  /** So many little-endian words at `at`. */
  async words(at: number, count: number): Promise<Uint32Array> {
    const view = viewOf(await this.bytes(at, count * 4));
    const out = new Uint32Array(count);
    for (let i = 0; i < count; i++) out[i] = view.getUint32(i * 4, true);
    return out;
  }

  async #fill(at: number, length: number): Promise<void> {
    const wanted = Math.max(length, Math.min(this.#span, this.#source.size - at));
    const bytes = new Uint8Array(wanted).fill(0xff);
    const there = Math.max(0, Math.min(wanted, this.#source.size - at));
    if (there > 0) {
      for (const gap of await this.#source.read(at, bytes.subarray(0, there))) {
        bytes.fill(0xff, gap.offset - at, gap.offset - at + gap.length);
      }
    }
    this.#bytes = bytes;
    this.#at = at;
  }
}

/** A set of small numbers, one bit each. */
export class Bits {
  readonly #words: Uint32Array;

  constructor(count: number) {
    this.#words = new Uint32Array(Math.ceil(count / 32));
  }

  has(i: number): boolean {
    return ((this.#words[i >>> 5] >>> (i & 31)) & 1) === 1;
  }

  /** Answers whether it was there already. */
  add(i: number): boolean {
    const had = this.has(i);
    this.#words[i >>> 5] |= 1 << (i & 31);
    return had;
  }
}
