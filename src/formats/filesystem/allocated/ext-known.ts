/** Bitmaps of an ext file system: their descriptors tell so much of them that hardly anything else could be one. */
import { crc32cUpdate } from '../../../codec/crc32c.ts';
import type { Source } from '../../../core/source.ts';
import { struct, u16 } from '../../../core/struct.ts';
import { primary } from '../ext/geometry.ts';
import { bitOf, type Group, Groups, groupOf } from '../ext/groups.ts';
import { BLOCK_UNINIT } from '../ext/structs.ts';
import type { Known } from './ntfs.ts';

/** Bitmaps that are looked for. */
const MAX_GROUPS = 64;

/** What a descriptor says of its bitmap of blocks. */
const bitmapUse = struct('ext group descriptor, of its bitmap', 32, { freeBlocks: u16(0x0c), sum: u16(0x18) });
const wideUse = struct('ext group descriptor, of its bitmap, 64 bytes', 64, {
  freeHigh: u16(0x2c),
  sumHigh: u16(0x38),
});

/**
 * The bitmaps of blocks of the first groups, by how much they call free, by their sums, and by what of the file system's
 * own they have to call taken. None where this is no such file system, or of groups whose descriptors are lost.
 */
export async function extBitmaps(source: Source): Promise<Known[]> {
  const g = await primary(source);
  if (g === undefined || g.clusterRatio > 1) return [];
  const groups = new Groups(source, g);
  const all: Group[] = [];
  for (let n = 0; n < Math.min(g.groups, MAX_GROUPS); n++) {
    const group = await groups.get(n);
    if (group !== undefined && group.doubt === undefined) all.push(group);
  }
  const table = Math.ceil((g.super.inodesPerGroup * g.inodeSize) / g.blockSize);
  const own = all.flatMap(({ blockBitmap, inodeBitmap, inodeTable }) =>
    [blockBitmap, inodeBitmap, inodeTable, inodeTable + table - 1].map((block) => [groupOf(g, block), bitOf(g, block)]),
  );
  const out: Known[] = [];
  const descriptor = new Uint8Array(g.descriptorSize);
  for (const group of all) {
    if ((group.flags & BLOCK_UNINIT) !== 0) continue;
    if ((await source.read(group.at, descriptor)).length > 0) continue;
    const low = bitmapUse.decode(descriptor);
    const high = g.descriptorSize >= 64 ? wideUse.decode(descriptor) : undefined;
    const free = low.freeBlocks + (high?.freeHigh ?? 0) * 2 ** 16;
    const sum = low.sum + (high?.sumHigh ?? 0) * 2 ** 16;
    const taken = own.flatMap(([n, bit]) => (n === group.number ? [bit] : []));
    // Without a sum there has to be something else to tell it by.
    if (g.seed === undefined && taken.length === 0) continue;
    const first = g.super.firstBlock + group.number * g.blocksPerGroup;
    const count = Math.min(g.blocksPerGroup, g.blocks - first);
    const mask = high === undefined ? 0xffff : 0xffffffff;
    const { seed } = g;
    const test = (bytes: Uint8Array): boolean =>
      bytes.length === g.blockSize &&
      taken.every((bit) => hasBit(bytes, bit)) &&
      freeIn(bytes, count) === free &&
      (seed === undefined || (crc32cUpdate(seed, bytes.subarray(0, g.blocksPerGroup / 8)) & mask) >>> 0 === sum);
    out.push({ at: group.blockBitmap * g.blockSize, length: g.blockSize, test });
  }
  return out;
}

function hasBit(bytes: Uint8Array, bit: number): boolean {
  return ((bytes[bit >>> 3] >>> (bit & 7)) & 1) === 1;
}

function freeIn(bytes: Uint8Array, bits: number): number {
  let free = 0;
  for (let bit = 0; bit < bits; bit++) if (!hasBit(bytes, bit)) free++;
  return free;
}
