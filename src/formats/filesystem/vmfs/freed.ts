/**
 * Whether freed blocks still hold what they held. Storage that discards what is freed (UNMAP, TRIM) gives zeros back,
 * and then no search for deleted files can find anything. A few blocks tell. Source: vmfs.md section 8.5.
 */
import type { Look } from '../../../core/node.ts';
import { FILE_BLOCK, fileBlockAt, fileBlockFits, TBZ_NO, tbzOf, typeOf } from './address.ts';
import { bitmaps } from './bitmaps.ts';
import { levelsOf } from './blocks.ts';
import type { Descriptor } from './descriptor.ts';
import { TYPE_RDM } from './structs.ts';
import type { Volume } from './volume.ts';

/** Blocks that are read, of each kind: enough to tell none from some, within a second or two. */
const SAMPLES = 128;
const NAMED_SAMPLES = 64;
/** Of one deleted file: its neighbours would say the same. */
const PER_FILE = 4;
/** Bytes of a block that are read. */
const MAX_READ = 0x100000;
/** Places that are tried for a free block near where one is wanted. */
const TRIES = 32;
/** Descriptors of deleted files that are asked for blocks. */
const MAX_FILES = 4096;

interface Count {
  read: number;
  withData: number;
}

/** Reads some free blocks, and some that deleted files still name, and says what that means. */
export async function freedBlocks(volume: Volume): Promise<Look> {
  const named = await sampled(volume, await namedBlocks(volume));
  const free = await sampled(volume, await freeBlocks(volume));
  const details = {
    ...(named.read > 0 && { deletedBlocksSampled: named.read, deletedBlocksWithData: named.withData }),
    ...(free.read > 0 && { freeBlocksSampled: free.read, freeBlocksWithData: free.withData }),
  };
  const notices = [verdict(named, free)].filter((one) => one !== undefined);
  return { notices, details };
}

function verdict(named: Count, free: Count): string | undefined {
  if (named.read > 0) {
    const what = `${share(named)} of ${named.read} sampled blocks that deleted files had still hold data`;
    if (named.withData > 0) return `${what}: deleted files can be brought back as far as that (--deleted).`;
    const lost =
      'what was deleted here is most likely discarded by the storage (UNMAP), and no software finds it in this copy';
    return `None of ${named.read} sampled blocks that deleted files had holds data: ${lost}.`;
  }
  if (free.read === 0) return undefined;
  if (free.withData === 0) {
    const means =
      'nothing was ever in them, or the storage discards what is freed (UNMAP), and then deleted files are gone';
    return `None of ${free.read} sampled free blocks holds data: ${means}.`;
  }
  const means = 'the storage keeps what is freed, so deleted files may be found';
  return `${share(free)} of ${free.read} sampled free blocks hold data: ${means}.`;
}

function share({ read, withData }: Count): string {
  const percent = (withData / read) * 100;
  return percent > 0 && percent < 1 ? 'Less than 1 %' : `${Math.floor(percent)} %`;
}

/** Free blocks, spread evenly over the volume. */
async function freeBlocks(volume: Volume): Promise<Set<number>> {
  const { blockSize } = volume.geometry;
  const total = Math.floor(volume.volume.size / blockSize);
  const out = new Set<number>();
  for (let i = 0; i < SAMPLES; i++) {
    const wanted = Math.floor(((i + 0.5) * total) / SAMPLES);
    for (let block = wanted; block < Math.min(total, wanted + TRIES); block++) {
      if (out.has(block * blockSize) || (await volume.allocation.isFree(block * blockSize)) !== true) continue;
      out.add(block * blockSize);
      break;
    }
  }
  return out;
}

/** Free blocks that descriptors which are free themselves still point to. */
async function namedBlocks(volume: Volume): Promise<Set<number>> {
  const out = new Set<number>();
  const { fdc } = volume.files;
  if (fdc === undefined) return out;
  let files = 0;
  for await (const [cluster, bitmap] of bitmaps(volume, fdc)) {
    if (bitmap === undefined) continue;
    for (const fd of await volume.descriptorsOf(cluster, (r) => r < bitmap.total && !bitmap.allocated(r))) {
      if (out.size >= NAMED_SAMPLES || files++ >= MAX_FILES) return out;
      await blocksOf(volume, fd, out);
    }
  }
  return out;
}

async function blocksOf(volume: Volume, fd: Descriptor, out: Set<number>): Promise<void> {
  const levels = levelsOf(fd.zla);
  if (levels === undefined || fd.type === TYPE_RDM) return;
  const g = volume.geometry;
  let words = fd.pointers;
  // The first pointer block of each level is enough.
  for (let level = levels; level > 0; level--) {
    const at = words.findIndex((word, i) => word !== 0 && i % g.pointerWords === 0);
    const table = at < 0 ? undefined : await volume.tables.load(words[at], g.pointerWords === 2 ? words[at + 1] : 0);
    if (table === undefined) return;
    words = table.words;
  }
  let taken = 0;
  for (let i = 0; i < words.length && taken < PER_FILE; i += g.pointerWords) {
    const low = words[i];
    const high = g.pointerWords === 2 ? words[i + 1] : 0;
    // What is to be zeroed never held the file's bytes.
    if (typeOf(low) !== FILE_BLOCK || tbzOf(g, low) !== TBZ_NO || !fileBlockFits(g, low, high)) continue;
    const start = fileBlockAt(g, low, high);
    if (start <= 0 || start + g.blockSize > volume.volume.size || out.has(start)) continue;
    if ((await volume.allocation.isFree(start)) !== true) continue;
    out.add(start);
    taken++;
  }
}

async function sampled(volume: Volume, starts: ReadonlySet<number>): Promise<Count> {
  const out: Count = { read: 0, withData: 0 };
  const block = new Uint8Array(Math.min(MAX_READ, volume.geometry.blockSize));
  const words = new Uint32Array(block.buffer);
  for (const start of [...starts].sort((a, b) => a - b)) {
    if ((await volume.volume.read(start, block)).length > 0) continue;
    out.read++;
    if (words.some((word) => word !== 0)) out.withData++;
  }
  return out;
}
