/**
 * Disks without pointers that grew in turns: their blocks lie mixed, and stretches that were never written have none.
 * Which block is whose follows from the guests on them. All of it is guessed. Source: vmfs.md sections 8.7 and 8.8.
 */
import type { Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import { saysUnused } from '../../disk/placing/align.ts';
import { fitOf, type Verdict, verdictOn } from '../../disk/placing/fit.ts';
import { mixed } from '../../disk/placing/mixed.ts';
import { NOWHERE, type Pieces, pieceIn, piecesAt } from '../../disk/placing/pieces.ts';
import { profileOf } from '../../disk/placing/profile.ts';
import type { Start } from './carve.ts';

/** Places in a list of blocks: nothing was ever written there; something was, and its block is not known. */
export const NEVER_WRITTEN = -1;
export const NOT_FOUND = -2;

/** Blocks that are given to disks that grew in turns, and such disks. */
const MAX_MIXED = 16_384;
const MAX_STRANDS = 32;
/** Blocks of such a disk. */
const MAX_SLOTS = 65_536;
/** Blocks of a disk that are looked at to see whether it lies in one piece. */
const MAX_CHECKED = 256;
/** Share of what the guest says that may not be so in a disk that lies in one piece. */
const MOST_DOUBT = 0.05;
/** So much less has to speak against another layout that shows no more than this one. */
const LESS_DOUBT = 0.02;

/** A disk as it would be if it lay in one piece. */
export interface Followed {
  readonly blocks: readonly number[];
  /** Another disk begins on the way. */
  readonly hasPassed: boolean;
}

export interface Settled {
  /** Disks that lie in one piece, as the guest on them says. */
  readonly sure: ReadonlyMap<Start, Followed>;
  /** Others, and what is to be said of each as it would be in one piece. */
  readonly doubtful: ReadonlyMap<Start, Verdict>;
}

/** Tells disks that lie in one piece from those that do not, or of which that is not known. */
export async function settle(
  bytes: Source,
  blockSize: number,
  starts: readonly Start[],
  follow: (start: Start) => Promise<Followed>,
  cx: Cx,
): Promise<Settled> {
  const sure = new Map<Start, Followed>();
  const doubtful = new Map<Start, Verdict>();
  const taken = new Set<number>();
  /** Bytes of partitions of doubtful disks: what begins such a one begins no disk of its own. */
  const partitions: number[] = [];
  for (const start of starts) {
    if (taken.has(start.block)) continue;
    const part = partitions.findIndex((size) => size >= start.size - blockSize && size <= start.size + blockSize);
    if (!start.isTable && part >= 0) {
      partitions.splice(part, 1);
      continue;
    }
    const found = await follow(start);
    const { blocks } = found;
    const slots = Math.max(blocks.length, Math.ceil(start.size / blockSize));
    if (slots > MAX_SLOTS) continue;
    const pieces = piecesOf(bytes, blockSize, blocks);
    const profile = await profileOf(pieces, MAX_CHECKED, cx.signal);
    const slotOf = Int32Array.from(blocks.keys());
    const fit = await fitOf(pieces, profile, { first: 0, slots, slotOf }, cx);
    const verdict = verdictOn(profile, fit, slotOf);
    if (!found.hasPassed && verdict.doubt <= MOST_DOUBT && verdict.ends > 0) {
      sure.set(start, found);
      for (const block of blocks) taken.add(block);
    } else {
      doubtful.set(start, verdict);
      if (start.isTable) partitions.push(...fit.partitions);
    }
  }
  return { sure, doubtful };
}

/** Whether a layout says more of the guest than another one, or as much with less against it. */
function isBetter(one: Verdict, other: Verdict): boolean {
  return one.ends > other.ends || (one.ends === other.ends && one.doubt < other.doubt - LESS_DOUBT);
}

/**
 * The blocks of disks that grew in turns; those of which the guests say nothing are not in the answer. `blocksFrom` gives
 * the blocks that may be of a disk and of those beside it, in the order in which they were given out.
 */
export async function grownInTurns(
  bytes: Source,
  blockSize: number,
  { doubtful }: Settled,
  blocksFrom: (start: Start) => AsyncIterable<number>,
  cx: Cx,
): Promise<Map<Start, number[]>> {
  const out = new Map<Start, number[]>();
  const fits = ({ size }: Start): boolean => Math.ceil(size / blockSize) <= MAX_SLOTS;
  const starts = [...doubtful.keys()].filter(fits).slice(0, MAX_STRANDS);
  if (starts.length === 0) return out;
  const blocks: number[] = [];
  for await (const block of blocksFrom(starts[0])) if (blocks.push(block) >= MAX_MIXED) break;
  const places = new Map(blocks.map((block, i) => [block, i]));
  const begun = starts.filter(({ block }) => places.has(block));
  const disks = begun.map(({ block, size }) => ({ first: places.get(block)!, slots: Math.ceil(size / blockSize) }));
  const pieces = piecesOf(bytes, blockSize, blocks);
  const profile = await profileOf(pieces, MAX_MIXED, cx.signal);
  const laid = await mixed(pieces, profile, disks, cx);
  for (const [i, { fit, slotOf }] of laid.entries()) {
    const verdict = verdictOn(profile, fit, slotOf);
    if (!isBetter(verdict, doubtful.get(begun[i])!)) continue;
    const list = Array.from(pieceIn(slotOf, disks[i].slots), (piece, slot) => {
      if (piece !== NOWHERE) return blocks[piece];
      return saysUnused(fit.usage, slot) ? NEVER_WRITTEN : NOT_FOUND;
    });
    out.set(begun[i], list);
  }
  return out;
}

function piecesOf(bytes: Source, blockSize: number, blocks: readonly number[]): Pieces {
  return piecesAt(
    bytes,
    blocks.map((block) => block * blockSize),
    blockSize,
  );
}
