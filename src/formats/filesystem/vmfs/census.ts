/** The census: the pointers of every live descriptor, read once. Source: vmfs.md sections 4.3 and 6.2. */
import { FILE_BLOCK, fdNumbers, fileBlockAt, LARGE_BLOCK, NONE, typeOf } from './address.ts';
import { bitmaps } from './bitmaps.ts';
import { levelsOf } from './blocks.ts';
import { Claims } from './claims.ts';
import type { Descriptor } from './descriptor.ts';
import { TYPE_RDM, TYPE_SYSTEM } from './structs.ts';
import type { Volume } from './volume.ts';

/** Reads what all live descriptors point to. Metadata only; once per volume. */
export async function takeCensus(volume: Volume): Promise<Claims> {
  const claims = new Claims(volume.geometry);
  const fdc = volume.files.fdc;
  if (fdc === undefined) return claims;
  for await (const [cluster, bitmap] of bitmaps(volume, fdc)) {
    if (bitmap === undefined) {
      // Nothing says which of these live: all that are there claim, and none of them is stated.
      for (const fd of await volume.descriptorsOf(cluster, () => true)) {
        claims.doubts.set(fd.address, 'vmfs.fd.bitmap-lost');
        if (fd.links > 0) await claimFile(volume, fd, claims);
      }
    } else if (bitmap.empty) claims.emptyClusters.add(cluster);
    else {
      for (const fd of await volume.descriptorsOf(cluster, (r) => r < bitmap.total)) {
        // One that is there although the bitmap calls it free is a deleted file that something still names.
        if (bitmap.allocated(fdNumbers(fd.address)?.resource ?? 0)) await claimFile(volume, fd, claims);
        else claims.doubts.set(fd.address, 'vmfs.fd.free');
      }
    }
  }
  await checkSystemFiles(volume, claims);
  return claims;
}

/** Numbers in cluster 0 that belong to system files; what rests on these rests on all their blocks. */
const SYSTEM_FDS = 9;

/**
 * Asks the bitmaps about the blocks of system files once and for all. They cannot be asked while those files are
 * read: the bitmaps lie in one of them.
 */
async function checkSystemFiles(volume: Volume, claims: Claims): Promise<void> {
  for (const fd of await volume.descriptorsOf(0, (r) => r > 0 && r < SYSTEM_FDS)) {
    const levels = fd.type === TYPE_SYSTEM ? levelsOf(fd.zla) : undefined;
    if (levels === undefined) continue;
    const starts: number[] = [];
    await eachPointer(volume, fd.pointers, levels, (low, high, level) => {
      if (level === 0 && typeOf(low) === FILE_BLOCK) starts.push(fileBlockAt(volume.geometry, low, high));
    });
    for (const start of starts) {
      await volume.allocation.load(start);
      if (volume.allocation.verdict(FILE_BLOCK, start) !== 'vmfs.not-allocated') continue;
      claims.freeBlocks.add(start / volume.geometry.blockSize);
    }
  }
}

async function claimFile(volume: Volume, fd: Descriptor, claims: Claims): Promise<void> {
  const levels = levelsOf(fd.zla);
  // A descriptor that is not where it says it is claims nothing: it is a copy or garbage.
  const misplaced = fd.doubts.some((d) => d.code === 'vmfs.fd.self-address' || d.code === 'vmfs.fd.address');
  if (levels === undefined || misplaced || fd.type === TYPE_RDM) return;
  const count = { leaves: 0, large: false };
  await eachPointer(volume, fd.pointers, levels, (low, high, level) => {
    claims.claim(fd.address, low, high);
    if (level > 0) return;
    count.leaves++;
    if (typeOf(low) === LARGE_BLOCK && volume.geometry.version === 6) count.large = true;
  });
  // How large blocks count is not known, so files that have some are not counted.
  if (count.large || fd.lostPointers.length > 0 || count.leaves === fd.blocks) return;
  if (!claims.doubts.has(fd.address)) claims.doubts.set(fd.address, 'vmfs.fd.blocks');
}

type Visit = (low: number, high: number, level: number) => void;

/** Calls `visit` with every pointer that is set, those of pointer blocks too. `levels` is two at most. */
export async function eachPointer(volume: Volume, words: Uint32Array, levels: number, visit: Visit): Promise<void> {
  const step = volume.geometry.pointerWords;
  for (let i = 0; i < words.length; i += step) {
    const low = words[i];
    const high = step === 2 ? words[i + 1] : 0;
    if (low === NONE && high === 0) continue;
    visit(low, high, levels);
    if (levels === 0) continue;
    const table = await volume.tables.load(low, high);
    if (table !== undefined) await eachPointer(volume, table.words, levels - 1, visit);
  }
}
