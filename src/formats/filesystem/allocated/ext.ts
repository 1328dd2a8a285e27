/** Which blocks an ext2, ext3 or ext4 file system has taken. Source: the kernel's ext4 documentation, "Block Groups". */
import type { Source } from '../../../core/source.ts';
import { firstOf, type Geometry, hasCopy, primary } from '../ext/geometry.ts';
import { Groups, UNREADABLE } from '../ext/groups.ts';
import { BLOCK_UNINIT, INODE_UNINIT, INODES_ZEROED } from '../ext/structs.ts';
import { bitRuns, cut, type Stretch } from './stretch.ts';

/** When the file system was made, in seconds since 1970; undefined where this is none. */
export async function extMade(source: Source): Promise<number | undefined> {
  return (await primary(source))?.super.made;
}

/** Yields what is taken, in no order; nothing where this is no such file system. */
export async function* extAllocated(source: Source): AsyncGenerator<Stretch> {
  const g = await primary(source);
  if (g === undefined) return;
  const groups = new Groups(source, g);
  const unit = g.blockSize;
  const tables = Math.ceil(g.groups / g.descriptorsPerBlock);
  const unused = await unusedInodes(groups, g);
  for (let n = 0; n < g.groups; n++) {
    const group = await groups.get(n);
    if (group === undefined) continue;
    const first = firstOf(g, n);
    const clusters = Math.ceil(Math.min(g.blocksPerGroup, g.blocks - first) / g.clusterRatio);
    const bitmap = (group.flags & BLOCK_UNINIT) === 0 ? await groups.bitmap(group.blockBitmap) : undefined;
    if (bitmap !== undefined && bitmap !== UNREADABLE) {
      for (const [from, end] of bitRuns(bitmap, clusters)) {
        yield* cut((first + from * g.clusterRatio) * unit, (first + end * g.clusterRatio) * unit, unused);
      }
    } else if (bitmap === undefined && hasCopy(g, n)) {
      yield { from: first * unit, end: (first + 1 + tables) * unit, written: true };
    }
  }
}

/**
 * Parts of inode tables that were never used, as [start, end, …]: where making was lazy they are taken and not written,
 * and the older data still stands there. The tables of one group may lie in another.
 */
async function unusedInodes(groups: Groups, g: Geometry): Promise<number[]> {
  const spans: [number, number][] = [];
  const { inodesPerGroup } = g.super;
  for (let n = 0; n < g.groups; n++) {
    const group = await groups.get(n);
    if (group === undefined || (group.flags & INODES_ZEROED) !== 0) continue;
    const unused = (group.flags & INODE_UNINIT) !== 0 ? inodesPerGroup : Math.min(group.unused, inodesPerGroup);
    const start = group.inodeTable * g.blockSize;
    if (unused > 0) spans.push([start + (inodesPerGroup - unused) * g.inodeSize, start + inodesPerGroup * g.inodeSize]);
  }
  return spans.sort((a, b) => a[0] - b[0]).flat();
}
