/** Directories: chains of entries, block by block. Blocks of a hash tree carry the chain too, so they are read alike. */
import { crc32cUpdate } from '../../../codec/crc32c.ts';
import { latin1, struct, u8, u16, u32, viewOf } from '../../../core/struct.ts';
import type { Doubt } from '../posix.ts';

const entryStruct = struct('ext directory entry', 8, {
  inode: u32(0x00),
  length: u16(0x04),
  nameLength: u8(0x06),
  type: u8(0x07),
});

/** Field by field: there are as many entries as files. */
const INODE_AT = entryStruct.fields.inode.at;
const LENGTH_AT = entryStruct.fields.length.at;
const NAME_LENGTH_AT = entryStruct.fields.nameLength.at;
const TYPE_AT = entryStruct.fields.type.at;

export interface Entry {
  readonly inode: number;
  /** Raw bytes (latin1). */
  readonly name: string;
  /** As directory entries write it; 0 where the volume does not. */
  readonly type: number;
  /** Bytes from the start of what was read. */
  readonly at: number;
  /** The check of the directory's block that failed, where one did. */
  readonly doubt?: string;
}

/** What chains are checked against. */
export interface Bounds {
  readonly inodes: number;
  /** Entries name the type of what they lead to; without it the byte belongs to the name's length. */
  readonly hasTypes: boolean;
}

const HEAD = 8;
const ALIGN = 4;
const MAX_TYPE = 7;
const MAX_NAME = 255;
/** The entry that holds a block's sum: without an inode, of 12 bytes, of this type. */
const TAIL_BYTES = 12;
const TAIL_TYPE = 0xde;
/** Lengths of entries that take a whole block of 64 KiB. */
const WHOLE = 65_535;

/** What one stretch of entries holds: a block, or the room that an inode has for them. */
export function entriesIn(
  block: Uint8Array,
  base: number,
  bounds: Bounds,
  report: (doubt: Doubt) => void,
  whole?: string,
): Entry[] {
  const out: Entry[] = [];
  // One string for all names: names hold no zeros, and making a string costs more than cutting one.
  const text = Buffer.from(block.buffer, block.byteOffset, block.length).toString('latin1');
  const view = viewOf(block);
  let doubt = whole;
  let at = 0;
  while (at + HEAD <= block.length) {
    const length = lengthAt(block, at, bounds);
    if (length === undefined) {
      const next = resume(block, at + ALIGN, bounds);
      const expected = 'a directory entry that ends within its block';
      report({ at: base + at, code: 'ext.directory.entry', expected, actual: `${hexOf(block, at)}` });
      doubt = 'ext.directory.entry';
      if (next === undefined) return out;
      at = next;
      continue;
    }
    const inode = view.getUint32(at + INODE_AT, true);
    const nameLength = block[at + NAME_LENGTH_AT];
    const name = text.slice(at + HEAD, at + HEAD + nameLength);
    if (inode !== 0 && name !== '.' && name !== '..') {
      const type = bounds.hasTypes ? block[at + TYPE_AT] : 0;
      const entry = { inode, name, type, at: base + at };
      out.push(doubt === undefined ? entry : { ...entry, doubt });
    }
    at += length;
  }
  return out;
}

/** The directory whose first block this is, as its entry of itself says; undefined where there is none. */
export function ownerIn(block: Uint8Array): number | undefined {
  const { inode, nameLength } = entryStruct.decode(block, 0);
  return nameLength === 1 && block[HEAD] === 0x2e && inode !== 0 ? inode : undefined;
}

/** Names that stand where chains skip: of entries that were taken out and not yet written over. */
export function leftoversIn(block: Uint8Array, base: number, bounds: Bounds): Entry[] {
  const out: Entry[] = [];
  let at = 0;
  while (at + HEAD <= block.length) {
    const length = lengthAt(block, at, bounds);
    if (length === undefined) return out;
    const { inode, nameLength } = entryStruct.decode(block, at);
    let inner = at + (inode === 0 ? 0 : needed(nameLength));
    while (inner + HEAD + 1 <= at + length) {
      const found = entryStruct.decode(block, inner);
      const fits = inner + needed(found.nameLength) <= at + length;
      const isName =
        found.nameLength > 0 &&
        isSane(found.inode, found.nameLength, found.type, bounds) &&
        fits &&
        isNameAt(block, inner + HEAD, found.nameLength);
      const name = isName ? latin1(block, inner + HEAD, found.nameLength) : '';
      if (!isName || name === '.' || name === '..' || found.inode === 0) {
        inner += ALIGN;
        continue;
      }
      out.push({ inode: found.inode, name, type: bounds.hasTypes ? found.type : 0, at: base + inner });
      inner += needed(found.nameLength);
    }
    at += length;
  }
  return out;
}

/** Whether a block's sum agrees; undefined where it has none, as nodes of a hash tree. */
export function isSummed(block: Uint8Array, seed: number): boolean | undefined {
  const tail = block.length - TAIL_BYTES;
  const { inode, length, nameLength, type } = entryStruct.decode(block, tail);
  if (inode !== 0 || length !== TAIL_BYTES || nameLength !== 0 || type !== TAIL_TYPE) return undefined;
  return crc32cUpdate(seed, block.subarray(0, tail)) === viewOf(block).getUint32(block.length - 4, true);
}

/** Whether a block is a node of a hash tree, which keeps its sum elsewhere: its last entry takes all the rest. */
export function isIndexNode(block: Uint8Array): boolean {
  const view = viewOf(block);
  const first = view.getUint16(4, true);
  if (view.getUint32(0, true) === 0 && (first === block.length || first >= WHOLE)) return true;
  const isRoot = first === 12 && block[6] === 1 && block[8] === 0x2e && block[20] === 0x2e && block[21] === 0x2e;
  return isRoot && view.getUint16(16, true) === block.length - 12;
}

/** The length of the entry at `at`; undefined where there can be none. */
function lengthAt(block: Uint8Array, at: number, bounds: Bounds): number | undefined {
  if (at + HEAD > block.length) return undefined;
  const view = viewOf(block);
  const inode = view.getUint32(at + INODE_AT, true);
  const said = view.getUint16(at + LENGTH_AT, true);
  const nameLength = block[at + NAME_LENGTH_AT];
  const length = block.length >= 65_536 && (said === 0 || said === WHOLE) ? 65_536 : said;
  const least = inode === 0 ? HEAD : needed(nameLength);
  if (length % ALIGN !== 0 || length < least || at + length > block.length) return undefined;
  if (inode === 0) return length;
  const isEntry = isSane(inode, nameLength, block[at + TYPE_AT], bounds) && isNameAt(block, at + HEAD, nameLength);
  return isEntry ? length : undefined;
}

function isSane(inode: number, nameLength: number, type: number, bounds: Bounds): boolean {
  const isType = bounds.hasTypes ? type <= MAX_TYPE : type === 0;
  return inode <= bounds.inodes && nameLength > 0 && nameLength <= MAX_NAME && isType;
}

/** Where a chain goes on that is followed by another entry or by the end of the block. */
function resume(block: Uint8Array, from: number, bounds: Bounds): number | undefined {
  for (let at = from; at + HEAD <= block.length; at += ALIGN) {
    const length = lengthAt(block, at, bounds);
    if (length === undefined || viewOf(block).getUint32(at, true) === 0) continue;
    if (at + length === block.length || lengthAt(block, at + length, bounds) !== undefined) return at;
  }
  return undefined;
}

/** Bytes that an entry needs for its name. */
function needed(nameLength: number): number {
  return HEAD + Math.ceil(nameLength / ALIGN) * ALIGN;
}

/** Names hold neither zeros nor separators. */
function isNameAt(block: Uint8Array, at: number, length: number): boolean {
  if (at + length > block.length) return false;
  for (let i = at; i < at + length; i++) if (block[i] === 0 || block[i] === 0x2f) return false;
  return true;
}

function hexOf(block: Uint8Array, at: number): string {
  return Array.from(block.subarray(at, at + HEAD), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
