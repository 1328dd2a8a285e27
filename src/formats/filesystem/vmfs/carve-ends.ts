/**
 * Disks whose first blocks live files were written over: what a partition table or a file system keeps of itself further
 * behind says how far from its start it lies, so the rest is placed from there. All of it is guessed: that such a disk
 * lies in one piece is how ESXi gives out blocks, and places where the file system must keep something are asked whether
 * they do. Sources: vmfs.md section 8.7; guestfs.md; volumes.md section 2.
 */
import { crc32 } from '../../../codec/crc32.ts';
import type { Source } from '../../../core/source.ts';
import { latin1, readU64, viewOf } from '../../../core/struct.ts';
import { copySize, marksIn } from '../../disk/placing/marks.ts';
import { header } from '../../volume/gpt.ts';
import { bootIn } from '../ntfs/boot.ts';
import type { BlockSet } from './carve.ts';
import type { Volume } from './volume.ts';

/** Bytes at both ends of a block that are looked at: the larger of the two sizes that sectors have. */
export const PEEK = 4096;
const SECTOR = 512;
/** Copies that are kept in mind; enough for some thousand disks. */
export const MAX_COPIES = 65_536;
/** Places of one file system that are asked whether they hold what they must. */
const MAX_CHECKS = 64;
/** Blocks of a thing that is put together. */
const MAX_BLOCKS = 2 ** 24;
/** Groups with copies where only some groups have them. */
const EXT_GROUPS = [1, 3, 5, 7, 9];
const EXT_SPARSE2 = 0x200;

/** Something that stands behind the start of a disk or file system, and says how far. */
export interface Copy {
  /** Where it lies, and where what it is a copy of would begin if all lay in one piece. May be below zero. */
  readonly at: number;
  readonly origin: number;
  /** Of the whole disk or file system. */
  readonly size: number;
  readonly what: string;
  /** It is of a disk, not of a file system on one. */
  readonly isDisk: boolean;
  /** Places, from the origin, at which bytes must stand if they are of this one. */
  readonly checks: readonly Check[];
}

interface Check {
  readonly at: number;
  test(head: Uint8Array): boolean;
}

/** A disk or file system without its start. */
export interface Headless {
  /** File blocks in order from the block that it would begin in; -1 where it is not known which. */
  readonly blocks: readonly number[];
  readonly size: number;
  readonly copy: Copy;
}

/** What lies at the end of a block, whose last bytes `tail` holds. */
export function copyAtEnd(tail: Uint8Array, end: number): Copy | undefined {
  for (const sector of [SECTOR, PEEK]) {
    const last = tail.subarray(tail.length - sector);
    const copy = ntfsCopy(last, end - sector, sector) ?? gptCopy(last, end - sector, sector);
    if (copy !== undefined) return copy;
  }
  return undefined;
}

/** What lies at the start of a block, whose first bytes `head` holds. */
export function copyAtStart(head: Uint8Array, at: number): Copy | undefined {
  return extCopy(head, at) ?? xfsCopy(head, at);
}

function ntfsCopy(last: Uint8Array, at: number, sector: number): Copy | undefined {
  const g = bootIn(last, at);
  if (g === undefined || g.sectorSize !== sector || last[SECTOR - 2] !== 0x55 || last[SECTOR - 1] !== 0xaa)
    return undefined;
  const isFirst = (head: Uint8Array): boolean =>
    [...marksIn(head)].some((one) => one.at === 0 && one.mark.kind === 'ntfs-record' && one.mark.number === 0);
  const checks = [g.mft, g.mirror].map((lcn) => ({ at: lcn * g.cluster, test: isFirst }));
  const size = g.bytes + sector;
  return { at, origin: at - g.bytes, size, what: 'NTFS', isDisk: false, checks };
}

function gptCopy(last: Uint8Array, at: number, sector: number): Copy | undefined {
  if (latin1(last, 0, 8) !== 'EFI PART') return undefined;
  const table = header.decode(last);
  const { alternateLba, myLba, size } = table;
  if (header.violations(table).length > 0 || size > sector || myLba <= alternateLba) return undefined;
  const sum = last.slice(0, size);
  sum.fill(0, 16, 20);
  if (crc32(sum) !== table.crc) return undefined;
  const own = myLba * sector;
  return { at, origin: at - own, size: own + sector, what: 'GPT', isDisk: true, checks: [] };
}

function extCopy(head: Uint8Array, at: number): Copy | undefined {
  const size = copySize(head);
  if (size === undefined) return undefined;
  const view = viewOf(head);
  const groupBytes = view.getUint32(0x20, true) * (1024 << view.getUint32(0x18, true));
  const own = view.getUint16(0x5a, true) * groupBytes;
  const id = latin1(head, 0x68, 16);
  const isSame = (bytes: Uint8Array): boolean => copySize(bytes) === size && latin1(bytes, 0x68, 16) === id;
  // Blocks of 1 KiB shift the groups by one; where copies stand in two groups only, none of them must be there.
  const isUsual = view.getUint32(0x18, true) > 0 && (view.getUint32(0x5c, true) & EXT_SPARSE2) === 0;
  const checks = EXT_GROUPS.map((group) => ({ at: group * groupBytes, test: isSame })).filter((one) => one.at < size);
  const start = view.getUint32(0x18, true) === 0 ? own + 1024 : own;
  return { at, origin: at - start, size, what: 'ext', isDisk: false, checks: isUsual ? checks : [] };
}

function xfsCopy(head: Uint8Array, at: number): Copy | undefined {
  if (latin1(head, 0, 4) !== 'XFSB') return undefined;
  const view = viewOf(head);
  const block = view.getUint32(4);
  const sector = view.getUint16(102);
  if (block < SECTOR || block > 65_536 || sector < SECTOR || sector + 12 > head.length) return undefined;
  const agBytes = view.getUint32(84) * block;
  const groups = view.getUint32(88);
  const group = view.getUint32(sector + 8);
  const size = readU64(view, 8, false) * block;
  if (latin1(head, sector, 4) !== 'XAGF' || group === 0 || group >= groups || size > agBytes * groups) return undefined;
  const id = latin1(head, 32, 16);
  const isSame = (bytes: Uint8Array): boolean => latin1(bytes, 0, 4) === 'XFSB' && latin1(bytes, 32, 16) === id;
  const count = Math.min(groups, MAX_CHECKS);
  const checks = Array.from({ length: count }, (_, i) => ({ at: i * agBytes, test: isSame }));
  return { at, origin: at - group * agBytes, size, what: 'XFS', isDisk: false, checks };
}

/** What is asked of blocks: which have an owner, and which the bitmap calls taken. */
export interface Blocks {
  readonly owned: BlockSet;
  isLive(block: number): Promise<boolean>;
}

/** Puts together what copies are of; enters its blocks as owned. Disks go first: what lies in them is part of them. */
export async function headless(volume: Volume, copies: readonly Copy[], blocks: Blocks): Promise<Headless[]> {
  const out: Headless[] = [];
  const sorted = [...copies].sort((a, b) => Number(b.isDisk) - Number(a.isDisk) || b.size - a.size || a.at - b.at);
  const done = new Set<string>();
  for (const copy of sorted) {
    const key = `${copy.what} ${copy.origin} ${copy.size}`;
    if (done.has(key)) continue;
    const same = copies.filter((one) => `${one.what} ${one.origin} ${one.size}` === key);
    const found = await together(volume, copy, same, blocks);
    if (found === undefined) continue;
    done.add(key);
    for (const block of found.blocks) if (block >= 0) blocks.owned.add(block);
    out.push(found);
  }
  return out;
}

/** The blocks around copies of one thing, as far as nothing owns them; undefined where these do not hold what they must. */
async function together(
  volume: Volume,
  copy: Copy,
  copies: readonly Copy[],
  { isLive, owned }: Blocks,
): Promise<Headless | undefined> {
  const { blockSize } = volume.geometry;
  const first = Math.floor(copy.origin / blockSize);
  const size = copy.origin + copy.size - first * blockSize;
  const count = Math.ceil(size / blockSize);
  if (count > MAX_BLOCKS) return undefined;
  const last = Math.min(first + count, Math.floor(volume.volume.size / blockSize));
  const own = new Set<number>();
  for (const { at } of copies) {
    const middle = Math.floor(at / blockSize);
    if (own.has(middle) || owned.has(middle)) continue;
    const live = await isLive(middle);
    const isOpen = async (block: number): Promise<boolean> => !owned.has(block) && (await isLive(block)) === live;
    for (let block = middle; block < last && (await isOpen(block)); block++) own.add(block);
    for (let block = middle - 1; block >= Math.max(0, first) && (await isOpen(block)); block--) own.add(block);
  }
  if (own.size < 2 || !(await holds(volume.volume, copy, own, blockSize))) return undefined;
  const blocks = Array.from({ length: count }, (_, i) => (own.has(first + i) ? first + i : -1));
  return { blocks, size, copy };
}

/** Whether what must stand in these blocks does; where none of it falls into them, nothing speaks against it. */
async function holds(bytes: Source, copy: Copy, own: ReadonlySet<number>, blockSize: number): Promise<boolean> {
  const head = new Uint8Array(PEEK);
  for (const { at, test } of copy.checks) {
    const place = copy.origin + at;
    if (!own.has(Math.floor(place / blockSize)) || place + PEEK > bytes.size) continue;
    if ((await bytes.read(place, head)).length === 0 && !test(head)) return false;
  }
  return true;
}
