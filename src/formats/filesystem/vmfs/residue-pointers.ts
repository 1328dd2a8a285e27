/**
 * Pointer blocks that no descriptor leads to: what is left of a file whose descriptor was cleared. Recognised by their
 * shape, in the data areas of .pbc.sf (VMFS3/5) and .sbc.sf (VMFS6). Source: vmfs.md section 8.7.
 */
import {
  addressText,
  FILE_BLOCK,
  fileBlockAt,
  fileBlockFits,
  LARGE_BLOCK,
  POINTER_BLOCK,
  POINTER_BLOCK_2,
  SUB_BLOCK,
  typeOf,
} from './address.ts';
import { bitmaps } from './bitmaps.ts';
import type { FileClaims } from './residue-claims.ts';
import { placeIn } from './residue-place.ts';
import type { ResourceFile } from './resource.ts';
import type { Volume } from './volume.ts';

/** Pointer blocks that seem to follow one another, in order. */
export interface Chain {
  /** Of the first. */
  readonly name: string;
  /** Addresses as u32 words: one each on VMFS3 and 5, two on VMFS6. */
  readonly pointers: Uint32Array;
  /** 2 where a pointer block of pointer blocks is left, which says their order for certain. */
  readonly levels: 1 | 2;
  readonly tables: number;
  /** Pointers up to the last that is not zero. */
  readonly slots: number;
  /** VMFS6: descriptor addresses that the pointer blocks are booked to; none where nothing is said. */
  readonly owners: ReadonlySet<number>;
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
  readonly owner: number;
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
  const six = volume.geometry.version === 6;
  const file = six ? volume.files.sbc : volume.files.pbc;
  if (file === undefined || file.header.size !== volume.geometry.pointerBlockBytes) return [];
  const search: Search = { volume, claims, leaves: [], uppers: [] };
  for (const one of six ? [file] : [file, volume.files.pb2]) {
    if (one === undefined) continue;
    for await (const [cluster] of bitmaps(volume, one)) {
      const owners = six ? await ownersOf(volume, one, cluster) : NOBODY;
      for (let first = 0; first < one.header.perCluster && search.leaves.length < MAX_TABLES; first += SLOTS_PER_READ) {
        await readSlots(search, one, cluster, first, owners);
      }
    }
  }
  const { chains, taken } = underUppers(volume, search);
  const rest = search.leaves.filter((leaf) => !taken.has(keyOf(leaf)));
  const out: Chain[] = [];
  for (const chain of [...chains, ...chained(volume, file, rest)]) {
    out.push({ ...chain, place: await placeIn(volume, chain.file.source, chain.at) });
  }
  return out;
}

/** What one search goes through and finds. */
interface Search {
  readonly volume: Volume;
  readonly claims: readonly FileClaims[];
  readonly leaves: Table[];
  /** Blocks that could be pointer blocks of pointer blocks: their words, to be compared with the leaves. */
  readonly uppers: { readonly table: Table; readonly words: Uint32Array; readonly file: ResourceFile }[];
}

/** Pointer blocks of pointer blocks, of which every pointer leads to one that was found. */
function underUppers(volume: Volume, { leaves, uppers }: Search): { chains: Chain[]; taken: Set<number> } {
  const { pointerWords: step, pointersPerBlock, blockSize } = volume.geometry;
  const byKey = new Map(leaves.map((leaf) => [keyOf(leaf), leaf]));
  const taken = new Set<number>();
  const chains: Chain[] = [];
  for (const { table, words, file } of uppers) {
    const below: Table[] = [];
    let end = 0;
    for (let i = 0; i < words.length; i += step) {
      const low = words[i];
      const high = step === 2 ? words[i + 1] : 0;
      if (low === 0 && high === 0) continue;
      const leaf = byKey.get(keyOf({ low, high }));
      if (leaf === undefined || taken.has(keyOf(leaf)) || below.includes(leaf)) break;
      below.push(leaf);
      end = (i / step) * pointersPerBlock + leaf.end + 1;
    }
    if (below.length === 0 || below.length !== table.count) continue;
    for (const leaf of below) taken.add(keyOf(leaf));
    const blocks = below.reduce((n, leaf) => n + leaf.count, 0);
    const owners = new Set([table, ...below].map(({ owner }) => owner).filter((owner) => owner !== 0));
    const name = `pb-${addressText(table.low, table.high)}`;
    const pointers = Uint32Array.from(step === 1 ? [table.low] : [table.low, table.high]);
    const { at } = table;
    const size = end * blockSize;
    chains.push({
      name,
      pointers,
      levels: 2,
      tables: below.length,
      slots: end,
      owners,
      blocks,
      size,
      at,
      place: at,
      file,
    });
  }
  return { chains, taken };
}

function keyOf({ low, high }: Pick<Table, 'low' | 'high'>): number {
  // Cluster, and on VMFS3 and VMFS5 the resource; the resource of VMFS6 is above. No volume has 2**26 clusters.
  return (high >>> 24) * 2 ** 26 + (low >>> 6);
}

const NOBODY: readonly number[] = [];
/** VMFS6: where a cluster's metadata says who owns its resources; known for these numbers of resources only. */
const OWNERS_AT: Readonly<Record<number, number>> = { 256: 0x8e0, 32: 0x2e0 };

/** Descriptor addresses that the resources of a cluster are booked to; empty where that is not known. */
export async function ownersOf(volume: Volume, file: ResourceFile, cluster: number): Promise<readonly number[]> {
  const { perCluster } = file.header;
  const at = OWNERS_AT[perCluster];
  const { lockBytes } = volume.geometry;
  if (at === undefined || at + 4 * perCluster > lockBytes) return NOBODY;
  const words = new Uint32Array(perCluster);
  await file.source.read(file.clusterAt(cluster) + lockBytes + at, new Uint8Array(words.buffer));
  return [...words];
}

async function readSlots(
  { volume, claims, leaves, uppers }: Search,
  file: ResourceFile,
  cluster: number,
  first: number,
  owners: readonly number[],
): Promise<void> {
  const { size, perCluster } = file.header;
  const from = file.offsetOf(cluster, first);
  if (from === undefined || from + size > file.source.size) return;
  const count = Math.min(SLOTS_PER_READ, perCluster - first, Math.floor((file.source.size - from) / size));
  const bytes = new Uint8Array(count * size);
  await file.source.read(from, bytes);
  for (let i = 0; i < count; i++) {
    const [low, high] = addressOf(volume, file, cluster, first + i);
    if (claims.some((one) => one.resource(low, high))) continue;
    const words = new Uint32Array(bytes.buffer, i * size, size / 4);
    const table = { low, high, at: from + i * size, owner: owners[first + i] ?? 0 };
    const shape = shapeOf(volume, words);
    if (shape !== undefined) leaves.push({ ...table, ...shape });
    else if (uppers.length < MAX_TABLES) {
      const upper = upperShapeOf(volume, words);
      if (upper !== undefined) uppers.push({ table: { ...table, ...upper }, words: words.slice(), file });
    }
  }
}

/** A table of addresses of pointer blocks only; whether they are there is seen later. */
function upperShapeOf(volume: Volume, words: Uint32Array): Pick<Table, 'count' | 'end' | 'first' | 'next'> | undefined {
  const { pointerWords: step, version } = volume.geometry;
  const wanted = version === 6 ? SUB_BLOCK : POINTER_BLOCK;
  let count = 0;
  let end = -1;
  for (let i = 0; i < words.length; i += step) {
    if (words[i] === 0 && (step === 1 || words[i + 1] === 0)) continue;
    if (typeOf(words[i]) !== wanted) return undefined;
    count++;
    end = i / step;
  }
  return count === 0 ? undefined : { count, end, first: -1, next: -1 };
}

function addressOf(volume: Volume, file: ResourceFile, cluster: number, resource: number): readonly [number, number] {
  const type = file.kind === 'pb2' ? POINTER_BLOCK_2 : POINTER_BLOCK;
  if (volume.geometry.version !== 6) return [(type | (cluster << 6) | (resource << 28)) >>> 0, 0];
  return [(SUB_BLOCK | ((cluster & 0x3ffffff) << 6)) >>> 0, ((resource << 24) | Math.floor(cluster / 2 ** 26)) >>> 0];
}

/** A table whose every pointer names another block of the volume; undefined for anything else. */
function shapeOf(volume: Volume, words: Uint32Array): Pick<Table, 'count' | 'end' | 'first' | 'next'> | undefined {
  const g = volume.geometry;
  const six = g.version === 6;
  const seen = new Set<number>();
  const slots = words.length / g.pointerWords;
  let end = -1;
  let count = 0;
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
    count++;
    end = i;
  }
  // A large block has as many pointers as it has room for blocks, which all are the same.
  if (count < ENOUGH) return undefined;
  const blockAt = (i: number): number => {
    const low = words[i * g.pointerWords];
    return low === 0 ? -1 : fileBlockAt(g, low, six ? words[2 * i + 1] : 0) / g.blockSize;
  };
  const next = end === slots - 1 ? blockAt(end) + 1 : -1;
  return { count, end, first: blockAt(0), next };
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
    levels: 1,
    tables: list.length,
    slots,
    owners: new Set(list.map(({ owner }) => owner).filter((owner) => owner !== 0)),
    blocks: list.reduce((n, table) => n + table.count, 0),
    size: slots * blockSize,
    at: list[0].at,
    place: list[0].at,
    file,
  };
}
