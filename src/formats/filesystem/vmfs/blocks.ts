/** The map of one file: from offsets in the file to blocks of the volume. Source: vmfs.md section 4.3. */
import {
  type Certainty,
  DATA,
  INFERRED,
  LOST,
  MISSING,
  type RunList,
  type Why,
  weaker,
  ZERO,
} from '../../../core/run.ts';
import type { Mapping, Source } from '../../../core/source.ts';
import {
  FILE_BLOCK,
  fileBlockAt,
  fileBlockFits,
  LARGE_BLOCK,
  SUB_BLOCK,
  TBZ_NO,
  TBZ_PART,
  tbzOf,
  typeOf,
} from './address.ts';
import { type Allocation, UNREAD } from './allocation.ts';
import type { Claims } from './claims.ts';
import type { Descriptor } from './descriptor.ts';
import type { Geometry } from './geometry.ts';
import { ZLA_DOUBLE, ZLA_FILE_BLOCK, ZLA_POINTER_BLOCK, ZLA_POINTER_BLOCK_2, ZLA_SUB_BLOCK } from './structs.ts';
import { isLost, type PointerTable, type PointerTables, type ResourceFiles, resourceAt } from './tables.ts';

/** Levels of pointer blocks between a descriptor's pointers and the blocks, or undefined for no such scheme. */
export function levelsOf(zla: number): number | undefined {
  if (zla === ZLA_FILE_BLOCK || zla === ZLA_SUB_BLOCK) return 0;
  if (zla === ZLA_POINTER_BLOCK || zla === ZLA_POINTER_BLOCK_2) return 1;
  return zla === ZLA_DOUBLE ? 2 : undefined;
}

/** What a map needs of the volume that its file lives on. */
interface Ground {
  readonly geometry: Geometry;
  readonly volume: Source;
  readonly files: ResourceFiles;
  readonly tables: PointerTables;
  readonly allocation: Allocation;
}

export class BlockMap implements Mapping {
  readonly #ground: Ground;
  readonly #g: Geometry;
  readonly #unit: number;
  readonly #levels: number;
  #top: PointerTable;
  readonly #address: number;
  #claims: Claims | undefined;
  /** Bitmaps are asked too; for the files that bitmaps are read through they were asked before. */
  readonly #asksBitmaps: boolean;
  /** Whys by the table they belong to and the check that failed, so that runs can merge. */
  readonly #reasons = new Map<Why, Map<string, Why>>();

  /** `claims` are what all descriptors together say; absent while the volume itself is being opened. */
  constructor(ground: Ground, fd: Descriptor, levels: number, certainty: Certainty, claims?: Claims) {
    this.#ground = ground;
    this.#g = ground.geometry;
    this.#unit = fd.unit;
    this.#levels = levels;
    const empty = fd.blocks > 0 && fd.pointers.every((word) => word === 0);
    this.#top = { words: fd.pointers, empty, lost: fd.lostPointers, certainty, why: fd.why };
    this.#address = fd.address;
    this.#claims = claims;
    this.#asksBitmaps = claims !== undefined;
  }

  /** From now on checks pointers against claims that were not known when the volume was opened. */
  check(claims: Claims): void {
    this.#claims = claims;
    const failed = claims.descriptor(this.#address);
    if (failed === undefined) return;
    const why = this.#reason(this.#top.why, failed);
    this.#top = { ...this.#top, certainty: weaker(this.#top.certainty, INFERRED), why };
  }

  runs(from: number, end: number, out: RunList): number {
    let at = from;
    while (at < end) {
      const found = this.#descend(at, end, out);
      if (found === 'unread') return at;
      const reached = typeof found === 'number' ? found : this.#leaves(found.table, found.index, at, end, out);
      if (reached === at) return at; // the list is full
      at = reached;
    }
    return at;
  }

  async load(at: number): Promise<void> {
    let span = this.#unit * this.#g.pointersPerBlock ** this.#levels;
    let table = this.#top;
    let index = Math.floor(at / span);
    for (let level = this.#levels; level > 0; level--) {
      const [low, high] = this.#pointer(table, index);
      const next = await this.#ground.tables.load(low, high);
      if (next === undefined) return;
      table = next;
      span /= this.#g.pointersPerBlock;
      index = Math.floor(at / span) % this.#g.pointersPerBlock;
    }
    // The repeated large block of an empty slot has no bitmap of small blocks to ask for.
    const [low, high] = this.#pointer(table, index);
    if (this.#asksBitmaps) await this.#ground.allocation.load(fileBlockAt(this.#g, low, high));
  }

  /** Walks down to the table whose pointers name blocks; or emits a whole hole or loss and answers its end. */
  #descend(at: number, end: number, out: RunList): { table: PointerTable; index: number } | 'unread' | number {
    let span = this.#unit * this.#g.pointersPerBlock ** this.#levels;
    let table = this.#top;
    let index = Math.floor(at / span);
    if (index >= this.#g.pointers) {
      return this.#emit(out, MISSING, LOST, at, end, this.#reason(table.why, 'vmfs.no-pointer'));
    }
    for (let level = this.#levels; level > 0; level--) {
      const [low, high] = this.#pointer(table, index);
      const stop = Math.min(end, (Math.floor(at / span) + 1) * span);
      if (low === 0 && high === 0) return this.#nothing(table, index, at, stop, out);
      const next = this.#ground.tables.get(low, high);
      if (next === 'unread') return 'unread';
      if (next === undefined) {
        return this.#emit(out, MISSING, LOST, at, stop, this.#reason(table.why, 'vmfs.pointer-block'));
      }
      const verdict = this.#claims?.resource(low, high);
      const certainty = weaker(
        weaker(table.certainty, next.certainty),
        verdict === undefined ? table.certainty : INFERRED,
      );
      const why = verdict === undefined ? next.why : this.#reason(next.why, verdict);
      table = { ...next, certainty, why };
      span /= this.#g.pointersPerBlock;
      index = Math.floor(at / span) % this.#g.pointersPerBlock;
    }
    return { table, index };
  }

  /** Emits runs for the pointers of one table from `index` on; answers the offset reached. */
  #leaves(table: PointerTable, index: number, from: number, end: number, out: RunList): number {
    const count = table.words.length / this.#g.pointerWords;
    let at = from;
    for (let i = index; i < count && at < end; i++) {
      const stop = Math.min(end, (Math.floor(at / this.#unit) + 1) * this.#unit);
      const reached = this.#leaf(table, i, at, stop, out);
      if (reached === at) return at;
      at = reached;
    }
    return at;
  }

  #leaf(table: PointerTable, index: number, at: number, stop: number, out: RunList): number {
    let [low, high] = this.#pointer(table, index);
    let { certainty, why } = table;
    if (low === 0 && high === 0) {
      const large = this.#largeBlockBelow(table, index);
      if (large === undefined) return this.#nothing(table, index, at, stop, out);
      [low, high] = large;
      certainty = weaker(certainty, INFERRED);
      why = this.#reason(why, 'vmfs.large-block-repeated');
    }
    const type = typeOf(low);
    if (type === SUB_BLOCK) return this.#subBlock(low, high, at, stop, certainty, why, out);
    if (type !== FILE_BLOCK && (type !== LARGE_BLOCK || this.#g.version !== 6)) {
      return this.#emit(out, MISSING, LOST, at, stop, this.#reason(why, 'vmfs.pointer-type'));
    }
    const size = type === LARGE_BLOCK ? this.#g.largeBlock : this.#g.blockSize;
    const start = fileBlockAt(this.#g, low, high);
    const inner = at % Math.max(size, this.#unit);
    if (start + size > this.#ground.volume.size || inner >= size || !fileBlockFits(this.#g, low, high)) {
      return this.#emit(out, MISSING, LOST, at, stop, this.#reason(why, 'vmfs.pointer-range'));
    }
    const tbz = tbzOf(this.#g, low);
    const verdict = tbz === TBZ_PART ? 'vmfs.tbz-part' : this.#verdict(type, start);
    if (verdict === UNREAD) return at;
    if (verdict !== undefined) {
      certainty = weaker(certainty, INFERRED);
      why = this.#reason(why, verdict);
    }
    if (tbz !== TBZ_NO) return this.#emit(out, ZERO, certainty, at, stop, why);
    return this.#emit(out, DATA, certainty, at, stop, why, this.#ground.volume, start + inner);
  }

  /** The check that a block fails against all other metadata; none while the volume itself is being opened. */
  #verdict(type: number, start: number): string | undefined {
    if (this.#claims === undefined) return undefined;
    const failed = this.#claims.block(type, start);
    return failed !== undefined || !this.#asksBitmaps ? failed : this.#ground.allocation.verdict(type, start);
  }

  #subBlock(low: number, high: number, at: number, stop: number, own: Certainty, why: Why, out: RunList): number {
    const place = resourceAt(this.#g, this.#ground.files, low, high);
    const inner = at % this.#unit;
    if (place === undefined || inner >= this.#g.subBlockSize) {
      return this.#emit(out, MISSING, LOST, at, stop, this.#reason(why, 'vmfs.pointer-range'));
    }
    const verdict = place.file.sound ? this.#claims?.resource(low, high) : 'vmfs.resource-header';
    const certainty = verdict === undefined ? own : weaker(own, INFERRED);
    const reason = verdict === undefined ? why : this.#reason(why, verdict);
    return this.#emit(out, DATA, certainty, at, stop, reason, place.file.source, place.offset + inner);
  }

  /** A pointer of zero: a hole, unless it is one that could not be read. */
  #nothing(table: PointerTable, index: number, at: number, stop: number, out: RunList): number {
    if (table.lost.length > 0 && isLost(table, index)) {
      return this.#emit(out, MISSING, LOST, at, stop, this.#reason(table.why, 'vmfs.pointers-unreadable'));
    }
    // A descriptor that counts as many blocks as it leads to has had its holes counted, too.
    if (table.empty === true && (this.#claims === undefined || this.#claims.descriptor(this.#address) !== undefined)) {
      return this.#emit(out, MISSING, LOST, at, stop, this.#reason(table.why, 'vmfs.pointers-empty'));
    }
    return this.#emit(out, ZERO, table.certainty, at, stop, table.why);
  }

  /** The large block that covers an empty slot, where only the first of its 512 slots names it (VMFS6). */
  #largeBlockBelow(table: PointerTable, index: number): readonly [number, number] | undefined {
    if (this.#g.version !== 6 || this.#unit !== this.#g.blockSize) return undefined;
    const first = index - (index % this.#g.blocksPerCluster);
    if (first === index || first * 2 >= table.words.length) return undefined;
    const pointer = this.#pointer(table, first);
    return typeOf(pointer[0]) === LARGE_BLOCK ? pointer : undefined;
  }

  #pointer(table: PointerTable, index: number): readonly [number, number] {
    if (this.#g.pointerWords === 1) return [table.words[index], 0];
    return [table.words[2 * index], table.words[2 * index + 1]];
  }

  /** Adds a run of [at, stop); answers stop, or `at` where the list is full. */
  #emit(
    out: RunList,
    state: typeof DATA | typeof ZERO | typeof MISSING,
    certainty: Certainty,
    at: number,
    stop: number,
    why: Why,
    source?: Source,
    place = 0,
  ): number {
    return out.add(state, certainty, stop - at, source, place, why) ? stop : at;
  }

  #reason(why: Why, code: string): Why {
    let byCode = this.#reasons.get(why);
    if (byCode === undefined) {
      // Bounded: one table at a time is enough, runs of the one before have been emitted.
      if (this.#reasons.size > 64) this.#reasons.clear();
      byCode = new Map();
      this.#reasons.set(why, byCode);
    }
    let reason = byCode.get(code);
    if (reason === undefined) {
      reason = { ...why, code };
      byCode.set(code, reason);
    }
    return reason;
  }
}
