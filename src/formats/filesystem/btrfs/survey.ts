/** Leaves of older generations: what nothing leads to any more, and nothing was written over. */

import { INFERRED, type Why } from '../../../core/run.ts';
import { Claimants } from '../claimants.ts';
import type { Chunks } from './chunks.ts';
import { decodeExtent, type Extent } from './extents.ts';
import { decodeInode, inodeOf, type Name, namesIn } from './inodes.ts';
import type { Pointer, TreeNode } from './nodes.ts';
import {
  CHUNK,
  CHUNK_TREE,
  EXTENT,
  EXTENT_TREE,
  extentItem,
  FILE_EXTENT,
  FIRST_SUBVOLUME,
  FS_TREE,
  INODE,
  INODE_EXTREF,
  INODE_REF,
  METADATA_EXTENT,
  nodeHeader,
  REGULAR,
  ROOT_BACKREF,
  ROOT_TREE,
} from './structs.ts';
import { type Item, itemsOf, type Key, keyOf, type Tree } from './tree.ts';
import { type Mount, mountIn, type Volume } from './volume.ts';

/** Bytes of metadata that are looked through at most, and inodes that are kept. */
const MAX_SEARCHED = 64 * 1024 * 1024 * 1024;
const MAX_INODES = 2_000_000;
const WINDOW = 1024 * 1024;
const OWNERS: readonly number[] = [ROOT_TREE, EXTENT_TREE, CHUNK_TREE, FS_TREE];
const FIRST: Key = { objectid: 0, type: 0, offset: 0 };
const LAST: Key = { objectid: Number.POSITIVE_INFINITY, type: 255, offset: Number.POSITIVE_INFINITY };

/** An inode that its subvolume no longer has. */
export interface Gone {
  readonly subvolume: number;
  readonly number: number;
  /** The newest leaf in which it still had a name. */
  inode?: Pointer;
  links: number;
  name?: Name;
  named: number;
  /** Leaves with extents of it. */
  readonly extents: Pointer[];
}

export interface Survey {
  readonly gone: ReadonlyMap<string, Gone>;
  /** Where subvolumes hung that are no more. */
  readonly mounts: ReadonlyMap<number, Mount>;
  /** What leaves, of older generations too, say was set aside, by generation. */
  readonly claimants: Claimants;
  /** Chunks that are no more: where nothing is left in one the volume lets go of it. */
  readonly past: Chunks;
  readonly isWhole: boolean;
}

export const keyOfInode = (subvolume: number, number: number): string => `${subvolume}/${number}`;

/** Looks through all metadata for inodes that were deleted. */
export async function survey(volume: Volume): Promise<Survey> {
  const gone = new Map<string, Gone>();
  const mounts = new Map<number, Mount>();
  const generations = new Map<number, number>();
  const strays: TreeNode[] = [];
  const claimants = new Claimants();
  let read = 0;
  for (const chunk of volume.chunks.all) {
    if (!chunk.hasMetadata) continue;
    for (let at = 0; at < chunk.length && read < MAX_SEARCHED && !volume.cx.signal.aborted; at += WINDOW) {
      const block = new Uint8Array(Math.min(WINDOW, chunk.length - at));
      read += block.length;
      await chunk.best.read(at, block);
      for (let i = 0; i + volume.nodes.size <= block.length; i += volume.nodes.size) {
        const place = chunk.logical + at + i;
        const part = block.subarray(i, i + volume.nodes.size);
        // In mixed groups a node may stand where bytes of a file were.
        if (chunk.hasData) learnNode(volume, part, place, claimants);
        const node = leafIn(volume, part, place);
        if (node === undefined) continue;
        const own = { ...node, bytes: node.bytes.slice(), source: chunk.best, at: at + i };
        if (own.owner === CHUNK_TREE) strays.push(own);
        else if (own.owner === EXTENT_TREE) learnExtents(volume, own, claimants);
        else if (own.owner === ROOT_TREE) await learnMounts(volume, own, mounts, generations);
        else if (gone.size < MAX_INODES) await learnInodes(volume, own, gone, claimants);
      }
    }
  }
  const isWhole = read < MAX_SEARCHED && gone.size < MAX_INODES;
  return { gone, mounts, claimants, past: pastChunks(volume, strays), isWhole };
}

/** A leaf of the roots, the extents, the chunks or of a subvolume, with all checks of its own; undefined for anything else. */
function leafIn(volume: Volume, bytes: Uint8Array, place: number): TreeNode | undefined {
  const { level, owner, place: own, items } = nodeHeader.decode(bytes);
  const isOf = OWNERS.includes(owner) || (owner >= FIRST_SUBVOLUME && owner < 2 ** 48);
  if (level !== 0 || own !== place || !isOf || items === 0) return undefined;
  const node = volume.nodes.decode(bytes, volume.chunks.all[0].best, 0, place);
  return node?.doubt === undefined ? node : undefined;
}

/** Chunks of older leaves, the newest first, that no chunk of today has taken the addresses of. */
function pastChunks({ chunks }: Volume, strays: TreeNode[]): Chunks {
  const out = chunks.before();
  for (const node of strays.sort((a, b) => b.generation - a.generation)) {
    const why: Why = {
      what: 'btrfs chunk of an older generation',
      source: node.source,
      at: node.at,
      code: 'btrfs.chunk-old',
    };
    for (const { type, offset, at, size } of itemsIn(node))
      if (type === CHUNK && chunks.at(offset) === undefined)
        out.add(offset, node.bytes.subarray(0, at + size), at, INFERRED, why);
  }
  return out;
}

async function isCurrent(tree: Tree, node: TreeNode): Promise<boolean> {
  const leaf = await tree.leaf(keyOf(node, 0));
  return leaf.node?.place === node.place && leaf.node.generation === node.generation;
}

/** Items of a leaf that was read by itself. */
function* itemsIn(node: TreeNode): Generator<Item> {
  for (const item of itemsOf({ node, place: node.place }, FIRST, LAST)) if (!('lost' in item)) yield item;
}

async function learnMounts(
  volume: Volume,
  node: TreeNode,
  mounts: Map<number, Mount>,
  generations: Map<number, number>,
): Promise<void> {
  for (const item of itemsIn(node)) {
    const before = generations.get(item.objectid) ?? 0;
    if (item.type !== ROOT_BACKREF || before > node.generation) continue;
    if ((await volume.tree(item.objectid)) !== undefined) continue;
    generations.set(item.objectid, node.generation);
    mounts.set(item.objectid, mountIn(item, item.offset));
  }
}

async function learnInodes(
  volume: Volume,
  node: TreeNode,
  gone: Map<string, Gone>,
  claimants: Claimants,
): Promise<void> {
  const tree = await volume.tree(node.owner);
  if (tree !== undefined && (await isCurrent(tree, node))) return;
  const pointer: Pointer = { place: node.place, generation: node.generation, level: 0 };
  const alive = new Map<number, boolean>();
  for (const item of itemsIn(node)) {
    const { objectid: number, type } = item;
    if (type === FILE_EXTENT) claim(claimants, decodeExtent(item));
    if (![INODE, INODE_REF, INODE_EXTREF, FILE_EXTENT].includes(type) || !(number >= FIRST_SUBVOLUME)) continue;
    const lives = alive.get(number) ?? (tree !== undefined && (await mayLive(tree, number)));
    alive.set(number, lives);
    if (lives) continue;
    const key = keyOfInode(node.owner, number);
    let one = gone.get(key);
    if (one === undefined) {
      one = { subvolume: node.owner, number, links: 0, named: 0, extents: [] };
      gone.set(key, one);
    }
    learnItem(one, item, pointer);
  }
}

function claim(claimants: Claimants, { place: from, diskBytes, generation, type, fault }: Extent): void {
  if (type === REGULAR && from > 0 && fault === undefined)
    claimants.add({ from, end: from + diskBytes, order: generation, who: 0 });
}

/** That a node stands where it says that it does: it was written there, whatever leads to it. */
function learnNode({ nodes }: Volume, bytes: Uint8Array, place: number, claimants: Claimants): void {
  const { place: own, generation, fsid } = nodeHeader.decode(bytes);
  if (own === place && Buffer.from(fsid).toString('hex') === nodes.super.nodeUuid)
    claimants.add({ from: place, end: place + bytes.length, order: generation, who: 0 });
}

/** What a leaf of the tree of extents says was set aside, for whatever it was. */
function learnExtents({ nodes }: Volume, node: TreeNode, claimants: Claimants): void {
  for (const { objectid: from, type, offset, at, size } of itemsIn(node)) {
    if ((type !== EXTENT && type !== METADATA_EXTENT) || size < extentItem.size) continue;
    const { generation: order } = extentItem.decode(node.bytes, at);
    claimants.add({ from, end: from + (type === EXTENT ? offset : nodes.size), order, who: 0 });
  }
}

/** Whether the tree of today has an inode, or cannot say. */
async function mayLive(tree: Tree, number: number): Promise<boolean> {
  if ((await inodeOf(tree, number)) !== undefined) return true;
  const leaf = await tree.leaf({ objectid: number, type: INODE, offset: 0 });
  return leaf.lost !== undefined;
}

function learnItem(one: Gone, item: Item, pointer: Pointer): void {
  const { type } = item;
  if (type === INODE) {
    const links = Math.min(1, decodeInode(item)?.links ?? 0);
    const isNewer = one.inode === undefined || pointer.generation > one.inode.generation;
    // A file that was just unlinked and is still open has none, and soon no extents.
    if (links > one.links || (links === one.links && isNewer)) {
      one.inode = pointer;
      one.links = links;
    }
  } else if (type === FILE_EXTENT) {
    if (one.extents.at(-1) !== pointer) one.extents.push(pointer);
  } else if (pointer.generation >= one.named) {
    const [name] = namesIn(item);
    if (name === undefined) return;
    one.name = name;
    one.named = pointer.generation;
  }
}
