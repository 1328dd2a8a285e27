/** Which blocks of an XFS volume are free: a tree for each AG, read whole when the AG is first asked about. */
import { crc32c } from '../../../codec/crc32c.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { TableCache } from '../../../core/tables.ts';
import { agByteOf, type Geometry } from './geometry.ts';
import { AGF_CRC_AT, agFree, FREE_MAGIC, SHORT_BYTES, SHORT_CRC_AT, shortBlock } from './structs.ts';

/** Blocks of one tree that are read; an AG of 1 TiB in the smallest blocks, all in pieces, has fewer. */
const MAX_NODES = 200_000;
const UNREADABLE = 'unreadable';

/** Free stretches of one AG, in order, in blocks of the AG. */
interface FreeList {
  readonly from: Float64Array;
  readonly end: Float64Array;
  readonly n: number;
}

export class FreeSpace {
  readonly #source: Source;
  readonly #g: Geometry;
  readonly #lists = new TableCache<FreeList | typeof UNREADABLE>();

  constructor(source: Source, geometry: Geometry) {
    this.#source = source;
    this.#g = geometry;
  }

  /**
   * What is known of the block `block` of an AG, and up to which block that holds: in use, free, or unknown because its
   * tree cannot be read. Undefined where the AG was not loaded.
   */
  at(
    ag: number,
    block: number,
  ): { readonly state: 'used' | 'free' | typeof UNREADABLE; readonly end: number } | undefined {
    const list = this.#lists.get(ag);
    const { agBlocks } = this.#g.super;
    if (list === undefined) return undefined;
    if (list === UNREADABLE) return { state: UNREADABLE, end: agBlocks };
    let low = -1;
    let high = list.n;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (list.from[middle] <= block) low = middle;
      else high = middle;
    }
    if (low >= 0 && block < list.end[low]) return { state: 'free', end: list.end[low] };
    return { state: 'used', end: low + 1 < list.n ? list.from[low + 1] : agBlocks };
  }

  /** Whether the byte `at` of the volume is free; undefined where the tree of its AG cannot be read. */
  async isFree(at: number): Promise<boolean | undefined> {
    const block = Math.floor(at / this.#g.blockSize);
    const { agBlocks, agCount } = this.#g.super;
    const ag = Math.floor(block / agBlocks);
    if (ag >= agCount) return undefined;
    await this.load(ag);
    const state = this.at(ag, block % agBlocks)?.state;
    return state === 'free' || state === 'used' ? state === 'free' : undefined;
  }

  async load(ag: number): Promise<void> {
    if (this.#lists.get(ag) !== undefined) return;
    const list = await this.#read(ag);
    this.#lists.set(ag, list, list === UNREADABLE ? 64 : list.n * 16 + 64);
  }

  async #read(ag: number): Promise<FreeList | typeof UNREADABLE> {
    const g = this.#g;
    const base = agByteOf(g, ag, 0);
    if (base === undefined) return UNREADABLE;
    const head = new Uint8Array(g.super.sectorSize);
    const gaps = await this.#source.read(base + head.length, head);
    const found = agFree.decode(head);
    const sums = !g.isChecked || crc32c(head, AGF_CRC_AT) === viewOf(head).getUint32(AGF_CRC_AT, true);
    if (gaps.length > 0 || agFree.violations(found).length > 0 || !sums || found.number !== ag) return UNREADABLE;
    const pairs: [number, number][] = [];
    let total = 0;
    const seen = new Set<number>();
    const queue: [block: number, level: number][] = [[found.byBlockRoot, found.byBlockLevels - 1]];
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      const [block, level] = next;
      const at = agByteOf(g, ag, block);
      if (at === undefined || seen.has(block) || seen.size > MAX_NODES) return UNREADABLE;
      seen.add(block);
      const bytes = await readShort(this.#source, g, at, level, FREE_MAGIC);
      if (bytes === undefined) return UNREADABLE;
      const { records } = shortBlock.decode(bytes);
      const view = viewOf(bytes);
      const first = g.isChecked ? SHORT_BYTES.checked : SHORT_BYTES.old;
      // Nodes hold keys of 8 bytes and, behind room for as many as fit, pointers of 4.
      const most = Math.floor((bytes.length - first) / (level === 0 ? 8 : 12));
      if (records > most) return UNREADABLE;
      for (let i = 0; i < records; i++) {
        if (level > 0) queue.push([view.getUint32(first + most * 8 + i * 4, false), level - 1]);
        else {
          const [start, count] = [view.getUint32(first + i * 8, false), view.getUint32(first + i * 8 + 4, false)];
          pairs.push([start, count]);
          total += count;
        }
      }
    }
    // The list of blocks kept for trees is counted apart.
    if (total !== found.blocksFree) return UNREADABLE;
    pairs.sort((a, b) => a[0] - b[0]);
    const list = { from: new Float64Array(pairs.length), end: new Float64Array(pairs.length), n: pairs.length };
    for (const [i, [start, count]] of pairs.entries()) {
      list.from[i] = start;
      list.end[i] = start + count;
    }
    return list;
  }
}

/** Reads a block of a tree of an AG; undefined where it is not one of the kind and the level wanted, or its sum fails. */
export async function readShort(
  source: Source,
  g: Geometry,
  at: number,
  level: number,
  magic: { readonly old: number; readonly checked: number },
): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(g.blockSize);
  if (at + bytes.length > source.size || (await source.read(at, bytes)).length > 0) return undefined;
  const head = shortBlock.decode(bytes);
  if (head.magic !== (g.isChecked ? magic.checked : magic.old) || head.level !== level) return undefined;
  const agrees = !g.isChecked || crc32c(bytes, SHORT_CRC_AT) === viewOf(bytes).getUint32(SHORT_CRC_AT, true);
  return agrees ? bytes : undefined;
}
