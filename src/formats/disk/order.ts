/** Blocks whose table is lost, put in the order in which they lie in the file. */
import { GUESSED, INFERRED } from '../../core/run.ts';
import { BAD, blankPage, type Census, type Layout, PRESENT } from './blocks.ts';

/** Of a table, so much has to be useless before blocks are put in order instead. */
const MOST_BROKEN = 0.5;

export interface Ordered {
  readonly layout: Layout;
  readonly effect: string;
}

/**
 * The layout of a disk whose table is useless: `known` blocks as they lie, from the first one on. Inferred where all
 * blocks were stored at once (`fixed`); where blocks were stored as they were written to, their order is a guess.
 * Undefined where the table still says more than that, or the file is not what `known` blocks would fill.
 */
export function inOrder(layout: Layout, found: Census, known: number, fixed: boolean): Ordered | undefined {
  const stride = layout.head + layout.block;
  const room = Math.floor((layout.end - layout.from) / stride);
  const stored = fixed ? layout.count : Math.min(known, room, layout.count);
  if (layout.reserved.length > 0 || stored === 0) return undefined;
  if (fixed ? found.sound === layout.count : found.sound > known * MOST_BROKEN) return undefined;
  const page: Layout['page'] = async (first, n) => {
    const out = blankPage(n);
    for (let i = 0; i < n; i++) {
      out.kind[i] = first + i < stored ? PRESENT : BAD;
      out.at[i] = layout.from + (first + i) * stride + layout.head;
    }
    return out;
  };
  const effect = fixed
    ? 'all blocks of such a disk lie in order: they are inferred'
    : `the ${stored} blocks are shown in the order in which they lie, which is guessed; scan them for file systems`;
  const { bitmap: _, ...rest } = layout;
  const doubt = `${layout.id}.table-lost`;
  return { layout: { ...rest, page, most: fixed ? INFERRED : GUESSED, doubt }, effect };
}
