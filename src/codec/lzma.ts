/** LZMA: literals and references whose bits are coded by ranges, within one window. Source: the LZMA specification. */

const STATES = 12;
const POSITIONS = 16;
/** Where the probabilities of each kind begin. */
const IS_MATCH = 0;
const IS_REP: number = IS_MATCH + STATES * POSITIONS;
const IS_REP_0: number = IS_REP + STATES;
const IS_REP_1: number = IS_REP_0 + STATES;
const IS_REP_2: number = IS_REP_1 + STATES;
const IS_REP_0_LONG: number = IS_REP_2 + STATES;
const SLOTS: number = IS_REP_0_LONG + STATES * POSITIONS;
const SPECIAL: number = SLOTS + 4 * 64;
const ALIGN: number = SPECIAL + 128;
const LENGTHS: number = ALIGN + 16;
const LENGTH_PROBS: number = 2 + 2 * POSITIONS * 8 + 256;
const REP_LENGTHS: number = LENGTHS + LENGTH_PROBS;
const LITERALS: number = REP_LENGTHS + LENGTH_PROBS;
const LITERAL_PROBS = 0x300;
const HALF = 1024;
const TOP = 2 ** 24;
const LEAST_MATCH = 2;

/** Bytes that were made, behind those that references may still reach. */
export interface Window {
  readonly bytes: Uint8Array;
  /** Where the next byte goes. */
  at: number;
  /** Bytes since the window was last emptied: as far as a reference may reach, and what positions are counted by. */
  total: number;
}

/** What is kept from one piece to the next. */
export class Lzma {
  #probs = new Uint16Array(0);
  #literalBits = 0;
  #literalMask = 0;
  #positionMask = 0;
  #state = 0;
  readonly #reps: [number, number, number, number] = [0, 0, 0, 0];
  #input: Uint8Array = new Uint8Array(0);
  #next = 0;
  #range = 0;
  #code = 0;

  /** Sets how many bits of what stands before make a difference; false for what no encoder may choose. */
  set(byte: number): boolean {
    const literal = byte % 9;
    const rest = Math.floor(byte / 9);
    const literalPosition = rest % 5;
    const position = Math.floor(rest / 5);
    if (position > 4 || literal + literalPosition > 4) return false;
    this.#literalBits = literal;
    this.#literalMask = (1 << literalPosition) - 1;
    this.#positionMask = (1 << position) - 1;
    this.#probs = new Uint16Array(LITERALS + (LITERAL_PROBS << (literal + literalPosition)));
    this.reset();
    return true;
  }

  reset(): void {
    this.#probs.fill(HALF);
    this.#state = 0;
    this.#reps.fill(0);
  }

  /** Unpacks one piece to exactly `length` bytes; false where it is damaged. */
  unpack(input: Uint8Array, window: Window, length: number): boolean {
    if (input.length < 5 || input[0] !== 0 || this.#probs.length === 0) return false;
    this.#input = input;
    this.#next = 5;
    this.#range = 0xffffffff;
    this.#code = ((input[1] << 24) | (input[2] << 16) | (input[3] << 8) | input[4]) >>> 0;
    const end = window.at + length;
    while (window.at < end) {
      const position = window.total & this.#positionMask;
      if (this.#bit(IS_MATCH + this.#state * POSITIONS + position) === 0) {
        this.#literal(window);
        continue;
      }
      const count = this.#match(position);
      const distance = this.#reps[0] + 1;
      // A reference never reaches across the end of a piece, nor behind what was made.
      if (distance > window.total || window.at + count > end || this.#next > input.length) return false;
      copy(window, distance, count);
    }
    return this.#next <= input.length;
  }

  #literal(window: Window): void {
    const { bytes, at, total } = window;
    const before = total === 0 ? 0 : bytes[at - 1];
    const context = ((total & this.#literalMask) << this.#literalBits) + (before >> (8 - this.#literalBits));
    const base = LITERALS + LITERAL_PROBS * context;
    let symbol = 1;
    if (this.#state >= 7) {
      let known = bytes[at - this.#reps[0] - 1] << 1;
      let offset = 0x100;
      while (symbol < 0x100) {
        const bit = known & offset;
        const got = this.#bit(base + offset + bit + symbol);
        symbol = (symbol << 1) | got;
        offset = got === 1 ? bit : offset & ~bit;
        known <<= 1;
      }
    } else while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(base + symbol);
    bytes[at] = symbol & 0xff;
    window.at = at + 1;
    window.total = total + 1;
    this.#state = this.#state < 4 ? 0 : this.#state < 10 ? this.#state - 3 : this.#state - 6;
  }

  /** The length of a reference; its distance is the first of those that are kept. */
  #match(position: number): number {
    const state = this.#state;
    const reps = this.#reps;
    if (this.#bit(IS_REP + state) === 0) {
      reps.copyWithin(1, 0, 3);
      this.#state = state < 7 ? 7 : 10;
      const length = this.#length(LENGTHS, position);
      reps[0] = this.#distance(Math.min(length, 3));
      return length + LEAST_MATCH;
    }
    if (this.#bit(IS_REP_0 + state) === 0) {
      if (this.#bit(IS_REP_0_LONG + state * POSITIONS + position) === 0) {
        this.#state = state < 7 ? 9 : 11;
        return 1;
      }
    } else {
      const which = this.#bit(IS_REP_1 + state) === 0 ? 1 : 2 + this.#bit(IS_REP_2 + state);
      const distance = reps[which];
      reps.copyWithin(1, 0, which);
      reps[0] = distance;
    }
    this.#state = state < 7 ? 8 : 11;
    return this.#length(REP_LENGTHS, position) + LEAST_MATCH;
  }

  #length(base: number, position: number): number {
    if (this.#bit(base) === 0) return this.#tree(base + 2 + position * 8, 3);
    if (this.#bit(base + 1) === 0) return 8 + this.#tree(base + 2 + POSITIONS * 8 + position * 8, 3);
    return 16 + this.#tree(base + 2 + 2 * POSITIONS * 8, 8);
  }

  #distance(kind: number): number {
    const slot = this.#tree(SLOTS + kind * 64, 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const high = (2 | (slot & 1)) * 2 ** bits;
    if (slot < 14) return high + this.#reverse(SPECIAL + high - slot, bits);
    let direct = 0;
    for (let i = 4; i < bits; i++) {
      this.#normalize();
      this.#range = this.#range >>> 1;
      const isSet = this.#code >= this.#range;
      if (isSet) this.#code = (this.#code - this.#range) >>> 0;
      direct = direct * 2 + Number(isSet);
    }
    return high + direct * 16 + this.#reverse(ALIGN, 4);
  }

  #tree(base: number, bits: number): number {
    let symbol = 1;
    for (let i = 0; i < bits; i++) symbol = (symbol << 1) | this.#bit(base + symbol);
    return symbol - (1 << bits);
  }

  #reverse(base: number, bits: number): number {
    let symbol = 1;
    let value = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.#bit(base + symbol);
      symbol = (symbol << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  #normalize(): void {
    if (this.#range >= TOP) return;
    this.#range = (this.#range << 8) >>> 0;
    // Past the end zeros are read; that it was passed is seen by whoever asks for more.
    this.#code = ((this.#code << 8) | (this.#input[this.#next++] ?? 0)) >>> 0;
  }

  #bit(at: number): 0 | 1 {
    this.#normalize();
    const chance = this.#probs[at];
    const bound = (this.#range >>> 11) * chance;
    if (this.#code < bound) {
      this.#range = bound;
      this.#probs[at] = chance + ((2048 - chance) >> 5);
      return 0;
    }
    this.#range -= bound;
    this.#code -= bound;
    this.#probs[at] = chance - (chance >> 5);
    return 1;
  }
}

function copy(window: Window, distance: number, count: number): void {
  const { bytes, at } = window;
  for (let i = 0; i < count; i++) bytes[at + i] = bytes[at + i - distance];
  window.at = at + count;
  window.total += count;
}
