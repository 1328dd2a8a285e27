/** Which blocks an ext2, ext3 or ext4 file system has taken. Source: the kernel's ext4 documentation, "Block Groups". */
import type { Source } from '../../../core/source.ts';
import { struct, u16, u32, viewOf } from '../../../core/struct.ts';
import { bitRuns, type Stretch } from './stretch.ts';

const SUPER_AT = 1024;
const MAGIC = 0xef53;
const INCOMPAT_META_BG = 0x10;
const INCOMPAT_64BIT = 0x80;
const RO_SPARSE_SUPER = 1;
const INODE_UNINIT = 1;
const BLOCK_UNINIT = 2;
const INODES_ZEROED = 4;
/** Groups of the largest file system that is looked at: 2 PiB with 4 KiB blocks. */
const MAX_GROUPS = 2 ** 24;

const superBlock = struct('ext superblock', 1024, {
  blocks: u32(0x04),
  firstBlock: u32(0x14, { max: 1 }),
  blockShift: u32(0x18, { max: 6 }),
  blocksPerGroup: u32(0x20, { min: 256, max: 524_288 }),
  inodesPerGroup: u32(0x28, { min: 1, max: 524_288 }),
  magic: u16(0x38, { oneOf: [MAGIC] }),
  inodeSize: u16(0x58),
  incompat: u32(0x60),
  roCompat: u32(0x64),
  reservedGdt: u16(0xce),
  descriptorSize: u16(0xfe),
  blocksHigh: u32(0x150),
});

/** Yields what is taken, in no order; nothing where this is no such file system. */
export async function* extAllocated(source: Source): AsyncGenerator<Stretch> {
  const block = new Uint8Array(1024);
  if (source.size < 4096) return;
  await source.read(SUPER_AT, block);
  const sb = superBlock.decode(block);
  if (superBlock.violations(sb).length > 0) return;
  const unit = 1024 << sb.blockShift;
  const wide = (sb.incompat & INCOMPAT_64BIT) !== 0;
  const total = sb.blocks + (wide ? sb.blocksHigh * 2 ** 32 : 0);
  const groups = Math.ceil((total - sb.firstBlock) / sb.blocksPerGroup);
  if (!(groups >= 1 && groups <= MAX_GROUPS) || (sb.incompat & INCOMPAT_META_BG) !== 0) return;
  const size = wide && sb.descriptorSize >= 64 ? sb.descriptorSize : 32;
  const table = new Uint8Array(groups * size);
  await source.read((sb.firstBlock + 1) * unit, table);
  const view = viewOf(table);
  const gdt = Math.ceil(table.length / unit);
  const inodeSize = sb.inodeSize === 0 ? 128 : sb.inodeSize;
  const bitmap = new Uint8Array(unit);
  for (let g = 0; g < groups; g++) {
    const at = g * size;
    const number = (low: number): number =>
      view.getUint32(at + low, true) + (size >= 64 ? view.getUint32(at + low + 0x20, true) * 2 ** 32 : 0);
    const flags = view.getUint16(at + 0x12, true);
    const first = sb.firstBlock + g * sb.blocksPerGroup;
    const blocks = Math.min(sb.blocksPerGroup, total - first);
    if ((flags & BLOCK_UNINIT) === 0) {
      await source.read(number(0) * unit, bitmap);
      for (const [from, end] of bitRuns(bitmap, blocks))
        yield { from: (first + from) * unit, end: (first + end) * unit, written: true };
    } else if (hasCopy(g, sb.roCompat)) {
      yield { from: first * unit, end: (first + 1 + gdt) * unit, written: true };
    }
    // Inodes that were never used are not written where making was lazy; the older data still stands there.
    const unused = (flags & INODE_UNINIT) !== 0 ? sb.inodesPerGroup : view.getUint16(at + 0x1c, true);
    if ((flags & INODES_ZEROED) !== 0 || unused === 0) continue;
    const start = number(8) * unit;
    const used = (sb.inodesPerGroup - Math.min(unused, sb.inodesPerGroup)) * inodeSize;
    yield { from: start + used, end: start + sb.inodesPerGroup * inodeSize, written: false };
  }
}

/** Groups that begin with a copy of the superblock. */
function hasCopy(group: number, roCompat: number): boolean {
  if ((roCompat & RO_SPARSE_SUPER) === 0 || group <= 1) return true;
  return [3, 5, 7].some((base) => {
    let power = base;
    while (power < group) power *= base;
    return power === group;
  });
}
