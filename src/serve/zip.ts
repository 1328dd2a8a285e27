/** What a ZIP archive says it holds, from its central directory; and one small member of it. */
import { inflateRawSync } from 'node:zlib';
import type { Source } from '../core/source.ts';

/** The end of an archive is looked for in its last bytes: the record of 22 and a comment. */
const TAIL = 22 + 65_535;
/** Bytes of a central directory that are read, and members that are listed. */
const MAX_DIRECTORY = 16 * 1024 * 1024;
const MAX_MEMBERS = 5000;
const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;

export interface ZipMember {
  readonly name: string;
  readonly size: number;
  readonly packed: number;
  readonly method: number;
  /** Where its local header is. */
  readonly at: number;
}

export interface ZipListing {
  readonly members: readonly ZipMember[];
  /** Why it is not all that is there, in a sentence. */
  readonly note?: string;
}

/** The members of an archive; undefined where its end is not found. */
export async function zipMembers(source: Source): Promise<ZipListing | undefined> {
  const from = Math.max(0, source.size - TAIL);
  const tail = new DataView(await bytesOf(source, from, source.size - from));
  let at = tail.byteLength - 22;
  while (at >= 0 && tail.getUint32(at, true) !== END) at--;
  if (at < 0) return undefined;
  const [size, start] = [tail.getUint32(at + 12, true), tail.getUint32(at + 16, true)];
  if (start + size > source.size || size > MAX_DIRECTORY)
    return { members: [], note: 'Its directory lies outside of it, or is larger than is read for a preview.' };
  const directory = new DataView(await bytesOf(source, start, size));
  const members: ZipMember[] = [];
  let place = 0;
  while (place + 46 <= size && members.length < MAX_MEMBERS && directory.getUint32(place, true) === ENTRY) {
    const [name, extra, comment] = [28, 30, 32].map((field) => directory.getUint16(place + field, true));
    const raw = new Uint8Array(directory.buffer, place + 46, Math.min(name, size - place - 46));
    members.push({
      name: new TextDecoder().decode(raw),
      size: directory.getUint32(place + 24, true),
      packed: directory.getUint32(place + 20, true),
      method: directory.getUint16(place + 10, true),
      at: directory.getUint32(place + 42, true),
    });
    place += 46 + name + extra + comment;
  }
  const isWhole = place === size;
  return { members, ...(!isWhole && { note: 'There is more in its directory than is listed here.' }) };
}

/** The bytes of one member, up to `limit` of them; undefined where they cannot be had. */
export async function zipBytes(source: Source, member: ZipMember, limit: number): Promise<Uint8Array | undefined> {
  if (member.at + 30 > source.size || member.packed > limit) return undefined;
  const head = new DataView(await bytesOf(source, member.at, 30));
  if (head.getUint32(0, true) !== LOCAL) return undefined;
  const start = member.at + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  if (start + member.packed > source.size) return undefined;
  const packed = new Uint8Array(await bytesOf(source, start, member.packed));
  if (member.method === 0) return packed;
  if (member.method !== 8) return undefined;
  try {
    return inflateRawSync(packed, { maxOutputLength: limit });
  } catch {
    return undefined;
  }
}

async function bytesOf(source: Source, at: number, length: number): Promise<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  await source.read(at, bytes);
  return bytes.buffer;
}
