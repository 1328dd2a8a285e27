/** Rock Ridge: names, modes, times and links as POSIX has them, in fields behind the names of records. */
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { timeOf } from './records.ts';
import { SECTOR } from './structs.ts';

/** Continuations of one record's fields. */
const MAX_CONTINUATIONS = 32;
/** Bytes of one name or link that are put together. */
const MAX_TEXT = 65_536;
const HEAD = 4;

/** What the fields of one record say. */
export interface Extensions {
  readonly name?: string;
  readonly target?: string;
  readonly mode?: number;
  readonly links?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly created?: number;
  readonly modified?: number;
  readonly accessed?: number;
  readonly changed?: number;
  /** The directory stands at this block, because it is too deep to stand here. */
  readonly childAt?: number;
  /** It stands here only because it is too deep elsewhere. */
  readonly isMoved: boolean;
  readonly isCompressed: boolean;
  readonly hasMark: boolean;
  /** Numbers in it do not agree with their second reading, or continuations are lost. */
  readonly isDoubtful: boolean;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Reads the fields of a record, which begin after `skip` bytes, and those that continue them elsewhere. */
export async function extensionsOf(
  source: Source,
  system: Uint8Array,
  skip: number,
  blockSize: number,
): Promise<Extensions> {
  const out: Mutable<Extensions> = { isMoved: false, isCompressed: false, hasMark: false, isDoubtful: false };
  const link: LinkText = { text: '', isOpen: false, isStarted: false };
  let area: Uint8Array | undefined = system.subarray(Math.min(skip, system.length));
  const seen = new Set<number>();
  while (area !== undefined) {
    const more = fieldsIn(area, out, link);
    area = undefined;
    if (more === undefined) break;
    const at = more.block * blockSize + more.offset;
    const isBad =
      seen.has(at) || seen.size >= MAX_CONTINUATIONS || more.length > SECTOR || at + more.length > source.size;
    seen.add(at);
    const next = new Uint8Array(isBad ? 0 : more.length);
    if (isBad || (await source.read(at, next)).length > 0) out.isDoubtful = true;
    else area = next;
  }
  if (link.isStarted) out.target = link.text;
  return out;
}

interface LinkText {
  text: string;
  /** The last component goes on in the next one. */
  isOpen: boolean;
  isStarted: boolean;
}

interface Continuation {
  readonly block: number;
  readonly offset: number;
  readonly length: number;
}

function fieldsIn(area: Uint8Array, out: Mutable<Extensions>, link: LinkText): Continuation | undefined {
  const view = viewOf(area);
  let more: Continuation | undefined;
  for (let at = 0; at + HEAD <= area.length; ) {
    const name = String.fromCharCode(area[at], area[at + 1]);
    const length = area[at + 2];
    if (name === 'ST' || length < HEAD || at + length > area.length) break;
    const twice = (offset: number): number => {
      if (offset + 8 > length) return 0;
      const first = view.getUint32(at + offset, true);
      if (first !== view.getUint32(at + offset + 4, false)) out.isDoubtful = true;
      return first;
    };
    const body = area.subarray(at + HEAD, at + length);
    if (name === 'SP') out.hasMark = body[0] === 0xbe && body[1] === 0xef;
    else if (name === 'NM') nameIn(body, out);
    else if (name === 'SL') linkIn(body, link);
    else if (name === 'TF') timesIn(body, out);
    else if (name === 'CL') out.childAt = twice(HEAD);
    else if (name === 'RE') out.isMoved = true;
    else if (name === 'ZF') out.isCompressed = true;
    else if (name === 'CE') more = { block: twice(HEAD), offset: twice(HEAD + 8), length: twice(HEAD + 16) };
    else if (name === 'PX') {
      [out.mode, out.links, out.uid, out.gid] = [HEAD, HEAD + 8, HEAD + 16, HEAD + 24].map(twice);
    }
    at += length;
  }
  return more;
}

const CURRENT = 2;
const PARENT = 4;
const ROOT = 8;

function nameIn(body: Uint8Array, out: Mutable<Extensions>): void {
  if (body.length < 1 || (body[0] & (CURRENT | PARENT)) !== 0 || (out.name ?? '').length > MAX_TEXT) return;
  out.name = (out.name ?? '') + Buffer.from(body.subarray(1)).toString('latin1');
}

/** Components of a link, each with flags and a length. */
function linkIn(body: Uint8Array, link: LinkText): void {
  link.isStarted = true;
  for (let at = 1; at + 2 <= body.length && link.text.length < MAX_TEXT; ) {
    const [flags, length] = [body[at], body[at + 1]];
    const text = Buffer.from(body.subarray(at + 2, at + 2 + length)).toString('latin1');
    const needsSlash = !link.isOpen && link.text !== '' && !link.text.endsWith('/');
    if (needsSlash) link.text += '/';
    if ((flags & ROOT) !== 0) link.text = '/';
    else if ((flags & CURRENT) !== 0) link.text += '.';
    else if ((flags & PARENT) !== 0) link.text += '..';
    else link.text += text;
    link.isOpen = (flags & 1) !== 0;
    at += 2 + length;
  }
}

const LONG_FORM = 0x80;
const SHORT_TIME = 7;
const LONG_TIME = 17;
const TIMES = ['created', 'modified', 'accessed', 'changed'] as const;

function timesIn(body: Uint8Array, out: Mutable<Extensions>): void {
  const flags = body[0] ?? 0;
  const isLong = (flags & LONG_FORM) !== 0;
  let at = 1;
  for (const [bit, field] of TIMES.entries()) {
    if ((flags & (1 << bit)) === 0) continue;
    const raw = body.subarray(at, at + (isLong ? LONG_TIME : SHORT_TIME));
    at += raw.length;
    const time = isLong ? longTime(raw) : raw.length === SHORT_TIME ? timeOf(raw) : undefined;
    if (time !== undefined) out[field] = time;
  }
}

/** A time of sixteen digits and a zone; undefined where there is none. */
function longTime(raw: Uint8Array): number | undefined {
  const digits = Buffer.from(raw.subarray(0, 16)).toString('latin1');
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(digits)?.slice(1).map(Number);
  if (parts === undefined || parts[1] === 0 || raw.length < LONG_TIME) return undefined;
  const [year, month, day, hour, minute, second, hundredths] = parts;
  const quarters = (raw[16] << 24) >> 24;
  return Date.UTC(year, month - 1, day, hour, minute, second) / 1000 + hundredths / 100 - quarters * 900;
}
