/** Programs, links, fonts and captures: files that say in tables where their parts end. Source: carving.md section 1. */
import { type Carver, type Content, cut, unchecked, whole } from '../../core/carver.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const hexKey = (offset: number, hex: string) => ({ offset, bytes: [...Buffer.from(hex, 'hex')] });
const MACHINES = [0x14c, 0x8664, 0xaa64, 0x1c0, 0x1c4, 0xebc];

export const pe: Carver = {
  extension: 'exe',
  title: 'Windows program',
  keys: [hexKey(0, '4d5a')],
  most: 2 * GIB,
  begins: (head) => head.length >= 64 && head[62] + head[63] === 0 && head[61] <= 16,
  async examine(file) {
    const at = await file.number(60, 4);
    if (!(at >= 64 && at <= 4096) || (await file.text(at, 4)) !== 'PE\0\0') return undefined;
    const [machine, sections, extra] = [
      await file.number(at + 4, 2),
      await file.number(at + 6, 2),
      await file.number(at + 20, 2),
    ];
    const [flags, magic] = [await file.number(at + 22, 2), await file.number(at + 24, 2)];
    if (!MACHINES.includes(machine) || !(sections >= 1 && sections <= 96) || ![0x10b, 0x20b].includes(magic))
      return undefined;
    let end = at + 24 + extra + sections * 40;
    for (let i = 0; i < sections; i++) {
      const entry = at + 24 + extra + i * 40;
      const [size, place] = [await file.number(entry + 16, 4), await file.number(entry + 20, 4)];
      if (size > 0) end = Math.max(end, place + size);
    }
    // Signatures lie behind all else; their entry is a place in the file.
    const signed = at + 24 + (magic === 0x20b ? 144 : 128);
    const [place, size] = [await file.number(signed, 4), await file.number(signed + 4, 4)];
    if (place >= end && size > 0 && size < 16 * MIB) end = place + size;
    const extension = (flags & 0x2000) !== 0 ? 'dll' : 'exe';
    return end <= file.size ? unchecked(end, { extension }) : cut(Math.min(at + 24, file.size), { extension });
  },
};

export const elf: Carver = {
  extension: 'elf',
  title: 'ELF program',
  keys: [hexKey(0, '7f454c46')],
  most: 4 * GIB,
  async examine(file) {
    const [width, order, version] = [await file.number(4, 1), await file.number(5, 1), await file.number(6, 1)];
    if (![1, 2].includes(width) || ![1, 2].includes(order) || version !== 1) return undefined;
    const read = (at: number, size: 2 | 4 | 8) => file.number(at, size, order === 1 ? 'little' : 'big');
    const big = width === 2;
    const word = big ? 8 : 4;
    const [programs, sections] = [await read(big ? 32 : 28, word), await read(big ? 40 : 32, word)];
    const [programSize, programCount] = [await read(big ? 54 : 42, 2), await read(big ? 56 : 44, 2)];
    const [sectionSize, sectionCount] = [await read(big ? 58 : 46, 2), await read(big ? 60 : 48, 2)];
    let end = sections + sectionSize * sectionCount;
    for (let i = 0; i < Math.min(programCount, 1024); i++) {
      const entry = programs + i * programSize;
      end = Math.max(end, (await read(entry + (big ? 8 : 4), word)) + (await read(entry + (big ? 32 : 16), word)));
    }
    for (let i = 0; i < Math.min(sectionCount, 65_535); i++) {
      const entry = sections + i * sectionSize;
      if ((await read(entry + 4, 4)) === 8) continue; // takes no room in the file
      end = Math.max(end, (await read(entry + (big ? 24 : 16), word)) + (await read(entry + (big ? 32 : 20), word)));
    }
    if (!(end > 64)) return undefined;
    // The table of sections comes last and leads to their names: what was put in before it would show here.
    const named = sections + sectionSize * (await read(big ? 62 : 50, 2));
    const names = sectionCount === 0 ? Number.NaN : await read(named + (big ? 24 : 16), word);
    const bytes = Math.min(4096, await read(named + (big ? 32 : 20), word));
    const isLinked = sectionCount === 0 || /^\0.*\0?\.shstrtab\0/s.test(await file.text(names, bytes));
    if (!isLinked) return cut(Math.min(64, file.size));
    return end <= file.size ? whole(end) : cut(Math.min(64, file.size));
  },
};

export const shortcut: Carver = {
  extension: 'lnk',
  title: 'Windows shortcut',
  keys: [hexKey(0, '4c0000000114020000000000c000000000000046')],
  most: 4 * MIB,
  async examine(file) {
    const flags = await file.number(20, 4);
    let at = 76;
    if (flags & 1) at += 2 + (await file.number(at, 2));
    if (flags & 2) at += await file.number(at, 4);
    const unit = (flags & 0x80) !== 0 ? 2 : 1;
    for (const bit of [4, 8, 16, 32, 64]) if (flags & bit) at += 2 + (await file.number(at, 2)) * unit;
    for (let size = await file.number(at, 4); size >= 4; size = await file.number(at, 4)) at += size;
    return at + 4 <= file.size ? whole(at + 4) : undefined;
  },
};

/** Fonts: a table of tables. */
export const font: Carver = {
  extension: 'ttf',
  title: 'font',
  keys: [hexKey(0, '0001000000'), hexKey(0, '4f54544f00')],
  most: 128 * MIB,
  // How many tables there are, and the name of the first.
  begins: (head) =>
    head.length >= 16 &&
    head[4] === 0 &&
    head[5] >= 4 &&
    head[5] <= 64 &&
    head.subarray(12, 16).every((byte) => byte >= 0x20 && byte < 0x7f),
  async examine(file) {
    const n = await file.number(4, 2, 'big');
    if (!(n >= 4 && n <= 64)) return undefined;
    let end = 12 + n * 16;
    const names = new Set<string>();
    const tables: Table[] = [];
    for (let i = 0; i < n; i++) {
      const name = await file.text(12 + i * 16, 4);
      const [place, size] = [await file.number(20 + i * 16, 4, 'big'), await file.number(24 + i * 16, 4, 'big')];
      if (!/^[ -~]{4}$/.test(name)) return undefined;
      names.add(name);
      tables.push({ name, place, size, sum: await file.number(16 + i * 16, 4, 'big') });
      end = Math.max(end, place + Math.ceil(size / 4) * 4);
    }
    if (!names.has('head') || !names.has('cmap') || !names.has('maxp')) return undefined;
    const extension = (await file.text(0, 4)) === 'OTTO' ? 'otf' : 'ttf';
    for (const table of tables.toSorted((a, b) => a.place - b.place))
      if (!(await isSummed(file, table))) return cut(Math.min(table.place, file.size), { extension });
    return end <= file.size
      ? whole(end, { extension, isProved: true })
      : cut(Math.min(12 + n * 16, file.size), { extension });
  },
};

interface Table {
  readonly name: string;
  readonly place: number;
  readonly size: number;
  readonly sum: number;
}

/** Whether a table's words add up; a word of "head" that is filled in last counts as zero. */
async function isSummed(file: Content, { name, place, size, sum }: Table): Promise<boolean> {
  let total = 0;
  for (let at = 0; at < size; at += 4) {
    const left = Math.min(4, size - at);
    let word = left === 4 ? await file.number(place + at, 4, 'big') : 0;
    for (let i = 0; left < 4 && i < left; i++) word += (await file.number(place + at + i, 1)) * 2 ** (24 - 8 * i);
    if (Number.isNaN(word)) return false;
    if (name !== 'head' || at !== 8) total = (total + word) % 2 ** 32;
  }
  return total === sum;
}

export const woff: Carver = {
  extension: 'woff',
  title: 'web font',
  keys: [hexKey(0, '774f4646'), hexKey(0, '774f4632')],
  most: 64 * MIB,
  async examine(file) {
    const [size, tables, zero] = [
      await file.number(8, 4, 'big'),
      await file.number(12, 2, 'big'),
      await file.number(14, 2),
    ];
    if (!(size > 44) || !(tables >= 1 && tables <= 64) || zero !== 0) return undefined;
    const extension = (await file.text(3, 1)) === '2' ? 'woff2' : 'woff';
    return size <= file.size ? unchecked(size, { extension }) : cut(Math.min(44, file.size), { extension });
  },
};

export const capture: Carver = {
  extension: 'pcap',
  title: 'network capture',
  keys: [hexKey(0, 'd4c3b2a1'), hexKey(0, 'a1b2c3d4')],
  most: 64 * GIB,
  async examine(file) {
    const order = (await file.number(0, 1)) === 0xd4 ? 'little' : 'big';
    if ((await file.number(4, 2, order)) !== 2 || (await file.number(6, 2, order)) !== 4) return undefined;
    const most = await file.number(16, 4, order);
    let at = 24;
    let before = 0;
    for (;;) {
      const [seconds, kept, whole] = [
        await file.number(at, 4, order),
        await file.number(at + 8, 4, order),
        await file.number(at + 12, 4, order),
      ];
      const isNext =
        kept > 0 &&
        kept <= whole &&
        kept <= Math.max(most, 65_535) &&
        whole <= 262_144 &&
        Math.abs(seconds - before) < 86_400 * 365;
      if (before > 0 && !isNext) break;
      if (!isNext && !(kept > 0 && kept <= whole && whole <= 262_144)) break;
      if (at + 16 + kept > file.size) return cut(at);
      before = seconds;
      at += 16 + kept;
    }
    return at > 24 ? whole(at) : undefined;
  },
};

export const midi: Carver = {
  extension: 'mid',
  title: 'MIDI music',
  keys: [hexKey(0, '4d54686400000006')],
  most: 16 * MIB,
  async examine(file) {
    const tracks = await file.number(10, 2, 'big');
    let at = 14;
    for (let i = 0; i < tracks; i++) {
      if ((await file.text(at, 4)) !== 'MTrk') return i > 0 ? cut(at) : undefined;
      at += 8 + (await file.number(at + 4, 4, 'big'));
    }
    return tracks > 0 && at <= file.size && (await endsTrack(file, at)) ? whole(at) : undefined;
  },
};

async function endsTrack(file: Content, at: number): Promise<boolean> {
  return (
    (await file.number(at - 3, 1)) === 0xff &&
    (await file.number(at - 2, 1)) === 0x2f &&
    (await file.number(at - 1, 1)) === 0
  );
}

export const iso: Carver = {
  extension: 'iso',
  title: 'ISO 9660 image',
  keys: [{ offset: 32_768, bytes: [1, 0x43, 0x44, 0x30, 0x30, 0x31, 1] }],
  most: 256 * GIB,
  async examine(file) {
    const [blocks, size] = [await file.number(32_768 + 80, 4), await file.number(32_768 + 128, 2)];
    const end = blocks * size;
    return size === 2048 && end <= file.size && (await file.text(32_769, 5)) === 'CD001' ? unchecked(end) : undefined;
  },
};
