/** Databases and logs: SQLite, its write-ahead log, registry hives, Windows event logs, ESE. Source: carving.md section 1. */
import { type Carver, type Content, cut, whole } from '../../core/carver.ts';
import { viewOf } from '../../core/struct.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const text = (offset: number, ascii: string) => ({ offset, bytes: [...Buffer.from(ascii, 'latin1')] });

export const sqlite: Carver = {
  extension: 'sqlite',
  title: 'SQLite database',
  keys: [text(0, 'SQLite format 3\0')],
  most: 256 * GIB,
  async examine(file) {
    const raw = await file.number(16, 2, 'big');
    const page = raw === 1 ? 65_536 : raw;
    if (![512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536].includes(page)) return undefined;
    const [change, version] = [await file.number(24, 4, 'big'), await file.number(92, 4, 'big')];
    const pages = await file.number(28, 4, 'big');
    const reserved = await file.number(20, 1);
    if (!(pages > 0) || change !== version) return cut(page);
    const facts = { pages, pageBytes: page };
    const free = await freePages(file, page, pages);
    for (let n = 0; n < pages; n++) {
      if (free.has(n + 1)) continue;
      const bytes = await file.bytes(n * page, page);
      if (bytes === undefined || !isPage(bytes, n, page - reserved, pages)) return cut(n * page, { facts });
    }
    return whole(pages * page, { facts });
  },
};

const MAX_FREE = 10_000_000;

/** Pages that hold nothing any more: what stands in them is whatever was there before. */
async function freePages(file: Content, page: number, pages: number): Promise<Set<number>> {
  const out = new Set<number>();
  for (
    let trunk = await file.number(32, 4, 'big');
    trunk > 0 && trunk <= pages && !out.has(trunk) && out.size < MAX_FREE;
  ) {
    out.add(trunk);
    const base = (trunk - 1) * page;
    const count = await file.number(base + 4, 4, 'big');
    for (let i = 0; i < Math.min(count, page / 4 - 2); i++) out.add(await file.number(base + 8 + i * 4, 4, 'big'));
    trunk = await file.number(base, 4, 'big');
  }
  return out;
}

/** Whether a page is a node of a tree that makes sense, or one of those that only continue another. */
function isPage(bytes: Uint8Array, n: number, usable: number, pages: number): boolean {
  const view = viewOf(bytes);
  const head = n === 0 ? 100 : 0;
  const type = bytes[head];
  if ([2, 5, 10, 13].includes(type)) {
    const [cells, start, spare] = [
      view.getUint16(head + 3, false),
      view.getUint16(head + 5, false) || 65_536,
      bytes[head + 7],
    ];
    const list = head + (type < 8 ? 12 : 8);
    const isTree =
      list + cells * 2 <= start && start <= usable && spare <= 60 && view.getUint16(head + 1, false) < usable;
    if (isTree) {
      for (let i = 0; i < cells; i++) {
        const at = view.getUint16(list + i * 2, false);
        if (at < start || at >= usable) return false;
      }
      return true;
    }
  }
  // A page that another one overflows into begins with the number of the next; a map of pointers with a kind of 1 to 5.
  if (n === 0 || bytes.every((byte) => byte === 0)) return false;
  return view.getUint32(0, false) <= pages || (type >= 1 && type <= 5 && view.getUint32(1, false) <= pages);
}

export const wal: Carver = {
  extension: 'sqlite-wal',
  title: 'SQLite write-ahead log',
  keys: ['377f0682', '377f0683'].map((hex) => ({ offset: 0, bytes: [...Buffer.from(hex, 'hex')] })),
  most: 16 * GIB,
  async examine(file) {
    const page = await file.number(8, 4, 'big');
    if ((await file.number(4, 4, 'big')) !== 3_007_000 || !(page >= 512 && page <= 65_536)) return undefined;
    const salt = await file.text(16, 8);
    let at = 32;
    while ((await file.text(at + 8, 8)) === salt && at + 24 + page <= file.size) at += 24 + page;
    return at > 32 ? whole(at) : cut(32);
  },
};

export const hive: Carver = {
  extension: 'hiv',
  title: 'registry hive',
  keys: [text(0, 'regf')],
  most: 2 * GIB,
  async examine(file) {
    const head = await file.bytes(0, 512);
    if (head === undefined) return undefined;
    const view = viewOf(head);
    let sum = 0;
    for (let at = 0; at < 508; at += 4) sum ^= view.getUint32(at, true);
    const wanted = sum === 0 ? 1 : sum === -1 ? 0xfffffffe : sum >>> 0;
    const size = view.getUint32(40, true) + 4096;
    if (wanted !== view.getUint32(508, true) || size % 4096 !== 0) return undefined;
    const name = Buffer.from(head.subarray(48, 112)).toString('utf16le').replace(/\0.*$/s, '');
    // Bins follow each other, and each says where it stands.
    for (let at = 4096; at < size; ) {
      const length = await file.number(at + 8, 4);
      const isBin = (await file.text(at, 4)) === 'hbin' && (await file.number(at + 4, 4)) === at - 4096;
      if (!isBin || length % 4096 !== 0 || length === 0) return cut(at, { facts: { name } });
      at += length;
    }
    return size <= file.size ? whole(size, { facts: { name } }) : cut(file.size, { facts: { name } });
  },
};

const CHUNK = 65_536;

export const evtx: Carver = {
  extension: 'evtx',
  title: 'Windows event log',
  keys: [text(0, 'ElfFile\0')],
  most: 4 * GIB,
  async examine(file) {
    const chunks = await file.number(42, 2);
    if ((await file.number(40, 2)) !== 4096 || !(chunks >= 1)) return undefined;
    let at = 4096;
    for (let n = 0; n < chunks; n++, at += CHUNK)
      if ((await file.text(at, 8)) !== 'ElfChnk\0' || at + CHUNK > file.size) return cut(at);
    return whole(at);
  },
};

export const ese: Carver = {
  extension: 'edb',
  title: 'ESE database',
  keys: [{ offset: 4, bytes: [0xef, 0xcd, 0xab, 0x89] }],
  most: 256 * GIB,
  async examine(file) {
    const page = await file.number(236, 4);
    const size = [2048, 4096, 8192, 16_384, 32_768].includes(page) ? page : 4096;
    const head = await file.bytes(0, size);
    if (head === undefined) return undefined;
    const view = viewOf(head);
    let sum = 0x89abcdef;
    for (let at = 4; at + 4 <= size; at += 4) sum ^= view.getUint32(at, true);
    if (sum >>> 0 !== view.getUint32(0, true)) return undefined;
    // A copy of the header follows. Where the last page is, only its own tables say.
    const copy = await file.number(size + 4, 4);
    return copy === 0x89abcdef ? cut(size * 2, { facts: { pageBytes: size } }) : undefined;
  },
};
