/** Chains of clusters, followed through the table with bounds and a memory of where they have been. */
import { BAD, LAST, type Table, UNREAD } from './table.ts';

/** Clusters that follow each other on the volume. */
export interface Extent {
  readonly start: number;
  readonly count: number;
}

export interface Chain {
  readonly extents: readonly Extent[];
  readonly count: number;
  /** Why it cannot be followed to its end: a code, without the format's name. */
  readonly broken?: string;
  /** It goes on behind what was wanted. */
  readonly isLonger: boolean;
  /** Copies of the table do not agree about it. */
  readonly differs: boolean;
}

/** Below this many clusters a set of them is smaller than a bit for each cluster of the volume. */
const FEW = 4096;

/** Remembers clusters. */
class Seen {
  readonly #few: Set<number> | undefined;
  readonly #bits: Uint8Array;

  constructor(most: number, clusters: number) {
    this.#few = most < FEW ? new Set() : undefined;
    this.#bits = new Uint8Array(this.#few === undefined ? Math.ceil((clusters + 2) / 8) : 0);
  }

  /** Answers whether it was there already. */
  add(cluster: number): boolean {
    if (this.#few !== undefined) {
      const before = this.#few.size;
      return this.#few.add(cluster).size === before;
    }
    const bit = 1 << (cluster & 7);
    const was = (this.#bits[cluster >>> 3] & bit) !== 0;
    this.#bits[cluster >>> 3] |= bit;
    return was;
  }
}

/** Follows the chain from `start` for at most `most` clusters, as copy `preferred` of the table tells it. */
export async function follow(table: Table, start: number, most: number, preferred: number): Promise<Chain> {
  const extents: { start: number; count: number }[] = [];
  const seen = new Seen(most, table.place.clusters);
  let [count, differs] = [0, false];
  const done = (broken?: string): Chain => ({
    extents,
    count,
    isLonger: broken === undefined && count > most,
    differs,
    ...(broken !== undefined && { broken }),
  });
  for (let at = start; ; ) {
    if (!table.has(at)) return done('chain-range');
    if (seen.add(at)) return done('chain-loop');
    if (++count > most) return done();
    const link = table.link(at, preferred) ?? (await loaded(table, at, preferred));
    differs ||= link.differs;
    // A cluster that its own entry calls free or bad is not part of a chain.
    const isOut = link.next === 0 || link.next === BAD || link.next === UNREAD;
    const last = extents.at(-1);
    if (isOut && count > 1) {
      count--;
      return done(brokenBy(link.next));
    }
    if (last !== undefined && last.start + last.count === at) last.count++;
    else extents.push({ start: at, count: 1 });
    if (isOut) return done(brokenBy(link.next));
    if (link.next === LAST) return done();
    at = link.next;
  }
}

function brokenBy(next: number): string {
  return next === 0 ? 'chain-free' : next === BAD ? 'chain-bad' : 'chain-unreadable';
}

async function loaded(table: Table, cluster: number, preferred: number) {
  await table.load(cluster);
  return table.link(cluster, preferred)!;
}

/** The chain that fits best where copies of the table differ; `fits` tells whether one does. */
export async function bestChain(
  table: Table,
  start: number,
  most: number,
  fits: (chain: Chain) => boolean,
): Promise<Chain> {
  const first = await follow(table, start, most, 0);
  if (!first.differs || fits(first)) return first;
  for (let n = 1; n < table.place.copies.length; n++) {
    const other = await follow(table, start, most, n);
    if (fits(other)) return other;
  }
  return first;
}
