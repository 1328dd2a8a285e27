/** How an ext volume is laid out: what follows from its superblock, whichever copy of it survives. */
import { crc32cUpdate } from '../../../codec/crc32c.ts';
import type { Source } from '../../../core/source.ts';
import {
  COMPAT_SPARSE_SUPER2,
  INCOMPAT_64BIT,
  INCOMPAT_CSUM_SEED,
  INCOMPAT_JOURNAL_DEVICE,
  INCOMPAT_META_BG,
  MAX_GROUPS,
  RO_BIGALLOC,
  RO_GDT_CSUM,
  RO_METADATA_CSUM,
  RO_SPARSE_SUPER,
  SUPER_AT,
  SUPER_BYTES,
  type SuperBlock,
  superBlock,
} from './structs.ts';

export interface Geometry {
  readonly super: SuperBlock;
  /** Bytes from the start of the volume where this superblock was read. */
  readonly superAt: number;
  /** Bytes. */
  readonly blockSize: number;
  readonly blocks: number;
  readonly blocksPerGroup: number;
  /** Blocks that one bit of a bitmap stands for. */
  readonly clusterRatio: number;
  readonly groups: number;
  readonly inodes: number;
  readonly inodeSize: number;
  readonly descriptorSize: number;
  readonly descriptorsPerBlock: number;
  /** What checksums start from; undefined where the volume has none. */
  readonly seed: number | undefined;
  /** Group descriptors have the older checksum. */
  readonly hasGroupSums: boolean;
  /** The superblock has a checksum, and it does not agree. */
  readonly isDoubtful: boolean;
}

const NO_STATE = 0xffffffff;
/** Groups in which copies of the superblock stand on every volume that has them, the nearest first. */
const COPY_GROUPS: readonly number[] = [1, 3, 5, 7, 9, 25, 27, 49, 81, 125];
const MIN_SHIFT = 10;
const MAX_SHIFT = 16;

/** The superblock where it should be; undefined where there is none that could be used. */
export async function primary(source: Source): Promise<Geometry | undefined> {
  return readAt(source, SUPER_AT);
}

/** The layout by the nearest copy of the superblock, for volumes whose start is lost. */
export async function fromCopy(source: Source): Promise<Geometry | undefined> {
  for (const group of COPY_GROUPS) {
    for (let shift = MIN_SHIFT; shift <= MAX_SHIFT; shift++) {
      const first = shift === MIN_SHIFT ? 1 : 0;
      const at = (group * 8 * 2 ** shift + first) * 2 ** shift;
      const found = at + SUPER_BYTES <= source.size ? await readAt(source, at) : undefined;
      if (found === undefined || found.super.groupOfCopy !== group || found.blockSize !== 2 ** shift) continue;
      if (!found.isDoubtful) return found;
    }
  }
  return undefined;
}

async function readAt(source: Source, at: number): Promise<Geometry | undefined> {
  if (source.size < at + SUPER_BYTES) return undefined;
  const block = new Uint8Array(SUPER_BYTES);
  if ((await source.read(at, block)).length > 0) return undefined;
  return geometryOf(block, at);
}

/** Decodes a superblock; undefined where its fields could not be those of one. */
function geometryOf(block: Uint8Array, at: number): Geometry | undefined {
  const sb = superBlock.decode(block);
  if (superBlock.violations(sb).length > 0 || (sb.incompat & INCOMPAT_JOURNAL_DEVICE) !== 0) return undefined;
  const blockSize = 1024 << sb.blockShift;
  const isWide = (sb.incompat & INCOMPAT_64BIT) !== 0;
  const blocks = sb.blocks + (isWide ? sb.blocksHigh * 2 ** 32 : 0);
  const isClustered = (sb.roCompat & RO_BIGALLOC) !== 0;
  if (isClustered && !(sb.clusterShift >= sb.blockShift && sb.clusterShift <= 20)) return undefined;
  const clusterRatio = isClustered ? 2 ** (sb.clusterShift - sb.blockShift) : 1;
  const groups = Math.ceil((blocks - sb.firstBlock) / sb.blocksPerGroup);
  const inodeSize = sb.revision === 0 || sb.inodeSize === 0 ? 128 : sb.inodeSize;
  const isPower = (inodeSize & (inodeSize - 1)) === 0;
  if (!(groups >= 1 && groups <= MAX_GROUPS) || inodeSize < 128 || inodeSize > blockSize || !isPower) return undefined;
  const descriptorSize = isWide ? sb.descriptorSize : 32;
  if (isWide && (descriptorSize < 64 || descriptorSize > 1024 || (descriptorSize & (descriptorSize - 1)) !== 0))
    return undefined;
  // A bitmap is one block.
  if (sb.inodesPerGroup > 8 * blockSize || sb.blocksPerGroup > 8 * blockSize * clusterRatio) return undefined;
  const hasSums = (sb.roCompat & RO_METADATA_CSUM) !== 0;
  const hasSeed = (sb.incompat & INCOMPAT_CSUM_SEED) !== 0;
  return {
    super: { ...sb, uuid: sb.uuid.slice(), copies: sb.copies.slice(), journalBackup: sb.journalBackup.slice() },
    superAt: at,
    blockSize,
    blocks,
    blocksPerGroup: sb.blocksPerGroup,
    clusterRatio,
    groups,
    inodes: Math.min(sb.inodes, groups * sb.inodesPerGroup),
    inodeSize,
    descriptorSize,
    descriptorsPerBlock: Math.floor(blockSize / descriptorSize),
    seed: hasSums ? (hasSeed ? sb.checksumSeed : crc32cUpdate(NO_STATE, sb.uuid)) : undefined,
    hasGroupSums: !hasSums && (sb.roCompat & RO_GDT_CSUM) !== 0,
    isDoubtful: hasSums && crc32cUpdate(NO_STATE, block.subarray(0, 0x3fc)) !== sb.checksum,
  };
}

/** The first block of a group. */
export function firstOf(g: Geometry, group: number): number {
  return g.super.firstBlock + group * g.blocksPerGroup;
}

/** Whether a group begins with a copy of the superblock. */
export function hasCopy({ super: sb }: Geometry, group: number): boolean {
  if (group === 0) return true;
  if ((sb.compat & COMPAT_SPARSE_SUPER2) !== 0) {
    const view = new DataView(sb.copies.buffer, sb.copies.byteOffset);
    return group === view.getUint32(0, true) || group === view.getUint32(4, true);
  }
  if ((sb.roCompat & RO_SPARSE_SUPER) === 0 || group === 1) return true;
  return [3, 5, 7].some((base) => {
    let power = base;
    while (power < group) power *= base;
    return power === group;
  });
}

/** The blocks in which the n-th block of group descriptors stands, the one in use first, then its copies. */
export function descriptorBlocks(g: Geometry, n: number): number[] {
  const sb = g.super;
  // With blocks of 1 KiB the superblock is in block 1, also where the first group begins with block 0.
  const shift = g.blockSize === 1024 && sb.firstBlock === 0 ? 1 : 0;
  const isMeta = (sb.incompat & INCOMPAT_META_BG) !== 0 && n >= sb.firstMetaGroup;
  const out: number[] = [];
  if (isMeta) {
    const first = n * g.descriptorsPerBlock;
    for (const group of new Set([first, first + 1, first + g.descriptorsPerBlock - 1])) {
      if (group >= g.groups) continue;
      out.push(firstOf(g, group) + (hasCopy(g, group) ? 1 : 0) + (group === 0 ? shift : 0));
    }
    return out;
  }
  out.push(sb.firstBlock + shift + 1 + n);
  for (let group = 1; group < g.groups && out.length < COPY_GROUPS.length; group++) {
    if (
      group > 1 &&
      group % 2 === 0 &&
      (sb.roCompat & RO_SPARSE_SUPER) !== 0 &&
      (sb.compat & COMPAT_SPARSE_SUPER2) === 0
    )
      continue;
    if (hasCopy(g, group)) out.push(firstOf(g, group) + 1 + n);
    if (group > 1000) break;
  }
  return out;
}
