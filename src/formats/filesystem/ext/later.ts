/** Blocks that several files had one after the other, as older copies of their inodes in the journal tell. */
import { viewOf } from '../../../core/struct.ts';
import { Claimants, type Fate } from '../claimants.ts';
import { type Inode, inodeOf } from './inode.ts';
import type { Copy, Journal } from './journal.ts';
import { FLAG_EXTENTS, FLAG_INLINE_DATA } from './structs.ts';
import { isFastLink, type Volume } from './volume.ts';

/** An inode as it stands in a copy of its block. */
interface InodeCopy {
  readonly inode: Inode;
  /** When it was written, in transactions; 0 is the next one. */
  readonly order: number;
}

const POINTERS = 15;
/** Files are told apart by their inode and its generation, of which so much is enough. */
const GENERATIONS = 2 ** 20;

/** All inodes in copies of the blocks of their tables, of each block the newest first. */
export async function* inodeCopies(
  volume: Volume,
  journal: Journal,
  copies: ReadonlyMap<number, readonly Copy[]>,
): AsyncGenerator<InodeCopy> {
  const { geometry: g, groups, cx } = volume;
  const tableBlocks = Math.ceil((g.super.inodesPerGroup * g.inodeSize) / g.blockSize);
  for (let group = 0; group < g.groups && copies.size > 0 && !cx.signal.aborted; group++) {
    const descriptor = await groups.get(group);
    if (descriptor === undefined) continue;
    for (let n = 0; n < tableBlocks; n++) {
      for (const copy of copies.get(descriptor.inodeTable + n) ?? []) {
        const block = new Uint8Array(g.blockSize);
        if ((await journal.source.read(copy.at, block)).length > 0) continue;
        for (let at = 0; at + g.inodeSize <= block.length; at += g.inodeSize) {
          const index = (n * g.blockSize + at) / g.inodeSize;
          const number = group * g.super.inodesPerGroup + index + 1;
          if (index < g.super.inodesPerGroup && number >= g.super.firstInode)
            yield {
              inode: inodeOf(g, number, block.subarray(at, at + g.inodeSize), journal.source, copy.at + at),
              order: turnOf(copy, journal),
            };
        }
      }
    }
  }
}

/** When a copy was written, in transactions: 0 is the next one. Sequences go round. */
export function turnOf({ sequence }: Copy, { super: { sequence: next } }: Journal): number {
  return (sequence - next) | 0;
}

/** Who had which blocks when, counted in transactions. */
export class Later {
  readonly #claimants = new Claimants();
  readonly #volume: Volume;
  /** The newest copy of each file whose map was another than in the copies after it. */
  readonly #met = new Map<number, string>();

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  /** Enters what an inode had when a copy of it was written; copies must come the newest first. */
  async learn(inode: Inode, order: number): Promise<void> {
    if (inode.links === 0 || inode.doubts.length > 0) return;
    const map = `${inode.generation} ${Buffer.from(inode.map).toString('latin1')}`;
    if (this.#met.get(inode.number) === map) return;
    this.#met.set(inode.number, map);
    await this.add(inode, order);
  }

  /** Enters the blocks of an inode, as far as it tells them itself or its tree carries sums; NaN where nobody knows when. */
  async add(inode: Inode, order: number): Promise<void> {
    if ((inode.flags & FLAG_INLINE_DATA) !== 0 || isFastLink(inode)) return;
    const who = whoOf(inode);
    const visit = (from: number, length: number): void => this.#claimants.add({ from, end: from + length, order, who });
    const view = viewOf(inode.map);
    if ((inode.flags & FLAG_EXTENTS) === 0) for (let i = 0; i < POINTERS; i++) visit(view.getUint32(4 * i, true), 1);
    else if (this.#volume.geometry.seed !== undefined || view.getUint16(6, true) === 0)
      await this.#volume.map(inode, true).blocks(visit);
  }

  /** What became of the blocks of an inode that is gone. */
  fateOf(inode: Inode, order: number): (block: number) => Fate {
    const who = whoOf(inode);
    return (block) => this.#claimants.fate({ from: block, end: block + 1, order, who }).fate;
  }
}

function whoOf({ number, generation }: Inode): number {
  return number + (generation % GENERATIONS) * 2 ** 32;
}
