/** Bits of a stream, the highest of each byte first. */

export class Bits {
  readonly #bytes: Uint8Array;
  /** In bits from the start of the bytes. */
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  get isPast(): boolean {
    return this.at > this.#bytes.length * 8;
  }

  /** The next `n` bits, 1 to 24; zeros behind the end. */
  take(n: number): number {
    const value = this.peek(n);
    this.at += n;
    return value;
  }

  /** As take, and stays where it is. */
  peek(n: number): number {
    const i = this.at >>> 3;
    const b = this.#bytes;
    const word = ((b[i] << 24) | (b[i + 1] << 16) | (b[i + 2] << 8) | b[i + 3]) >>> 0;
    return ((word << (this.at & 7)) >>> 0) >>> (32 - n);
  }

  /** Counts zeros up to the next one, which is passed, too. */
  unary(): number {
    const from = this.at;
    while (!this.isPast) {
      const rest = (this.#bytes[this.at >>> 3] << (this.at & 7)) & 0xff;
      if (rest !== 0) {
        this.at += Math.clz32(rest) - 24;
        break;
      }
      this.at = (this.at | 7) + 1;
    }
    const zeros = this.at - from;
    this.at++;
    return zeros;
  }
}
