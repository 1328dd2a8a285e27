/** Entries of FAT directories, live, deleted, and behind the end. */
import { printable } from '../../../core/locator.ts';
import type { Facts } from '../../../core/node.ts';
import type { Values } from '../../../core/struct.ts';
import type { Doubt } from '../posix.ts';
import { checksumOf, firstByteFor, isShortName, longName, type Piece, pieceAt, shortName } from './names.ts';
import {
  ARCHIVE,
  ATTRIBUTES,
  DIRECTORY,
  END,
  ENTRY,
  entryStruct,
  GONE,
  HIDDEN,
  LABEL,
  LONG_NAME,
  READ_ONLY,
  SYSTEM,
  UNUSED_ATTRIBUTES,
} from './structs.ts';

/** What stands for a character that is lost: an underscore. */
const LOST_CHARACTER = 0x5f;

type Raw = Values<typeof entryStruct.fields>;

/** A decoded entry, before its clusters are looked at. */
export interface Found {
  readonly rawName: string;
  /** Bytes from the start of the directory. */
  readonly offset: number;
  readonly raw: Raw;
  readonly isGone: boolean;
  /** It stands behind the end of its directory, and nothing says that it was deleted. */
  readonly isBehind: boolean;
  /** Its name is one of the two that each directory has for itself and for the one above. */
  readonly isDot: boolean;
  /** What is not as it should be, without its position. */
  readonly doubts: readonly Omit<Doubt, 'at'>[];
}

export interface Listing {
  readonly found: readonly Found[];
  /** Offsets of what is no entry at all. */
  readonly nonsense: readonly number[];
  readonly label?: string;
}

/** What of an entry can be wrong with certainty: not what a FAT would ever hold. */
function flaws(raw: Raw, isGone: boolean, has: (cluster: number) => boolean, isWide: boolean): string[] {
  const out: string[] = [];
  const start = startOf(raw, isWide);
  const isFolder = (raw.attributes & DIRECTORY) !== 0;
  if ((raw.attributes & UNUSED_ATTRIBUTES) !== 0) out.push(`attributes 0x${raw.attributes.toString(16)}`);
  if (!isShortName(raw.name, isGone) && !isDotName(raw.name)) out.push('a name with characters that none has');
  if (start !== 0 && !has(start)) out.push(`cluster ${start}, which is not there`);
  if (start === 0 && raw.size > 0 && !isFolder) out.push('bytes without a cluster');
  if (start !== 0 && raw.size === 0 && !isFolder) out.push('a cluster without bytes');
  if (isFolder && raw.size > 0) out.push('a folder with a size');
  for (const date of [raw.modifiedDate, raw.createdDate, raw.accessedDate])
    if (date !== 0 && !isDate(date)) out.push(`the date 0x${date.toString(16)}`);
  return out;
}

function isDate(date: number): boolean {
  const [month, day] = [(date >> 5) & 15, date & 31];
  return month >= 1 && month <= 12 && day >= 1;
}

function isDotName(name: Uint8Array): boolean {
  const text = Buffer.from(name).toString('latin1').trimEnd();
  return text === '.' || text === '..';
}

export function startOf(raw: Raw, isWide: boolean): number {
  return raw.startLow + (isWide ? raw.startHigh * 0x10000 : 0);
}

/** All that stands in the bytes of a directory. `has` tells whether a cluster exists, `isDead` that all of it is gone. */
export function entriesIn(
  block: Uint8Array,
  has: (cluster: number) => boolean,
  isWide: boolean,
  isDead: boolean,
): Listing {
  const found: Found[] = [];
  const nonsense: number[] = [];
  let [pieces, isPast, label]: [Piece[], boolean, string | undefined] = [[], isDead, undefined];
  for (let offset = 0; offset + ENTRY <= block.length; offset += ENTRY) {
    const first = block[offset];
    if (first === END) {
      // What stands behind the end was forgotten together with it, or the end is no end.
      isPast = true;
      pieces = [];
      continue;
    }
    if ((block[offset + 11] & ATTRIBUTES) === LONG_NAME) {
      pieces.push(pieceAt(block, offset));
      continue;
    }
    const raw = entryStruct.decode(block, offset);
    const isGone = first === GONE || isPast;
    const own = pieces;
    pieces = [];
    if ((raw.attributes & LABEL) !== 0 && (raw.attributes & DIRECTORY) === 0 && !isGone) {
      const isLabel = isShortName(raw.name, false) && (raw.attributes & UNUSED_ATTRIBUTES) === 0;
      if (isLabel) label ??= labelOf(raw.name);
      else nonsense.push(offset);
      continue;
    }
    const wrong = flaws(raw, first === GONE, has, isWide);
    if (wrong.length > 1 || (isGone && (wrong.length > 0 || (raw.attributes & LABEL) !== 0))) {
      if (!isGone) nonsense.push(offset);
      continue;
    }
    const doubts = wrong.map((actual) => ({ code: 'fat.entry', expected: 'an entry that makes sense', actual }));
    const isBehind = isPast && !isDead && first !== GONE;
    const shared = { offset, raw, isGone, isBehind, isDot: isDotName(raw.name) };
    if (first === GONE) found.push({ ...shared, rawName: goneName(raw, own), doubts });
    else {
      const { rawName, doubt } = liveName(raw, own);
      found.push({ ...shared, rawName, doubts: doubt === undefined ? doubts : [...doubts, doubt] });
    }
  }
  return { found, nonsense, ...(label !== undefined && { label }) };
}

/** Whether a cluster holds nothing but entries, as one in which a directory goes on does. */
export function isAllEntries(block: Uint8Array, has: (cluster: number) => boolean, isWide: boolean): boolean {
  let count = 0;
  for (let offset = 0; offset + ENTRY <= block.length; offset += ENTRY, count++) {
    if (block[offset] === END) return count > 0 && block.subarray(offset).every((byte) => byte === 0);
    const raw = entryStruct.decode(block, offset);
    const isLong = (raw.attributes & ATTRIBUTES) === LONG_NAME;
    // Pieces of long names have neither a kind nor a cluster.
    if (isLong && (raw.caseBits !== 0 || raw.startLow !== 0)) return false;
    const isLabel = (raw.attributes & LABEL) !== 0;
    const isOther = isLabel || isDotName(raw.name) || flaws(raw, raw.name[0] === GONE, has, isWide).length > 0;
    if (!isLong && isOther) return false;
  }
  return true;
}

function labelOf(name: Uint8Array): string {
  return shortName(Uint8Array.of(...name.subarray(0, 8), 32, 32, 32), 0) === ''
    ? ''
    : Buffer.from(name).toString('latin1').trimEnd();
}

/** The name of a live entry: the long one where all its pieces are there and belong to this entry. */
function liveName(raw: Raw, all: readonly Piece[]): { rawName: string; doubt?: Omit<Doubt, 'at'> } {
  const short = shortName(raw.name, raw.caseBits);
  const begin = all.findLastIndex(({ isLast }) => isLast);
  const pieces = begin < 0 ? [] : all.slice(begin);
  if (all.length === 0) return { rawName: short };
  const sum = checksumOf(raw.name);
  const isWhole =
    pieces.length > 0 &&
    pieces.every(({ sequence, checksum }, i) => sequence === pieces.length - i && checksum === sum);
  const long = isWhole ? longName(pieces) : undefined;
  if (long !== undefined) return { rawName: long };
  // Pieces of deleted names may stand before an entry that has none itself.
  if (all.every(({ sequence }) => sequence === (GONE & 0x1f))) return { rawName: short };
  const expected = `a long name for checksum 0x${sum.toString(16)}`;
  return {
    rawName: short,
    doubt: { code: 'fat.long-name', expected, actual: 'one of another entry, or a part of one' },
  };
}

/** The name of a deleted entry. Its first character is lost, unless a long name has kept it. */
function goneName(raw: Raw, all: readonly Piece[]): string {
  const last = all.at(-1);
  if (last !== undefined) {
    const first = all.findLastIndex(({ checksum }) => checksum !== last.checksum) + 1;
    // A name that was deleted before another one of the same checksum stands in front of it.
    for (let from = first; from < all.length; from++) {
      const long = longName(all.slice(from));
      if (long !== undefined) return long;
    }
    const name = Uint8Array.from(raw.name);
    name[0] = firstByteFor(name, last.checksum);
    if (isShortName(name, false)) return shortName(name, raw.caseBits);
  }
  const name = Uint8Array.from(raw.name);
  name[0] = LOST_CHARACTER;
  return shortName(name, raw.caseBits);
}

/** The short name as text; the first character of a deleted one is lost. */
function shownName(name: Uint8Array): string {
  const own = Uint8Array.from(name);
  if (own[0] === GONE) own[0] = LOST_CHARACTER;
  return printable(shortName(own, 0));
}

/** What an entry says, beside its file's size. Its times have no zone: they are what a clock on a wall showed. */
export function factsOf(raw: Raw, start: number): Facts {
  const modified = timeOf(raw.modifiedDate, raw.modifiedTime, 0);
  const accessed = timeOf(raw.accessedDate, 0, 0);
  const created = timeOf(raw.createdDate, raw.createdTime, raw.createdTens);
  const bits: [number, string][] = [
    [READ_ONLY, 'read-only'],
    [HIDDEN, 'hidden'],
    [SYSTEM, 'system'],
    [ARCHIVE, 'archive'],
  ];
  const attributes = bits.filter(([bit]) => (raw.attributes & bit) !== 0).map(([, word]) => word);
  return {
    ...(modified !== undefined && { modified }),
    ...(accessed !== undefined && { accessed }),
    details: {
      cluster: start,
      shortName: shownName(raw.name),
      times: 'local, of a zone that is not known',
      ...(attributes.length > 0 && { attributes: attributes.join(', ') }),
      ...(created !== undefined && { created }),
    },
  };
}

function timeOf(date: number, time: number, tens: number): number | undefined {
  if (!isDate(date)) return undefined;
  const [year, month, day] = [1980 + (date >> 9), ((date >> 5) & 15) - 1, date & 31];
  const seconds = (time & 31) * 2 + tens / 100;
  return Date.UTC(year, month, day, time >> 11, (time >> 5) & 63) / 1000 + seconds;
}
