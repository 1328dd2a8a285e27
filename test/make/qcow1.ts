/** QCOW images of version 1, written from the format's tables: header, L1 table, L2 tables, clusters. */
import { deflateRawSync } from 'node:zlib';

export interface Qcow1Spec {
  readonly size: number;
  readonly clusterBits: number;
  readonly l2Bits: number;
  /** What each cluster of the disk holds, by its number; none of the others is mapped. */
  readonly clusters: ReadonlyMap<number, Uint8Array>;
  /** Numbers of clusters that are compressed. */
  readonly compressed?: ReadonlySet<number>;
  readonly backing?: string;
}

/** The bytes of such an image. */
export function makeQcow1(spec: Qcow1Spec): Uint8Array {
  const { size, clusterBits, l2Bits, clusters, compressed = new Set<number>(), backing = '' } = spec;
  const cluster = 1 << clusterBits;
  const perTable = 1 << l2Bits;
  const entries = Math.ceil(size / cluster / perTable);
  const head = 48 + Math.ceil((entries * 8 + backing.length) / cluster) * cluster;
  const parts: { at: number; bytes: Uint8Array }[] = [];
  const first = Buffer.alloc(head);
  first.write('QFI\xfb', 0, 'latin1');
  first.writeUInt32BE(1, 4);
  if (backing !== '') {
    first.writeUInt32BE(48 + entries * 8, 12);
    first.writeUInt32BE(backing.length, 16);
    first.write(backing, 48 + entries * 8, 'latin1');
  }
  first.writeUInt32BE(1_600_000_000, 20);
  first.writeUInt32BE(Math.floor(size / 2 ** 32), 24);
  first.writeUInt32BE(size >>> 0, 28);
  first[32] = clusterBits;
  first[33] = l2Bits;
  first.writeUInt32BE(48, 44);
  let end = Math.ceil(head / cluster) * cluster;
  const tables = new Map<number, Buffer>();
  for (const [number, bytes] of [...clusters].sort((a, b) => a[0] - b[0])) {
    const slot = Math.floor(number / perTable);
    let table = tables.get(slot);
    if (table === undefined) {
      table = Buffer.alloc(perTable * 8);
      tables.set(slot, table);
      end = Math.ceil(end / cluster) * cluster;
      first.writeUInt32BE(end, 48 + slot * 8 + 4);
      parts.push({ at: end, bytes: table });
      end = Math.ceil((end + table.length) / cluster) * cluster;
    }
    const place = (number % perTable) * 8;
    const packed = compressed.has(number) ? deflateRawSync(bytes, { windowBits: 12 }) : bytes;
    if (!compressed.has(number)) end = Math.ceil(end / cluster) * cluster;
    else {
      // The length stands between bit 63 and the offset, which takes the lowest 63 - clusterBits bits.
      const high = 0x80000000 + packed.length * 2 ** (31 - clusterBits);
      table.writeUInt32BE(high, place);
    }
    table.writeUInt32BE(end, place + 4);
    parts.push({ at: end, bytes: packed });
    end += packed.length;
  }
  const out = new Uint8Array(Math.ceil(end / cluster) * cluster);
  out.set(first);
  for (const { at, bytes } of parts) out.set(bytes, at);
  return out;
}
