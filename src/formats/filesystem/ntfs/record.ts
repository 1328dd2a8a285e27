/** File records: what a file is, as a list of attributes. */
import { type Certainty, INFERRED, STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { type Fixup, fixUp } from './fixup.ts';
import {
  ATTRIBUTE_END,
  ATTRIBUTE_HEAD,
  attributeHeader,
  LAST_TYPE,
  NON_RESIDENT_HEAD,
  nameOf,
  nonResidentHeader,
  RECORD_HEAD,
  RECORD_IN_USE,
  RESIDENT_HEAD,
  recordHeader,
  residentHeader,
  USA_WITH_NUMBER,
} from './structs.ts';

/** A check that failed. */
export interface Doubt {
  /** Bytes from the start of the volume. */
  readonly at: number;
  readonly code: string;
  readonly expected: string;
  readonly actual: string;
}

export interface Attribute {
  readonly record: FileRecord;
  /** Bytes from the start of the record. */
  readonly at: number;
  readonly length: number;
  readonly type: number;
  /** Raw bytes (UTF-8 in latin1). */
  readonly name: string;
  readonly flags: number;
  /** Where its value stands in the record; undefined where it lies elsewhere. */
  readonly resident: { readonly at: number; readonly size: number } | undefined;
  readonly lying: Lying | undefined;
}

/** Where the value of an attribute lies that does not stand in the record. */
interface Lying {
  readonly firstVcn: number;
  /** -1 where it has no clusters. */
  readonly lastVcn: number;
  readonly runsAt: number;
  readonly unit: number;
  readonly allocated: number;
  readonly size: number;
  readonly initialized: number;
}

export interface FileRecord {
  readonly number: number;
  /** What it was read from, and where in that. */
  readonly source: Source;
  readonly at: number;
  /** Bytes from the start of the volume. */
  readonly place: number;
  /** With its update sequence put back. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly usaAt: number;
  readonly torn: readonly number[];
  /** Of the last change of it that was logged; NaN where none was. */
  readonly changedAt: number;
  readonly sequence: number;
  readonly links: number;
  readonly flags: number;
  readonly base: number;
  readonly baseSequence: number;
  readonly attributes: readonly Attribute[];
  readonly doubts: readonly Doubt[];
  readonly certainty: Certainty;
  readonly why: Why;
}

interface Position {
  readonly source: Source;
  readonly at: number;
  readonly place: number;
}

const MAX_ATTRIBUTES = 1024;

/** Whether a record starts as one, in use or not. */
export function isRecord(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0x46 && bytes[at + 1] === 0x49 && bytes[at + 2] === 0x4c && bytes[at + 3] === 0x45;
}

/** Puts back what the update sequence of a record keeps, in place; undefined where it has none. */
export function fixedIn(bytes: Uint8Array): Fixup | undefined {
  const view = viewOf(bytes);
  return fixUp(bytes, view.getUint16(fields.usaAt.at, true), view.getUint16(fields.usaCount.at, true));
}

const { fields } = recordHeader;

/** Decodes a record; `fixed` where its bytes were put back before, which else is done in place. */
export function decodeRecord(
  bytes: Uint8Array,
  number: number,
  position: Position,
  fixed: Fixup | undefined = isRecord(bytes, 0) && bytes.length >= 2 * RECORD_HEAD ? fixedIn(bytes) : undefined,
): FileRecord | undefined {
  if (fixed === undefined) return undefined;
  // Field by field: there are as many records as files.
  const view = viewOf(bytes);
  const own = view.getUint32(fields.number.at, true);
  const used = view.getUint32(fields.used.at, true);
  const allocated = view.getUint32(fields.allocated.at, true);
  const first = view.getUint16(fields.first.at, true);
  const { source, at, place } = position;
  const doubts: Doubt[] = [];
  const doubt = (offset: number, code: string, expected: string, actual: string): void =>
    void doubts.push({ at: place + offset, code, expected, actual });
  if (fixed.torn.length > 0) {
    const sectors = fixed.torn.map((i) => i + 1).join(', ');
    doubt(fixed.torn[0] * 512 + 510, 'ntfs.record.torn', 'sectors that were written together', `not sector ${sectors}`);
  }
  if (fixed.usaAt >= USA_WITH_NUMBER && own !== number % 2 ** 32) {
    doubt(0x2c, 'ntfs.record.number', `record ${number}`, `record ${own}`);
  }
  if (used > bytes.length || allocated !== bytes.length || first < fixed.usaAt) {
    doubt(0x18, 'ntfs.record.length', `at most ${bytes.length} bytes in use`, `${used} of ${allocated}`);
  }
  const attributes: Attribute[] = [];
  const record = {
    number,
    source,
    at,
    place,
    bytes,
    view,
    usaAt: fixed.usaAt,
    torn: fixed.torn,
    changedAt: readU64(view, fields.lsn.at) || Number.NaN,
    sequence: view.getUint16(fields.sequence.at, true),
    links: view.getUint16(fields.links.at, true),
    flags: view.getUint16(fields.flags.at, true),
    base: view.getUint32(fields.base.at, true) + view.getUint16(fields.baseHigh.at, true) * 2 ** 32,
    baseSequence: view.getUint16(fields.baseSequence.at, true),
    attributes,
    doubts,
    certainty: STATED as Certainty,
    why: { what: `NTFS file record ${number}`, source, at } as Why,
  };
  attributesIn(record, first, attributes, doubt);
  return doubts.length === 0 ? record : withDoubts(record, []);
}

/** The same record with more doubts, and inferred because of them. */
export function withDoubts(record: FileRecord, more: readonly Doubt[]): FileRecord {
  const doubts = [...record.doubts, ...more];
  if (doubts.length === 0) return record;
  const why = { what: record.why.what, source: record.source, at: record.at, code: doubts[0].code };
  const out = { ...record, doubts, certainty: INFERRED as Certainty, why };
  return { ...out, attributes: record.attributes.map((one) => ({ ...one, record: out })) };
}

/** Whether a record is of a file that lives, or a part of one. */
export function isInUse({ flags }: FileRecord): boolean {
  return (flags & RECORD_IN_USE) !== 0;
}

type Report = (at: number, code: string, expected: string, actual: string) => void;

/** Reads the chain of attributes into `out` as far as it can be followed. */
function attributesIn(record: FileRecord, first: number, out: Attribute[], report: Report): void {
  const { bytes, view } = record;
  let at = first;
  let before = 0;
  while (at >= RECORD_HEAD - 8 && at % 8 === 0 && at + 4 <= bytes.length && out.length < MAX_ATTRIBUTES) {
    const type = view.getUint32(at, true);
    if (type === ATTRIBUTE_END) return;
    const isType = type >= before && type > 0 && type <= LAST_TYPE && type % 16 === 0;
    const one = isType && at + RESIDENT_HEAD <= bytes.length ? attributeAt(record, view, at, type) : undefined;
    if (one === undefined) break;
    const ends = one.resident === undefined ? one.length : one.resident.at + one.resident.size - at;
    if (Math.ceil(ends / 8) * 8 !== one.length) {
      report(at + 4, 'ntfs.attribute.length', `${Math.ceil(ends / 8) * 8} bytes for its value`, `${one.length}`);
    }
    out.push(one);
    before = type;
    at += one.length;
  }
  report(at, 'ntfs.record.attributes', 'an attribute or the end of all', 'neither');
}

function attributeAt(record: FileRecord, view: DataView, at: number, type: number): Attribute | undefined {
  const { bytes } = record;
  const length = view.getUint32(at + attributeHeader.fields.length.at, true);
  const nonResident = bytes[at + attributeHeader.fields.nonResident.at];
  const nameLength = bytes[at + attributeHeader.fields.nameLength.at];
  const nameAt = view.getUint16(at + attributeHeader.fields.nameAt.at, true);
  const flags = view.getUint16(at + attributeHeader.fields.flags.at, true);
  const least = nonResident === 0 ? RESIDENT_HEAD : NON_RESIDENT_HEAD;
  if (length < least || length % 8 !== 0 || at + length > bytes.length || nonResident > 1) return undefined;
  if (nameLength > 0 && (nameAt < ATTRIBUTE_HEAD || nameAt + 2 * nameLength > length)) return undefined;
  const name = nameLength === 0 ? '' : nameOf(bytes, at + nameAt, nameLength);
  if (nonResident === 0) {
    const size = view.getUint32(at + residentHeader.fields.size.at, true);
    const valueAt = view.getUint16(at + residentHeader.fields.valueAt.at, true);
    if (valueAt < RESIDENT_HEAD || valueAt + size > length) return undefined;
    return { record, at, length, type, name, flags, resident: { at: at + valueAt, size }, lying: undefined };
  }
  const { lastVcn, ...rest } = nonResidentHeader.decode(bytes, at);
  const isEmpty = lastVcn.low === ATTRIBUTE_END && lastVcn.high === ATTRIBUTE_END;
  const last = isEmpty ? -1 : lastVcn.high * 2 ** 32 + lastVcn.low;
  if (rest.runsAt < NON_RESIDENT_HEAD || rest.runsAt >= length || !Number.isSafeInteger(last)) return undefined;
  if (!Number.isSafeInteger(rest.firstVcn) || (!isEmpty && last + 1 < rest.firstVcn)) return undefined;
  return { record, at, length, type, name, flags, resident: undefined, lying: { ...rest, lastVcn: last } };
}
