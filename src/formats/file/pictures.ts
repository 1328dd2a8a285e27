/** Pictures: PNG, GIF, BMP, TIFF and its kin, PSD, icons. Source: carving.md section 1. */
import { crc32 } from '../../codec/crc32.ts';
import { type Carved, type Carver, type Content, cut, unchecked, whole } from '../../core/carver.ts';

const MIB = 1024 * 1024;
const key = (offset: number, hex: string) => ({ offset, bytes: [...Buffer.from(hex, 'hex')] });

export const png: Carver = {
  extension: 'png',
  title: 'PNG picture',
  keys: [key(0, '89504e470d0a1a0a')],
  most: 256 * MIB,
  async examine(file) {
    if ((await file.text(12, 4)) !== 'IHDR' || (await file.number(8, 4, 'big')) !== 13) return undefined;
    const facts = { width: await file.number(16, 4, 'big'), height: await file.number(20, 4, 'big') };
    for (let at = 8; ; ) {
      const length = await file.number(at, 4, 'big');
      const type = await file.text(at + 4, 4);
      if (!/^[A-Za-z]{4}$/.test(type) || length > 0x7fffffff) return cut(at, { facts });
      const chunk = await file.bytes(at + 4, length + 4);
      if (chunk === undefined || crc32(chunk) !== (await file.number(at + 8 + length, 4, 'big')))
        return cut(at, { facts });
      at += length + 12;
      if (type === 'IEND') return whole(at, { facts, isProved: true });
    }
  },
};

export const gif: Carver = {
  extension: 'gif',
  title: 'GIF picture',
  keys: [key(0, '474946383761'), key(0, '474946383961')],
  most: 64 * MIB,
  async examine(file) {
    const facts = { width: await file.number(6, 2), height: await file.number(8, 2) };
    const flags = await file.number(10, 1);
    if (Number.isNaN(flags) || facts.width === 0 || facts.height === 0) return undefined;
    let at = 13 + colours(flags);
    for (;;) {
      const kind = await file.number(at, 1);
      if (kind === 0x3b) return whole(at + 1, { facts });
      if (kind === 0x2c) {
        const local = await file.number(at + 9, 1);
        const least = await file.number(at + 10 + colours(local), 1);
        if (!(least >= 2 && least <= 11)) return cut(at, { facts });
        at += 11 + colours(local);
      } else if (kind === 0x21 && [0x01, 0xf9, 0xfe, 0xff].includes(await file.number(at + 1, 1))) at += 2;
      else return cut(at, { facts });
      const end = await blocks(file, at);
      if (end === undefined) return cut(at, { facts });
      at = end;
    }
  },
};

function colours(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1);
}

/** The end of a row of blocks, each behind its length. */
async function blocks(file: Content, from: number): Promise<number | undefined> {
  for (let at = from; ; ) {
    const length = await file.number(at, 1);
    if (Number.isNaN(length)) return undefined;
    at += length + 1;
    if (length === 0) return at;
  }
}

export const bmp: Carver = {
  extension: 'bmp',
  title: 'BMP picture',
  keys: [key(0, '424d')],
  most: 256 * MIB,
  begins: (head) =>
    head.length >= 30 && head[6] + head[7] + head[8] + head[9] === 0 && head[15] + head[16] + head[17] === 0,
  async examine(file) {
    const [size, pixels, head] = [await file.number(2, 4), await file.number(10, 4), await file.number(14, 4)];
    if (![40, 52, 56, 108, 124].includes(head) || (await file.number(6, 4)) !== 0) return undefined;
    const [width, rawHeight] = [await file.number(18, 4), await file.number(22, 4)];
    const height = Math.abs(rawHeight | 0);
    const [planes, depth, packing] = [await file.number(26, 2), await file.number(28, 2), await file.number(30, 4)];
    const sane = planes === 1 && [1, 4, 8, 16, 24, 32].includes(depth) && packing <= 6 && width > 0 && width < 65_536;
    if (!sane || height === 0 || height > 65_536 || pixels < 14 + head || pixels > 4096) return undefined;
    const rows = Math.ceil((width * depth) / 32) * 4 * height;
    const fits = packing === 0 || packing === 3 ? size >= pixels + rows && size <= pixels + rows + 4096 : size > pixels;
    if (!fits || size > file.size) return fits ? cut(file.size) : undefined;
    // Rows are filled up with zeros, which tells of foreign bytes among them.
    const [own, row] = [(width * depth) / 8, Math.ceil((width * depth) / 32) * 4];
    for (let i = 0; packing === 0 && Number.isInteger(own) && own < row && i < height; i++) {
      const fill = await file.bytes(pixels + i * row + own, row - own);
      if (fill?.every((byte) => byte === 0) !== true) return cut(pixels + i * row, { facts: { width, height } });
    }
    const isFilled = packing === 0 && Number.isInteger(own) && own < row;
    return (isFilled ? whole : unchecked)(size, { facts: { width, height } });
  },
};

/** Bytes of a value, by the number of its type. */
const TIFF_TYPES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4];
/** Lists of places and lengths that data stands at: strips, tiles, previews. */
const TIFF_DATA: readonly (readonly [number, number])[] = [
  [273, 279],
  [324, 325],
  [513, 514],
];
const TIFF_DIRECTORIES = [330, 34_665, 34_853, 40_965];
const MAX_DIRECTORIES = 256;
const MAX_VALUES = 1_000_000;

export const tiff: Carver = {
  extension: 'tif',
  title: 'TIFF picture',
  keys: [key(0, '49492a00'), key(0, '4d4d002a')],
  most: 1024 * MIB,
  examine: (file) => tiffEnd(file),
};

async function tiffEnd(file: Content): Promise<Carved | undefined> {
  const order = (await file.text(0, 2)) === 'II' ? 'little' : 'big';
  const queue = [await file.number(4, 4, order)];
  const seen = new Set<number>();
  let end = 8;
  let make = '';
  for (let at = queue.shift(); at !== undefined && seen.size < MAX_DIRECTORIES; at = queue.shift()) {
    if (at === 0 || seen.has(at)) continue;
    seen.add(at);
    const count = await file.number(at, 2, order);
    if (!(count > 0 && count < 1000)) return seen.size === 1 ? undefined : cut(end);
    const values = new Map<number, number[]>();
    let before = -1;
    for (let i = 0; i < count; i++) {
      const entry = at + 2 + i * 12;
      const [tag, type] = [await file.number(entry, 2, order), await file.number(entry + 2, 2, order)];
      const n = await file.number(entry + 4, 4, order);
      const unit = TIFF_TYPES[type] ?? 0;
      if (unit === 0 || tag < before || Number.isNaN(n)) return seen.size === 1 ? undefined : cut(end);
      before = tag;
      const place = unit * n <= 4 ? entry + 8 : await file.number(entry + 8, 4, order);
      end = Math.max(end, place + unit * n);
      if (tag === 271) make = (await file.text(place, Math.min(n, 32))).toLowerCase();
      const isList = TIFF_DATA.some((pair) => pair.includes(tag)) || TIFF_DIRECTORIES.includes(tag);
      if (isList && n <= MAX_VALUES && (unit === 2 || unit === 4))
        values.set(tag, await list(file, place, n, unit, order));
    }
    for (const [places, lengths] of TIFF_DATA)
      for (const [i, from] of (values.get(places) ?? []).entries())
        end = Math.max(end, from + (values.get(lengths)?.[i] ?? 0));
    for (const tag of TIFF_DIRECTORIES) queue.push(...(values.get(tag) ?? []));
    queue.push(await file.number(at + 2 + count * 12, 4, order));
    end = Math.max(end, at + 6 + count * 12);
  }
  if (!(end <= file.size)) return cut(Math.min(file.size, 8));
  const raw = [
    ['nikon', 'nef'],
    ['canon', 'cr2'],
    ['sony', 'arw'],
    ['pentax', 'pef'],
  ].find(([name]) => make.startsWith(name));
  return whole(end, raw === undefined ? {} : { extension: raw[1] });
}

async function list(file: Content, at: number, n: number, unit: 2 | 4, order: 'big' | 'little'): Promise<number[]> {
  const out: number[] = [];
  for (let i = 0; i < n; i++) {
    const value = await file.number(at + i * unit, unit, order);
    if (Number.isNaN(value)) return out;
    out.push(value);
  }
  return out;
}

export const psd: Carver = {
  extension: 'psd',
  title: 'Photoshop picture',
  keys: [key(0, '384250530001')],
  most: 2048 * MIB,
  async examine(file) {
    const [channels, height, width] = [
      await file.number(12, 2, 'big'),
      await file.number(14, 4, 'big'),
      await file.number(18, 4, 'big'),
    ];
    const depth = await file.number(22, 2, 'big');
    if (!(channels >= 1 && channels <= 56 && width > 0 && width <= 30_000 && height > 0 && height <= 30_000))
      return undefined;
    let at = 26;
    for (let section = 0; section < 3; section++) at += 4 + (await file.number(at, 4, 'big'));
    const packing = await file.number(at, 2, 'big');
    at += 2;
    const rows = channels * height;
    if (packing === 0) at += rows * Math.ceil((width * depth) / 8);
    else if (packing === 1) {
      let bytes = 0;
      for (let i = 0; i < rows; i++) bytes += await file.number(at + i * 2, 2, 'big');
      at += rows * 2 + bytes;
    } else return undefined;
    return at <= file.size ? unchecked(at, { facts: { width, height } }) : cut(Math.min(file.size, 26));
  },
};

/** Bits a pixel of icons. */
const DEPTHS: readonly number[] = [1, 4, 8, 16, 24, 32];

export const ico: Carver = {
  extension: 'ico',
  title: 'icon',
  keys: [key(0, '00000100')],
  most: 4 * MIB,
  // Of the first entry: a byte that is 0, planes, bits a pixel, and where its picture begins.
  begins: (head) =>
    head.length >= 22 &&
    head[4] >= 1 &&
    head[5] + head[9] + head[11] + head[13] === 0 &&
    head[10] <= 1 &&
    DEPTHS.includes(head[12]) &&
    head[18] + head[19] * 256 === 6 + head[4] * 16 &&
    head[20] + head[21] === 0,
  async examine(file) {
    const count = await file.number(4, 2);
    if (!(count >= 1 && count <= 64)) return undefined;
    let end = 6 + count * 16;
    for (let i = 0; i < count; i++) {
      const at = 6 + i * 16;
      const [zero, planes, depth] = [
        await file.number(at + 3, 1),
        await file.number(at + 4, 2),
        await file.number(at + 6, 2),
      ];
      const [size, place] = [await file.number(at + 8, 4), await file.number(at + 12, 4)];
      // Pictures lie one behind the other, and each is a bitmap or a PNG.
      if (zero !== 0 || planes > 1 || !DEPTHS.includes(depth) || place !== end || !(size > 16)) return undefined;
      const head = await file.number(place, 4);
      if (head !== 40 && head !== 0x474e5089) return undefined;
      end = place + size;
    }
    return end <= file.size ? whole(end) : undefined;
  },
};
