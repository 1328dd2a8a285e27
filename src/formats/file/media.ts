/** Sound and film: RIFF, MP4 and its kin, Ogg, MP3, FLAC, Matroska. Source: carving.md section 1. */
import { HIGH_FIRST } from '../../codec/crc32.ts';
import { type Carved, type Carver, type Content, cut, unchecked, whole } from '../../core/carver.ts';
import { endsAt } from './pieces.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const text = (offset: number, ascii: string) => ({ offset, bytes: [...Buffer.from(ascii, 'latin1')] });

export const riff: Carver = {
  extension: 'riff',
  title: 'RIFF file',
  keys: [text(0, 'RIFF')],
  most: 64 * GIB,
  async examine(file) {
    const kinds: Readonly<Record<string, string>> = { 'AVI ': 'avi', WAVE: 'wav', WEBP: 'webp', ACON: 'ani' };
    const extension = kinds[await file.text(8, 4)];
    if (extension === undefined) return undefined;
    let end = 0;
    let behind = 0;
    // Films of more than 1 GiB go on in further pieces.
    for (let form = await file.text(8, 4); end === 0 || form === 'AVIX'; form = await file.text(end + 8, 4)) {
      if ((await file.text(end, 4)) !== 'RIFF') break;
      const size = await file.number(end + 4, 4);
      const stop = end + 8 + size + (size % 2);
      let at = end + 12;
      while (at + 8 <= stop) {
        const [name, length] = [await file.text(at, 4), await file.number(at + 4, 4)];
        if (!/^[ -~]{4}$/.test(name) || Number.isNaN(length)) return cut(Math.max(12, at), { extension });
        // A part behind the bulk stands where it should only if nothing was put in before it.
        behind = at - end > BULK ? behind + 1 : behind;
        at += 8 + length + (length % 2);
      }
      if (at < stop - 1 || at > stop + 1 || stop > file.size + 1)
        return cut(Math.min(file.size, end + 12), { extension });
      end = Math.min(stop, file.size);
    }
    return (behind > 0 ? whole : unchecked)(end, { extension });
  },
};

/** Bytes in front of a part that make it one behind the bulk. */
const BULK = 4096;
const BOXES = /^(ftyp|moov|mdat|free|skip|wide|uuid|moof|mfra|pnot|meta|sidx|styp|pdin|emsg|prft|jumb|idat)$/;

export const mp4: Carver = {
  extension: 'mp4',
  title: 'MP4 film or its kin',
  keys: [text(4, 'ftyp')],
  most: 256 * GIB,
  examine: (file) => boxes(file),
};

/** Film of QuickTime's first years, which does not begin with its brand. */
export const quickTime: Carver = {
  extension: 'mov',
  title: 'QuickTime film',
  keys: [text(4, 'moov'), text(4, 'mdat'), text(4, 'wide')],
  most: 256 * GIB,
  examine: (file) => follower(file, 'mov'),
};

async function boxes(file: Content): Promise<Carved | undefined> {
  const brand = await file.text(8, 4);
  const first = await file.number(0, 4, 'big');
  if (!/^[ -~]{4}$/.test(brand) || !(first >= 16 && first <= 1024)) return undefined;
  const kinds: readonly (readonly [RegExp, string])[] = [
    [/^(heic|heix|mif1|msf1)/, 'heic'],
    [/^avi[fs]/, 'avif'],
    [/^crx/, 'cr3'],
    [/^qt/, 'mov'],
    [/^M4A/, 'm4a'],
    [/^3g/, '3gp'],
  ];
  return follower(file, kinds.find(([is]) => is.test(brand))?.[1] ?? 'mp4');
}

/** Boxes one behind the other; undefined where the first is none with another one behind it. */
async function follower(file: Content, extension: string): Promise<Carved | undefined> {
  const met = new Set<string>();
  let at = 0;
  let last = '';
  for (;;) {
    const [small, type] = [await file.number(at, 4, 'big'), await file.text(at + 4, 4)];
    const size = small === 1 ? await file.number(at + 8, 8, 'big') : small;
    // Behind the last box something else begins, or nothing.
    if (!BOXES.test(type) || !(size >= 8)) break;
    if (at + size > file.size) return met.size > 0 ? cut(at, { extension }) : undefined;
    met.add(type);
    last = type;
    at += size;
  }
  const isMovie = met.has('moov') && (met.has('mdat') || met.has('moof'));
  const isPicture = met.has('meta') && (met.has('mdat') || met.has('idat'));
  if (!isMovie && !isPicture) return met.size > 1 ? cut(at, { extension }) : undefined;
  return (last === 'mdat' ? unchecked : whole)(at, { extension });
}

export const ogg: Carver = {
  extension: 'ogg',
  title: 'Ogg stream',
  keys: [text(0, 'OggS')],
  most: 16 * GIB,
  async examine(file) {
    const open = new Set<number>();
    let at = 0;
    for (;;) {
      const segments = await file.number(at + 26, 1);
      const table = await file.bytes(at + 27, segments);
      if ((await file.text(at, 4)) !== 'OggS' || table === undefined) break;
      const length = 27 + segments + table.reduce((sum, one) => sum + one, 0);
      const page = await file.bytes(at, length);
      if (page === undefined) break;
      let crc = 0;
      // The checksum itself counts as zeros.
      for (let i = 0; i < length; i++) crc = (crc << 8) ^ HIGH_FIRST[(crc >>> 24) ^ (i >= 22 && i < 26 ? 0 : page[i])];
      if (crc >>> 0 !== (await file.number(at + 22, 4))) break;
      const [flags, serial] = [page[5], await file.number(at + 14, 4)];
      if (flags & 2) open.add(serial);
      if (flags & 4) open.delete(serial);
      at += length;
      if (open.size === 0) return whole(at, { isProved: true });
    }
    return at === 0 ? undefined : cut(at);
  },
};

const BITRATES = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const LOW_BITRATES = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
const RATES = [44_100, 48_000, 32_000];
const LEAST_FRAMES = 8;

interface Frame {
  readonly length: number;
  readonly kind: number;
}

/** The MP3 frame at `at`; undefined where there is none like `like`. */
async function frameAt(file: Content, at: number, like?: number): Promise<Frame | undefined> {
  return frameOf(await file.number(at, 4, 'big'), like);
}

/** Whether a frame is followed by another one, as far as `head` reaches. */
function isLikeNext(head: Uint8Array): boolean {
  // A view costs more than the number: this is asked a hundred times a MiB of noise.
  const word = (at: number): number =>
    ((head[at] << 24) | (head[at + 1] << 16) | (head[at + 2] << 8) | head[at + 3]) >>> 0;
  const frame = head.length < 4 ? undefined : frameOf(word(0));
  if (frame === undefined) return false;
  return frame.length + 4 > head.length || frameOf(word(frame.length), frame.kind) !== undefined;
}

function frameOf(head: number, like?: number): Frame | undefined {
  if (Number.isNaN(head) || head >>> 21 !== 0x7ff || ((head >>> 17) & 3) !== 1) return undefined;
  const [version, rate, bitrate] = [(head >>> 19) & 3, (head >>> 10) & 3, (head >>> 12) & 15];
  if (version === 1 || rate === 3 || bitrate === 0 || bitrate === 15) return undefined;
  const kind = (version << 2) | rate;
  if (like !== undefined && kind !== like) return undefined;
  const isFirst = version === 3;
  const hertz = RATES[rate] / (isFirst ? 1 : version === 2 ? 2 : 4);
  const kilobits = (isFirst ? BITRATES : LOW_BITRATES)[bitrate];
  return { length: Math.floor(((isFirst ? 144 : 72) * kilobits * 1000) / hertz) + ((head >>> 9) & 1), kind };
}

export const mp3: Carver = {
  extension: 'mp3',
  title: 'MP3 sound',
  keys: [
    text(0, 'ID3'),
    ...['fffb', 'fff3', 'fff2', 'fffa'].map((hex) => ({ offset: 0, bytes: [...Buffer.from(hex, 'hex')] })),
  ],
  most: 1 * GIB,
  begins: (head) => head[0] === 0x49 || isLikeNext(head),
  async examine(file) {
    let at = 0;
    if ((await file.text(0, 3)) === 'ID3') {
      const size = await file.bytes(6, 4);
      if (size === undefined || size.some((byte) => byte > 0x7f)) return undefined;
      at = 10 + size[0] * 2 ** 21 + size[1] * 2 ** 14 + size[2] * 128 + size[3];
      while ((await file.number(at, 1)) === 0 && at < 4 * MIB) at++;
    }
    let frames = 0;
    let kind: number | undefined;
    for (let frame = await frameAt(file, at); frame !== undefined; frame = await frameAt(file, at, kind)) {
      if (at + frame.length > file.size) return frames >= LEAST_FRAMES ? cut(at) : undefined;
      kind = frame.kind;
      at += frame.length;
      frames++;
    }
    if (frames < LEAST_FRAMES) return undefined;
    // An older tag may stand behind the sound.
    const end = (await file.text(at, 3)) === 'TAG' ? Math.min(at + 128, file.size) : at;
    return ((await endsAt(file, end)) ? whole : cut)(end, { facts: { frames } });
  },
};

export const matroska: Carver = {
  extension: 'mkv',
  title: 'Matroska film',
  keys: [{ offset: 0, bytes: [0x1a, 0x45, 0xdf, 0xa3] }],
  most: 256 * GIB,
  async examine(file) {
    const head = await vint(file, 4);
    if (head === undefined || head.value > 4096) return undefined;
    const body = await file.text(4 + head.bytes, head.value);
    const extension = body.includes('webm') ? 'webm' : body.includes('matroska') ? 'mkv' : undefined;
    const at = 4 + head.bytes + head.value;
    if (extension === undefined || (await file.number(at, 4, 'big')) !== 0x18538067) return undefined;
    const size = await vint(file, at + 4);
    if (size === undefined || size.isUnknown) return cut(at, { extension });
    const end = at + 4 + size.bytes + size.value;
    if (end > file.size) return cut(at, { extension });
    return follow(file, at + 4 + size.bytes, end, extension);
  },
};

/** Elements of the first level lie one behind the other up to the end. */
async function follow(file: Content, from: number, end: number, extension: string): Promise<Carved> {
  let at = from;
  while (at < end) {
    const first = await file.number(at, 1);
    const width = first >= 0x80 ? 1 : first >= 0x40 ? 2 : first >= 0x20 ? 3 : first >= 0x10 ? 4 : 0;
    const size = width === 0 ? undefined : await vint(file, at + width);
    if (size === undefined || size.isUnknown) return cut(at, { extension });
    at += width + size.bytes + size.value;
  }
  return at === end ? whole(end, { extension }) : cut(from, { extension });
}

async function vint(
  file: Content,
  at: number,
): Promise<{ value: number; bytes: number; isUnknown: boolean } | undefined> {
  const first = await file.number(at, 1);
  if (!(first > 0)) return undefined;
  const bytes = Math.clz32(first) - 23;
  let value = first & (0xff >>> bytes);
  let isUnknown = value === 0xff >>> bytes;
  for (let i = 1; i < bytes; i++) {
    const byte = await file.number(at + i, 1);
    if (Number.isNaN(byte)) return undefined;
    isUnknown &&= byte === 0xff;
    value = value * 256 + byte;
  }
  return Number.isSafeInteger(value) ? { value, bytes, isUnknown } : undefined;
}
