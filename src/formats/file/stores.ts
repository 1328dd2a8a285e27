/** Stores and exchange: Berkeley DB, KeePass, TNEF, torrents, contact cards, captures, classes. Sources: the published formats. */
import { type Carved, type Carver, type Content, cut, whole } from '../../core/carver.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const hexKey = (offset: number, hex: string) => ({ offset, bytes: [...Buffer.from(hex, 'hex')] });
const text = (offset: number, ascii: string) => ({ offset, bytes: [...Buffer.from(ascii, 'latin1')] });

export const berkeley: Carver = {
  extension: 'db',
  title: 'Berkeley database',
  keys: [hexKey(12, '62310500'), hexKey(12, '61150600')],
  most: 64 * GIB,
  async examine(file) {
    const [page, type, last] = [await file.number(20, 4), await file.number(25, 1), await file.number(32, 4)];
    if (!(page >= 512 && page <= 65_536 && Number.isInteger(Math.log2(page))) || ![8, 9].includes(type))
      return undefined;
    if (!(last < 2 ** 31)) return undefined;
    for (let n = 0; n <= last; n++) {
      const [number, kind] = [await file.number(n * page + 8, 4), await file.number(n * page + 25, 1)];
      // Pages that were set aside and not written yet are zeros.
      const isFresh = number === 0 && kind === 0 && n > 0;
      if (Number.isNaN(kind) || (number !== n && !isFresh) || kind > 13) return cut(Math.min(n * page, file.size));
    }
    const end = (last + 1) * page;
    return end <= file.size ? whole(end, { facts: { pages: last + 1, pageBytes: page } }) : cut(file.size);
  },
};

/** Fields of a KeePass header, and bytes of one. */
const MAX_FIELDS = 64;

export const keepass: Carver = {
  extension: 'kdbx',
  title: 'KeePass store',
  keys: [hexKey(0, '03d9a29a67fb4bb5')],
  most: GIB,
  async examine(file) {
    // Older versions say nothing of their length.
    if ((await file.number(10, 2)) !== 4) return (await file.number(10, 2)) === 3 ? cut(12) : undefined;
    let at = 12;
    for (let i = 0, id = 1; id !== 0 && i < MAX_FIELDS; i++) {
      id = await file.number(at, 1);
      at += 5 + (await file.number(at + 1, 4));
      if (!(id <= 12) || !(at < file.size)) return undefined;
    }
    at += 64; // the header's checksum, and the one that the key gives
    for (;;) {
      const size = await file.number(at + 32, 4);
      if (!(size <= 16 * MIB) || at + 36 + size > file.size) return cut(Math.min(at, file.size));
      at += 36 + size;
      if (size === 0) return whole(at);
    }
  },
};

export const tnef: Carver = {
  extension: 'tnef',
  title: 'TNEF attachment',
  keys: [hexKey(0, '789f3e22')],
  most: 256 * MIB,
  async examine(file) {
    let at = 6;
    for (let n = 0; ; n++) {
      const [level, size] = [await file.number(at, 1), await file.number(at + 5, 4)];
      const isPart = (level === 1 || level === 2) && at + 11 + size <= file.size;
      const data = isPart ? await file.bytes(at + 9, size) : undefined;
      const sum = data?.reduce((total, byte) => (total + byte) & 0xffff, 0);
      if (data === undefined || sum !== (await file.number(at + 9 + size, 2)))
        return n === 0 ? undefined : level === 1 || level === 2 ? cut(at) : whole(at, { isProved: true });
      at += 11 + size;
    }
  },
};

/** Lists within lists of a torrent, and things in it. */
const MAX_NESTED = 32;
const MAX_ITEMS = 1_000_000;

export const torrent: Carver = {
  extension: 'torrent',
  title: 'torrent',
  keys: ['d8:announce', 'd13:announce-list', 'd7:comment', 'd10:created by', 'd13:creation date', 'd4:infod'].map(
    (start) => text(0, start),
  ),
  most: 64 * MIB,
  async examine(file) {
    let [at, depth] = [0, 0];
    let hasInfo = false;
    for (let n = 0; n < MAX_ITEMS; n++) {
      const rest = await file.text(at, Math.min(24, file.size - at));
      if (rest[0] === 'd' || rest[0] === 'l') {
        if (++depth > MAX_NESTED) return cut(at);
        at++;
      } else if (rest[0] === 'e') {
        at++;
        if (--depth === 0) return hasInfo ? whole(at) : undefined;
      } else {
        const number = /^i-?\d+e/.exec(rest);
        const words = /^(\d{1,9}):/.exec(rest);
        if (number === null && words === null) return hasInfo ? cut(at) : undefined;
        hasInfo ||= rest.startsWith('6:pieces');
        at += number?.[0].length ?? words![0].length + Number(words![1]);
        if (at > file.size) return cut(file.size);
      }
    }
    return cut(at);
  },
};

/** Contacts and appointments: lines between BEGIN and END, which nest. Several may follow each other. */
export const card: Carver = {
  extension: 'vcf',
  title: 'contacts or calendar',
  keys: [text(0, 'BEGIN:VCARD'), text(0, 'BEGIN:VCALENDAR')],
  most: 256 * MIB,
  async examine(file) {
    const extension = (await file.text(6, 5)) === 'VCARD' ? 'vcf' : 'ics';
    const open: string[] = [];
    let [at, end, cards] = [0, 0, 0];
    for (;;) {
      const stop = await file.find([10], at, at + 16 * MIB);
      const line = (await file.text(at, Math.min(128, stop < 0 ? 128 : stop + 1 - at, file.size - at))).replace(
        /\r?\n$/,
        '',
      );
      const mark = /^(BEGIN|END):([A-Z0-9-]+)$/.exec(line);
      const isLine = /^([A-Za-z][\w.-]*[:;]|[ \t=])/.test(line) || (line === '' && stop === at);
      if (mark === null && (!isLine || open.length === 0)) break;
      if (mark?.[1] === 'BEGIN' && open.length < MAX_NESTED) open.push(mark[2]);
      else if (mark !== null && (mark[1] === 'BEGIN' || open.pop() !== mark[2])) break;
      // The last line need not end with a break.
      at = stop < 0 ? at + (mark?.[0].length ?? 0) : stop + 1;
      if (open.length === 0) [end, cards] = [mark?.[0].length === undefined ? end : at, cards + 1];
      if (stop < 0) break;
    }
    if (cards === 0) return cut(Math.max(11, at), { extension });
    return open.length === 0 && end <= file.size
      ? whole(end, { extension, facts: { cards } })
      : cut(end, { extension });
  },
};

export const pcapng: Carver = {
  extension: 'pcapng',
  title: 'network capture (pcapng)',
  keys: [hexKey(0, '0a0d0d0a')],
  most: 64 * GIB,
  async examine(file) {
    const mark = await file.number(8, 4);
    if (mark !== 0x1a2b3c4d && mark !== 0x4d3c2b1a) return undefined;
    const order = mark === 0x1a2b3c4d ? 'little' : 'big';
    let at = 0;
    for (let n = 0; ; n++) {
      const [type, size] = [await file.number(at, 4, order), await file.number(at + 4, 4, order)];
      const isBlock = size >= 12 && size % 4 === 0 && size <= 64 * MIB && type !== 0;
      // Each block ends with its length once more.
      if (!isBlock || (await file.number(at + size - 4, 4, order)) !== size)
        return n < 2 ? undefined : isBlock && type <= 10 ? cut(at) : whole(at);
      at += size;
    }
  },
};

/** Bytes of the constants of a class, by their tag; texts say their own length. */
const CONSTANTS: Readonly<Record<number, number>> = {
  3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2,
}; // biome-ignore format: a table

export const javaClass: Carver = {
  extension: 'class',
  title: 'Java class',
  keys: [hexKey(0, 'cafebabe0000'), hexKey(0, 'cafebabe0003')],
  most: 16 * MIB,
  async examine(file) {
    const number = (at: number, size: 1 | 2 | 4): Promise<number> => file.number(at, size, 'big');
    const [version, count] = [await number(6, 2), await number(8, 2)];
    if (!(version >= 45 && version <= 80 && count > 1)) return undefined;
    let at = 10;
    for (let i = 1; i < count; i++) {
      const tag = await number(at, 1);
      const size = tag === 1 ? 2 + (await number(at + 1, 2)) : CONSTANTS[tag];
      if (size === undefined || Number.isNaN(size)) return undefined;
      at += 1 + size;
      if (tag === 5 || tag === 6) i++;
    }
    at += 6;
    at += 2 + (await number(at, 2)) * 2;
    // Fields, then methods, then what describes the class: each with attributes.
    for (let kind = 0; kind < 2; kind++) {
      const members = await number(at, 2);
      at += 2;
      for (let i = 0; i < members; i++) at = await attributes(file, at + 6);
    }
    at = await attributes(file, at);
    return at <= file.size ? whole(at) : cut(Math.min(10, file.size));
  },
};

/** Behind the attributes whose count stands at `from`; NaN where they reach beyond what there is. */
async function attributes(file: Content, from: number): Promise<number> {
  const count = await file.number(from, 2, 'big');
  let at = from + 2;
  for (let i = 0; i < count; i++) at += 6 + (await file.number(at + 2, 4, 'big'));
  return count >= 0 && at <= file.size ? at : Number.NaN;
}

/** Configurations and settings as lines of a name and a quoted value. */
export const settings: Carver = {
  extension: 'vmx',
  title: 'configuration of a machine',
  keys: [text(0, '.encoding = "'), text(0, 'config.version = "'), text(0, '#!/usr/bin/vmware')],
  most: 4 * MIB,
  async examine(file): Promise<Carved | undefined> {
    let [at, lines] = [0, 0];
    let isMachine = false;
    for (;;) {
      const stop = await file.find([10], at, at + 8192);
      const line = (await file.text(at, stop < 0 ? 0 : stop - at)).replace(/\r$/, '');
      if (stop < 0 || !/^(#.*|[\w.:!-]+ *= *"[^"\0]*" *|)$/.test(line) || (line === '' && stop !== at)) break;
      isMachine ||= /^(virtualHW\.version|displayName|guestOS|memsize) /i.test(line);
      lines++;
      at = stop + 1;
    }
    if (!isMachine || lines < 5) return undefined;
    // Behind the last line there is nothing, or the zeros that fill its block.
    const behind = at < file.size ? await file.number(at, 1) : 0;
    return behind === 0 ? whole(at, { facts: { lines } }) : cut(at, { facts: { lines } });
  },
};
