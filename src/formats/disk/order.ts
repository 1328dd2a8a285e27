/** Blocks whose table is lost: put where the guest on the disk says, else in the order in which they lie in the file. */
import type { Cx } from '../../core/format.ts';
import { ABSENT, GUESSED, INFERRED } from '../../core/run.ts';
import { BAD, blankPage, type Census, FREE, type Layout, PRESENT } from './blocks.ts';
import { saysUnused } from './placing/align.ts';
import { NOWHERE, pieceIn, piecesAt } from './placing/pieces.ts';
import { placedByOrder } from './placing/place.ts';

/** Of a table, so much has to be useless before blocks are put in order instead. */
const MOST_BROKEN = 0.5;
/** Blocks that are looked into for what the guest says. */
const MAX_ASKED = 32_768;
/** Blocks of the disk: 1 TiB in blocks of 1 MiB. */
const MAX_SLOTS: number = 2 ** 20;
/** What formats with such tables say of themselves. */
export const ORDER_GAP =
  'Blocks whose table is lost are put where the file systems of the guest have something, in the order in which they lie, which is guessed; not in disks with a parent.';

/** What is known of the blocks that were stored. */
export interface Stored {
  readonly count: number;
  /** All at once, for all of the disk. */
  readonly isFixed: boolean;
  /** There never were more: the count does not come from what is left of the file. */
  readonly isAll: boolean;
}

export interface Ordered {
  readonly layout: Layout;
  readonly effect: string;
}

/**
 * The layout of a disk whose table is useless: `count` blocks, as they lie from the first one on. Inferred where all
 * blocks were stored at once (`isFixed`); where blocks were stored as they were written to, their order is a guess, and
 * where between them nothing was written is what the guest's file systems say. Undefined where the table still says more
 * than that, or the file is not what so many blocks would fill.
 */
export async function inOrder(
  layout: Layout,
  found: Census,
  { count: known, isFixed: fixed, isAll }: Stored,
  cx: Cx,
): Promise<Ordered | undefined> {
  const stride = layout.head + layout.block;
  const room = Math.floor((layout.end - layout.from) / stride);
  const stored = fixed ? layout.count : Math.min(known, room, layout.count);
  if (layout.reserved.length > 0 || stored <= 0) return undefined;
  if (fixed ? found.sound === layout.count : found.sound > known * MOST_BROKEN) return undefined;
  const blockOf = fixed ? undefined : await byGuest(layout, stored, isAll && stored === known, stride, cx);
  const page: Layout['page'] = async (first, n) => {
    const out = blankPage(n);
    for (let i = 0; i < n; i++) {
      const block = blockOf === undefined ? first + i : blockOf[first + i];
      const isThere = block >= 0 && block < stored;
      out.kind[i] = isThere ? PRESENT : block === NONE && blockOf !== undefined ? FREE : BAD;
      out.at[i] = layout.from + (isThere ? block : first + i) * stride + layout.head;
    }
    return out;
  };
  const effect = fixed
    ? 'all blocks of such a disk lie in order: they are inferred'
    : blockOf === undefined
      ? `the ${stored} blocks are shown in the order in which they lie, which is guessed; scan them for file systems`
      : `the ${stored} blocks are put where the file systems on the disk have something in use, in the order in which they lie, which is guessed`;
  const { bitmap: _, ...rest } = layout;
  const doubt = `${layout.id}.table-lost`;
  const most = fixed ? INFERRED : GUESSED;
  return { layout: { ...rest, page, most, doubt, ...(blockOf !== undefined && { freeMost: most }) }, effect };
}

/** What a slot has that no block lies in: nothing was written there, or something was and is lost. */
const NONE = NOWHERE;
const LOST = NOWHERE - 1;

/** The block in each slot, NONE and LOST where there is none; undefined where no guest says anything. */
async function byGuest(
  layout: Layout,
  stored: number,
  isAll: boolean,
  stride: number,
  cx: Cx,
): Promise<Int32Array | undefined> {
  if (layout.free === ABSENT || stored > MAX_ASKED || layout.count > MAX_SLOTS || stored === layout.count)
    return undefined;
  const { block, count, file, from, head } = layout;
  const places = Array.from({ length: stored }, (_, i) => from + i * stride + head);
  const found = await placedByOrder(piecesAt(file, places, block), { slots: count, closed: new Uint8Array(count) }, cx);
  if (found === undefined) return undefined;
  // Where all blocks that there ever were are here, slots without one have none.
  return pieceIn(found.slotOf, count).map((one, slot) =>
    one === NOWHERE && !isAll && !saysUnused(found.usage, slot) ? LOST : one,
  );
}
