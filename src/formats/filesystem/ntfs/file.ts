/** A file's attributes, gathered from all records that they are spread over. */
import type { Ground } from './ground.ts';
import { type Attribute, type Doubt, type FileRecord, isInUse } from './record.ts';
import { bytesOf, type Stream, streamOf } from './stream.ts';
import {
  ATTRIBUTE_LIST,
  FILE_NAME,
  FILE_NAME_BYTES,
  fileName,
  listEntry,
  NAMESPACE_DOS,
  nameOf,
  STANDARD_INFORMATION,
  standardInformation,
  timeAt,
} from './structs.ts';

/** Bytes of a list of attributes, and records that one file is spread over, at most. Windows stops at 256 KiB. */
const MAX_LIST = 2 ** 20;
const MAX_RECORDS = 65_536;

export interface File {
  readonly record: FileRecord;
  readonly attributes: readonly Attribute[];
  /** Doubts beside those of the record. */
  readonly doubts: readonly Doubt[];
}

/** A name of a file and the directory that it stands in. */
export interface Name {
  readonly name: string;
  readonly parent: number;
  readonly parentSequence: number;
  readonly isDos: boolean;
}

/** Reads another record; what it holds is judged here. */
export type Fetch = (number: number) => Promise<FileRecord | undefined>;

/**
 * All attributes of a file; a promise only where they are spread over several records. `isDead`: of one that is no
 * more, whose records are not in use.
 */
export function fileOf(ground: Ground, record: FileRecord, fetch: Fetch, isDead = false): File | Promise<File> {
  const isSpread = record.attributes.some((one) => one.type === ATTRIBUTE_LIST);
  return isSpread
    ? spread(ground, record, fetch, isDead)
    : { record, attributes: record.attributes, doubts: NO_DOUBTS };
}

const NO_DOUBTS: readonly Doubt[] = [];

async function spread(ground: Ground, record: FileRecord, fetch: Fetch, isDead: boolean): Promise<File> {
  const lists = record.attributes.filter((one) => one.type === ATTRIBUTE_LIST);
  const doubts: Doubt[] = [];
  const doubt = (code: string, expected: string, actual: string): void =>
    void doubts.push({ at: record.place + lists[0].at, code, expected, actual });
  const source = bytesOf(ground, streamOf(lists, ground.cluster, ground.clusters * ground.cluster), undefined, isDead);
  const bytes = new Uint8Array(Math.min(source.size, MAX_LIST));
  const gaps = await source.read(0, bytes);
  if (gaps.length > 0) doubt('ntfs.list', `${bytes.length} bytes of the list of its attributes`, 'some of them');
  const others = new Map<number, number>();
  for (let at = 0; at + listEntry.size <= bytes.length; ) {
    const entry = listEntry.decode(bytes, at);
    if (entry.length < listEntry.size || entry.length % 8 !== 0 || at + entry.length > bytes.length) {
      if (entry.type !== 0) doubt('ntfs.list', `an entry of the list at ${at}`, 'none');
      break;
    }
    const number = entry.record + entry.recordHigh * 2 ** 32;
    if (number !== record.number && others.size < MAX_RECORDS) others.set(number, entry.sequence);
    at += entry.length;
  }
  const attributes = [...record.attributes];
  for (const [number, sequence] of others) {
    const other = await fetch(number);
    const isOwn = other !== undefined && other.base === record.number && isInUse(other) !== isDead;
    const generation = isDead ? sequence + 1 : sequence;
    if (isOwn && other.sequence === generation % 65_536) attributes.push(...other.attributes);
    else doubt('ntfs.extension', `record ${number} with more of its attributes`, 'one of another file, or none');
  }
  return { record, attributes, doubts };
}

/** A stream of a file; undefined where it has none of that type and name. */
export function streamIn(ground: Ground, file: File, type: number, name = ''): Stream | undefined {
  const pieces: Attribute[] = [];
  for (const one of file.attributes) if (one.type === type && one.name === name) pieces.push(one);
  return pieces.length === 0 ? undefined : streamOf(pieces, ground.cluster, ground.clusters * ground.cluster);
}

/** The value of a resident attribute. */
export function valueIn({ record, resident }: Attribute): Uint8Array | undefined {
  return resident === undefined ? undefined : record.bytes.subarray(resident.at, resident.at + resident.size);
}

/** The names of a file, as its own records have them. */
export function namesIn(attributes: readonly Attribute[]): Name[] {
  const out: Name[] = [];
  for (const attribute of attributes) {
    if (attribute.type !== FILE_NAME) continue;
    const value = valueIn(attribute);
    const name =
      value === undefined
        ? undefined
        : nameIn(attribute.record.bytes, attribute.record.view, attribute.resident!.at, value.length);
    if (name !== undefined) out.push(name);
  }
  return out;
}

/** Whether a file calls itself that, in that directory: asked of each entry of a listing. */
export function isNamed(attributes: readonly Attribute[], wanted: string, parent: number): boolean {
  for (const { type, record, resident } of attributes) {
    if (type !== FILE_NAME || resident === undefined) continue;
    const { bytes, view } = record;
    const { at, size } = resident;
    if (size < FILE_NAME_BYTES || parentAt(view, at) !== parent) continue;
    if (nameIn(bytes, view, at, Math.min(size, bytes.length - at))?.name === wanted) return true;
  }
  return false;
}

function parentAt(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint16(at + 4, true) * 2 ** 32;
}

/** A name attribute, as it stands in records and in directories; undefined where there is none. */
export function nameIn(bytes: Uint8Array, view: DataView, at: number, length: number): Name | undefined {
  if (length < FILE_NAME_BYTES || at + length > bytes.length) return undefined;
  const count = bytes[at + fileName.fields.length.at];
  const namespace = bytes[at + fileName.fields.namespace.at];
  if (count === 0 || FILE_NAME_BYTES + 2 * count > length || namespace > 3) return undefined;
  return {
    name: nameOf(bytes, at + FILE_NAME_BYTES, count),
    parent: parentAt(view, at),
    parentSequence: view.getUint16(at + 6, true),
    isDos: namespace === NAMESPACE_DOS,
  };
}

interface Information {
  /** Seconds since 1970. */
  readonly created: number;
  readonly modified: number;
  readonly changed: number;
  readonly accessed: number;
  /** DOS attributes. */
  readonly attributes: number;
}

/** DOS attributes alone; 0 where they are lost. */
export function dosAttributesOf(file: File): number {
  const found = informationIn(file);
  return found === undefined ? 0 : found.view.getUint32(found.at + standardInformation.fields.attributes.at, true);
}

/** Where times and DOS attributes stand; undefined where they are lost. */
function informationIn({ attributes }: File): { readonly view: DataView; readonly at: number } | undefined {
  const one = attributes.find(({ type }) => type === STANDARD_INFORMATION);
  if (one?.resident === undefined || one.resident.size < standardInformation.size) return undefined;
  return { view: one.record.view, at: one.resident.at };
}

/** Times and DOS attributes; undefined where they are lost. */
export function informationOf(file: File): Information | undefined {
  const found = informationIn(file);
  if (found === undefined) return undefined;
  const { fields } = standardInformation;
  const { view, at } = found;
  return {
    created: timeAt(view, at + fields.created.at),
    modified: timeAt(view, at + fields.modified.at),
    changed: timeAt(view, at + fields.changed.at),
    accessed: timeAt(view, at + fields.accessed.at),
    attributes: view.getUint32(at + fields.attributes.at, true),
  };
}
