/** The layout of an XFS volume: its superblock, or a copy of it, and what its addresses mean. */
import { crc32c } from '../../../codec/crc32c.ts';
import type { Source } from '../../../core/source.ts';
import { type Values, viewOf } from '../../../core/struct.ts';
import {
  FEATURES2_FTYPE,
  INCOMPAT_FTYPE,
  INCOMPAT_KNOWN,
  INCOMPAT_META_UUID,
  INCOMPAT_REPAIR,
  SUPER_CRC_AT,
  SUPER_MAGIC,
  superBlock,
  VERSION_MASK,
} from './structs.ts';

type SuperBlock = Values<typeof superBlock.fields>;

export interface Geometry {
  readonly super: SuperBlock;
  /** Bytes of the superblock that was used. */
  readonly superAt: number;
  /** Its checksum fails, or it is a copy. */
  readonly isDoubtful: boolean;
  /** Why nothing of it is stated though its superblock is sound: it is in the middle of a repair, or newer. */
  readonly doubt: 'xfs.repair' | 'xfs.feature' | undefined;
  /** Structures carry checksums and say where they belong. */
  readonly isChecked: boolean;
  readonly blockSize: number;
  readonly inodeSize: number;
  readonly hasTypes: boolean;
  /** What checked structures carry. */
  readonly uuid: string;
}

const SECTOR = 512;
/** Bytes from the start in which a copy is looked for. */
const MAX_SEARCHED = 256 * 1024 * 1024;
/** Bytes around the usual places: every probe of anything reads the first, so that is short. */
const NEAR = 16 * 1024;
const WIDE = 128 * 1024;
const UNIT = 4096;
const WINDOW = 1024 * 1024;

/** Reads the superblock at the start; undefined where there is none that makes sense. */
export async function primary(source: Source): Promise<Geometry | undefined> {
  const found = await at(source, 0);
  return found !== undefined && found.super.agCount * found.super.agBlocks * found.blockSize > 0 ? found : undefined;
}

/** A copy of the superblock where volumes of this size usually have one: their AGs are a quarter each. One short read. */
export function nearCopy(source: Source): Promise<Geometry | undefined> {
  return copyNear(source, 4, NEAR);
}

/** A copy of the superblock that stands where it says its AG is, at usual places or near the start of the volume. */
export async function fromCopy(source: Source): Promise<Geometry | undefined> {
  for (const part of [4, 2, 8, 16]) {
    const found = await copyNear(source, part, WIDE);
    if (found !== undefined) return found;
  }
  return copyIn(source, UNIT, Math.min(source.size, MAX_SEARCHED));
}

function copyNear(source: Source, part: number, around: number): Promise<Geometry | undefined> {
  const middle = Math.floor(source.size / part / UNIT) * UNIT;
  return copyIn(source, Math.max(0, middle - around), middle + around);
}

async function copyIn(source: Source, first: number, end: number): Promise<Geometry | undefined> {
  const block = new Uint8Array(WINDOW);
  for (let from = first; from < Math.min(end, source.size); from += WINDOW) {
    const part = block.subarray(0, Math.min(WINDOW, end - from, source.size - from));
    await source.read(from, part);
    const view = viewOf(part);
    for (let i = 0; i + superBlock.size <= part.length; i += UNIT) {
      if (view.getUint32(i, false) !== SUPER_MAGIC) continue;
      const found = await at(source, from + i);
      const ag = found === undefined ? 0 : found.super.agBlocks * found.blockSize;
      if (found !== undefined && from + i > 0 && (from + i) % ag === 0 && (from + i) / ag < found.super.agCount)
        return { ...found, isDoubtful: true };
    }
  }
  return undefined;
}

async function at(source: Source, place: number): Promise<Geometry | undefined> {
  if (place + SECTOR > source.size) return undefined;
  const head = new Uint8Array(SECTOR);
  const gaps = await source.read(place, head);
  const found = superBlock.decode(head);
  if (gaps.length > 0 || superBlock.violations(found).length > 0) return undefined;
  const version = found.version & VERSION_MASK;
  const fits =
    found.blockSize === 2 ** found.blockLog &&
    found.inodeSize === 2 ** found.inodeLog &&
    found.inodesPerBlock === 2 ** found.inodesPerBlockLog &&
    found.agBlocks <= 2 ** found.agBlockLog &&
    found.blocks <= found.agBlocks * found.agCount;
  if (!fits || version < 4 || version > 5) return undefined;
  const isChecked = version === 5;
  const whole = new Uint8Array(found.sectorSize);
  await source.read(place, whole.subarray(0, Math.min(whole.length, source.size - place)));
  const sum = viewOf(whole).getUint32(SUPER_CRC_AT, true);
  const agrees = !isChecked || crc32c(whole, SUPER_CRC_AT) === sum;
  const ftype = isChecked ? (found.incompat & INCOMPAT_FTYPE) !== 0 : (found.features2 & FEATURES2_FTYPE) !== 0;
  const hasMeta = isChecked && (found.incompat & INCOMPAT_META_UUID) !== 0;
  return {
    super: found,
    superAt: place,
    isDoubtful: !agrees,
    doubt: isChecked ? doubtOf(found) : undefined,
    isChecked,
    blockSize: found.blockSize,
    inodeSize: found.inodeSize,
    hasTypes: ftype,
    uuid: Buffer.from(hasMeta ? found.metaUuid : found.uuid).toString('hex'),
  };
}

function doubtOf({ incompat }: SuperBlock): Geometry['doubt'] {
  if ((incompat & ~INCOMPAT_KNOWN) !== 0) return 'xfs.feature';
  return (incompat & INCOMPAT_REPAIR) !== 0 ? 'xfs.repair' : undefined;
}

/** Bytes of a block by its address in the volume; undefined where there is no such block. */
export function byteOf(g: Geometry, block: number): number | undefined {
  const ag = Math.floor(block / 2 ** g.super.agBlockLog);
  return agByteOf(g, ag, block - ag * 2 ** g.super.agBlockLog);
}

/** Bytes of a block of an AG; undefined where there is no such block. */
export function agByteOf(g: Geometry, ag: number, block: number): number | undefined {
  const linear = ag * g.super.agBlocks + block;
  const isInside = ag < g.super.agCount && block < g.super.agBlocks && linear < g.super.blocks;
  return isInside && block >= 0 ? linear * g.blockSize : undefined;
}

/** Where an inode lies; undefined where there can be none. */
export function inodeByteOf(g: Geometry, number: number): number | undefined {
  if (!Number.isSafeInteger(number) || number <= 0) return undefined;
  const perBlock = g.super.inodesPerBlock;
  const block = Math.floor(number / perBlock);
  const start = byteOf(g, block);
  return start === undefined ? undefined : start + (number - block * perBlock) * g.inodeSize;
}

/** The number of the inode of an AG. */
export function inodeNumber(g: Geometry, ag: number, inAg: number): number {
  return ag * 2 ** (g.super.agBlockLog + g.super.inodesPerBlockLog) + inAg;
}
