/** Bytes of files held against the checksums that the volume keeps of them. */
import type { Damage } from '../../../core/damage.ts';
import type { Source } from '../../../core/source.ts';
import { decodeExtent } from './extents.ts';
import type { Inode } from './inodes.ts';
import { DATA_SUM, FILE_EXTENT, INLINE, PREALLOCATED, SUM_TREE } from './structs.ts';
import type { Tree } from './tree.ts';
import type { Volume } from './volume.ts';

/** All sums stand under one object, the tenth from the end of all numbers. */
const SUMS = Number.POSITIVE_INFINITY;
const LAST = Number.POSITIVE_INFINITY;
const BLOCK = 1024 * 1024;

/** The sum of each sector from a logical place on, where the volume keeps one. */
async function sumsOf(volume: Volume, from: number, length: number): Promise<Map<number, Uint8Array>> {
  const out = new Map<number, Uint8Array>();
  const tree = await volume.tree(SUM_TREE);
  if (tree === undefined) return out;
  const { sectorSize } = volume.super.block;
  const { sumBytes } = volume.super;
  const { node } = await tree.leaf({ objectid: SUMS, type: DATA_SUM, offset: from });
  // Sums of a place may stand in an item that begins before it.
  let start = from;
  for (let i = 0; i < (node?.n ?? 0); i++)
    if (node!.type[i] === DATA_SUM && node!.offset[i] <= from) start = node!.offset[i];
  const first = { objectid: SUMS, type: DATA_SUM, offset: start };
  for await (const item of tree.items(first, { objectid: SUMS, type: DATA_SUM, offset: from + length })) {
    if ('lost' in item || item.doubt !== undefined) continue;
    const skip = Math.max(0, Math.floor((from - item.offset) / sectorSize));
    for (let i = skip; (i + 1) * sumBytes <= item.size; i++) {
      const at = item.offset + i * sectorSize;
      if (at >= from + length) break;
      const sumAt = item.at + i * sumBytes;
      if (at >= from) out.set(at, item.node.bytes.subarray(sumAt, sumAt + sumBytes));
    }
  }
  return out;
}

/** Sectors from a logical place on whose sum is another than the volume keeps; `source` holds them from `at` on. */
async function* wrongSectors(
  volume: Volume,
  source: Source,
  at: number,
  logical: number,
  length: number,
): AsyncGenerator<number> {
  const { sectorSize } = volume.super.block;
  for (let done = 0; done < length; done += BLOCK) {
    const block = new Uint8Array(Math.min(BLOCK, length - done));
    const sums = await sumsOf(volume, logical + done, block.length);
    const gaps = sums.size === 0 ? [] : await source.read(at + done, block);
    for (const [place, sum] of sums) {
      const from = place - logical - done;
      if (
        gaps.some(
          ({ offset, length: lost }) => offset < at + done + from + sectorSize && offset + lost > at + done + from,
        )
      )
        continue;
      const own = volume.super.sum(block.subarray(from, from + sectorSize));
      if (sum.some((byte, i) => byte !== own[i])) yield place;
    }
  }
}

/** Compares all stored bytes of a file with the checksums of them, and yields what differs. */
export async function* checkSums(
  volume: Volume,
  tree: Tree,
  inode: Inode,
  signal: AbortSignal,
): AsyncGenerator<Damage> {
  const key = (offset: number) => ({ objectid: inode.number, type: FILE_EXTENT, offset });
  for await (const item of tree.items(key(0), key(LAST))) {
    signal.throwIfAborted();
    if ('lost' in item) continue;
    const { place, diskBytes, type, fault } = decodeExtent(item);
    const chunk = volume.chunks.at(place);
    if (place === 0 || type === INLINE || type === PREALLOCATED || fault !== undefined || chunk === undefined) continue;
    const length = Math.min(diskBytes, chunk.logical + chunk.length - place);
    for await (const wrong of wrongSectors(volume, chunk.best, place - chunk.logical, place, length)) {
      const others: string[] = [];
      for (const other of chunk.others()) {
        const left: number[] = [];
        const { sectorSize } = volume.super.block;
        for await (const at of wrongSectors(volume, other, wrong - chunk.logical, wrong, sectorSize)) left.push(at);
        if (left.length === 0) others.push('a copy of it agrees');
      }
      const effect = `what is read of the file there is not what was written; ${others[0] ?? 'no copy of it agrees'}`;
      const expected = `bytes with the checksum that is kept of them`;
      yield volume.cx.damage(volume.physical(wrong), 'btrfs.data.checksum', expected, 'another checksum', effect);
    }
  }
}
