/** UUIDs the way VMware writes them. Source: vmfs.md section 1.2. */

/** Text of 16 raw bytes: two little-endian words, a half-word and an Ethernet address. */
export function vmwareUuid(raw: Uint8Array): string {
  const le = (at: number, n: number): string =>
    Array.from({ length: n }, (_, i) => raw[at + n - 1 - i].toString(16).padStart(2, '0')).join('');
  const mac = Array.from(raw.subarray(10, 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${le(0, 4)}-${le(4, 4)}-${le(8, 2)}-${mac}`;
}
