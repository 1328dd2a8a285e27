/** Which blocks an ext2, ext3 or ext4 file system has taken. Source: the kernel's ext4 documentation, "Block Groups". */
import type { Source } from '../../../core/source.ts';
import { firstOf, hasCopy, primary } from '../ext/geometry.ts';
import { Groups, UNREADABLE } from '../ext/groups.ts';
import { BLOCK_UNINIT, INODE_UNINIT, INODES_ZEROED } from '../ext/structs.ts';
import { bitRuns, type Stretch } from './stretch.ts';

/** Yields what is taken, in no order; nothing where this is no such file system. */
export async function* extAllocated(source: Source): AsyncGenerator<Stretch> {
  const g = await primary(source);
  if (g === undefined) return;
  const groups = new Groups(source, g);
  const unit = g.blockSize;
  const tables = Math.ceil(g.groups / g.descriptorsPerBlock);
  for (let n = 0; n < g.groups; n++) {
    const group = await groups.get(n);
    if (group === undefined) continue;
    const first = firstOf(g, n);
    const clusters = Math.ceil(Math.min(g.blocksPerGroup, g.blocks - first) / g.clusterRatio);
    const bitmap = (group.flags & BLOCK_UNINIT) === 0 ? await groups.bitmap(group.blockBitmap) : undefined;
    if (bitmap !== undefined && bitmap !== UNREADABLE) {
      for (const [from, end] of bitRuns(bitmap, clusters)) {
        yield {
          from: (first + from * g.clusterRatio) * unit,
          end: (first + end * g.clusterRatio) * unit,
          written: true,
        };
      }
    } else if (bitmap === undefined && hasCopy(g, n)) {
      yield { from: first * unit, end: (first + 1 + tables) * unit, written: true };
    }
    // Inodes that were never used are not written where making was lazy; the older data still stands there.
    const unused = (group.flags & INODE_UNINIT) !== 0 ? g.super.inodesPerGroup : group.unused;
    if ((group.flags & INODES_ZEROED) !== 0 || unused === 0) continue;
    const start = group.inodeTable * unit;
    const used = (g.super.inodesPerGroup - Math.min(unused, g.super.inodesPerGroup)) * g.inodeSize;
    yield { from: start + used, end: start + g.super.inodesPerGroup * g.inodeSize, written: false };
  }
}
