/**
 * File systems of guests, recognised by their superblocks wherever they start: what they are, how large, their names.
 * Sources: the ext4, XFS, btrfs and LVM2 on-disk documentation, and NTFS boot sectors as described by Microsoft.
 */
import { type Finder, type Hit, type Key, textKey } from '../../core/finder.ts';
import type { Source } from '../../core/source.ts';
import { latin1, readU64, viewOf } from '../../core/struct.ts';
import { uuidText } from '../disk/guid.ts';
import { bootSector, OEM } from './ntfs/structs.ts';

const EXT_AT = 0x400;
const BTRFS_AT = 0x10000;
const MAX_BYTES = 2 ** 50;
/** Up to the second sector of 4 KiB. */
const XFS_NEED = 8192;

/** What a header says of what starts with it. */
export interface Guess {
  readonly what: string;
  /** Of the whole, where it says so itself. */
  readonly bytes?: number;
  readonly label?: string;
  readonly uuid?: string;
}

function ext(block: Uint8Array): Guess | undefined {
  if (block.length < EXT_AT + 0x160) return undefined;
  const view = viewOf(block);
  const shift = view.getUint32(EXT_AT + 0x18, true);
  const copyOf = view.getUint16(EXT_AT + 0x5a, true);
  if (view.getUint16(EXT_AT + 0x38, true) !== 0xef53 || shift > 6 || copyOf !== 0) return undefined;
  const wide = (view.getUint32(EXT_AT + 0x60, true) & 0x80) !== 0;
  const blocks = view.getUint32(EXT_AT + 4, true) + (wide ? view.getUint32(EXT_AT + 0x150, true) * 2 ** 32 : 0);
  const extents = (view.getUint32(EXT_AT + 0x60, true) & 0x40) !== 0;
  const journal = (view.getUint32(EXT_AT + 0x5c, true) & 4) !== 0;
  const what = extents ? 'ext4' : journal ? 'ext3' : 'ext2';
  return {
    what,
    bytes: blocks * (1024 << shift),
    label: text(block, EXT_AT + 0x78, 16),
    uuid: uuidText(block.subarray(EXT_AT + 0x68, EXT_AT + 0x78)),
  };
}

function ntfs(block: Uint8Array): Guess | undefined {
  if (latin1(block, 3, OEM.length) !== OEM) return undefined;
  const { sectorSize, sectors } = bootSector.decode(block);
  if (!bootSector.fields.sectorSize.rule!.oneOf!.includes(sectorSize)) return undefined;
  const serial = [...block.subarray(0x48, 0x50)].reverse().map(hex).join('').toUpperCase();
  // The copy of the boot sector stands one sector behind the file system.
  return { what: 'NTFS', bytes: (sectors + 1) * sectorSize, uuid: serial };
}

function xfs(block: Uint8Array): Guess | undefined {
  const view = viewOf(block);
  const size = view.getUint32(4);
  if (latin1(block, 0, 4) !== 'XFSB' || size < 512 || size > 65536) return undefined;
  // Each allocation group begins with a copy of it, and its next sector says which group it is.
  const sector = view.getUint16(102);
  const isNext = block.length >= sector + 12 && latin1(block, sector, 4) === 'XAGF';
  if (isNext && view.getUint32(sector + 8) !== 0) return undefined;
  const blocks = view.getUint32(8) * 2 ** 32 + view.getUint32(12);
  return { what: 'XFS', bytes: blocks * size, label: text(block, 108, 12), uuid: uuidText(block.subarray(32, 48)) };
}

function btrfs(block: Uint8Array): Guess | undefined {
  if (block.length < BTRFS_AT + 0x400) return undefined;
  const view = viewOf(block);
  if (latin1(block, BTRFS_AT + 0x40, 8) !== '_BHRfS_M' || readU64(view, BTRFS_AT + 0x30) !== BTRFS_AT) return undefined;
  const bytes = readU64(view, BTRFS_AT + 0x70);
  return {
    what: 'btrfs',
    bytes,
    label: text(block, BTRFS_AT + 0x12b, 256),
    uuid: uuidText(block.subarray(BTRFS_AT + 0x20, BTRFS_AT + 0x30)),
  };
}

function lvm2(block: Uint8Array): Guess | undefined {
  if (block.length < 1024 || latin1(block, 512, 8) !== 'LABELONE' || latin1(block, 536, 8) !== 'LVM2 001')
    return undefined;
  return { what: 'LVM2 physical volume', bytes: readU64(viewOf(block), 576), uuid: text(block, 544, 32) };
}

/** A finder of one kind of header. */
export function finder(
  kind: string,
  align: 512 | 4096,
  need: number,
  key: Key,
  guess: (b: Uint8Array) => Guess | undefined,
): Finder {
  return {
    align,
    keys: [key],
    need,
    examine(block, at, emit) {
      if (block.length < 512) return;
      const found = guess(block);
      if (found === undefined) return;
      const facts: Record<string, string | number> = { what: found.what };
      if (found.bytes !== undefined) {
        if (!(found.bytes > 0 && found.bytes < MAX_BYTES)) return;
        facts.bytes = found.bytes;
      }
      if (found.label !== undefined && found.label !== '') facts.label = found.label;
      if (found.uuid !== undefined) facts.uuid = found.uuid;
      emit({ kind, at, length: Math.min(need, block.length), base: at, facts } satisfies Hit);
    },
  };
}

/** What scans enter those as that partitions hold. */
export const GUEST_KINDS: readonly string[] = [
  'ext ntfs xfs btrfs lvm2 fat exfat luks bitlocker hfs hfsx apfs refs',
].flatMap((names) => names.split(' ').map((name) => `guest.${name}`));

export const guestFinders: readonly Finder[] = [
  finder('guest.ext', 512, EXT_AT + 1024, { offset: EXT_AT + 0x38, bytes: [0x53, 0xef] }, ext),
  finder('guest.ntfs', 512, 512, { offset: 510, bytes: [0x55, 0xaa] }, ntfs),
  finder('guest.xfs', 512, XFS_NEED, textKey(0, 'XFSB'), xfs),
  finder('guest.btrfs', 4096, BTRFS_AT + 1024, textKey(BTRFS_AT + 0x40, '_BHRfS_M'), btrfs),
  finder('guest.lvm2', 512, 1024, textKey(512, 'LABELONE'), lvm2),
];

/** Bytes from the start of a file system in which it says what it is. */
const HEAD = 72 * 1024;

/** The file system that says it starts with these bytes; undefined where none does. */
export async function guestAt(source: Source, finders: readonly Finder[]): Promise<Hit | undefined> {
  const head = new Uint8Array(Math.min(HEAD, source.size));
  await source.read(0, head);
  const hits: Hit[] = [];
  for (const finder of finders) {
    const block = head.subarray(0, finder.need);
    const key = finder.keys[0];
    const there = key.bytes.every((byte, i) => block[key.offset + i] === byte);
    if (there) finder.examine(block, 0, (hit) => hits.push(hit));
  }
  return hits[0];
}

/** Printable text up to its first zero. */
export function text(block: Uint8Array, at: number, length: number): string {
  const raw = latin1(block, at, length);
  const end = raw.indexOf('\0');
  return (end < 0 ? raw : raw.slice(0, end)).replace(/[^ -~]/g, '').trim();
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
