/** Identities of written disks: they follow from what is written, so that the same disk gives the same file. */

/** Fills 16 bytes with a version-8 UUID (made by a rule of its own) of two numbers. */
export function identity(out: Uint8Array, a: number, b: number): void {
  let state = (0x9e3779b9 ^ Math.imul(a % 2 ** 32, 0x85ebca6b) ^ Math.imul(b % 2 ** 32, 0xc2b2ae35)) >>> 0;
  for (let i = 0; i < 16; i++) {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + i) >>> 0;
    out[i] = state >>> 24;
  }
  out[7] = (out[7] & 0x0f) | 0x80;
  out[8] = (out[8] & 0x3f) | 0x80;
}
