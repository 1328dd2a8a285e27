/** What the file system of another kind that starts where a volume starts has taken of that volume. */
import type { Mask } from '../../../core/mask.ts';
import type { Source } from '../../../core/source.ts';
import { extAllocated, extMade } from './ext.ts';
import { ntfsAllocated, ntfsMade } from './ntfs.ts';

/** Enters it into `mask`; false where there is none. */
export async function maskGuest(source: Source, mask: Mask): Promise<boolean> {
  let any = false;
  for (const allocated of [extAllocated, ntfsAllocated]) {
    for await (const { from, end, written } of allocated(source)) {
      await mask.add(source, from, end, written);
      any = true;
    }
  }
  return any;
}

/** When it was made, in seconds since 1970, by its own clock; undefined where there is none or it does not say. */
export async function guestMade(source: Source): Promise<number | undefined> {
  return (await extMade(source)) ?? ntfsMade(source);
}
