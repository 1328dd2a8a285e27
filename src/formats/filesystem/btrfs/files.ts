/** Files, directories and subvolumes of a btrfs volume as nodes. */
import type { Damage } from '../../../core/damage.ts';
import { MAX_ENTRIES } from '../../../core/limits.ts';
import { encodeName, printable } from '../../../core/locator.ts';
import { MapSource } from '../../../core/map-source.ts';
import type { Facts, Node } from '../../../core/node.ts';
import type { Source } from '../../../core/source.ts';
import { latin1 } from '../../../core/struct.ts';
import {
  bare,
  childNamed,
  ENTRY_TYPES,
  kindOf,
  type Place as PlaceInTree,
  SPECIAL,
  TYPE_DIRECTORY,
  TYPE_REGULAR,
  TYPE_SYMLINK,
  whyNotWalked,
} from '../posix.ts';
import { checkSums } from './check.ts';
import { FileMap } from './extents.ts';
import { attributesOf, type Entry, entriesIn, type Inode, inodeOf } from './inodes.ts';
import { DIR_INDEX, INODE, ROOT, ROOT_BACKREF, ROOT_REF, rootReference } from './structs.ts';
import type { Key, Lost } from './tree.ts';
import { mountIn, type Subvolume, type Volume } from './volume.ts';

const MAX_LINK = 4096;
/** Files that claim more are damaged. */
const MAX_BYTES = 2 ** 52;

/** Where a node stands in the tree, by the subvolumes and inodes above it. */
interface Place extends PlaceInTree<string> {
  /** A check that failed on the way, whatever is below. */
  readonly doubt?: string;
}

/** The directory at the top of a subvolume; without children where its inode is lost. */
export async function subvolumeNode(
  volume: Volume,
  sub: Subvolume,
  place: Place,
  damage: Damage[] = [],
): Promise<Node> {
  const inode = await inodeOf(sub.tree, sub.directory);
  const details = {
    subvolume: sub.id,
    readOnly: sub.isReadOnly,
    generation: sub.generation,
    ...(sub.uuid !== undefined && { uuid: sub.uuid }),
    ...(sub.parent !== undefined && { parentUuid: sub.parent }),
  };
  if (inode === undefined || inode.kind !== TYPE_DIRECTORY) {
    const effect = 'names and folders of it are lost; the files themselves may still be there';
    const { place: at } = sub.tree.root;
    volume.note(
      at,
      'btrfs.root',
      `a directory in inode ${sub.directory} of subvolume ${sub.id}`,
      'none',
      effect,
      damage,
    );
    return bare(place, 'directory', { details }, damage);
  }
  const node = await inodeNode(volume, sub, inode, place, undefined, damage);
  return { ...node, facts: { ...node.facts, details: { ...node.facts.details, ...details } } };
}

/** An inode as a node; `failed` is the check of the entry that led to it. */
export async function inodeNode(
  volume: Volume,
  sub: Subvolume,
  inode: Inode,
  place: Place,
  failed: string | undefined,
  damage: Damage[] = [],
): Promise<Node> {
  const { tree } = sub;
  const own = [failed, inode.doubt].filter((code) => code !== undefined && code !== volume.doubt);
  for (const code of new Set(own)) {
    const effect = 'what it leads to is inferred, not stated';
    volume.note(inode.item.node.place, code!, 'a node whose checks agree', 'one whose check fails', effect, damage);
  }
  const doubt = failed ?? inode.doubt ?? place.doubt;
  const bytes = async (): Promise<Source> =>
    new MapSource(sizeOf(volume, inode), new FileMap(volume, tree, inode.number, doubt));
  const target = inode.kind === TYPE_SYMLINK ? await linkOf(await bytes()) : undefined;
  const facts = { ...(await factsOf(volume, sub, inode)), ...(target !== undefined && { target }) };
  const node = bare(place, kindOf(inode.kind), facts, damage);
  if (node.kind === 'system') return node;
  if (node.kind !== 'directory') {
    const check = (signal: AbortSignal): AsyncIterable<Damage> => checkSums(volume, tree, inode, signal);
    return { ...node, bytes, ...(node.kind === 'file' && { check }) };
  }
  const children = (only?: string) =>
    childrenOf(volume, sub, inode, { ...place, ...(doubt !== undefined && { doubt }) }, damage, only);
  return { ...node, children: () => children(), child: (rawName) => childNamed(children(rawName), rawName) };
}

async function linkOf(source: Source): Promise<string | undefined> {
  const block = new Uint8Array(Math.min(source.size, MAX_LINK));
  const gaps = await source.read(0, block);
  return gaps.length > 0 ? undefined : latin1(block, 0, block.length);
}

/** A size in a damaged node is believed as far as the volume itself reaches. */
function sizeOf(volume: Volume, inode: Inode): number {
  return Math.min(inode.size, inode.doubt === undefined ? MAX_BYTES : volume.super.block.totalBytes);
}

/** What an inode says of its file. */
async function factsOf(volume: Volume, sub: Subvolume, inode: Inode): Promise<Facts> {
  const facts = { ...plainFacts(inode), ...(inode.kind === TYPE_REGULAR && { size: sizeOf(volume, inode) }) };
  const names = await attributesOf(sub.tree, inode.number);
  if (names.length === 0 || volume.isForeign) return facts;
  return { ...facts, details: { ...facts.details, attributes: printable(names.join(', ')) } };
}

export function plainFacts(inode: Inode): Facts {
  // Signed: what is older than 1970 is negative.
  const time = (low: number, high: number, ns: number): number => {
    const seconds = (high | 0) * 2 ** 32 + low;
    return Number.isSafeInteger(seconds) ? seconds + ns / 1e9 : 0;
  };
  const details: Record<string, string | number | boolean> = {
    inode: inode.number,
    generation: inode.generation,
    changedIn: inode.changedIn,
    allocated: inode.bytes,
    created: time(inode.made, inode.madeHigh, inode.madeNs),
  };
  const special = SPECIAL[inode.kind];
  if (special !== undefined) details.type = special;
  return {
    size: special === undefined && inode.kind !== TYPE_DIRECTORY ? Math.min(inode.size, MAX_BYTES) : 0,
    mode: inode.mode & 0o7777,
    uid: inode.uid,
    gid: inode.gid,
    links: inode.links,
    modified: time(inode.modified, inode.modifiedHigh, inode.modifiedNs),
    changed: time(inode.changed, inode.changedHigh, inode.changedNs),
    accessed: time(inode.accessed, inode.accessedHigh, inode.accessedNs),
    details,
  };
}

async function* childrenOf(
  volume: Volume,
  sub: Subvolume,
  inode: Inode,
  place: Place,
  damage: Damage[],
  only?: string,
): AsyncGenerator<Node> {
  const key = `${sub.id}/${inode.number}`;
  const above = [...place.above, key];
  const effect = 'entries of this directory may be missing or wrong';
  const refusal = whyNotWalked('btrfs.directory', key, place, volume.directories, `${key} again`);
  if (refusal !== undefined) {
    const { code, expected, actual } = refusal;
    return volume.note(inode.item.node.place, code, expected, actual, effect, damage);
  }
  const names = new Map<string, number>();
  let count = 0;
  for await (const item of sub.tree.of(inode.number, DIR_INDEX)) {
    if ('lost' in item || entriesIn(item).length === 0) {
      const [code, at] = 'lost' in item ? [item.lost, item.place] : ['btrfs.entry', item.node.place];
      const actual = 'lost' in item && item.isPart ? 'one whose check fails' : 'none that can be read';
      volume.note(at, code, 'a node with entries', actual, effect, damage);
      continue;
    }
    for (const entry of entriesIn(item)) {
      if (++count > MAX_ENTRIES)
        return volume.note(
          item.node.place,
          'btrfs.directory.entries',
          `at most ${MAX_ENTRIES} entries`,
          'more',
          effect,
          damage,
        );
      const before = names.get(entry.name) ?? 0;
      names.set(entry.name, before + 1);
      const rawName = before === 0 ? entry.name : `${entry.name};${before + 1}`;
      if (only !== undefined && rawName !== only) continue;
      const locator = `${place.locator}/${encodeName(rawName)}`;
      const { state, doubt } = place;
      yield await entryNode(volume, sub, entry, inode, {
        locator,
        rawName,
        above,
        ...(state !== undefined && { state }),
        ...(doubt !== undefined && { doubt }),
      });
    }
  }
}

async function entryNode(volume: Volume, sub: Subvolume, entry: Entry, directory: Inode, place: Place): Promise<Node> {
  const { node, doubt } = entry.item;
  if (entry.type === ROOT) return mountedNode(volume, sub, entry, directory, place);
  const kind = ENTRY_TYPES[entry.kind] ?? 0;
  const inode = entry.type === INODE ? await inodeOf(sub.tree, entry.objectid) : undefined;
  const damage: Damage[] = [];
  const effect = 'what it leads to is inferred, not stated';
  if (inode === undefined) {
    const lost = `${printable(entry.name)} is known by name only; its bytes are missing`;
    volume.note(node.place, 'btrfs.inode.missing', `inode ${entry.objectid}`, 'none that can be read', lost, damage);
    return bare(place, kindOf(kind), {}, damage);
  }
  if (doubt !== undefined && doubt !== volume.doubt)
    volume.note(node.place, doubt, 'a node of entries whose checks agree', 'one whose check fails', effect, damage);
  const isOther = kind !== inode.kind;
  if (isOther) {
    const actual = `type ${inode.kind}`;
    volume.note(inode.item.node.place, 'btrfs.inode.type', `type ${kind}, as its entry says`, actual, effect, damage);
  }
  return inodeNode(volume, sub, inode, place, doubt ?? (isOther ? 'btrfs.inode.type' : undefined), damage);
}

/** A subvolume where it hangs. What a snapshot keeps of a subvolume inside of it is an empty directory. */
async function mountedNode(
  volume: Volume,
  sub: Subvolume,
  entry: Entry,
  directory: Inode,
  place: Place,
): Promise<Node> {
  const { objectid: id, item } = entry;
  const damage: Damage[] = [];
  const { isHere, lost } = await hangs(volume, sub, entry, directory);
  if (!isHere) {
    const own = lost?.lost ?? place.doubt ?? item.doubt;
    if (own !== undefined && own !== volume.doubt) {
      const [at, expected, actual] =
        lost === undefined
          ? [item.node.place, 'nodes whose checks agree', 'one whose check fails']
          : [lost.place, `a node of roots that says where subvolume ${id} hangs`, 'none that can be read'];
      volume.note(at, own, expected, actual, 'it may not be empty', damage);
    }
    return { ...bare(place, 'directory', { details: { placeOfSubvolume: id } }, damage), ...EMPTY };
  }
  const inner = await volume.subvolume(id);
  if (inner !== undefined) return subvolumeNode(volume, inner, place);
  volume.note(item.node.place, 'btrfs.root', `subvolume ${id}`, 'no root of it', 'all in it is missing', damage);
  return bare(place, 'directory', {}, damage);
}

/** Whether a subvolume hangs in a directory, as its parent or as it says itself; and what of that cannot be read. */
async function hangs(
  volume: Volume,
  sub: Subvolume,
  { objectid: id }: Entry,
  directory: Inode,
): Promise<{ readonly isHere: boolean; readonly lost?: Lost }> {
  let lost: Lost | undefined;
  const ways = [
    [sub.id, ROOT_REF, id],
    [id, ROOT_BACKREF, sub.id],
  ];
  for (const [objectid, type, offset] of ways) {
    const key: Key = { objectid, type, offset };
    for await (const item of volume.roots.items(key, key)) {
      if ('lost' in item) lost ??= item;
      else if (item.size >= rootReference.size && mountIn(item, sub.id).directory === directory.number)
        return { isHere: true };
    }
  }
  return { isHere: false, ...(lost && { lost }) };
}

const EMPTY: Pick<Node, 'child' | 'children'> = {
  child: async () => undefined,
  async *children() {},
};

export function isFile({ kind }: Inode): boolean {
  return kind === TYPE_REGULAR || kind === TYPE_SYMLINK;
}
