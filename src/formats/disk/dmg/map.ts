/** The disk that chunks make: zeros, bytes as they lie, and units that are unpacked when they are read. */
import { adc } from '../../../codec/adc.ts';
import { bzip2Unit } from '../../../codec/bzip2.ts';
import { xzUnit } from '../../../codec/xz.ts';
import { zlibUnit } from '../../../codec/zlib.ts';
import { type Codec, MadeSource } from '../../../core/made.ts';
import { MapSource } from '../../../core/map-source.ts';
import { type Certainty, DATA, LOST, MISSING, type RunList, type Why, ZERO } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import { KIND, KIND_NAMES, SECTOR } from './structs.ts';
import type { Chunks } from './tables.ts';

/** Bytes that one packed chunk may give: programs pack a megabyte at a time, or less. */
const MAX_UNIT: number = 32 * 1024 * 1024;
const CODECS: ReadonlyMap<number, Codec> = new Map([
  [KIND.zlib, zlibUnit],
  [KIND.bzip2, bzip2Unit],
  [KIND.adc, adc],
  [KIND.lzma, xzUnit],
]);

interface Image {
  readonly file: Source;
  readonly chunks: Chunks;
  /** Bytes of the disk. */
  readonly size: number;
  readonly certainty: Certainty;
  /** Where the tables stand in the file. */
  readonly listAt: number;
}

export function diskOf(image: Image): MapSource {
  return new MapSource(image.size, new ChunkMap(image));
}

class ChunkMap {
  readonly #image: Image;
  readonly #made = new TableCache<MadeSource>();
  readonly #why: Why;
  readonly #reasons = new Map<string, Why>();

  constructor(image: Image) {
    this.#image = image;
    this.#why = { what: 'UDIF block table', source: image.file, at: image.listAt };
  }

  runs(from: number, end: number, out: RunList): number {
    const { starts, sectors, count } = this.#image.chunks;
    let i = this.#chunkAt(from);
    for (let at = from; at < end; ) {
      const isIn = i >= 0 && at < (starts[i] + sectors[i]) * SECTOR;
      const next = i + 1 < count ? starts[i + 1] * SECTOR : Number.POSITIVE_INFINITY;
      const stop = Math.min(end, isIn ? (starts[i] + sectors[i]) * SECTOR : next);
      const added = isIn ? this.#chunk(i, at, stop - at, out) : this.#lost('dmg.uncovered', stop - at, out);
      if (!added) return at;
      at = stop;
      if (at >= next) i++;
    }
    return end;
  }

  /** The last chunk that begins at or before a byte of the disk; -1 where none does. */
  #chunkAt(at: number): number {
    const { starts, count } = this.#image.chunks;
    let low = -1;
    let high = count;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (starts[middle] * SECTOR <= at) low = middle;
      else high = middle;
    }
    return low;
  }

  #chunk(i: number, at: number, length: number, out: RunList): boolean {
    const { chunks, file, certainty } = this.#image;
    const kind = chunks.kinds[i];
    const [place, packed] = [chunks.places[i], chunks.lengths[i]];
    const bytes = chunks.sectors[i] * SECTOR;
    const inner = at - chunks.starts[i] * SECTOR;
    // What was in use by nobody is left out of an image, and read as zeros by all that open it.
    if (kind === KIND.zero || kind === KIND.ignored) return out.add(ZERO, certainty, length, undefined, 0, this.#why);
    if (!(place + packed <= file.size)) return this.#lost('past-end', length, out);
    if (kind === KIND.raw) {
      const isWhole = inner + length <= packed;
      return isWhole
        ? out.add(DATA, certainty, length, file, place + inner, this.#why)
        : this.#lost('dmg.chunk-short', length, out);
    }
    const codec = CODECS.get(kind);
    if (codec === undefined) return this.#lost('dmg.packing', length, out, KIND_NAMES.get(kind));
    if (bytes > MAX_UNIT || packed > MAX_UNIT) return this.#lost('dmg.chunk-size', length, out);
    let made = this.#made.get(i);
    if (made === undefined) {
      made = new MadeSource(bytes, codec, [{ source: file, at: place, length: packed }]);
      this.#made.set(i, made, 256);
    }
    return out.add(DATA, certainty, length, made, inner, this.#why);
  }

  #lost(code: string, length: number, out: RunList, packing = ''): boolean {
    const key = code + packing;
    let why = this.#reasons.get(key);
    if (why === undefined) {
      const what = packing === '' ? this.#why.what : `a chunk packed with ${packing}, which is not read`;
      why = { ...this.#why, what, code };
      this.#reasons.set(key, why);
    }
    return out.add(MISSING, LOST, length, undefined, 0, why);
  }
}
