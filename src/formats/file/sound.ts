/** Sound in frames: FLAC, WavPack, AAC. Frames are followed one by one, with their checksums. Sources: the published formats. */
import { Bits } from '../../codec/bits.ts';
import { type Carver, type Content, cut, whole } from '../../core/carver.ts';
import { viewOf } from '../../core/struct.ts';
import { endsAt } from './pieces.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const text = (offset: number, ascii: string) => ({ offset, bytes: [...Buffer.from(ascii, 'latin1')] });
/** Bytes of nearly all frames, and of one at most: 65,535 samples of eight channels and 32 bits. */
const USUAL_FRAME = 64 * 1024;
const MAX_FRAME = 2 * MIB + 4096;

export const flac: Carver = {
  extension: 'flac',
  title: 'FLAC sound',
  keys: [text(0, 'fLaC')],
  most: 4 * GIB,
  async examine(file) {
    let at = 4;
    let [bits, total] = [0, 0];
    for (let isLast = false; !isLast; ) {
      const head = await file.number(at, 4, 'big');
      if (Number.isNaN(head) || ((head >>> 24) & 0x7f) > 6 || (at === 4 && head % 2 ** 31 !== 34)) return undefined;
      if (at === 4) {
        const word = await file.number(at + 16, 4, 'big');
        bits = (((await file.number(at + 16, 2, 'big')) >>> 4) & 31) + 1;
        total = ((word >>> 16) & 15) * 2 ** 32 + (await file.number(at + 18, 4, 'big'));
      }
      isLast = head >>> 31 === 1;
      at += 4 + (head & 0xffffff);
    }
    let samples = 0;
    let frames = 0;
    while (total === 0 || samples < total) {
      const frame = (await frameAt(file, at, USUAL_FRAME, bits)) ?? (await frameAt(file, at, MAX_FRAME, bits));
      if (frame === undefined) break;
      at += frame.length;
      samples += frame.samples;
      frames++;
    }
    const facts = { facts: { frames, samples } };
    // Where the head does not say how many samples there are, the last frame is told by what follows.
    const isEnd = total === 0 ? await endsAt(file, at) : samples === total;
    if (frames > 0 && isEnd) return whole(at, { ...facts, isProved: true });
    return cut(Math.min(at, file.size), facts);
  },
};

interface Frame {
  readonly length: number;
  readonly samples: number;
}

async function frameAt(file: Content, at: number, most: number, bits: number): Promise<Frame | undefined> {
  const bytes = await file.bytes(at, Math.max(0, Math.min(most, file.size - at)));
  return bytes && flacFrame(bytes, bits);
}

const BLOCK_SIZES = [0, 192, 576, 1152, 2304, 4608, 0, 0, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768];
const DEPTHS = [0, 8, 12, 0, 16, 20, 24, 32];

/** The frame that `bytes` begin with: its length and samples; undefined where there is none, or a checksum differs. */
function flacFrame(bytes: Uint8Array, streamBits: number): Frame | undefined {
  if (bytes.length < 8 || bytes[0] !== 0xff || (bytes[1] & 0xfe) !== 0xf8 || (bytes[3] & 1) !== 0) return undefined;
  const [sizeCode, rateCode, channels, depth] = [bytes[2] >>> 4, bytes[2] & 15, bytes[3] >>> 4, (bytes[3] >>> 1) & 7];
  if (sizeCode === 0 || rateCode === 15 || channels > 10 || depth === 3) return undefined;
  let at = 5;
  for (let mask = 0x40; bytes[4] >= 0xc0 && (bytes[4] & mask) !== 0; mask >>>= 1) at++;
  let samples = BLOCK_SIZES[sizeCode];
  if (sizeCode === 6) samples = bytes[at++] + 1;
  if (sizeCode === 7) {
    samples = bytes[at] * 256 + bytes[at + 1] + 1;
    at += 2;
  }
  at += rateCode === 12 ? 1 : rateCode > 12 ? 2 : 0;
  if (crcOf(bytes, at, 8, 0x07) !== bytes[at]) return undefined;
  const bits = new Bits(bytes, (at + 1) * 8);
  const own = DEPTHS[depth] === 0 ? streamBits : DEPTHS[depth];
  const count = channels < 8 ? channels + 1 : 2;
  for (let i = 0; i < count; i++) {
    // The difference of two channels has one bit more.
    const isSide = channels >= 8 && (channels === 9 ? i === 0 : i === 1);
    if (!subframe(bits, own + (isSide ? 1 : 0), samples) || bits.isPast) return undefined;
  }
  const end = Math.ceil(bits.at / 8);
  const isSound = end + 2 <= bytes.length && crcOf(bytes, end, 16, 0x8005) === viewOf(bytes).getUint16(end, false);
  return isSound ? { length: end + 2, samples } : undefined;
}

/** Passes over one channel's samples; false where they make no sense. */
function subframe(bits: Bits, depth: number, samples: number): boolean {
  if (bits.take(1) !== 0) return false;
  const type = bits.take(6);
  let own = depth;
  if (bits.take(1) === 1) own -= bits.unary() + 1;
  if (own < 1) return false;
  if (type === 0) bits.at += own;
  else if (type === 1) bits.at += own * samples;
  else if (type >= 8 && type <= 12) {
    bits.at += own * (type - 8);
    return residual(bits, type - 8, samples);
  } else if (type >= 32) {
    const order = type - 31;
    bits.at += own * order;
    const precision = bits.take(4) + 1;
    if (precision === 16) return false;
    bits.at += 5 + precision * order;
    return residual(bits, order, samples);
  } else return false;
  return true;
}

function residual(bits: Bits, order: number, samples: number): boolean {
  const method = bits.take(2);
  const parts = 2 ** bits.take(4);
  const width = method === 0 ? 4 : 5;
  if (method > 1 || samples % parts !== 0 || samples / parts < order) return false;
  for (let part = 0; part < parts; part++) {
    const n = samples / parts - (part === 0 ? order : 0);
    const parameter = bits.take(width);
    if (parameter === 2 ** width - 1) {
      const raw = bits.take(5);
      bits.at += raw * n;
    } else
      for (let i = 0; i < n; i++) {
        bits.unary();
        bits.at += parameter;
        if (bits.isPast) return false;
      }
  }
  return true;
}

const tables = new Map<number, Uint32Array>();

/** The checksum of the first `end` bytes with a polynomial of `width` bits, highest bit first. */
function crcOf(bytes: Uint8Array, end: number, width: 8 | 16, polynomial: number): number {
  const [top, mask] = [2 ** (width - 1), 2 ** width - 1];
  let table = tables.get(width);
  if (table === undefined) {
    table = new Uint32Array(256).map((_, i) => {
      let value = i << (width - 8);
      for (let bit = 0; bit < 8; bit++) value = (value & top) !== 0 ? ((value << 1) ^ polynomial) & mask : value << 1;
      return value;
    });
    tables.set(width, table);
  }
  let crc = 0;
  for (let i = 0; i < end; i++) crc = ((crc << 8) & mask) ^ table[((crc >>> (width - 8)) ^ bytes[i]) & 0xff];
  return crc;
}

export const wavpack: Carver = {
  extension: 'wv',
  title: 'WavPack sound',
  keys: [text(0, 'wvpk')],
  most: 4 * GIB,
  async examine(file) {
    const total = await file.number(12, 4);
    let at = 0;
    for (let end = 0; ; ) {
      const [size, version] = [(await file.number(at + 4, 4)) + 8, await file.number(at + 8, 2)];
      const isBlock = (await file.text(at, 4)) === 'wvpk' && size >= 32 && size <= 2 * MIB && version >> 8 === 4;
      const [index, samples] = [await file.number(at + 16, 4), await file.number(at + 20, 4)];
      // Blocks of further channels repeat the place of the first.
      const isNext = isBlock && at + size <= file.size && (samples === 0 || index <= end);
      if (!isNext) return at === 0 ? undefined : end >= total && total > 0 ? whole(at) : cut(at);
      end = Math.max(end, index + samples);
      at += size;
    }
  },
};

const LEAST_FRAMES = 8;

export const aac: Carver = {
  extension: 'aac',
  title: 'AAC sound',
  keys: ['fff1', 'fff9'].map((hex) => ({ offset: 0, bytes: [...Buffer.from(hex, 'hex')] })),
  most: GIB,
  begins: (head) => {
    const first = adtsOf(head, 0);
    return first !== undefined && (first.length + 7 > head.length || adtsOf(head, first.length)?.kind === first.kind);
  },
  async examine(file) {
    let at = 0;
    let kind = -1;
    for (let frames = 0; ; frames++) {
      const head = await file.bytes(at, 7);
      const frame = head && adtsOf(head, 0);
      if (frame === undefined || (frames > 0 && frame.kind !== kind) || at + frame.length > file.size)
        return frames < LEAST_FRAMES ? undefined : ((await endsAt(file, at)) ? whole : cut)(at, { facts: { frames } });
      kind = frame.kind;
      at += frame.length;
    }
  },
};

function adtsOf(bytes: Uint8Array, at: number): { length: number; kind: number } | undefined {
  if (at + 7 > bytes.length || bytes[at] !== 0xff || (bytes[at + 1] & 0xf6) !== 0xf0) return undefined;
  const length = ((bytes[at + 3] & 3) << 11) | (bytes[at + 4] << 3) | (bytes[at + 5] >>> 5);
  const rate = (bytes[at + 2] >>> 2) & 15;
  return length < 8 || rate > 12
    ? undefined
    : { length, kind: bytes[at + 1] * 65_536 + (bytes[at + 2] & 0xfd) * 256 + (bytes[at + 3] & 0xc0) };
}

/** Chunks of IFF, each behind its name and length, big end first: AIFF and DjVu. */
export const iff: Carver = {
  extension: 'aiff',
  title: 'AIFF sound or DjVu document',
  keys: [text(0, 'FORM'), text(0, 'AT&TFORM')],
  most: 4 * GIB,
  begins: (head) =>
    /^(FORM....(AIFF|AIFC|8SVX|ILBM)|AT&TFORM....DJV[UMI])/s.test(Buffer.from(head.subarray(0, 16)).toString('latin1')),
  async examine(file) {
    const from = (await file.text(0, 1)) === 'A' ? 4 : 0;
    const [size, kind] = [await file.number(from + 4, 4, 'big'), await file.text(from + 8, 4)];
    const extension = { DJVU: 'djvu', DJVM: 'djvu', DJVI: 'djvu', ILBM: 'iff', '8SVX': '8svx' }[kind] ?? 'aiff';
    const end = from + 8 + size;
    let at = from + 12;
    while (at + 8 <= end) {
      const [name, length] = [await file.text(at, 4), await file.number(at + 4, 4, 'big')];
      if (!/^[ -~]{4}$/.test(name) || Number.isNaN(length)) return cut(Math.min(at, file.size), { extension });
      at += 8 + length + (length % 2);
    }
    // The last part of a DjVu document need not be filled up.
    return Math.abs(at - end) <= 1 && end <= file.size
      ? whole(end, { extension })
      : cut(Math.min(from + 12, file.size), { extension });
  },
};
