/** Deleted files of XFS: free inodes still hold the extents of what they were, and directories the names. */
import { printable } from '../../../core/locator.ts';
import type { Node } from '../../../core/node.ts';
import { INFERRED } from '../../../core/run.ts';
import { viewOf } from '../../../core/struct.ts';
import { type Called, called, type Name, Names, type Span } from '../called.ts';
import { Claimants } from '../claimants.ts';
import { type Folder, folder } from '../folder.ts';
import { TYPE_DIRECTORY, TYPE_REGULAR } from '../posix.ts';
import { inodesOf } from './chunks.ts';
import { type Entry, entriesIn, type Leftover, leftoversIn, shortEntries } from './directory.ts';
import { blocksOf, entriesOf, factsOf } from './files.ts';
import { byteOf } from './geometry.ts';
import { extentAt, type Inode, inodeOf } from './inodes.ts';
import { type Logged, loggedInodes } from './log-inodes.ts';
import {
  DIRECTORY_MAGICS,
  FORM_BTREE,
  FORM_EXTENTS,
  FORM_LOCAL,
  inodeCore,
  LONG_BYTES,
  longBlock,
  MAP_MAGIC,
} from './structs.ts';
import type { Volume } from './volume.ts';

export const DELETED = '+deleted';
/** Files that are listed at most, and directories that are looked through for names. */
const MAX_DELETED = 1_000_000;
const MAX_DIRECTORIES = 1_000_000;
const MAX_DEPTH = 128;
const RECORD = 16;
/** Where the fork of attributes usually begins: what a free inode no longer says. */
const USUAL_FORK = 24 * 8;

/** The virtual directory of deleted files; undefined where there are none. */
export async function deletedNode(volume: Volume, locator: string): Promise<Node | undefined> {
  const gone = new Map<number, Inode>();
  const generations = new Map<number, number>();
  const logged = await loggedInodes(volume.source, volume.geometry);
  const last = lastVersions(logged);
  for await (const inode of inodesOf(volume, 'free')) {
    const dead = await asItWas(volume, inode, last.get(inode.number));
    if (dead === undefined) continue;
    if (gone.size >= MAX_DELETED) {
      const limit = { at: 0, code: 'xfs.deleted.limit', expected: `at most ${MAX_DELETED} files`, actual: 'more' };
      volume.damage.push(volume.note(limit, 'more may have been deleted than is listed'));
      break;
    }
    gone.set(inode.number, dead);
    // It goes up by one when an inode is freed.
    generations.set(inode.number, (inode.generation - 1) >>> 0);
  }
  if (gone.size === 0) return undefined;
  await tellFates(volume, gone);
  const { names, paths } = await namesOf(volume, gone, logged, spansOf(generations, logged));
  return tree(volume, locator, gone, names, paths);
}

/** Finds out what became of the blocks of all that is gone: of those that had one in turn, the last may still be there. */
async function tellFates(volume: Volume, gone: Map<number, Inode>): Promise<void> {
  const claimants = new Claimants();
  for (const [who, inode] of gone) {
    if (inode.format === FORM_LOCAL) continue;
    for await (const { block, count } of volume.map(inode, true).extents())
      claimants.add({ from: block, end: block + count, order: inode.changedAt, who });
  }
  for (const [who, inode] of gone) {
    const fate = (from: number, end: number) => claimants.fate({ from, end, order: inode.changedAt, who });
    gone.set(who, { ...inode, fate });
  }
}

/** The newest version of each inode in which it was in use. */
function lastVersions(logged: readonly Logged[]): Map<number, Logged> {
  const out = new Map<number, Logged>();
  for (const one of logged) {
    const core = inodeCore.decode(one.core);
    if (core.mode === 0 || core.links === 0 || core.size === 0) continue;
    // A version without its fork says the size of a map that an older one holds.
    const before = out.get(one.number);
    const isSame = before !== undefined && inodeCore.decode(before.core).generation === core.generation;
    out.set(one.number, one.fork === undefined && isSame ? { ...one, fork: before.fork } : one);
  }
  return out;
}

/** A free inode with the map that it had; undefined where nothing of it is left. */
async function asItWas(volume: Volume, inode: Inode, logged: Logged | undefined): Promise<Inode | undefined> {
  const found = logged === undefined ? undefined : fromLog(volume, inode, logged);
  const left = found?.fork === undefined ? await fromResidue(volume, inode) : undefined;
  if (found === undefined) return left;
  if (found.fork !== undefined) return { ...found.inode, fork: found.fork };
  // The log knows the size, the inode still its map.
  if (left === undefined || found.inode.size > left.size) return left;
  const { size, mode, uid, gid, modified, changed, accessed, links, type } = found.inode;
  return { ...left, size, mode, uid, gid, modified, changed, accessed, links, type };
}

/** What the log says a free inode was: only of the file that it was last, which its generation tells. */
function fromLog(
  { geometry, source }: Volume,
  now: Inode,
  { core, fork, at }: Logged,
): { readonly inode: Inode; readonly fork: Uint8Array | undefined } | undefined {
  const raw = new Uint8Array(geometry.inodeSize);
  raw.set(core);
  const was = inodeOf(geometry, now.number, raw, source, at);
  if (was === undefined || (was.generation + 1) >>> 0 !== now.generation >>> 0) return undefined;
  const why = { what: `XFS log, inode ${now.number}`, source, at, code: 'xfs.deleted.log' };
  // It had its blocks until it was freed.
  const inode: Inode = { ...was, changedAt: now.changedAt, certainty: INFERRED, why, doubts: [] };
  // Only maps are used from there: what small files held themselves lies in sectors with words taken out.
  return { inode, fork: was.format === FORM_EXTENTS ? fork : undefined };
}

async function fromResidue(volume: Volume, inode: Inode): Promise<Inode | undefined> {
  const unit = volume.geometry.blockSize;
  const view = viewOf(inode.fork);
  const code = 'xfs.deleted';
  const said = { certainty: INFERRED, why: { ...inode.why, code } } as const;
  if (view.getUint16(0, false) > 0) {
    const fork = await treeFork(volume, inode);
    if (fork === undefined) return undefined;
    const dead: Inode = { ...inode, ...said, type: TYPE_REGULAR, format: FORM_BTREE, fork };
    let end = 0;
    for await (const one of volume.map(dead, true).extents()) end = Math.max(end, one.logical + one.count);
    return end === 0 ? undefined : { ...dead, size: end * unit };
  }
  let extents = 0;
  let end = 0;
  let first = 0;
  for (let at = 0; at + RECORD <= inode.fork.length; at += RECORD) {
    const one = extentAt(view, at);
    const start = byteOf(volume.geometry, one.block);
    const fits = one.count > 0 && one.block > 0 && start !== undefined && one.logical >= end;
    if (!fits || byteOf(volume.geometry, one.block + one.count - 1) === undefined) break;
    if (extents === 0) first = start;
    end = one.logical + one.count;
    extents++;
  }
  if (extents === 0) return undefined;
  const type = (await isDirectoryBlock(volume, first)) ? TYPE_DIRECTORY : TYPE_REGULAR;
  return { ...inode, ...said, type, format: FORM_EXTENTS, extents, size: end * unit };
}

/** The part of a free inode that its tree's root stands in: the one whose pointers lead to blocks of this inode. */
async function treeFork(volume: Volume, inode: Inode): Promise<Uint8Array | undefined> {
  const { geometry: g, source } = volume;
  const n = viewOf(inode.fork).getUint16(2, false);
  for (const length of [inode.fork.length, USUAL_FORK]) {
    if (length > inode.fork.length || n === 0) continue;
    const fork = inode.fork.subarray(0, length);
    const most = Math.floor((length - 4) / RECORD);
    if (n > most) continue;
    const view = viewOf(fork);
    const pointer = view.getUint32(4 + most * 8, false) * 2 ** 32 + view.getUint32(8 + most * 8, false);
    const at = byteOf(g, pointer);
    const head = new Uint8Array(LONG_BYTES.checked);
    if (at === undefined || at + head.length > source.size) continue;
    await source.read(at, head);
    const block = longBlock.decode(head);
    const isOwn = !g.isChecked || block.owner === inode.number;
    if (block.magic === (g.isChecked ? MAP_MAGIC.checked : MAP_MAGIC.old) && isOwn) return fork;
  }
  return undefined;
}

async function isDirectoryBlock({ source }: Volume, at: number): Promise<boolean> {
  const head = new Uint8Array(4);
  if (at + head.length > source.size) return false;
  await source.read(at, head);
  return Object.values(DIRECTORY_MAGICS).includes(viewOf(head).getUint32(0, false));
}

/** When each file that is gone had its inode, as far as the log goes back. */
function spansOf(generations: ReadonlyMap<number, number>, logged: readonly Logged[]): Map<number, Span> {
  const out = new Map<number, Span>();
  for (const { number, core, checkpoint } of logged) {
    const { mode, links, generation } = inodeCore.decode(core);
    if (mode === 0 || links === 0 || generation !== generations.get(number)) continue;
    out.set(number, { first: out.get(number)?.first ?? checkpoint, last: checkpoint });
  }
  return out;
}

/** Names of what is gone, and the paths of directories that live. */
async function namesOf(
  volume: Volume,
  gone: ReadonlyMap<number, Inode>,
  logged: readonly Logged[],
  spans: ReadonlyMap<number, Span>,
): Promise<{ names: Map<number, Called>; paths: Map<number, Name> }> {
  const known = new Names();
  const paths = new Map<number, Name>();
  const byLow = new Map<number, number[]>();
  for (const number of gone.keys()) byLow.set(number % 2 ** 32, [...(byLow.get(number % 2 ** 32) ?? []), number]);
  const learn = ({ inodeLow, name }: Leftover, parent: number, order?: number): void => {
    // Where the lower half fits several, the name is nobody's.
    const [number, ...more] = byLow.get(inodeLow) ?? [];
    if (number !== undefined && more.length === 0) known.add(number, { name, parent, order });
  };
  const root = volume.geometry.super.rootInode;
  const queue: number[] = [root];
  const seen = new Set<number>(queue);
  for (const [number, { type }] of gone) if (type === TYPE_DIRECTORY) queue.push(number);
  for (let number = queue.shift(); number !== undefined && seen.size < MAX_DIRECTORIES; number = queue.shift()) {
    const isGone = gone.has(number);
    const inode = gone.get(number) ?? (await volume.inodes.get(number));
    if (inode?.type !== TYPE_DIRECTORY) continue;
    if (!isGone) {
      for await (const entry of entriesOf(volume, inode, () => {})) {
        if (seen.has(entry.inode) || (entry.type !== 0 && entry.type !== 2)) continue;
        seen.add(entry.inode);
        paths.set(entry.inode, { name: entry.name, parent: number });
        queue.push(entry.inode);
      }
    }
    if (inode.format === FORM_LOCAL) continue;
    for await (const { block } of blocksOf(volume, inode, () => {}, isGone))
      for (const entry of leftoversIn(block, volume.geometry.hasTypes)) learn(entry, number);
  }
  await namesInLog(volume, logged, learn);
  const names = new Map<number, Called>();
  for (const number of gone.keys()) {
    const called = known.of(number, spans.get(number));
    if (called !== undefined) names.set(number, called);
  }
  return { names, paths };
}

/** Names that the log still has: in directories as they were, and in blocks that were theirs. */
async function namesInLog(
  volume: Volume,
  logged: readonly Logged[],
  learn: (found: Leftover, parent: number, order?: number) => void,
): Promise<void> {
  const { hasTypes } = volume.geometry;
  const nobody = (): void => {};
  const met = new Set<string>();
  for (const one of logged.toReversed()) {
    const { number, core, fork, checkpoint } = one;
    const { format, mode } = inodeCore.decode(core);
    if (fork === undefined || mode >>> 12 !== TYPE_DIRECTORY) continue;
    const enter = ({ inode, name, type }: Entry, order?: number): void =>
      learn({ inodeLow: inode % 2 ** 32, name, type }, number, order);
    if (format === FORM_LOCAL) for (const entry of shortEntries(fork, 0, hasTypes, nobody)) enter(entry, checkpoint);
    const key = `${number} ${Buffer.from(fork).toString('hex')}`;
    if (format !== FORM_EXTENTS || met.has(key)) continue;
    met.add(key);
    const raw = new Uint8Array(volume.geometry.inodeSize);
    raw.set(core);
    const was = inodeOf(volume.geometry, number, raw, volume.source, one.at);
    if (was === undefined) continue;
    for await (const { block, doubt } of blocksOf(volume, { ...was, fork }, nobody, true)) {
      if (doubt !== undefined) continue;
      for (const entry of entriesIn(block, 0, hasTypes, nobody)) enter(entry);
      for (const entry of leftoversIn(block, hasTypes)) learn(entry, number);
    }
  }
}

function tree(
  volume: Volume,
  locator: string,
  gone: ReadonlyMap<number, Inode>,
  names: ReadonlyMap<number, Called>,
  paths: ReadonlyMap<number, Name>,
): Node {
  const top = folder(`${locator}/${DELETED}`, DELETED);
  const folders = new Map<number, Folder>([[volume.geometry.super.rootInode, top]]);
  const folderOf = (number: number, depth: number): Folder => {
    const known = folders.get(number);
    if (known !== undefined) return known;
    const own = names.get(number) ?? paths.get(number);
    const parent = own === undefined || depth > MAX_DEPTH ? top : folderOf(own.parent, depth + 1);
    const made = parent.enter(own?.name ?? `inode-${number}`);
    folders.set(number, made);
    return made;
  };
  for (const [number, inode] of [...gone].sort((a, b) => a[0] - b[0])) {
    if (inode.type === TYPE_DIRECTORY) continue;
    const found = names.get(number);
    const parent = found === undefined ? top : folderOf(found.parent, 0);
    parent.add(found?.name ?? `inode-${number}`, (at, rawName) => fileNode(volume, inode, at, rawName, found));
  }
  return top.node;
}

function fileNode(volume: Volume, inode: Inode, locator: string, rawName: string, found: Called | undefined): Node {
  const facts = factsOf(volume, inode);
  // Inodes forget their size: unless the log knows it, it is told from the extents, in whole blocks.
  const details = { ...facts.details, ...called(found), sizeKnown: inode.mode !== 0 };
  const shown = { name: printable(rawName), rawName, locator, facts: { ...facts, details } };
  const bytes = () => volume.bytes(inode, inode.why.code, true);
  return { ...shown, kind: 'file', state: 'deleted', damage: [], bytes };
}
