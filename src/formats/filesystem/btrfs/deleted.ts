/** Deleted files of btrfs: leaves of older generations still hold their inodes, names and extents. */
import { printable } from '../../../core/locator.ts';
import { missing, type Segment, segments, zeros } from '../../../core/map-source.ts';
import type { Node } from '../../../core/node.ts';
import { GUESSED, INFERRED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { latin1 } from '../../../core/struct.ts';
import { type Folder, folder } from '../folder.ts';
import { TYPE_SYMLINK } from '../posix.ts';
import { decodeExtent, type Extent, laid } from './extents.ts';
import { inodeNode, isFile, plainFacts } from './files.ts';
import { decodeInode, type Inode, inodeOf, type Name, namesIn } from './inodes.ts';
import { deadSegments } from './reuse.ts';
import { FILE_EXTENT, FIRST_INODE, FS_TREE, INLINE, INODE, INODE_EXTREF, INODE_REF } from './structs.ts';
import { type Gone, keyOfInode, type Survey, survey } from './survey.ts';
import { type Item, itemsOf, type Key } from './tree.ts';
import type { Volume } from './volume.ts';

export const DELETED = '+deleted';
const MAX_DEPTH = 128;
const MAX_LINK = 4096;
/** Subvolumes that are asked for files without a name. */
const MAX_SUBVOLUMES = 100_000;
const ORPHAN = 48;
const END = Number.POSITIVE_INFINITY;
const MAX_BYTES = 2 ** 52;

/** The virtual directory of deleted files; undefined where there are none. */
export async function deletedNode(volume: Volume, locator: string): Promise<Node | undefined> {
  const found = await survey(volume);
  const top = folder(`${locator}/${DELETED}`, DELETED);
  const folders = new Folders(volume, found, top);
  let count = await addUnlinked(volume, folders);
  const sorted = [...found.gone.values()].sort((a, b) => a.subvolume - b.subvolume || a.number - b.number);
  for (const one of sorted) {
    const inode = await inodeAsItWas(volume, one);
    if (inode === undefined || !isFile(inode)) continue;
    const { name } = one;
    const parent = await folders.of(one.subvolume, name?.parent);
    const target = inode.kind === TYPE_SYMLINK ? await targetOf(volume, one, inode, found) : undefined;
    parent.add(name?.name ?? `inode-${one.number}`, (at, rawName) =>
      fileNode(volume, one, inode, found, at, rawName, target),
    );
    count++;
  }
  if (!found.isWhole) {
    const effect = 'more may have been deleted than is listed';
    const { root } = volume.super.block;
    volume.note(root, 'btrfs.deleted.limit', 'metadata that can be looked through as a whole', 'more', effect);
  }
  return count === 0 ? undefined : top.node;
}

/** The virtual directories of deleted files, by where the files were. */
class Folders {
  readonly #volume: Volume;
  readonly #found: Survey;
  readonly #top: Folder;
  readonly #known = new Map<string, Folder>();

  constructor(volume: Volume, found: Survey, top: Folder) {
    this.#volume = volume;
    this.#found = found;
    this.#top = top;
  }

  /** The folder of a directory, as its names were found from the top down. */
  async of(subvolume: number, directory: number | undefined, depth = 0): Promise<Folder> {
    const number = directory ?? FIRST_INODE;
    const key = keyOfInode(subvolume, number);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const made = depth > MAX_DEPTH ? this.#top : await this.#make(subvolume, number, depth);
    this.#known.set(key, made);
    return made;
  }

  async #make(subvolume: number, number: number, depth: number): Promise<Folder> {
    if (number !== FIRST_INODE) {
      const name = await this.#nameOf(subvolume, number);
      const parent = await this.of(subvolume, name?.parent, depth + 1);
      return parent.enter(name?.name ?? `inode-${number}`);
    }
    if (subvolume === FS_TREE) return this.#top;
    const mount = (await this.#volume.mountOf(subvolume)) ?? this.#found.mounts.get(subvolume);
    if (mount === undefined) return this.#top.enter(`subvolume-${subvolume}`);
    return (await this.of(mount.parent, mount.directory, depth + 1)).enter(mount.name);
  }

  async #nameOf(subvolume: number, number: number): Promise<Name | undefined> {
    const tree = await this.#volume.tree(subvolume);
    const item = (await tree?.first(number, INODE_REF)) ?? (await tree?.first(number, INODE_EXTREF));
    const [live] = item === undefined ? [] : namesIn(item);
    return live ?? this.#found.gone.get(keyOfInode(subvolume, number))?.name;
  }
}

/** Files that were open when their last name went: their inodes are still there, whole. */
async function addUnlinked(volume: Volume, folders: Folders): Promise<number> {
  let count = 0;
  for await (const id of volume.subvolumes(FS_TREE, MAX_SUBVOLUMES)) {
    const sub = await volume.subvolume(id);
    for await (const item of sub?.tree.items(orphan(0), orphan(END)) ?? []) {
      const inode = 'lost' in item ? undefined : await inodeOf(sub!.tree, item.offset);
      if (inode === undefined || !isFile(inode) || inode.links > 0) continue;
      const nodes: Node[] = [];
      const make = { locator: '', rawName: `inode-${inode.number}`, above: [], state: 'deleted' as const };
      nodes.push(await inodeNode(volume, sub!, inode, make, 'btrfs.unlinked'));
      const parent = await folders.of(id, undefined);
      parent.add(make.rawName, (locator, rawName) => ({ ...nodes[0], locator, rawName, damage: [] }));
      count++;
    }
  }
  return count;
}

const orphan = (offset: number): Key => ({ objectid: END, type: ORPHAN, offset });

async function inodeAsItWas(volume: Volume, { inode: pointer, number }: Gone): Promise<Inode | undefined> {
  const node = pointer && (await volume.nodes.get(pointer));
  if (node === undefined || node.doubt !== undefined) return undefined;
  const key: Key = { objectid: number, type: INODE, offset: 0 };
  for (const item of itemsOf({ node, place: node.place }, key, key)) if (!('lost' in item)) return decodeInode(item);
  return undefined;
}

/** Extents as they were when the inode was last seen: of each leaf those that no newer leaf speaks of. */
async function extentsOf(volume: Volume, one: Gone): Promise<{ extents: Extent[]; oldest: number }> {
  const latest = one.inode!.generation;
  const found = new Map<number, Extent>();
  const covered: { readonly from: number; readonly end: number }[] = [];
  let oldest = latest;
  const pointers = one.extents.filter(({ generation }) => generation <= latest);
  for (const pointer of pointers.sort((a, b) => b.generation - a.generation)) {
    const node = await volume.nodes.get(pointer);
    if (node === undefined || node.doubt !== undefined) continue;
    const items: Item[] = [];
    const key = (offset: number): Key => ({ objectid: one.number, type: FILE_EXTENT, offset });
    for (const item of itemsOf({ node, place: node.place }, key(0), key(END))) if (!('lost' in item)) items.push(item);
    const isAt = (i: number): boolean => node.objectid[i] === one.number && node.type[i] === FILE_EXTENT;
    const from = isAt(0) ? node.offset[0] : 0;
    const end = isAt(node.n - 1) ? node.offset[node.n - 1] : END;
    for (const item of items) {
      if (covered.some((range) => item.offset >= range.from && item.offset <= range.end)) continue;
      found.set(item.offset, decodeExtent(item));
      oldest = Math.min(oldest, node.generation);
    }
    covered.push({ from, end });
  }
  return { extents: [...found.values()].sort((a, b) => a.from - b.from), oldest };
}

/** The bytes of a deleted file. What its extents do not say is zeros only where they add up to what its inode counts. */
async function bytesOf(volume: Volume, one: Gone, inode: Inode, found: Survey): Promise<Source> {
  const { extents, oldest } = await extentsOf(volume, one);
  const held = extents.filter(({ type, place }) => type === INLINE || place !== 0);
  const counted = held.reduce((sum, { bytes }) => sum + bytes, 0);
  const isWhole = counted === inode.bytes;
  // Changed since the oldest of its leaves was written: another version of it may have stood in a leaf that is gone.
  const most = isWhole && inode.changedIn <= oldest ? INFERRED : GUESSED;
  const { node, at } = inode.item;
  const code = isWhole ? 'btrfs.older' : 'btrfs.extents-lost';
  const why: Why = volume.whyOf(`btrfs inode ${one.number} of generation ${node.generation}`, node, at, code);
  const gap = (length: number): Segment => (isWhole ? zeros(length, most, why) : missing(length, why));
  const said = new Map<Extent, Segment[]>();
  for (const extent of extents) said.set(extent, await deadSegments(volume, extent, most, why, found));
  const size = Math.min(inode.size, MAX_BYTES);
  return segments(laid(extents, 0, size, gap, (extent) => said.get(extent)!));
}

async function targetOf(volume: Volume, one: Gone, inode: Inode, found: Survey): Promise<string> {
  const source = await bytesOf(volume, one, inode, found);
  const block = new Uint8Array(Math.min(source.size, MAX_LINK));
  await source.read(0, block);
  return latin1(block, 0, block.length);
}

function fileNode(
  volume: Volume,
  one: Gone,
  inode: Inode,
  found: Survey,
  locator: string,
  rawName: string,
  target?: string,
): Node {
  const facts = plainFacts(inode);
  const details = {
    ...facts.details,
    subvolume: one.subvolume,
    seenIn: one.inode!.generation,
    nameKnown: one.name !== undefined,
  };
  return {
    name: printable(rawName),
    rawName,
    locator,
    kind: target === undefined ? 'file' : 'symlink',
    state: 'deleted',
    facts: { ...facts, details, ...(target !== undefined && { target }) },
    damage: [],
    bytes: () => bytesOf(volume, one, inode, found),
  };
}
