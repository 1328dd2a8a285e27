/** Writes VDI files, from vdi.md alone. */
import type { Disk, MadeDisk } from './content.ts';

export interface VdiSpec {
  readonly disk: Disk;
  /** 1 dynamic, 2 fixed, 4 differencing. */
  readonly type?: number;
  /** 512, or 1 MiB as newer hosts. */
  readonly align?: number;
  readonly uuid?: Uint8Array;
  readonly modified?: Uint8Array;
  readonly link?: Uint8Array;
  readonly linkModified?: Uint8Array;
  /** The layout from before version 1.1. */
  readonly old?: boolean;
}

export function makeVdi(spec: VdiSpec): MadeDisk {
  const { disk, type = 1, align = 512, old = false } = spec;
  const count = Math.ceil(disk.size / disk.block);
  const mapAt = old ? 0x1a4 : align === 512 ? 512 : align;
  const mapEnd = mapAt + 4 * count;
  const dataAt = old ? mapEnd : Math.ceil(mapEnd / align) * align;
  const order = type === 2 ? Array.from({ length: count }, (_, i) => i) : disk.order;
  const out = Buffer.alloc(dataAt + order.length * disk.block);
  out.write('<<< Oracle VM VirtualBox Disk Image >>>\n', 0, 'latin1');
  out.writeUInt32LE(0xbeda107f, 0x40);
  out.writeUInt32LE(old ? 2 : 0x10001, 0x44);
  const ids = [spec.uuid, spec.modified, spec.link, spec.linkModified].map((id) => id ?? new Uint8Array(16));
  if (old) {
    out.writeUInt32LE(type, 0x48);
    out.writeBigUInt64LE(BigInt(disk.size), 0x160);
    for (const [i, value] of [disk.block, count, order.length].entries()) out.writeUInt32LE(value, 0x168 + 4 * i);
    out.set(ids[0], 0x174);
    out.set(ids[1], 0x184);
    out.set(ids[2], 0x194);
  } else {
    out.writeUInt32LE(0x190, 0x48);
    out.writeUInt32LE(type, 0x4c);
    out.writeUInt32LE(mapAt, 0x154);
    out.writeUInt32LE(dataAt, 0x158);
    out.writeUInt32LE(512, 0x168);
    out.writeBigUInt64LE(BigInt(disk.size), 0x170);
    for (const [i, value] of [disk.block, 0, count, order.length].entries()) out.writeUInt32LE(value, 0x178 + 4 * i);
    for (const [i, id] of ids.entries()) out.set(id, 0x188 + 16 * i);
  }
  for (let i = 0; i < count; i++) out.writeUInt32LE(0xffffffff, mapAt + 4 * i);
  for (const i of disk.zero) out.writeUInt32LE(0xfffffffe, mapAt + 4 * i);
  for (const [place, i] of order.entries()) {
    out.writeUInt32LE(place, mapAt + 4 * i);
    out.set(disk.raw.subarray(i * disk.block, (i + 1) * disk.block), dataAt + place * disk.block);
  }
  const parts = [
    { name: 'header', at: 0, length: 0x1d8 },
    { name: 'fields', at: 0x48, length: 0x190 },
    { name: 'map', at: mapAt, length: 4 * count },
  ];
  return { bytes: out, parts };
}
