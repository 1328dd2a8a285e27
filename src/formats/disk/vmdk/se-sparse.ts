/** seSparse deltas: constant and volatile header, directory, tables in one region. Source: vmdk.md 5. */
import type { Damage } from '../../../core/damage.ts';
import { hex } from '../../../core/damage.ts';
import { type Certainty, GUESSED, INFERRED, VERIFIED, weaker } from '../../../core/run.ts';
import { bits, viewOf } from '../../../core/struct.ts';
import { checkGrains, told } from './check.ts';
import { deltaMap } from './delta.ts';
import { MAX_TABLES } from './directory.ts';
import type { Shape } from './grains.ts';
import type { Layer, Place, Wish } from './layer.ts';
import { lostOf } from './lost.ts';
import type { Copy } from './merge.ts';
import { type SeLayout, seLayoutIn } from './se-headless.ts';
import { MAX_SECTORS, SE_ENTRIES, SE_MAGIC, SE_VOLATILE_MAGIC, SECTOR, seHeader, seVolatile } from './structs.ts';
import { UNREADABLE, Window } from './window.ts';

const SPAN = 1024 * 1024;
const TABLE_BYTES = SE_ENTRIES * 8;
const TABLE_SECTORS = TABLE_BYTES / SECTOR;
const GRAIN = 8;
/** High half of an entry of the directory that leads to a table. */
const IS_TABLE = 0x10000000;
/** Entries of the map: 0 and 1 mean something else, so that grains are counted from here. */
const FROM = 2;

/** Whether these bytes start a seSparse delta. */
export function isSeSparse(block: Uint8Array): boolean {
  const view = viewOf(block);
  return view.getUint32(0, true) === SE_MAGIC && view.getUint32(4, true) === 0;
}

/** Where the structures of a delta lie, in sectors, and how certain that is. */
interface Head extends SeLayout {
  readonly sectors: number;
  readonly most: Certainty;
}

/** What the header says; undefined where it is none, or does not say where the tables are. */
async function headOf(place: Place, block: Uint8Array, wish: Wish, damage: Damage[]): Promise<Head | undefined> {
  if (!isSeSparse(block)) return undefined;
  const header = seHeader.decode(block);
  const violations = seHeader.violations(header);
  if (violations.some(({ field }) => NEEDED.test(field))) return undefined;
  let most: Certainty = await volatileOf(place, header.volatileHeaderOffset, damage);
  const effect = 'the header is not what hosts make';
  for (const v of violations) {
    damage.push(place.damage(v.at, 'vmdk.header', `${v.field} of ${v.expected}`, v.actual, effect));
    most = weaker(most, INFERRED);
  }
  const {
    capacity: sectors,
    grainDirectoryOffset: directory,
    grainTablesOffset: region,
    grainsOffset: grains,
  } = header;
  const count = Math.ceil(sectors / (GRAIN * SE_ENTRIES));
  const order = [directory, header.grainDirectorySize, region, header.grainTablesSize, grains];
  const isOrdered = directory + order[1] <= region && region + order[3] <= grains && order[1] * 64 >= count;
  if (!isOrdered) {
    const wanted = 'directory, tables and grains one behind the other, large enough for the disk';
    damage.push(place.damage(128, 'vmdk.layout', wanted, order.join(', '), 'what it says is inferred'));
    most = weaker(most, INFERRED);
  }
  if (wish.sectors !== undefined && wish.sectors !== sectors) most = weaker(most, INFERRED);
  return { sectors, directory, region, grains, most };
}

/** Fields without which nothing of a delta can be found. */
const NEEDED = /^(capacity|grainSize|grainTableSize|grain\w+Offset|magic)$/;

/** The same where the header is lost: by what its tables hold, for the size that the descriptor gives. */
async function headless(place: Place, { sectors }: Wish, damage: Damage[]): Promise<Head | undefined> {
  if (sectors === undefined || sectors > MAX_SECTORS) return undefined;
  const count = Math.ceil(sectors / (GRAIN * SE_ENTRIES));
  const layout = count > MAX_TABLES ? undefined : await seLayoutIn(place, count);
  if (layout === undefined) return undefined;
  const { directory, region, grains } = layout;
  const actual = `none; what looks like its directory is in sector ${directory}, its tables in ${region}, its grains in ${grains}`;
  const effect = 'where the first grain lies follows from the last that is in use: what is read this way is guessed';
  damage.push(place.damage(0, 'vmdk.header', 'a header that says where tables and grains are', actual, effect));
  return { ...layout, sectors, most: GUESSED };
}

/** Opens a delta; undefined where neither its header nor its tables say where things are. */
export async function openSeSparse(place: Place, wish: Wish): Promise<Layer | undefined> {
  const block = await new Window(place.source, SECTOR).bytes(0, SECTOR);
  const damage: Damage[] = [];
  const head = (await headOf(place, block, wish, damage)) ?? (await headless(place, wish, damage));
  if (head === undefined) return undefined;
  const { sectors, directory, region, grains: grainsOffset, most } = head;
  const size = place.source.size / SECTOR;
  const count = Math.ceil(sectors / (GRAIN * SE_ENTRIES));
  if (count > MAX_TABLES) return undefined;
  const places = await placesOf(place, directory, region, count, Math.floor(size));
  const window = new Window(place.source, SPAN);
  const words = (sector: number): Promise<Copy> => tableAt(window, sector);
  const shape: Shape = {
    what: 'seSparse',
    sectors,
    grain: GRAIN,
    perTable: SE_ENTRIES,
    first: grainsOffset,
    origin: grainsOffset,
    zeroed: true,
    isCompressed: false,
    copies: 1,
    inlineTable: 0,
    end: size,
    base: grainsOffset - FROM * GRAIN,
    scale: GRAIN,
    byOrder: false,
  };
  const find = (): Promise<number[]> =>
    findTables(place, region, Math.min(grainsOffset, Math.floor(size)), new Set(places));
  const map = await deltaMap(place, { places, shape, words, find }, directory, wish, most, damage);
  damage.push(...(await told(map)));
  return {
    sectors,
    mapping: map,
    damage,
    notices: [],
    details: { grainSize: GRAIN * SECTOR },
    check: (signal) => checkGrains(map, damage, signal),
    lost: () => lostOf(map, wish, false),
  };
}

/** A journal that still has to be replayed means that tables are older than what was written last. */
async function volatileOf(place: Place, at: number, damage: Damage[]): Promise<Certainty> {
  const effect = 'what its tables say is inferred: they may lack what was written last';
  const isInside = at > 0 && (at + 1) * SECTOR <= place.source.size;
  const values = seVolatile.decode(
    isInside ? await new Window(place.source, SECTOR).bytes(at * SECTOR, SECTOR) : EMPTY,
  );
  if (values.magic !== SE_VOLATILE_MAGIC) {
    const where = isInside ? at * SECTOR : 80;
    damage.push(place.damage(where, 'vmdk.volatile', hex(SE_VOLATILE_MAGIC), hex(values.magic), effect));
    return INFERRED;
  }
  if (values.replayJournal === 0) return VERIFIED;
  const expected = 'no journal to be replayed';
  damage.push(place.damage(at * SECTOR + 24, 'vmdk.journal', expected, hex(values.replayJournal), effect));
  return INFERRED;
}

const EMPTY = new Uint8Array(SECTOR);

async function placesOf(place: Place, at: number, region: number, count: number, size: number): Promise<Float64Array> {
  const places = new Float64Array(count).fill(UNREADABLE);
  const there = Math.max(0, Math.min(count, (size - at) * (SECTOR / 8)));
  if (there === 0) return places;
  const view = viewOf(await new Window(place.source, SPAN).bytes(at * SECTOR, there * 8));
  const seen = new Set<number>();
  for (let i = 0; i < there; i++) {
    const low = view.getUint32(i * 8, true);
    const high = view.getUint32(i * 8 + 4, true);
    if (low === 0 && high === 0) places[i] = 0;
    if (high !== IS_TABLE || seen.has(low)) continue;
    seen.add(low);
    const sector = region + low * TABLE_SECTORS;
    if (sector + TABLE_SECTORS <= size) places[i] = sector;
  }
  return places;
}

/** One table as numbers of grains: 0 for none, 1 for zeros. */
async function tableAt(window: Window, sector: number): Promise<Copy> {
  const view = viewOf(await window.bytes(sector * SECTOR, TABLE_BYTES));
  const words = new Uint32Array(SE_ENTRIES);
  let isUsed = false;
  for (let i = 0; i < SE_ENTRIES; i++) {
    words[i] = entry(view.getUint32(i * 8, true), view.getUint32(i * 8 + 4, true));
    isUsed ||= words[i] !== 0;
  }
  // Tables are made for their first grain: one that is empty was wiped.
  return { words, isSure: isUsed };
}

function entry(low: number, high: number): number {
  const kind = high >>> 28;
  if (low === 0 && high === 0) return 0;
  if (kind === 1 || kind === 2) return 1;
  // The low twelve bits of a grain's number stand above the others.
  const grain = kind === 3 ? bits(low, high, 48, 12) + bits(low, high, 0, 40) * 4096 : UNREADABLE;
  const isAbove = (high & 0xff00) !== 0;
  return grain + FROM < UNREADABLE && !isAbove ? grain + FROM : UNREADABLE;
}

/** Tables in use that no entry leads to. */
async function findTables(place: Place, from: number, end: number, known: ReadonlySet<number>): Promise<number[]> {
  const out: number[] = [];
  const window = new Window(place.source, SPAN);
  for (let at = from; at + TABLE_SECTORS <= end && out.length < MAX_TABLES; at += TABLE_SECTORS) {
    place.signal.throwIfAborted();
    if (known.has(at)) continue;
    const { words, isSure } = await tableAt(window, at);
    if (isSure && words.every((v) => v !== UNREADABLE)) out.push(at);
  }
  return out;
}
