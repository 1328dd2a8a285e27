/** Buffers that are used again: fresh memory costs as much as reading into it. */

/** Larger ones are made and dropped. */
const LARGEST = 1024 * 1024;
const SMALLEST = 4096;
/** Bytes that rest at most. */
const MAX_RESTING = 32 * 1024 * 1024;

export class Buffers {
  readonly #resting = new Map<number, Buffer[]>();
  #bytes = 0;

  /** A buffer of `length` bytes with anything in it, and whatever must be given back. */
  take(length: number): { buffer: Buffer; whole: Buffer } {
    const size = sizeOf(length);
    const whole = this.#resting.get(size)?.pop();
    if (whole !== undefined) this.#bytes -= size;
    const buffer = whole ?? Buffer.allocUnsafeSlow(size);
    return { buffer: buffer.subarray(0, length), whole: buffer };
  }

  /** Only for buffers that nothing reads any more. */
  give(whole: Buffer): void {
    if (whole.length > LARGEST || this.#bytes + whole.length > MAX_RESTING) return;
    const list = this.#resting.get(whole.length);
    if (list === undefined) this.#resting.set(whole.length, [whole]);
    else list.push(whole);
    this.#bytes += whole.length;
  }
}

function sizeOf(length: number): number {
  if (length > LARGEST) return length;
  let size = SMALLEST;
  while (size < length) size *= 2;
  return size;
}
