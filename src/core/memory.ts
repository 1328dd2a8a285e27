/** Bytes in memory as a Source: pieces at offsets, zeros between them. */
import { DATA, type RunList, VERIFIED, ZERO } from './run.ts';
import type { Gap, Source } from './source.ts';

export interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

export class MemorySource implements Source {
  readonly size: number;
  readonly #pieces: Piece[];

  /** `pieces` may come in any order and must not overlap; what lies between them is zeros. */
  constructor(pieces: Uint8Array | readonly Piece[], size?: number) {
    this.#pieces = pieces instanceof Uint8Array ? [{ at: 0, bytes: pieces }] : [...pieces];
    this.#pieces.sort((a, b) => a.at - b.at);
    const last = this.#pieces[this.#pieces.length - 1];
    this.size = size ?? (last === undefined ? 0 : last.at + last.bytes.length);
  }

  read(offset: number, into: Uint8Array): Promise<readonly Gap[]> {
    into.fill(0);
    const end = offset + into.length;
    for (let i = this.#from(offset); i < this.#pieces.length && this.#pieces[i].at < end; i++) {
      const { at, bytes } = this.#pieces[i];
      const start = Math.max(at, offset);
      const stop = Math.min(at + bytes.length, end);
      if (start < stop) into.set(bytes.subarray(start - at, stop - at), start - offset);
    }
    const past = Math.max(0, end - Math.max(offset, this.size));
    return Promise.resolve(past === 0 ? [] : [{ offset: end - past, length: past, code: 'past-end' }]);
  }

  runs(from: number, end: number, out: RunList): number {
    const stop = Math.min(end, this.size);
    let at = from;
    for (let i = this.#from(from); at < stop; i++) {
      const piece = this.#pieces[i];
      const start = piece === undefined ? stop : Math.min(stop, Math.max(at, piece.at));
      if (!out.add(ZERO, VERIFIED, start - at)) return at;
      at = start;
      if (piece === undefined) break;
      const till = Math.min(stop, piece.at + piece.bytes.length);
      if (till > at && !out.add(DATA, VERIFIED, till - at, this, at)) return at;
      at = Math.max(at, till);
    }
    return at;
  }

  /** The first piece that ends behind `offset`. */
  #from(offset: number): number {
    let low = 0;
    let high = this.#pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#pieces[middle].at + this.#pieces[middle].bytes.length <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
