/**
 * What is recognised by its header wherever it starts: volumes that are encrypted, other file systems, and where FAT,
 * exFAT and ISO 9660 begin. Sources: guestfs.md parts C and F to I, volumes.md section 3, the LUKS on-disk format.
 */
import { type Finder, textKey } from '../../core/finder.ts';
import { latin1, readU64, viewOf } from '../../core/struct.ts';
import { uuidText } from '../disk/guid.ts';
import { decodeBoot } from './fat/boot.ts';
import { finder, type Guess, text } from './guest.ts';

const KIB = 1024;
const HFS_AT = 1024;
const ISO_AT = 32_768;
const SECTOR = 512;
const ISO_SECTOR = 2048;
const PAGE = 4096;
const DASH = 0x2d;
const SWAP_AT = 4086;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function isPower(n: number, least: number, most: number): boolean {
  return n >= least && n <= most && Number.isInteger(Math.log2(n));
}

function luks(block: Uint8Array): Guess | undefined {
  const version = viewOf(block).getUint16(6, false);
  const name = text(block, 168, 40);
  if ((version !== 1 && version !== 2) || !UUID.test(name)) return undefined;
  return { what: `LUKS${version}, encrypted`, uuid: name, ...(version === 2 && { label: text(block, 24, 48) }) };
}

function bitLocker(block: Uint8Array): Guess | undefined {
  const view = viewOf(block);
  if (block[3] !== DASH || view.getUint16(510, true) !== 0xaa55 || !isPower(view.getUint16(11, true), 512, 4096))
    return undefined;
  const bytes = readU64(view, 40) * view.getUint16(11, true);
  return { what: 'BitLocker, encrypted', ...(bytes > 0 && { bytes }) };
}

function dynamicDisk(block: Uint8Array): Guess | undefined {
  const view = viewOf(block);
  const disk = text(block, 0x30, 64);
  if (view.getUint16(12, false) !== 2 || !UUID.test(disk)) return undefined;
  return { what: 'Windows dynamic disk (LDM)', uuid: disk, label: text(block, 0xf0, 32) };
}

function hfs(block: Uint8Array): Guess | undefined {
  if (block.length < HFS_AT + SECTOR) return undefined;
  const view = viewOf(block);
  const kind = latin1(block, HFS_AT, 2);
  const version = view.getUint16(HFS_AT + 2, false);
  const [unit, blocks, free] = [40, 44, 48].map((at) => view.getUint32(HFS_AT + at, false));
  const isOne = (kind === 'H+' && version === 4) || (kind === 'HX' && version === 5);
  if (!isOne || !isPower(unit, 512, 2 ** 20) || blocks === 0 || free > blocks) return undefined;
  const id = Buffer.from(block.subarray(HFS_AT + 104, HFS_AT + 112)).toString('hex');
  return { what: kind === 'H+' ? 'HFS+' : 'HFSX', bytes: unit * blocks, uuid: id };
}

function apfs(block: Uint8Array): Guess | undefined {
  const view = viewOf(block);
  const unit = view.getUint32(36, true);
  // The first block of a container is object 1, of type 1.
  if (readU64(view, 8) !== 1 || view.getUint16(24, true) !== 1 || !isPower(unit, 4096, 65_536)) return undefined;
  return { what: 'APFS container', bytes: readU64(view, 40) * unit, uuid: uuidText(block.subarray(72, 88)) };
}

function refs(block: Uint8Array): Guess | undefined {
  const view = viewOf(block);
  const unit = view.getUint32(32, true);
  if (latin1(block, 3, 4) !== 'ReFS' || latin1(block, 16, 4) !== 'FSRS' || !isPower(unit, 512, 4096)) return undefined;
  const serial = [60, 56].map((at) => view.getUint32(at, true).toString(16).toUpperCase().padStart(8, '0')).join('');
  const version = `${block[40]}.${block[41]}`;
  return { what: `ReFS ${version}`, bytes: readU64(view, 24) * unit, uuid: serial };
}

function udf(block: Uint8Array): Guess | undefined {
  if (block.length < ISO_AT + ISO_SECTOR || latin1(block, ISO_AT + 1, 5) !== 'BEA01') return undefined;
  for (let at = ISO_AT + ISO_SECTOR; at + ISO_SECTOR <= block.length; at += ISO_SECTOR) {
    const mark = latin1(block, at + 1, 5);
    if (mark === 'NSR02' || mark === 'NSR03') return { what: 'UDF' };
    if (mark === 'TEA01') break;
  }
  return undefined;
}

function swap(block: Uint8Array): Guess | undefined {
  if (block.length < PAGE) return undefined;
  const view = viewOf(block);
  const [version, last] = [view.getUint32(KIB, true), view.getUint32(KIB + 4, true)];
  if (latin1(block, SWAP_AT, 10) !== 'SWAPSPACE2' || version !== 1 || last === 0) return undefined;
  return {
    what: 'Linux swap',
    bytes: (last + 1) * PAGE,
    uuid: uuidText(block.subarray(KIB + 12, KIB + 28)),
    label: text(block, KIB + 28, 16),
  };
}

function squash(block: Uint8Array): Guess | undefined {
  const view = viewOf(block);
  const [unit, log, major] = [view.getUint32(12, true), view.getUint16(22, true), view.getUint16(28, true)];
  if (major !== 4 || log < 12 || log > 20 || unit !== 2 ** log) return undefined;
  return { what: 'squashfs', bytes: readU64(view, 40) };
}

function fat(block: Uint8Array): Guess | undefined {
  const found = decodeBoot(block, 0);
  const at = found?.table.copies[0] ?? block.length;
  // The copy of a boot sector stands elsewhere, seen from the table: only what the table follows starts a volume.
  if (found === undefined || at + 2 > block.length) return undefined;
  if (block[at] !== found.boot.media || block[at + 1] !== 0xff) return undefined;
  const { bytes, serial, label, width } = found;
  return { what: `FAT${width === 28 ? 32 : width}`, bytes, uuid: serial, label: label === 'NO NAME' ? '' : label };
}

function exfat(block: Uint8Array): Guess | undefined {
  const view = viewOf(block);
  const shift = block[108];
  const copyAt = 12 * 2 ** shift;
  if (shift < 9 || shift > 12 || copyAt + SECTOR > block.length) return undefined;
  if (latin1(block, 3, 8) !== 'EXFAT   ' || latin1(block, copyAt + 3, 8) !== 'EXFAT   ') return undefined;
  const serial = view.getUint32(100, true).toString(16).toUpperCase().padStart(8, '0');
  const bytes = readU64(view, 72) * 2 ** shift;
  return { what: 'exFAT', bytes, uuid: `${serial.slice(0, 4)}-${serial.slice(4)}` };
}

function iso(block: Uint8Array): Guess | undefined {
  if (block.length < ISO_AT + ISO_SECTOR || block[ISO_AT] !== 1 || latin1(block, ISO_AT + 1, 5) !== 'CD001')
    return undefined;
  const view = viewOf(block);
  const blocks = view.getUint32(ISO_AT + 80, true);
  if (view.getUint32(ISO_AT + 84, false) !== blocks) return undefined;
  const bytes = blocks * view.getUint16(ISO_AT + 128, true);
  return { what: 'ISO 9660', bytes, label: text(block, ISO_AT + 40, 32) };
}

/** Keys stand at even places, so some begin with the second character of their mark. */
export const sealedFinders: readonly Finder[] = [
  finder('guest.luks', 512, 512, { offset: 0, bytes: [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe] }, luks),
  finder('guest.bitlocker', 512, 512, textKey(4, 'FVE-FS-'), bitLocker),
  finder('guest.ldm', 512, 512, textKey(0, 'PRIVHEAD'), dynamicDisk),
  finder('guest.hfs', 512, 2048, textKey(HFS_AT, 'H+'), hfs),
  finder('guest.hfsx', 512, 2048, textKey(HFS_AT, 'HX'), hfs),
  finder('guest.apfs', 4096, 4096, textKey(32, 'NXSB'), apfs),
  finder('guest.refs', 512, 512, textKey(4, 'eFS\0\0\0\0'), refs),
  finder('guest.iso', 512, 40 * KIB, textKey(ISO_AT + 2, 'D001'), iso),
  finder('guest.udf', 512, 40 * KIB, textKey(ISO_AT + 2, 'EA01'), udf),
  finder('guest.swap', 4096, 4096, textKey(SWAP_AT, 'SWAPSPACE2'), swap),
  finder('guest.squashfs', 512, 512, textKey(0, 'hsqs'), squash),
  finder('guest.fat', 512, 64 * KIB, { offset: 510, bytes: [0x55, 0xaa] }, fat),
  finder('guest.exfat', 512, 64 * KIB, textKey(4, 'XFAT   '), exfat),
];
