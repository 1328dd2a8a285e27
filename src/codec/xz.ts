/** xz: streams of blocks, unpacked piece by piece. Only what is packed with LZMA2 alone. Source: the .xz file format. */
import { crc32 } from 'node:zlib';
import type { Codec } from '../core/made.ts';
import { viewOf } from '../core/struct.ts';
import { Lzma, type Window } from './lzma.ts';
import { SHARED } from './shared-ids.ts';

const STREAM_HEADER = 12;
const BLOCK_SIZES = 0xc0;
const FILTER_LZMA2 = 0x21;
/** Bytes of the check behind a block, by its kind. */
const CHECKS = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];
const CHECK_NONE = 0;
const CHECK_CRC32 = 1;
/** A window that is larger belongs to no file that a machine starts with. */
const MAX_WINDOW: number = 64 * 1024 * 1024;
/** What one piece of LZMA2 gives at most. */
const MAX_PIECE: number = 2 * 1024 * 1024;

const NOTHING = new Uint8Array(0);

/**
 * One stream as a unit: all of it, or nothing. What has a check of a kind that is not compared is not believed: it may be
 * disproved by it.
 */
export const xzUnit: Codec = {
  name: 'LZMA',
  shared: [SHARED.xz],
  make(input, size) {
    const kind = input[7] & 0xf;
    if (kind !== CHECK_NONE && kind !== CHECK_CRC32) return NOTHING;
    const out = new Uint8Array(size);
    const pieces = unpackXz(input);
    let n = 0;
    for (let next = pieces.next(); ; next = pieces.next()) {
      if (next.done === true) return next.value ? out.subarray(0, n) : NOTHING;
      if (n + next.value.length > size) return NOTHING;
      out.set(next.value, n);
      n += next.value.length;
    }
  },
};

/** Unpacks the first stream of `bytes`. Each piece is good until the next one; the last answer is false where it is damaged. */
export function* unpackXz(bytes: Uint8Array): Generator<Uint8Array, boolean> {
  if (bytes.length < STREAM_HEADER) return false;
  const view = viewOf(bytes);
  const kind = bytes[7] & 0xf;
  if (bytes[6] !== 0 || bytes[7] > 0xf || crc32(bytes.subarray(6, 8)) !== view.getUint32(8, true)) return false;
  let at = STREAM_HEADER;
  let room = new Uint8Array(0);
  while (at < bytes.length && bytes[at] !== 0) {
    const head = blockHeader(bytes, at);
    if (head === undefined) return false;
    const from = at + head.length;
    // The same room for all blocks, of which there may be very many.
    const needed = 2 * (head.window + MAX_PIECE);
    if (room.length < needed) room = new Uint8Array(needed);
    const window: Window = { bytes: room, at: 0, total: 0 };
    const end = yield* unpackBlock(bytes, from, { window, size: head.window }, kind === CHECK_CRC32);
    if (end === undefined) return false;
    at = from + Math.ceil((end - from) / 4) * 4 + CHECKS[kind];
  }
  return at < bytes.length;
}

/** The header of a block; undefined where it is damaged, or its bytes were changed before they were packed. */
function blockHeader(bytes: Uint8Array, at: number): { length: number; window: number } | undefined {
  const length = (bytes[at] + 1) * 4;
  if (at + length > bytes.length) return undefined;
  const head = bytes.subarray(at, at + length);
  if (crc32(head.subarray(0, length - 4)) !== viewOf(head).getUint32(length - 4, true)) return undefined;
  const flags = head[1];
  if ((flags & ~BLOCK_SIZES) !== 0) return undefined;
  let next = 2;
  // The two sizes, where they stand there, are numbers of up to nine bytes.
  for (const size of [0x40, 0x80]) {
    if ((flags & size) === 0) continue;
    while (next < length && head[next] >= 0x80) next++;
    next++;
  }
  if (head[next] !== FILTER_LZMA2 || head[next + 1] !== 1 || head[next + 2] > 40) return undefined;
  const bits = head[next + 2];
  const window = bits === 40 ? 2 ** 32 : (2 | (bits & 1)) * 2 ** ((bits >> 1) + 11);
  return window > MAX_WINDOW ? undefined : { length, window };
}

/** The pieces of one block; answers where it ends. */
function* unpackBlock(
  bytes: Uint8Array,
  from: number,
  { window, size }: { window: Window; size: number },
  hasSum: boolean,
): Generator<Uint8Array, number | undefined> {
  const lzma = new Lzma();
  let at = from;
  let sum = 0;
  while (at < bytes.length) {
    const control = bytes[at];
    if (control === 0) {
      const check = from + Math.ceil((at + 1 - from) / 4) * 4;
      if (!hasSum) return at + 1;
      return check + 4 <= bytes.length && viewOf(bytes).getUint32(check, true) === sum ? at + 1 : undefined;
    }
    if (window.at + MAX_PIECE > window.bytes.length) {
      window.bytes.copyWithin(0, window.at - size, window.at);
      window.at = size;
    }
    const begin = window.at;
    at = control < 0x80 ? plain(bytes, at, control, window) : packed(bytes, at, control, window, lzma);
    if (at < 0) return undefined;
    const piece = window.bytes.subarray(begin, window.at);
    if (hasSum) sum = crc32(piece, sum);
    yield piece;
  }
  return undefined;
}

/** A piece that stands as it is; answers where the next one starts, -1 where it is damaged. */
function plain(bytes: Uint8Array, at: number, control: number, window: Window): number {
  const from = at + 3;
  if (control > 2 || from > bytes.length) return -1;
  const length = (bytes[at + 1] << 8) + bytes[at + 2] + 1;
  if (from + length > bytes.length) return -1;
  if (control === 1) window.total = 0;
  window.bytes.set(bytes.subarray(from, from + length), window.at);
  window.at += length;
  window.total += length;
  return from + length;
}

function packed(bytes: Uint8Array, at: number, control: number, window: Window, lzma: Lzma): number {
  const hasProperties = control >= 0xc0;
  const from = at + (hasProperties ? 6 : 5);
  if (from > bytes.length) return -1;
  const length = ((control & 0x1f) << 16) + (bytes[at + 1] << 8) + bytes[at + 2] + 1;
  const taken = (bytes[at + 3] << 8) + bytes[at + 4] + 1;
  if (from + taken > bytes.length) return -1;
  if (control >= 0xe0) window.total = 0;
  if (hasProperties && !lzma.set(bytes[at + 5])) return -1;
  if (!hasProperties && control >= 0xa0) lzma.reset();
  return lzma.unpack(bytes.subarray(from, from + taken), window, length) ? from + taken : -1;
}
