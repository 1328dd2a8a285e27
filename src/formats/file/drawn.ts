/** Drawings, scenes and images of installers: EMF, JPEG 2000, Blender, glTF, WIM, DEX. Sources: the published formats. */
import { type Carver, cut, unchecked, whole } from '../../core/carver.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const hexKey = (offset: number, hex: string) => ({ offset, bytes: [...Buffer.from(hex, 'hex')] });
const text = (offset: number, ascii: string) => ({ offset, bytes: [...Buffer.from(ascii, 'latin1')] });
const EMF_END = 14;

export const emf: Carver = {
  extension: 'emf',
  title: 'EMF drawing',
  keys: [text(40, ' EMF')],
  most: 256 * MIB,
  async examine(file) {
    const [size, count] = [await file.number(48, 4), await file.number(52, 4)];
    if ((await file.number(0, 4)) !== 1 || !(size >= 108 && count >= 2)) return undefined;
    let at = 0;
    for (let n = 1; n <= count; n++) {
      const [type, length] = [await file.number(at, 4), await file.number(at + 4, 4)];
      if (!(type >= 1 && type <= 122 && length >= 8 && length % 4 === 0)) return cut(Math.min(at, file.size));
      at += length;
      if (type === EMF_END)
        return n === count && at === size && at <= file.size ? whole(at) : cut(Math.min(at, file.size));
    }
    return cut(Math.min(at, file.size));
  },
};

const JP2_BOXES = /^(jP {2}|ftyp|jp2h|jp2c|jp2i|xml |uuid|uinf|jpch|jplh|asoc|rreq|res )$/;

export const jpeg2000: Carver = {
  extension: 'jp2',
  title: 'JPEG 2000 picture',
  keys: [hexKey(0, '0000000c6a5020200d0a870a')],
  most: 1 * GIB,
  async examine(file) {
    let hasCode = false;
    for (let at = 0; ; ) {
      const [size, type] = [await file.number(at, 4, 'big'), await file.text(at + 4, 4)];
      if (!JP2_BOXES.test(type)) return hasCode ? whole(at) : at > 12 ? cut(at) : undefined;
      // A box without a size reaches to the end of the file, which only its code tells.
      const long = size === 1 ? await file.number(at + 8, 8, 'big') : size;
      if (!(long >= 8) || at + long > file.size) return cut(at);
      if (type === 'jp2c') {
        if ((await file.number(at + long - 2, 2, 'big')) !== 0xffd9) return cut(at);
        hasCode = true;
      }
      at += long;
    }
  },
};

export const blender: Carver = {
  extension: 'blend',
  title: 'Blender scene',
  keys: [text(0, 'BLENDER-v'), text(0, 'BLENDER_v'), text(0, 'BLENDER-V'), text(0, 'BLENDER_V')],
  most: 16 * GIB,
  async examine(file) {
    const pointer = (await file.text(7, 1)) === '-' ? 8 : 4;
    const order = (await file.text(8, 1)) === 'v' ? 'little' : 'big';
    for (let at = 12; ; ) {
      const [code, size] = [await file.text(at, 4), await file.number(at + 4, 4, order)];
      if (code === 'ENDB') return whole(at + 16 + pointer);
      if (!/^[A-Z0-9]{2,4}\0{0,2}$/.test(code) || Number.isNaN(size))
        return at > 12 ? cut(Math.min(at, file.size)) : undefined;
      at += 16 + pointer + size;
    }
  },
};

export const gltf: Carver = {
  extension: 'glb',
  title: 'glTF scene',
  keys: [hexKey(0, '676c544602000000')],
  most: 4 * GIB,
  async examine(file) {
    const [total, first] = [await file.number(8, 4), await file.number(12, 4)];
    if ((await file.text(16, 4)) !== 'JSON' || !(first + 20 <= total)) return undefined;
    const tail = await file.text(20 + first - Math.min(first, 4), Math.min(first, 4));
    if (!/\} *$/.test(tail)) return cut(Math.min(20, file.size));
    let at = 20 + first;
    while (at < total) at += 8 + (await file.number(at, 4));
    if (at !== total || total > file.size) return cut(Math.min(20 + first, file.size));
    return total === 20 + first ? whole(total) : unchecked(total);
  },
};

export const wim: Carver = {
  extension: 'wim',
  title: 'Windows image',
  keys: [hexKey(0, '4d5357494d000000d0000000')],
  most: 256 * GIB,
  async examine(file) {
    let end = 208;
    // Where the table of files, the description and the sums stand: seven bytes of length, then the place.
    for (const at of [0x30, 0x48, 0x7c]) {
      const [length, place] = [
        (await file.number(at, 4)) + ((await file.number(at + 4, 4)) % 2 ** 24) * 2 ** 32,
        await file.number(at + 8, 8),
      ];
      end = Math.max(end, length > 0 ? place + length : 0);
    }
    const described = await file.text(await file.number(0x50, 8), 12);
    if (described !== '\xff\xfe<\0W\0I\0M\0>\0') return cut(Math.min(208, file.size));
    return end <= file.size ? whole(end) : cut(208);
  },
};

export const dex: Carver = {
  extension: 'dex',
  title: 'Android program',
  keys: [hexKey(0, '6465780a3033')],
  most: 256 * MIB,
  async examine(file) {
    const [size, head] = [await file.number(32, 4), await file.number(36, 4)];
    if (head !== 0x70 || (await file.number(40, 4)) !== 0x12345678) return undefined;
    if (!(size >= head) || size > file.size) return cut(Math.min(head, file.size));
    let [a, b] = [1, 0];
    for (let at = 12; at < size; at += 4096) {
      const part = await file.bytes(at, Math.min(4096, size - at));
      if (part === undefined) return cut(at);
      for (const byte of part) {
        a += byte;
        b += a;
      }
      a %= 65_521;
      b %= 65_521;
    }
    return b * 65_536 + a === (await file.number(8, 4)) ? whole(size, { isProved: true }) : cut(head);
  },
};
