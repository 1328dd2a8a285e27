/** What file systems have taken and may never have written, so that nothing need stand there: journals, unused inodes. */
import type { Source } from '../../../core/source.ts';
import { primary as extPrimary, firstOf, type Geometry, hasCopy } from '../ext/geometry.ts';
import { Groups } from '../ext/groups.ts';
import { INCOMPAT_META_BG, INODE_UNINIT } from '../ext/structs.ts';
import { byteOf, primary as xfsPrimary } from '../xfs/geometry.ts';

/** The volume has room to grow. */
const COMPAT_RESIZE = 0x10;
/** Groups of which this is looked up. */
const MAX_GROUPS = 65_536;
const EXTENT_MAGIC = 0xf30a;
const EXTENT_BYTES = 12;
/** Extents that fit beside the header. */
const MAX_INLINE = 4;

/** Bytes from the start of the file system, as [start, end). */
export type Blank = readonly [number, number];

/** Parts of an ext file system that are in use and may be empty; none where this is no such file system. */
export async function extBlank(source: Source): Promise<Blank[]> {
  const g = await extPrimary(source);
  if (g === undefined) return [];
  const out: Blank[] = [];
  const groups = new Groups(source, g);
  const table = g.super.inodesPerGroup * g.inodeSize;
  for (let n = 0; n < Math.min(g.groups, MAX_GROUPS); n++) {
    const group = await groups.get(n);
    if (group === undefined) continue;
    // Only volumes with checksums of groups say how much of a table was never used; in use are its first inodes.
    const isSaid = g.hasGroupSums || g.seed !== undefined;
    const unused = (group.flags & INODE_UNINIT) !== 0 || !isSaid ? g.super.inodesPerGroup : group.unused;
    const end = group.inodeTable * g.blockSize + table;
    out.push([end - Math.min(unused, g.super.inodesPerGroup) * g.inodeSize, end]);
  }
  out.push(...spareDescriptors(g));
  // The superblock keeps the map of the journal; where that is a tree, its first leaf is enough to know most of it.
  const map = new DataView(
    g.super.journalBackup.buffer,
    g.super.journalBackup.byteOffset,
    g.super.journalBackup.length,
  );
  const isTree = map.getUint16(0, true) === EXTENT_MAGIC && map.getUint16(6, true) === 0;
  for (let i = 0; isTree && i < Math.min(map.getUint16(2, true), MAX_INLINE); i++) {
    const at = EXTENT_BYTES * (i + 1);
    const first = map.getUint16(at + 6, true) * 2 ** 32 + map.getUint32(at + 8, true);
    out.push([(first + (i === 0 ? 1 : 0)) * g.blockSize, (first + map.getUint16(at + 4, true)) * g.blockSize]);
  }
  return out;
}

/** Room for more group descriptors, which is kept beside all copies of these; only the first of it is ever written to. */
function spareDescriptors(g: Geometry): Blank[] {
  const { compat, incompat, reservedGdt } = g.super;
  const out: Blank[] = [];
  if ((compat & COMPAT_RESIZE) === 0 || (incompat & INCOMPAT_META_BG) !== 0) return out;
  const used = Math.ceil(g.groups / g.descriptorsPerBlock);
  for (let n = 1; n < Math.min(g.groups, MAX_GROUPS); n++) {
    if (!hasCopy(g, n)) continue;
    const from = firstOf(g, n) + 1 + used;
    out.push([from * g.blockSize, (from + reservedGdt) * g.blockSize]);
  }
  return out;
}

/** The log of an XFS file system; none where this is no such file system. */
export async function xfsBlank(source: Source): Promise<Blank[]> {
  const g = await xfsPrimary(source);
  const from = g === undefined || g.super.logBlocks === 0 ? undefined : byteOf(g, g.super.logAt);
  return g === undefined || from === undefined ? [] : [[from, from + g.super.logBlocks * g.blockSize]];
}
