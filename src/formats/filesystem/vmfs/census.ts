/** The census: the pointers of every live descriptor, read once. Source: vmfs.md sections 4.3 and 6.2. */
import { fdNumbers, LARGE_BLOCK, NONE, typeOf } from './address.ts';
import { bitmaps } from './bitmaps.ts';
import { levelsOf } from './blocks.ts';
import { Claims } from './claims.ts';
import type { Descriptor } from './descriptor.ts';
import { TYPE_RDM } from './structs.ts';
import type { PointerTable } from './tables.ts';
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
  return claims;
}

async function claimFile(volume: Volume, fd: Descriptor, claims: Claims): Promise<void> {
  const levels = levelsOf(fd.zla);
  // A descriptor that is not where it says it is claims nothing: it is a copy or garbage.
  const misplaced = fd.doubts.some((d) => d.code === 'vmfs.fd.self-address' || d.code === 'vmfs.fd.address');
  if (levels === undefined || misplaced || fd.type === TYPE_RDM) return;
  const count = { leaves: 0, large: false };
  await claimTable(volume, fd.address, fd.pointers, levels, claims, count);
  // How large blocks count is not known, so files that have some are not counted.
  if (count.large || fd.lostPointers.length > 0 || count.leaves === fd.blocks) return;
  if (!claims.doubts.has(fd.address)) claims.doubts.set(fd.address, 'vmfs.fd.blocks');
}

async function claimTable(
  volume: Volume,
  owner: number,
  words: Uint32Array,
  levels: number,
  claims: Claims,
  count: { leaves: number; large: boolean },
): Promise<void> {
  const step = volume.geometry.pointerWords;
  for (let i = 0; i < words.length; i += step) {
    const low = words[i];
    const high = step === 2 ? words[i + 1] : 0;
    if (low === NONE && high === 0) continue;
    claims.claim(owner, low, high);
    if (levels === 0) {
      count.leaves++;
      if (typeOf(low) === LARGE_BLOCK && volume.geometry.version === 6) count.large = true;
      continue;
    }
    const table: PointerTable | undefined = await volume.tables.load(low, high);
    if (table !== undefined) await claimTable(volume, owner, table.words, levels - 1, claims, count);
  }
}
