/** What of an extent lost its table, and the grains that no table claims: what has to be brought together again. */
import { ZERO } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import type { GrainMap } from './grains.ts';
import type { Wish } from './layer.ts';
import { NEIGHBOURS } from './merge.ts';
import { SECTOR } from './structs.ts';

/** Grains that are put back at most, and grains of an extent for which that is done. */
const MAX_GRAINS = 65_536;
const MAX_EXTENT: number = 2 ** 22;

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
  const { place, shape, tables } = map;
  const grains = Math.ceil(shape.sectors / shape.grain);
  const isGrid = shape.origin > 0 || shape.grain === 1;
  if (hole.state !== ZERO || shape.isCompressed || !isGrid || grains > MAX_EXTENT) return undefined;
  const census = await map.census();
  if (census.loose.length === 0 || census.loose.length > MAX_GRAINS) return undefined;
  const entries = new Uint8Array(grains);
  for (let t = 0; t < tables.count; t++) {
    place.signal.throwIfAborted();
    const from = t * shape.perTable;
    const end = Math.min(grains, from + shape.perTable);
    if (census.isLost(t) || tables.state(t) === 'lost') entries.fill(GONE, from, end);
    else if (tables.state(t) === 'there') {
      const { at, certainty } = (await map.merged(t))!;
      for (let i = 0; i < end - from; i++) if (certainty[i] === 0) entries[from + i] = GONE;
      for (let i = 0; i < end - from; i += NEIGHBOURS) {
        const some = at.subarray(i, i + NEIGHBOURS);
        const isBlank =
          some.every((v) => v === 0) && !entries.subarray(from + i, from + i + some.length).includes(GONE);
        if (isBlank) entries.fill(BLANK, from + i, Math.min(end, from + i + some.length));
      }
    }
  }
  if (entries.every((entry) => entry === KNOWN)) return undefined;
  const places = census.loose.map((sector) => sector * SECTOR);
  const isOrdered = census.orphans.length > 0;
  return { source: place.source, grain: shape.grain * SECTOR, entries, places, isAll, isOrdered };
}
