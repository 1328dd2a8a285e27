/** The tables of inodes of an ext volume. */
import type { Gap, Source } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import type { Geometry } from './geometry.ts';
import type { Group, Groups } from './groups.ts';
import { type Inode, StoredInode, withDoubts } from './inode.ts';
import { inodeStruct } from './structs.ts';

interface Page {
  readonly bytes: Uint8Array;
  readonly gaps: readonly Gap[];
}

/** Bytes of an inode table that are read at once. */
const PAGE = 64 * 1024;

export class Inodes {
  readonly #source: Source;
  readonly #g: Geometry;
  readonly #groups: Groups;
  readonly #pages = new TableCache<Page>();
  /** Neighbours have one group: it is asked for once. */
  #group: { readonly number: number; readonly found: Group } | undefined;

  constructor(source: Source, geometry: Geometry, groups: Groups) {
    this.#source = source;
    this.#g = geometry;
    this.#groups = groups;
  }

  /** An inode that is in use, with what is doubtful about it; undefined where it cannot be read or is empty. */
  get(number: number): Inode | undefined | Promise<Inode | undefined> {
    const found = this.raw(number);
    return found instanceof Promise ? found.then((inode) => this.#inUse(number, inode)) : this.#inUse(number, found);
  }

  #inUse(number: number, found: Inode | undefined): Inode | undefined | Promise<Inode | undefined> {
    if (found === undefined || found.mode === 0) return undefined;
    const { inodesPerGroup } = this.#g.super;
    const index = (number - 1) % inodesPerGroup;
    const group = this.#groupOf(number);
    if (group instanceof Promise) {
      return group.then(async (one) => this.#judged(found, one!, await this.#groups.inodeInUse(one!, index)));
    }
    const inUse = this.#groups.inodeInUse(group!, index);
    if (!(inUse instanceof Promise)) return this.#judged(found, group!, inUse);
    return inUse.then((answer) => this.#judged(found, group!, answer));
  }

  /** An inode beside what its group's bitmap says of it. */
  #judged(found: Inode, group: Group, inUse: boolean | 'unreadable'): Inode {
    if (found.links > 0 && inUse === true) return found;
    const doubts = [...found.doubts];
    if (found.links === 0) {
      const at = found.at + inodeStruct.fields.links.at;
      doubts.push({ at, code: 'ext.inode.links', expected: 'one link or more', actual: 'none: it was deleted' });
    }
    const at = group.inodeBitmap * this.#g.blockSize;
    if (inUse === false) {
      const expected = `inode ${found.number} in use`;
      doubts.push({ at, code: 'ext.inode.free', expected, actual: 'free in the bitmap' });
    } else if (inUse === 'unreadable') {
      doubts.push({
        at,
        code: 'ext.inode.bitmap',
        expected: `the bitmap of group ${group.number}`,
        actual: 'unreadable',
      });
    }
    return withDoubts(found, doubts);
  }

  /** An inode as it stands in its table, in use or not; undefined where it cannot be read. A promise only where something has to be read. */
  raw(number: number): Inode | undefined | Promise<Inode | undefined> {
    const g = this.#g;
    if (!(number >= 1 && number <= g.inodes)) return undefined;
    const group = this.#groupOf(number);
    return group instanceof Promise ? group.then((one) => this.#from(one, number)) : this.#from(group, number);
  }

  #groupOf(inode: number): Group | undefined | Promise<Group | undefined> {
    const number = Math.floor((inode - 1) / this.#g.super.inodesPerGroup);
    if (this.#group?.number === number) return this.#group.found;
    const found = this.#groups.get(number);
    if (found !== undefined && !(found instanceof Promise)) this.#group = { number, found };
    return found;
  }

  #from(group: Group | undefined, number: number): Inode | undefined | Promise<Inode | undefined> {
    if (group === undefined) return undefined;
    const g = this.#g;
    const offset = ((number - 1) % g.super.inodesPerGroup) * g.inodeSize;
    const start = offset - (offset % PAGE);
    const base = group.inodeTable * g.blockSize + start;
    const page = this.#page(base, g.super.inodesPerGroup * g.inodeSize - start);
    return page instanceof Promise
      ? page.then((one) => this.#decode(one, base, offset - start, number, group))
      : this.#decode(page, base, offset - start, number, group);
  }

  #decode(page: Page, base: number, offset: number, number: number, group: Group): Inode | undefined {
    const { inodeSize } = this.#g;
    const at = base + offset;
    if (page.gaps.length > 0 && page.gaps.some((gap) => gap.offset < at + inodeSize && gap.offset + gap.length > at))
      return undefined;
    return new StoredInode(this.#g, number, page.bytes, offset, this.#source, at, group);
  }

  /** Whoever lists a directory asks for neighbours: the page that was asked for last is kept at hand. */
  #last: { readonly base: number; readonly page: Page } | undefined;

  #page(base: number, left: number): Page | Promise<Page> {
    if (this.#last?.base === base) return this.#last.page;
    const page = this.#pages.get(base);
    if (page === undefined) return this.#read(base, left);
    this.#last = { base, page };
    return page;
  }

  async #read(base: number, left: number): Promise<Page> {
    // A read fills all of it, with zeros where it must.
    const bytes = Buffer.allocUnsafeSlow(Math.min(PAGE, left));
    const page = { bytes, gaps: await this.#source.read(base, bytes) };
    this.#pages.set(base, page, bytes.length);
    this.#last = { base, page };
    return page;
  }
}
