/** The map of a file: its extents, leaf by leaf. */
import { zstdCluster } from '../../../codec/cluster.ts';
import { lzoSegments } from '../../../codec/lzo.ts';
import { inflateZlib } from '../../../codec/zlib.ts';
import { CheckedSource } from '../../../core/checked.ts';
import { type Codec, type Input, MadeSource } from '../../../core/made.ts';
import { data, missing, type Segment, zeros } from '../../../core/map-source.ts';
import type { Certainty, RunList, Why } from '../../../core/run.ts';
import type { Mapping } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import type { Chunks } from './chunks.ts';
import { extentBody, extentHead, FILE_EXTENT, INLINE, PREALLOCATED } from './structs.ts';
import { type Item, itemsOf, type Key, type Leaf, type Tree } from './tree.ts';
import { gradeOf, type Volume } from './volume.ts';

/** What an extent's bytes make when they are expanded; the kernel writes 128 KiB at most. */
const MAX_EXPANDED = 4 * 1024 * 1024;
/** Files end in whole pages where they were compressed. */
const SLACK = 65_536;
const LAST = Number.POSITIVE_INFINITY;
const SEGMENT_COST = 128;

/** Streams may give less than an extent holds: the rest is zeros, as the kernel reads it. */
const padded = (name: string, expand: (input: Uint8Array, size: number) => Uint8Array): Codec => ({
  name,
  make(input, size) {
    const made = expand(input, size + SLACK);
    if (made.length === 0) return made;
    const out = new Uint8Array(size);
    out.set(made.subarray(0, size));
    return out;
  },
});

const CODECS: readonly (Codec | undefined)[] = [
  undefined,
  padded('zlib', inflateZlib),
  lzoSegments,
  padded('zstd', (input, size) => zstdCluster.make(input, size)),
];

/** What is known of a stretch of the file. */
interface Window {
  readonly from: number;
  readonly end: number;
  readonly list: readonly Segment[];
}

/** One extent of a file, as its item says. */
export interface Extent {
  /** Bytes from the start of the file. */
  readonly from: number;
  readonly bytes: number;
  readonly item: Item;
  readonly generation: number;
  /** Logical place of all of it on disk, and its bytes there; 0 for holes and what stands in the item. */
  readonly place: number;
  readonly diskBytes: number;
  readonly offset: number;
  readonly expanded: number;
  readonly compression: number;
  readonly type: number;
  /** Why it cannot be read. */
  readonly fault?: string;
}

/** Decodes an extent's item. */
export function decodeExtent(item: Item): Extent {
  const { node, at, size, offset: from } = item;
  const base = { from, bytes: 0, item, generation: 0, place: 0, diskBytes: 0, offset: 0, expanded: 0 };
  if (size < extentHead.size) return { ...base, compression: 0, type: 0, fault: 'btrfs.extent' };
  const head = extentHead.decode(node.bytes, at);
  const { compression, type, generation, ramBytes: expanded } = head;
  const own = { ...base, compression, type, generation, expanded };
  const isKnown = head.encryption === 0 && head.encoding === 0 && compression < CODECS.length && type <= PREALLOCATED;
  if (type === INLINE) {
    const diskBytes = size - extentHead.size;
    const isSound = isKnown && expanded <= MAX_EXPANDED && (compression > 0 || diskBytes >= expanded);
    return { ...own, bytes: Math.min(expanded, MAX_EXPANDED), diskBytes, ...(!isSound && { fault: 'btrfs.extent' }) };
  }
  if (size < extentBody.size) return { ...own, fault: 'btrfs.extent' };
  const { place, diskBytes, offset, bytes } = extentBody.decode(node.bytes, at);
  const isWhole = [place, diskBytes, offset, bytes, expanded, from + bytes].every((n) => Number.isSafeInteger(n));
  const isInside = isWhole && (place === 0 || offset + bytes <= expanded);
  const fits =
    compression === 0 ? place === 0 || offset + bytes <= diskBytes : Math.max(expanded, diskBytes) <= MAX_EXPANDED;
  const fault = !isKnown ? 'btrfs.extent.encoding' : isInside && fits ? undefined : 'btrfs.extent';
  return { ...own, place, diskBytes, offset, bytes: isWhole ? bytes : 0, ...(fault !== undefined && { fault }) };
}

/** What an extent says, as segments that cover all of it. */
export function extentSegments(
  volume: Volume,
  extent: Extent,
  certainty: Certainty,
  why: Why,
  past?: Chunks,
): Segment[] {
  const { item, bytes, place, offset, expanded, compression, type, fault } = extent;
  // How long it is may be what is wrong: up to the next one, nothing is known.
  if (fault !== undefined) return [missing(LAST, { ...why, code: fault })];
  const codec = CODECS[compression];
  if (type === INLINE) {
    const { node } = item;
    const at = node.at + item.at + extentHead.size;
    if (codec === undefined) return [data(node.source, at, bytes, certainty, why)];
    const made = new MadeSource(bytes, codec, [{ source: node.source, at, length: extent.diskBytes }]);
    return [data(made, 0, bytes, certainty, why)];
  }
  if (place === 0 || type === PREALLOCATED) return [zeros(bytes, certainty, why)];
  if (codec === undefined) return volume.place(place + offset, bytes, certainty, why, past);
  const owner = (past ?? volume.chunks).made;
  let made = owner.get(place);
  // What was deleted may have had a shorter or a longer stream at the same place.
  if (made === undefined || made.size !== expanded || made.codec !== codec || taken(made) !== extent.diskBytes) {
    const inputs: Input[] = [];
    for (const { source, at, length } of volume.place(place, extent.diskBytes, certainty, why, past)) {
      if (source === undefined) return [missing(bytes, { ...why, code: 'btrfs.chunk-missing' })];
      // Of bytes that are wrong nothing is made: what came out would not look it.
      inputs.push({ source: source instanceof CheckedSource ? source.strict : source, at: at!, length });
    }
    made = new MadeSource(expanded, codec, inputs);
    owner.set(place, made, 512);
  }
  return [data(made, offset, bytes, certainty, why)];
}

/** Bytes on disk that something was made from. */
function taken({ inputs }: MadeSource): number {
  return inputs.reduce((sum, { length }) => sum + length, 0);
}

export class FileMap implements Mapping {
  readonly #volume: Volume;
  readonly #tree: Tree;
  readonly #inode: number;
  readonly #failed: string | undefined;
  readonly #windows = new TableCache<Window>();
  /** Starts of all windows that were ever loaded, in order. */
  readonly #starts: number[] = [];

  /** `failed` is a check that failed on the way to the inode. */
  constructor(volume: Volume, tree: Tree, inode: number, failed: string | undefined) {
    this.#volume = volume;
    this.#tree = tree;
    this.#inode = inode;
    this.#failed = failed;
  }

  runs(from: number, end: number, out: RunList): number {
    let at = from;
    while (at < end) {
      const window = this.#windows.get(this.#starts[before(this.#starts, at)] ?? -1);
      if (window === undefined || at >= window.end) return at;
      const reached = sayWindow(window, at, Math.min(end, window.end), out);
      if (reached === at) return at;
      at = reached;
    }
    return at;
  }

  async load(at: number): Promise<void> {
    const own = (key: Key | undefined): number | undefined =>
      key !== undefined && key.objectid === this.#inode && key.type === FILE_EXTENT ? key.offset : undefined;
    const leaf = await this.#tree.leaf({ objectid: this.#inode, type: FILE_EXTENT, offset: at });
    const from = own(leaf.from) ?? 0;
    const end = own(leaf.to) ?? LAST;
    const window = {
      from,
      end,
      list: leaf.lost === undefined ? this.#list(leaf, from, end) : this.#lost(leaf, from, end),
    };
    this.#windows.set(from, window, SEGMENT_COST * (1 + window.list.length));
    const i = before(this.#starts, from);
    if (this.#starts[i] !== from) this.#starts.splice(i + 1, 0, from);
  }

  #lost(leaf: Leaf, from: number, end: number): Segment[] {
    return [missing(end - from, { what: `btrfs extents of inode ${this.#inode}`, code: leaf.lost! })];
  }

  #list(leaf: Leaf, from: number, end: number): Segment[] {
    const node = leaf.node!;
    const code = leaf.doubt ?? this.#failed;
    const what = `btrfs extents of inode ${this.#inode}`;
    const why = this.#volume.whyOf(what, node, 0, code);
    const certainty = gradeOf(code);
    // A node that is damaged may have lost any of its items: what no other covers is no hole for sure.
    const isSure = leaf.doubt === undefined || leaf.doubt === this.#tree.doubt;
    const gap = (length: number): Segment => (isSure ? zeros(length, certainty, why) : missing(length, why));
    const key = (offset: number): Key => ({ objectid: this.#inode, type: FILE_EXTENT, offset });
    const extents: Extent[] = [];
    let lost = false;
    for (const item of itemsOf(leaf, key(from), key(LAST))) {
      if ('lost' in item) lost = true;
      else extents.push(decodeExtent(item));
    }
    if (lost) return [missing(end - from, { ...why, code: 'btrfs.item' })];
    return laid(extents, from, end, gap, (one) => extentSegments(this.#volume, one, certainty, why));
  }
}

/** Extents in a row from `from` to `end`, with gaps where none is. Where two overlap, the later one begins. */
export function laid(
  extents: readonly Extent[],
  from: number,
  end: number,
  gap: (length: number) => Segment,
  say: (extent: Extent) => Segment[],
): Segment[] {
  const out: Segment[] = [];
  let at = from;
  for (const [i, extent] of extents.entries()) {
    if (extent.from < at || extent.from >= end) continue;
    if (extent.from > at) out.push(gap(extent.from - at));
    at = extent.from;
    const limit = Math.min(end, extents[i + 1]?.from ?? end);
    for (const segment of say(extent)) {
      const length = Math.min(segment.length, limit - at);
      if (length <= 0) break;
      out.push({ ...segment, length });
      at += length;
    }
  }
  if (at < end) out.push(gap(end - at));
  return out;
}

/** Says what a window knows of [from, end). */
function sayWindow(window: Window, from: number, end: number, out: RunList): number {
  let start = window.from;
  let at = from;
  for (const { length, state, source, at: inner, certainty, why } of window.list) {
    const stop = start + length;
    if (stop > at && at < end) {
      const till = Math.min(end, stop);
      if (!out.add(state, certainty, till - at, source, source === undefined ? 0 : inner! + at - start, why)) return at;
      at = till;
    }
    start = stop;
    if (at >= end) break;
  }
  return at;
}

function before(starts: readonly number[], at: number): number {
  let low = -1;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= at) low = middle;
    else high = middle;
  }
  return low;
}
