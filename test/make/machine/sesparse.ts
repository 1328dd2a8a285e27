/** A seSparse delta with one grain, by the tables of vmdk.md 5. */
export function seSparse(sectors: number, grain: number, byte: number): Uint8Array {
  const out = new Uint8Array((4096 + 1 + 64 + 8) * 512);
  const view = new DataView(out.buffer);
  const u64 = (at: number, low: number, high = 0): void => {
    view.setUint32(at, low, true);
    view.setUint32(at + 4, high, true);
  };
  const fields: [number, number, number?][] = [
    [0, 0xcafebabe],
    [8, 1, 2],
    [16, sectors],
    [24, 8],
    [32, 64],
    ...[1, 1, 2, 2, 2048, 2048, 4096, 1, 4097, 64, 4161, 0, 4161, 0, 4161, 8].map((n, i): [number, number] => [
      80 + i * 8,
      n,
    ]),
  ];
  for (const [at, low, high] of fields) u64(at, low, high);
  u64(512, 0xcafecafe);
  u64(4096 * 512, 0, 0x10000000);
  u64(4097 * 512 + grain * 8, 0, 0x30000000);
  out.fill(byte, 4161 * 512);
  return out;
}
