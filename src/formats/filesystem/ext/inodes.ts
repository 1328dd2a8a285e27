/** Inodes: what a file is, and the 60 bytes from which its map starts. */
import { crc32cUpdate } from '../../../codec/crc32c.ts';
import { type Certainty, INFERRED, STATED, type Why } from '../../../core/run.ts';
import type { Gap, Source } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import type { Fate } from '../claimants.ts';
import { type Doubt, TYPE_DIRECTORY, TYPE_REGULAR } from '../posix.ts';
import type { Geometry } from './geometry.ts';
import type { Group, Groups } from './groups.ts';
import { FLAG_HUGE_FILE, INODE_BASE, inodeExtra, inodeStruct, MAP_AT, RO_HUGE_FILE } from './structs.ts';

export interface Inode {
  readonly number: number;
  /** Bytes from the start of what it was read from. */
  readonly at: number;
  /** What it was read from: the volume, or a journal. */
  readonly source: Source;
  /** The upper four bits of the mode. */
  readonly type: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly links: number;
  readonly flags: number;
  /** Bytes that are set aside for it. */
  readonly allocated: number;
  readonly accessed: number;
  readonly changed: number;
  readonly modified: number;
  readonly made: number | undefined;
  /** When it was deleted, or the next inode in the list of orphans. */
  readonly deleted: number;
  readonly generation: number;
  /** Block of extended attributes, or 0. */
  readonly acl: number;
  readonly map: Uint8Array;
  /** The whole inode. */
  readonly raw: Uint8Array;
  /** What sums of its own blocks start from; undefined where there are none. */
  readonly seed: number | undefined;
  readonly doubts: readonly Doubt[];
  readonly certainty: Certainty;
  readonly why: Why;
  /** Of what is gone: what became of a block after it. */
  readonly fate?: (block: number) => Fate;
}

interface Page {
  readonly bytes: Uint8Array;
  readonly gaps: readonly Gap[];
}

/** Bytes of an inode table that are read at once. */
const PAGE = 64 * 1024;
const EPOCH_BITS = 3;

export class Inodes {
  readonly #source: Source;
  readonly #g: Geometry;
  readonly #groups: Groups;
  readonly #pages = new TableCache<Page>();

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
    const group = this.#groups.get(Math.floor((number - 1) / inodesPerGroup));
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
    const group = this.#groups.get(Math.floor((number - 1) / g.super.inodesPerGroup));
    return group instanceof Promise ? group.then((one) => this.#from(one, number)) : this.#from(group, number);
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
    if (page.gaps.some((gap) => gap.offset < at + inodeSize && gap.offset + gap.length > at)) return undefined;
    return inodeOf(this.#g, number, page.bytes.subarray(offset, offset + inodeSize), this.#source, at, group);
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
    const bytes = new Uint8Array(Math.min(PAGE, left));
    const page = { bytes, gaps: await this.#source.read(base, bytes) };
    this.#pages.set(base, page, bytes.length);
    this.#last = { base, page };
    return page;
  }
}

/** Decodes an inode; `group` names the descriptor that led to it. */
export function inodeOf(
  g: Geometry,
  number: number,
  from: Uint8Array,
  source: Source,
  at: number,
  group?: Group,
): Inode {
  const view = new DataView(from.buffer, from.byteOffset, from.byteLength);
  const base = inodeStruct.over(view);
  const isRoomy = from.length >= INODE_BASE + inodeExtra.size;
  const room =
    g.inodeSize > INODE_BASE
      ? isRoomy
        ? inodeExtra.over(view, INODE_BASE)
        : inodeExtra.decode(padded(from))
      : undefined;
  const extra = room !== undefined && room.extraSize <= g.inodeSize - INODE_BASE ? room : undefined;
  const has = (field: { at: number; size: number }): boolean => (extra?.extraSize ?? 0) >= field.at + field.size;
  const fields = inodeExtra.fields;
  const time = (seconds: number, more: number | undefined): number => (seconds | 0) + epoch(more);
  const pick = (field: keyof typeof fields): number | undefined =>
    extra !== undefined && has(fields[field]) ? extra[field] : undefined;
  const type = base.mode >>> 12;
  const isSized = type === TYPE_REGULAR || type === TYPE_DIRECTORY;
  const raw = from.subarray(0, g.inodeSize);
  const seed = g.seed === undefined ? undefined : seedOf(g.seed, number, base.generation);
  const doubts: Doubt[] = [];
  if (seed !== undefined && base.mode !== 0) checkSum(raw, seed, base.checksum, pick('checksumHigh'), at, doubts);
  if (group?.doubt !== undefined) {
    const expected = `the descriptor of group ${group.number} with its checksum`;
    doubts.push({ at: group.at, code: group.doubt, expected, actual: 'a copy, or one whose checksum fails' });
  }
  const inBlocks = (base.flags & FLAG_HUGE_FILE) !== 0 && (g.super.roCompat & RO_HUGE_FILE) !== 0;
  const made = pick('made');
  const inode: Inode = {
    number,
    at,
    source,
    type,
    mode: base.mode & 0o7777,
    uid: base.uid + base.uidHigh * 65536,
    gid: base.gid + base.gidHigh * 65536,
    size: base.size + (isSized ? base.sizeHigh * 2 ** 32 : 0),
    links: base.links,
    flags: base.flags,
    allocated: (base.sectors + base.sectorsHigh * 2 ** 32) * (inBlocks ? g.blockSize : 512),
    accessed: time(base.accessed, pick('accessedExtra')),
    changed: time(base.changed, pick('changedExtra')),
    modified: time(base.modified, pick('modifiedExtra')),
    made: made === undefined ? undefined : time(made, pick('madeExtra')),
    deleted: base.deleted,
    generation: base.generation,
    acl: base.acl + base.aclHigh * 2 ** 32,
    map: raw.subarray(MAP_AT, MAP_AT + 60),
    raw,
    seed,
    doubts: [],
    certainty: STATED,
    why: { what: `ext inode ${number}`, source, at },
  };
  return doubts.length === 0 ? inode : withDoubts(inode, doubts);
}

/** The same inode, inferred because of `doubts`. */
export function withDoubts(inode: Inode, doubts: readonly Doubt[]): Inode {
  const why = { what: inode.why.what, source: inode.source, at: inode.at, code: doubts[0].code };
  return { ...inode, doubts, certainty: INFERRED, why };
}

const SEED = new Uint8Array(8);
const SEED_VIEW = new DataView(SEED.buffer);

/** What sums over an inode, and over the blocks that belong to it, start from. */
function seedOf(seed: number, number: number, generation: number): number {
  SEED_VIEW.setUint32(0, number, true);
  SEED_VIEW.setUint32(4, generation, true);
  return crc32cUpdate(seed, SEED);
}

/** Room for one inode, used again and again: the largest that there is takes a block of 64 KiB. */
const SUMMED = new Uint8Array(65_536);
const CHECKSUM_LOW = inodeStruct.fields.checksum.at;
const CHECKSUM_HIGH = INODE_BASE + inodeExtra.fields.checksumHigh.at;

function checkSum(
  raw: Uint8Array,
  seed: number,
  low: number,
  high: number | undefined,
  at: number,
  doubts: Doubt[],
): void {
  // The sum itself counts as zeros.
  const copy = SUMMED.subarray(0, raw.length);
  copy.set(raw);
  copy.fill(0, CHECKSUM_LOW, CHECKSUM_LOW + 2);
  if (high !== undefined) copy.fill(0, CHECKSUM_HIGH, CHECKSUM_HIGH + 2);
  const sum = crc32cUpdate(seed, copy);
  const expected = high === undefined ? sum & 0xffff : sum;
  const actual = low + (high ?? 0) * 65536;
  if (expected === actual) return;
  const text = (value: number): string => `checksum 0x${value.toString(16)}`;
  doubts.push({ at: at + CHECKSUM_LOW, code: 'ext.inode.checksum', expected: text(expected), actual: text(actual) });
}

/** Seconds beyond 2038, and the nanoseconds, that the extra word of a time holds. */
function epoch(extra: number | undefined): number {
  if (extra === undefined) return 0;
  const nanoseconds = extra >>> 2;
  return (extra & EPOCH_BITS) * 2 ** 32 + (nanoseconds < 1e9 ? nanoseconds / 1e9 : 0);
}

function padded(from: Uint8Array): Uint8Array {
  const out = new Uint8Array(inodeExtra.size);
  out.set(from.subarray(INODE_BASE, Math.min(from.length, INODE_BASE + inodeExtra.size)));
  return out;
}
