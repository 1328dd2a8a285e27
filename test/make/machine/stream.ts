/** Stream-optimized disks as VMware's tools write them: markers, tables behind their grains, a footer (vmdk.md 3.1). */
import { deflateSync } from 'node:zlib';
import { Bytes, roundUp } from '../bytes.ts';

const SECTOR = 512;
const GRAIN = 65536;
const ENTRIES = 512;

export interface MadeStream {
  bytes: Uint8Array;
  /** Where each grain starts, by its number. */
  grains: Map<number, number>;
}

function head(sectors: number, gd: number): Bytes {
  const b = new Bytes(SECTOR).text(0, 'KDMV').u32(4, 3).u32(8, 0x30001).u64(12, sectors).u64(20, 128);
  b.u64(28, 1)
    .u64(36, 20)
    .u32(44, ENTRIES)
    .u64(64, 128)
    .raw(73, new Uint8Array([10, 32, 13, 10]))
    .u16(77, 1);
  return gd < 0 ? b.pair(56, 0xffffffff, 0xffffffff) : b.u64(56, gd);
}

/** A disk of these bytes. */
export function streamDisk(raw: Uint8Array, name: string): MadeStream {
  const sectors = Math.ceil(raw.length / SECTOR);
  const out: Uint8Array[] = [];
  let at = 0;
  const add = (bytes: Uint8Array): number => {
    const padded = new Uint8Array(roundUp(bytes.length, SECTOR));
    padded.set(bytes);
    out.push(padded);
    at += padded.length;
    return at - padded.length;
  };
  const mark = (count: number, type: number): void => void add(new Bytes(SECTOR).u64(0, count).u32(12, type).data);
  add(head(sectors, -1).data);
  const lines = [
    '# Disk DescriptorFile',
    'version=1',
    'CID=7e3af0c1',
    'parentCID=ffffffff',
    'createType="streamOptimized"',
  ];
  lines.push(
    '',
    '# Extent description',
    `RW ${sectors} SPARSE "${name}"`,
    '',
    '#DDB',
    '',
    'ddb.adapterType = "lsilogic"',
  );
  add(new Bytes(127 * SECTOR).text(0, `${lines.join('\n')}\n`).data);
  const grains = new Map<number, number>();
  const directory = new Bytes(Math.ceil(sectors / (128 * ENTRIES)) * 4);
  for (let t = 0; t * ENTRIES * GRAIN < raw.length; t++) {
    const table = new Bytes(ENTRIES * 4);
    let isUsed = false;
    for (let i = 0; i < ENTRIES; i++) {
      const number = t * ENTRIES + i;
      const part = raw.subarray(number * GRAIN, (number + 1) * GRAIN);
      if (part.every((byte) => byte === 0)) continue;
      const whole = new Uint8Array(GRAIN);
      whole.set(part);
      const packed = deflateSync(whole, { level: 1 });
      const place = add(
        new Bytes(12 + packed.length)
          .u64(0, number * 128)
          .u32(8, packed.length)
          .raw(12, packed).data,
      );
      table.u32(i * 4, place / SECTOR);
      grains.set(number, place);
      isUsed = true;
    }
    if (!isUsed) continue;
    mark(4, 1);
    directory.u32(t * 4, add(table.data) / SECTOR);
  }
  mark(Math.ceil(directory.data.length / SECTOR), 2);
  const gd = add(directory.data) / SECTOR;
  mark(1, 3);
  add(head(sectors, gd).data);
  mark(0, 0);
  return { bytes: new Uint8Array(Buffer.concat(out)), grains };
}
