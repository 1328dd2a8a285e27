/** Writes VHD files, from vhd.md alone. Big-endian. */
import type { Disk, MadeDisk } from './content.ts';

export interface VhdSpec {
  readonly disk: Disk;
  /** 2 fixed, 3 dynamic, 4 differencing. */
  readonly type?: number;
  readonly id?: Uint8Array;
  readonly parent?: { readonly id: Uint8Array; readonly name: string };
  /** Whether a sector of the disk is in this file; all of a stored block by default. */
  has?(sector: number): boolean;
  /** A footer of 511 bytes, as the first hosts wrote. */
  readonly short?: boolean;
  /** Bytes to put into sectors that are not in this file. */
  readonly stale?: number;
}

const sum = (raw: Uint8Array, own: number): number => {
  let out = 0;
  for (const [i, byte] of raw.entries()) out += i >= own && i < own + 4 ? 0 : byte;
  return ~out >>> 0;
};

export function makeVhd(spec: VhdSpec): MadeDisk {
  const { disk, type = 3 } = spec;
  const footer = footerOf(spec, type);
  const tail = spec.short ? footer.subarray(0, 511) : footer;
  if (type === 2) {
    const parts = [{ name: 'footer', at: disk.size, length: tail.length }];
    return { bytes: Buffer.concat([disk.raw, tail]), parts };
  }
  const count = Math.ceil(disk.size / disk.block);
  const tableLength = Math.ceil((4 * count) / 512) * 512;
  const nameAt = 1536 + tableLength;
  const header = headerOf(spec, count, nameAt);
  const name = Buffer.alloc(spec.parent ? 512 : 0);
  name.write(`.\\${spec.parent?.name ?? ''}`, 0, 'utf16le');
  const bitmapLength = Math.ceil(disk.block / 512 / 8 / 512) * 512;
  const first = nameAt + name.length;
  const out = Buffer.alloc(first + disk.order.length * (bitmapLength + disk.block) + tail.length);
  out.set(footer, 0);
  out.set(header, 512);
  out.fill(0xff, 1536, 1536 + tableLength);
  out.set(name, nameAt);
  for (const [place, i] of disk.order.entries()) {
    const at = first + place * (bitmapLength + disk.block);
    out.writeUInt32BE(at / 512, 1536 + 4 * i);
    for (let s = 0; s < disk.block / 512; s++) {
      const sector = i * (disk.block / 512) + s;
      const to = at + bitmapLength + s * 512;
      if (spec.has === undefined || spec.has(sector)) {
        out[at + (s >> 3)] |= 0x80 >> (s & 7);
        out.set(disk.raw.subarray(sector * 512, (sector + 1) * 512), to);
      } else out.fill(spec.stale ?? 0, to, to + 512);
    }
  }
  out.set(tail, out.length - tail.length);
  const parts = [
    { name: 'footer', at: out.length - tail.length, length: tail.length },
    { name: 'copy', at: 0, length: 512 },
    { name: 'header', at: 512, length: 1024 },
    { name: 'table', at: 1536, length: 4 * count },
    { name: 'bitmap', at: first, length: bitmapLength },
  ];
  return { bytes: out, parts };
}

function footerOf(spec: VhdSpec, type: number): Buffer {
  const out = Buffer.alloc(512);
  out.write('conectix', 0, 'latin1');
  out.writeUInt32BE(2, 8);
  out.writeUInt32BE(0x10000, 12);
  out.fill(0xff, 16, 24);
  if (type !== 2) out.writeBigUInt64BE(BigInt(512), 16);
  out.write('win ', 28, 'latin1');
  out.write('Wi2k', 36, 'latin1');
  out.writeBigUInt64BE(BigInt(spec.disk.size), 40);
  out.writeBigUInt64BE(BigInt(spec.disk.size), 48);
  out.writeUInt16BE(100, 56);
  out.set([16, 63], 58);
  out.writeUInt32BE(type, 60);
  out.set(spec.id ?? Buffer.alloc(16, 7), 68);
  out.writeUInt32BE(sum(out, 64), 64);
  return out;
}

function headerOf(spec: VhdSpec, count: number, nameAt: number): Buffer {
  const out = Buffer.alloc(1024);
  out.write('cxsparse', 0, 'latin1');
  out.fill(0xff, 8, 16);
  out.writeBigUInt64BE(BigInt(1536), 16);
  out.writeUInt32BE(0x10000, 24);
  out.writeUInt32BE(count, 28);
  out.writeUInt32BE(spec.disk.block, 32);
  if (spec.parent !== undefined) {
    out.set(spec.parent.id, 40);
    out.set(Buffer.from(spec.parent.name, 'utf16le').swap16(), 64);
    out.write('W2ru', 576, 'latin1');
    out.writeUInt32BE(1, 580);
    out.writeUInt32BE(2 * (spec.parent.name.length + 2), 584);
    out.writeBigUInt64BE(BigInt(nameAt), 592);
  }
  out.writeUInt32BE(sum(out, 36), 36);
  return out;
}
