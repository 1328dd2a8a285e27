/**
 * The layout of a FAT volume that lost its boot sector and the copy of it: two equal tables say where they begin and
 * how long they are, and directories, which say in which cluster they are, how clusters are counted.
 */
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { decodeBoot, type Geometry } from './boot.ts';
import { BOOT_BYTES, BOOT_SIGNATURE, DIRECTORY, END, ENTRY, entryStruct, GONE, LONG_NAME } from './structs.ts';
import { FIRST } from './table.ts';

const SECTOR = 512;
/** Bytes from the start in which a table may begin: most set aside 32 sectors before it, some align their data to MiB. */
const MAX_RESERVED: number = 4 * 1024 * 1024;
/** Bytes of a table whose copy is looked for: of 4 million clusters. */
const MAX_TABLE: number = 16 * 1024 * 1024;
const MAX_COPIES = 4;
/** Places that begin as a table does, and of which a copy is looked for. */
const MAX_TRIED = 16;
const WINDOW: number = 1024 * 1024;
/** Directories of the root that are asked where they lie. */
const MAX_ASKED = 64;
/** Entries that roots of FAT12 and FAT16 have room for: what systems make first, then all. */
const ROOTS: readonly number[] = [512, 224, 112, 240, 1024, 256, 64];
const MAX_ROOT = 4096;
const CLUSTERS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128];
const ROOT_CLUSTER = 2;
const MOST_CLUSTERS: Readonly<Record<number, number>> = { 12: 4084, 16: 65_524, 28: 2 ** 28 - 17 };

interface Tables {
  readonly at: number;
  readonly bytes: number;
  readonly copies: number;
  readonly media: number;
}

/** The layout that tables and directories agree on; undefined where none is the only one. */
export async function lostGeometry(source: Source): Promise<Geometry | undefined> {
  const head = new Uint8Array(Math.min(MAX_RESERVED, source.size));
  const gaps = await source.read(0, head);
  let tried = 0;
  for (let at = SECTOR; at + SECTOR <= head.length && tried < MAX_TRIED; at += SECTOR) {
    const widths = widthsOf(head, at);
    if (widths.length === 0 || gaps.some(({ offset, length }) => offset < at + SECTOR && offset + length > at))
      continue;
    tried++;
    const tables = await copiesOf(source, at, head.slice(at, at + SECTOR));
    if (tables === undefined) continue;
    const fits: Geometry[] = [];
    for (const width of widths) fits.push(...(await fittingOf(source, tables, width)));
    if (fits.length === 1) return fits[0];
    // Where all directories lie in the first cluster, its size is told by how many the tables have room for.
    const full = fits.filter(
      (one) => (one.clusters + FIRST) * 1.1 > one.capacity && one.bytes + one.cluster > source.size,
    );
    if (full.length === 1) return full[0];
    if (fits.length > 0) return undefined;
  }
  return undefined;
}

/** Widths of entries that a table which begins here can have: the kind of medium, and the end of a chain. */
function widthsOf(head: Uint8Array, at: number): (12 | 16 | 28)[] {
  const media = head[at];
  const view = viewOf(head);
  if ((media < 0xf8 && media !== 0xf0) || head[at + 1] !== 0xff) return [];
  const [first, second] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
  // The upper bits of the second entry say whether the volume was unmounted.
  if ((first & 0x0fffffff) === 0x0fffff00 + media && (second & 0x03ffffff) === 0x03ffffff) return [28];
  if (head[at + 2] !== 0xff) return [];
  return (head[at + 3] & 0x3f) === 0x3f ? [16, 12] : [12];
}

/** How far behind a table its copy begins, and how many there are; undefined where there is none. */
async function copiesOf(source: Source, at: number, first: Uint8Array): Promise<Tables | undefined> {
  const end = Math.min(source.size, at + MAX_TABLE + SECTOR);
  const window = new Uint8Array(WINDOW);
  for (let from = at + SECTOR; from < end; from += WINDOW) {
    const part = window.subarray(0, Math.min(WINDOW, end - from));
    await source.read(from, part);
    for (let i = 0; i + SECTOR <= part.length; i += SECTOR) {
      if (part[i] !== first[0] || !isSame(part, i, first)) continue;
      const bytes = from + i - at;
      const sector = new Uint8Array(SECTOR);
      let copies = 2;
      for (; copies < MAX_COPIES && at + (copies + 1) * bytes <= source.size; copies++) {
        await source.read(at + copies * bytes, sector);
        if (!isSame(sector, 0, first)) break;
      }
      return { at, bytes, copies, media: first[0] };
    }
  }
  return undefined;
}

function isSame(part: Uint8Array, at: number, first: Uint8Array): boolean {
  for (let i = 0; i < SECTOR; i++) if (part[at + i] !== first[i]) return false;
  return true;
}

/** The layouts in which all directories of the root lie in the clusters that they say. */
async function fittingOf(source: Source, tables: Tables, width: 12 | 16 | 28): Promise<Geometry[]> {
  const rootAt = tables.at + tables.copies * tables.bytes;
  const asked = await directoriesOf(source, rootAt, width === 28);
  if (asked.length === 0) return [];
  const every = Array.from({ length: MAX_ROOT / 16 }, (_, i) => (i + 1) * 16);
  const roots = width === 28 ? [0] : [...new Set([...ROOTS, ...every])];
  const out: Geometry[] = [];
  for (const entries of roots) {
    for (const perCluster of CLUSTERS) {
      const heapAt = rootAt + entries * ENTRY;
      if (!(await isInPlace(source, heapAt, perCluster * SECTOR, asked, width === 28))) continue;
      const made = geometryOf(source, tables, width, entries, perCluster);
      if (made !== undefined) out.push(made);
    }
  }
  return out;
}

/** First clusters of the directories that a root names. */
async function directoriesOf(source: Source, at: number, isWide: boolean): Promise<number[]> {
  const block = new Uint8Array(MAX_ROOT * ENTRY);
  await source.read(at, block.subarray(0, Math.max(0, Math.min(block.length, source.size - at))));
  const out: number[] = [];
  // How long the first cluster of a root is, is not known: the smallest is taken, unless it ends before.
  const end = isWide ? SECTOR : block.length;
  for (let i = 0; i + ENTRY <= end && out.length < MAX_ASKED; i += ENTRY) {
    const entry = entryStruct.decode(block, i);
    if (entry.name[0] === END) break;
    const isDirectory = (entry.attributes & LONG_NAME) !== LONG_NAME && (entry.attributes & DIRECTORY) !== 0;
    if (entry.name[0] === GONE || !isDirectory) continue;
    const start = entry.startLow + (isWide ? entry.startHigh * 2 ** 16 : 0);
    if (start >= FIRST) out.push(start);
  }
  return out;
}

/** Whether a directory stands in each of the clusters, and says that it is this one. */
async function isInPlace(
  source: Source,
  heapAt: number,
  cluster: number,
  asked: readonly number[],
  isWide: boolean,
): Promise<boolean> {
  const block = new Uint8Array(ENTRY);
  for (const start of asked) {
    const at = heapAt + (start - FIRST) * cluster;
    if (at + ENTRY > source.size || (await source.read(at, block)).length > 0) return false;
    const { name, attributes, startLow, startHigh } = entryStruct.decode(block);
    const isDot = name[0] === 0x2e && name.subarray(1).every((byte) => byte === 0x20) && (attributes & DIRECTORY) !== 0;
    if (!isDot || startLow + (isWide ? startHigh * 2 ** 16 : 0) !== start) return false;
  }
  return true;
}

/** The layout that a boot sector with these numbers would give. */
function geometryOf(
  source: Source,
  tables: Tables,
  width: 12 | 16 | 28,
  rootEntries: number,
  perCluster: number,
): Geometry | undefined {
  const sector = new Uint8Array(BOOT_BYTES);
  const view = viewOf(sector);
  const tableSectors = tables.bytes / SECTOR;
  const dataAt = tables.at + tables.copies * tables.bytes + rootEntries * ENTRY;
  const room = Math.floor((tables.bytes * 8) / (width === 28 ? 32 : width)) - FIRST;
  const told = Math.min(Math.floor((source.size - dataAt) / SECTOR / perCluster), room, MOST_CLUSTERS[width]);
  view.setUint16(0x0b, SECTOR, true);
  sector[0x0d] = perCluster;
  view.setUint16(0x0e, tables.at / SECTOR, true);
  sector[0x10] = tables.copies;
  view.setUint16(0x11, rootEntries, true);
  sector[0x15] = tables.media;
  view.setUint32(0x20, dataAt / SECTOR + told * perCluster, true);
  if (width === 28) {
    view.setUint32(0x24, tableSectors, true);
    view.setUint32(0x2c, ROOT_CLUSTER, true);
  } else if (tableSectors < 2 ** 16) view.setUint16(0x16, tableSectors, true);
  view.setUint16(0x1fe, BOOT_SIGNATURE, true);
  const made = decodeBoot(sector, tables.at);
  return made?.width === width ? made : undefined;
}
