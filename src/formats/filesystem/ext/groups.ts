/** Group descriptors and bitmaps of an ext volume: where its inode tables stand, and which blocks are in use. */
import { crc16Update } from '../../../codec/crc16.ts';
import { crc32cUpdate } from '../../../codec/crc32c.ts';
import type { Source } from '../../../core/source.ts';
import { TableCache } from '../../../core/tables.ts';
import { descriptorBlocks, firstOf, type Geometry } from './geometry.ts';
import { BLOCK_UNINIT, groupDescriptor, INODE_UNINIT, INODES_ZEROED, wideDescriptor } from './structs.ts';

export interface Group {
  readonly number: number;
  /** Blocks. */
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  readonly flags: number;
  /** Inodes at the end of the table that were never used. */
  readonly unused: number;
  /** Bytes from the start of the volume. */
  readonly at: number;
  /** The check that failed, where one did. */
  readonly doubt?: 'ext.group.checksum' | 'ext.group.copy';
}

/** Where the sums of group descriptors start from. */
const CRC16_START = 0xffff;
const CHECKSUM_AT = 0x1e;

/** An inode or a block whose bitmap could not be read. */
export const UNREADABLE = 'unreadable';

type Bitmap = Uint8Array | typeof UNREADABLE;

export class Groups {
  readonly #source: Source;
  readonly #g: Geometry;
  readonly #blocks = new TableCache<readonly (Group | undefined)[]>();
  readonly #bitmaps = new TableCache<Bitmap>();
  /** That of the inode asked for last: neighbours follow each other. */
  #last: { readonly block: number; readonly bitmap: Bitmap } | undefined;

  constructor(source: Source, geometry: Geometry) {
    this.#source = source;
    this.#g = geometry;
  }

  /** A group's descriptor; undefined where no copy of it can be used. */
  get(group: number): Group | undefined | Promise<Group | undefined> {
    const block = Math.floor(group / this.#g.descriptorsPerBlock);
    const known = this.#blocks.get(block);
    const index = group % this.#g.descriptorsPerBlock;
    return known === undefined ? this.#load(block).then((groups) => groups[index]) : known[index];
  }

  /** As `get`, or 'unread' where it has to be loaded first. */
  peek(group: number): Group | undefined | 'unread' {
    const known = this.#blocks.get(Math.floor(group / this.#g.descriptorsPerBlock));
    return known === undefined ? 'unread' : known[group % this.#g.descriptorsPerBlock];
  }

  /** Whether clusters [from, end) of a group's bitmap are all in use; 'unread' where it has to be loaded first. */
  inUse(group: number, from: number, end: number): boolean | 'unread' | typeof UNREADABLE {
    const descriptor = this.peek(group);
    if (descriptor === 'unread') return 'unread';
    if (descriptor === undefined) return UNREADABLE;
    if ((descriptor.flags & BLOCK_UNINIT) !== 0 && this.#hasUninit()) return false;
    const bitmap = this.#bitmaps.get(descriptor.blockBitmap);
    if (bitmap === undefined) return 'unread';
    return bitmap === UNREADABLE ? UNREADABLE : allSet(bitmap, from, end);
  }

  /** Loads what `inUse` needs of a group. */
  async load(group: number): Promise<void> {
    const descriptor = await this.get(group);
    if (descriptor !== undefined) await this.bitmap(descriptor.blockBitmap);
  }

  /** Whether the bitmaps call the byte `at` of the volume free; undefined where they cannot be read. */
  async isFree(at: number): Promise<boolean | undefined> {
    const block = Math.floor(at / this.#g.blockSize);
    if (block < this.#g.super.firstBlock || block >= this.#g.blocks) return undefined;
    const bit = bitOf(this.#g, block);
    await this.load(groupOf(this.#g, block));
    const used = this.inUse(groupOf(this.#g, block), bit, bit + 1);
    return typeof used === 'boolean' ? !used : undefined;
  }

  /** Whether an inode is in use, as far as its group's bitmap can be read. */
  inodeInUse(group: Group, index: number): boolean | typeof UNREADABLE | Promise<boolean | typeof UNREADABLE> {
    if ((group.flags & INODE_UNINIT) !== 0 && this.#hasUninit()) return false;
    if (this.#last?.block === group.inodeBitmap) return stateOf(this.#last.bitmap, index);
    const known = this.#bitmaps.get(group.inodeBitmap);
    if (known === undefined) return this.bitmap(group.inodeBitmap).then((bitmap) => stateOf(bitmap, index));
    this.#last = { block: group.inodeBitmap, bitmap: known };
    return stateOf(known, index);
  }

  /** One block of bits. */
  async bitmap(block: number): Promise<Bitmap> {
    const known = this.#bitmaps.get(block);
    if (known !== undefined) return known;
    const bytes = new Uint8Array(this.#g.blockSize);
    const gaps = await this.#source.read(block * this.#g.blockSize, bytes);
    const bitmap = gaps.length > 0 ? UNREADABLE : bytes;
    this.#bitmaps.set(block, bitmap, bytes.length);
    return bitmap;
  }

  /** Only volumes with sums in their descriptors leave bitmaps unwritten. */
  #hasUninit(): boolean {
    return this.#g.seed !== undefined || this.#g.hasGroupSums;
  }

  async #load(n: number): Promise<readonly (Group | undefined)[]> {
    const out: (Group | undefined)[] = Array.from({ length: this.#g.descriptorsPerBlock }, () => undefined);
    const first = n * this.#g.descriptorsPerBlock;
    const count = Math.min(out.length, this.#g.groups - first);
    const bytes = new Uint8Array(this.#g.blockSize);
    let isCopy = false;
    for (const block of descriptorBlocks(this.#g, n)) {
      const at = block * this.#g.blockSize;
      const gaps = at + bytes.length <= this.#source.size ? await this.#source.read(at, bytes) : [{}];
      let whole = true;
      for (let i = 0; i < count && gaps.length === 0; i++) {
        const found = this.#decode(bytes, i * this.#g.descriptorSize, first + i, at, isCopy);
        // A descriptor whose sum fails is used only where no copy has a better one.
        if (out[i] === undefined || (out[i]?.doubt === 'ext.group.checksum' && found?.doubt !== 'ext.group.checksum'))
          out[i] = found ?? out[i];
        whole &&= out[i] !== undefined && out[i]!.doubt !== 'ext.group.checksum';
      }
      if (whole && gaps.length === 0) break;
      isCopy = true;
    }
    this.#blocks.set(n, out, 128 * count);
    return out;
  }

  #decode(block: Uint8Array, offset: number, number: number, base: number, isCopy: boolean): Group | undefined {
    const g = this.#g;
    const low = groupDescriptor.decode(block, offset);
    const high = g.descriptorSize >= 64 ? wideDescriptor.decode(block, offset) : undefined;
    const wide = (lowPart: number, highPart = 0): number => lowPart + highPart * 2 ** 32;
    const blockBitmap = wide(low.blockBitmap, high?.blockBitmapHigh);
    const inodeBitmap = wide(low.inodeBitmap, high?.inodeBitmapHigh);
    const inodeTable = wide(low.inodeTable, high?.inodeTableHigh);
    const tableBlocks = Math.ceil((g.super.inodesPerGroup * g.inodeSize) / g.blockSize);
    const fits = [blockBitmap, inodeBitmap, inodeTable].every((b) => b > g.super.firstBlock && b < g.blocks);
    if (!fits || inodeTable + tableBlocks > g.blocks) return undefined;
    const summed = this.#isSummed(block.subarray(offset, offset + g.descriptorSize), number, low.checksum);
    const doubt =
      summed === false ? 'ext.group.checksum' : isCopy && summed === undefined ? 'ext.group.copy' : undefined;
    // Copies are brought up to date only now and then: flags and counts of theirs say nothing.
    const isStale = isCopy || doubt !== undefined;
    const hasLazy = summed !== undefined && !isStale;
    return {
      number,
      blockBitmap,
      inodeBitmap,
      inodeTable,
      flags: hasLazy ? low.flags : INODES_ZEROED,
      unused: hasLazy ? low.unused + (high?.unusedHigh ?? 0) * 2 ** 16 : 0,
      at: base + offset,
      ...(doubt !== undefined && { doubt }),
    };
  }

  /** Whether a descriptor's sum agrees; undefined where the volume has none. */
  #isSummed(bytes: Uint8Array, group: number, stored: number): boolean | undefined {
    const { seed, hasGroupSums, super: sb } = this.#g;
    if (seed === undefined && !hasGroupSums) return undefined;
    const number = new Uint8Array(4);
    new DataView(number.buffer).setUint32(0, group, true);
    if (seed !== undefined) {
      const copy = bytes.slice();
      copy[CHECKSUM_AT] = 0;
      copy[CHECKSUM_AT + 1] = 0;
      return (crc32cUpdate(crc32cUpdate(seed, number), copy) & 0xffff) === stored;
    }
    let crc = crc16Update(crc16Update(CRC16_START, sb.uuid), number);
    crc = crc16Update(crc, bytes.subarray(0, CHECKSUM_AT));
    return crc16Update(crc, bytes.subarray(CHECKSUM_AT + 2)) === stored;
  }
}

/** The group that a block belongs to. */
export function groupOf(g: Geometry, block: number): number {
  return Math.floor((block - g.super.firstBlock) / g.blocksPerGroup);
}

/** The bit that stands for a block in its group's bitmap. */
export function bitOf(g: Geometry, block: number): number {
  return Math.floor((block - firstOf(g, groupOf(g, block))) / g.clusterRatio);
}

function stateOf(bitmap: Bitmap, index: number): boolean | typeof UNREADABLE {
  return bitmap === UNREADABLE ? UNREADABLE : allSet(bitmap, index, index + 1);
}

function allSet(bitmap: Uint8Array, from: number, end: number): boolean {
  if (end > bitmap.length * 8) return false;
  let bit = from;
  while (bit < end) {
    if ((bit & 7) === 0 && bit + 8 <= end) {
      if (bitmap[bit >>> 3] !== 0xff) return false;
      bit += 8;
    } else {
      if ((bitmap[bit >>> 3] & (1 << (bit & 7))) === 0) return false;
      bit++;
    }
  }
  return true;
}
