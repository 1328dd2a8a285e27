/** Files and directories of an ext volume as nodes. */
import { Batches } from '../../../core/batches.ts';
import type { Damage } from '../../../core/damage.ts';
import { MAX_DAMAGES, MAX_ENTRIES } from '../../../core/limits.ts';
import { encodeName, printable } from '../../../core/locator.ts';
import type { Facts, Node } from '../../../core/node.ts';
import { DATA, RunList } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { latin1, viewOf } from '../../../core/struct.ts';
import { ListedFile } from '../listed.ts';
import {
  bare,
  childNamed,
  type Doubt,
  ENTRY_TYPES,
  kindOf,
  type Place,
  SPECIAL,
  TYPE_BLOCK,
  TYPE_CHARACTER,
  TYPE_DIRECTORY,
  whyNotWalked,
} from '../posix.ts';
import { attributesOf, inlineRest } from './attributes.ts';
import { type Bounds, type Entry, entriesIn, isIndexNode, isSummed, ownerIn } from './directory.ts';
import type { Inode } from './inode.ts';
import { FLAG_ENCRYPTED, FLAG_EXTENTS, FLAG_INLINE_DATA, MAP_AT, MAP_BYTES, ROOT_INODE } from './structs.ts';
import { isFastLink, type Volume } from './volume.ts';

const MAX_TARGET = 4096;
/** 4 GiB of entries with blocks of 4 KiB. */
const MAX_DIRECTORY_BLOCKS = 2 ** 20;
/** Bytes of a directory that are read at once. */
const DIRECTORY_READ = 64 * 1024;
const INCOMPAT_FILETYPE = 2;
const MAX_NAMED_ATTRIBUTES = 20;
/** Bytes of the parent's number in front of the entries that an inode holds itself. */
const INLINE_PARENT = 4;

/** The root directory; a node without children where its inode is lost. */
export async function rootNode(volume: Volume, locator: string, name: string): Promise<Node> {
  const place: Place = { locator, rawName: name, above: [] };
  const inode = await volume.inodes.get(ROOT_INODE);
  if (inode === undefined || inode.type !== TYPE_DIRECTORY) {
    const group = await volume.groups.get(0);
    const at = group === undefined ? volume.geometry.superAt : group.inodeTable * volume.geometry.blockSize;
    const effect = 'names and folders are lost; the files themselves may still be there';
    volume.damage.push(volume.cx.damage(at, 'ext.root', 'the inode of the root directory', 'none', effect));
    return { ...bare(place, 'filesystem'), damage: volume.damage, async *children() {} };
  }
  const node = await inodeNode(volume, inode, place, [], volume.damage);
  return { ...node, kind: 'filesystem' };
}

/** An inode that no directory leads to. */
export async function orphanNode(volume: Volume, inode: Inode, place: Place): Promise<Node> {
  const expected = 'a name in a directory that the root leads to';
  const node = await inodeNode(volume, inode, place, [{ at: inode.at, code: 'ext.orphan', expected, actual: 'none' }]);
  return node;
}

/** A promise only where something has to be read first: a page of inodes, a link's text. */
function entryNode(volume: Volume, entry: Entry, place: Place): Node | Promise<Node> {
  const inode = volume.inodes.get(entry.inode);
  if (inode instanceof Promise) return inode.then((read) => describedNode(volume, entry, read, place));
  return describedNode(volume, entry, inode, place);
}

function describedNode(volume: Volume, entry: Entry, inode: Inode | undefined, place: Place): Node | Promise<Node> {
  const type = ENTRY_TYPES[entry.type] ?? 0;
  if (inode === undefined) {
    const effect = `${printable(entry.name)} is known by name only; its bytes are missing`;
    const actual = 'an empty or unreadable one';
    const damage = volume.cx.damage(entry.at, 'ext.inode.missing', `inode ${entry.inode}`, actual, effect);
    return { ...bare(place, kindOf(type)), damage: [damage] };
  }
  if ((type === 0 || type === inode.type) && entry.doubt === undefined) return inodeNode(volume, inode, place, NONE);
  const doubts: Doubt[] = [];
  if (type !== 0 && type !== inode.type) {
    const expected = `type ${type}, as its directory entry says`;
    doubts.push({ at: inode.at, code: 'ext.inode.type', expected, actual: String(inode.type) });
  }
  if (entry.doubt !== undefined) {
    const expected = 'a block of entries whose checks agree';
    doubts.push({ at: entry.at, code: entry.doubt, expected, actual: 'one whose check fails' });
  }
  return inodeNode(volume, inode, place, doubts);
}

const NONE: readonly Doubt[] = [];

/** An inode as a node; `doubts` are those of the entry that led to it. */
function inodeNode(
  volume: Volume,
  inode: Inode,
  place: Place,
  doubts: readonly Doubt[],
  damage: Damage[] = [],
): Node | Promise<Node> {
  const effect = 'what it leads to is inferred, not stated';
  for (const doubt of inode.doubts) damage.push(volume.note(doubt, effect));
  for (const doubt of doubts) damage.push(volume.note(doubt, effect));
  if (inode.type !== TYPE_DIRECTORY && inode.size > volume.sizeOf(inode)) {
    const expected = `at most ${volume.sizeOf(inode)} bytes`;
    const doubt = { at: inode.at + 4, code: 'ext.inode.size', expected, actual: String(inode.size) };
    damage.push(volume.note(doubt, 'only what a map could lead to is shown'));
  }
  const failed = doubts[0]?.code;
  const kind = kindOf(inode.type);
  if (kind === 'file') {
    const lost = lostMap(volume, inode);
    if (lost !== undefined) {
      const actual = 'none that could be used';
      const doubt = { at: inode.at + MAP_AT, code: lost, expected: 'where its blocks lie', actual };
      damage.push(volume.note(doubt, 'its bytes are missing'));
    }
    return new InodeFile(volume, inode, failed, place, damage);
  }
  const node = bare(place, kind, factsOf(volume, inode), damage);
  if (kind === 'system') return node;
  const bytes = () => volume.bytes(inode, failed);
  if (kind === 'symlink') {
    return bytes()
      .then(targetOf)
      .then((target) => ({ ...node, facts: { ...node.facts, target }, bytes }));
  }
  const children = (only?: string) => childrenOf(volume, inode, place, damage, failed, only);
  return { ...node, bytes, children: () => children(), child: (rawName) => childNamed(children(rawName), rawName) };
}

/** A regular file. */
class InodeFile extends ListedFile {
  readonly #volume: Volume;
  readonly #inode: Inode;
  readonly #failed: string | undefined;

  constructor(volume: Volume, inode: Inode, failed: string | undefined, place: Place, damage: readonly Damage[]) {
    super(place, 'file', damage);
    this.#volume = volume;
    this.#inode = inode;
    this.#failed = failed;
  }

  bytes(): Promise<Source> {
    return this.#volume.bytes(this.#inode, this.#failed);
  }

  protected decoded(): Facts {
    return factsOf(this.#volume, this.#inode);
  }
}

function lostMap(volume: Volume, inode: Inode): string | undefined {
  if ((inode.flags & (FLAG_INLINE_DATA | FLAG_ENCRYPTED)) !== 0 || inode.size === 0) return undefined;
  if ((inode.flags & FLAG_EXTENTS) !== 0 && inode.isRooted) return undefined;
  return volume.map(inode).lost;
}

/** What an inode says of its file, whether it lives or not. */
export function factsOf(volume: Volume, inode: Inode): Facts {
  const details: Record<string, string | number | boolean> = {
    inode: inode.number,
    generation: inode.generation,
    allocation: allocationOf(inode),
    allocated: inode.allocated,
  };
  if (inode.made !== undefined) details.created = inode.made;
  if (inode.deleted !== 0 && inode.links === 0) details.deleted = inode.deleted;
  if ((inode.flags & FLAG_ENCRYPTED) !== 0) details.encrypted = true;
  const special = SPECIAL[inode.type];
  if (special !== undefined) details.type = special;
  if (inode.type === TYPE_CHARACTER || inode.type === TYPE_BLOCK) details.device = deviceOf(inode);
  const attributes = attributesOf(inode);
  const names = attributes.length === 0 ? attributes : attributes.filter(({ name }) => name !== 'system.data');
  if (names.length > 0)
    details.attributes = printable(
      names
        .slice(0, MAX_NAMED_ATTRIBUTES)
        .map((a) => a.name)
        .join(', '),
    );
  return {
    size: special === undefined ? volume.sizeOf(inode) : 0,
    mode: inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    links: inode.links,
    modified: inode.modified,
    changed: inode.changed,
    accessed: inode.accessed,
    details,
  };
}

function allocationOf(inode: Inode): string {
  if ((inode.flags & FLAG_INLINE_DATA) !== 0 || isFastLink(inode)) return 'inline';
  return (inode.flags & FLAG_EXTENTS) !== 0 ? 'extents' : 'block pointers';
}

/** "major:minor", from the older form or the newer one. */
function deviceOf({ map }: Inode): string {
  const view = viewOf(map);
  const old = view.getUint32(0, true);
  if (old !== 0) return `${old >>> 8}:${old & 0xff}`;
  const word = view.getUint32(4, true);
  return `${(word >>> 8) & 0xfff}:${(word & 0xff) | ((word >>> 12) & 0xfff00)}`;
}

async function targetOf(source: Source): Promise<string> {
  const block = new Uint8Array(Math.min(source.size, MAX_TARGET));
  await source.read(0, block);
  return latin1(block, 0, block.length);
}

function childrenOf(
  volume: Volume,
  inode: Inode,
  place: Place,
  damage: Damage[],
  failed?: string,
  only?: string,
): Batches<Node> {
  return new Batches(nodesIn(volume, inode, place, damage, failed, only));
}

/** The nodes of a directory, a block of entries at a time. */
async function* nodesIn(
  volume: Volume,
  inode: Inode,
  place: Place,
  damage: Damage[],
  failed: string | undefined,
  only?: string,
): AsyncGenerator<readonly Node[]> {
  const above = [...place.above, inode.number];
  const effect = 'entries of this directory may be missing or wrong';
  const report = (doubt: Doubt): void => {
    // A directory is listed more than once; what is wrong with it is said once.
    const note = volume.note(doubt, effect);
    if (damage.length < MAX_DAMAGES && !damage.some((d) => d.at === note.at && d.code === note.code)) damage.push(note);
  };
  const refusal = whyNotWalked('ext.directory', inode.number, place, volume.directories, `inode ${inode.number} again`);
  if (refusal !== undefined) return report({ at: inode.at, ...refusal });
  const names = new Names();
  const state = place.state;
  let count = 0;
  const bounds = boundsOf(volume);
  for await (const { block, at, doubt } of blocksOf(volume, inode, report)) {
    const nodes: Node[] = [];
    for (const entry of entriesIn(block, at, bounds, report, doubt ?? failed)) {
      if (++count > MAX_ENTRIES) {
        const expected = `at most ${MAX_ENTRIES} entries`;
        report({ at: inode.at, code: 'ext.directory.entries', expected, actual: 'more' });
        yield nodes;
        return;
      }
      const rawName = names.add(entry.name);
      // Whoever asks for one name does not need the inodes of all others.
      if (only !== undefined && rawName !== only) continue;
      const locator = `${place.locator}/${encodeName(rawName)}`;
      const node = entryNode(
        volume,
        entry,
        state === undefined ? { locator, rawName, above } : { locator, rawName, above, state },
      );
      nodes.push(node instanceof Promise ? await node : node);
    }
    yield nodes;
  }
}

/** Names of one directory, those that come again told apart. */
class Names {
  readonly #met = new Set<string>();
  readonly #again = new Map<string, number>();

  add(name: string): string {
    const { size } = this.#met;
    if (this.#met.add(name).size > size) return name;
    const count = (this.#again.get(name) ?? 1) + 1;
    this.#again.set(name, count);
    return `${name};${count}`;
  }
}

export function boundsOf(volume: Volume): Bounds {
  const { super: sb, inodes } = volume.geometry;
  return { inodes, hasTypes: (sb.incompat & INCOMPAT_FILETYPE) !== 0 };
}

interface DirectoryBlock {
  readonly block: Uint8Array;
  /** Bytes from the start of the volume. */
  readonly at: number;
  /** The check that it failed. */
  readonly doubt?: string;
}

/** The blocks of a directory that could be read, or the two rooms for entries in its inode. */
export async function* blocksOf(
  volume: Volume,
  inode: Inode,
  report: (doubt: Doubt) => void,
  isDead = false,
): AsyncGenerator<DirectoryBlock> {
  if ((inode.flags & FLAG_INLINE_DATA) !== 0) {
    const { raw, at } = inode;
    yield { block: raw.subarray(MAP_AT + INLINE_PARENT, MAP_AT + MAP_BYTES), at: at + MAP_AT + INLINE_PARENT };
    const rest = inlineRest(inode);
    if (rest !== undefined) yield { block: raw.subarray(rest.at, rest.at + rest.length), at: at + rest.at };
    return;
  }
  const unit = volume.geometry.blockSize;
  const source = await volume.bytes(inode, undefined, isDead);
  const list = new RunList(1);
  let offset = 0;
  for (let count = 0; offset + unit <= source.size && count < MAX_DIRECTORY_BLOCKS; ) {
    list.clear();
    await source.runs(offset, source.size, list);
    const isData = list.state(0) === DATA;
    const isPlaced = list.sourceOf(0) === volume.source;
    const placeOf = (from: number): number => (isPlaced ? list.at[0] + from : inode.at);
    const whole = list.length[0] - (list.length[0] % unit);
    if (!isData) {
      reportLost(placeOf(0), offset / unit, inode, report);
      count++;
      offset += Math.max(unit, whole);
      continue;
    }
    // Blocks that lie together are read together.
    const stretch = new Uint8Array(Math.max(unit, Math.min(whole, DIRECTORY_READ)));
    const gaps = await source.read(offset, stretch);
    for (let from = 0; from < stretch.length; from += unit, offset += unit, count++) {
      const at = placeOf(from);
      const block = stretch.subarray(from, from + unit);
      const isGone = gaps.some((gap) => gap.offset < offset + unit && gap.offset + gap.length > offset);
      if (isGone) reportLost(at, offset / unit, inode, report);
      yield { block, at, ...(doubtOf(block, inode, at, report) ?? ownerDoubt(block, inode, offset, at, report)) };
    }
  }
}

/** A directory has no holes: what is not there is lost. */
function reportLost(at: number, block: number, inode: Inode, report: (doubt: Doubt) => void): void {
  const expected = `block ${block} of directory inode ${inode.number}`;
  report({ at, code: 'ext.directory.block', expected, actual: 'none that can be read' });
}

function doubtOf(
  block: Uint8Array,
  inode: Inode,
  at: number,
  report: (doubt: Doubt) => void,
): { doubt: string } | undefined {
  if (inode.seed === undefined) return undefined;
  // A root of a hash tree can still carry the sum of the plain block that it was.
  const summed = isIndexNode(block) ? true : isSummed(block, inode.seed);
  if (summed === true) return undefined;
  const code = 'ext.directory.checksum';
  const actual = summed === undefined ? 'no checksum' : 'one that does not agree';
  report({ at, code, expected: 'a block of entries with its checksum', actual });
  return { doubt: code };
}

/** A directory begins with itself, which tells a block of another one where nothing carries sums. */
function ownerDoubt(
  block: Uint8Array,
  inode: Inode,
  offset: number,
  at: number,
  report: (doubt: Doubt) => void,
): { doubt: string } | undefined {
  const own = offset === 0 ? ownerIn(block) : undefined;
  if (own === undefined || own === inode.number) return undefined;
  const code = 'ext.directory.owner';
  const expected = `a block of entries of directory inode ${inode.number}`;
  report({ at, code, expected, actual: `one of inode ${own}` });
  return { doubt: code };
}
