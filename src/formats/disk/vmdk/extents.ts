/** Files that hold a disk's bytes: what their names and headers say of the descriptor they belong to. Source: vmdk.md. */
import { LOOK, lookOf } from '../../../codec/entropy.ts';
import type { Piece } from '../../../core/mend.ts';
import { cowdHeader, SECTOR, seHeader } from './structs.ts';

export interface Extent {
  readonly rawName: string;
  /** The descriptor it belongs to by its name. */
  readonly descriptor: string;
  readonly type: 'VMFS' | 'VMFSSPARSE' | 'SESPARSE';
  readonly createType: 'vmfs' | 'vmfsSparse' | 'seSparse';
  /** Of the disk it describes; 0 where its header does not say it. */
  readonly sectors: number;
  /** The size is not what the file alone says. */
  readonly isGuessed: boolean;
  /** What is odd about it, in sentences. */
  readonly notes: readonly string[];
  readonly piece: Piece;
}

const NAMES = [
  { ending: /-flat\.vmdk$/i, type: 'VMFS', createType: 'vmfs' },
  { ending: /-delta\.vmdk$/i, type: 'VMFSSPARSE', createType: 'vmfsSparse' },
  { ending: /-sesparse\.vmdk$/i, type: 'SESPARSE', createType: 'seSparse' },
] as const;

/** Whether a name ending in .vmdk is that of a file with a disk's bytes, of change tracking, or of a raw device. */
export function isNoDescriptor(rawName: string): boolean {
  return /-(flat|delta|sesparse|ctk|rdmp?|[sf]\d{3})\.vmdk$/i.test(rawName);
}

/** What a piece is by its name, and its header where it has one; undefined for names of other kinds. */
export async function extentOf(piece: Piece): Promise<Extent | undefined> {
  const kind = NAMES.find(({ ending }) => ending.test(piece.rawName));
  if (kind === undefined) return undefined;
  const descriptor = piece.rawName.replace(kind.ending, '.vmdk');
  const size = piece.facts.size ?? 0;
  const { type, createType } = kind;
  if (type !== 'VMFS') {
    const sectors = await capacityOf(piece);
    const notes =
      sectors === 0 ? [`The header of ${piece.rawName} cannot be read, so the size of its disk is not known.`] : [];
    return { rawName: piece.rawName, descriptor, type, createType, sectors, isGuessed: false, notes, piece };
  }
  const footer = await footerOf(piece);
  const over = (size - footer) % SECTOR;
  const notes: string[] = [];
  if (over > 0)
    notes.push(`${piece.file} has ${size} bytes: the last ${over} are no whole sector and are not in the disk.`);
  if (footer > 0) notes.push(footerNote(piece.file, footer));
  const common = { rawName: piece.rawName, descriptor, type, createType, isGuessed: footer > 0, notes, piece };
  return { ...common, sectors: (size - footer - over) / SECTOR };
}

/** What an encryptor leaves behind a file: 512 bytes each time. */
const FOOTER = 512;
const MOST_FOOTERS = 8;
/** Disks are made in whole MiB. */
const UNIT = 1024 * 1024;
/** Of 512 random bytes some 221 are different; texts and tables have far fewer. */
const LEAST_DIFFERENT = 195;

/** Bytes of random footers behind the last whole MiB of a file that an encryptor was at; 0 where there are none. */
async function footerOf(piece: Piece): Promise<number> {
  const size = piece.facts.size ?? 0;
  const rest = size % UNIT;
  if (rest === 0 || rest % FOOTER !== 0 || rest > MOST_FOOTERS * FOOTER) return 0;
  const source = await piece.source();
  if (source === undefined || source.size < size) return 0;
  const start = new Uint8Array(LOOK);
  const isSuspect =
    piece.file !== piece.rawName || ((await source.read(0, start)).length === 0 && lookOf(start) === 'random');
  if (!isSuspect) return 0;
  const tail = new Uint8Array(rest);
  if ((await source.read(size - rest, tail)).length > 0) return 0;
  for (let at = 0; at < rest; at += FOOTER) {
    if (new Set(tail.subarray(at, at + FOOTER)).size < LEAST_DIFFERENT) return 0;
  }
  return rest;
}

function footerNote(file: string, footer: number): string {
  const count = footer / FOOTER;
  const twice =
    count === 1
      ? ''
      : ` If it is ${count} footers of ${FOOTER}, the file was encrypted ${count} times: decrypt it as often.`;
  return `The last ${footer} bytes of ${file} look like what an encryptor adds, and are not in the disk.${twice}`;
}

/** Sectors of the disk that a delta's header names; 0 where it has no such header. */
export async function capacityOf(piece: Piece): Promise<number> {
  const source = await piece.source();
  if (source === undefined || source.size < SECTOR) return 0;
  const block = new Uint8Array(SECTOR);
  if ((await source.read(0, block)).length > 0) return 0;
  const cowd = cowdHeader.decode(block);
  if (cowd.magicNumber === 'COWD') return cowdHeader.violations(cowd).length === 0 ? cowd.numSectors : 0;
  const sparse = seHeader.decode(block);
  const isSound = seHeader.violations(sparse).every(({ field }) => !/^(magic|capacity|grainSize)$/.test(field));
  return isSound ? sparse.capacity : 0;
}

/**
 * Whether all of a flat file has room on its volume: thick. Undefined where its file system does not say it.
 * Room that is still to be zeroed counts: it was given to the file when it was made.
 */
export function isThick(piece: Piece): boolean | undefined {
  const { size, details } = piece.facts;
  const { blocks, blockSize } = details ?? {};
  if (size === undefined || typeof blocks !== 'number' || typeof blockSize !== 'number') return undefined;
  return blocks * blockSize >= size;
}
