/** LZ4: frames, and the older ones that kernels are packed with. Source: the LZ4 block and frame formats. */
import { viewOf } from '../core/struct.ts';

const OLD_FRAME = 0x184c2102;
const FRAME = 0x184d2204;
const OLD_BLOCK: number = 8 * 1024 * 1024;
const WINDOW = 65_536;
const LEAST_MATCH = 4;
const PLAIN_BLOCK = 0x80000000;
/** Bytes of a block of a frame, by its number there. */
const BLOCKS = [0, 0, 0, 0, 65_536, 262_144, 1_048_576, 4_194_304];

/** Unpacks the first frame of `bytes`. Each piece is good until the next one; the last answer is false where it is damaged. */
export function* unpackLz4(bytes: Uint8Array): Generator<Uint8Array, boolean> {
  if (bytes.length < 8) return false;
  const magic = viewOf(bytes).getUint32(0, true);
  if (magic === OLD_FRAME) return yield* old(bytes);
  return magic === FRAME ? yield* frame(bytes) : false;
}

/** Blocks that know nothing of each other, up to what can be the length of none. */
function* old(bytes: Uint8Array): Generator<Uint8Array, boolean> {
  const view = viewOf(bytes);
  const out = new Uint8Array(OLD_BLOCK);
  let at = 4;
  while (at + 4 <= bytes.length) {
    const length = view.getUint32(at, true);
    if (length === 0 || length > OLD_BLOCK + OLD_BLOCK / 255 + 16) break;
    if (at + 4 + length > bytes.length) return false;
    const got = block(bytes.subarray(at + 4, at + 4 + length), out, 0);
    if (got < 0) return false;
    yield out.subarray(0, got);
    at += 4 + length;
    // All but the last one are full.
    if (got < OLD_BLOCK) break;
  }
  return at > 4;
}

function* frame(bytes: Uint8Array): Generator<Uint8Array, boolean> {
  const view = viewOf(bytes);
  const flags = bytes[4];
  const most = BLOCKS[(bytes[5] >> 4) & 7];
  if (flags >> 6 !== 1 || most === 0) return false;
  let at = 4 + 2 + ((flags & 8) === 0 ? 0 : 8) + ((flags & 1) === 0 ? 0 : 4) + 1;
  const sum = (flags & 0x10) === 0 ? 0 : 4;
  const isAlone = (flags & 0x20) !== 0;
  const out = new Uint8Array(WINDOW + most);
  let before = 0;
  while (at + 4 <= bytes.length) {
    const said = view.getUint32(at, true);
    if (said === 0) return true;
    const length = said % PLAIN_BLOCK;
    at += 4;
    if (length > most || at + length + sum > bytes.length) return false;
    const input = bytes.subarray(at, at + length);
    let end = before + length;
    if (said >= PLAIN_BLOCK) out.set(input, before);
    else end = block(input, out, before);
    if (end < 0) return false;
    yield out.subarray(before, end);
    // What the next block may refer to.
    before = isAlone ? 0 : Math.min(end, WINDOW);
    out.copyWithin(0, end - before, end);
    at += length + sum;
  }
  return false;
}

/** Unpacks one block behind what is in `out` already; where it ends, -1 where it is damaged. */
function block(input: Uint8Array, out: Uint8Array, from: number): number {
  let to = from;
  let at = 0;
  while (at < input.length) {
    const token = input[at++];
    let literals = token >> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255 && at < input.length) literals += more = input[at++];
    }
    if (at + literals > input.length || to + literals > out.length) return -1;
    out.set(input.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at === input.length) return to;
    const distance = input[at] + (input[at + 1] ?? 0) * 256;
    at += 2;
    let count = (token & 15) + LEAST_MATCH;
    if ((token & 15) === 15) {
      let more = 255;
      while (more === 255 && at < input.length) count += more = input[at++];
    }
    if (distance === 0 || distance > to || to + count > out.length) return -1;
    for (let i = 0; i < count; i++) out[to + i] = out[to + i - distance];
    to += count;
  }
  return to;
}
