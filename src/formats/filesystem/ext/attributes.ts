/** Extended attributes inside an inode: their names, and where the rest of a small file's content stands. */
import { bytes, latin1, struct, u8, u16, u32, viewOf } from '../../../core/struct.ts';
import type { Inode } from './inode.ts';
import { INODE_BASE } from './structs.ts';

const ATTRIBUTE_MAGIC = 0xea020000;
const attributeEntry = struct('ext attribute entry', 16, {
  nameLength: u8(0x00),
  index: u8(0x01),
  valueAt: u16(0x02),
  valueInode: u32(0x04),
  valueSize: u32(0x08),
  hash: bytes(0x0c, 4),
});
const PREFIXES: readonly string[] = [
  '',
  'user.',
  'system.posix_acl_access',
  'system.posix_acl_default',
  'trusted.',
  '',
  'security.',
  'system.',
  'system.richacl',
];
const SYSTEM = 7;
const MAX_ATTRIBUTES = 256;
const NO_ATTRIBUTES: readonly Attribute[] = [];

interface Attribute {
  readonly name: string;
  /** Of the value, in bytes from the start of the inode; -1 where it is kept elsewhere. */
  readonly at: number;
  readonly length: number;
}

/** Whether attributes follow the fields of the inode of `length` bytes at `at`: what a listing asks of each. */
export function hasAttributes(view: DataView, at: number, length: number): boolean {
  if (length < INODE_BASE + 4) return false;
  const start = INODE_BASE + view.getUint16(at + INODE_BASE, true);
  return start + 4 <= length && view.getUint32(at + start, true) === ATTRIBUTE_MAGIC;
}

/** The attributes that an inode holds itself. */
export function attributesOf(inode: Inode): readonly Attribute[] {
  if (!inode.hasAttributes) return NO_ATTRIBUTES;
  const out: Attribute[] = [];
  const { raw } = inode;
  const view = viewOf(raw);
  const first = INODE_BASE + view.getUint16(INODE_BASE, true) + 4;
  for (let at = first; at + attributeEntry.size <= raw.length && out.length < MAX_ATTRIBUTES; ) {
    if (view.getUint32(at, true) === 0) break;
    const entry = attributeEntry.decode(raw, at);
    const end = at + attributeEntry.size + entry.nameLength;
    if (end > raw.length) break;
    const name = (PREFIXES[entry.index] ?? `${entry.index}.`) + latin1(raw, at + attributeEntry.size, entry.nameLength);
    const isHere = entry.valueInode === 0 && first + entry.valueAt + entry.valueSize <= raw.length;
    out.push({ name, at: isHere ? first + entry.valueAt : -1, length: entry.valueSize });
    at += attributeEntry.size + Math.ceil(entry.nameLength / 4) * 4;
  }
  return out;
}

/** Where the content goes on that begins in the 60 bytes of the map. */
export function inlineRest(inode: Inode): Attribute | undefined {
  return attributesOf(inode).find(({ name, at }) => name === `${PREFIXES[SYSTEM]}data` && at >= 0);
}
