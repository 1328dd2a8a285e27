/** ZIP archives and what is kept in them: documents of Office, OpenDocument, Java, Android. Source: carving.md section 1. */
import { crc32 } from '../../codec/crc32.ts';
import { inflate } from '../../codec/inflate.ts';
import { type Carved, type Carver, type Content, cut, whole } from '../../core/carver.ts';
import { pieces } from './pieces.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const key = (offset: number, hex: string) => ({ offset, bytes: [...Buffer.from(hex, 'hex')] });

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const DESCRIPTOR = 0x08074b50;
const HAS_DESCRIPTOR = 8;
const ENCRYPTED = 1;
const MAX_MEMBERS = 200_000;

export const zip: Carver = {
  extension: 'zip',
  title: 'ZIP archive',
  keys: [key(0, '504b0304')],
  most: 64 * GIB,
  examine: (file) => zipEnd(file),
};

async function zipEnd(file: Content): Promise<Carved | undefined> {
  const names: string[] = [];
  let kind = '';
  let isProved = true;
  let at = 0;
  for (let n = 0; n < MAX_MEMBERS && (await file.number(at, 4)) === LOCAL; n++) {
    const member = await zipMember(file, at);
    if (member === undefined) return n === 0 ? undefined : cut(at, named(kind, names));
    if (names.length < 64) names.push(member.name);
    if (n === 0 && member.name === 'mimetype') kind = await file.text(member.dataAt, 64);
    isProved &&= member.isProved;
    at = member.end;
  }
  const directory = at;
  while ((await file.number(at, 4)) === CENTRAL) {
    const [name, extra, comment] = [
      await file.number(at + 28, 2),
      await file.number(at + 30, 2),
      await file.number(at + 32, 2),
    ];
    at += 46 + name + extra + comment;
  }
  if ((await file.number(at, 4)) === END64) at += 12 + (await file.number(at + 4, 8));
  if ((await file.number(at, 4)) === LOCATOR64) at += 20;
  if ((await file.number(at, 4)) !== END) return cut(directory, named(kind, names));
  const place = await file.number(at + 16, 4);
  const end = at + 22 + (await file.number(at + 20, 2));
  // The end says where the directory stands: what was put in between would show here.
  if (!(end <= file.size) || (place !== directory && place !== 0xffffffff)) return cut(directory, named(kind, names));
  return whole(end, { ...named(kind, names), isProved });
}

interface Member {
  readonly name: string;
  readonly dataAt: number;
  readonly end: number;
  readonly isProved: boolean;
}

async function zipMember(file: Content, at: number): Promise<Member | undefined> {
  const [flags, method] = [await file.number(at + 6, 2), await file.number(at + 8, 2)];
  const [crc, packed, size] = [
    await file.number(at + 14, 4),
    await file.number(at + 18, 4),
    await file.number(at + 22, 4),
  ];
  const [nameLength, extra] = [await file.number(at + 26, 2), await file.number(at + 28, 2)];
  const dataAt = at + 30 + nameLength + extra;
  const name = await file.text(at + 30, nameLength);
  if (name === '' || name.includes('\0') || method > 99 || Number.isNaN(extra)) return undefined;
  const isOpen = (flags & HAS_DESCRIPTOR) !== 0;
  const isReadable = (flags & ENCRYPTED) === 0;
  if (method === 8 && isReadable) {
    const found = await inflate(pieces(file, dataAt));
    if (found === undefined) return undefined;
    const end = dataAt + found.consumed;
    if (!isOpen)
      return found.crc === crc && (packed === found.consumed || packed === 0xffffffff)
        ? { name, dataAt, end, isProved: true }
        : undefined;
    return closed(file, { name, dataAt, end, isProved: true }, found.crc);
  }
  if (isOpen && packed === 0 && method !== 0) return undefined;
  let end = dataAt + packed;
  if (packed === 0xffffffff) end = dataAt + (await bigSize(file, at + 30 + nameLength, extra));
  if (!(end <= file.size)) return undefined;
  const isStored = method === 0 && isReadable && packed === size && !isOpen;
  if (isStored && (await sumOf(file, dataAt, packed)) !== crc) return undefined;
  const member = { name, dataAt, end, isProved: isStored };
  return isOpen ? closed(file, member, undefined) : member;
}

/** The end of a member whose sizes stand behind it. */
async function closed(file: Content, member: Member, crc: number | undefined): Promise<Member | undefined> {
  const at = member.end;
  const from = (await file.number(at, 4)) === DESCRIPTOR ? at + 4 : at;
  if (crc !== undefined && (await file.number(from, 4)) !== crc) return undefined;
  for (const length of [12, 20]) {
    const next = await file.number(from + length, 4);
    if (next === LOCAL || next === CENTRAL) return { ...member, end: from + length };
  }
  return undefined;
}

async function bigSize(file: Content, from: number, length: number): Promise<number> {
  for (let at = from; at + 4 <= from + length; ) {
    const [id, bytes] = [await file.number(at, 2), await file.number(at + 2, 2)];
    if (id === 1) return file.number(at + 12, 8);
    at += 4 + bytes;
  }
  return Number.NaN;
}

async function sumOf(file: Content, from: number, length: number): Promise<number> {
  if (length > 256 * MIB) return Number.NaN;
  const bytes = await file.bytes(from, length);
  return bytes === undefined ? Number.NaN : crc32(bytes);
}

/** What kind of a ZIP it is, by what is in it. */
function named(
  mime: string,
  names: readonly string[],
): { extension?: string; facts: { members: number; first: string } } {
  const facts = { members: names.length, first: names[0] ?? '' };
  const has = (start: string): boolean => names.some((name) => name.startsWith(start));
  const kinds: readonly (readonly [string, boolean])[] = [
    ['docx', has('word/')],
    ['xlsx', has('xl/')],
    ['pptx', has('ppt/')],
    ['odt', mime.startsWith('application/vnd.oasis.opendocument.text')],
    ['ods', mime.startsWith('application/vnd.oasis.opendocument.spreadsheet')],
    ['odp', mime.startsWith('application/vnd.oasis.opendocument.presentation')],
    ['epub', mime.startsWith('application/epub+zip')],
    ['apk', has('AndroidManifest.xml')],
    ['jar', has('META-INF/')],
  ];
  const extension = kinds.find(([, is]) => is)?.[0];
  return { facts, ...(extension !== undefined && { extension }) };
}
