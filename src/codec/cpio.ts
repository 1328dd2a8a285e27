/** cpio archives in the way that kernels start with (newc): the names in them, as their bytes go by. */

const HEADER = 110;
const MAGICS = ['070701', '070702'];
const SIZE_AT = 54;
const NAME_SIZE_AT = 94;
const MAX_NAME = 4096;
const LAST = 'TRAILER!!!';

/** Hands over the names of archives that stand one behind the other, with zeros between them. */
export class CpioNames {
  readonly #see: (name: string) => void;
  #held: Uint8Array = new Uint8Array(0);
  /** Bytes of a file that are still to go by. */
  #skip = 0;
  #isBetween = true;
  #isDamaged = false;
  #archives = 0;

  constructor(see: (name: string) => void) {
    this.#see = see;
  }

  /** Archives that ended as they should. */
  get archives(): number {
    return this.#archives;
  }

  /** Whether all that was fed so far was archives, and the last of them ended. */
  get isWhole(): boolean {
    return this.#isBetween && !this.#isDamaged && this.#archives > 0;
  }

  /** Takes the next bytes. Answers how many of them belong to archives: fewer than given where something else begins. */
  feed(piece: Uint8Array): number {
    let at = 0;
    while (at < piece.length && !this.#isDamaged) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, piece.length - at);
        this.#skip -= step;
        at += step;
        continue;
      }
      if (this.#isBetween && this.#held.length === 0) {
        while (at < piece.length && piece[at] === 0) at++;
        if (at === piece.length) return at;
        if (piece[at] !== 0x30 /* 0 */) return at;
      }
      at += this.#entry(piece, at);
    }
    return this.#isDamaged ? at : piece.length;
  }

  /** Takes as much as the header and the name of a file need; answers how much that was. */
  #entry(piece: Uint8Array, at: number): number {
    const before = this.#held.length;
    const wanted = this.#needed() - before;
    const taken = piece.subarray(at, at + wanted);
    const held = new Uint8Array(before + taken.length);
    held.set(this.#held);
    held.set(taken, before);
    this.#held = held;
    if (taken.length < wanted) return taken.length;
    if (held.length === HEADER) {
      const isHeader = MAGICS.includes(text(held, 0, 6));
      const size = field(held, NAME_SIZE_AT);
      this.#isDamaged = !isHeader || !(size > 0 && size <= MAX_NAME) || Number.isNaN(field(held, SIZE_AT));
      this.#isBetween = false;
      return taken.length;
    }
    this.#named(held);
    return taken.length;
  }

  /** Bytes that have to be there before anything can be said of them. */
  #needed(): number {
    return this.#held.length < HEADER ? HEADER : padded(HEADER + field(this.#held, NAME_SIZE_AT));
  }

  #named(held: Uint8Array): void {
    const name = text(held, HEADER, field(held, NAME_SIZE_AT) - 1);
    this.#skip = padded(field(held, SIZE_AT));
    this.#held = new Uint8Array(0);
    this.#isBetween = name === LAST;
    if (name === LAST) this.#archives++;
    else this.#see(name);
  }
}

function padded(length: number): number {
  return Math.ceil(length / 4) * 4;
}

function text(bytes: Uint8Array, at: number, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString('latin1');
}

/** A number of eight hexadecimal digits; NaN where there are others. */
function field(bytes: Uint8Array, at: number): number {
  const digits = text(bytes, at, 8);
  return /^[0-9a-fA-F]{8}$/.test(digits) ? Number.parseInt(digits, 16) : Number.NaN;
}
