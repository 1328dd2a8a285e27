/** Inodes of XFS: what a file is, and the fork from which its map starts. */
import { crc32c } from '../../../codec/crc32c.ts';
import { type Certainty, INFERRED, STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { type Bytes8, bits, viewOf } from '../../../core/struct.ts';
import { TableCache } from '../../../core/tables.ts';
import type { Fate } from '../claimants.ts';
import type { Doubt } from '../posix.ts';
import { type Geometry, inodeByteOf } from './geometry.ts';
import { CORE_BYTES, FLAG2_BIGTIME, FLAG2_NREXT64, INODE_CRC_AT, inodeCore } from './structs.ts';

export interface Inode {
  readonly number: number;
  readonly at: number;
  readonly source: Source;
  /** The upper four bits of the mode; 0 of a free one. */
  readonly type: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly links: number;
  readonly format: number;
  readonly flags: number;
  readonly generation: number;
  /** Blocks that it says it has, those of its tree too. */
  readonly blocks: number;
  /** Extents that it says it has. */
  readonly extents: number;
  readonly accessed: number;
  readonly modified: number;
  readonly changed: number;
  readonly made: number | undefined;
  /** The data fork as it stands in the inode, and where. */
  readonly fork: Uint8Array;
  readonly forkAt: number;
  readonly doubts: readonly Doubt[];
  readonly certainty: Certainty;
  readonly why: Why;
  /** The last change of it that was logged: the larger the later; NaN where inodes do not say. */
  readonly changedAt: number;
  /** Of what is gone: what became of a block after it, and up to which block that holds. */
  readonly fate?: (from: number, end: number) => { readonly fate: Fate; readonly end: number };
}

/** Bytes of inodes that are read at once: a chunk of them, as they are set aside. */
const PAGE = 64 * 1024;
/** More than a log has. */
const LOG_BLOCKS = 2 ** 31;
const SECONDS_1901 = -(2 ** 31);

export class Inodes {
  readonly #source: Source;
  readonly #g: Geometry;
  readonly #pages = new TableCache<{
    readonly bytes: Uint8Array;
    readonly gaps: readonly { offset: number; length: number }[];
  }>();

  constructor(source: Source, geometry: Geometry) {
    this.#source = source;
    this.#g = geometry;
  }

  /** An inode as it stands, in use or not; undefined where none can be read. */
  async get(number: number): Promise<Inode | undefined> {
    const at = inodeByteOf(this.#g, number);
    if (at === undefined || at + this.#g.inodeSize > this.#source.size) return undefined;
    const base = at - (at % PAGE);
    const page = this.#pages.get(base) ?? (await this.#read(base));
    const end = at + this.#g.inodeSize;
    if (page.gaps.some(({ offset, length }) => offset < end && offset + length > at)) return undefined;
    return inodeOf(this.#g, number, page.bytes.slice(at - base, end - base), this.#source, at);
  }

  async #read(base: number) {
    const bytes = new Uint8Array(Math.min(PAGE, this.#source.size - base));
    const page = { bytes, gaps: await this.#source.read(base, bytes) };
    this.#pages.set(base, page, bytes.length);
    return page;
  }
}

/** Decodes an inode; undefined where these bytes are none. */
export function inodeOf(g: Geometry, number: number, raw: Uint8Array, source: Source, at: number): Inode | undefined {
  const core = inodeCore.decode(raw);
  if (inodeCore.violations(core).some(({ field }) => field === 'magic' || field === 'version')) return undefined;
  const isThird = core.version === 3;
  const doubts: Doubt[] = [];
  if (isThird) {
    const sum = viewOf(raw).getUint32(INODE_CRC_AT, true);
    const own = crc32c(raw, INODE_CRC_AT);
    const say = (code: string, expected: string, actual: string): number =>
      doubts.push({ at, code: `xfs.inode.${code}`, expected, actual });
    if (own !== sum) say('checksum', `checksum 0x${own.toString(16)}`, `checksum 0x${sum.toString(16)}`);
    if (core.number !== number) say('number', `inode ${number}`, `one that says it is ${core.number}`);
    if (Buffer.from(core.uuid).toString('hex') !== g.uuid) say('uuid', 'an inode of this volume', 'one of another');
  }
  if (!Number.isSafeInteger(core.size)) {
    doubts.push({ at, code: 'xfs.inode.size', expected: 'a size below 2**53', actual: 'a larger one' });
  }
  const head = CORE_BYTES[core.version];
  const room = g.inodeSize - head;
  const split = core.forkOffset * 8;
  const forkBytes = split > 0 && split < room ? split : room;
  const isBig = isThird && (core.flags2.low & FLAG2_BIGTIME) !== 0;
  const time = (from: Bytes8): number => timeOf(from, isBig);
  const isLarge = isThird && (core.flags2.low & FLAG2_NREXT64) !== 0;
  const code = doubts[0]?.code;
  return {
    number,
    at,
    source,
    type: core.mode >>> 12,
    mode: core.mode & 0o7777,
    uid: core.uid,
    gid: core.gid,
    size: Number.isSafeInteger(core.size) ? core.size : 0,
    links: core.version === 1 ? core.oldLinks : core.links,
    format: core.format,
    flags: core.flags,
    generation: core.generation,
    blocks: core.blocks,
    changedAt: isThird ? core.lsn.high * LOG_BLOCKS + core.lsn.low : Number.NaN,
    extents: isLarge ? core.bigExtents : core.extents,
    accessed: time(core.accessed),
    modified: time(core.modified),
    changed: time(core.changed),
    made: isThird ? time(core.made) : undefined,
    fork: raw.subarray(head, head + forkBytes),
    forkAt: at + head,
    doubts,
    certainty: code === undefined ? STATED : INFERRED,
    why: { what: `XFS inode ${number}`, source, at, ...(code !== undefined && { code }) },
  };
}

/** Seconds and nanoseconds; or nanoseconds since 1901, which numbers hold well enough for what they are for. */
function timeOf({ low, high }: Bytes8, isBig: boolean): number {
  if (!isBig) return (high | 0) + (low < 1e9 ? low / 1e9 : 0);
  const seconds = Math.floor((high * 2 ** 32) / 1e9);
  const rest = high * 2 ** 32 - seconds * 1e9 + low;
  return SECONDS_1901 + seconds + rest / 1e9;
}

/** Fields of an extent's record of 16 bytes. */
export interface Extent {
  /** All in blocks. */
  readonly logical: number;
  readonly block: number;
  readonly count: number;
  /** Set aside and never written: zeros. */
  readonly isUnwritten: boolean;
}

export function extentAt(view: DataView, at: number): Extent {
  const [a, b, c, d] = [0, 4, 8, 12].map((i) => view.getUint32(at + i, false));
  // 1 bit, 54 of the offset, 52 of the block, 21 of the count, from the most significant on.
  const logical = bits(b, a & 0x7fffffff, 9, 53) + 0;
  const block = bits(d, c, 21, 43) + (b & 0x1ff) * 2 ** 43;
  return { logical, block, count: d & 0x1fffff, isUnwritten: a >>> 31 === 1 };
}
