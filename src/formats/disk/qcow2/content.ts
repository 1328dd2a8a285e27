/**
 * What a guest's own structures say of where they lie on the disk: partition tables, superblocks and their copies.
 * They tell which stretch of the disk an L2 table maps, and how large the disk is. Source: qcow2.md section 11.3.
 */
import { crc32 } from '../../../codec/crc32.ts';
import { latin1, readU64, viewOf } from '../../../core/struct.ts';

const SECTOR = 512;
const EXT_AT = 1024;
/** Starts of file systems that are tried for copies of superblocks: the whole disk, and usual first partitions. */
const STARTS: readonly number[] = [0, 2048 * SECTOR, 63 * SECTOR];

/** Bytes of each cluster that are looked at. */
export const PEEK = 4096;

/** Positions on the disk at which bytes that begin like this can lie, as they say themselves; empty where they do not. */
export function ownPositions(head: Uint8Array): number[] {
  if (head.length < PEEK) return [];
  const view = viewOf(head);
  const out: number[] = [];
  if (isBoot(view)) out.push(0);
  const table = gptAt(head, 0);
  if (table !== undefined) out.push(table.myLba * SECTOR);
  else if (gptAt(head, SECTOR)?.myLba === 1) out.push(0);
  for (const at of [0, EXT_AT]) {
    const ext = extAt(view, at);
    if (ext === undefined) continue;
    const own = ext.group * ext.groupBytes + (ext.group === 0 || ext.blockSize === 1024 ? EXT_AT : 0);
    for (const start of STARTS) out.push(start + own - at);
  }
  return out.filter((at) => at >= 0);
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
  if (!isBoot(view)) return undefined;
  let end = 0;
  for (let i = 0; i < 4; i++) {
    const at = 446 + i * 16;
    if (head[at + 4] !== 0)
      end = Math.max(end, (view.getUint32(at + 8, true) + view.getUint32(at + 12, true)) * SECTOR);
  }
  return end === 0 ? undefined : { size: end, what: 'its MBR', exact: false };
}

/** A boot sector: of a partition table whose entries make sense. */
function isBoot(view: DataView): boolean {
  if (view.getUint16(510, true) !== 0xaa55) return false;
  let used = 0;
  for (let i = 0; i < 4; i++) {
    const at = 446 + i * 16;
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
