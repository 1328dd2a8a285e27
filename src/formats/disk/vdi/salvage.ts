/** A VDI whose header is lost: its table is known by what stands in it. Source: vdi.md section 6. */
import { type Certainty, GUESSED, INFERRED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { guestSize } from '../guest-size.ts';
import { dataPlaces, FREE_BLOCK, ZERO_BLOCK } from './structs.ts';

/** Hosts use no other block size unless told to. */
const BLOCK: number = 1024 * 1024;
/** Tables begin within these bytes, or at 1 MiB. */
const NEAR = 65536;
const MIB = 1024 * 1024;
const SECTOR = 512;
/** Entries of a table that is looked for: a disk of 4 TiB, 16 MiB to be read. */
const MAX_ENTRIES: number = 4 * 1024 * 1024;
const CHUNK = 65536;
/** Fewer entries than that could be anything. */
const LEAST = 4;

export interface FoundTable {
  readonly blocksAt: number;
  readonly dataAt: number;
  readonly blockSize: number;
  readonly count: number;
  readonly diskSize: number;
  readonly certainty: Certainty;
}

/** The table of a VDI without a header that can be used; undefined where none is found. */
export async function findTable(source: Source): Promise<FoundTable | undefined> {
  if (source.size < 2 * SECTOR + BLOCK) return undefined;
  const near = new Uint8Array(Math.min(NEAR, source.size));
  await source.read(0, near);
  const places: number[] = [];
  for (let at = SECTOR; at + SECTOR <= near.length; at += SECTOR)
    if (begins(near.subarray(at), source)) places.push(at);
  const far = new Uint8Array(SECTOR);
  if (source.size > MIB + BLOCK) await source.read(MIB, far);
  if (begins(far, source)) places.push(MIB);
  let best: FoundTable | undefined;
  for (const at of places.slice(0, 8)) {
    const found = await tableAt(source, at);
    if (found !== undefined && (best === undefined || found.certainty > best.certainty)) best = found;
    if (best?.certainty === INFERRED) return best;
  }
  return best;
}

/** Whether a table may begin here: sectors of one are free, zero, or small numbers that are all different. */
function begins(block: Uint8Array, source: Source): boolean {
  const view = viewOf(block);
  const most = source.size / BLOCK;
  const seen = new Set<number>();
  let used = 0;
  for (let i = 0; i < LEAST; i++) {
    const value = view.getUint32(i * 4, true);
    if (value === FREE_BLOCK || value === ZERO_BLOCK) used++;
    else if (value < most && !seen.has(value)) {
      seen.add(value);
      used++;
    } else break;
  }
  return used === LEAST;
}

/** Reads entries for as long as they go together: no block twice, and those that there are without a gap. */
async function tableAt(source: Source, at: number): Promise<FoundTable | undefined> {
  const most = Math.min(MAX_ENTRIES, Math.ceil(source.size / BLOCK));
  const seen = new Uint8Array(most);
  let used = 0;
  let highest = -1;
  let first = -1;
  let count = 0;
  const chunk = new Uint8Array(CHUNK);
  const view = viewOf(chunk);
  scan: for (let from = at; from + 4 <= source.size && count < MAX_ENTRIES; from += CHUNK) {
    const there = chunk.subarray(0, Math.min(CHUNK, source.size - from));
    const gaps = await source.read(from, there);
    for (let i = 0; i + 4 <= there.length; i += 4) {
      const value = view.getUint32(i, true);
      if (gaps.some((gap) => from + i >= gap.offset && from + i < gap.offset + gap.length)) break scan;
      if (value !== FREE_BLOCK && value !== ZERO_BLOCK) {
        if (value >= most || seen[value] === 1) break scan;
        seen[value] = 1;
        used++;
        if (first < 0) first = value;
        if (value > highest) highest = value;
      }
      count++;
    }
  }
  if (used === 0 || highest !== used - 1 || count < LEAST) return undefined;
  const exact = dataPlaces(at + 4 * count).find((place) => source.size - place === used * BLOCK);
  const dataAt = exact ?? (await byContent(source, at + 4 * count, first));
  if (dataAt === undefined) return undefined;
  const size = await guestSize(source, dataAt + first * BLOCK);
  const isLast = size !== undefined && size > (count - 1) * BLOCK && size <= count * BLOCK;
  const diskSize = isLast ? size : count * BLOCK;
  return {
    blocksAt: at,
    dataAt,
    blockSize: BLOCK,
    count,
    diskSize,
    certainty: exact === undefined ? GUESSED : INFERRED,
  };
}

/** Where blocks begin in a file of another length than they fill: where the first one starts with a partition table. */
async function byContent(source: Source, end: number, first: number): Promise<number | undefined> {
  for (const place of dataPlaces(end)) {
    const sector = new Uint8Array(SECTOR);
    const gaps = await source.read(place + first * BLOCK, sector);
    if (gaps.length === 0 && sector[510] === 0x55 && sector[511] === 0xaa) return place;
  }
  return undefined;
}
