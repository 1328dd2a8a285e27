/** Files that the system compressed: chunks in a stream beside the file's own, which is empty. */
import { xpressHuffman } from '../../../codec/xpress.ts';
import { MadeSource } from '../../../core/made.ts';
import { MapSource, missing, segments } from '../../../core/map-source.ts';
import { DATA, LOST, MISSING, type RunList, STATED, type Why } from '../../../core/run.ts';
import type { Mapping, Source } from '../../../core/source.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { TableCache } from '../../../core/tables.ts';
import type { Stream } from './stream.ts';

/** The stream that holds the chunks. */
export const WOF_STREAM = 'WofCompressedData';
/** Bytes that a chunk gives, by algorithm. LZX is not read. */
const CHUNKS: Readonly<Record<number, number>> = { 0: 4096, 2: 8192, 3: 16_384 };
const LZX = 1;
const MAX_CHUNKS = 2 ** 22;
/** Files of this size and more have offsets of eight bytes. */
const LARGE = 2 ** 32;

/** What the chunks in `packed` give: `size` bytes. */
export function unpacked(packed: Source, size: number, algorithm: number | undefined, stream: Stream): Source {
  const chunk = CHUNKS[algorithm ?? -1];
  const { why } = stream;
  if (chunk !== undefined && size / chunk <= MAX_CHUNKS)
    return new MapSource(size, new ChunkMap(packed, size, chunk, why));
  const code = algorithm === LZX ? 'ntfs.wof.lzx' : 'ntfs.wof.algorithm';
  return segments([missing(size, { ...why, code })]);
}

class ChunkMap implements Mapping {
  readonly #packed: Source;
  readonly #size: number;
  readonly #chunk: number;
  readonly #why: Why;
  readonly #lost: Why;
  /** Where each chunk starts in `packed`, and where the last one ends; empty where the table cannot be used. */
  #starts: Float64Array | undefined;
  readonly #made = new TableCache<MadeSource>();

  constructor(packed: Source, size: number, chunk: number, why: Why) {
    this.#packed = packed;
    this.#size = size;
    this.#chunk = chunk;
    this.#why = why;
    this.#lost = { ...why, code: 'ntfs.wof.table' };
  }

  runs(from: number, end: number, out: RunList): number {
    const starts = this.#starts;
    if (starts === undefined) return from;
    for (let at = from; at < end; ) {
      const i = Math.floor(at / this.#chunk);
      const stop = Math.min(end, (i + 1) * this.#chunk);
      const whole = Math.min(this.#chunk, this.#size - i * this.#chunk);
      const stored = (starts[i + 1] ?? 0) - (starts[i] ?? 0);
      const inner = at - i * this.#chunk;
      const isChunk = starts.length > 0 && stored > 0 && stored <= whole;
      const isAdded = !isChunk
        ? out.add(MISSING, LOST, stop - at, undefined, 0, this.#lost)
        : stored === whole
          ? out.add(DATA, STATED, stop - at, this.#packed, starts[i] + inner, this.#why)
          : out.add(DATA, STATED, stop - at, this.#source(i, starts[i], stored, whole), inner, this.#why);
      if (!isAdded) return at;
      at = stop;
    }
    return end;
  }

  async load(): Promise<void> {
    if (this.#starts !== undefined) return;
    const chunks = Math.ceil(this.#size / this.#chunk);
    const width = this.#size >= LARGE ? 8 : 4;
    const table = new Uint8Array(Math.max(0, chunks - 1) * width);
    const starts = new Float64Array(chunks + 1);
    const gaps = table.length > this.#packed.size ? [{}] : await this.#packed.read(0, table);
    const view = viewOf(table);
    starts[0] = table.length;
    for (let i = 1; i < chunks; i++) {
      starts[i] = table.length + (width === 8 ? readU64(view, (i - 1) * 8) : view.getUint32((i - 1) * 4, true));
    }
    starts[chunks] = this.#packed.size;
    this.#starts =
      gaps.length > 0 || starts.some((at, i) => i > 0 && at < starts[i - 1]) ? new Float64Array(0) : starts;
  }

  #source(i: number, at: number, stored: number, whole: number): MadeSource {
    let made = this.#made.get(i);
    if (made === undefined) {
      made = new MadeSource(whole, xpressHuffman, [{ source: this.#packed, at, length: stored }]);
      this.#made.set(i, made, 512);
    }
    return made;
  }
}
