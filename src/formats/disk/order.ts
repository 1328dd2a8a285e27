/** Blocks whose table is lost: put where the guest on the disk says, else in the order in which they lie in the file. */
import type { Cx } from '../../core/format.ts';
import { data, segments } from '../../core/map-source.ts';
import { ABSENT, GUESSED, INFERRED } from '../../core/run.ts';
import { BAD, blankPage, type Census, FREE, type Layout, PRESENT } from './blocks.ts';
import { NOWHERE, pieceIn, sampled } from './placing/pieces.ts';
import { placed } from './placing/place.ts';

/** Of a table, so much has to be useless before blocks are put in order instead. */
const MOST_BROKEN = 0.5;
/** Blocks that are looked into for what the guest says. */
const MAX_ASKED = 32_768;
/** Blocks of the disk: 1 TiB in blocks of 1 MiB. */
const MAX_SLOTS: number = 2 ** 20;
/** What formats with such tables say of themselves. */
export const ORDER_GAP =
  'Blocks whose table is lost are put where the file systems of the guest have something, in the order in which they lie, which is guessed; not in disks with a parent.';
/** Bytes at which heads of blocks are looked at. */
const PEEKED = 4096;

export interface Ordered {
  readonly layout: Layout;
  readonly effect: string;
}

/**
 * The layout of a disk whose table is useless: `known` blocks, as they lie from the first one on. Inferred where all
 * blocks were stored at once (`fixed`); where blocks were stored as they were written to, their order is a guess, and
 * where between them nothing was written is what the guest's file systems say. Undefined where the table still says more
 * than that, or the file is not what `known` blocks would fill.
 */
export async function inOrder(
  layout: Layout,
  found: Census,
  known: number,
  fixed: boolean,
  cx: Cx,
): Promise<Ordered | undefined> {
  const stride = layout.head + layout.block;
  const room = Math.floor((layout.end - layout.from) / stride);
  const stored = fixed ? layout.count : Math.min(known, room, layout.count);
  if (layout.reserved.length > 0 || stored <= 0) return undefined;
  if (fixed ? found.sound === layout.count : found.sound > known * MOST_BROKEN) return undefined;
  const blockOf = fixed ? undefined : await byGuest(layout, stored, stride, cx);
  const page: Layout['page'] = async (first, n) => {
    const out = blankPage(n);
    for (let i = 0; i < n; i++) {
      const block = blockOf === undefined ? first + i : blockOf[first + i];
      const isThere = block >= 0 && block < stored;
      out.kind[i] = isThere ? PRESENT : blockOf === undefined ? BAD : FREE;
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

/** The block in each slot, NOWHERE in those that were never written; undefined where no guest says anything. */
async function byGuest(layout: Layout, stored: number, stride: number, cx: Cx): Promise<Int32Array | undefined> {
  if (layout.free === ABSENT || stored > MAX_ASKED || layout.count > MAX_SLOTS || stored === layout.count)
    return undefined;
  const { block, count, file, from, head } = layout;
  const list = Array.from({ length: stored }, (_, i) => data(file, from + i * stride + head, block, GUESSED));
  const pieces = { bytes: segments(list), count: stored, coverage: block };
  const question = {
    pieces,
    slots: count,
    known: new Int32Array(stored).fill(NOWHERE),
    closed: new Uint8Array(count),
    cluster: Math.min(PEEKED, block),
    written: await sampled(pieces, cx.signal),
  };
  const { hasGuest, isOrdered, slotOf } = await placed(question, cx);
  return hasGuest && isOrdered ? pieceIn(slotOf, count) : undefined;
}
