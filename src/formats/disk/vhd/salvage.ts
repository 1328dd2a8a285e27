/** VHDs without a header or a table: both are known by what stands in them. Source: vhd.md, salvage. */
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { bitmapBytes } from './bitmap.ts';
import { FREE_BLOCK, SECTOR } from './structs.ts';

/** Tables begin within these bytes. */
const NEAR = 65536;
/** What hosts use, the usual one first. */
const BLOCK_SIZES = [2 ** 21, 2 ** 19, 2 ** 20, 2 ** 22, 2 ** 23, 2 ** 18, 2 ** 17, 2 ** 16];
/** Entries of a table that are looked at: disks of 2 TiB have twice as many in their smallest blocks. */
const MAX_ENTRIES: number = 2 ** 22;
/** Places that are tried, and blocks looked at to tell whether one is the first. */
const MAX_PLACES = 64;
/** Bytes of tables that are read in search of the one. */
const MAX_READ: number = 64 * 1024 * 1024;
const SAMPLES = 16;
/** What may lie between the last block and the end, with the footer. */
const PADDING: number = 8 * SECTOR;

/** The table of a disk of `size` bytes (0: not known), by entries that are as far apart as blocks are. */
export async function findTable(
  source: Source,
  size: number,
): Promise<{ tableAt: number; count: number; blockSize: number } | undefined> {
  const near = new Uint8Array(Math.min(NEAR, source.size));
  await source.read(0, near);
  let tried = 0;
  let budget = MAX_READ;
  for (let tableAt = SECTOR; tableAt + SECTOR <= near.length && tried < MAX_PLACES; tableAt += SECTOR) {
    if (!begins(near.subarray(tableAt), source.size)) continue;
    tried++;
    for (const blockSize of BLOCK_SIZES) {
      const count = size > 0 ? Math.ceil(size / blockSize) : 0;
      if (count === 0 || count > MAX_ENTRIES || tableAt + 4 * count > source.size) continue;
      if (budget < 4 * count) continue;
      budget -= 4 * count;
      if (await fits(source, tableAt, count, blockSize)) return { tableAt, count, blockSize };
    }
  }
  return undefined;
}

/** Whether the first entry is free, or a sector of the file. */
function begins(block: Uint8Array, size: number): boolean {
  const first = viewOf(block).getUint32(0);
  return first === FREE_BLOCK || (first > 0 && first * SECTOR < size);
}

async function fits(source: Source, tableAt: number, count: number, blockSize: number): Promise<boolean> {
  const raw = new Uint8Array(4 * count);
  if ((await source.read(tableAt, raw)).length > 0) return false;
  const view = viewOf(raw);
  const starts: number[] = [];
  for (let i = 0; i < count; i++) {
    const sector = view.getUint32(4 * i);
    if (sector === FREE_BLOCK) continue;
    if (sector * SECTOR < tableAt + 4 * count || sector * SECTOR >= source.size) return false;
    starts.push(sector);
  }
  starts.sort((a, b) => a - b);
  return starts.length > 0 && stridesOf(blockSize).some((stride) => isRegular(starts, stride / SECTOR, source.size));
}

/** Bytes from one block to the next: some hosts let all data begin at multiples of 4 KiB. */
function stridesOf(blockSize: number): number[] {
  const plain = blockSize + bitmapBytes(blockSize);
  return [plain, Math.ceil(plain / 4096) * 4096];
}

/** Whether blocks that start at these sectors are so far apart, and fill the file to its footer, be that there or not. */
function isRegular(starts: readonly number[], stride: number, size: number): boolean {
  const isEven = starts.every((start) => (start - starts[0]) % stride === 0);
  const isApart = starts.every((start, i) => i === 0 || start > starts[i - 1]);
  const rest = size - (starts[starts.length - 1] + stride) * SECTOR;
  return isEven && isApart && rest >= -PADDING && rest <= PADDING;
}

/** Where blocks begin behind a table that ends at `end`, how many and how far apart, by the bitmaps before them. */
export async function findBlocks(
  source: Source,
  tableEnd: number,
  blockSize: number,
  end: number,
): Promise<{ from: number; count: number; stride: number } | undefined> {
  const first = Math.ceil(tableEnd / SECTOR) * SECTOR;
  // Tables are padded with ones, as bitmaps are full of them: of places that look alike, the one that fits the end is it.
  let best: { from: number; count: number; stride: number; rest: number } | undefined;
  for (let place = 0; place < MAX_PLACES; place++) {
    const from = first + place * SECTOR;
    for (const stride of stridesOf(blockSize)) {
      const count = Math.floor((end - from) / stride);
      const rest = end - from - count * stride;
      if (count < 1 || (best !== undefined && best.rest <= rest)) continue;
      let isHere = true;
      // What took the table may have taken the bitmap behind it: where there are others they tell enough.
      for (let i = count > 2 ? 1 : 0; i < Math.min(count, SAMPLES) && isHere; i++) {
        isHere = await isBitmap(source, from + i * stride, bitmapBytes(blockSize));
      }
      if (isHere) best = { from, count, stride, rest };
    }
  }
  return best;
}

/** The size of blocks whose bitmaps are that far apart up to `end`, without any table; undefined where none fits. */
export async function findBlockSize(source: Source, size: number, end: number): Promise<number | undefined> {
  for (const blockSize of BLOCK_SIZES) {
    const found = await findBlocks(source, assumedEnd(size, blockSize), blockSize, end);
    // One block has nothing to be apart from.
    if (found !== undefined && found.count > 1 && end - found.from - found.count * found.stride <= PADDING)
      return blockSize;
  }
  return undefined;
}

/** Where the table of a disk of `size` bytes ends, as hosts put it behind footer and header. */
export function assumedEnd(size: number, blockSize: number): number {
  return 3 * SECTOR + 4 * Math.ceil(size / blockSize);
}

/** Bitmaps of blocks that were written to by most hosts are ones from end to end. */
async function isBitmap(source: Source, at: number, head: number): Promise<boolean> {
  const raw = new Uint8Array(head);
  const gaps = await source.read(at, raw);
  return gaps.length === 0 && raw.every((byte) => byte === 0xff || byte === 0) && raw.includes(0xff);
}
