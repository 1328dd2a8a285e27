/** Virtual disks as files: where their own tables put their last block. Sources: the published formats. */
import { inflate } from '../../codec/inflate.ts';
import { type Carved, type Carver, type Content, cut, unchecked, whole } from '../../core/carver.ts';
import { viewOf } from '../../core/struct.ts';
import { guidAt, pieces } from './pieces.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;
const SECTOR = 512;
/** Tables of counts of one QCOW2 disk. */
const MAX_COUNTS = MIB;
/** Entries of one table that are followed, and that are read together. */
const MAX_ENTRIES = 64 * MIB;
const PIECE = 16_384;
const hexKey = (offset: number, hex: string) => ({ offset, bytes: [...Buffer.from(hex, 'hex')] });
const text = (offset: number, ascii: string) => ({ offset, bytes: [...Buffer.from(ascii, 'latin1')] });

/** The largest of `count` numbers at `at` that `keep` lets be, or 0; undefined where they cannot be read. */
async function largest(
  file: Content,
  at: number,
  count: number,
  order: 'big' | 'little',
  keep: (value: number) => boolean,
): Promise<number | undefined> {
  let most = 0;
  for (let done = 0; done < count; ) {
    const n = Math.min(count - done, PIECE);
    const bytes = await file.bytes(at + done * 4, n * 4);
    if (bytes === undefined) return undefined;
    const view = viewOf(bytes);
    for (let i = 0; i < n; i++) {
      const value = view.getUint32(i * 4, order === 'little');
      if (value > most && keep(value)) most = value;
    }
    done += n;
  }
  return most;
}

export const qcow: Carver = {
  extension: 'qcow2',
  title: 'QCOW2 disk',
  keys: [hexKey(0, '514649fb000000')],
  most: 16 * TIB,
  async examine(file) {
    const [version, bits] = [await file.number(4, 4, 'big'), await file.number(20, 4, 'big')];
    if (![2, 3].includes(version) || !(bits >= 9 && bits <= 21)) return undefined;
    const unit = 2 ** bits;
    const [size, table] = [await file.number(24, 8, 'big'), await file.number(40, 8, 'big')];
    if (!(table >= unit && table % unit === 0)) return undefined;
    const facts = { facts: { disk: size } };
    const [counts, clusters] = [await file.number(48, 8, 'big'), await file.number(56, 4, 'big')];
    const order = version === 3 ? await file.number(96, 4, 'big') : 4;
    if (!(counts >= unit && counts % unit === 0 && clusters >= 1 && order <= 6)) return cut(unit, facts);
    // The last cluster that is counted is the last of the file; tables that count stand in order.
    const perBlock = (unit * 8) / 2 ** order;
    const entries = Math.min((clusters * unit) / 8, MAX_COUNTS);
    const list = await file.bytes(counts, entries * 8);
    for (let i = entries - 1; list !== undefined && i >= 0; i--) {
      const place = viewOf(list).getUint32(i * 8, false) * 2 ** 32 + viewOf(list).getUint32(i * 8 + 4, false);
      if (place === 0) continue;
      const block = place % unit === 0 ? await file.bytes(place, unit) : undefined;
      const last = block?.findLastIndex((byte) => byte !== 0);
      if (last === undefined) return cut(unit, facts);
      if (last < 0) continue;
      const end = (i * perBlock + Math.floor((last * 8) / 2 ** order) + 1) * unit;
      return end <= file.size && end > table ? unchecked(end, facts) : cut(unit, facts);
    }
    return cut(unit, facts);
  },
};

export const vmdk: Carver = {
  extension: 'vmdk',
  title: 'VMDK disk',
  keys: [hexKey(0, '4b444d5601000000'), hexKey(0, '4b444d5602000000'), hexKey(0, '4b444d5603000000')],
  most: 16 * TIB,
  async examine(file) {
    const [flags, grain, perTable] = [await file.number(8, 4), await file.number(20, 8), await file.number(44, 4)];
    const [capacity, directory, head] = [await file.number(12, 8), await file.number(56, 8), await file.number(64, 8)];
    const isSane = grain >= 1 && grain <= 2048 && [512, 1024, 4096].includes(perTable) && head >= 1 && capacity > 0;
    if (!isSane || (await file.text(73, 4)) !== '\n \r\n') return undefined;
    const facts = { facts: { disk: capacity * SECTOR } };
    if ((flags & 0x30000) === 0x30000) return streamEnd(file, head * SECTOR, grain * SECTOR, facts);
    const tables = Math.ceil(capacity / grain / perTable);
    if (!(directory > 0 && tables <= MAX_ENTRIES)) return cut(SECTOR, facts);
    const end = await lastGrain(file, { directory: directory * SECTOR, tables, perTable, grain });
    if (end === undefined) return cut(SECTOR, facts);
    const length = Math.max(head, end) * SECTOR;
    return length <= file.size ? unchecked(length, facts) : cut(SECTOR, facts);
  },
};

interface Grains {
  /** Byte of the directory, and how many tables it names. */
  readonly directory: number;
  readonly tables: number;
  readonly perTable: number;
  /** Sectors of a grain. */
  readonly grain: number;
}

/** The sector behind the last grain or table; undefined where a table cannot be read. */
async function lastGrain(file: Content, { directory, tables, perTable, grain }: Grains): Promise<number | undefined> {
  let end = 0;
  for (let done = 0; done < tables; done += PIECE) {
    const n = Math.min(tables - done, PIECE);
    const bytes = await file.bytes(directory + done * 4, n * 4);
    if (bytes === undefined) return undefined;
    // Tables are read through the same window: what it held is kept.
    const entries = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let i = 0; i < n; i++) {
      const place = entries.getUint32(i * 4, true);
      if (place === 0) continue;
      const last = await largest(file, place * SECTOR, perTable, 'little', (value) => value > 1);
      if (last === undefined) return undefined;
      end = Math.max(end, place + (perTable * 4) / SECTOR, last === 0 ? 0 : last + grain);
    }
  }
  return end;
}

/** Grains one behind the other, each packed, tables between them, and a mark at the end. */
async function streamEnd(file: Content, from: number, grain: number, facts: Pick<Carved, 'facts'>): Promise<Carved> {
  let last = from;
  for (let at = from; ; ) {
    const [value, size, type] = [await file.number(at, 8), await file.number(at + 8, 4), await file.number(at + 12, 4)];
    if (Number.isNaN(value) || Number.isNaN(type)) return cut(Math.min(at, file.size), facts);
    if (size > 0) {
      const found = size <= 64 * MIB ? await inflate(pieces(file, at + 14, at + 12 + size)) : undefined;
      // In front of what is packed stand two bytes, behind it a checksum of four.
      if (found === undefined || found.consumed + 6 !== size) return cut(at, facts);
      last = at;
      at += Math.ceil((size + 12) / SECTOR) * SECTOR;
    } else if (type === 0 && value === 0) {
      // Some writers leave out the mark, and room for the whole of the last grain.
      const rest = await file.bytes(at, Math.max(SECTOR, last + grain - at));
      const isFront = (await file.number(56, 8)) < 2 ** 32;
      if (isFront && rest === undefined) return cut(at, facts);
      return whole(
        isFront && rest!.every((byte) => byte === 0) ? Math.max(at + SECTOR, last + grain) : at + SECTOR,
        facts,
      );
    } else if (type >= 1 && type <= 3 && value <= file.size / SECTOR) at += SECTOR * (1 + value);
    else return cut(at, facts);
  }
}

export const vdi: Carver = {
  extension: 'vdi',
  title: 'VDI disk',
  keys: [hexKey(64, '7f10dabe')],
  most: 16 * TIB,
  async examine(file) {
    const [map, from] = [await file.number(0x154, 4), await file.number(0x158, 4)];
    const [size, block, extra] = [
      await file.number(0x170, 8),
      await file.number(0x178, 4),
      await file.number(0x17c, 4),
    ];
    const [blocks, taken] = [await file.number(0x180, 4), await file.number(0x184, 4)];
    const isSane = block >= 512 && taken <= blocks && blocks * block >= size && blocks <= MAX_ENTRIES;
    if (!isSane || !(map >= 512 && from >= map + blocks * 4)) return undefined;
    const facts = { facts: { disk: size } };
    const last = await largest(file, map, blocks, 'little', (value) => value < 0xfffffffe);
    const end = from + taken * (block + extra);
    if (last === undefined || (taken > 0 && last !== taken - 1)) return cut(Math.min(512, file.size), facts);
    return end <= file.size ? unchecked(end, facts) : cut(Math.min(512, file.size), facts);
  },
};

export const vhd: Carver = {
  extension: 'vhd',
  title: 'VHD disk',
  keys: [text(0, 'conectix')],
  most: 4 * TIB,
  async examine(file) {
    const copy = await file.bytes(0, SECTOR);
    const type = await file.number(60, 4, 'big');
    const start = await file.number(16, 8, 'big');
    // A disk of fixed size has this only at its end, so where it stands nothing begins.
    if (copy === undefined || ![3, 4].includes(type) || (await file.text(start, 8)) !== 'cxsparse') return undefined;
    const kept = copy.slice();
    const sum = kept.reduce((total, byte, i) => total + (i >= 64 && i < 68 ? 0 : byte), 0);
    if (~sum >>> 0 !== (await file.number(64, 4, 'big'))) return undefined;
    const [table, entries] = [await file.number(start + 16, 8, 'big'), await file.number(start + 28, 4, 'big')];
    const block = await file.number(start + 32, 4, 'big');
    if (!(entries <= MAX_ENTRIES && block >= 4096 && block <= 256 * MIB)) return undefined;
    const last = await largest(file, table, entries, 'big', (value) => value !== 0xffffffff);
    if (last === undefined) return cut(SECTOR);
    const bits = Math.ceil(block / SECTOR / 8 / SECTOR) * SECTOR;
    const behind =
      Math.ceil(Math.max(table + entries * 4, last === 0 ? 0 : last * SECTOR + bits + block) / SECTOR) * SECTOR;
    // The same sector once more, which stands there only if nothing was put in before.
    const foot = await file.bytes(behind, SECTOR);
    return foot?.every((byte, i) => byte === kept[i]) === true ? whole(behind + SECTOR) : cut(SECTOR);
  },
};

const BLOCKS = '6677c22d23f600429d64115e9bfd4a08';
const METADATA = '06a27c8b90479a4bb8fe575f050f886e';
const PARAMETERS = '3767a1ca36fa434db3b633f0aa44e76b';
const MAX_REGIONS = 64;
const TABLE_PIECE: number = 64 * 1024;

export const vhdx: Carver = {
  extension: 'vhdx',
  title: 'VHDX disk',
  keys: [text(0, 'vhdxfile')],
  most: 64 * TIB,
  async examine(file) {
    const regions = 192 * 1024;
    const count = await file.number(regions + 8, 4);
    if ((await file.text(regions, 4)) !== 'regi' || !(count <= MAX_REGIONS)) return undefined;
    let [end, blocks, blockBytes, metadata] = [MIB, 0, 0, 0];
    for (let i = 0; i < count; i++) {
      const entry = regions + 16 + i * 32;
      const [id, place, length] = [
        await guidAt(file, entry),
        await file.number(entry + 16, 8),
        await file.number(entry + 24, 4),
      ];
      end = Math.max(end, place + length);
      if (id === BLOCKS) [blocks, blockBytes] = [place, length];
      if (id === METADATA) metadata = place;
    }
    const items = await file.number(metadata + 10, 2);
    let block = 0;
    for (let i = 0; i < Math.min(items, 1024); i++) {
      const entry = metadata + 32 + i * 32;
      if ((await guidAt(file, entry)) === PARAMETERS)
        block = await file.number(metadata + (await file.number(entry + 16, 4)), 4);
    }
    // The log has a place of its own, which both headers name.
    end = Math.max(end, (await file.number(64 * 1024 + 72, 8)) + (await file.number(64 * 1024 + 68, 4)));
    if (!(blocks > 0 && block >= MIB && block <= 256 * MIB && Number.isSafeInteger(end)))
      return cut(Math.min(file.size, MIB));
    // Between so many blocks stands the entry of a bitmap, which takes 1 MiB where it is there.
    const ratio = (2 ** 23 * SECTOR) / block;
    for (let from = 0; from < blockBytes; from += TABLE_PIECE) {
      const table = await file.bytes(blocks + from, Math.min(TABLE_PIECE, blockBytes - from));
      if (table === undefined) return cut(MIB);
      const view = viewOf(table);
      for (let at = 0; at + 8 <= table.length; at += 8) {
        const low = view.getUint32(at, true);
        // Only blocks that are there, whole or in part, take room.
        if ((low & 7) < 6) continue;
        const isBitmap = ((from + at) / 8) % (ratio + 1) === ratio;
        const place = Math.floor(low / MIB) * MIB + view.getUint32(at + 4, true) * 2 ** 32;
        end = Math.max(end, place + (isBitmap ? MIB : block));
      }
    }
    return end <= file.size ? unchecked(end) : cut(Math.min(file.size, MIB));
  },
};
