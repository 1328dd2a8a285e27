/** One chunk of an output: brought together from evidence, written where something lies, holes left as holes. */
import * as fs from 'node:fs';
import { sharedCodec } from '../codec/shared.ts';
import type { Fill, Layout } from './jobs.ts';

/** Stands in gaps with --fill pattern, repeated from offset 0 of the file on. 64 bytes. */
export const PATTERN: Buffer = Buffer.from(
  '[SALVOR: these bytes could not be recovered; they are a filler]\n',
  'latin1',
);

/** Bytes from the start of the chunk, [start, end) each, that are written; the rest is a hole. */
export type Writes = number[];

/** Reads the chunks of one layout, one after the other. */
export class ChunkReader {
  readonly #layout: Layout;
  readonly #fill: Fill;
  #data = 0;
  #fills = 0;
  #made = 0;

  constructor(layout: Layout, fill: Fill) {
    this.#layout = layout;
    this.#fill = fill;
  }

  /** Fills `into` with the bytes from `start` of the output on. Undefined where evidence could not be read. */
  read(start: number, into: Uint8Array): Writes | undefined {
    const { data, fills, made } = this.#layout;
    const writes: Writes = [];
    const end = start + into.length;
    let at = start;
    while (at < end) {
      const nextData = this.#data < data.length ? data[this.#data] : Number.POSITIVE_INFINITY;
      const nextFill = this.#fills < fills.length ? fills[this.#fills] : Number.POSITIVE_INFINITY;
      const nextMade = this.#made < made.length ? made[this.#made] : Number.POSITIVE_INFINITY;
      const piece = Math.min(nextData, nextFill, nextMade);
      const from = Math.max(at, piece);
      if (from >= end) break;
      const length =
        piece === nextData ? data[this.#data + 1] : piece === nextFill ? fills[this.#fills + 1] : made[this.#made + 1];
      const till = Math.min(end, piece + length);
      into.fill(0, at - start, from - start);
      const target = into.subarray(from - start, till - start);
      if (piece === nextFill) fillGap(target, from, this.#fill);
      else if (piece === nextMade) {
        if (!makeInto(made, this.#made, from - piece, target)) return undefined;
      } else if (!readAll(data[this.#data + 2], target, data[this.#data + 3] + (from - piece))) return undefined;
      addWrite(writes, from - start, till - start);
      at = till;
      if (till < piece + length) break;
      if (piece === nextData) this.#data += 4;
      else if (piece === nextFill) this.#fills += 2;
      else this.#made = behindMade(made, this.#made);
    }
    into.fill(0, at - start);
    return writes;
  }
}

/** Room for what something is made of, and the largest buffer in which the runtime puts several small ones. */
let scratch = new Uint8Array(256 * 1024);
const SHARED_ROOM = 64 * 1024;

/** Where the entry of `made` ends that begins at `i`. */
export function behindMade(made: Float64Array, i: number): number {
  const inputs = i + 5 + made[i + 4];
  return inputs + 1 + 3 * made[inputs];
}

/** Makes what the entry of `made` at `i` says, and puts what lies `skip` bytes into it on into `target`. */
function makeInto(made: Float64Array, i: number, skip: number, target: Uint8Array): boolean {
  const [inner, size, numbers] = made.subarray(i + 2, i + 5);
  const inputs = i + 5 + numbers;
  const end = behindMade(made, i);
  let length = 0;
  for (let at = inputs + 1; at < end; at += 3) length += made[at + 2];
  if (scratch.length < length) scratch = new Uint8Array(length * 2);
  const input = scratch.subarray(0, length);
  for (let at = inputs + 1, from = 0; at < end; from += made[at + 2], at += 3)
    if (!readAll(made[at], input.subarray(from, from + made[at + 2]), made[at + 1])) return false;
  const bytes = sharedCodec([...made.subarray(i + 5, inputs)]).make(input, size);
  const part = bytes.subarray(inner + skip, inner + skip + target.length);
  // Where less comes out than was said, the rest is missing: whoever knows how to say so reads it again.
  if (part.length < target.length) return false;
  target.set(part);
  // The collector is slow to see what hangs on small objects. Small results lie in a buffer that others share.
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer !== scratch.buffer && buffer.byteLength > SHARED_ROOM) buffer.transfer(0);
  return true;
}

/** What stands in a gap; `at` is the offset in the file, so that a pattern goes on over chunks. */
export function fillGap(target: Uint8Array, at: number, fill: Fill): void {
  target.fill(0);
  if (fill !== 'pattern') return;
  for (let i = 0; i < target.length; ) {
    const from = (at + i) % PATTERN.length;
    const part = PATTERN.subarray(from, from + target.length - i);
    target.set(part, i);
    i += part.length;
  }
}

export function addWrite(writes: Writes, from: number, till: number): void {
  if (writes.length > 0 && writes[writes.length - 1] === from) writes[writes.length - 1] = till;
  else writes.push(from, till);
}

/** Writes the parts of a chunk that are no holes. Throws what the system throws. */
export function writeChunk(fd: number, chunk: Uint8Array, start: number, writes: Writes): void {
  for (let i = 0; i < writes.length; i += 2) {
    for (let at = writes[i]; at < writes[i + 1]; ) at += fs.writeSync(fd, chunk, at, writes[i + 1] - at, start + at);
  }
}

/** Fills all of `into`; false after an error or at an end that comes too early. */
export function readAll(fd: number, into: Uint8Array, at: number): boolean {
  try {
    for (let done = 0; done < into.length; ) {
      const got = fs.readSync(fd, into, done, into.length - done, at + done);
      if (got === 0) return false;
      done += got;
    }
    return true;
  } catch {
    return false;
  }
}

const ZEROS = Buffer.alloc(256 * 1024);

/**
 * Appends the steps of `bytes`, which start at `from`, that hold anything but zeros to `out`, as [start, end) one behind
 * the other. Steps begin at multiples of `step`.
 */
export function filledIn(bytes: Uint8Array, from: number, step: number, out: number[]): number[] {
  const end = from + bytes.length;
  for (let at = from; at < end; ) {
    const stop = Math.min(end, (Math.floor(at / step) + 1) * step);
    if (!isAllZeros(bytes.subarray(at - from, stop - from))) addWrite(out, at, stop);
    at = stop;
  }
  return out;
}

/** Whether there is nothing but zeros. */
export function isAllZeros(bytes: Uint8Array): boolean {
  // The first words tell of nearly all data that it is some.
  for (let i = 0; i < 16 && i < bytes.length; i++) if (bytes[i] !== 0) return false;
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const end = Math.min(bytes.length, at + ZEROS.length);
    if (ZEROS.compare(bytes, at, end, 0, end - at) !== 0) return false;
  }
  return true;
}
