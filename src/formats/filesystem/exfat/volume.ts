/** An opened exFAT volume: its directories, its bitmap, and which clusters are whose. */
import type { Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import type { Claims } from '../ext/claims.ts';
import { type Chain, type Extent, follow } from '../fat/chain.ts';
import { Ground } from '../fat/ground.ts';
import type { Doubt } from '../posix.ts';
import { type Entry, type Opened, walk } from '../tree.ts';
import type { Geometry } from './boot.ts';
import { entriesIn, type Found, factsOf, isContiguous, isDirectory, type Special } from './directory.ts';
import { SECOND_TABLE } from './structs.ts';

/** Bytes of one directory, as the specification limits them. */
const MAX_DIRECTORY = 256 * 1024 * 1024;
/** Bytes of a bitmap that are held; that of 16 TiB in clusters of 32 KiB. */
const MAX_BITMAP = 64 * 1024 * 1024;
const MAX_BYTES = 2 ** 52;

/** A directory ends once. */
const END_DOUBT = {
  code: 'exfat.directory.end',
  expected: 'nothing behind the end of a directory',
  actual: 'sets of entries that lead to clusters in use',
};

export class ExfatVolume extends Ground {
  readonly geometry: Geometry;
  readonly root: Entry;
  label: string | undefined;
  #specials: Special[] = [];
  #bitmap: Promise<Uint8Array | undefined> | undefined;

  constructor(source: Source, geometry: Geometry, cx: Cx, doubt?: string) {
    super('exfat', source, geometry, cx, doubt);
    this.geometry = geometry;
    const start = geometry.boot.root;
    const none = { rawName: '', isDirectory: true, isGone: false, facts: {}, doubts: [], size: 0, valid: 0 };
    this.root = { ...none, at: this.byteOf(start), start, isContiguous: false };
  }

  async open(entry: Entry): Promise<Opened> {
    const doubts: Doubt[] = [];
    const chain = await this.#chainOf(entry, doubts);
    const { block, unread } = await this.content(chain);
    if (unread !== undefined) {
      const expected = 'the clusters of a directory';
      doubts.push({ at: entry.at, code: 'exfat.directory.unreadable', expected, actual: `no bytes at ${unread}` });
    }
    const listing = entriesIn(block, entry.isGone);
    if (entry === this.root) {
      this.label = listing.label;
      this.#specials = [...listing.bitmaps, ...(listing.upcase === undefined ? [] : [listing.upcase])];
      this.#bitmap ??= this.#readBitmap(listing.bitmaps);
    }
    const placeOf = (offset: number): number => this.placeOf(chain.extents, offset);
    for (const offset of listing.nonsense.slice(0, 1)) {
      const actual = `${listing.nonsense.length} entries without one`;
      doubts.push({ at: placeOf(offset), code: 'exfat.directory.entry', expected: 'whole sets of entries', actual });
    }
    const entries: Entry[] = [];
    const opened: Opened = { entry, entries, doubts, extents: chain.extents };
    // Sets have checksums: what is wrong with others in the same directory says nothing of them.
    const own = doubts.filter(({ code }) => code !== 'exfat.directory.entry');
    const passed = [...entry.doubts, ...own].slice(0, 1);
    const found = await this.#revived(listing.found);
    const behind = found.filter(({ isBehind, isGone }) => isBehind === true && !isGone);
    if (behind.length > 0) doubts.push({ at: placeOf(behind[0].offset), ...END_DOUBT });
    for (const one of found) entries.push(entryOf(one, placeOf(one.offset), opened, passed));
    return opened;
  }

  /** Sets behind the end of a directory are live where their clusters are in use: entries between were lost. */
  async #revived(found: readonly Found[]): Promise<Found[]> {
    const out: Found[] = [];
    for (const one of found) {
      const { start } = one.stream;
      const isLive = one.isBehind === true && this.table.has(start) && !(await this.isFree(start));
      out.push(isLive ? { ...one, isGone: false, doubts: [...one.doubts, END_DOUBT] } : one);
    }
    return out;
  }

  async #chainOf(entry: Entry, doubts: Doubt[]): Promise<Chain> {
    const none: Chain = { extents: [], count: 0, isLonger: false, differs: false };
    const isRoot = entry === this.root;
    const most = Math.max(1, this.needed(MAX_DIRECTORY));
    const need = isRoot ? most : Math.min(most, this.needed(entry.size));
    if (!this.table.has(entry.start)) {
      const expected = `one of ${this.geometry.boot.clusters} clusters`;
      if (need > 0) doubts.push({ at: entry.at, code: 'exfat.cluster-range', expected, actual: String(entry.start) });
      return none;
    }
    if (entry.isGone) return this.#goneChain(entry, need);
    if (entry.isContiguous && !isRoot) {
      const count = Math.min(need, this.geometry.boot.clusters + 2 - entry.start);
      return { ...none, extents: [{ start: entry.start, count }], count };
    }
    const chain = await follow(this.table, entry.start, need, 0);
    const isWrong = chain.broken !== undefined || (!isRoot && chain.count !== need) || chain.isLonger;
    if (isWrong) {
      const expected = isRoot ? 'a chain that ends' : `a chain of ${need} clusters`;
      const actual = `one of ${chain.count}`;
      doubts.push({ at: entry.at, code: `exfat.${chain.broken ?? 'chain-length'}`, expected, actual });
    }
    return chain;
  }

  /** A deleted directory lies where it says, as far as nothing else has taken its clusters. */
  async #goneChain(entry: Entry, need: number): Promise<Chain> {
    const chain = entry.isContiguous ? undefined : await this.chain(entry.start, need);
    const isWhole = chain !== undefined && chain.broken === undefined && chain.count === need;
    const given = isWhole ? chain.extents : [{ start: entry.start, count: need }];
    const extents: Extent[] = [];
    for (const { start, count } of given) {
      const end = Math.min(start + count, this.held);
      for (let cluster = start; cluster < end && !this.cx.signal.aborted; cluster++)
        if (await this.isFree(cluster)) extents.push({ start: cluster, count: 1 });
    }
    return { extents, count: extents.length, isLonger: false, differs: false };
  }

  /** The bitmap of the table that is used; undefined where it cannot be read whole. */
  async #readBitmap(all: readonly Special[]): Promise<Uint8Array | undefined> {
    const { boot } = this.geometry;
    const wanted = boot.tables === 2 ? boot.flags & SECOND_TABLE : 0;
    const place = all.find(({ flags }) => (flags & 1) === wanted);
    const size = Math.ceil(boot.clusters / 8);
    if (place === undefined || place.length < size || size > MAX_BITMAP) return undefined;
    const need = this.needed(size);
    const chain = await this.chain(place.start, need);
    if (chain.broken !== undefined || chain.count < need) return undefined;
    const { block, unread } = await this.content(chain);
    return unread === undefined ? block.subarray(0, size) : undefined;
  }

  async #isSet(cluster: number): Promise<boolean | undefined> {
    if (this.#bitmap === undefined) await this.open(this.root);
    const bitmap = await this.#bitmap;
    if (bitmap === undefined) return undefined;
    return (bitmap[(cluster - 2) >>> 3] & (1 << ((cluster - 2) & 7))) !== 0;
  }

  protected async isFree(cluster: number): Promise<boolean> {
    return (await this.#isSet(cluster)) !== true;
  }

  protected async doubtOf(extents: readonly Extent[]): Promise<string | undefined> {
    await this.#isSet(2);
    const bitmap = await this.#bitmap;
    if (bitmap === undefined) return 'exfat.bitmap';
    for (const { start, count } of extents)
      for (let i = start - 2; i < start - 2 + count; i++)
        if ((bitmap[i >>> 3] & (1 << (i & 7))) === 0) return 'exfat.cluster-free';
    return undefined;
  }

  protected async census(claims: Claims): Promise<void> {
    const add = ({ extents }: { readonly extents: readonly Extent[] }): void => {
      for (const { start, count } of extents) claims.add(start, count);
    };
    for await (const { opened } of walk(this, this.root, false)) {
      add(opened);
      for (const entry of opened.entries) {
        if (this.cx.signal.aborted) return;
        if (entry.isGone || entry.isDirectory || !this.table.has(entry.start)) continue;
        const need = this.needed(entry.size);
        if (entry.isContiguous) claims.add(entry.start, need);
        else add(await this.chain(entry.start, need));
      }
    }
    for (const { start, length } of this.#specials)
      if (this.table.has(start)) add(await this.chain(start, this.needed(length)));
  }

  protected async isLoose({ extents }: Chain, claims: Claims): Promise<boolean> {
    for (const { start, count } of extents)
      for (let cluster = start; cluster < Math.min(start + count, this.held); cluster++)
        if (claims.taken(cluster) || !(await this.isFree(cluster))) return false;
    return true;
  }
}

function entryOf(found: Found, at: number, within: Opened, passed: readonly Doubt[]): Entry {
  const { stream, rawName, isGone } = found;
  const isFolder = isDirectory(found);
  const size = Math.min(stream.length, MAX_BYTES);
  const doubts = [...found.doubts.map((doubt) => ({ ...doubt, at })), ...passed];
  if (stream.valid > stream.length)
    doubts.push({ at, code: 'exfat.valid', expected: `at most ${size} valid bytes`, actual: String(stream.valid) });
  const facts = factsOf(found);
  return {
    rawName,
    at,
    isDirectory: isFolder,
    isGone,
    facts: isFolder ? facts : { ...facts, size },
    doubts: isGone ? [] : doubts,
    start: stream.start,
    size,
    valid: Math.min(size, stream.valid),
    isContiguous: isContiguous(found),
    within,
  };
}
