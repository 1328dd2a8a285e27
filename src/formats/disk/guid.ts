/** Identifiers of disks as texts. Some formats store the first three fields little-endian, some write all bytes as they are. */

const hexOf = (bytes: Uint8Array, order: readonly number[]): string =>
  order.map((i) => bytes[i].toString(16).padStart(2, '0')).join('');

const dashed = (hex: string): string =>
  `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;

const MIXED = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
const PLAIN = MIXED.map((_, i) => i);

/** The text of 16 bytes whose first three fields are little-endian. */
export function guidText(bytes: Uint8Array): string {
  return dashed(hexOf(bytes, MIXED));
}

/** The text of 16 bytes in the order in which they lie. */
export function uuidText(bytes: Uint8Array): string {
  return dashed(hexOf(bytes, PLAIN));
}

/** Whether an identifier says something: all zeros stand for none. */
export function isSet(bytes: Uint8Array): boolean {
  return bytes.some((b) => b !== 0);
}
