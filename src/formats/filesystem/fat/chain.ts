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

/** Clusters that one page remembers, and pages that there are at most: 64 MiB, for 500 million clusters side by side. */
const PAGE = 32_768;
const MAX_PAGES = 16_384;

/** Remembers clusters. How many a volume says that it has costs nothing: only where a chain has been takes room. */
export class Seen {
  readonly #pages = new Map<number, Uint8Array>();
  readonly #most: number;
  #key = -1;
  #page: Uint8Array = new Uint8Array(0);

  constructor(most: number = MAX_PAGES) {
    this.#most = most;
  }

  /** Answers whether it was there already; also for one that there is no room for, so that who asks comes to an end. */
  add(cluster: number): boolean {
    const key = Math.floor(cluster / PAGE);
    if (key !== this.#key && !this.#turnTo(key)) return true;
    const [byte, bit] = [(cluster % PAGE) >>> 3, 1 << (cluster & 7)];
    const was = (this.#page[byte] & bit) !== 0;
    this.#page[byte] |= bit;
    return was;
  }

  #turnTo(key: number): boolean {
    let page = this.#pages.get(key);
    if (page === undefined) {
      if (this.#pages.size >= this.#most) return false;
      page = new Uint8Array(PAGE / 8);
      this.#pages.set(key, page);
    }
    this.#page = page;
    this.#key = key;
    return true;
  }
}

/** Follows the chain from `start` for at most `most` clusters, as copy `preferred` of the table tells it. */
export async function follow(table: Table, start: number, most: number, preferred: number): Promise<Chain> {
  const extents: { start: number; count: number }[] = [];
  const seen = new Seen();
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
