/** File systems on a disk of which parts are missing: where they lie, what they have taken, and what tells its place. */
import type { Cx, Format } from '../../../core/format.ts';
import { slice } from '../../../core/map-source.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { INFERRED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { type Blank, extBlank, xfsBlank } from '../../filesystem/allocated/blank.ts';
import { extEnds } from '../../filesystem/allocated/ends.ts';
import { extBitmaps } from '../../filesystem/allocated/ext-known.ts';
import { type Known, ntfsBitmap, ntfsBlank, ntfsEnds } from '../../filesystem/allocated/ntfs.ts';
import { ext } from '../../filesystem/ext/index.ts';
import { fat } from '../../filesystem/fat/index.ts';
import { ntfs } from '../../filesystem/ntfs/index.ts';
import { xfs } from '../../filesystem/xfs/index.ts';
import { gpt } from '../../volume/gpt.ts';
import { mbr } from '../../volume/mbr.ts';
import type { Told } from './align.ts';
import { type Mark, type Own, ownOf } from './marks.ts';
import { type Masks, setBits } from './pieces.ts';

/** A file system on the disk. Bytes are counted from the start of the disk. */
export interface Volume {
  readonly start: number;
  readonly end: number;
  /** Its own bytes, and what was opened of them. */
  readonly source: Source;
  readonly node: Node;
  /** Bytes that it counts in. */
  readonly unit: number;
  isFree(at: number): Promise<boolean | undefined>;
  /** Parts that are taken and may be empty, from its own start. */
  readonly blank: readonly Blank[];
  /** What its tables of use can be told by where nothing else tells. `at` counts from the start of the disk. */
  readonly tables: Known | undefined;
  /** Further parts of it that are told by what it says of them, as `tables`. */
  readonly known: readonly Known[];
  /** Ends of files, from its own start, where its records tell them without its directories. */
  ends(): AsyncIterable<number> | undefined;
  /** Where on the disk a mark lies, if it is of this file system. */
  positionOf(mark: Mark): number | undefined;
}

/** Partitions that are looked into. */
const MAX_VOLUMES = 64;
/** Places of the disk that are asked about; on large ones not every block is. */
const MAX_ASKED = 2 ** 20;
/** Units of which what is said is kept. */
const MAX_UNITS: number = 2 ** 24;
const SURE = 50;

const KINDS: readonly {
  readonly format: Format;
  blank?(source: Source): Promise<Blank[]>;
  readonly own?: Own;
  tables?(source: Source): Promise<Known | undefined>;
  known?(source: Source): Promise<readonly Known[]>;
  ends?(source: Source, cx: Cx): AsyncIterable<number>;
}[] = [
  { format: ext, blank: extBlank, own: ownOf.ext, known: extBitmaps, ends: extEnds },
  { format: xfs, blank: xfsBlank, own: ownOf.xfs },
  { format: ntfs, blank: ntfsBlank, own: ownOf.ntfs, tables: ntfsBitmap, ends: ntfsEnds },
  { format: fat },
];

/** The file systems of a disk: in its partitions, or on the whole of it. */
export async function volumesOn(disk: Source, cx: Cx): Promise<Volume[]> {
  const out: Volume[] = [];
  for (const { source, start } of await partitionsOf(disk, cx)) {
    const found = await volumeAt(source, start, cx);
    if (found !== undefined) out.push(found);
  }
  return out;
}

/** Where marks lie on a disk of which not enough has its place for a file system to be opened. */
export async function positionsOn(disk: Source, cx: Cx): Promise<((mark: Mark) => number | undefined)[]> {
  const out: ((mark: Mark) => number | undefined)[] = [];
  for (const { source, start } of await partitionsOf(disk, cx)) {
    for (const own of Object.values(ownOf)) {
      const position = await own(source);
      if (position !== undefined) out.push((mark) => placeIn(start, source.size, position(mark)));
    }
  }
  return out;
}

function placeIn(start: number, size: number, at: number | undefined): number | undefined {
  return at === undefined || at < 0 || at >= size ? undefined : start + at;
}

/** Where on a disk file systems may lie: in its partitions, or on the whole of it. */
export async function partitionsOf(disk: Source, cx: Cx): Promise<{ source: Source; start: number }[]> {
  for (const format of [gpt, mbr]) {
    const out: { source: Source; start: number }[] = [];
    if ((await format.probe(disk, { ...cx, isKnown: true })) < SURE) continue;
    const table = await opened(format, disk, cx);
    for await (const node of table?.children?.() ?? []) {
      const start = node.facts.details?.start;
      if (typeof start !== 'number' || out.length >= MAX_VOLUMES || start >= disk.size) continue;
      const length = Math.min(node.facts.size ?? 0, disk.size - start);
      if (length > 0) out.push({ source: slice(disk, start, length, INFERRED), start });
    }
    if (out.length > 0) return out;
  }
  return [{ source: disk, start: 0 }];
}

async function volumeAt(source: Source, start: number, cx: Cx): Promise<Volume | undefined> {
  for (const { format, blank, ends, known, own, tables } of KINDS) {
    if ((await format.probe(source, { ...cx, isKnown: true })) < SURE) continue;
    const node = await opened(format, source, cx);
    if (node === undefined) continue;
    const unit = node.facts.details?.blockSize ?? node.facts.details?.clusterSize;
    const position = await own?.(source);
    const table = await tables?.(source);
    return {
      start,
      end: start + source.size,
      source,
      node,
      unit: typeof unit === 'number' && unit >= 512 ? unit : 4096,
      isFree: async (at) => node.isFree?.(at - start),
      blank: (await blank?.(source)) ?? [],
      tables: table && { ...table, at: table.at + start },
      known: ((await known?.(source)) ?? []).map((one) => ({ ...one, at: one.at + start })),
      ends: () => ends?.(source, { ...cx, isKnown: true }),
      positionOf: (mark) => placeIn(start, source.size, position?.(mark)),
    };
  }
  return undefined;
}

async function opened(format: Format, source: Source, cx: Cx): Promise<Node | undefined> {
  try {
    return await format.open(source, { ...cx, isKnown: true });
  } catch (error) {
    if (error instanceof NotThis) return undefined;
    throw error;
  }
}

/** What is asked about: units of slots; by their first bytes alone where these are samples. */
export interface Grid {
  readonly slots: number;
  readonly coverage: number;
  readonly unit: number;
  readonly isSampled: boolean;
}

/** Whether a disk is too large to be asked about in such units. */
export function isTooFine({ coverage, slots, unit }: Grid): boolean {
  return (slots * coverage) / unit > MAX_UNITS;
}

/** Enters what the file systems say of each unit of `slots` stretches of `coverage` bytes: nothing where these are too many. */
export async function usageOf(volumes: readonly Volume[], grid: Grid, signal: AbortSignal): Promise<Told> {
  const { coverage, isSampled, slots, unit } = grid;
  const isNone = isTooFine(grid);
  const words = Math.ceil(coverage / unit / 32);
  const used: Masks = { words, bits: new Uint32Array(isNone ? 0 : words * slots) };
  const free: Masks = { words, bits: new Uint32Array(isNone ? 0 : words * slots) };
  const needed = new Float64Array(slots);
  const told = new Uint8Array(slots);
  if (isNone) return { used, free, needed, told };
  const size = slots * coverage;
  /** Bytes of each slot that lie in file systems, and slots of a part of which these do not say. */
  const held = new Float64Array(slots);
  const silent = new Uint8Array(slots);
  for (const volume of volumes) {
    const end = Math.min(volume.end, size);
    const step = Math.min(unit, Math.max(volume.unit, Math.ceil(size / MAX_ASKED / 512) * 512));
    const blank = new Spans(volume.blank);
    for (let at = volume.start - (volume.start % unit); at < end; at += unit) {
      signal.throwIfAborted();
      const slot = Math.floor(at / coverage);
      let uses = 0;
      let isUsed = false;
      let isFree = at >= volume.start && at + unit <= end;
      for (let place = Math.max(at, volume.start); place < Math.min(at + unit, end); place += step) {
        const answer = await volume.isFree(place);
        if (answer === undefined) silent[slot] = 1;
        const isHeld = answer === false && !blank.has(place - volume.start);
        if (isHeld) uses++;
        if (isSampled && place !== at) continue;
        if (answer !== true) isFree = false;
        if (isHeld) isUsed = true;
      }
      const n = (at - slot * coverage) / unit;
      if (isUsed) setBits(used, slot, n, n + 1);
      else if (isFree) setBits(free, slot, n, n + 1);
      needed[slot] += isSampled ? (uses * step) / unit : isUsed ? 1 : 0;
      held[slot] += Math.min(at + unit, end) - Math.max(at, volume.start);
    }
  }
  // Room between partitions is small beside a slot; where most of one is in none, nobody speaks for it.
  for (let slot = 0; slot < slots; slot++) told[slot] = Number(silent[slot] === 0 && held[slot] * 2 > coverage);
  // A slot with one block in use is none that nobody wrote to.
  return { used, free, told, needed: needed.map((n) => (n > 0 ? Math.max(1, n) : 0)) };
}

/** Whether places that are asked for in growing order lie in one of some stretches. */
class Spans {
  readonly #list: readonly Blank[];
  #i = 0;

  constructor(list: readonly Blank[]) {
    this.#list = [...list].sort((a, b) => a[0] - b[0]);
  }

  has(at: number): boolean {
    while (this.#i < this.#list.length && this.#list[this.#i][1] <= at) this.#i++;
    return this.#i < this.#list.length && this.#list[this.#i][0] <= at;
  }
}
