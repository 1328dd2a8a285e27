/** Reference counts: not needed for reading, but a second opinion on every entry. Source: qcow2.md section 4. */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import type { Census } from './census.ts';
import { readWords } from './geometry.ts';
import { MAX_REFCOUNT_TABLE } from './structs.ts';

const MAX_ORDER = 6;
/** Counts are kept up to this; no more is compared. */
const MOST = 255;

/** Where one block of counts lies and which clusters it counts. */
interface Block {
  readonly at: number;
  readonly first: number;
  readonly end: number;
}

export interface Refcounts {
  readonly blocks: readonly Block[];
  /** Nothing of them can be used. */
  readonly lost: boolean;
}

/** Reads all counts of an image into its census, and claims the clusters that hold them. */
export async function readRefcounts(
  file: Source,
  census: Census,
  at: number,
  clusters: number,
  order: number,
  cx: Cx,
  damage: Damage[],
): Promise<Refcounts> {
  // Without a place to keep them, counts are not read: the image is too large for that.
  if (!census.complete) return { blocks: [], lost: true };
  const { clusterSize } = census.geometry;
  const length = clusters * clusterSize;
  const effect = 'data is read all the same, but there is no second opinion on where it lies';
  const words =
    order <= MAX_ORDER && at > 0 && at % clusterSize === 0 && length > 0 && length <= MAX_REFCOUNT_TABLE
      ? await readWords(file, at, length)
      : undefined;
  if (words === undefined) {
    const actual = `${clusters} clusters at ${hex(at)}, ${2 ** Math.min(order, 32)} bits each`;
    damage.push(cx.damage(48, 'qcow2.refcount-table', 'a refcount table inside the file', actual, effect));
    return { blocks: [], lost: true };
  }
  census.claimStructure(at, length);
  const blocks: Block[] = [];
  const perBlock = (clusterSize * 8) / 2 ** order;
  let bad = 0;
  for (let i = 0; i * 2 < words.length; i++) {
    const high = words[2 * i];
    const low = words[2 * i + 1];
    if ((high | low) === 0) continue;
    const block = high * 2 ** 32 + low;
    if (block % clusterSize !== 0 || block + clusterSize > file.size) bad++;
    else {
      census.claimStructure(block, clusterSize);
      blocks.push({ at: block, first: i * perBlock, end: (i + 1) * perBlock });
    }
  }
  for (const block of blocks) if (!(await readBlock(file, block, order, census))) bad++;
  if (bad > 0)
    damage.push(cx.damage(at, 'qcow2.refcount-block', 'refcount blocks inside the file', `${bad} others`, effect));
  return { blocks, lost: blocks.length === 0 };
}

async function readBlock(file: Source, block: Block, order: number, census: Census): Promise<boolean> {
  const bytes = new Uint8Array(census.geometry.clusterSize);
  if ((await file.read(block.at, bytes)).length > 0) return false;
  const view = new DataView(bytes.buffer);
  const end = Math.min(block.end, census.refcounts.length);
  for (let i = block.first; i < end; i++) {
    census.refcounts[i] = Math.min(MOST, countAt(view, i - block.first, order));
    census.counted[i] = 1;
  }
  return true;
}

function countAt(view: DataView, i: number, order: number): number {
  switch (order) {
    case 6:
      return view.getUint32(i * 8) > 0 ? MOST : view.getUint32(i * 8 + 4);
    case 5:
      return view.getUint32(i * 4);
    case 4:
      return view.getUint16(i * 2);
    case 3:
      return view.getUint8(i);
    default: {
      // Counts of less than a byte begin with its lowest bits.
      const width = 1 << order;
      const perByte = 8 / width;
      return (view.getUint8(Math.floor(i / perByte)) >>> ((i % perByte) * width)) & ((1 << width) - 1);
    }
  }
}

/**
 * Counts of which most are 0 where clusters are claimed were lost themselves, and so were those of an image that was
 * not closed, if it counts lazily: they say nothing against an entry. To be called once all claims are made.
 */
export function settleRefcounts(
  census: Census,
  { blocks }: Refcounts,
  isDirty: boolean,
  cx: Cx,
  damage: Damage[],
): void {
  if (isDirty) census.counted.fill(0);
  for (const { at, first, end } of isDirty ? [] : blocks) {
    let zero = 0;
    let used = 0;
    for (let i = first; i < Math.min(end, census.clusters); i++) {
      if (!census.isClaimed(i)) continue;
      if (census.refcounts[i] === 0) zero++;
      else used++;
    }
    if (zero <= used) continue;
    census.counted.fill(0, first, Math.min(end, census.clusters));
    const effect = 'data is read all the same, but there is no second opinion on where it lies';
    const expected = `counts of ${zero + used} clusters in use`;
    damage.push(cx.damage(at, 'qcow2.refcounts', expected, `${zero} that are 0`, effect));
  }
}
