/** Names: in two pieces of eight and three bytes, and the long ones beside them. */
import { nameOf } from '../ntfs/structs.ts';
import { LAST_LONG, LONG_MASK, LOWER_BASE, LOWER_EXTENSION, longEntry, REAL_E5 } from './structs.ts';

/** The upper half of code page 437. What it shares with 850 are the letters of western Europe. */
const UPPER =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0';
/** Characters that no short name has. */
const ILLEGAL = new Set('"*+,./:;<=>?[\\]|'.split('').map((c) => c.charCodeAt(0)));
const UNITS = 13;
/** Pieces of the longest name: 255 characters. */
const MAX_PIECES = 20;

/** A short name as UTF-8, a byte a character. */
export function shortName(name: Uint8Array, caseBits: number): string {
  const part = (from: number, end: number, isLower: boolean): string => {
    let out = '';
    for (let i = from; i < end; i++) {
      const byte = i === 0 && name[i] === REAL_E5 ? 0xe5 : name[i];
      out += byte < 0x80 ? String.fromCharCode(byte) : UPPER[byte - 0x80];
    }
    const trimmed = out.replace(/ +$/, '');
    return isLower ? trimmed.toLowerCase() : trimmed;
  };
  const base = part(0, 8, (caseBits & LOWER_BASE) !== 0);
  const extension = part(8, 11, (caseBits & LOWER_EXTENSION) !== 0);
  return Buffer.from(extension === '' ? base : `${base}.${extension}`, 'utf8').toString('latin1');
}

/** Whether bytes can be a short name. `isGone`: its first byte is lost. */
export function isShortName(name: Uint8Array, isGone: boolean): boolean {
  if (!isGone && name[0] === 0x20) return false;
  for (let i = isGone ? 1 : 0; i < name.length; i++) {
    const byte = i === 0 && name[i] === REAL_E5 ? 0xe5 : name[i];
    if (byte < 0x20 || byte === 0x7f || ILLEGAL.has(byte)) return false;
  }
  return true;
}

/** What the pieces of a long name say of the short one that they belong to. */
export function checksumOf(name: Uint8Array): number {
  let sum = 0;
  for (const byte of name) sum = (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff;
  return sum;
}

/** The first byte that gives a short name this checksum: there is just one. */
export function firstByteFor(name: Uint8Array, checksum: number): number {
  const trial = Uint8Array.from(name);
  for (let byte = 0; byte < 256; byte++) {
    trial[0] = byte;
    if (checksumOf(trial) === checksum) return byte;
  }
  return 0;
}

/** One piece of a long name, as it stands in a directory. */
export interface Piece {
  readonly sequence: number;
  readonly checksum: number;
  readonly isLast: boolean;
  /** UTF-16. */
  readonly units: Uint8Array;
}

export function pieceAt(block: Uint8Array, at: number): Piece {
  const { sequence, checksum, first, second, third } = longEntry.decode(block, at);
  const units = new Uint8Array(UNITS * 2);
  units.set(first);
  units.set(second, first.length);
  units.set(third, first.length + second.length);
  return { sequence: sequence & LONG_MASK, checksum, isLast: (sequence & LAST_LONG) !== 0, units };
}

/** The name that pieces make, the last one first as they stand on the disk; undefined where they make none. */
export function longName(pieces: readonly Piece[]): string | undefined {
  if (pieces.length === 0 || pieces.length > MAX_PIECES) return undefined;
  const all = new Uint8Array(pieces.length * UNITS * 2);
  for (const [i, { units }] of pieces.entries()) all.set(units, (pieces.length - 1 - i) * units.length);
  let length = 0;
  while (length * 2 < all.length && (all[length * 2] | all[length * 2 + 1]) !== 0) length++;
  // The end is marked unless the last piece is full, and what is behind the mark is filled.
  const isEnded = length >= (pieces.length - 1) * UNITS;
  for (let i = length * 2 + 2; i < all.length; i++) if (all[i] !== 0xff && all[i] !== 0) return undefined;
  return isEnded && length > 0 ? nameOf(all, 0, length) : undefined;
}
