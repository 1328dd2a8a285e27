/** The text descriptor of a VMDK: which files hold which sectors. Source: vmdk.md section 2. */
import { type KeyValues, parseKeyValues } from '../../../codec/keyvalue.ts';
import { MAX_SECTORS, SECTOR } from './structs.ts';

export { SECTOR };

const MAX_EXTENTS = 65536;

export interface ExtentLine {
  readonly access: string;
  readonly sectors: number;
  readonly type: string;
  /** Raw bytes of the file name; empty for ZERO. */
  readonly file: string;
  /** Sectors from the start of that file. */
  readonly offset: number;
  /** Bytes from the start of the descriptor. */
  readonly at: number;
}

export interface Descriptor {
  readonly values: KeyValues;
  /** Where each key stands, in bytes from the start of the descriptor. */
  readonly positions: ReadonlyMap<string, number>;
  readonly extents: readonly ExtentLine[];
  /** Lines that look like extents and are none, with their positions. */
  readonly refused: readonly { readonly at: number; readonly line: string }[];
}

const EXTENT = /^\s*(RW|RDONLY|NOACCESS)\s+(\d+)\s+([A-Z]+)(?:\s+"([^"]*)"(?:\s+(\d+))?.*)?\s*$/i;

/**
 * Whether these bytes are a descriptor: its first line, or what must follow it, says so. One behind zeros is none: it is
 * the text inside an extent whose header was overwritten.
 */
export function isDescriptor(raw: string): boolean {
  const text = upToZero(raw);
  return (
    /^\s*# Disk DescriptorFile/i.test(text) ||
    (/^\s*(version|CID)\s*=/im.test(text) && /^\s*createType\s*=/im.test(text))
  );
}

function upToZero(raw: string): string {
  const end = raw.indexOf('\0');
  return end < 0 ? raw : raw.slice(0, end);
}

/** Whether a value is a content id; some writers leave out zeros at the start. */
export function isContentId(value: string): boolean {
  return /^[0-9a-f]{1,8}$/i.test(value);
}

/** A content id as all its digits; some hosts leave the first zeros out. Nothing where there is none. */
export function contentId(value: string): string {
  return value === '' ? '' : value.toLowerCase().padStart(8, '0');
}

export function parseDescriptor(raw: string): Descriptor {
  const text = upToZero(raw);
  const extents: ExtentLine[] = [];
  const refused: { at: number; line: string }[] = [];
  const positions = new Map<string, number>();
  let at = 0;
  let total = 0;
  for (const line of text.split('\n')) {
    const extent = extentOf(line, at);
    const key = /^\s*([A-Za-z0-9_.:\-~]+)\s*=/.exec(line)?.[1];
    if (key !== undefined) positions.set(key.toLowerCase(), at);
    // Extents follow each other, so it is their sum that has to stay a size that a disk can have.
    const fits = extent !== undefined && extents.length < MAX_EXTENTS && total + extent.sectors <= MAX_SECTORS;
    if (fits) {
      extents.push(extent);
      total += extent.sectors;
    } else if (/^\s*(RW|RDONLY|NOACCESS)\s/i.test(line)) refused.push({ at, line: line.trim() });
    at += line.length + 1;
  }
  return { values: parseKeyValues(text), positions, extents, refused };
}

function extentOf(line: string, at: number): ExtentLine | undefined {
  const match = EXTENT.exec(line.replace(/\r$/, ''));
  if (match === null) return undefined;
  const sectors = Number(match[2]);
  const offset = Number(match[5] ?? 0);
  if (!(sectors <= MAX_SECTORS) || !(offset <= MAX_SECTORS)) return undefined;
  const type = match[3].toUpperCase();
  return { access: match[1].toUpperCase(), sectors, type, file: match[4] ?? '', offset, at };
}
