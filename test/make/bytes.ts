/** A record of little-endian fields, filled by offset as the format tables give them. */
export class Bytes {
  readonly data: Uint8Array;
  readonly #view: DataView;

  constructor(length: number) {
    this.data = new Uint8Array(length);
    this.#view = new DataView(this.data.buffer);
  }

  u8(at: number, value: number): this {
    this.#view.setUint8(at, value);
    return this;
  }

  u16(at: number, value: number): this {
    this.#view.setUint16(at, value, true);
    return this;
  }

  u32(at: number, value: number): this {
    this.#view.setUint32(at, value, true);
    return this;
  }

  /** A 64-bit field whose value is a plain number below 2**53. */
  u64(at: number, value: number): this {
    return this.pair(at, value >>> 0, Math.floor(value / 0x1_0000_0000));
  }

  /** A 64-bit field given as its two halves. */
  pair(at: number, low: number, high: number): this {
    this.#view.setUint32(at, low, true);
    this.#view.setUint32(at + 4, high, true);
    return this;
  }

  raw(at: number, bytes: Uint8Array): this {
    this.data.set(bytes, at);
    return this;
  }

  /** UTF-8 text; the field is expected to be zero already. */
  text(at: number, text: string): this {
    return this.raw(at, utf8(text));
  }

  /** Sets bit `index` of the bitmap that starts at `at` (bit 0 is the lowest of the first byte). */
  bit(at: number, index: number): this {
    const byte = at + (index >>> 3);
    this.data[byte] = this.data[byte]! | (1 << (index & 7));
    return this;
  }
}

const encoder = new TextEncoder();

/** The UTF-8 bytes of a text. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Rounds up to a multiple of `unit`. */
export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
