/** Tar archives, and OVA, which are such: members are ranges of the archive, read where they lie. */

import type { Damage } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { MAX_PATH_DEPTH } from '../../../core/limits.ts';
import { encodeName, printable } from '../../../core/locator.ts';
import { data, missing, type Segment, segments, slice, zeros } from '../../../core/map-source.ts';
import { MemorySource } from '../../../core/memory.ts';
import { type Kind, type Node, NotThis } from '../../../core/node.ts';
import { STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { BLOCK, headerOf, tarHeader } from './header.ts';
import { type Archive, MAX_MEMBERS, type Member, nextHeader, readArchive } from './members.ts';

/** Bytes in which a file that is called an archive has to show a sound header. */
const MAX_PROBED: number = 4 * 1024 * 1024;
/** A checksum and the name of the format: surer than texts that the first members hold. */
const SURE = 98;
const NAMES = ['.ova', '.tar'];
const KINDS: Readonly<Record<string, Kind>> = { 2: 'symlink', 3: 'system', 4: 'system', 5: 'directory', 6: 'system' };
const RESYNC: Why = { what: 'a header that was found behind a damaged one', code: 'tar.resync' };
const CUT: Why = { what: 'the archive ends before', code: 'past-end' };
const UNPLACED: Why = { what: 'the map of the holes of this file cannot be read', code: 'tar.sparse' };

export const tar: Format = {
  id: 'tar',
  layer: 'filesystem',
  title: 'tar archive',
  spec: 'POSIX.1-2017 pax, GNU tar manual, DSP0243 (OVF) section 5.3',
  gaps: [
    'Compressed archives are not opened.',
    'Of files with holes the maps of GNU tar before 1.14 in extended headers (0.0, 0.1) are not read.',
    'Checksums that a manifest (.mf) inside an OVA holds are not compared.',
  ],
  laid: [{ table: tarHeader, at: 0 }],
  names: NAMES,
  async probe(source, cx) {
    const block = new Uint8Array(BLOCK);
    if (source.size < BLOCK) return 0;
    const gaps = await source.read(0, block);
    const header = gaps.length > 0 ? undefined : headerOf(block);
    if (header !== undefined && header.dialect !== 'v7') return SURE;
    if (header !== undefined) return header.path !== '' && header.size <= source.size ? 40 : 0;
    if (!NAMES.some((ending) => cx.source.toLowerCase().endsWith(ending))) return 0;
    return (await nextHeader(source, BLOCK, MAX_PROBED)).at === undefined ? 0 : 30;
  },
  async open(source, cx) {
    const archive = await readArchive(source, cx);
    if (!archive.members.some(({ header }) => header !== undefined))
      throw new NotThis('no tar header with its checksum');
    return new Tree(source, archive, cx).root();
  },
};

/** A directory of the archive while it is filled. */
interface Folder {
  readonly node: Node;
  readonly children: Map<string, Node>;
}

class Tree {
  readonly #source: Source;
  readonly #archive: Archive;
  readonly #cx: Cx;
  readonly #folders = new Map<Node, Folder>();
  readonly #damage: Damage[];
  /** Members by their whole names, for those that are links to them. */
  readonly #byPath = new Map<string, Member>();
  /** How many times a name was taken in a folder. */
  readonly #taken = new Map<string, number>();
  #made = 0;

  constructor(source: Source, archive: Archive, cx: Cx) {
    this.#source = source;
    this.#archive = archive;
    this.#cx = cx;
    this.#damage = [...archive.damage];
  }

  root(): Node {
    const { members, dialect } = this.#archive;
    const name = this.#cx.source.replace(/^.*[/:]/, '');
    const root = this.#folder({
      name,
      rawName: name,
      locator: this.#cx.self,
      kind: 'filesystem',
      state: 'live',
      format: tar.title,
      facts: { size: this.#source.size, details: { version: dialect, members: members.length } },
      damage: this.#damage,
    });
    for (const member of members) {
      if (this.#made > MAX_MEMBERS) break;
      this.#place(root, member);
    }
    return root.node;
  }

  #folder(node: Node): Folder {
    const children = new Map<string, Node>();
    const full: Node = {
      ...node,
      child: async (rawName) => children.get(rawName),
      async *children() {
        yield* children.values();
      },
    };
    const folder = { node: full, children };
    this.#folders.set(full, folder);
    return folder;
  }

  #place(root: Folder, member: Member): void {
    const parts = partsOf(member.path);
    this.#byPath.set(parts.join('/'), member);
    const last = parts.pop();
    if (last === undefined) return; // "./", the root itself
    let folder = root;
    for (const part of parts) folder = this.#enter(folder, part);
    const isFolder = member.header?.type === '5';
    if (isFolder && this.#folders.has(folder.children.get(last)!)) return;
    this.#add(folder, last, (name) => this.#node(folder, name, member));
  }

  #enter(folder: Folder, name: string): Folder {
    const there = folder.children.get(name);
    const known = there && this.#folders.get(there);
    if (known !== undefined) return known;
    let made: Folder | undefined;
    this.#add(folder, name, (free) => {
      made = this.#folder({ ...placed(folder, free), kind: 'directory', state: 'live', facts: {}, damage: [] });
      return made.node;
    });
    return made!;
  }

  /** The later of two members is what unpacking leaves; the earlier one stays as `name;2`. Folders keep their names. */
  #add(folder: Folder, name: string, make: (name: string) => Node): void {
    this.#made++;
    const before = folder.children.get(name);
    if (before === undefined) {
      folder.children.set(name, make(name));
      return;
    }
    const key = `${folder.node.locator}/${name}`;
    const count = (this.#taken.get(key) ?? 1) + 1;
    this.#taken.set(key, count);
    const other = `${name};${count}`;
    if (this.#folders.has(before)) {
      folder.children.set(other, make(other));
      return;
    }
    folder.children.set(other, { ...before, ...placed(folder, other) });
    folder.children.set(name, make(name));
  }

  #node(folder: Folder, name: string, member: Member): Node {
    const { header } = member;
    const kind = KINDS[header?.type ?? ''] ?? 'file';
    const target = header?.type === '1' ? this.#byPath.get(partsOf(header.link).join('/')) : member;
    const isLink = header?.type === '1';
    const of = isLink && target?.header?.type === '1' ? undefined : target;
    const damage = [...member.damage];
    if (isLink && of === undefined) {
      const effect = 'its bytes are those of a member that is not here';
      damage.push(this.#cx.damage(member.at, 'tar.link', `a member "${printable(header.link)}"`, 'none', effect));
    }
    const size = of?.size ?? of?.stored ?? 0;
    const node: Node = {
      ...placed(folder, name),
      kind,
      state: header === undefined ? 'orphan' : 'live',
      facts: {
        ...(kind === 'file' && { size }),
        ...(kind === 'symlink' && { size: header?.link.length ?? 0 }),
        ...(header?.mode !== undefined && { mode: header.mode & 0o7777 }),
        ...(header?.uid !== undefined && { uid: header.uid }),
        ...(header?.gid !== undefined && { gid: header.gid }),
        ...(header?.mtime !== undefined && { modified: header.mtime }),
        ...(kind === 'symlink' && { target: header?.link ?? '' }),
      },
      damage,
    };
    if (kind === 'directory') return this.#folder(node).node;
    if (kind === 'symlink') return { ...node, bytes: async () => this.#text(member) };
    if (kind !== 'file' || of === undefined) return node;
    return { ...node, bytes: async () => segments([...this.#segments(of)]) };
  }

  /** Where a symbolic link points. */
  #text({ header, linkAt, certainty }: Member): Source {
    const raw = Buffer.from(header?.link ?? '', 'latin1');
    const from = linkAt === undefined ? new MemorySource(raw) : this.#source;
    return slice(from, linkAt ?? 0, raw.length, certainty, certainty < STATED ? RESYNC : undefined);
  }

  *#segments(member: Member): Generator<Segment> {
    const { certainty, stored, holes, size = stored } = member;
    const doubt = certainty < STATED ? RESYNC : undefined;
    if (member.isUnplaced) return yield missing(size, UNPLACED);
    let at = 0;
    let from = member.dataAt;
    for (const stretch of holes ?? [{ at: 0, length: stored }]) {
      yield zeros(stretch.at - at, certainty, doubt);
      const there = Math.max(0, Math.min(stretch.length, this.#source.size - from));
      yield data(this.#source, from, there, certainty, doubt);
      yield missing(stretch.length - there, CUT);
      at = stretch.at + stretch.length;
      from += stretch.length;
    }
    yield zeros(size - at, certainty, doubt);
  }
}

/** Names of a path, never more than a tree may have levels; '..' stays a name and leads nowhere. */
function partsOf(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return parts.length <= MAX_PATH_DEPTH - 1
    ? parts
    : [...parts.slice(0, MAX_PATH_DEPTH - 2), parts.slice(MAX_PATH_DEPTH - 2).join('/')];
}

function placed({ node }: Folder, rawName: string): Pick<Node, 'name' | 'rawName' | 'locator'> {
  return { name: printable(rawName), rawName, locator: `${node.locator}/${encodeName(rawName)}` };
}
