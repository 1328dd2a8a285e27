/** Reads of small structures that lie near each other: one large read serves many. */
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';

/** What an entry is whose bytes could not be read: no table or grain lies there. */
export const UNREADABLE = 0xffffffff;

/** Bytes that were read, and where. */
interface Seen {
  readonly at: number;
  readonly bytes: Uint8Array;
}

const NOTHING: Seen = { at: 0, bytes: new Uint8Array(0) };

export class Window {
  readonly #source: Source;
  readonly #span: number;
  readonly #isLent: boolean;
  #seen: Seen = NOTHING;
  #room = NOTHING.bytes;

  /**
   * `span` bytes are read at a time. Lent: always into the same memory, for one reader that asks once for each of many
   * thousand places; what it is given is good until it asks again, and nobody else may ask meanwhile.
   */
  constructor(source: Source, span: number, isLent = false) {
    this.#source = source;
    this.#span = span;
    this.#isLent = isLent;
  }

  /** `length` bytes at `at`. What cannot be read or lies past the end is 0xff. */
  async bytes(at: number, length: number): Promise<Uint8Array> {
    const { at: from, bytes } = this.#seen;
    if (at >= from && at + length <= from + bytes.length) return bytes.subarray(at - from, at - from + length);
    // Kept apart from what others see: another call may be answered in the meantime.
    const seen = await this.#read(at, length);
    this.#seen = seen;
    return seen.bytes.subarray(0, length);
  }

  /** So many little-endian words at `at`. */
  async words(at: number, count: number): Promise<Uint32Array> {
    const view = viewOf(await this.bytes(at, count * 4));
    const out = new Uint32Array(count);
    for (let i = 0; i < count; i++) out[i] = view.getUint32(i * 4, true);
    return out;
  }

  async #read(at: number, length: number): Promise<Seen> {
    const wanted = Math.max(length, Math.min(this.#span, this.#source.size - at));
    const bytes = this.#memory(wanted).fill(0xff);
    const there = Math.max(0, Math.min(wanted, this.#source.size - at));
    if (there > 0) {
      for (const gap of await this.#source.read(at, bytes.subarray(0, there))) {
        bytes.fill(0xff, gap.offset - at, gap.offset - at + gap.length);
      }
    }
    return { at, bytes };
  }

  #memory(length: number): Uint8Array {
    if (!this.#isLent) return new Uint8Array(length);
    if (this.#room.length < length) this.#room = new Uint8Array(length);
    this.#seen = NOTHING;
    return this.#room.subarray(0, length);
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
