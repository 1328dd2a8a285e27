/** Pointer blocks: tables of addresses, read once and kept in the process's table cache. Source: vmfs.md section 4.3. */

import { flatten } from '../../../core/resolve.ts';
import { type Certainty, INFERRED, MISSING, RunList, STATED, type Why } from '../../../core/run.ts';
import type { Gap } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import { addressText, clusterOf, POINTER_BLOCK, POINTER_BLOCK_2, resourceOf, SUB_BLOCK, typeOf } from './address.ts';
import type { Geometry } from './geometry.ts';
import type { ResourceFile, ResourceKind } from './resource.ts';

/** A list of pointers: a pointer block's, or a file descriptor's own. */
export interface PointerTable {
  /** It names nothing at all, though it is named itself: ESXi frees such blocks, so its pointers are lost, not holes. */
  readonly empty?: boolean;
  /** u32 words: one per pointer on VMFS3 and 5, two (low, high) on VMFS6. */
  readonly words: Uint32Array;
  /** Pointers that could not be read, as [from, to) pairs of indexes; they stand as zero in `words`. */
  readonly lost: readonly (readonly [number, number])[];
  readonly certainty: Certainty;
  readonly why: Why;
}

export type ResourceFiles = Readonly<Partial<Record<ResourceKind, ResourceFile>>>;

const KINDS: Readonly<Record<number, ResourceKind>> = {
  [SUB_BLOCK]: 'sbc',
  [POINTER_BLOCK]: 'pbc',
  [POINTER_BLOCK_2]: 'pb2',
};
const KEY_OF: Readonly<Record<ResourceKind, number>> = { sbc: 1, pbc: 2, pb2: 3, fdc: 4, fbb: 5 };

/** Where the resource that an address names lies: which resource file, and the offset in it. */
interface Resource {
  readonly file: ResourceFile;
  readonly offset: number;
}

/** Follows a sub-block, pointer-block or PB2 address into its resource file; undefined where it leads nowhere. */
export function resourceAt(g: Geometry, files: ResourceFiles, low: number, high: number): Resource | undefined {
  const kind = KINDS[typeOf(low)];
  const file = kind === undefined ? undefined : files[kind];
  const offset = file?.offsetOf(clusterOf(g, low, high), resourceOf(g, low, high));
  if (file === undefined || offset === undefined || offset >= file.source.size) return undefined;
  return { file, offset };
}

/** All pointer blocks of one volume. */
export class PointerTables {
  readonly #g: Geometry;
  readonly #files: ResourceFiles;
  readonly #cache = new TableCache<PointerTable>();

  /** `files` may still be filled while the volume opens its resource files one after the other. */
  constructor(g: Geometry, files: ResourceFiles) {
    this.#g = g;
    this.#files = files;
  }

  /** The table an address names: itself where it is in memory, 'unread' where it has to be loaded, or undefined. */
  get(low: number, high: number): PointerTable | 'unread' | undefined {
    const place = resourceAt(this.#g, this.#files, low, high);
    if (place === undefined) return undefined;
    return this.#cache.get(keyOf(place)) ?? 'unread';
  }

  /** Reads a table unless it is in memory. Undefined where the address leads nowhere. */
  async load(low: number, high: number): Promise<PointerTable | undefined> {
    const place = resourceAt(this.#g, this.#files, low, high);
    if (place === undefined) return undefined;
    const known = this.#cache.get(keyOf(place));
    if (known !== undefined) return known;
    const block = new Uint8Array(this.#g.pointerBlockBytes);
    const gaps = await place.file.source.read(place.offset, block);
    const doubted = await this.#doubt(place, block.length);
    const table: PointerTable = {
      words: new Uint32Array(block.buffer),
      empty: gaps.length === 0 && block.every((byte) => byte === 0),
      lost: lostPointers(gaps, place.offset, this.#g.pointerWords * 4),
      certainty: doubted === undefined ? STATED : INFERRED,
      why: {
        what: `VMFS${this.#g.version} pointer block ${addressText(low, high)}`,
        source: place.file.source,
        at: place.offset,
        ...(doubted !== undefined && { code: doubted }),
      },
    };
    this.#cache.set(keyOf(place), table, block.length);
    return table;
  }

  /** Drops all tables, so that they are read and checked again. */
  forget(): void {
    this.#cache.clear();
  }

  /** What speaks against the bytes of a table: its resource file's header, or the blocks that file leads to. */
  async #doubt(place: Resource, length: number): Promise<string | undefined> {
    if (!place.file.sound) return 'vmfs.resource-header';
    const list = new RunList(8);
    const end = place.offset + length;
    // Down to the evidence: holes that a table names have no bytes that would carry the doubts of what lies below.
    for (let at = place.offset; at < end; ) {
      list.clear();
      at = await flatten(place.file.source, at, end, list);
      for (let i = 0; i < list.n; i++) {
        if (list.certainty(i) < STATED && list.state(i) !== MISSING) return list.why(i)?.code ?? 'vmfs.resource-header';
      }
    }
    return undefined;
  }
}

function keyOf(place: Resource): number {
  return KEY_OF[place.file.kind] * 2 ** 48 + place.offset;
}

/** Gaps of a read that began at `from`, as ranges of pointers of `width` bytes. */
export function lostPointers(gaps: readonly Gap[], from: number, width: number): (readonly [number, number])[] {
  return gaps.map((gap) => {
    const start = gap.offset - from;
    return [Math.floor(start / width), Math.ceil((start + gap.length) / width)] as const;
  });
}

/** Whether pointer `index` was among those that could not be read. */
export function isLost(table: PointerTable, index: number): boolean {
  return table.lost.some(([from, to]) => index >= from && index < to);
}
