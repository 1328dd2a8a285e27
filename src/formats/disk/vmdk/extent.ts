/** One extent of a disk, of whatever kind: by its own header, or by what its descriptor and its name say. */
import type { Candidate, Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import { isCowd, openCowd } from './cowd.ts';
import { findDirectories } from './directory.ts';
import { headlessIn } from './headless.ts';
import { openHosted } from './hosted.ts';
import type { Layer, Place, Wish } from './layer.ts';
import { footerOf, isHosted } from './plan.ts';
import { isSeSparse, openSeSparse } from './se-sparse.ts';
import { SE_VOLATILE_MAGIC, SECTOR, seVolatile } from './structs.ts';
import { Window } from './window.ts';

export type Kind = 'SPARSE' | 'VMFSSPARSE' | 'SESPARSE';

/** What a file's first sector says it is. */
export async function kindOf(source: Source): Promise<Kind | undefined> {
  if (source.size < SECTOR) return undefined;
  const block = await new Window(source, SECTOR).bytes(0, SECTOR);
  if (isHosted(block)) return 'SPARSE';
  if (isCowd(block)) return 'VMFSSPARSE';
  return isSeSparse(block) ? 'SESPARSE' : undefined;
}

/** Whether a file without a header is an extent all the same, by its name or what stands behind its header. */
export async function traceOf(source: Source, name: string, place: Place): Promise<Kind | undefined> {
  if (source.size < 2 * SECTOR) return undefined;
  if (/-sesparse\.vmdk$/i.test(name)) {
    const block = await new Window(source, SECTOR).bytes(SECTOR, SECTOR);
    return seVolatile.decode(block).magic === SE_VOLATILE_MAGIC ? 'SESPARSE' : undefined;
  }
  // Plain sectors and change tracking have no tables: looking for some in every one of them would take a while.
  if (!/\.vmdk$/i.test(name) || /-(flat|ctk|rdmp?|f\d{3})\.vmdk$/i.test(name)) return undefined;
  if ((await footerOf(place)) !== undefined) return 'SPARSE';
  const pair = await findDirectories(place, 4);
  return pair?.spare !== undefined || (await headlessIn(place)) !== undefined ? 'SPARSE' : undefined;
}

/** Opens an extent as what it is, else as what it should be. */
export async function openExtent(place: Place, kind: Kind, wish: Wish): Promise<Layer | undefined> {
  const is = (await kindOf(place.source)) ?? kind;
  if (is === 'SPARSE') return openHosted(place, wish);
  return is === 'VMFSSPARSE' ? openCowd(place, wish) : openSeSparse(place, wish);
}

/** The file of the source itself. */
export function ownPlace(source: Source, cx: Cx): Place {
  return { source, damage: (...args) => cx.damage(...args), signal: cx.signal, cx };
}

/** A file beside the source. */
export function placeOf({ source, locator }: Candidate, cx: Cx): Place {
  return {
    source,
    damage: (at, code, expected, actual, effect) => ({ code, at: `${locator}@${at}`, expected, actual, effect }),
    signal: cx.signal,
    cx,
  };
}
