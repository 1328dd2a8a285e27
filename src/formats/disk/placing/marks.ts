/**
 * Bytes of a guest that say where they lie: partition tables, superblocks and their copies, numbered records, blocks that
 * carry their own address. Source: guestfs.md; qcow2.md section 11.3.
 */
import { crc32 } from '../../../codec/crc32.ts';
import type { Source } from '../../../core/source.ts';
import { latin1, readU64, viewOf } from '../../../core/struct.ts';
import { ntfsRecords } from '../../filesystem/allocated/ntfs.ts';
import { primary as extPrimary } from '../../filesystem/ext/geometry.ts';
import { agByteOf, inodeByteOf, primary as xfsPrimary } from '../../filesystem/xfs/geometry.ts';

const SECTOR = 512;
const EXT_AT = 1024;
/** Bytes of a unit that are looked at. */
export const PEEK = 4096;
/** Places beyond that are none. */
const MAX_PLACE = 2 ** 52;

/** What some bytes say of their place. */
export type Mark =
  /** From the start of the disk. */
  | { readonly kind: 'disk'; readonly at: number }
  /** They lie so many bytes behind the start of a file system. */
  | { readonly kind: 'head'; readonly at: number }
  /** From the start of the file system of that kind, in bytes. */
  | { readonly kind: 'ext' | 'xfs'; readonly at: number }
  | { readonly kind: 'xfs-ag'; readonly ag: number; readonly at: number }
  | { readonly kind: 'xfs-inode' | 'ntfs-record'; readonly number: number };

/** Where a mark lies in a file system, in bytes from its start; undefined where it is not of this one. */
export type Own = (source: Source) => Promise<((mark: Mark) => number | undefined) | undefined>;

/** How the file systems say it. */
export const ownOf: Readonly<Record<'ext' | 'xfs' | 'ntfs', Own>> = {
  ext: async (source) =>
    (await extPrimary(source)) === undefined ? undefined : (mark) => (mark.kind === 'ext' ? mark.at : undefined),
  xfs: async (source) => {
    const g = await xfsPrimary(source);
    if (g === undefined) return undefined;
    return (mark) => {
      if (mark.kind === 'xfs') return mark.at;
      if (mark.kind === 'xfs-inode') return inodeByteOf(g, mark.number);
      const base = mark.kind === 'xfs-ag' && mark.ag < g.super.agCount ? agByteOf(g, mark.ag, 0) : undefined;
      return base === undefined || mark.kind !== 'xfs-ag' ? undefined : base + mark.at;
    };
  },
  ntfs: async (source) => {
    const placeOf = await ntfsRecords(source);
    return placeOf && ((mark) => (mark.kind === 'ntfs-record' ? placeOf(mark.number) : undefined));
  },
};

/** The marks in `head`, the first bytes of a unit, with where in it each lies. */
export function* marksIn(head: Uint8Array): Generator<{ readonly at: number; readonly mark: Mark }> {
  const view = viewOf(head);
  for (let at = 0; at + SECTOR <= head.length; at += SECTOR) {
    for (const mark of marksAt(head, view, at)) yield { at, mark };
  }
}

function* marksAt(head: Uint8Array, view: DataView, at: number): Generator<Mark> {
  const first = view.getUint32(at);
  if (first === 0x45464920) {
    const table = gptAt(head, at);
    if (table !== undefined) yield { kind: 'disk', at: table.myLba * SECTOR };
  }
  if (view.getUint16(at + 510) === 0x55aa) {
    if (isBoot(view, at)) yield { kind: 'disk', at: 0 };
    const name = latin1(head, at + 3, 8);
    const isFat = latin1(head, at + 54, 3) === 'FAT' || latin1(head, at + 82, 3) === 'FAT';
    if (name === 'NTFS    ' || name === 'EXFAT   ' || isFat) yield { kind: 'head', at: 0 };
  }
  const ext = extAt(view, at);
  if (ext !== undefined) {
    const own = ext.group * ext.groupBytes + (ext.group === 0 || ext.blockSize === 1024 ? EXT_AT : 0);
    yield { kind: 'ext', at: own };
    yield { kind: 'head', at: own };
  }
  const xfs = xfsAt(view, at, first);
  if (xfs !== undefined) yield xfs;
  if (xfs?.kind === 'xfs-ag' && xfs.ag === 0) yield { kind: 'head', at: xfs.at };
  // A record of the $MFT with its own number, in versions since Windows XP.
  if (first === 0x46494c45 && view.getUint16(at + 4, true) === 0x30)
    yield { kind: 'ntfs-record', number: view.getUint32(at + 0x2c, true) };
}

/** Where checked blocks of XFS keep their own address, in sectors, by their magic number. */
const XFS_PLACES: ReadonlyMap<number, number> = new Map([
  ...[0x58444233, 0x58444433].map((magic) => [magic, 8] as const), // XDB3, XDD3
  ...[0x41423342, 0x41423343, 0x49414233, 0x46494233, 0x524d4233, 0x52334643].map((magic) => [magic, 16] as const),
  [0x424d4133, 24], // BMA3
]);
const XFS_AG_SECTORS: readonly number[] = [0x58414746, 0x58414749]; // XAGF, XAGI

function xfsAt(view: DataView, at: number, first: number): Mark | undefined {
  const index = XFS_AG_SECTORS.indexOf(first);
  if (index >= 0) return { kind: 'xfs-ag', ag: view.getUint32(at + 8), at: (index + 1) * SECTOR };
  const place = XFS_PLACES.get(first);
  if (place !== undefined) {
    const sector = readU64(view, at + place, false);
    return sector * SECTOR < MAX_PLACE ? { kind: 'xfs', at: sector * SECTOR } : undefined;
  }
  // IN, with the third version of it.
  if (first >>> 16 !== 0x494e || view.getUint8(at + 4) !== 3) return undefined;
  const number = readU64(view, at + 152, false);
  return number < MAX_PLACE ? { kind: 'xfs-inode', number } : undefined;
}

/** A size of the disk that its first bytes tell, and what says so. */
export function sizeFrom(head: Uint8Array): { size: number; what: string; exact: boolean } | undefined {
  if (head.length < PEEK) return undefined;
  const view = viewOf(head);
  const table = gptAt(head, SECTOR);
  if (table !== undefined) return { size: (table.alternateLba + 1) * SECTOR, what: 'its GPT', exact: true };
  const ext = extAt(view, EXT_AT);
  if (ext !== undefined && ext.group === 0) return { size: ext.bytes, what: 'its ext superblock', exact: true };
  if (latin1(head, 3, 8) === 'NTFS    ')
    return { size: (readU64(view, 0x28) + 1) * SECTOR, what: 'its NTFS boot sector', exact: true };
  if (!isBoot(view, 0)) return undefined;
  let end = 0;
  for (let i = 0; i < 4; i++) {
    const at = 446 + i * 16;
    if (head[at + 4] !== 0)
      end = Math.max(end, (view.getUint32(at + 8, true) + view.getUint32(at + 12, true)) * SECTOR);
  }
  return end === 0 ? undefined : { size: end, what: 'its MBR', exact: false };
}

/** Bytes of a file system by a copy of its superblock at the start of one of its groups. */
export function copySize(head: Uint8Array): number | undefined {
  const ext = extAt(viewOf(head), 0);
  return ext !== undefined && ext.group > 0 ? ext.bytes : undefined;
}

/** A boot sector: of a partition table whose entries make sense. */
function isBoot(view: DataView, from: number): boolean {
  if (view.getUint16(from + 510, true) !== 0xaa55) return false;
  let used = 0;
  for (let i = 0; i < 4; i++) {
    const at = from + 446 + i * 16;
    const status = view.getUint8(at);
    if (status !== 0 && status !== 0x80) return false;
    if (view.getUint8(at + 4) === 0) continue;
    if (view.getUint32(at + 8, true) === 0 || view.getUint32(at + 12, true) === 0) return false;
    used++;
  }
  return used > 0;
}

function gptAt(head: Uint8Array, at: number): { myLba: number; alternateLba: number } | undefined {
  if (latin1(head, at, 8) !== 'EFI PART') return undefined;
  const view = viewOf(head);
  const length = view.getUint32(at + 12, true);
  if (length < 92 || length > SECTOR) return undefined;
  const copy = head.slice(at, at + length);
  copy.fill(0, 16, 20);
  if (crc32(copy) !== view.getUint32(at + 16, true)) return undefined;
  const [myLba, alternateLba] = [readU64(view, at + 24), readU64(view, at + 32)];
  return myLba < 2 ** 43 && alternateLba < 2 ** 43 ? { myLba, alternateLba } : undefined;
}

function extAt(
  view: DataView,
  at: number,
): { group: number; groupBytes: number; blockSize: number; bytes: number } | undefined {
  const shift = view.getUint32(at + 0x18, true);
  if (view.getUint16(at + 0x38, true) !== 0xef53 || shift > 6) return undefined;
  const blockSize = 1024 << shift;
  const perGroup = view.getUint32(at + 0x20, true);
  const blocks = view.getUint32(at + 4, true);
  if (perGroup === 0 || perGroup > blockSize * 8 || blocks === 0) return undefined;
  const group = view.getUint16(at + 0x5a, true);
  return { group, groupBytes: perGroup * blockSize, blockSize, bytes: blocks * blockSize };
}
