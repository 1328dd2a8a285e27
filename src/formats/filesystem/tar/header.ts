/** Headers of tar archives: ustar, those of GNU tar, and the seventh edition's. Source: POSIX.1 pax, GNU tar manual. */
import { bytes, latin1, struct, text } from '../../../core/struct.ts';

/** Headers and contents start at multiples of this. */
export const BLOCK = 512;
const SUM_AT = 148;
const SUM_SIZE = 8;

export const tarHeader = struct('tar header', BLOCK, {
  name: text(0, 100),
  mode: bytes(100, 8),
  uid: bytes(108, 8),
  gid: bytes(116, 8),
  size: bytes(124, 12),
  mtime: bytes(136, 12),
  chksum: bytes(SUM_AT, SUM_SIZE),
  typeflag: text(156, 1),
  linkname: text(157, 100),
  magic: text(257, 6),
  prefix: text(345, 155),
});

/** Where GNU tar keeps the map of a file with holes: pairs of offset and length, then what the whole measures. */
export const sparseFields = struct('tar header of a file with holes', BLOCK, {
  map: bytes(386, 96),
  isExtended: text(482, 1),
  realsize: bytes(483, 12),
});

export interface Header {
  /** Raw bytes. */
  readonly path: string;
  readonly type: string;
  readonly size: number;
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly mtime: number | undefined;
  readonly link: string;
  /** 'ustar', 'gnu' or 'v7'. */
  readonly dialect: string;
}

/** A number in octal digits, or in base 256 where its first bit says so; undefined where it is neither. */
export function numberOf(field: Uint8Array): number | undefined {
  if (field[0] === 0x80) {
    let value = 0;
    for (let i = 1; i < field.length; i++) value = value * 256 + field[i];
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = latin1(field, 0, field.length).trim();
  return /^[0-7]*$/.test(digits) ? Number.parseInt(`0${digits}`, 8) : undefined;
}

/** The header that stands in `block`; undefined where its checksum or its size say that there is none. */
export function headerOf(block: Uint8Array): Header | undefined {
  if (block.length < BLOCK || !isSummed(block)) return undefined;
  const h = tarHeader.decode(block);
  const size = numberOf(h.size);
  if (size === undefined) return undefined;
  const dialect = h.magic === 'ustar' ? 'ustar' : h.magic === 'ustar ' ? 'gnu' : 'v7';
  const path = dialect === 'ustar' && h.prefix !== '' ? `${h.prefix}/${h.name}` : h.name;
  return {
    path,
    type: h.typeflag === '' ? '0' : h.typeflag,
    size,
    mode: numberOf(h.mode),
    uid: numberOf(h.uid),
    gid: numberOf(h.gid),
    mtime: numberOf(h.mtime),
    link: h.linkname,
    dialect,
  };
}

/** The sum of all bytes, its own field taken as spaces; some old programs summed signed bytes. */
function isSummed(block: Uint8Array): boolean {
  const said = numberOf(block.subarray(SUM_AT, SUM_AT + SUM_SIZE));
  if (said === undefined || said === 0) return false;
  let sum = 0;
  let high = 0;
  for (let i = 0; i < BLOCK; i++) {
    const byte = i >= SUM_AT && i < SUM_AT + SUM_SIZE ? 0x20 : block[i];
    sum += byte;
    if (byte > 127) high++;
  }
  return said === sum || said === sum - 256 * high;
}

/** Whether nothing but zeros stands in a block: two of them end an archive. */
export function isZero(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}
