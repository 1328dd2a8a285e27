/** Changes to a made store, byte by byte, without the store being made again. */
import type { Made, Structure } from './types.ts';

/** Other bytes at a place of an image: fits test/faults/faults.ts. */
export interface Change {
  readonly member: number;
  readonly at: number;
  readonly length: number;
  readonly bytes: Uint8Array;
}

/** Structures whose bytes may be looked at; all else of a store is never kept. */
const METADATA = /^(fd\/|dir:|dirent:|(fdc|fbb|sfb)\.cluster\/|pb:|journal:)/;

export class Edit {
  readonly made: Made;
  readonly #structures = new Map<string, Structure[]>();
  /** Bytes as they were made, by the structure's place. */
  readonly #made = new Map<Structure, Uint8Array>();
  readonly #changed: Map<number, number>[];

  constructor(made: Made) {
    this.made = made;
    this.#changed = made.members.map(() => new Map());
    const kept: Structure[] = [];
    for (const s of made.truth.structures) {
      const list = this.#structures.get(s.name);
      if (list === undefined) this.#structures.set(s.name, [s]);
      else list.push(s);
      if (!METADATA.test(s.name)) continue;
      kept.push(s);
      this.#made.set(s, new Uint8Array(s.length));
    }
    kept.sort((a, b) => a.member - b.member || a.at - b.at);
    const longest = kept.reduce((n, s) => Math.max(n, s.length), 0);
    for (const { member, at, bytes } of made.writes()) {
      for (let i = firstFrom(kept, member, at - longest); i < kept.length; i++) {
        const s = kept[i]!;
        if (s.member !== member || s.at >= at + bytes.length) break;
        const from = Math.max(at, s.at);
        const end = Math.min(at + bytes.length, s.at + s.length);
        if (from < end) this.#made.get(s)!.set(bytes.subarray(from - at, end - at), from - s.at);
      }
    }
  }

  has(name: string): boolean {
    return this.#structures.has(name);
  }

  /** Names of structures that begin so. */
  names(start: string): string[] {
    return [...this.#structures.keys()].filter((name) => name.startsWith(start));
  }

  /** A structure's bytes as they are now, its pieces joined. */
  read(name: string): Uint8Array {
    const pieces = this.#pieces(name);
    const out = new Uint8Array(pieces.reduce((n, s) => n + s.length, 0));
    let done = 0;
    for (const s of pieces) {
      out.set(this.#made.get(s)!, done);
      const changed = this.#changed[s.member]!;
      for (let i = 0; i < s.length; i++) {
        const byte = changed.get(s.at + i);
        if (byte !== undefined) out[done + i] = byte;
      }
      done += s.length;
    }
    return out;
  }

  /** Puts bytes at an offset of a structure. */
  write(name: string, offset: number, bytes: Uint8Array): void {
    let start = 0;
    for (const s of this.#pieces(name)) {
      for (let i = Math.max(0, offset - start); i < s.length && start + i < offset + bytes.length; i++) {
        this.#changed[s.member]!.set(s.at + i, bytes[start + i - offset]!);
      }
      start += s.length;
    }
  }

  zero(name: string, offset = 0, length: number = this.read(name).length - offset): void {
    this.write(name, offset, new Uint8Array(length));
  }

  u16(name: string, offset: number, value: number): void {
    this.write(name, offset, Uint8Array.of(value & 255, value >>> 8));
  }

  u32(name: string, offset: number, value: number): void {
    this.write(name, offset, Uint8Array.of(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24));
  }

  /** All changes, neighbours joined; they never overlap. */
  changes(): Change[] {
    const out: Change[] = [];
    for (const [member, changed] of this.#changed.entries()) {
      let bytes: number[] = [];
      let at = -1;
      const flush = (): void => {
        if (bytes.length > 0) out.push({ member, at, length: bytes.length, bytes: Uint8Array.from(bytes) });
      };
      for (const place of [...changed.keys()].sort((a, b) => a - b)) {
        if (place !== at + bytes.length) {
          flush();
          bytes = [];
          at = place;
        }
        bytes.push(changed.get(place)!);
      }
      flush();
    }
    return out;
  }

  #pieces(name: string): Structure[] {
    const found = this.#structures.get(name);
    if (found === undefined) throw new Error(`no structure ${name}`);
    return found;
  }
}

function firstFrom(list: readonly Structure[], member: number, at: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const s = list[middle]!;
    if (s.member < member || (s.member === member && s.at < at)) low = middle + 1;
    else high = middle;
  }
  return low;
}
