/** Blocks of a volume as its log has them: kept in memory over the volume, nothing is written. */
import { MapSource } from '../../../core/map-source.ts';
import { MemorySource } from '../../../core/memory.ts';
import { DATA, type RunList, STATED, VERIFIED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';

/** Bytes of a volume that a log may change before it is too much to be kept. */
const MAX_BYTES: number = 128 * 1024 * 1024;

export class LogSheet {
  readonly #source: Source;
  readonly #unit: number;
  /** By the number of the block in the volume; undefined where what lies there cannot be read. */
  readonly #pages = new Map<number, Uint8Array | undefined>();

  constructor(source: Source, unit: number) {
    this.#source = source;
    this.#unit = unit;
  }

  /** Whether more was changed than is kept. */
  get isFull(): boolean {
    return this.#pages.size * this.#unit > MAX_BYTES;
  }

  /** Bytes as they are by now, a copy; undefined where they cannot be had. */
  async get(at: number, length: number): Promise<Uint8Array | undefined> {
    if (at + length > this.#source.size) return undefined;
    const out = new Uint8Array(length);
    for (const { page, from, to, n } of this.#parts(at, length)) {
      const known = await this.#page(page);
      if (known === undefined) return undefined;
      out.set(known.subarray(from, from + n), to);
    }
    return out;
  }

  /** Changes bytes that `get` gave. */
  put(at: number, bytes: Uint8Array): void {
    for (const { page, from, to, n } of this.#parts(at, bytes.length))
      this.#pages.get(page)?.set(bytes.subarray(to, to + n), from);
  }

  /** The volume with these blocks in the place of its own. */
  over(start: number): Source {
    const source = this.#source;
    const unit = this.#unit;
    const list = [...this.#pages].filter((one): one is [number, Uint8Array] => one[1] !== undefined);
    list.sort((a, b) => a[0] - b[0]);
    const memory = new MemorySource(list.map(([page, bytes]) => ({ at: page * unit, bytes })));
    const why: Why = { what: 'XFS log', source, at: start };
    const runs = (from: number, end: number, out: RunList): number => {
      let at = from;
      for (let i = firstAt(list, Math.floor(from / unit)); at < end; i++) {
        const base = list[i] === undefined ? end : list[i][0] * unit;
        const next = Math.min(end, Math.max(at, base));
        if (!out.add(DATA, VERIFIED, next - at, source, at)) return at;
        at = next;
        if (list[i] === undefined || at >= end) break;
        const stop = Math.min(end, base + unit, source.size);
        if (!out.add(DATA, STATED, stop - at, memory, at, why)) return at;
        at = stop;
      }
      return at;
    };
    return list.length === 0 ? source : new MapSource(source.size, { runs });
  }

  *#parts(at: number, length: number): Generator<{ page: number; from: number; to: number; n: number }> {
    for (let to = 0; to < length; ) {
      const page = Math.floor((at + to) / this.#unit);
      const from = at + to - page * this.#unit;
      const n = Math.min(length - to, this.#unit - from);
      yield { page, from, to, n };
      to += n;
    }
  }

  async #page(page: number): Promise<Uint8Array | undefined> {
    if (this.#pages.has(page)) return this.#pages.get(page);
    const bytes = new Uint8Array(Math.min(this.#unit, this.#source.size - page * this.#unit));
    const gaps = await this.#source.read(page * this.#unit, bytes);
    const read = gaps.length > 0 ? undefined : bytes;
    this.#pages.set(page, read);
    return read;
  }
}

/** The first of `list` at or behind `page`. */
function firstAt(list: readonly (readonly [number, Uint8Array])[], page: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle][0] < page) low = middle + 1;
    else high = middle;
  }
  return low;
}
