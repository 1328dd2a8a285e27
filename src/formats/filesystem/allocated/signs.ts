/**
 * Signs of other file systems where a volume starts, of which what they wrote is not worked out. Source: guestfs.md.
 */
import type { Source } from '../../../core/source.ts';
import { latin1, viewOf } from '../../../core/struct.ts';
import { SUPER_MAGIC, superBlock } from '../xfs/structs.ts';

const SECTOR = 512;
const BOOT_MARK = 0xaa55;
const BTRFS_AT = 0x10040;
const BTRFS = '_BHRfS_M';
/** Copies of a superblock that are looked at. */
const MAX_COPIES = 64;

/** Whether an XFS starts there of which no later superblock was written over since: copies stand all over the volume. */
export async function isWholeXfs(source: Source): Promise<boolean> {
  const head = await bytesAt(source, 0, superBlock.size);
  if (head === undefined || viewOf(head).getUint32(0) !== SUPER_MAGIC) return false;
  const { blockSize, agBlocks, agCount } = superBlock.decode(head);
  if (superBlock.violations(superBlock.decode(head)).length > 0) return false;
  for (let i = 1; i < Math.min(agCount, MAX_COPIES); i++) {
    const copy = await bytesAt(source, i * agBlocks * blockSize, SECTOR);
    if (copy !== undefined && viewOf(copy).getUint32(0) !== SUPER_MAGIC) return false;
  }
  return true;
}

/** Whether a boot sector, XFS or btrfs starts there. */
export async function hasStart(source: Source): Promise<boolean> {
  const head = await bytesAt(source, 0, SECTOR);
  const btrfs = await bytesAt(source, BTRFS_AT, 8);
  if (head === undefined) return false;
  const isBoot = viewOf(head).getUint16(510, true) === BOOT_MARK;
  const isBtrfs = btrfs !== undefined && latin1(btrfs, 0, btrfs.length) === BTRFS;
  return isBoot || isBtrfs || viewOf(head).getUint32(0) === SUPER_MAGIC;
}

async function bytesAt(source: Source, at: number, length: number): Promise<Uint8Array | undefined> {
  if (at + length > source.size) return undefined;
  const bytes = new Uint8Array(length);
  return (await source.read(at, bytes)).length > 0 ? undefined : bytes;
}
