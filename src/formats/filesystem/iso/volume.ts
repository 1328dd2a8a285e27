/** An opened ISO 9660 volume: one of its trees of directories, and the bytes of files. */
import type { Damage } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { data, missing, type Segment, segments } from '../../../core/map-source.ts';
import type { Facts } from '../../../core/node.ts';
import { INFERRED, STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { type Doubt, SPECIAL, TYPE_SYMLINK } from '../posix.ts';
import type { Entry, Opened, Tree } from '../tree.ts';
import { type Descriptor, wideName } from './descriptors.ts';
import { PathTable } from './paths.ts';
import { type Found, isDot, recordAt, recordsIn, timeOf } from './records.ts';
import { type Extensions, extensionsOf } from './rockridge.ts';
import { ASSOCIATED, FIRST_DESCRIPTOR, HIDDEN, SECTOR } from './structs.ts';

/** Bytes of one directory. */
const MAX_DIRECTORY = 64 * 1024 * 1024;
export class IsoVolume implements Tree {
  readonly source: Source;
  readonly cx: Cx;
  readonly descriptor: Descriptor;
  readonly directories = new Map<number, string>();
  readonly damage: Damage[] = [];
  readonly root: Entry;
  /** Bytes before the fields of Rock Ridge in each record; undefined where there are none. */
  readonly skip: number | undefined;
  readonly #paths: PathTable;
  readonly #doubt: string | undefined;

  constructor(source: Source, descriptor: Descriptor, root: Found, skip: number | undefined, cx: Cx, doubt?: string) {
    this.source = source;
    this.descriptor = descriptor;
    this.cx = cx;
    this.skip = skip;
    this.#doubt = doubt;
    this.#paths = new PathTable(source, descriptor);
    const at = descriptor.rootAt;
    const doubts = root.doubts.map((one) => ({ ...one, at }));
    this.root = { ...directoryOf('', at, root.start, root.size), doubts };
  }

  get blockSize(): number {
    return this.descriptor.values.blockSize;
  }

  get isRockRidge(): boolean {
    return this.skip !== undefined;
  }

  code(of: string): string {
    return `iso.${of}`;
  }

  async open(entry: Entry): Promise<Opened> {
    const doubts: Doubt[] = [];
    const size = await this.#sizeOf(entry);
    const at = entry.start * this.blockSize;
    const block = new Uint8Array(Math.max(0, Math.min(size, MAX_DIRECTORY, this.source.size - at)));
    const gaps = await this.source.read(at, block);
    if (gaps.length > 0 || block.length < size) {
      const actual = `no bytes at ${gaps[0]?.offset ?? at + block.length}`;
      doubts.push({ at: entry.at, code: 'iso.directory.unreadable', expected: `${size} bytes of a directory`, actual });
    }
    const { found, nonsense } = recordsIn(block, this.descriptor.values.blocks, this.descriptor.isJoliet);
    const own = found[0];
    if (own === undefined || !isDot(own) || own.start !== entry.start) {
      const actual = own === undefined ? 'none' : `one of block ${own.start}`;
      doubts.push({ at, code: 'iso.directory.self', expected: `a record of its own block ${entry.start}`, actual });
    }
    if (nonsense.length > 0) {
      const actual = `${nonsense.length} sectors with something else`;
      doubts.push({ at: at + nonsense[0], code: 'iso.directory.record', expected: 'directory records', actual });
    }
    const entries: Entry[] = [];
    const opened: Opened = { entry, entries, doubts, extents: [] };
    const passed = [...entry.doubts, ...doubts].slice(0, 1);
    const files = found.filter((one) => !isDot(one) && (one.values.flags & ASSOCIATED) === 0);
    for (let i = 0; i < files.length; i++) {
      const parts = [files[i]];
      while (files[i].isContinued && i + 1 < files.length && sameName(files[i + 1], files[i])) parts.push(files[++i]);
      const next = files[i + 1];
      const isBroken = parts.at(-1)!.isContinued || (next !== undefined && sameName(next, parts[0]));
      const one = await this.#entryOf(parts, at, opened, passed, isBroken);
      if (one !== undefined) entries.push(one);
    }
    if (doubts.length > 0) await this.#addLost(entry, entries, passed);
    return opened;
  }

  /** Directories that are too deep to be where they belong say their size only themselves. */
  async #sizeOf(entry: Entry): Promise<number> {
    if (entry.size > 0) return entry.size;
    const block = new Uint8Array(SECTOR);
    const at = entry.start * this.blockSize;
    if (at + SECTOR > this.source.size || (await this.source.read(at, block)).length > 0) return SECTOR;
    const own = recordAt(block, 0, SECTOR, this.descriptor.values.blocks, this.descriptor.isJoliet);
    return own !== undefined && own.start === entry.start ? own.size : SECTOR;
  }

  /** Directories that the path table puts here, where the directory itself is damaged. */
  async #addLost(entry: Entry, entries: Entry[], passed: readonly Doubt[]): Promise<void> {
    const known = new Set(entries.map(({ start }) => start));
    for (const one of await this.#paths.childrenOf(entry.start)) {
      if (known.has(one.start)) continue;
      const rawName = this.descriptor.isJoliet ? wideName(one.name) : Buffer.from(one.name).toString('latin1');
      const lost = directoryOf(rawName, one.at, one.start, 0);
      const doubt = { at: one.at, code: 'iso.path-table', expected: 'a record in its directory', actual: 'none' };
      entries.push({ ...lost, doubts: [doubt, ...passed] });
    }
  }

  async #entryOf(
    parts: readonly Found[],
    directoryAt: number,
    within: Opened,
    passed: readonly Doubt[],
    isBroken: boolean,
  ): Promise<Entry | undefined> {
    const [first] = parts;
    const at = directoryAt + first.offset;
    const more =
      this.skip === undefined ? undefined : await extensionsOf(this.source, first.system, this.skip, this.blockSize);
    if (more?.isMoved === true) return undefined;
    const rawName = more?.name ?? plainName(first, this.descriptor.isJoliet);
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    const doubts = parts.flatMap((part) => this.#doubtsOf(part, directoryAt + part.offset));
    const say = (code: string, expected: string, actual: string): void => {
      doubts.push({ at, code, expected, actual });
    };
    if (isBroken) say('iso.extents', 'all pieces of a file one after the other', 'one with the same name, or none');
    if (more?.isDoubtful === true) say('iso.rock-ridge', 'fields whose numbers agree', 'other ones');
    const isDirectory = first.isDirectory || more?.childAt !== undefined;
    if (isDirectory) {
      const moved = more?.childAt;
      const own = directoryOf(rawName, at, moved ?? first.start, moved === undefined ? first.size : 0);
      return { ...own, facts: factsOf(first, more), doubts: [...doubts, ...passed], within };
    }
    const facts = factsOf(first, more);
    return {
      ...directoryOf(rawName, at, first.start, size),
      isDirectory: false,
      facts: facts.target === undefined ? { size, ...facts } : facts,
      doubts: [...doubts, ...passed],
      pieces: parts.map((part) => ({ start: part.start, size: part.size })),
      within,
    };
  }

  #doubtsOf({ doubts, values, start, size }: Found, at: number): Doubt[] {
    const out = doubts.map((one) => ({ ...one, at }));
    const say = (code: string, expected: string, actual: string) => out.push({ at, code, expected, actual });
    const { blocks } = this.descriptor.values;
    const end = start + Math.ceil(size / this.blockSize);
    const isOut = size > 0 && (end > blocks || start * this.blockSize < FIRST_DESCRIPTOR * SECTOR);
    if (isOut) say('iso.range', `blocks below ${blocks}, behind the descriptors`, `${start} to ${end}`);
    if (values.unit !== 0 || values.gap !== 0)
      say('iso.interleaved', 'a file in one piece', 'one that alternates with others, which is not read');
    if (values.extended !== 0) say('iso.extended', 'no extended attributes', `${values.extended} blocks of them`);
    return out;
  }

  async bytes(entry: Entry): Promise<Source> {
    const why: Why = { what: 'ISO 9660 directory record', source: this.source, at: entry.at };
    const refused = entry.doubts.find(({ code }) => code === 'iso.interleaved');
    if (refused !== undefined) return segments([missing(entry.size, { ...why, code: refused.code })]);
    const code = this.#doubt ?? entry.doubts[0]?.code;
    const said = code === undefined ? why : { ...why, code };
    const past = { ...why, code: 'iso.past-end' };
    const out: Segment[] = [];
    for (const { start, size } of entry.pieces ?? []) {
      const at = start * this.blockSize;
      const had = Math.max(0, Math.min(size, this.source.size - at));
      if (had > 0) out.push(data(this.source, at, had, code === undefined ? STATED : INFERRED, said));
      if (size > had) out.push(missing(size - had, past));
    }
    return segments(out);
  }
}

function directoryOf(rawName: string, at: number, start: number, size: number): Entry {
  const none = { isGone: false, facts: {}, doubts: [], valid: size, isContiguous: true };
  return { ...none, rawName, at, isDirectory: true, start, size };
}

function sameName(a: Found, b: Found): boolean {
  return Buffer.compare(a.name, b.name) === 0;
}

/** A name without its version, and without the dot of an extension that is not there. */
function plainName({ name }: Found, isWide: boolean): string {
  const whole = isWide ? wideName(name) : Buffer.from(name).toString('latin1');
  return whole.replace(/;\d{1,5}$/, '').replace(/(.)\.$/, '$1');
}

function factsOf({ values, start }: Found, more: Extensions | undefined): Facts {
  const modified = more?.modified ?? timeOf(values.time);
  const special = more?.mode === undefined ? undefined : SPECIAL[more.mode >>> 12];
  const isLink = more?.target !== undefined && (more.mode === undefined || more.mode >>> 12 === TYPE_SYMLINK);
  return {
    ...(more?.mode !== undefined && { mode: more.mode }),
    ...(more?.links !== undefined && { links: more.links }),
    ...(more?.uid !== undefined && { uid: more.uid }),
    ...(more?.gid !== undefined && { gid: more.gid }),
    ...(modified !== undefined && { modified }),
    ...(more?.changed !== undefined && { changed: more.changed }),
    ...(more?.accessed !== undefined && { accessed: more.accessed }),
    ...(isLink && { target: more.target! }),
    details: {
      block: start,
      ...(more?.created !== undefined && { created: more.created }),
      ...(special !== undefined && { type: special }),
      ...((values.flags & HIDDEN) !== 0 && { attributes: 'hidden' }),
      ...(more?.isCompressed === true && { compressed: 'zisofs; its bytes are shown as they are stored' }),
    },
  };
}
