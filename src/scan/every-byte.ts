/**
 * Where the keys of carvers stand, at every byte of a window: one look-up of two bytes at each even place, four bytes at a
 * time. A key may begin at an odd place, so two of its pairs are known, of which one stands at an even place wherever it
 * begins. Keys of two bytes have one pair only: where they begin at an odd place, the pair before ends with their first
 * byte, and the pair that lies across is looked up then.
 */
import type { Carver } from '../core/carver.ts';

/** A place in a window at which a carver's file may begin; below 0 where that is before the window. */
export type Take = (at: number, carver: Carver) => void;

interface Wanted {
  readonly carver: Carver;
  /** Bytes from the file's start to the pair that is looked up. */
  readonly back: number;
  /** From the pair that is looked up to the first byte of the key. */
  readonly first: number;
  readonly bytes: readonly number[];
}

const PAIRS = 65_536;
/** Words that are sifted before what is left of them is looked at: they are still in the processor's cache then. */
const BLOCK = 8192;

/** The keys of one list, by a pair of bytes. */
class ByPair {
  /** Numbers of lists; 0 for pairs of no key. */
  readonly #lists = new Uint16Array(PAIRS);
  readonly #all: Wanted[][] = [[]];

  add(low: number, high: number, wanted: Wanted): void {
    const pair = low | (high << 8);
    if (this.#lists[pair] === 0) this.#lists[pair] = this.#all.push([]) - 1;
    this.#all[this.#lists[pair]].push(wanted);
  }

  /** Takes the files whose key stands around the pair at `i`. */
  take(pair: number, window: Uint8Array, i: number, take: Take): void {
    if (this.#lists[pair] === 0) return;
    const list = this.#all[this.#lists[pair]];
    for (let n = 0; n < list.length; n++) {
      const { carver, back, first, bytes } = list[n];
      let k = 0;
      while (k < bytes.length && window[i + first + k] === bytes[k]) k++;
      if (k === bytes.length) take(i - back, carver);
    }
  }
}

export class EveryByte {
  /** 1 for a pair at an even place that belongs to a key, or ends with the first byte of one of two bytes. */
  readonly #table = new Uint8Array(PAIRS);
  readonly #places = new Uint32Array(BLOCK);
  /** Keys around a pair at an even place, and keys that are the pair across two of them. */
  readonly #even = new ByPair();
  readonly #across = new ByPair();

  constructor(carvers: readonly Carver[]) {
    for (const carver of carvers) {
      for (const { offset, bytes } of carver.keys) {
        for (const parity of [0, 1]) {
          const i = rarest(bytes, parity);
          if (i !== undefined) {
            this.#even.add(bytes[i], bytes[i + 1], { carver, back: offset + i, first: -i, bytes });
            this.#table[bytes[i] | (bytes[i + 1] << 8)] = 1;
          } else {
            this.#across.add(bytes[0], bytes[1], { carver, back: offset, first: 0, bytes });
            for (let low = 0; low < 256; low++) this.#table[low | (bytes[0] << 8)] = 1;
          }
        }
      }
    }
  }

  /** Takes all places of `window`, which begins at an even place of its buffer. */
  run(window: Uint8Array, take: Take): void {
    const { buffer, byteOffset, length } = window;
    const words = byteOffset % 4 === 0 ? new Uint32Array(buffer, byteOffset, length >>> 2) : new Uint32Array(0);
    for (let from = 0; from < words.length; from += BLOCK) {
      const end = Math.min(words.length, from + BLOCK);
      const n = this.#sift(words, from, end);
      for (let k = 0; k < n; k++) {
        const i = 4 * this.#places[k];
        this.#at(window, i, take);
        this.#at(window, i + 2, take);
      }
    }
    for (let i = 4 * words.length; i + 1 < length; i += 2) this.#at(window, i, take);
  }

  /** Notes the words that may belong to a key, and answers how many they are. There is no branch in it to be guessed wrong. */
  #sift(words: Uint32Array, from: number, end: number): number {
    const [table, places] = [this.#table, this.#places];
    let n = 0;
    for (let i = from; i < end; i++) {
      const word = words[i];
      places[n] = i;
      n += table[word & 0xffff] | table[word >>> 16];
    }
    return n;
  }

  #at(window: Uint8Array, i: number, take: Take): void {
    const pair = window[i] | (window[i + 1] << 8);
    if (this.#table[pair] === 0) return;
    this.#even.take(pair, window, i, take);
    if (i + 2 < window.length) this.#across.take((pair >>> 8) | (window[i + 2] << 8), window, i + 1, take);
  }
}

/** Of the pairs of a key that begin at even or odd bytes of it the one that other bytes have least often. */
function rarest(bytes: readonly number[], parity: number): number | undefined {
  let best: number | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (let i = parity; i + 1 < bytes.length; i += 2) {
    const cost = commonness(bytes[i]) + commonness(bytes[i + 1]);
    if (cost < least) [best, least] = [i, cost];
  }
  return best;
}

function commonness(byte: number): number {
  if (byte === 0) return 8;
  if (byte === 0xff || byte === 0x20) return 4;
  return (byte >= 0x61 && byte <= 0x7a) || byte === 1 ? 2 : byte >= 0x20 && byte < 0x7f ? 1 : 0;
}
