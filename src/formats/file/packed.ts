/** Packed files and collections: bzip2, LZ4, lzip, cpio, ar and the packages of Debian. Sources: the published formats. */
import { bzipPart } from '../../codec/bzip2.ts';
import { type Carved, type Carver, type Content, cut, unchecked, whole } from '../../core/carver.ts';
import { viewOf } from '../../core/struct.ts';
import { gzip, xz, zstd } from './archives.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const hexKey = (offset: number, hex: string) => ({ offset, bytes: [...Buffer.from(hex, 'hex')] });
const text = (offset: number, ascii: string) => ({ offset, bytes: [...Buffer.from(ascii, 'latin1')] });

/** Bytes that a block of bzip2 takes at most for each step of its level: what packs badly grows a little. */
const BLOCK_ROOM = 110_000;

export const bzip2: Carver = {
  extension: 'bz2',
  title: 'bzip2 file',
  keys: [1, 2, 3, 4, 5, 6, 7, 8, 9].map((level) => hexKey(0, `425a683${level}314159265359`)),
  most: 64 * GIB,
  async examine(file) {
    let at = 0;
    let streams = 0;
    // Several streams may stand one behind the other.
    for (; (await file.text(at, 3)) === 'BZh'; streams++) {
      const end = await bzipStream(file, at);
      if (end.isWhole) at = end.length;
      else return streams > 0 ? whole(at, { isProved: true }) : cut(end.length);
    }
    return streams > 0 ? whole(at, { isProved: true }) : undefined;
  },
};

async function bzipStream(file: Content, from: number): Promise<Carved> {
  const level = (await file.number(from + 3, 1)) - 0x30;
  if (!(level >= 1 && level <= 9)) return cut(from + 4);
  let bit = (from + 4) * 8;
  for (let all = 0; ; ) {
    const at = Math.floor(bit / 8);
    const bytes = await file.bytes(at, Math.min(level * BLOCK_ROOM + 20_000, file.size - at));
    const part = bytes && bzipPart(bytes, bit % 8, level * 100_000);
    if (part === undefined) return cut(Math.min(file.size, at + 4));
    bit = at * 8 + part.end;
    if (part.kind === 'end') return part.crc === all ? whole(Math.ceil(bit / 8)) : cut(Math.ceil(bit / 8));
    all = (((all << 1) | (all >>> 31)) ^ part.crc) >>> 0;
  }
}

const LZ4_SIZES = [0, 0, 0, 0, 64 * 1024, 256 * 1024, MIB, 4 * MIB];

export const lz4: Carver = {
  extension: 'lz4',
  title: 'LZ4 file',
  keys: [hexKey(0, '04224d18')],
  most: 64 * GIB,
  async examine(file) {
    const [flags, sizes] = [await file.number(4, 1), await file.number(5, 1)];
    const most = LZ4_SIZES[(sizes >>> 4) & 7];
    if (flags >>> 6 !== 1 || (flags & 2) !== 0 || (sizes & 0x8f) !== 0 || most === 0) return undefined;
    let at = 7 + ((flags & 8) !== 0 ? 8 : 0) + ((flags & 1) !== 0 ? 4 : 0);
    const isLinked = (flags & 0x20) === 0;
    for (let had = 0; ; ) {
      const word = await file.number(at, 4);
      if (word === 0) break;
      const size = word % 2 ** 31;
      const block = size <= most ? await file.bytes(at + 4, size) : undefined;
      if (block === undefined) return at > 19 ? cut(Math.min(at, file.size)) : undefined;
      const given = word >= 2 ** 31 ? size : lz4Given(block, isLinked ? had : 0, most);
      if (given === undefined) return cut(at);
      had += given;
      at += 4 + size + ((flags & 0x10) !== 0 ? 4 : 0);
    }
    const end = at + 4 + ((flags & 4) !== 0 ? 4 : 0);
    return end <= file.size ? whole(end) : cut(at);
  },
};

/** Bytes that a block gives whose sequences make sense up to its end; `had` bytes were given before that it may repeat. */
function lz4Given(block: Uint8Array, had: number, most: number): number | undefined {
  let given = 0;
  for (let at = 0; at < block.length; ) {
    const token = block[at++];
    let literals = token >>> 4;
    for (let more = literals === 15; more; literals += block[at], more = block[at++] === 255)
      if (at >= block.length) return undefined;
    at += literals;
    given += literals;
    if (at === block.length) return given <= most ? given : undefined;
    const back = block[at] + block[at + 1] * 256;
    at += 2;
    if (!(back > 0 && back <= given + had)) return undefined;
    let match = token & 15;
    for (let more = match === 15; more; match += block[at], more = block[at++] === 255)
      if (at >= block.length) return undefined;
    given += match + 4;
    if (given > most) return undefined;
  }
  return undefined;
}

export const cpio: Carver = {
  extension: 'cpio',
  title: 'cpio archive',
  keys: [text(0, '070701'), text(0, '070702')],
  most: 64 * GIB,
  async examine(file) {
    const kind = await file.text(0, 6);
    const four = (n: number): number => Math.ceil(n / 4) * 4;
    for (let at = 0, members = 0; ; members++) {
      const head = await file.text(at, 110);
      const fields = /^[0-9A-Fa-f]{104}$/.test(head.slice(6)) && head.startsWith(kind);
      const [size, nameBytes] = [Number.parseInt(head.slice(54, 62), 16), Number.parseInt(head.slice(94, 102), 16)];
      const name = fields && nameBytes <= 4096 ? await file.text(at + 110, nameBytes) : '';
      if (!/^[^\0]+\0$/s.test(name)) return members > 0 ? cut(at) : undefined;
      at = four(at + 110 + nameBytes);
      if (name === 'TRAILER!!!\0' && size === 0) return cpioEnd(file, at, members);
      at = four(at + size);
      if (at > file.size) return cut(file.size);
    }
  },
};

/** Archives are filled up with zeros to whole records of 512 bytes. */
async function cpioEnd(file: Content, at: number, members: number): Promise<Carved | undefined> {
  if (members === 0) return undefined;
  const end = Math.ceil(at / 512) * 512;
  const fill = await file.bytes(at, end - at);
  return whole(fill?.every((byte) => byte === 0) === true ? end : at, { facts: { members } });
}

export const ar: Carver = {
  extension: 'a',
  title: 'ar archive',
  keys: [text(0, '!<arch>\n')],
  most: 16 * GIB,
  async examine(file) {
    let at = 8;
    let isDebian = false;
    let lastFrom = 0;
    for (let members = 0; ; members++) {
      const head = /^([ -~]{16})([\d ]{12})([\d ]{6})([\d ]{6})([0-7 ]{8})(\d+) *`\n$/.exec(await file.text(at, 60));
      if (head === null) {
        if (members === 0) return undefined;
        break;
      }
      if (members === 0) isDebian = head[1].startsWith('debian-binary');
      lastFrom = at + 60;
      const size = Number(head[6]);
      if (lastFrom + size > file.size) return cut(at);
      at = lastFrom + size;
      // A member of odd length is followed by one byte that belongs to none.
      if (at % 2 === 1 && (await file.number(at, 1)) === 10) at++;
    }
    if (!isDebian) return unchecked(at);
    const inner = await packedEnd(file, lastFrom);
    return inner === undefined ? cut(lastFrom, { extension: 'deb' }) : whole(at, { extension: 'deb' });
  },
};

/** What the last member of a package holds is packed, and has to be sound up to the end. */
async function packedEnd(file: Content, from: number): Promise<Carved | undefined> {
  for (const carver of [xz, zstd, gzip, bzip2]) {
    const first = carver.keys[0].bytes;
    const head = await file.bytes(from, first.length);
    if (head === undefined || !first.slice(0, 3).every((byte, i) => head[i] === byte)) continue;
    const found = await carver.examine(file.inner(from));
    return found?.isWhole === true ? found : undefined;
  }
  return undefined;
}

export const lzip: Carver = {
  extension: 'lz',
  title: 'lzip file',
  keys: [hexKey(0, '4c5a495001')],
  most: 4 * GIB,
  async examine(file) {
    const size = await file.number(5, 1);
    const bits = size & 31;
    if (bits < 12 || bits > 29 || (await file.number(6, 1)) !== 0) return undefined;
    // The end says how long it is: nothing else is its end, and nothing can have been put in before it.
    for (let at = 0; at < file.size; at += MIB - 8) {
      const block = await file.bytes(at, Math.min(MIB, file.size - at));
      if (block === undefined) return cut(at);
      const view = viewOf(block);
      for (let i = 0; i + 8 <= block.length; i++) {
        const end = at + i + 8;
        if (block[i + 7] !== 0 || block[i + 6] !== 0 || view.getUint32(i, true) !== end % 2 ** 32) continue;
        if (end > 36 && view.getUint32(i + 4, true) === Math.floor(end / 2 ** 32)) return whole(end);
      }
    }
    return cut(file.size);
  },
};
