/**
 * Which blocks two things claim. Inodes with sums vouch for their own maps; where there are none, a pointer that was
 * changed is told only by what else leads to the same block.
 */

import { TYPE_DIRECTORY, TYPE_REGULAR, TYPE_SYMLINK } from '../posix.ts';
import { firstOf, hasCopy } from './geometry.ts';
import { UNREADABLE } from './groups.ts';
import { FLAG_INLINE_DATA, INCOMPAT_META_BG, INODE_UNINIT, ROOT_INODE } from './structs.ts';
import { isFastLink, type Volume } from './volume.ts';

/** Volumes with more inodes, or more blocks, are not looked through. */
const MAX_INODES = 2 ** 21;
const MAX_BLOCKS = 2 ** 29;

export class Claims {
  readonly #once: Uint8Array;
  readonly #twice: Uint8Array;
  readonly #blocks: number;

  constructor(blocks: number) {
    this.#once = new Uint8Array(Math.ceil(blocks / 8));
    this.#twice = new Uint8Array(Math.ceil(blocks / 8));
    this.#blocks = blocks;
  }

  /** Enters `length` blocks from `start` on. */
  add(start: number, length: number): void {
    const end = Math.min(start + length, this.#blocks);
    for (let block = Math.max(0, start); block < end; block++) {
      if ((block & 7) === 0 && block + 8 <= end) {
        this.#twice[block >>> 3] |= this.#once[block >>> 3];
        this.#once[block >>> 3] = 0xff;
        block += 7;
        continue;
      }
      const bit = 1 << (block & 7);
      if ((this.#once[block >>> 3] & bit) !== 0) this.#twice[block >>> 3] |= bit;
      else this.#once[block >>> 3] |= bit;
    }
  }

  /** Whether a block is claimed at all. */
  taken(block: number): boolean {
    return (this.#once[block >>> 3] & (1 << (block & 7))) !== 0;
  }

  /** Whether any of the blocks [from, end) is claimed more than once. */
  disputed(from: number, end: number): boolean {
    const last = Math.min(end, this.#blocks);
    for (let block = from; block < last; block++) {
      if ((block & 7) === 0 && this.#twice[block >>> 3] === 0) block += 7;
      else if ((this.#twice[block >>> 3] & (1 << (block & 7))) !== 0) return true;
    }
    return false;
  }
}

/** All that the structures and the live inodes of a volume claim; undefined where it is too large to be looked through. */
export async function claimsOf(volume: Volume): Promise<Claims | undefined> {
  const { geometry: g, groups, inodes, cx } = volume;
  if (g.inodes > MAX_INODES || g.blocks > MAX_BLOCKS || g.clusterRatio > 1) return undefined;
  const claims = new Claims(g.blocks);
  const tableBlocks = Math.ceil((g.super.inodesPerGroup * g.inodeSize) / g.blockSize);
  const isMeta = (g.super.incompat & INCOMPAT_META_BG) !== 0;
  const descriptors = isMeta ? g.super.firstMetaGroup : Math.ceil(g.groups / g.descriptorsPerBlock);
  const visit = (start: number, length: number): void => claims.add(start, length);
  for (let n = 0; n < g.groups && !cx.signal.aborted; n++) {
    const group = await groups.get(n);
    if (group === undefined) continue;
    if (hasCopy(g, n)) claims.add(firstOf(g, n), 1 + descriptors + g.super.reservedGdt);
    claims.add(group.blockBitmap, 1);
    claims.add(group.inodeBitmap, 1);
    claims.add(group.inodeTable, tableBlocks);
    if ((group.flags & INODE_UNINIT) !== 0) continue;
    const used = g.super.inodesPerGroup - Math.min(group.unused, g.super.inodesPerGroup);
    const bitmap = await groups.bitmap(group.inodeBitmap);
    for (let i = 0; i < used; i++) {
      const number = n * g.super.inodesPerGroup + i + 1;
      const isOwn = number >= g.super.firstInode || number === ROOT_INODE || number === g.super.journalInode;
      const isUsed = bitmap === UNREADABLE || (bitmap[i >>> 3] & (1 << (i & 7))) !== 0;
      if (!isOwn || !isUsed) continue;
      const inode = await inodes.raw(number);
      if (inode === undefined || inode.links === 0 || (inode.flags & FLAG_INLINE_DATA) !== 0) continue;
      const hasMap = inode.type === TYPE_REGULAR || inode.type === TYPE_DIRECTORY || inode.type === TYPE_SYMLINK;
      if (hasMap && !isFastLink(inode)) await volume.map(inode).blocks(visit);
    }
  }
  return claims;
}
