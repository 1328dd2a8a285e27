/** Checksums of data, and what they tell of each copy of it. */
import { crc32c } from '../../../codec/crc32c.ts';
import { NO_SUM } from '../../../codec/summed.ts';
import { type Checker, OTHER, SOUND, WRONG } from '../../../core/checked.ts';
import type { Why } from '../../../core/run.ts';
import type { Gap, Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import type { Chunks } from './chunks.ts';
import { DATA_SUM, SUM_BYTES, SUM_TREE } from './structs.ts';
import type { Volume } from './volume.ts';

type Chunk = Chunks['all'][number];

/** All sums stand under one object, the tenth from the end of all numbers. */
const SUMS = Number.POSITIVE_INFINITY;

/** A sum that the volume keeps, and the logical place of the sector it is of. */
type Visit = (place: number, node: Uint8Array, at: number) => void;

/** Calls `visit` with the sum of each sector of a logical stretch, where the volume keeps one. */
async function eachSum(volume: Volume, from: number, length: number, visit: Visit): Promise<void> {
  const tree = await volume.tree(SUM_TREE);
  if (tree === undefined) return;
  const { sectorSize } = volume.super.block;
  const { sumBytes } = volume.super;
  const { node } = await tree.leaf({ objectid: SUMS, type: DATA_SUM, offset: from });
  // Sums of a place may stand in an item that begins before it.
  let start = from;
  for (let i = 0; i < (node?.n ?? 0); i++)
    if (node!.type[i] === DATA_SUM && node!.offset[i] <= from) start = node!.offset[i];
  const first = { objectid: SUMS, type: DATA_SUM, offset: start };
  for await (const item of tree.items(first, { objectid: SUMS, type: DATA_SUM, offset: from + length - 1 })) {
    // A volume that was not unmounted has not written anything over what these sums are of.
    if ('lost' in item || (item.doubt !== undefined && item.doubt !== volume.doubt)) continue;
    const skip = Math.max(0, Math.floor((from - item.offset) / sectorSize));
    for (let i = skip; (i + 1) * sumBytes <= item.size; i++) {
      const place = item.offset + i * sectorSize;
      if (place >= from + length) break;
      if (place >= from) visit(place, item.node.bytes, item.at + i * sumBytes);
    }
  }
}

/** Holds the bytes of a chunk against the sums that the volume keeps of them. */
export class DataSums implements Checker {
  readonly unit: number;
  readonly ways: readonly Source[];
  readonly why: Why;
  readonly #volume: Volume;
  readonly #logical: number;
  readonly #isPlain: boolean;
  /** Buffers at rest: as many as checks were ever under way at once. */
  readonly #kept: { room: Uint8Array; sums: Uint8Array }[] = [];

  constructor(volume: Volume, chunk: Chunk) {
    this.#volume = volume;
    this.#logical = chunk.logical;
    this.#isPlain = volume.super.block.sumType === 0;
    this.unit = volume.super.block.sectorSize;
    this.ways = [chunk.best, ...chunk.others()];
    this.why = { what: 'the btrfs checksum of these bytes, which is another one', code: 'btrfs.data.checksum' };
  }

  async check(from: number, end: number): Promise<Uint8Array> {
    const { unit, ways } = this;
    const verdicts = new Uint8Array(Math.ceil((end - from) / unit)).fill(SOUND);
    const kept = this.#kept.pop() ?? { room: new Uint8Array(0), sums: new Uint8Array(0) };
    if (kept.room.length < end - from) {
      kept.room = new Uint8Array(end - from);
      kept.sums = new Uint8Array(verdicts.length * SUM_BYTES);
    }
    const { sumBytes } = this.#volume.super;
    const places: number[] = [];
    await eachSum(this.#volume, this.#logical + from, end - from, (place, node, at) => {
      for (let i = 0; i < sumBytes; i++) kept.sums[places.length * sumBytes + i] = node[at + i];
      places.push(place - this.#logical);
    });
    const block = kept.room.subarray(0, end - from);
    const gaps = places.length === 0 ? [] : await ways[0].read(from, block);
    for (const [i, at] of places.entries()) {
      const bytes = block.subarray(at - from, at - from + unit);
      const sum = kept.sums.subarray(i * sumBytes, (i + 1) * sumBytes);
      const isThere = !touches(gaps, at, unit);
      // A chunk may end within its last sector where it is damaged: nobody has a sum of that.
      if (bytes.length < unit || (isThere && this.#agrees(bytes, sum))) continue;
      const way = await this.#otherWay(at, sum);
      // What cannot be read at all says so by itself.
      verdicts[(at - from) / unit] = way !== undefined ? OTHER + way : isThere ? WRONG : SOUND;
      if (isThere) this.#tell(at + this.#logical, way !== undefined);
    }
    this.#kept.push(kept);
    return verdicts;
  }

  async sums(from: number, end: number): Promise<Float64Array | undefined> {
    if (!this.#isPlain) return undefined;
    const out = new Float64Array((end - from) / this.unit).fill(NO_SUM);
    let n = 0;
    await eachSum(this.#volume, this.#logical + from, end - from, (place, node, at) => {
      n++;
      out[(place - this.#logical - from) / this.unit] = viewOf(node).getUint32(at, true);
    });
    // Where there is none there is nothing to hold it against: that is soon known.
    return n === 0 ? undefined : out;
  }

  /** The first of the other ways that agrees with a sum, counted from 0. */
  async #otherWay(at: number, sum: Uint8Array): Promise<number | undefined> {
    const sector = new Uint8Array(this.unit);
    for (const [i, way] of this.ways.slice(1).entries()) {
      const gaps = await way.read(at, sector);
      if (gaps.length === 0 && this.#agrees(sector, sum)) return i;
    }
    return undefined;
  }

  #agrees(bytes: Uint8Array, sum: Uint8Array): boolean {
    // The usual one without room for it: there is one each sector.
    if (this.#isPlain) return crc32c(bytes) === (sum[0] | (sum[1] << 8) | (sum[2] << 16) | (sum[3] << 24)) >>> 0;
    const own = this.#volume.super.sum(bytes);
    for (let i = 0; i < sum.length; i++) if (own[i] !== sum[i]) return false;
    return true;
  }

  #tell(place: number, isMended: boolean): void {
    const effect = isMended
      ? 'a copy that agrees is read instead'
      : 'no copy of it agrees, and what is read is guessed';
    this.#volume.note(
      place,
      this.why.code!,
      'bytes with the checksum that is kept of them',
      'another checksum',
      effect,
    );
  }
}

function touches(gaps: readonly Gap[], at: number, length: number): boolean {
  return gaps.some((gap) => gap.offset < at + length && gap.offset + gap.length > at);
}
