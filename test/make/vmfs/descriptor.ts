import { Bytes } from '../bytes.ts';
import { LARGE, putAddress, type Target } from './address.ts';
import { LFB, type Shape } from './shape.ts';
import type { Item, Run } from './tree.ts';

/** The address of one slot of a run. */
export function slotTarget(run: Run, slot: number, cow: boolean): Target {
  const index = run.type === LARGE ? run.index : run.index + (slot - run.slot);
  return { type: run.type, index, tbz: run.tbz, cow };
}

/** Fills the pointers of slots [first, first + count) that have a block. */
export function putPointers(shape: Shape, into: Bytes, at: number, item: Item, first: number, count: number): void {
  const cow = item.force === 'cow';
  for (const run of item.layout.runs) {
    const from = Math.max(run.slot, first);
    const end = Math.min(run.slot + run.count, first + count);
    for (let slot = from; slot < end; slot++) {
      putAddress(shape, into, at + (slot - first) * shape.pointer, slotTarget(run, slot, cow));
    }
  }
}

/** Fills the top pointers of a file that has pointer blocks. */
function putTops(shape: Shape, into: Bytes, at: number, item: Item): void {
  const n = shape.tableEntries;
  const top = item.layout.allocation === 'double' ? 2 : 1;
  const span = top === 2 ? n * n : n;
  for (const table of item.layout.tables) {
    if (table.level === top) putAddress(shape, into, at + (table.first / span) * shape.pointer, table.target);
  }
}

/** The bytes of the pointer block `index` of an item. */
export function tableBytes(shape: Shape, item: Item, index: number): Uint8Array {
  const n = shape.tableEntries;
  const table = item.layout.tables[index]!;
  const b = new Bytes(n * shape.pointer);
  if (table.level === 1) putPointers(shape, b, 0, item, table.first, n);
  else {
    for (const below of item.layout.tables) {
      if (below.level === 1 && below.first >= table.first && below.first < table.first + n * n) {
        putAddress(shape, b, ((below.first - table.first) / n) * shape.pointer, below.target);
      }
    }
  }
  return b.data;
}

/** Allocated blocks, in units of the file's block size; to-be-zeroed ones; large blocks. */
export function blockCounts(item: Item): { blocks: number; tbz: number; large: number } {
  let blocks = 0;
  let tbz = 0;
  const large = new Set<number>();
  for (const run of item.layout.runs) {
    blocks += run.count;
    if (run.tbz) tbz += run.count;
    if (run.type === LARGE) large.add(run.index);
  }
  return { blocks, tbz, large: large.size };
}

/** The FD that blocks of an item are booked to on VMFS6: files to their directory, directories to themselves. */
export function affinity(item: Item): number {
  return item.kind === 'file' || item.kind === 'symlink' || item.kind === 'rdm' ? item.parent!.address : item.address;
}

/** SCSI id of a raw device mapping, the structure of vmfs.md 1.2 and 4.4. */
function scsiId(item: Item): Bytes {
  const id = `naa.6000c29${item.number.toString(16).padStart(25, '0')}`.slice(0, 43);
  const b = new Bytes(78)
    .u8(0, 2)
    .u8(1, id.length)
    .u16(2, item.number & 0xff)
    .u8(5, 5);
  return b.text(6, 'VMware  ').text(14, 'Virtual disk    ').text(30, '2.0 ').text(34, id);
}

/** Metadata and data area of a descriptor: what follows the lock block, up to the end of the FD (vmfs.md 4.2). */
export function descriptorBytes(shape: Shape, item: Item): Uint8Array {
  const { layout } = item;
  const six = shape.version === 6;
  const lockArea = six ? shape.md : 0x200;
  const counts = blockCounts(item);
  const shift = Math.log2(layout.unit);
  const regular3 = shape.version === 3 && item.kind === 'file' ? 0o100000 : 0;
  const mode = item.path === '/.sdd.sf' ? 0o40700 : regular3 | item.mode;
  const b = new Bytes(shape.fdSize - lockArea)
    .u32(0, item.address)
    .u32(4, item.generation)
    .u32(8, item.links)
    .u32(0x0c, item.type)
    .u64(0x14, item.size)
    .u64(0x1c, layout.unit)
    .u64(0x24, counts.blocks)
    .u32(0x2c, item.mtime)
    .u32(0x30, item.ctime)
    .u32(0x34, item.atime)
    .u32(0x38, item.uid)
    .u32(0x3c, item.gid)
    .u32(0x40, mode)
    .u32(0x44, layout.zla)
    .u32(0x48, counts.tbz)
    .u32(0x4c, item.force === 'cow' ? counts.blocks : 0);
  if (shape.version !== 3) {
    b.u32(0x50, counts.blocks).u32(0x5c, layout.tables.length);
    b.u32(0x68, six && item.size > 0 ? affinity(item) : item.address);
    b.u32(0x6c, item.kind === 'directory' && !six ? shift : 20).u8(0x89, shift);
  }
  if (six) {
    if (item.kind === 'file' && counts.blocks > 0) b.u32(0x10, 1); // as on the real written file
    b.text(0x64, 'dmdf').u32(0x8c, counts.large);
    if (item.kind !== 'system' && item.parent !== item) b.u32(0x70, item.parent!.address);
  }
  if (six && item.path === '/.sbc.sf') {
    // Values of the real volume whose meaning is unknown; the 2 lies where inline data would (vmfs.md 4.2).
    b.u32(0x10, 8)
      .u32(0x74, 1)
      .u32(0x7c, 1)
      .u32(0x80, 1)
      .u32(shape.inlineAt - lockArea, 2);
  }
  const pointers = shape.pointersAt - lockArea;
  if (item.kind === 'rdm') b.raw(shape.inlineAt - lockArea, scsiId(item).data);
  else if (layout.allocation === 'inline')
    b.raw(shape.inlineAt - lockArea, item.content?.read(0, item.size) ?? new Uint8Array(0));
  else if (layout.tables.length > 0) putTops(shape, b, pointers, item);
  else putPointers(shape, b, pointers, item, 0, shape.fdPointers);
  return b.data;
}

/** Bytes without their zero tail, to whole sectors: the rest of the disk is zero already. */
export function trimmed(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return bytes.subarray(0, Math.min(bytes.length, Math.ceil(end / 512) * 512));
}

/** Volume offset of a slot's first byte for file blocks and large blocks. */
export function blockPosition(shape: Shape, item: Item, run: Run, slot: number): number {
  if (run.type === LARGE) {
    const { unit } = item.layout;
    return run.index * LFB + ((slot * unit) % LFB);
  }
  return (run.index + (slot - run.slot)) * shape.blockSize;
}
