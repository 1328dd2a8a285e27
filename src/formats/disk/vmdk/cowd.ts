/** COWD deltas (vmfsSparse): tables and grains among each other, as they were needed. Source: vmdk.md 4. */
import type { Damage } from '../../../core/damage.ts';
import { type Certainty, INFERRED, VERIFIED, weaker } from '../../../core/run.ts';
import { viewOf } from '../../../core/struct.ts';
import { checkGrains, told } from './check.ts';
import { deltaMap } from './delta.ts';
import { MAX_TABLES } from './directory.ts';
import type { Shape } from './grains.ts';
import type { Layer, Place, Wish } from './layer.ts';
import { lostOf } from './lost.ts';
import type { Copy } from './merge.ts';
import { COWD_ENTRIES, COWD_HEADER_SECTORS, cowdHeader, SECTOR } from './structs.ts';
import { UNREADABLE, Window } from './window.ts';

const TABLE_SECTORS = (COWD_ENTRIES * 4) / SECTOR;
const SPAN = 1024 * 1024;
/** Bytes at the start that may have been wiped together. */
const WIPED: number = 1024 * 1024;
/** Bytes of a delta that are searched for tables. */
const SEARCHED = 4 * 2 ** 30;

/** Whether these bytes start a COWD delta. */
export function isCowd(block: Uint8Array): boolean {
  return String.fromCharCode(...block.subarray(0, 4)) === 'COWD';
}

interface Layout {
  readonly sectors: number;
  readonly grain: number;
  readonly directory: number;
  readonly free: number;
  readonly most: Certainty;
  /** Sectors at the start that are zeros where the header should be: what stood in them is lost with it. */
  readonly wiped: number;
}

/** Opens a delta; undefined where neither a header nor a descriptor says how large its disk is. */
export async function openCowd(place: Place, wish: Wish): Promise<Layer | undefined> {
  const damage: Damage[] = [];
  const layout = await layoutOf(place, wish, damage);
  if (layout === undefined) return undefined;
  const { sectors, grain, directory, free, most, wiped } = layout;
  const count = Math.ceil(sectors / (grain * COWD_ENTRIES));
  if (count > MAX_TABLES) return undefined;
  const size = Math.floor(place.source.size / SECTOR);
  const first = directory + Math.ceil((count * 4) / SECTOR);
  const places = await placesOf(place, directory, count, first, size);
  places.fill(UNREADABLE, 0, Math.min(count, (Math.max(directory, wiped) - directory) * (SECTOR / 4)));
  const window = new Window(place.source, SPAN);
  const words = async (sector: number): Promise<Copy> => {
    const table = await window.words(sector * SECTOR, COWD_ENTRIES);
    table.fill(UNREADABLE, 0, Math.max(0, wiped - sector) * (SECTOR / 4));
    return { words: table, isSure: wiped <= sector };
  };
  const shape: Shape = {
    what: 'COWD',
    sectors,
    grain,
    perTable: COWD_ENTRIES,
    first,
    origin: 0,
    zeroed: false,
    isCompressed: false,
    copies: 1,
    inlineTable: TABLE_SECTORS,
    end: free > first && free <= size ? free : size,
    base: 0,
    scale: 1,
    byOrder: false,
  };
  const find = (): Promise<number[]> => findTables(place, first, new Set(places), wiped);
  const map = await deltaMap(place, { places, shape, words, find }, directory, wish, most, damage);
  damage.push(...(await told(map)));
  return {
    sectors,
    mapping: map,
    damage,
    notices: [],
    details: { grainSize: grain * SECTOR },
    check: (signal) => checkGrains(map, damage, signal),
    // The header counts the sectors that were ever given out.
    lost: () => lostOf(map, wish, free > first && free === size),
  };
}

async function layoutOf(place: Place, wish: Wish, damage: Damage[]): Promise<Layout | undefined> {
  const block = await new Window(place.source, SECTOR).bytes(0, SECTOR);
  const header = cowdHeader.decode(block);
  const violations = isCowd(block) ? cowdHeader.violations(header) : [];
  const entries = Math.ceil(header.numSectors / (header.grainSize * COWD_ENTRIES));
  const effect = 'it is read as hosts lay such deltas out';
  if (isCowd(block) && violations.length === 0) {
    let most: Certainty = VERIFIED;
    if (entries !== header.numGDEntries) {
      const expected = `${entries} entries for ${header.numSectors} sectors`;
      damage.push(place.damage(24, 'vmdk.header', expected, `${header.numGDEntries}`, 'its size is not proved'));
      most = weaker(most, INFERRED);
    }
    if (wish.sectors !== undefined && wish.sectors !== header.numSectors) most = weaker(most, INFERRED);
    const { numSectors: sectors, grainSize: grain, gdOffset: directory, freeSector: free } = header;
    return { sectors, grain, directory, free, most, wiped: 0 };
  }
  for (const v of violations) {
    damage.push(place.damage(v.at, 'vmdk.header', `${v.field} of ${v.expected}`, v.actual, effect));
  }
  if (!isCowd(block)) damage.push(place.damage(0, 'vmdk.header', '"COWD"', 'something else', effect));
  const own = isCowd(block) && header.numSectors > 0 ? header.numSectors : undefined;
  const sectors = wish.sectors ?? own;
  if (sectors === undefined) return undefined;
  const wiped = isCowd(block) ? 0 : await zerosAtStart(place);
  return { sectors, grain: 1, directory: COWD_HEADER_SECTORS, free: 0, most: INFERRED, wiped };
}

/** Sectors of nothing but zeros that the file begins with. */
async function zerosAtStart(place: Place): Promise<number> {
  const start = await new Window(place.source, WIPED).bytes(0, WIPED);
  const first = start.findIndex((byte) => byte !== 0);
  return Math.floor((first < 0 ? start.length : first) / SECTOR);
}

async function placesOf(place: Place, at: number, count: number, first: number, size: number): Promise<Float64Array> {
  const there = Math.max(0, Math.min(count, Math.floor((size - at) * (SECTOR / 4))));
  const words = there > 0 ? await new Window(place.source, SPAN).words(at * SECTOR, there) : new Uint32Array(0);
  const places = new Float64Array(count).fill(UNREADABLE);
  const seen = new Set<number>();
  for (let i = 0; i < words.length; i++) {
    const v = words[i];
    const isPossible = v === 0 || (v >= first && v + TABLE_SECTORS <= size && !seen.has(v));
    if (isPossible) places[i] = v;
    if (v !== 0) seen.add(v);
  }
  return places;
}

/** Tables that nothing leads to: words that all point behind them, the first grain right behind the table. */
async function findTables(place: Place, first: number, known: ReadonlySet<number>, wiped: number): Promise<number[]> {
  const out: number[] = [];
  const window = new Window(place.source, SPAN);
  const size = Math.floor(Math.min(place.source.size, SEARCHED) / SECTOR);
  for (let at = first; at + TABLE_SECTORS <= size; ) {
    place.signal.throwIfAborted();
    if (known.has(at)) at += TABLE_SECTORS;
    else if (isTable(await window.bytes(at * SECTOR, COWD_ENTRIES * 4), at, size, at === first && at < wiped)) {
      out.push(at);
      at += TABLE_SECTORS;
    } else at++;
  }
  return out;
}

/** Of a table whose start was wiped, the entry of its first grain may be gone. */
function isTable(bytes: Uint8Array, at: number, size: number, isCut: boolean): boolean {
  const view = viewOf(bytes);
  let lowest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < COWD_ENTRIES; i++) {
    const v = view.getUint32(i * 4, true);
    if (v === 0) continue;
    if (v < at + TABLE_SECTORS || v >= size) return false;
    if (v < lowest) lowest = v;
  }
  return lowest === at + TABLE_SECTORS || (isCut && lowest < size);
}
