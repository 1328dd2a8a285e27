/** Bytes of files held against the checksums that the volume keeps of them. */
import { OTHER, WRONG } from '../../../core/checked.ts';
import type { Damage } from '../../../core/damage.ts';
import { decodeExtent } from './extents.ts';
import type { Inode } from './inodes.ts';
import { FILE_EXTENT, INLINE, PREALLOCATED } from './structs.ts';
import { DataSums } from './sums.ts';
import type { Tree } from './tree.ts';
import type { Volume } from './volume.ts';

const LAST = Number.POSITIVE_INFINITY;
const BLOCK = 256 * 1024;

/** Compares all stored bytes of a file with the checksums of them, and yields what differs. */
export async function* checkSums(
  volume: Volume,
  tree: Tree,
  inode: Inode,
  signal: AbortSignal,
): AsyncGenerator<Damage> {
  const key = (offset: number) => ({ objectid: inode.number, type: FILE_EXTENT, offset });
  for await (const item of tree.items(key(0), key(LAST))) {
    if ('lost' in item) continue;
    const { place, diskBytes, type, fault } = decodeExtent(item);
    const chunk = volume.chunks.at(place);
    if (place === 0 || type === INLINE || type === PREALLOCATED || fault !== undefined || chunk === undefined) continue;
    const sums = new DataSums(volume, chunk);
    const end = Math.min(place + diskBytes, chunk.logical + chunk.length);
    for (let at = place; at < end; at += BLOCK) {
      signal.throwIfAborted();
      const verdicts = await sums.check(at - chunk.logical, Math.min(end, at + BLOCK) - chunk.logical);
      for (const [i, verdict] of verdicts.entries())
        if (verdict >= WRONG) yield damageAt(volume, at + i * sums.unit, verdict >= OTHER);
    }
  }
}

function damageAt(volume: Volume, place: number, isMended: boolean): Damage {
  const effect = isMended
    ? 'the first copy of what was written there is damaged; one that agrees is read instead'
    : 'what is read of the file there is not what was written; no copy of it agrees, and it is guessed';
  const expected = 'bytes with the checksum that is kept of them';
  return volume.cx.damage(volume.physical(place), 'btrfs.data.checksum', expected, 'another checksum', effect);
}
