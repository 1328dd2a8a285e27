import { FB, LARGE, PB, PB2, SB } from './address.ts';
import type { Blocks, Cursor, Pool } from './allocate.ts';
import { LFB, MIB, type Shape } from './shape.ts';
import type { Range } from './spec.ts';
import type { Item, Layout, Table, Want } from './tree.ts';

const ZLA = { fb: 1, sb: 2, pb: 3, pb2: 5, double: 0x10d0, inline: 0x10d1 } as const; // vmfs.md 4.3

/** Slots that the ranges touch, in file order; neighbours of one kind are joined. */
function wantsOf(size: number, unit: number, ranges: readonly Range[]): Want[] {
  const wants: Want[] = [];
  for (const range of ranges) {
    if (range.kind === 'hole' || range.length === 0) continue;
    if (range.offset + range.length > size) throw new Error('a range ends behind the file');
    const slot = Math.floor(range.offset / unit);
    const end = Math.ceil((range.offset + range.length) / unit);
    const last = wants.at(-1);
    if (last !== undefined && slot < last.slot + last.count) throw new Error('ranges must be block aligned and sorted');
    const tbz = range.kind === 'tbz';
    if (last !== undefined && last.tbz === tbz && last.slot + last.count === slot) last.count = end - last.slot;
    else wants.push({ slot, count: end - slot, tbz });
  }
  return wants;
}

/** A large block is allocated whole: slots of it that the file never wrote are to be zeroed. */
function slabs(wants: readonly Want[], slots: number): Want[] {
  const per = LFB / MIB;
  const out: Want[] = [];
  let done = 0;
  const push = (slot: number, end: number, tbz: boolean) => {
    for (let at = slot; at < end; ) {
      const stop = Math.min(end, (Math.floor(at / per) + 1) * per);
      out.push({ slot: at, count: stop - at, tbz });
      at = stop;
    }
  };
  for (const want of wants) {
    const slab = Math.floor(want.slot / per) * per;
    if (done > slab) push(done, want.slot, true);
    else {
      if (done % per !== 0) push(done, Math.min(slots, Math.ceil(done / per) * per), true);
      push(slab, want.slot, true);
    }
    done = want.slot + want.count;
    push(want.slot, done, want.tbz);
  }
  if (done % per !== 0) push(done, Math.min(slots, Math.ceil(done / per) * per), true);
  return out.filter((w) => w.count > 0);
}

/** Pointer blocks over the wanted slots; level 2 in front of its level 1. */
function tablesOf(wants: readonly Want[], entries: number, double: boolean, types: [number, number]): Table[] {
  const tables: Table[] = [];
  let lastOne = -1;
  let lastTwo = -1;
  for (const { slot, count } of wants) {
    for (let group = Math.floor(slot / entries); group * entries < slot + count; group++) {
      const two = Math.floor(group / entries);
      if (double && two !== lastTwo) {
        tables.push({ level: 2, first: two * entries * entries, target: { type: types[1], index: -1 } });
        lastTwo = two;
      }
      if (group !== lastOne) {
        tables.push({ level: 1, first: group * entries, target: { type: types[0], index: -1 } });
        lastOne = group;
      }
    }
  }
  return tables;
}

/** Chooses direct, single or double indirect for a file of `slots` blocks and plans its pointer blocks. */
export function mapBlocks(shape: Shape, item: Item, unit: number, wants: Want[], slots: number): Layout {
  const { fdPointers, tableEntries: n } = shape;
  const force = item.force;
  const layout: Layout = { allocation: 'direct', zla: ZLA.fb, unit, wants, runs: [], tables: [] };
  const twice = force === 'double' || force === 'double-pb' || slots > fdPointers * n;
  if (slots <= fdPointers && !twice && force !== 'indirect' && force !== 'pb2') return layout;
  if (twice && (shape.version === 3 || slots > fdPointers * n * n)) throw new Error(`${item.path} is too large`);
  const one = shape.version === 6 ? SB : PB;
  const two = shape.version === 6 ? SB : force === 'double-pb' ? PB : PB2;
  layout.allocation = twice ? 'double' : 'indirect';
  layout.zla = twice ? ZLA.double : force === 'pb2' ? ZLA.pb2 : ZLA.pb;
  layout.tables = tablesOf(wants, n, twice, [force === 'pb2' ? PB2 : one, two]);
  return layout;
}

function subBlocks(shape: Shape, item: Item): Layout {
  const count = Math.ceil(item.size / shape.subBlock);
  const wants = count > 0 ? [{ slot: 0, count, tbz: false }] : [];
  return { allocation: 'sub-block', zla: ZLA.sb, unit: shape.subBlock, wants, runs: [], tables: [] };
}

/** The layout ESXi would choose for an item by kind and size, or the one it was forced to. */
export function planLayout(shape: Shape, item: Item, isRoot: boolean): Layout {
  const { size, force } = item;
  const inline = {
    allocation: 'inline',
    zla: ZLA.inline,
    unit: shape.subBlock,
    wants: [],
    runs: [],
    tables: [],
  } as const;
  if (item.kind === 'rdm') {
    return {
      ...inline,
      allocation: 'none',
      zla: shape.version === 3 ? ZLA.fb : ZLA.inline,
      wants: [],
      runs: [],
      tables: [],
    };
  }
  if (item.kind === 'directory') {
    if (!isRoot && size <= shape.subBlock * shape.fdPointers && force !== 'direct') return subBlocks(shape, item);
  } else if (
    (force === undefined && (item.ranges?.every((r) => r.kind === 'data') ?? true)) ||
    force === 'sub-blocks'
  ) {
    // Real VMFS5 keeps even a five-byte link target in a sub-block, VMFS6 keeps it in the FD (vmfs.md 4.5).
    const resident = shape.version === 6 || (shape.version === 5 && item.kind === 'file');
    const asked = force === 'sub-blocks';
    if (resident && size <= shape.inlineLimit && !asked) {
      return { ...inline, wants: [], runs: [], tables: [] };
    }
    if (size <= shape.subBlock || (asked && size <= shape.subBlock * shape.fdPointers)) return subBlocks(shape, item);
  }
  const ranges = item.ranges ?? [{ offset: 0, length: size, kind: 'data' }];
  if (force === 'lfb-direct') {
    const slots = Math.ceil(size / LFB);
    const touched = ranges.filter((r) => r.kind === 'data');
    const wants: Want[] = [];
    for (let slot = 0; slot < slots; slot++) {
      const from = slot * LFB;
      const any = touched.some((r) => r.offset < from + LFB && r.offset + r.length > from);
      if (any) wants.push({ slot, count: 1, tbz: false });
    }
    return mapBlocks(shape, item, LFB, wants, slots);
  }
  const slots = Math.ceil(size / shape.blockSize);
  const wants = wantsOf(size, shape.blockSize, ranges);
  return mapBlocks(shape, item, shape.blockSize, force === 'lfb' ? slabs(wants, slots) : wants, slots);
}

function append(item: Item, slot: number, type: number, index: number, tbz: boolean): void {
  const runs = item.layout.runs;
  const last = runs.at(-1);
  if (last !== undefined && last.type === type && last.tbz === tbz && last.slot + last.count === slot) {
    if (type === LARGE ? last.index === index : last.index + last.count === index) {
      last.count++;
      return;
    }
  }
  runs.push({ slot, count: 1, tbz, type, index });
}

/** Takes sub-blocks for all wanted slots of an item. */
export function takeSubBlocks(item: Item, pool: Pool, owner: number): void {
  for (const want of item.layout.wants) {
    for (let i = 0; i < want.count; i++) append(item, want.slot + i, SB, pool.take(owner), false);
  }
}

/** Takes large blocks: one for each 512 MiB of the file that is wanted at all. */
export function takeLarge(item: Item, blocks: Blocks, from: number): void {
  const per = LFB / item.layout.unit;
  let slab = -1;
  let large = -1;
  for (const want of item.layout.wants) {
    for (let i = 0; i < want.count; i++) {
      const slot = want.slot + i;
      if (Math.floor(slot / per) !== slab) {
        slab = Math.floor(slot / per);
        large = blocks.wholeCluster(large < 0 ? from : large);
        for (let b = 0; b < blocks.perCluster; b++) blocks.take(large * blocks.perCluster + b);
      }
      append(item, slot, LARGE, large, want.tbz);
    }
  }
}

/** A file that takes its blocks a few at a time, so that several can grow in turns. */
export class Growth {
  readonly #item: Item;
  readonly #cursor: Cursor;
  #want = 0;
  #done = 0;

  constructor(item: Item, cursor: Cursor) {
    this.#item = item;
    this.#cursor = cursor;
  }

  /** Takes up to `count` blocks; false when the file has all it wants. */
  grow(count: number): boolean {
    const wants = this.#item.layout.wants;
    for (let left = count; left > 0; left--) {
      const want = wants[this.#want];
      if (want === undefined) return false;
      append(this.#item, want.slot + this.#done, FB, this.#cursor.next(), want.tbz);
      if (++this.#done === want.count) {
        this.#want++;
        this.#done = 0;
      }
    }
    return this.#want < wants.length;
  }
}

/** Where a placed file starts taking blocks. */
export function startOf(item: Item, blocks: Blocks): number {
  const count = item.layout.wants.reduce((sum, w) => sum + w.count, 0);
  if (item.place === 'end') return blocks.total - count;
  if (item.place === 'wrap') {
    const free = blocks.wholeCluster(Math.floor(blocks.total / blocks.perCluster / 2));
    return free * blocks.perCluster + blocks.perCluster - Math.ceil(Math.min(count, blocks.perCluster) / 2);
  }
  return Math.floor(blocks.total * (item.place as number));
}
