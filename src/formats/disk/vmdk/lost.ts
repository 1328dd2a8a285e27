/** What of an extent lost its table, and the grains that no table claims: what has to be brought together again. */
import { LOST, ZERO } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import type { GrainMap } from './grains.ts';
import type { Wish } from './layer.ts';
import { NEIGHBOURS } from './merge.ts';
import { SECTOR } from './structs.ts';
import { Window } from './window.ts';

/** Grains that are put back at most, and grains of an extent for which that is done. */
const MAX_GRAINS = 65_536;
const MAX_EXTENT: number = 2 ** 22;

/** Grains that are looked at to tell what was written from room that was not. */
const MAX_LOOKS = 1024;
/** Sectors of a block of most file systems. */
const PER_BLOCK = 8;

/** What is known of the entry of a grain: all there is, nothing, or that it leads nowhere, as those around it do. */
export const KNOWN = 0;
export const GONE = 1;
export const BLANK = 2;

export interface Lost {
  readonly source: Source;
  /** Bytes of a grain. */
  readonly grain: number;
  /** KNOWN, GONE or BLANK for each grain of the extent. */
  readonly entries: Uint8Array;
  /** Where grains that no table claims lie, in bytes, in the order in which they were written. */
  readonly places: readonly number[];
  /** Nothing was ever stored behind the end of the file, so that these are all there are. */
  readonly isAll: boolean;
  /** They are taken in their order already, as there are as many of them as entries. */
  readonly isOrdered: boolean;
}

/**
 * What an extent lacks; undefined where nothing can be brought together. In a delta, what lies in a grain is seldom next
 * to what explains it, and what was never written is that of another disk: there it is not tried.
 */
export async function lostOf(map: GrainMap, { hole }: Wish, isAll: boolean): Promise<Lost | undefined> {
  const { place, shape } = map;
  const grains = Math.ceil(shape.sectors / shape.grain);
  const isGrid = shape.origin > 0 || shape.grain === 1;
  if (hole.state !== ZERO || shape.isCompressed || !isGrid || grains > MAX_EXTENT) return undefined;
  const { loose: all, orphans } = await map.census();
  const loose = await writtenOf(all, map);
  if (loose.length === 0) return undefined;
  const own = { source: place.source, isAll, isOrdered: orphans.length > 0 };
  const entries = await entriesOf(map, grains);
  if (entries.every((entry) => entry === KNOWN)) return undefined;
  if (shape.origin > 0) {
    if (loose.length > MAX_GRAINS) return undefined;
    return { ...own, grain: shape.grain * SECTOR, entries, places: loose.map((sector) => sector * SECTOR) };
  }
  const places = blocksOf(loose);
  if (places === undefined || places.length > MAX_GRAINS) return undefined;
  const kindOf = (block: number): number => {
    const some = entries.subarray(block * PER_BLOCK, (block + 1) * PER_BLOCK);
    return some.every((entry) => entry === some[0]) ? some[0] : KNOWN;
  };
  const blocks = Uint8Array.from({ length: Math.ceil(grains / PER_BLOCK) }, (_, block) => kindOf(block));
  return { ...own, grain: PER_BLOCK * SECTOR, entries: blocks, places };
}

/**
 * Without the room at the end that hosts keep ready, which is zeros; none where nothing but such room is seen, as in
 * disks that lack nothing.
 */
async function writtenOf(loose: readonly number[], { place, shape }: GrainMap): Promise<readonly number[]> {
  const grain = (shape.origin > 0 ? shape.grain : 1) * SECTOR;
  const window = new Window(place.source, grain);
  const isWritten = async (i: number, length: number): Promise<boolean> => {
    place.signal.throwIfAborted();
    return (await window.bytes(loose[i] * SECTOR, length)).some((byte) => byte !== 0);
  };
  let count = loose.length;
  while (count > 0 && loose.length - count < MAX_LOOKS && !(await isWritten(count - 1, grain))) count--;
  const step = Math.ceil(count / MAX_LOOKS);
  for (let i = 0; i < count; i += step)
    if (await isWritten(i, grain)) return loose.slice(0, keptOf(count, loose.length, shape));
  return [];
}

/** Whole blocks stay whole. */
function keptOf(count: number, all: number, { origin }: GrainMap['shape']): number {
  return origin > 0 ? count : Math.min(all, Math.ceil(count / PER_BLOCK) * PER_BLOCK);
}

/** KNOWN, GONE or BLANK for each grain. */
async function entriesOf(map: GrainMap, grains: number): Promise<Uint8Array> {
  const { place, shape, tables } = map;
  const census = await map.census();
  const out = new Uint8Array(grains);
  for (let t = 0; t < tables.count; t++) {
    place.signal.throwIfAborted();
    const from = t * shape.perTable;
    const end = Math.min(grains, from + shape.perTable);
    const table = tables.state(t) === 'there' && !census.isLost(t) ? await map.merged(t) : undefined;
    if (census.isLost(t) || tables.state(t) === 'lost') out.fill(GONE, from, end);
    for (let i = 0; table !== undefined && i < end - from; i += NEIGHBOURS) {
      const till = Math.min(end - from, i + NEIGHBOURS);
      const isBlank =
        table.at.subarray(i, till).every((v) => v === 0) && !table.certainty.subarray(i, till).includes(LOST);
      if (isBlank) out.fill(BLANK, from + i, from + till);
      else for (let k = i; k < till; k++) if (table.certainty[k] === LOST) out[from + k] = GONE;
    }
  }
  return out;
}

/**
 * Grains of one sector say nothing one by one. Guests write in blocks, and hosts put the sectors of one write behind each
 * other; undefined where they did not.
 */
function blocksOf(sectors: readonly number[]): number[] | undefined {
  const out: number[] = [];
  for (let i = 0; i < sectors.length; i += PER_BLOCK) {
    if (i + PER_BLOCK > sectors.length || sectors[i + PER_BLOCK - 1] !== sectors[i] + PER_BLOCK - 1) return undefined;
    out.push(sectors[i] * SECTOR);
  }
  return out;
}
