/** Blocks of metadata by their first bytes: where each keeps its sum and its age, and which of its bytes count. */
import { crc32c } from '../../../codec/crc32c.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import type { Geometry } from './geometry.ts';
import type { Lsn } from './log.ts';
import { DIRECTORY_MAGICS, LINK_MAGIC, LONG_BYTES, MAP_MAGIC, SHORT_BYTES } from './structs.ts';

/** Bytes from the start of a block; what a kind does not have is absent. */
interface Kind {
  readonly crc: number;
  readonly lsn: number;
  readonly uuid: number;
  readonly place?: number;
}

const SHORT: Kind = { crc: 52, lsn: 24, uuid: 32, place: 16 };
const DIRECTORY: Kind = { crc: 4, lsn: 16, uuid: 24, place: 8 };
const INDEX: Kind = { crc: 12, lsn: 24, uuid: 32, place: 16 };
const KINDS: ReadonlyMap<number, Kind> = new Map([
  ...[0x41423342, 0x41423343, 0x49414233, 0x46494233, 0x524d4233, 0x52334643].map((magic) => [magic, SHORT] as const),
  ...[0x58444233, 0x58444433, 0x58444633].map((magic) => [magic, DIRECTORY] as const),
  [MAP_MAGIC.checked, { crc: 64, lsn: 32, uuid: 40, place: 24 }],
  [0x58465342, { crc: 224, lsn: 240, uuid: 32 }],
  [0x58414746, { crc: 216, lsn: 208, uuid: 64 }],
  [0x58414749, { crc: 312, lsn: 320, uuid: 296 }],
  [0x5841464c, { crc: 32, lsn: 24, uuid: 8 }],
  [LINK_MAGIC, { crc: 12, lsn: 48, uuid: 16, place: 40 }],
]);
/** Indexes of directories and blocks of attributes have their magics behind two links. */
const INDEX_MAGICS = new Set([0x3df1, 0x3dff, 0x3ebe, 0x3bee]);
const SUPER = 0x58465342;
const UUID = 16;
const UNIT = 512;
/** Blocks of trees that are read: where records begin, and bytes of a record, of a key, and of a pointer. */
const TREES: ReadonlyMap<number, readonly [first: number, record: number, key: number, pointer: number]> = new Map([
  [0x41423342, [SHORT_BYTES.checked, 8, 8, 4]],
  [0x41423343, [SHORT_BYTES.checked, 8, 8, 4]],
  [0x49414233, [SHORT_BYTES.checked, 16, 4, 4]],
  [0x46494233, [SHORT_BYTES.checked, 16, 4, 4]],
  [MAP_MAGIC.checked, [LONG_BYTES.checked, 16, 8, 8]],
]);

/** What a block says it is; undefined where it is nothing known that carries a sum. */
export function kindOf(block: Uint8Array): Kind | undefined {
  const magic = magicOf(block);
  return KINDS.get(magic) ?? (INDEX_MAGICS.has(magic) ? INDEX : undefined);
}

/** The magic of a block, wherever its kind keeps it. */
export function magicOf(block: Uint8Array): number {
  const view = viewOf(block);
  const first = view.getUint32(0, false);
  return KINDS.has(first) ? first : view.getUint16(8, false);
}

/** Whether a block belongs to this volume and stands where it says, whatever its sum is. */
export function isOwn(block: Uint8Array, kind: Kind, at: number, g: Geometry): boolean {
  const view = viewOf(block);
  const uuid = Buffer.from(block.subarray(kind.uuid, kind.uuid + UUID)).toString('hex');
  const isVolume = uuid === g.uuid || view.getUint32(0, false) === SUPER;
  return isVolume && (kind.place === undefined || readU64(view, kind.place, false) * UNIT === at);
}

export function isSummed(block: Uint8Array, kind: Kind): boolean {
  return crc32c(block, kind.crc) === viewOf(block).getUint32(kind.crc, true);
}

export function lsnOf(block: Uint8Array, kind: Kind): Lsn {
  const view = viewOf(block);
  return { high: view.getUint32(kind.lsn, false), low: view.getUint32(kind.lsn + 4, false) };
}

/**
 * Whether all bytes of a block that count were logged. A block that was taken into use since holds whatever lay there
 * before wherever nothing was written; one that was damaged does too, and must not get a sum that says it is sound.
 */
export function isCovered(block: Uint8Array, isLogged: (from: number, end: number) => boolean): boolean {
  const view = viewOf(block);
  const magic = view.getUint32(0, false);
  const tree = TREES.get(magic);
  if (tree !== undefined) {
    const [first, record, key, pointer] = tree;
    const [level, n] = [view.getUint16(4, false), view.getUint16(6, false)];
    const most = Math.floor((block.length - first) / (level === 0 ? record : key + pointer));
    if (n > most || !isLogged(0, first + n * (level === 0 ? record : key))) return false;
    return level === 0 || isLogged(first + most * key, first + most * key + n * pointer);
  }
  if (magic === LINK_MAGIC) {
    const end = 56 + view.getUint32(8, false);
    return end <= block.length && isLogged(0, end);
  }
  if (magic === DIRECTORY_MAGICS.block || magic === DIRECTORY_MAGICS.data) return areEntriesCovered(block, isLogged);
  return isLogged(0, block.length);
}

function areEntriesCovered(block: Uint8Array, isLogged: (from: number, end: number) => boolean): boolean {
  const view = viewOf(block);
  let end = block.length;
  if (view.getUint32(0, false) === DIRECTORY_MAGICS.block) {
    end -= 8 + view.getUint32(end - 8, false) * 8;
    if (end < 64 || !isLogged(end, block.length)) return false;
  }
  if (!isLogged(0, 64)) return false;
  for (let at = 64; at + 8 <= end; ) {
    const isFree = view.getUint16(at, false) === 0xffff;
    // Names have at least their number, length, one byte, type and tag.
    const length = isFree ? view.getUint16(at + 2, false) : Math.ceil((12 + block[at + 8]) / 8) * 8;
    if (!isLogged(at, at + (isFree ? 4 : Math.min(length, end - at)))) return false;
    if (length < 8 || length % 8 !== 0) return false;
    at += length;
  }
  return true;
}
