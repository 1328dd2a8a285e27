import { Bytes } from '../bytes.ts';
import { hashMod, nameHash } from './hash6.ts';

/** One name in a directory. */
export interface Dirent {
  type: number;
  address: number;
  generation: number;
  name: Uint8Array;
  /** Fixed bucket of a system file in the VMFS6 root (vmfs.md 5.2). */
  bucket?: number;
}

const ENTRY35 = 0x8c;
const ENTRY6 = 0x120;
const HEADER6 = 0x10000;
const BLOCK = 4096;
const SLOTS = 14;
const LINK = 0x54;
const LINKS_IN_GROUP = 12;
const GROUPS_IN_BLOCK = 48;
const BUCKETS = 16001;
const ROOT_BUCKETS = 15973;

/** VMFS3 and VMFS5: a flat array, "." and ".." first, the rest in creation order (vmfs.md 5.1). */
export function directory35(entries: readonly Dirent[]): Uint8Array {
  const b = new Bytes(entries.length * ENTRY35);
  for (const [i, e] of entries.entries()) {
    const at = i * ENTRY35;
    b.u32(at, e.type)
      .u32(at + 4, e.address)
      .u32(at + 8, e.generation)
      .raw(at + 12, e.name);
  }
  return b.data;
}

/** Offset in the directory file of the entry of child `i`, "." and ".." not counted, and its length. */
export function direntPlace(six: boolean, i: number): { offset: number; length: number } {
  if (!six) return { offset: (i + 2) * ENTRY35, length: ENTRY35 };
  const block = HEADER6 + (1 + Math.floor(i / SLOTS)) * BLOCK;
  return { offset: block + 0x40 + (i % SLOTS) * ENTRY6, length: ENTRY6 };
}

interface Placed {
  location: number;
  hash: [number, number];
}

function location(kind: number, block: number, slot: number): number {
  return (kind | (block << 2) | (slot << 24)) >>> 0;
}

function putDirent(b: Bytes, at: number, e: Dirent, hashLow: number): void {
  b.u32(at, e.type)
    .u32(at + 4, e.address)
    .u32(at + 8, e.generation)
    .u32(at + 12, hashLow);
  b.u64(at + 0x10, at).raw(at + 0x18, e.name);
}

/** Block header: version, kind, slots, free slots, bitmap with a set bit for each free slot. */
function putBlockHeader(b: Bytes, block: number, kind: number, total: number, used: number): void {
  const at = HEADER6 + block * BLOCK;
  b.u16(at, 1)
    .u16(at + 2, kind)
    .u16(at + 4, total)
    .u16(at + 6, total - used);
  for (let i = used; i < total; i++) b.bit(at + 8, i);
}

function buckets(entries: readonly Dirent[], root: boolean): Map<number, Placed[]> {
  const table = new Map<number, Placed[]>();
  for (const [i, e] of entries.entries()) {
    const hash: [number, number] = e.bucket === undefined ? nameHash(e.name) : [0, 0];
    const bucket = e.bucket ?? hashMod(hash, root ? ROOT_BUCKETS : BUCKETS);
    const placed = { location: location(1, 1 + Math.floor(i / SLOTS), i % SLOTS), hash };
    const there = table.get(bucket);
    if (there === undefined) table.set(bucket, [placed]);
    else there.push(placed);
  }
  return table;
}

/** Link groups of one colliding bucket, chained; returns the location of the first. */
function putLinks(b: Bytes, firstBlock: number, firstGroup: number, bucket: number, placed: Placed[]): number {
  const groups = Math.ceil(placed.length / LINKS_IN_GROUP);
  const where = (g: number) =>
    location(2, firstBlock + Math.floor((firstGroup + g) / GROUPS_IN_BLOCK), (firstGroup + g) % GROUPS_IN_BLOCK);
  for (let g = 0; g < groups; g++) {
    const links = placed.slice(g * LINKS_IN_GROUP, (g + 1) * LINKS_IN_GROUP);
    const number = firstGroup + g;
    const block = firstBlock + Math.floor(number / GROUPS_IN_BLOCK);
    const at = HEADER6 + block * BLOCK + 0x40 + (number % GROUPS_IN_BLOCK) * LINK;
    b.u16(at, bucket).u8(at + 2, LINKS_IN_GROUP);
    b.u8(at + 3, LINKS_IN_GROUP - links.length).u8(at + 4, links.length % LINKS_IN_GROUP);
    for (const [i, link] of links.entries()) {
      b.u32(at + 6 + i * 6, link.location).u16(at + 10 + i * 6, link.hash[0] >>> 16);
    }
    if (g + 1 < groups) b.u32(at + 0x4e, where(g + 1));
  }
  return where(0);
}

/** Allocation map: one nibble per block, high nibble first: kind, 4 = has free slots, 8 = never written. */
function putMap(b: Bytes, dirents: number, links: number, lastDirents: number, lastLinks: number): void {
  const slots = 2 * (BLOCK - 64);
  b.u16(HEADER6 + 2, 3);
  const nibble = (block: number): number => {
    if (block === 0) return 3;
    if (block <= dirents) return block === dirents && lastDirents < SLOTS ? 5 : 1;
    if (block <= dirents + links) return block === dirents + links && lastLinks < GROUPS_IN_BLOCK ? 6 : 2;
    return 8;
  };
  for (let i = 0; i < slots; i += 2) b.u8(HEADER6 + 0x40 + i / 2, (nibble(i) << 4) | nibble(i + 1));
}

/** VMFS6: header with hash table, allocation map, dirent blocks and link groups for colliding names (vmfs.md 5.2). */
export function directory6(self: Dirent, parent: Dirent, entries: readonly Dirent[], root: boolean): Uint8Array {
  const dirents = Math.ceil(entries.length / SLOTS);
  const table = buckets(entries, root);
  let groups = 0;
  for (const placed of table.values()) if (placed.length > 1) groups += Math.ceil(placed.length / LINKS_IN_GROUP);
  const links = Math.ceil(groups / GROUPS_IN_BLOCK);
  const blocks = 1 + dirents + links;
  if (blocks > 2 * (BLOCK - 64)) throw new Error('one allocation-map block covers 8,064 blocks');
  const b = new Bytes(HEADER6 + blocks * BLOCK);
  const count = entries.length + 2;
  b.u32(0, 0x00f50001).u32(4, count).u32(8, count).u32(12, 1);
  putDirent(b, 0x3b8, self, 0);
  putDirent(b, 0x4d8, parent, 0);
  for (const [i, e] of entries.entries()) {
    putDirent(b, direntPlace(true, i).offset, e, e.bucket === undefined ? nameHash(e.name)[0] : 0);
  }
  let group = 0;
  for (const [bucket, placed] of table) {
    if (placed.length === 1) b.u32(0x5f8 + 4 * bucket, placed[0]!.location);
    else {
      b.u32(0x5f8 + 4 * bucket, putLinks(b, 1 + dirents, group, bucket, placed));
      group += Math.ceil(placed.length / LINKS_IN_GROUP);
    }
  }
  const lastDirents = entries.length - (dirents - 1) * SLOTS;
  const lastLinks = groups - (links - 1) * GROUPS_IN_BLOCK;
  for (let i = 1; i <= dirents; i++) putBlockHeader(b, i, 1, SLOTS, i === dirents ? lastDirents : SLOTS);
  for (let i = 1; i <= links; i++)
    putBlockHeader(b, dirents + i, 2, GROUPS_IN_BLOCK, i === links ? lastLinks : GROUPS_IN_BLOCK);
  putMap(b, dirents, links, lastDirents, lastLinks);
  return b.data;
}
