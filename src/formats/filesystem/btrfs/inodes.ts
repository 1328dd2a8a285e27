/** Inodes of btrfs: what a file is, and what it is called from. */
import { latin1, type Values } from '../../../core/struct.ts';
import { entryItem, INODE, INODE_EXTREF, INODE_REF, inodeItem, referenceItem, XATTR } from './structs.ts';
import type { Item, Tree } from './tree.ts';

export interface Inode extends Values<typeof inodeItem.fields> {
  readonly number: number;
  /** The upper four bits of the mode. */
  readonly kind: number;
  readonly item: Item;
  readonly doubt?: string;
}

/** A name of an inode, and the directory it stands in. */
export interface Name {
  readonly name: string;
  readonly parent: number;
}

const MAX_ATTRIBUTES = 256;
const EXTREF_BYTES = 18;

/** An inode by its number; undefined where there is none that can be read. */
export async function inodeOf(tree: Tree, number: number): Promise<Inode | undefined> {
  const item = await tree.first(number, INODE, 0, 0);
  return item === undefined ? undefined : decodeInode(item);
}

/** Decodes an inode's item; undefined where it is too short. */
export function decodeInode(item: Item): Inode | undefined {
  if (item.size < inodeItem.size) return undefined;
  const fields = inodeItem.decode(item.node.bytes, item.at);
  const doubt = item.doubt ?? (Number.isSafeInteger(fields.size) ? undefined : 'btrfs.inode.size');
  const size = Number.isSafeInteger(fields.size) ? fields.size : 0;
  const kind = (fields.mode >>> 12) & 15;
  return { ...fields, size, number: item.objectid, kind, item, ...(doubt !== undefined && { doubt }) };
}

/** The names in an item of references, of either kind. */
export function namesIn({ type, offset, node, at, size }: Item): Name[] {
  const out: Name[] = [];
  const end = at + size;
  const view = new DataView(node.bytes.buffer, node.bytes.byteOffset, node.bytes.byteLength);
  for (let here = at; here < end; ) {
    const isLong = type === INODE_EXTREF;
    const head = isLong ? EXTREF_BYTES : referenceItem.size;
    if ((type !== INODE_REF && !isLong) || here + head > end) break;
    const length = isLong ? view.getUint16(here + 16, true) : referenceItem.decode(node.bytes, here).nameBytes;
    if (length === 0 || here + head + length > end) break;
    const parent = isLong ? view.getUint32(here, true) + view.getUint32(here + 4, true) * 2 ** 32 : offset;
    out.push({ name: latin1(node.bytes, here + head, length), parent });
    here += head + length;
  }
  return out;
}

/** Names of an inode's extended attributes. */
export async function attributesOf(tree: Tree, number: number): Promise<string[]> {
  const out: string[] = [];
  for await (const item of tree.of(number, XATTR)) {
    if ('lost' in item) continue;
    for (const { name } of entriesIn(item)) if (out.length < MAX_ATTRIBUTES) out.push(name);
  }
  return out;
}

/** An entry of a directory, or an attribute. */
export interface Entry {
  readonly name: string;
  readonly objectid: number;
  /** What it leads to: an inode, or the root of a subvolume. */
  readonly type: number;
  readonly kind: number;
  readonly item: Item;
}

/** The entries in one item: more than one only where hashes of names collide. */
export function entriesIn(item: Item): Entry[] {
  const out: Entry[] = [];
  const { node, at, size } = item;
  for (let here = at; here + entryItem.size <= at + size; ) {
    const { objectid, type, dataBytes, nameBytes, kind } = entryItem.decode(node.bytes, here);
    const end = here + entryItem.size + nameBytes + dataBytes;
    if (nameBytes === 0 || end > at + size) break;
    out.push({ name: latin1(node.bytes, here + entryItem.size, nameBytes), objectid, type, kind, item });
    here = end;
  }
  return out;
}
