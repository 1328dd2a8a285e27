/** The members of an archive, header by header; where one is damaged, on from the next that is sound. */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { MAX_DAMAGES } from '../../../core/limits.ts';
import { type Certainty, INFERRED, STATED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { latin1 } from '../../../core/struct.ts';
import { BLOCK, type Header, headerOf, isZero, tarHeader } from './header.ts';
import { type Hole, holesOf } from './sparse.ts';

/** Members of one archive, the directories that their names imply included. */
export const MAX_MEMBERS = 1_000_000;
/** Bytes that are searched for a sound header in all, and at a time. */
const MAX_SEARCHED: number = 4 * 1024 ** 3;
const SEARCH = 1024 * 1024;
/** Bytes of a long name, or of a member that says more of the next one. */
const MAX_EXTENSION: number = 1024 * 1024;
/** Writers fill archives up to a multiple of this; more than that behind the end mark is something else. */
const RECORD: number = 64 * 1024;
const WINDOW = 16 * 1024;
/** Kinds of members that have no bytes of their own. */
const EMPTY = '123456';
const LINK_AT = tarHeader.fields.linkname.at;

export interface Member {
  readonly path: string;
  readonly header: Header | undefined;
  /** Where its header stands, and its bytes. */
  readonly at: number;
  readonly dataAt: number;
  /** Where the text of a symbolic link stands, unless an extension says it. */
  readonly linkAt?: number;
  /** Bytes that it takes in the archive. */
  readonly stored: number;
  readonly certainty: Certainty;
  readonly damage: readonly Damage[];
  readonly holes?: readonly Hole[];
  /** Bytes of the whole file, where that is more than is stored. */
  readonly size?: number;
  /** Its bytes cannot be placed. */
  readonly isUnplaced?: true;
}

export interface Archive {
  readonly members: readonly Member[];
  readonly damage: readonly Damage[];
  readonly dialect: string;
}

/** What an extension says of the member after it. */
type Extension = Map<string, string>;

/** Reads all headers of an archive. */
export function readArchive(source: Source, cx: Cx): Promise<Archive> {
  return new Reader(source, cx).all();
}

/** The first position from `from` on where a sound header stands, and where first something else than zeros does. */
export async function nextHeader(
  source: Source,
  from: number,
  most: number,
): Promise<{ at: number | undefined; filled: number; searched: number }> {
  const end = Math.min(source.size, from + most);
  const buffer = new Uint8Array(SEARCH);
  let filled = end;
  for (let at = from; at + BLOCK <= end; at += SEARCH) {
    const window = buffer.subarray(0, Math.min(SEARCH, end - at));
    await source.read(at, window);
    for (let i = 0; i + BLOCK <= window.length; i += BLOCK) {
      const block = window.subarray(i, i + BLOCK);
      if (filled === end && !isZero(block)) filled = at + i;
      // 'ustar': headers of the seventh edition are too easily something else.
      if (block[257] !== 0x75 || latin1(block, 257, 5) !== 'ustar' || headerOf(block) === undefined) continue;
      return { at: at + i, filled: Math.min(filled, at + i), searched: at + i - from };
    }
  }
  return { at: undefined, filled, searched: end - from };
}

class Reader {
  readonly #source: Source;
  readonly #cx: Cx;
  readonly #members: Member[] = [];
  readonly #damage: Damage[] = [];
  #window = new Uint8Array(0);
  #windowAt = 0;
  #searched = 0;
  #certainty: Certainty = STATED;
  #dialect = '';
  readonly #global: Extension = new Map();

  constructor(source: Source, cx: Cx) {
    this.#source = source;
    this.#cx = cx;
  }

  async all(): Promise<Archive> {
    const { size } = this.#source;
    let extension: Extension = new Map();
    let at = 0;
    let start = 0;
    while (at + BLOCK <= size) {
      this.#cx.signal.throwIfAborted();
      if (this.#members.length >= MAX_MEMBERS) {
        this.#say(at, 'tar.members', `at most ${MAX_MEMBERS} members`, 'more', 'what follows is not shown');
        return this.#done();
      }
      const block = await this.#block(at);
      const header = block && headerOf(block);
      if (header === undefined) {
        const isEnd = block !== undefined && isZero(block) && (await this.#isEnd(at + BLOCK));
        const next = isEnd ? await this.#behindEnd(at) : await this.#resync(at, block);
        if (next === undefined) return this.#done();
        at = next;
        start = next;
        extension = new Map();
        continue;
      }
      if (this.#dialect === '' || header.dialect === 'gnu') this.#dialect = header.dialect;
      const dataAt = at + BLOCK;
      if (/[xgLK]/.test(header.type)) {
        await this.#extend(header, at, header.type === 'g' ? this.#global : extension);
        at = after(dataAt, header.size);
        continue;
      }
      at = await this.#member(header, start, at, new Map([...this.#global, ...extension]));
      start = at;
      extension = new Map();
    }
    const effect = 'members that followed are not here; look for a whole copy of the archive';
    this.#say(
      Math.min(at, size),
      'tar.cut',
      'two blocks of zeros that end the archive',
      `its end at ${hex(size)}`,
      effect,
    );
    return this.#done();
  }

  #done(): Archive {
    return { members: this.#members, damage: this.#damage, dialect: this.#dialect };
  }

  #say(at: number, code: string, expected: string, actual: string, effect: string): void {
    if (this.#damage.length < MAX_DAMAGES) this.#damage.push(this.#cx.damage(at, code, expected, actual, effect));
  }

  /** One block; undefined where it is not to be had. */
  async #block(at: number): Promise<Uint8Array | undefined> {
    const inside = at - this.#windowAt;
    if (inside < 0 || inside + BLOCK > this.#window.length) {
      this.#window = new Uint8Array(Math.min(WINDOW, this.#source.size - at));
      this.#windowAt = at;
      const gaps = await this.#source.read(at, this.#window);
      // Only what lies before the first gap is taken as read.
      if (gaps.length > 0) this.#window = this.#window.subarray(0, Math.floor((gaps[0].offset - at) / BLOCK) * BLOCK);
      if (this.#window.length < BLOCK) return undefined;
    }
    return this.#window.subarray(at - this.#windowAt, at - this.#windowAt + BLOCK);
  }

  async #isEnd(at: number): Promise<boolean> {
    if (at + BLOCK > this.#source.size) return true;
    const block = await this.#block(at);
    return block !== undefined && isZero(block);
  }

  async #search(from: number): Promise<{ at: number | undefined; filled: number }> {
    const most = MAX_SEARCHED - this.#searched;
    const found = await nextHeader(this.#source, from, most);
    this.#searched += found.searched;
    if (found.at === undefined && found.searched >= most) {
      const effect = 'members that follow are not shown';
      this.#say(from, 'tar.search', `a sound header within ${hex(MAX_SEARCHED)} bytes`, 'none', effect);
    }
    return found;
  }

  /** What stands behind the end mark, where that is more than filling: the mark may be zeros that something left. */
  async #behindEnd(at: number): Promise<number | undefined> {
    if (this.#source.size - at <= RECORD) return undefined;
    const found = await this.#search(at + BLOCK);
    if (found.at === undefined) return undefined;
    this.#certainty = INFERRED;
    const effect = 'what follows is shown, as inferred: headers may have been overwritten with zeros';
    this.#say(at, 'tar.end-early', 'no member behind the end of the archive', `one at ${hex(found.at)}`, effect);
    if (found.filled < found.at) this.#lost(found.filled, found.filled, found.at);
    return found.at;
  }

  /** Goes on at the next sound header; what lies before it belonged to the member whose header is lost. */
  async #resync(at: number, block: Uint8Array | undefined): Promise<number | undefined> {
    const found = await this.#search(at + BLOCK);
    const end = found.at ?? this.#source.size;
    this.#certainty = INFERRED;
    const actual = block === undefined ? 'none that can be read' : 'one whose checksum is another';
    const where = found.at === undefined ? 'none follows' : `the next one is at ${hex(end)}`;
    const effect = `a member has no name and no size any more; ${where}`;
    this.#say(at, 'tar.header', 'a header with its checksum', actual, effect);
    this.#lost(at, at + BLOCK, end);
    return found.at;
  }

  /** The bytes of a member without a header. */
  #lost(at: number, dataAt: number, end: number): void {
    if (end <= dataAt) return;
    const effect = 'its bytes end where the next header starts; up to 511 of them are filling';
    const damage = [this.#cx.damage(at, 'tar.header', 'a header with its checksum', 'none', effect)];
    const path = `lost-0x${at.toString(16)}`;
    this.#members.push({ path, header: undefined, at, dataAt, stored: end - dataAt, certainty: INFERRED, damage });
  }

  /** Reads a long name, or records of "LENGTH KEY=VALUE". */
  async #extend(header: Header, at: number, into: Extension): Promise<void> {
    const length = Math.min(header.size, MAX_EXTENSION, Math.max(0, this.#source.size - at - BLOCK));
    const raw = new Uint8Array(length);
    const gaps = await this.#source.read(at + BLOCK, raw);
    if (gaps.length > 0 || length < header.size) {
      const actual = gaps.length > 0 ? gaps[0].code : hex(length);
      const effect = 'the next member has the short name of its own header';
      this.#say(at, 'tar.extension', `${hex(header.size)} bytes that say more of a member`, actual, effect);
      return;
    }
    if (header.type === 'L' || header.type === 'K') {
      into.set(header.type === 'L' ? 'path' : 'linkpath', latin1(raw, 0, raw.length));
      return;
    }
    const text = Buffer.from(raw.buffer, 0, length).toString('latin1');
    for (let from = 0; from < text.length; ) {
      const space = text.indexOf(' ', from);
      const size = Number(text.slice(from, space));
      const record = text.slice(space + 1, from + size - 1);
      const equals = record.indexOf('=');
      if (space < 0 || !(size > 0) || from + size > text.length || equals < 0) {
        const effect = 'what else it says of a member is not used';
        this.#say(at + BLOCK + from, 'tar.record', 'a record of "LENGTH KEY=VALUE"', 'another text', effect);
        return;
      }
      into.set(record.slice(0, equals), record.slice(equals + 1));
      from += size;
    }
  }

  /** Keeps one member; answers where the next header stands. */
  async #member(header: Header, start: number, at: number, said: Extension): Promise<number> {
    const wide = /^\d{1,16}$/.test(said.get('size') ?? '') ? Number(said.get('size')) : header.size;
    const stored = EMPTY.includes(header.type) ? 0 : wide;
    const mtime = /^-?\d+/.exec(said.get('mtime') ?? '')?.[0];
    const full: Header = {
      ...header,
      link: said.get('linkpath') ?? header.link,
      ...(mtime !== undefined && { mtime: Number(mtime) }),
    };
    const sparse = await holesOf(header, said, (where) => this.#block(where), at, stored);
    const dataAt = sparse?.dataAt ?? at + BLOCK;
    const left = at + BLOCK + stored - dataAt + (sparse?.headers ?? 0);
    const damage: Damage[] = [];
    if (dataAt + left > this.#source.size) {
      const actual = `${hex(Math.max(0, this.#source.size - dataAt))} until the archive ends`;
      damage.push(this.#cx.damage(at, 'tar.cut', `${hex(left)} bytes`, actual, 'the rest of this member is missing'));
    }
    if (sparse?.isUnknown === true) {
      const effect = 'its bytes cannot be placed: all of them are missing';
      damage.push(this.#cx.damage(at, 'tar.sparse', 'a map of the holes of this file', 'another', effect));
    }
    this.#members.push({
      path: said.get('GNU.sparse.name') ?? said.get('path') ?? header.path,
      header: full,
      at: start,
      dataAt,
      stored: left,
      certainty: this.#certainty,
      damage,
      ...(!said.has('linkpath') && { linkAt: at + LINK_AT }),
      ...(sparse !== undefined && { holes: sparse.holes, size: sparse.size }),
      ...(sparse?.isUnknown === true && { isUnplaced: true as const }),
    });
    return after(dataAt, left);
  }
}

function after(dataAt: number, stored: number): number {
  return dataAt + Math.ceil(stored / BLOCK) * BLOCK;
}
