/** An inode: what a file is, and the 60 bytes from which its map starts. */
import { crc32cUpdate } from '../../../codec/crc32c.ts';
import { type Certainty, INFERRED, STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import type { Fate } from '../claimants.ts';
import { type Doubt, TYPE_DIRECTORY, TYPE_REGULAR } from '../posix.ts';
import { hasAttributes } from './attributes.ts';
import { hasExtents } from './extents.ts';
import type { Geometry } from './geometry.ts';
import type { Group } from './groups.ts';
import { FLAG_HUGE_FILE, INODE_BASE, inodeExtra, inodeStruct, MAP_AT, MAP_BYTES, RO_HUGE_FILE } from './structs.ts';

const EPOCH_BITS = 3;

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
  /** Whether the map is the root of a tree with an extent that can be used. */
  readonly isRooted: boolean;
  /** Whether extended attributes stand in the inode itself. */
  readonly hasAttributes: boolean;
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

/** An inode in a table, each field decoded when it is asked for: a long listing asks for few of them. It cannot be spread. */
export class StoredInode implements Inode {
  readonly number: number;
  readonly at: number;
  readonly source: Source;
  readonly seed: number | undefined;
  readonly doubts: readonly Doubt[];
  readonly certainty: Certainty;
  readonly #g: Geometry;
  readonly #page: Uint8Array;
  /** Bytes from the start of the page. */
  readonly #from: number;
  readonly #base: ReturnType<typeof inodeStruct.over>;
  readonly #extra: Extra | undefined;
  #why: Why | undefined;

  constructor(g: Geometry, number: number, page: Uint8Array, from: number, source: Source, at: number, group?: Group) {
    this.number = number;
    this.at = at;
    this.source = source;
    this.#g = g;
    this.#page = page;
    this.#from = from;
    const base = inodeStruct.over(viewOf(page), from);
    this.#base = base;
    this.#extra = extraOf(g, page, from);
    this.seed = g.seed === undefined ? undefined : seedOf(g.seed, number, base.generation);
    const wrong = this.seed === undefined || base.mode === 0 ? undefined : this.#wrongSum(this.seed);
    const doubts: Doubt[] = wrong === undefined ? NO_DOUBTS : [wrong];
    this.doubts = group?.doubt === undefined ? doubts : [...doubts, doubtOf(group, group.doubt)];
    this.certainty = this.doubts.length === 0 ? STATED : INFERRED;
  }

  get type(): number {
    return this.#base.mode >>> 12;
  }
  get mode(): number {
    return this.#base.mode & 0o7777;
  }
  get uid(): number {
    return this.#base.uid + this.#base.uidHigh * 65536;
  }
  get gid(): number {
    return this.#base.gid + this.#base.gidHigh * 65536;
  }
  get size(): number {
    const isSized = this.type === TYPE_REGULAR || this.type === TYPE_DIRECTORY;
    return this.#base.size + (isSized ? this.#base.sizeHigh * 2 ** 32 : 0);
  }
  get links(): number {
    return this.#base.links;
  }
  get flags(): number {
    return this.#base.flags;
  }
  get allocated(): number {
    const inBlocks = (this.flags & FLAG_HUGE_FILE) !== 0 && (this.#g.super.roCompat & RO_HUGE_FILE) !== 0;
    return (this.#base.sectors + this.#base.sectorsHigh * 2 ** 32) * (inBlocks ? this.#g.blockSize : 512);
  }
  get accessed(): number {
    return (this.#base.accessed | 0) + epoch(this.#pick('accessedExtra'));
  }
  get changed(): number {
    return (this.#base.changed | 0) + epoch(this.#pick('changedExtra'));
  }
  get modified(): number {
    return (this.#base.modified | 0) + epoch(this.#pick('modifiedExtra'));
  }
  get made(): number | undefined {
    const made = this.#pick('made');
    return made === undefined ? undefined : (made | 0) + epoch(this.#pick('madeExtra'));
  }
  get deleted(): number {
    return this.#base.deleted;
  }
  get generation(): number {
    return this.#base.generation;
  }
  get acl(): number {
    return this.#base.acl + this.#base.aclHigh * 2 ** 32;
  }
  get map(): Uint8Array {
    return this.#page.subarray(this.#from + MAP_AT, this.#from + MAP_AT + MAP_BYTES);
  }
  get isRooted(): boolean {
    return hasExtents(viewOf(this.#page), this.#from + MAP_AT);
  }
  get hasAttributes(): boolean {
    return hasAttributes(viewOf(this.#page), this.#from, this.#g.inodeSize);
  }
  get raw(): Uint8Array {
    return this.#page.subarray(this.#from, this.#from + this.#g.inodeSize);
  }
  get why(): Why {
    const code = this.doubts[0]?.code;
    this.#why ??= {
      what: `ext inode ${this.number}`,
      source: this.source,
      at: this.at,
      ...(code !== undefined && { code }),
    };
    return this.#why;
  }

  #pick(field: keyof typeof inodeExtra.fields): number | undefined {
    const extra = this.#extra;
    if (extra === undefined) return undefined;
    const { at, size } = inodeExtra.fields[field];
    return extra.extraSize >= at + size ? extra[field] : undefined;
  }

  /** What is wrong with the sum over it, if anything is. */
  #wrongSum(seed: number): Doubt | undefined {
    const low = this.#base.checksum;
    const high = this.#pick('checksumHigh');
    const sum = sumOf(this.#page, this.#from, this.#from + this.#g.inodeSize, seed, high !== undefined);
    const expected = high === undefined ? sum & 0xffff : sum;
    const actual = low + (high ?? 0) * 65536;
    if (expected === actual) return undefined;
    const text = (value: number): string => `checksum 0x${value.toString(16)}`;
    const at = this.at + CHECKSUM_LOW;
    return { at, code: 'ext.inode.checksum', expected: text(expected), actual: text(actual) };
  }
}

const NO_DOUBTS: Doubt[] = [];

function doubtOf(group: Group, code: string): Doubt {
  const expected = `the descriptor of group ${group.number} with its checksum`;
  return { at: group.at, code, expected, actual: 'a copy, or one whose checksum fails' };
}

type Extra = ReturnType<typeof inodeExtra.over>;

/** The part of an inode behind its 128 bytes; undefined where there is none, or it says that it is longer than its room. */
function extraOf(g: Geometry, page: Uint8Array, from: number): Extra | undefined {
  const room = g.inodeSize - INODE_BASE;
  if (room <= 0) return undefined;
  const at = from + INODE_BASE;
  const extra =
    room >= inodeExtra.size
      ? inodeExtra.over(viewOf(page), at)
      : inodeExtra.over(viewOf(padded(page.subarray(at, at + room))));
  return extra.extraSize <= room ? extra : undefined;
}

/** Decodes an inode that stands in bytes of its own; `group` names the descriptor that led to it. */
export function inodeOf(
  g: Geometry,
  number: number,
  from: Uint8Array,
  source: Source,
  at: number,
  group?: Group,
): Inode {
  return plain(new StoredInode(g, number, from, 0, source, at, group));
}

/** An inode with all its fields decoded. */
function plain(inode: Inode): Inode {
  const { number, at, source, type, mode, uid, gid, size, links, flags, allocated } = inode;
  const { accessed, changed, modified, made, deleted, generation, acl, map, raw, seed, doubts, certainty, why } = inode;
  const { isRooted, hasAttributes: has } = inode;
  return {
    number,
    at,
    source,
    type,
    mode,
    uid,
    gid,
    size,
    links,
    flags,
    allocated,
    accessed,
    changed,
    modified,
    made,
    deleted,
    generation,
    acl,
    map,
    isRooted,
    hasAttributes: has,
    raw,
    seed,
    doubts,
    certainty,
    why,
    ...(inode.fate !== undefined && { fate: inode.fate }),
  };
}

/** The same inode, of what is gone: `fate` says what became of its blocks. */
export function withFate(inode: Inode, fate: (block: number) => Fate): Inode {
  return { ...plain(inode), fate };
}

/** The same inode, inferred because of `doubts`. */
export function withDoubts(inode: Inode, doubts: readonly Doubt[]): Inode {
  const why = { what: inode.why.what, source: inode.source, at: inode.at, code: doubts[0].code };
  return { ...plain(inode), doubts, certainty: INFERRED, why };
}

const SEED = new Uint8Array(8);
const SEED_VIEW = new DataView(SEED.buffer);

/** What sums over an inode, and over the blocks that belong to it, start from. */
function seedOf(seed: number, number: number, generation: number): number {
  SEED_VIEW.setUint32(0, number, true);
  SEED_VIEW.setUint32(4, generation, true);
  return crc32cUpdate(seed, SEED);
}

const CHECKSUM_LOW = inodeStruct.fields.checksum.at;
const CHECKSUM_HIGH = INODE_BASE + inodeExtra.fields.checksumHigh.at;
/**
 * The sum over [from, end) of a page, where the sum itself counts as zeros: they stand in its place for the moment, which
 * is twice as fast as to sum up what lies around it.
 */
function sumOf(page: Uint8Array, from: number, end: number, seed: number, hasHigh: boolean): number {
  const view = viewOf(page);
  const low = view.getUint16(from + CHECKSUM_LOW);
  const high = hasHigh ? view.getUint16(from + CHECKSUM_HIGH) : 0;
  view.setUint16(from + CHECKSUM_LOW, 0);
  if (hasHigh) view.setUint16(from + CHECKSUM_HIGH, 0);
  const sum = crc32cUpdate(seed, page, from, end);
  view.setUint16(from + CHECKSUM_LOW, low);
  if (hasHigh) view.setUint16(from + CHECKSUM_HIGH, high);
  return sum;
}

/** Seconds beyond 2038, and the nanoseconds, that the extra word of a time holds. */
function epoch(extra: number | undefined): number {
  if (extra === undefined) return 0;
  const nanoseconds = extra >>> 2;
  return (extra & EPOCH_BITS) * 2 ** 32 + (nanoseconds < 1e9 ? nanoseconds / 1e9 : 0);
}

function padded(from: Uint8Array): Uint8Array {
  const out = new Uint8Array(inodeExtra.size);
  out.set(from);
  return out;
}
