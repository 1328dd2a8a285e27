/** An opened FAT volume: its directories, and which clusters are whose. */
import type { Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import type { Claims } from '../ext/claims.ts';
import type { Doubt } from '../posix.ts';
import { type Entry, type Opened, walk } from '../tree.ts';
import type { Geometry } from './boot.ts';
import { type Chain, type Extent, follow } from './chain.ts';
import { entriesIn, type Found, factsOf, isAllEntries, type Listing, startOf } from './directory.ts';
import { Ground } from './ground.ts';
import { DIRECTORY, ENTRY } from './structs.ts';
import { BAD, FIRST, LAST, UNREAD } from './table.ts';

/** Bytes of one directory: 65,536 entries, which is all that systems make. */
const MAX_DIRECTORY = 65_536 * ENTRY;
/** Clusters of a deleted directory that are tried behind its first. */
const MAX_GONE_CLUSTERS = 1024;
/** Clusters behind one of a deleted directory in which it may go on. */
const MAX_SEARCHED = 1024;
const WIDE = 0x10000;

export class FatVolume extends Ground {
  readonly geometry: Geometry;
  readonly root: Entry;
  label: string | undefined;
  readonly #goneChains = new Map<number, Chain>();
  /** Clusters that a deleted directory was continued in. */
  readonly #continued = new Set<number>();

  constructor(source: Source, geometry: Geometry, cx: Cx, doubt?: string) {
    super('fat', source, geometry, cx, doubt);
    this.geometry = geometry;
    const start = this.#isWide ? geometry.boot.root : 0;
    const none = { rawName: '', isDirectory: true, isGone: false, facts: {}, doubts: [], size: 0, valid: 0 };
    this.root = { ...none, at: start === 0 ? geometry.rootAt : this.byteOf(start), start, isContiguous: false };
  }

  get #isWide(): boolean {
    return this.geometry.width === 28;
  }

  async open(entry: Entry): Promise<Opened> {
    const doubts: Doubt[] = [];
    const isRoot = entry === this.root;
    const chain = entry.start === 0 ? undefined : await this.#chainOf(entry, doubts);
    const block =
      chain === undefined ? await this.#rootBlock(isRoot, doubts) : await this.#blockOf(chain, entry, doubts);
    const extents = chain?.extents ?? [];
    const listing = entriesIn(block, (cluster) => this.table.has(cluster), this.#isWide, entry.isGone);
    const placeOf = (offset: number): number =>
      extents.length === 0 ? this.geometry.rootAt + offset : this.placeOf(extents, offset);
    if (isRoot) this.label = listing.label;
    if (!isRoot && !entry.isGone) this.#checkDots(entry, listing, doubts);
    const [within, behind] = entry.isGone ? [listing.found, []] : await this.#behindEnd(listing.found);
    for (const offset of listing.nonsense.slice(0, 1)) {
      const actual = `${listing.nonsense.length} that are none`;
      doubts.push({ at: placeOf(offset), code: 'fat.directory.entry', expected: 'entries that make sense', actual });
    }
    const entries: Entry[] = [];
    const opened: Opened = { entry, entries, doubts, extents };
    // What a doubtful directory says is no more certain than it is itself.
    const passed = [...entry.doubts, ...doubts].slice(0, 1);
    const high = this.#usualHigh(listing.found);
    for (const one of within)
      if (!one.isDot) entries.push(this.#entryOf(one, placeOf(one.offset), opened, passed, high));
    if (!entry.isGone) this.#checkEnd(block, extents, behind, placeOf, doubts);
    const lost = behind.length === 0 ? passed : doubts.slice(-1);
    for (const one of behind) entries.push(this.#entryOf(one, placeOf(one.offset), opened, lost, high));
    return opened;
  }

  #entryOf(found: Found, at: number, within: Opened, passed: readonly Doubt[], high: number): Entry {
    const { raw, rawName, isGone } = found;
    const start = startOf(raw, this.#isWide);
    const isDirectory = (raw.attributes & DIRECTORY) !== 0;
    // Some systems clear the upper half of a deleted file's first cluster: it may be that of its neighbours.
    const other = raw.startLow + high * WIDE;
    const isCut = isGone && this.#isWide && raw.startHigh === 0 && high > 0 && start > 0 && this.table.has(other);
    const doubts = [...found.doubts.map((doubt) => ({ ...doubt, at })), ...passed];
    const facts = factsOf(raw, start);
    return {
      rawName,
      at,
      isDirectory,
      isGone,
      facts: isDirectory ? facts : { ...facts, size: raw.size },
      doubts: isGone ? [] : doubts,
      start,
      size: isDirectory ? 0 : raw.size,
      valid: raw.size,
      isContiguous: false,
      within,
      ...(isCut && { others: [other] }),
    };
  }

  /**
   * What stands behind the end of a directory was forgotten with all there, unless the end is where entries were lost:
   * then the clusters that it leads to are still in use.
   */
  async #behindEnd(found: readonly Found[]): Promise<[within: Found[], behind: Found[]]> {
    const within: Found[] = [];
    const behind: Found[] = [];
    for (const one of found) {
      const start = startOf(one.raw, this.#isWide);
      const isLive = one.isBehind && !one.isDot && this.table.has(start) && !(await this.isFree(start));
      if (isLive) behind.push({ ...one, isGone: false });
      else within.push(one);
    }
    return [within, behind];
  }

  /** A directory gets a cluster for an entry that is put into it: one without any has lost what it had. */
  #checkEnd(
    block: Uint8Array,
    extents: readonly Extent[],
    behind: readonly Found[],
    placeOf: (offset: number) => number,
    doubts: Doubt[],
  ): void {
    const { cluster } = this.geometry;
    let [empty, first] = [0, -1];
    for (let at = 0; extents.length > 0 && at + cluster <= block.length && block.length > cluster; at += cluster) {
      if (block.subarray(at, at + cluster).some((byte) => byte !== 0)) continue;
      if (empty++ === 0) first = at;
    }
    if (empty === 0 && behind.length === 0) return;
    const at = placeOf(first >= 0 ? first : behind[0].offset);
    const actual = `${empty} clusters without any, and ${behind.length} entries behind the end that lead to clusters in use`;
    doubts.push({ at, code: 'fat.directory.end', expected: 'entries in each of its clusters, up to its end', actual });
  }

  /** The upper half of most first clusters of a directory. */
  #usualHigh(found: readonly Found[]): number {
    const counts = new Map<number, number>();
    for (const { raw, isDot } of found)
      if (raw.startHigh > 0 && !isDot) counts.set(raw.startHigh, (counts.get(raw.startHigh) ?? 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 0;
  }

  async #chainOf(entry: Entry, doubts: Doubt[]): Promise<Chain> {
    const most = Math.max(1, this.needed(MAX_DIRECTORY));
    if (entry.isGone) return this.#goneChain(entry.start, most);
    let chain = await follow(this.table, entry.start, most, 0);
    for (let n = 1; n < this.table.place.copies.length && chain.differs && chain.broken !== undefined; n++) {
      const other = await follow(this.table, entry.start, most, n);
      if (other.broken === undefined) chain = other;
    }
    const say = (code: string, expected: string, actual: string) =>
      doubts.push({ at: entry.at, code: `fat.${code}`, expected, actual });
    if (chain.broken !== undefined)
      say(chain.broken, 'a chain that ends', `one that breaks after ${chain.count} clusters`);
    else if (chain.isLonger) say('directory.long', `at most ${most} clusters`, 'more');
    else if (chain.differs) say('copies-differ', 'the same chain in all copies of the table', 'different ones');
    return chain;
  }

  /**
   * A deleted directory begins with its own name. While it has no end it goes on in the next cluster that nobody has,
   * holds nothing but entries, and was not taken for a part of another one.
   */
  async #goneChain(start: number, most: number): Promise<Chain> {
    const known = this.#goneChains.get(start);
    if (known !== undefined) return known;
    const none: Chain = { extents: [], count: 0, isLonger: false, differs: false };
    if (!this.table.has(start) || !(await this.#isOwnDirectory(start))) return none;
    const extents: Extent[] = [{ start, count: 1 }];
    let last = start;
    while (extents.length < Math.min(most, MAX_GONE_CLUSTERS) && !(await this.#endsIn(last))) {
      const next = await this.#nextOf(last);
      if (next === undefined) break;
      extents.push({ start: next, count: 1 });
      this.#continued.add(next);
      last = next;
    }
    const chain: Chain = { ...none, extents, count: extents.length };
    this.#goneChains.set(start, chain);
    return chain;
  }

  async #endsIn(cluster: number): Promise<boolean> {
    const tail = new Uint8Array(ENTRY);
    const at = this.byteOf(cluster + 1) - ENTRY;
    return (await this.source.read(at, tail)).length > 0 || tail[0] === 0;
  }

  async #nextOf(last: number): Promise<number | undefined> {
    const block = new Uint8Array(this.geometry.cluster);
    for (let cluster = last + 1; cluster <= last + MAX_SEARCHED && this.table.has(cluster); cluster++) {
      if (this.#continued.has(cluster) || !(await this.isFree(cluster))) continue;
      if ((await this.source.read(this.byteOf(cluster), block)).length > 0) continue;
      if (isAllEntries(block, (one) => this.table.has(one), this.#isWide)) return cluster;
    }
    return undefined;
  }

  async #isOwnDirectory(start: number): Promise<boolean> {
    const block = new Uint8Array(2 * ENTRY);
    if ((await this.source.read(this.byteOf(start), block)).length > 0) return false;
    const { found } = entriesIn(block, (one) => this.table.has(one), this.#isWide, false);
    const [own, above] = found;
    return own?.isDot === true && above?.isDot === true && startOf(own.raw, this.#isWide) === start;
  }

  async #blockOf(chain: Chain, entry: Entry, doubts: Doubt[]): Promise<Uint8Array> {
    const { block, unread } = await this.content(chain);
    if (unread !== undefined) {
      const expected = 'the clusters of a directory';
      doubts.push({ at: entry.at, code: 'fat.directory.unreadable', expected, actual: `no bytes at ${unread}` });
    }
    return block;
  }

  async #rootBlock(isRoot: boolean, doubts: Doubt[]): Promise<Uint8Array> {
    if (!isRoot) return new Uint8Array(0);
    const { rootAt, rootBytes } = this.geometry;
    const block = new Uint8Array(rootBytes);
    const gaps = await this.source.read(rootAt, block);
    if (gaps.length > 0) {
      const actual = `no bytes at ${gaps[0].offset}`;
      doubts.push({ at: rootAt, code: 'fat.directory.unreadable', expected: 'the root directory', actual });
    }
    return block;
  }

  /** A directory names itself and the one above it first. */
  #checkDots(entry: Entry, { found }: Listing, doubts: Doubt[]): void {
    const [own, above] = found;
    const starts = [own, above].map((one) => (one?.isDot === true ? startOf(one.raw, this.#isWide) : -1));
    const up = entry.within?.entry;
    const parent = up === undefined || up === this.root ? 0 : up.start;
    // Some systems give the number of the root where others have 0.
    const isAbove = starts[1] === parent || (parent === 0 && starts[1] === this.root.start);
    if (starts[0] === entry.start && isAbove) return;
    const expected = `entries of its own cluster ${entry.start} and of ${parent} above it`;
    const actual = starts.map((one) => (one < 0 ? 'none' : String(one))).join(' and ');
    doubts.push({ at: this.byteOf(entry.start), code: 'fat.directory.self', expected, actual });
  }

  /**
   * Each cluster is pointed to once: by the one before it, or by an entry of a directory. That also tells a chain that
   * is led into one that no directory has.
   */
  protected async census(claims: Claims): Promise<void> {
    let wild = 0;
    const { end } = this.table;
    for (let cluster = FIRST; cluster < end && !this.cx.signal.aborted; cluster++) {
      let link = this.table.link(cluster, 0);
      if (link === undefined) {
        await this.table.load(cluster);
        link = this.table.link(cluster, 0)!;
      }
      // Where the copies differ one of them is wrong, and what it points to has not deserved a doubt.
      if (link.differs || link.next === 0 || link.next === LAST || link.next === BAD || link.next === UNREAD) continue;
      if (this.table.has(link.next)) claims.add(link.next, 1);
      else wild++;
    }
    if (wild > 0)
      this.#doubtAll('fat.table', `links to one of ${this.geometry.clusters} clusters`, `${wild} to others`);
    if (this.root.start > 0) claims.add(this.root.start, 1);
    let [agree, disagree] = [0, 0];
    for await (const { opened } of walk(this, this.root, false)) {
      if (opened.entry !== this.root) {
        if (opened.doubts.some(({ code }) => code === 'fat.directory.self')) disagree++;
        else agree++;
      } else if (opened.doubts.length > 0 && this.geometry.rootBytes > 0) {
        this.#doubtAll('fat.root', 'a root directory that makes sense', opened.doubts[0].actual);
      }
      for (const entry of opened.entries) if (!entry.isGone && this.table.has(entry.start)) claims.add(entry.start, 1);
    }
    if (disagree > agree) this.#doubtAll('fat.geometry', 'directories at their clusters', 'other bytes');
  }

  #doubtAll(code: string, expected: string, actual: string): void {
    if (this.doubt !== undefined) return;
    this.doubt = code;
    const effect = 'the layout of the volume may be another one, and all of it is inferred';
    this.damage.push(this.cx.damage(this.geometry.bootAt, code, expected, actual, effect));
  }

  protected async isFree(cluster: number): Promise<boolean> {
    const known = this.table.link(cluster, 0);
    if (known === undefined) await this.table.load(cluster);
    return this.table.isFree(cluster) === true;
  }

  protected async isLoose({ extents }: Chain, claims: Claims): Promise<boolean> {
    if (extents.length === 0 || claims.taken(extents[0].start)) return false;
    return !extents.some(({ start, count }) => claims.disputed(start, start + count));
  }

  protected async doubtOf(): Promise<string | undefined> {
    return undefined;
  }
}
