/** CRC-16 (polynomial 0x8005, reflected) as ext4's older group descriptors use it. */

const TABLE = table();

function table(): Uint16Array {
  const out = new Uint16Array(256);
  for (let i = 0; i < 256; i++) {
    let value = i;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ 0xa001 : value >>> 1;
    out[i] = value;
  }
  return out;
}

/** The state of the sum after `bytes`, from the state before. */
export function crc16Update(state: number, bytes: Uint8Array): number {
  let crc = state;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return crc;
}
