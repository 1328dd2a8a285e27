/** Sets of entries: a file, where its bytes lie, and its name in pieces; live, deleted, and what is left of a set. */
import type { Facts } from '../../../core/node.ts';
import type { Values } from '../../../core/struct.ts';
import { nameOf } from '../ntfs/structs.ts';
import type { Doubt } from '../posix.ts';
import {
  BITMAP,
  DIRECTORY,
  ENTRY,
  FILE,
  fileEntry,
  IN_USE,
  LABEL,
  labelEntry,
  NAME,
  NO_CHAIN,
  nameEntry,
  placeEntry,
  SECONDARY,
  STREAM,
  streamEntry,
  UPCASE,
} from './structs.ts';

type File = Values<typeof fileEntry.fields>;
type Stream = Values<typeof streamEntry.fields>;

/** A decoded set. */
export interface Found {
  readonly rawName: string;
  /** Bytes from the start of the directory. */
  readonly offset: number;
  readonly stream: Stream;
  /** Absent where it is lost. */
  readonly file?: File;
  readonly isGone: boolean;
  /** It stands behind the end of its directory, and nothing says that it was deleted. */
  readonly isBehind?: boolean;
  readonly doubts: readonly Omit<Doubt, 'at'>[];
}

/** Where the bitmap or the up-case table lies. */
export type Special = Values<typeof placeEntry.fields>;

interface Listing {
  readonly found: readonly Found[];
  /** Offsets of live entries that belong to no set. */
  readonly nonsense: readonly number[];
  readonly bitmaps: readonly Special[];
  readonly upcase?: Special;
  readonly label?: string;
}

/** All that stands in the bytes of a directory; with `isDead` all of it is gone. */
export function entriesIn(block: Uint8Array, isDead: boolean): Listing {
  const found: Found[] = [];
  const nonsense: number[] = [];
  const bitmaps: Special[] = [];
  let [upcase, label, isPast]: [Special | undefined, string | undefined, boolean] = [undefined, undefined, isDead];
  for (let offset = 0; offset + ENTRY <= block.length; offset += ENTRY) {
    const type = block[offset];
    if (type === 0) isPast = true;
    if (type === FILE || type === (FILE & ~IN_USE)) {
      const set = setAt(block, offset, isPast);
      if (set === undefined) {
        if (type === FILE && !isPast) nonsense.push(offset);
        continue;
      }
      found.push(isPast && !isDead && type === FILE ? { ...set.found, isBehind: true } : set.found);
      offset += (set.entries - 1) * ENTRY;
    } else if (isPast || (type & IN_USE) === 0) continue;
    else if (type === BITMAP) bitmaps.push(placeEntry.decode(block, offset));
    else if (type === UPCASE) upcase = placeEntry.decode(block, offset);
    else if (type === LABEL) label = labelAt(block, offset);
    else if (type === STREAM) {
      const rest = headlessAt(block, offset);
      if (rest === undefined) nonsense.push(offset);
      else {
        found.push(rest.found);
        offset += (rest.entries - 1) * ENTRY;
      }
    } else if (type >= SECONDARY) nonsense.push(offset);
  }
  return { found, nonsense, bitmaps, ...(upcase && { upcase }), ...(label !== undefined && { label }) };
}

/** The set that a file entry begins. One that is gone counts only with its checksum: the room may be used again. */
function setAt(block: Uint8Array, offset: number, isPast: boolean): { found: Found; entries: number } | undefined {
  const file = fileEntry.decode(block, offset);
  const isGone = isPast || (block[offset] & IN_USE) === 0;
  const entries = file.secondaries + 1;
  const isInside = offset + entries * ENTRY <= block.length && fileEntry.violations(file).length === 0;
  const isSummed = isInside && checksumOf(block, offset, entries) === file.checksum;
  if (!isSummed && isGone) return undefined;
  const rest = namedAt(block, offset + ENTRY, isInside ? entries - 1 : undefined);
  if (rest === undefined) return undefined;
  const { stream, rawName } = rest;
  const expected = `a set of entries with checksum 0x${file.checksum.toString(16)}`;
  const doubts = isSummed ? [] : [{ code: 'exfat.entry-set', expected, actual: 'another checksum' }];
  return { found: { rawName, offset, stream, file, isGone, doubts }, entries: isSummed ? entries : rest.entries + 1 };
}

/** What is left of a live set that lost its first entry. */
function headlessAt(block: Uint8Array, offset: number): { found: Found; entries: number } | undefined {
  const rest = namedAt(block, offset, undefined);
  if (rest === undefined) return undefined;
  const doubt = { code: 'exfat.entry-set', expected: 'a file entry before it', actual: 'something else' };
  const { rawName, stream, entries } = rest;
  return { found: { rawName, offset, stream, isGone: false, doubts: [doubt] }, entries };
}

interface Named {
  readonly rawName: string;
  readonly stream: Stream;
  readonly entries: number;
}

/** A stream extension and the name behind it, in at most `most` entries. */
function namedAt(block: Uint8Array, offset: number, most: number | undefined): Named | undefined {
  if (offset + ENTRY > block.length || (block[offset] | IN_USE) !== STREAM) return undefined;
  const stream = streamEntry.decode(block, offset);
  if (streamEntry.violations(stream).length > 0) return undefined;
  const { units } = nameEntry.fields;
  const pieces = Math.ceil((stream.nameLength * 2) / units.size);
  if (most !== undefined && pieces + 1 > most) return undefined;
  const all = new Uint8Array(pieces * units.size);
  for (let i = 0; i < pieces; i++) {
    const at = offset + (i + 1) * ENTRY;
    if (at + ENTRY > block.length || (block[at] | IN_USE) !== NAME) return undefined;
    all.set(nameEntry.decode(block, at).units, i * units.size);
  }
  return { rawName: nameOf(all, 0, stream.nameLength), stream, entries: pieces + 1 };
}

/** The sum of a set, as it was when all its entries were in use. */
function checksumOf(block: Uint8Array, offset: number, entries: number): number {
  let sum = 0;
  for (let i = 0; i < entries * ENTRY; i++) {
    if (i === 2 || i === 3) continue;
    const byte = block[offset + i];
    sum = (((sum & 1) << 15) + (sum >>> 1) + (i % ENTRY === 0 ? byte | IN_USE : byte)) & 0xffff;
  }
  return sum;
}

function labelAt(block: Uint8Array, offset: number): string {
  const { length, units } = labelEntry.decode(block, offset);
  return Buffer.from(nameOf(units, 0, Math.min(length, units.length / 2)), 'latin1').toString('utf8');
}

export function isDirectory({ file }: Found): boolean {
  return file !== undefined && (file.attributes & DIRECTORY) !== 0;
}

export function isContiguous({ stream }: Found): boolean {
  return (stream.flags & NO_CHAIN) !== 0;
}

const ATTRIBUTES: readonly [number, string][] = [
  [0x01, 'read-only'],
  [0x02, 'hidden'],
  [0x04, 'system'],
  [0x20, 'archive'],
];

/** What a set says of its file. */
export function factsOf({ file, stream }: Found): Facts {
  const allocation = (stream.flags & NO_CHAIN) !== 0 ? 'contiguous' : 'chain';
  if (file === undefined) return { details: { cluster: stream.start, allocation } };
  const modified = timeOf(file.modified, file.modifiedTens, file.modifiedZone);
  const accessed = timeOf(file.accessed, 0, file.accessedZone);
  const created = timeOf(file.created, file.createdTens, file.createdZone);
  const words = ATTRIBUTES.filter(([bit]) => (file.attributes & bit) !== 0).map(([, word]) => word);
  const isLocal = (file.modifiedZone & ZONE_KNOWN) === 0;
  return {
    ...(modified !== undefined && { modified }),
    ...(accessed !== undefined && { accessed }),
    details: {
      cluster: stream.start,
      allocation,
      ...(isLocal && { times: 'local, of a zone that is not known' }),
      ...(words.length > 0 && { attributes: words.join(', ') }),
      ...(created !== undefined && { created }),
    },
  };
}

const ZONE_KNOWN = 0x80;
const QUARTER = 900;

function timeOf(stamp: number, tens: number, zone: number): number | undefined {
  const [date, time] = [stamp >>> 16, stamp & 0xffff];
  const [year, month, day] = [1980 + (date >> 9), (date >> 5) & 15, date & 31];
  if (month < 1 || month > 12 || day < 1) return undefined;
  const local = Date.UTC(year, month - 1, day, time >> 11, (time >> 5) & 63) / 1000 + (time & 31) * 2 + tens / 100;
  // Quarters of an hour east of Greenwich, in seven bits with a sign.
  const quarters = ((zone & 0x7f) ^ 0x40) - 0x40;
  return (zone & ZONE_KNOWN) === 0 ? local : local - quarters * QUARTER;
}
