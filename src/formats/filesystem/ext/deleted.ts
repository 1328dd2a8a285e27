/** Deleted files: inodes that still name their blocks, older copies of inodes in the journal, and names that outlived both. */

import { printable } from '../../../core/locator.ts';
import type { Node } from '../../../core/node.ts';
import { INFERRED } from '../../../core/run.ts';
import { viewOf } from '../../../core/struct.ts';
import { type Called, called, type Name, Names, type Span } from '../called.ts';
import { type Folder, folder } from '../folder.ts';
import { TYPE_DIRECTORY, TYPE_REGULAR, TYPE_SYMLINK } from '../posix.ts';
import { type Entry, entriesIn, leftoversIn } from './directory.ts';
import { blocksOf, boundsOf, factsOf } from './files.ts';
import { type Inode, withDoubts, withFate } from './inode.ts';
import { allCopies, type Copy, type Journal } from './journal.ts';
import { inodeCopies, Later, turnOf } from './later.ts';
import { EXTENT_MAGIC, FLAG_EXTENTS, FLAG_INLINE_DATA, INODE_UNINIT, ROOT_INODE } from './structs.ts';
import { isFastLink, type Volume } from './volume.ts';

const DELETED = '+deleted';
/** Files that are listed at most. */
const MAX_DELETED = 1_000_000;
/** Directories whose blocks are looked through for names. */
const MAX_DIRECTORIES = 1_000_000;
const MAX_DEPTH = 128;

/** What was found of one file that is gone. */
interface Gone {
  readonly inode: Inode;
  readonly name: Called | undefined;
}

/** The virtual directory of deleted files, found when it is first listed; undefined where there are none. */
export class DeletedOf {
  readonly #volume: Volume;
  readonly #journal: Journal | undefined;
  readonly #locator: string;
  #found: Promise<Node | undefined> | undefined;

  constructor(volume: Volume, journal: Journal | undefined, locator: string) {
    this.#volume = volume;
    this.#journal = journal;
    this.#locator = locator;
  }

  node(rawName: string): Promise<Node | undefined> | undefined {
    if (rawName !== DELETED) return undefined;
    this.#found ??= this.#find();
    return this.#found;
  }

  async #find(): Promise<Node | undefined> {
    const copies = await this.#copies();
    const gone = new Map<number, Inode>();
    const later = new Later(this.#volume);
    const spans = new Map<number, Span>();
    for await (const inode of this.#fromTables()) gone.set(inode.number, inode);
    for (const inode of gone.values()) await later.add(inode, Number.NaN);
    await this.#fromJournal(copies, gone, spans, later);
    for (const [number, inode] of gone)
      gone.set(number, withFate(inode, later.fateOf(inode, spans.get(number)?.last ?? Number.NaN)));
    if (gone.size === 0) return undefined;
    const { names, paths } = await this.#names(copies, gone, spans);
    return this.#tree(gone, names, paths);
  }

  /** The newest copies in the journal, of each block in the order in which they were written. */
  async #copies(): Promise<Map<number, Copy[]>> {
    const out = new Map<number, Copy[]>();
    if (this.#journal === undefined) return out;
    for await (const copy of allCopies(this.#journal, this.#volume.cx.signal)) {
      const list = out.get(copy.block);
      if (list === undefined) out.set(copy.block, [copy]);
      else list.push(copy);
    }
    // Sequences go round: the later one is ahead by less than half of all.
    for (const list of out.values()) list.sort((a, b) => (b.sequence - a.sequence) | 0);
    return out;
  }

  /** Inodes in their tables that were deleted and still say where their bytes lie. */
  async *#fromTables(): AsyncGenerator<Inode> {
    const { geometry: g, groups, inodes, cx } = this.#volume;
    let count = 0;
    for (let group = 0; group < g.groups && !cx.signal.aborted; group++) {
      const descriptor = await groups.get(group);
      if (descriptor === undefined || (descriptor.flags & INODE_UNINIT) !== 0) continue;
      const used = g.super.inodesPerGroup - Math.min(descriptor.unused, g.super.inodesPerGroup);
      for (let i = 0; i < used; i++) {
        const number = group * g.super.inodesPerGroup + i + 1;
        if (number < g.super.firstInode) continue;
        const inode = await inodes.raw(number);
        if (inode === undefined || inode.links > 0 || inode.deleted === 0 || !isFile(inode)) continue;
        if (!hasContent(inode)) continue;
        if (++count > MAX_DELETED) return this.#noteLimit();
        yield dead(inode, 'ext.deleted');
      }
    }
  }

  #noteLimit(): void {
    const limit = { at: 0, code: 'ext.deleted.limit', expected: `at most ${MAX_DELETED} files`, actual: 'more' };
    this.#volume.damage.push(this.#volume.note(limit, 'more may have been deleted than is listed'));
  }

  /** Inodes as they stood before they were deleted, where only the journal still has them, and their transactions. */
  async #fromJournal(
    copies: ReadonlyMap<number, Copy[]>,
    gone: Map<number, Inode>,
    spans: Map<number, Span>,
    later: Later,
  ): Promise<void> {
    if (this.#journal === undefined) return;
    for await (const { inode: older, order } of inodeCopies(this.#volume, this.#journal, copies)) {
      const { number, generation } = older;
      await later.learn(older, order);
      const span = spans.get(number);
      if (span !== undefined && older.links > 0 && gone.get(number)?.generation === generation)
        spans.set(number, { ...span, first: Math.min(span.first, order) });
      if (gone.has(number) || older.links === 0 || older.doubts.length > 0 || !isFile(older) || !hasContent(older))
        continue;
      const now = await this.#volume.inodes.raw(number);
      // What lives is no deleted file, unless another one has its inode now.
      if (now === undefined || (now.links > 0 && now.generation === generation)) continue;
      if (gone.size >= MAX_DELETED) return this.#noteLimit();
      gone.set(number, dead(older, 'ext.deleted.journal'));
      spans.set(number, { first: order, last: order });
    }
  }

  /** Names of what is gone, and the paths of directories that live. */
  async #names(
    copies: ReadonlyMap<number, Copy[]>,
    gone: ReadonlyMap<number, Inode>,
    spans: ReadonlyMap<number, Span>,
  ): Promise<{ names: Map<number, Called>; paths: Map<number, Name> }> {
    const known = new Names();
    const paths = new Map<number, Name>();
    const bounds = boundsOf(this.#volume);
    const orderOf = (copy: Copy): number => turnOf(copy, this.#journal!);
    const queue: number[] = [ROOT_INODE];
    const seen = new Set<number>(queue);
    const learn = ({ inode: number, name }: Entry, parent: number, order?: number): void => {
      if (gone.has(number)) known.add(number, { name, parent, order });
    };
    for (const [number, inode] of gone) if (inode.type === TYPE_DIRECTORY) queue.push(number);
    for (let number = queue.shift(); number !== undefined && seen.size < MAX_DIRECTORIES; number = queue.shift()) {
      const inode = gone.get(number) ?? (await this.#volume.inodes.get(number));
      if (inode?.type !== TYPE_DIRECTORY) continue;
      const isGone = gone.has(number);
      for await (const { block, at } of blocksOf(this.#volume, inode, () => {}, isGone)) {
        for (const entry of entriesIn(block, 0, bounds, () => {})) {
          if (isGone || gone.has(entry.inode)) learn(entry, number, isGone ? undefined : 0);
          if (entry.type !== 0 && entry.type !== 2) continue;
          if (seen.has(entry.inode) || isGone) continue;
          seen.add(entry.inode);
          paths.set(entry.inode, { name: entry.name, parent: number });
          queue.push(entry.inode);
        }
        for (const entry of leftoversIn(block, 0, bounds)) learn(entry, number);
        for (const copy of copies.get(Math.floor(at / this.#volume.geometry.blockSize)) ?? []) {
          const older = new Uint8Array(this.#volume.geometry.blockSize);
          await this.#journal!.source.read(copy.at, older);
          for (const entry of entriesIn(older, 0, bounds, () => {})) learn(entry, number, orderOf(copy));
          for (const entry of leftoversIn(older, 0, bounds)) learn(entry, number);
        }
      }
    }
    const names = new Map<number, Called>();
    for (const number of gone.keys()) {
      const called = known.of(number, spans.get(number));
      if (called !== undefined) names.set(number, called);
    }
    return { names, paths };
  }

  #tree(gone: ReadonlyMap<number, Inode>, names: ReadonlyMap<number, Called>, paths: ReadonlyMap<number, Name>): Node {
    const top = folder(`${this.#locator}/${DELETED}`, DELETED);
    const folders = new Map<number, Folder>([[ROOT_INODE, top]]);
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
      const found: Gone = { inode, name: names.get(number) };
      const parent = found.name === undefined ? top : folderOf(found.name.parent, 0);
      parent.add(found.name?.name ?? `inode-${number}`, (locator, rawName) => this.#file(found, locator, rawName));
    }
    return top.node;
  }

  #file({ inode, name }: Gone, locator: string, rawName: string): Node {
    const facts = factsOf(this.#volume, inode);
    const details = { ...facts.details, ...called(name) };
    return {
      name: printable(rawName),
      rawName,
      locator,
      kind: inode.type === TYPE_SYMLINK ? 'symlink' : 'file',
      state: 'deleted',
      facts: { ...facts, details },
      damage: [],
      bytes: () => this.#volume.bytes(inode, inode.why.code, true),
    };
  }
}

/** An inode of a file that is gone: all that it leads to is inferred. */
function dead(inode: Inode, code: string): Inode {
  const why = { what: inode.why.what, source: inode.source, at: inode.at, code };
  return {
    ...withDoubts(inode, [{ at: inode.at, code, expected: 'a live file', actual: 'a deleted one' }]),
    certainty: INFERRED,
    why,
  };
}

function isFile({ type }: Inode): boolean {
  return type === TYPE_REGULAR || type === TYPE_DIRECTORY || type === TYPE_SYMLINK;
}

/** Whether an inode still says where its bytes lie. */
function hasContent(inode: Inode): boolean {
  if (inode.size === 0) return false;
  if ((inode.flags & FLAG_INLINE_DATA) !== 0 || isFastLink(inode)) return inode.map.some((byte) => byte !== 0);
  const view = viewOf(inode.map);
  if ((inode.flags & FLAG_EXTENTS) === 0) return inode.map.some((byte) => byte !== 0);
  return view.getUint16(0, true) === EXTENT_MAGIC && view.getUint16(2, true) > 0;
}
