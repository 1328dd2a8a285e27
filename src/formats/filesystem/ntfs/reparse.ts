/** Reparse points: what stands in place of a file, and where it leads. */
import { viewOf } from '../../../core/struct.ts';
import { type File, valueIn } from './file.ts';
import { nameOf, REPARSE_POINT } from './structs.ts';
import type { Volume } from './volume.ts';

const MOUNT_POINT = 0xa0000003;
const SYMLINK = 0xa000000c;
const LX_SYMLINK = 0xa000001d;
export const WOF: number = 0x80000017;
const DEDUP = 0x80000013;
/** With a number in four of its bits. */
const CLOUD = 0x9000001a;
const CODES: Readonly<Record<number, string>> = { [WOF]: 'ntfs.wof', [DEDUP]: 'ntfs.dedup' };
const MAX_VALUE = 65_536;
const HEAD = 8;
const WOF_PROVIDER_FILE = 2;
const RELATIVE = 1;
const NAMES: Readonly<Record<number, string>> = {
  [MOUNT_POINT]: 'junction or mount point',
  [SYMLINK]: 'symbolic link',
  [LX_SYMLINK]: 'symbolic link of Linux',
  [WOF]: 'compressed by the system',
  [DEDUP]: 'deduplicated',
  2147483675: 'link to an application',
};

export interface Reparse {
  readonly tag: number;
  /** Why bytes are missing that are kept elsewhere because of it. */
  readonly code: string;
  readonly what: string;
  /** Where it leads, as raw bytes, for links. */
  readonly target?: string;
  /** The algorithm of WOF files: 0 XPRESS in 4 KiB, 1 LZX, 2 XPRESS in 8 KiB, 3 XPRESS in 16 KiB. */
  readonly algorithm?: number;
}

/** The reparse point of a file; undefined where it has none. */
export async function reparseOf(volume: Volume, file: File): Promise<Reparse | undefined> {
  const attribute = file.attributes.find((one) => one.type === REPARSE_POINT);
  if (attribute === undefined) return undefined;
  let value = valueIn(attribute);
  if (value === undefined) {
    const source = volume.checked(volume.stream(file, REPARSE_POINT)!);
    value = new Uint8Array(Math.min(source.size, MAX_VALUE));
    if ((await source.read(0, value)).length > 0)
      return { tag: 0, code: 'ntfs.reparse', what: 'a reparse point that cannot be read' };
  }
  if (value.length < HEAD) return { tag: 0, code: 'ntfs.reparse', what: 'a reparse point without a tag' };
  const view = viewOf(value);
  const tag = view.getUint32(0, true);
  const isCloud = (tag & 0xffff0fff) >>> 0 === CLOUD;
  const what = NAMES[tag] ?? (isCloud ? 'a file kept in a cloud' : `0x${tag.toString(16)}`);
  const code = CODES[tag] ?? (isCloud ? 'ntfs.cloud' : 'ntfs.reparse');
  if (tag === WOF) {
    const isFile = value.length >= HEAD + 16 && view.getUint32(HEAD + 4, true) === WOF_PROVIDER_FILE;
    return { tag, code, what, ...(isFile && { algorithm: view.getUint32(HEAD + 12, true) }) };
  }
  if (tag === LX_SYMLINK) return { tag, code, what, target: Buffer.from(value.subarray(HEAD + 4)).toString('latin1') };
  if (tag !== MOUNT_POINT && tag !== SYMLINK) return { tag, code, what };
  return { tag, code, what, ...targetIn(value, view, tag === SYMLINK) };
}

function targetIn(value: Uint8Array, view: DataView, isLink: boolean): { target?: string } {
  const base = HEAD + (isLink ? 12 : 8);
  if (value.length < base) return {};
  const text = (field: number): string => {
    const at = base + view.getUint16(field, true);
    const length = view.getUint16(field + 2, true);
    return at + length > value.length ? '' : nameOf(value, at, length >>> 1);
  };
  // The printed name is what a person would type; the other one begins with "\??\".
  const target = text(HEAD + 4) || text(HEAD);
  if (target === '') return {};
  const isRelative = isLink && (view.getUint32(HEAD + 8, true) & RELATIVE) !== 0;
  return { target: isRelative ? target.replaceAll('\\', '/') : target };
}
