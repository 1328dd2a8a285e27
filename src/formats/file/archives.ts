/** Archives and packed files: gzip, xz, zstd, 7z, RAR, tar, cabinets. Source: carving.md section 1. */
import { crc32 } from '../../codec/crc32.ts';
import { inflate, unpacksZstd } from '../../codec/inflate.ts';
import { type Carved, type Carver, type Content, cut, unchecked, whole } from '../../core/carver.ts';
import { pieces } from './pieces.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const key = (offset: number, hex: string) => ({ offset, bytes: [...Buffer.from(hex, 'hex')] });

export const gzip: Carver = {
  extension: 'gz',
  title: 'gzip file',
  keys: [key(0, '1f8b08')],
  most: 64 * GIB,
  async examine(file) {
    const flags = await file.number(3, 1);
    const [effort, system] = [await file.number(8, 1), await file.number(9, 1)];
    if (!(flags <= 31) || ![0, 2, 4].includes(effort) || !(system <= 13 || system === 255)) return undefined;
    let at = 10;
    if (flags & 4) at += 2 + (await file.number(at, 2));
    let name = '';
    for (const bit of [8, 16]) {
      if ((flags & bit) === 0) continue;
      const end = await file.find([0], at, at + 4096);
      if (end < 0) return undefined;
      if (bit === 8) name = await file.text(at, end - at);
      at = end + 1;
    }
    if (flags & 2) at += 2;
    const facts = { modified: await file.number(4, 4), ...(name !== '' && { name }) };
    const found = await inflate(pieces(file, at));
    if (found === undefined) return cut(at, { facts });
    const end = at + found.consumed;
    const isSound =
      (await file.number(end, 4)) === found.crc && (await file.number(end + 4, 4)) === found.size % 2 ** 32;
    return isSound
      ? whole(end + 8, { facts, isProved: true, ...(name.endsWith('.tar') && { extension: 'tar.gz' }) })
      : cut(end, { facts });
  },
};

export const xz: Carver = {
  extension: 'xz',
  title: 'xz file',
  keys: [key(0, 'fd377a585a00')],
  most: 64 * GIB,
  async examine(file) {
    const head = await file.bytes(6, 2);
    if (head === undefined || crc32(head) !== (await file.number(8, 4))) return undefined;
    const check = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64][head[1] & 15];
    let at = 12;
    for (;;) {
      const size = await file.number(at, 1);
      if (size === 0) break;
      if (Number.isNaN(size)) return cut(at);
      const header = await file.bytes(at, size * 4 + 4);
      if (header === undefined || crc32(header.subarray(0, size * 4)) !== (await file.number(at + size * 4, 4)))
        return cut(at);
      const end = await lzma2End(file, at + size * 4 + 4);
      if (end === undefined) return cut(at);
      at = Math.ceil((end - 12) / 4) * 4 + 12 + check;
    }
    // The index, whose length the footer repeats; it stands where the blocks end.
    const footer = await file.find([0x59, 0x5a], at, at + 16 * MIB);
    for (let place = footer; place >= 0; place = await file.find([0x59, 0x5a], place + 1, at + 16 * MIB)) {
      const end = place + 2;
      const backward = ((await file.number(end - 8, 4)) + 1) * 4;
      const part = await file.bytes(end - 8, 6);
      if (end - 12 - backward === at && part !== undefined && crc32(part) === (await file.number(end - 12, 4)))
        return whole(end);
    }
    return cut(at);
  },
};

/** The end of an LZMA2 stream: chunks, each behind its lengths. */
async function lzma2End(file: Content, from: number): Promise<number | undefined> {
  for (let at = from; ; ) {
    const control = await file.number(at, 1);
    if (control === 0) return at + 1;
    if (control === 1 || control === 2) at += 4 + (await file.number(at + 1, 2, 'big'));
    else if (control >= 0x80) at += 6 + (await file.number(at + 3, 2, 'big')) + (control >= 0xc0 ? 1 : 0);
    else return undefined;
    if (!(at <= file.size)) return undefined;
  }
}

export const zstd: Carver = {
  extension: 'zst',
  title: 'zstd file',
  keys: [key(0, '28b52ffd')],
  most: 64 * GIB,
  async examine(file) {
    const flags = await file.number(4, 1);
    if (Number.isNaN(flags) || (flags & 8) !== 0) return undefined;
    const isSingle = (flags & 0x20) !== 0;
    let at = 5 + (isSingle ? 0 : 1) + [0, 1, 2, 4][flags & 3] + [isSingle ? 1 : 0, 2, 4, 8][flags >>> 6];
    for (;;) {
      const [low, high] = [await file.number(at, 2), await file.number(at + 2, 1)];
      const head = low + high * 65_536;
      const [type, size] = [(head >>> 1) & 3, head >>> 3];
      if (Number.isNaN(head) || type === 3 || size > 128 * 1024) return at > 16 ? cut(at) : undefined;
      at += 3 + (type === 1 ? 1 : size);
      if (at > file.size) return cut(file.size);
      if ((head & 1) === 0) continue;
      const end = at + ((flags & 4) !== 0 ? 4 : 0);
      const isSound = await unpacksZstd(pieces(file, 0, end));
      return isSound ? whole(end, { isProved: (flags & 4) !== 0 }) : cut(16);
    }
  },
};

export const sevenZip: Carver = {
  extension: '7z',
  title: '7z archive',
  keys: [key(0, '377abcaf271c')],
  most: 256 * GIB,
  async examine(file) {
    const start = await file.bytes(12, 20);
    if (start === undefined || crc32(start) !== (await file.number(8, 4))) return undefined;
    const [offset, size] = [await file.number(12, 8), await file.number(20, 8)];
    const end = 32 + offset + size;
    const tail = size <= 64 * MIB ? await file.bytes(32 + offset, size) : undefined;
    return tail !== undefined && crc32(tail) === (await file.number(28, 4)) ? whole(end) : cut(Math.min(32, file.size));
  },
};

export const rar: Carver = {
  extension: 'rar',
  title: 'RAR archive',
  keys: [key(0, '526172211a0700'), key(0, '526172211a070100')],
  most: 256 * GIB,
  async examine(file) {
    return (await file.number(6, 1)) === 1 ? rar5End(file) : rar4End(file);
  },
};

async function rar4End(file: Content): Promise<Carved | undefined> {
  for (let at = 7; ; ) {
    const [sum, type, flags, size] = [
      await file.number(at, 2),
      await file.number(at + 2, 1),
      await file.number(at + 3, 2),
      await file.number(at + 5, 2),
    ];
    const head = size >= 7 ? await file.bytes(at + 2, size - 2) : undefined;
    if (head === undefined || (crc32(head) & 0xffff) !== sum || type < 0x72 || type > 0x7b)
      return at > 7 ? cut(at) : undefined;
    const more = (flags & 0x8000) !== 0 ? await file.number(at + 7, 4) : 0;
    at += size + more;
    if (type === 0x7b) return whole(at);
    if (!(at <= file.size)) return cut(file.size);
  }
}

async function rar5End(file: Content): Promise<Carved | undefined> {
  for (let at = 8; ; ) {
    const size = await varint(file, at + 4);
    const from = at + 4 + size.bytes;
    const head = size.value > 0 && size.value < 2 * MIB ? await file.bytes(at + 4, size.bytes + size.value) : undefined;
    if (head === undefined || crc32(head) !== (await file.number(at, 4))) return at > 8 ? cut(at) : undefined;
    const type = await varint(file, from);
    const flags = await varint(file, from + type.bytes);
    let next = from + type.bytes + flags.bytes;
    if (flags.value & 1) next += (await varint(file, next)).bytes;
    const data = (flags.value & 2) !== 0 ? (await varint(file, next)).value : 0;
    at = from + size.value + data;
    if (type.value === 5) return whole(at);
    if (!(at <= file.size)) return cut(file.size);
  }
}

async function varint(file: Content, at: number): Promise<{ value: number; bytes: number }> {
  let value = 0;
  for (let i = 0; i < 8; i++) {
    const byte = await file.number(at + i, 1);
    if (Number.isNaN(byte)) break;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, bytes: i + 1 };
  }
  return { value: Number.NaN, bytes: 1 };
}

export const tar: Carver = {
  extension: 'tar',
  title: 'tar archive',
  keys: [{ offset: 258, bytes: [...Buffer.from('star')] }],
  most: 256 * GIB,
  async examine(file) {
    let first = '';
    for (let at = 0, members = 0; ; members++) {
      const head = await file.bytes(at, 512);
      if (head === undefined) return members > 0 ? cut(at) : undefined;
      if (head.every((byte) => byte === 0)) return members > 0 ? tarEnd(file, at, first) : undefined;
      const text = Buffer.from(head).toString('latin1');
      const sum = head.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0);
      const size = head[124] & 0x80 ? await file.number(at + 128, 8, 'big') : octal(text.slice(124, 136));
      if (octal(text.slice(148, 156)) !== sum || Number.isNaN(size)) return members > 0 ? cut(at) : undefined;
      if (members === 0) first = text.slice(0, 100).replace(/\0.*$/s, '');
      const next = at + 512 + Math.ceil(size / 512) * 512;
      if (next > file.size) return cut(at);
      if (!(await isFilled(file, at + 512, size))) return cut(at);
      at = next;
    }
  },
};

/** Whether a member ends as it should: zeros behind it up to the next block, and not in all of its own last block. */
async function isFilled(file: Content, from: number, size: number): Promise<boolean> {
  const last = size % 512;
  if (last === 0) return true;
  const block = await file.bytes(from + size - last, 512);
  return (
    block?.subarray(last).every((byte) => byte === 0) === true && block.subarray(0, last).some((byte) => byte !== 0)
  );
}

/**
 * Two blocks of zeros end it, and more of them fill the last record of 10 KiB. Where they do not, this may be the rest of
 * an archive whose start lies elsewhere.
 */
async function tarEnd(file: Content, at: number, first: string): Promise<Carved> {
  const end = Math.ceil((at + 1024) / RECORD) * RECORD;
  const rest = await file.bytes(at, end - at);
  const facts = { first };
  // Each member's header looks like the start of an archive; but files start where clusters do.
  const isStart = file.from % CLUSTER === 0;
  if (isStart && rest?.every((byte) => byte === 0) === true) return whole(end, { facts });
  return cut(Math.min(file.size, at + 1024), { facts });
}

const RECORD = 10_240;
const CLUSTER = 4096;

function octal(text: string): number {
  const digits = /^ *([0-7]+)[ \0]*$/.exec(text)?.[1];
  return digits === undefined ? Number.NaN : Number.parseInt(digits, 8);
}

export const cabinet: Carver = {
  extension: 'cab',
  title: 'cabinet',
  keys: [key(0, '4d53434600000000')],
  most: 2 * GIB,
  async examine(file) {
    const [size, files, minor, major] = [
      await file.number(8, 4),
      await file.number(16, 4),
      await file.number(24, 1),
      await file.number(25, 1),
    ];
    if (!(size > 36 && files < size) || major !== 1 || minor > 3) return undefined;
    return size <= file.size ? unchecked(size) : cut(file.size);
  },
};
