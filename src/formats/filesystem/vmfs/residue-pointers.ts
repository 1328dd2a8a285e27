/**
 * Pointer blocks that no descriptor leads to: what is left of a file whose descriptor was cleared. Recognised by their
 * shape, in the data areas of .pbc.sf (VMFS3/5) and .sbc.sf (VMFS6). Source: vmfs.md section 8.7.
 */
import { RunList } from '../../../core/run.ts';
import {
  addressText,
  FILE_BLOCK,
  fileBlockAt,
  fileBlockFits,
  LARGE_BLOCK,
  POINTER_BLOCK,
  SUB_BLOCK,
  typeOf,
} from './address.ts';
import { bitmaps } from './bitmaps.ts';
import type { FileClaims } from './residue-claims.ts';
import type { ResourceFile } from './resource.ts';
import type { Volume } from './volume.ts';

/** Pointer blocks that seem to follow one another, in order. */
export interface Chain {
  /** Of the first. */
  readonly name: string;
  /** Addresses as u32 words: one each on VMFS3 and 5, two on VMFS6. */
  readonly pointers: Uint32Array;
  readonly tables: number;
  /** Pointers that are not zero. */
  readonly blocks: number;
  /** Bytes up to the last of these. */
  readonly size: number;
  /** Where the first lies in its file, and that file. */
  readonly at: number;
  readonly file: ResourceFile;
  /** The same in the volume. */
  readonly place: number;
}

interface Table {
  readonly low: number;
  readonly high: number;
  readonly at: number;
  readonly count: number;
  /** Index of the last pointer that is not zero. */
  readonly end: number;
  /** File block that pointer 0 names, and the one that would follow the last pointer of a full table; else -1. */
  readonly first: number;
  readonly next: number;
}

/** One pointer that makes sense could be anything. */
const ENOUGH = 2;
const MAX_TABLES = 1 << 16;
const SLOTS_PER_READ = 16;

/** All chains that neither live files nor descriptors that are left claim. `claims` are those of both. */
export async function orphanTables(volume: Volume, claims: readonly FileClaims[]): Promise<Chain[]> {
  const file = volume.geometry.version === 6 ? volume.files.sbc : volume.files.pbc;
  if (file === undefined || file.header.size !== volume.geometry.pointerBlockBytes) return [];
  const found: Table[] = [];
  for await (const [cluster] of bitmaps(volume, file)) {
    for (let first = 0; first < file.header.perCluster && found.length < MAX_TABLES; first += SLOTS_PER_READ) {
      await readSlots(volume, file, cluster, first, claims, found);
    }
  }
  const out: Chain[] = [];
  for (const chain of chained(volume, file, found)) out.push({ ...chain, place: await placeOf(volume, chain) });
  return out;
}

async function placeOf(volume: Volume, { file, at }: Chain): Promise<number> {
  const list = new RunList(1);
  await file.source.runs(at, at + 1, list);
  return list.sourceOf(0) === volume.volume ? list.at[0] : at;
}

async function readSlots(
  volume: Volume,
  file: ResourceFile,
  cluster: number,
  first: number,
  claims: readonly FileClaims[],
  found: Table[],
): Promise<void> {
  const { size, perCluster } = file.header;
  const from = file.offsetOf(cluster, first);
  if (from === undefined || from + size > file.source.size) return;
  const count = Math.min(SLOTS_PER_READ, perCluster - first, Math.floor((file.source.size - from) / size));
  const bytes = new Uint8Array(count * size);
  await file.source.read(from, bytes);
  for (let i = 0; i < count; i++) {
    const [low, high] = addressOf(volume, cluster, first + i);
    if (claims.some((one) => one.resource(low, high))) continue;
    const shape = shapeOf(volume, new Uint32Array(bytes.buffer, i * size, size / 4));
    if (shape !== undefined) found.push({ low, high, at: from + i * size, ...shape });
  }
}

function addressOf(volume: Volume, cluster: number, resource: number): readonly [number, number] {
  if (volume.geometry.version !== 6) return [(POINTER_BLOCK | (cluster << 6) | (resource << 28)) >>> 0, 0];
  return [(SUB_BLOCK | ((cluster & 0x3ffffff) << 6)) >>> 0, ((resource << 24) | Math.floor(cluster / 2 ** 26)) >>> 0];
}

/** A table whose every pointer names another block of the volume; undefined for anything else. */
function shapeOf(volume: Volume, words: Uint32Array): Pick<Table, 'count' | 'end' | 'first' | 'next'> | undefined {
  const g = volume.geometry;
  const six = g.version === 6;
  const seen = new Set<number>();
  const slots = words.length / g.pointerWords;
  let end = -1;
  for (let i = 0; i < slots; i++) {
    const low = words[i * g.pointerWords];
    const high = six ? words[2 * i + 1] : 0;
    if (low === 0 && high === 0) continue;
    const large = six && typeOf(low) === LARGE_BLOCK;
    const start = fileBlockAt(g, low, high);
    const unused = six && !large && (high & 0x7c000) !== 0; // bits 46 to 50
    if ((typeOf(low) !== FILE_BLOCK && !large) || unused || !fileBlockFits(g, low, high)) return undefined;
    if (start <= 0 || start + g.blockSize > volume.volume.size || (!large && seen.has(start))) return undefined;
    seen.add(start);
    end = i;
  }
  if (seen.size < ENOUGH) return undefined;
  const blockAt = (i: number): number => {
    const low = words[i * g.pointerWords];
    return low === 0 ? -1 : fileBlockAt(g, low, six ? words[2 * i + 1] : 0) / g.blockSize;
  };
  const next = end === slots - 1 ? blockAt(end) + 1 : -1;
  return { count: seen.size, end, first: blockAt(0), next };
}

/** Joins tables where exactly one begins with the block that follows the last block of another. Never by address. */
function chained(volume: Volume, file: ResourceFile, tables: readonly Table[]): Chain[] {
  const starting = new Map<number, Table[]>();
  for (const table of tables) starting.set(table.first, [...(starting.get(table.first) ?? []), table]);
  const ending = new Map<number, number>();
  for (const { next } of tables) ending.set(next, (ending.get(next) ?? 0) + 1);
  const follower = (table: Table): Table | undefined => {
    const list = table.next < 0 || ending.get(table.next) !== 1 ? [] : (starting.get(table.next) ?? []);
    return list.length === 1 && list[0] !== table ? list[0] : undefined;
  };
  const followers = new Set(tables.map(follower));
  const done = new Set<Table>();
  const out: Chain[] = [];
  // Those that follow nothing come first; what is left after them goes round in a circle.
  for (const table of [...tables.filter((one) => !followers.has(one)), ...tables]) {
    const list: Table[] = [];
    for (let one: Table | undefined = table; one !== undefined && !done.has(one); one = follower(one)) {
      done.add(one);
      list.push(one);
    }
    if (list.length > 0) out.push(chainOf(volume, file, list));
  }
  return out.sort((a, b) => a.at - b.at);
}

function chainOf(volume: Volume, file: ResourceFile, list: readonly Table[]): Chain {
  const { pointerWords, pointersPerBlock, blockSize } = volume.geometry;
  const words = list.flatMap(({ low, high }) => (pointerWords === 1 ? [low] : [low, high]));
  const slots = (list.length - 1) * pointersPerBlock + list.at(-1)!.end + 1;
  return {
    name: `pb-${addressText(list[0].low, list[0].high)}`,
    pointers: Uint32Array.from(words),
    tables: list.length,
    blocks: list.reduce((n, table) => n + table.count, 0),
    size: slots * blockSize,
    at: list[0].at,
    place: list[0].at,
    file,
  };
}
