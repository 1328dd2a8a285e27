import { Bytes } from '../bytes.ts';
import type { Identity } from './identity.ts';
import { PE } from './shape.ts';

const DATA = 0x1100000; // first logical byte on every device (vmfs.md 1.2)
const MAP_PES = 8192; // PE entries of one bitmap and table pair (vmfs.md 1.4)
const ENTRY = 128;
const MAPS_PER_REGION = 8;
const REGION_STEP = 0x1000000; // an extension block keeps the head's distance to its data, 16 MiB

/** One device of a volume. */
export interface Device {
  index: number;
  firstPE: number;
  pes: number;
  totalBytes: number;
}

/** A run of PEs that lies in one piece on a device. */
export interface Region {
  firstPE: number; // on the device
  pes: number;
  head: number; // partition offset of the header or extension block
  data: number; // partition offset of its first PE
}

/** Named bytes at an offset from the partition start. */
export interface Part {
  name: string;
  at: number;
  bytes: () => Uint8Array;
  length: number;
}

/**
 * Where a device's PEs lie. VMFS3/5 devices above 16 TiB need a second region: eight pairs of bitmap and table per
 * region, then an extension block (vmfs.md 1.4). VMFS6 merges all into one entry.
 */
export function regionsOf(version: 3 | 5 | 6, pes: number): Region[] {
  if (version === 6) return [{ firstPE: 0, pes, head: 0x100000, data: DATA }];
  const regions: Region[] = [];
  let head = 0x100000;
  for (let first = 0; first < pes; first += MAP_PES * MAPS_PER_REGION) {
    const count = Math.min(MAP_PES * MAPS_PER_REGION, pes - first);
    const data = head + (DATA - 0x100000);
    regions.push({ firstPE: first, pes: count, head, data });
    head = data + count * PE;
  }
  return regions;
}

/** Bytes a partition needs for so many PEs: all regions and 1 MiB of slack, as real devices are not PE multiples. */
export function partitionBytes(version: 3 | 5 | 6, pes: number): number {
  const last = regionsOf(version, pes).at(-1)!;
  return last.data + last.pes * PE + REGION_STEP / 16;
}

/** Offset from the partition start of a PE counted on its device. */
export function pePosition(regions: readonly Region[], pe: number): number {
  for (const r of regions) if (pe < r.firstPE + r.pes) return r.data + (pe - r.firstPE) * PE;
  throw new Error(`PE ${pe} lies beyond the device`);
}

interface Where {
  version: 3 | 5 | 6;
  device: Device;
  devices: number;
  totalPEs: number;
  identity: Identity;
  time: number;
}

function header(w: Where, regions: readonly Region[]): Uint8Array {
  const six = w.version === 6;
  const micro = w.time * 1e6;
  const disk = `vmhba0:${4 + w.device.index}:0`;
  const entries = six ? 1 : w.device.pes;
  const maps = Math.ceil(regions[0]!.pes / MAP_PES);
  const b = new Bytes(512)
    .u32(0, 0xc001d00d)
    .u32(4, w.version)
    .u32(8, w.version === 3 ? 16 : 21)
    .u8(0x0d, disk.length)
    .text(0x2e, disk)
    .u32(0x5a, 512)
    .u64(0x5e, w.device.totalBytes)
    .u32(0x66, 1)
    .u32(0x6a, entries)
    .u32(0x6e, entries - 1)
    .u64(0x72, 3)
    .u64(0x7a, DATA)
    .raw(0x82, w.identity.devices[w.device.index]!.bytes)
    .u64(0x92, micro + 4711)
    .u64(0x9a, micro + 34100);
  if (w.version === 5) b.u32(0xbe, maps);
  if (regions.length > 1) b.u32(0xbe, maps).u64(0xc2, regions[1]!.head);
  if (six) b.u32(0xca, 4096).u32(0xce, w.device.pes);
  return b.data;
}

/** Volume descriptor, vmfs.md 1.3. The generation equals PE entries + devices on all real images. */
function descriptor(w: Where): Uint8Array {
  const micro = w.time * 1e6;
  const six = w.version === 6;
  return new Bytes(512)
    .u64(0, w.totalPEs * PE)
    .u64(8, (six ? w.devices : w.totalPEs) + w.devices)
    .u32(0x10, 1)
    .text(0x14, w.identity.lv.text)
    .raw(0x54, w.identity.lv.bytes)
    .u32(0x64, 1)
    .u64(0x68, micro + 40000)
    .u32(0x70, 0)
    .u32(0x74, w.device.pes)
    .u64(0x78, w.device.firstPE)
    .u64(0x80, w.device.firstPE + w.device.pes - 1)
    .u64(0x88, micro + 43000)
    .u32(0x90, w.devices)
    .u32(0x110, six ? 1 : 0).data;
}

function entry(b: Bytes, at: number, pe: number, physical: number, logical: number, length: number): void {
  b.u8(at, 1)
    .u32(at + 1, pe)
    .u32(at + 5, 0);
  b.u64(at + 9, physical)
    .u64(at + 0x11, logical)
    .u64(at + 0x19, length)
    .u32(at + 0x21, 1);
}

function bitmap(count: number, length: number): Uint8Array {
  const b = new Bytes(length);
  for (let i = 0; i < count; i++) b.bit(0, i);
  return b.data;
}

function table(w: Where, region: Region, first: number, count: number): Uint8Array {
  const b = new Bytes(count * ENTRY);
  for (let i = 0; i < count; i++) {
    const pe = region.firstPE + first + i;
    entry(b, i * ENTRY, pe, region.data + (first + i) * PE, (w.device.firstPE + pe) * PE, PE);
  }
  return b.data;
}

function pairs(w: Where, region: Region): Part[] {
  const parts: Part[] = [];
  const base = region.head + 0x80200;
  for (let map = 0; map * MAP_PES < region.pes; map++) {
    const at = base + map * (1024 + MAP_PES * ENTRY);
    const first = map * MAP_PES;
    const count = Math.min(MAP_PES, region.pes - first);
    const number = region.firstPE / MAP_PES + map;
    const end = number === 0 ? '' : `/${number}`;
    parts.push({ name: `lvm.pebitmap${end}`, at, length: 1024, bytes: () => bitmap(count, 1024) });
    const bytes = () => table(w, region, first, count);
    parts.push({ name: `lvm.petable${end}`, at: at + 1024, length: count * ENTRY, bytes });
  }
  return parts;
}

/** Everything the volume manager keeps on one device. */
export function lvmParts(w: Where): Part[] {
  const six = w.version === 6;
  const regions = regionsOf(w.version, w.device.pes);
  const part = (name: string, at: number, data: Uint8Array): Part => ({
    name,
    at,
    length: data.length,
    bytes: () => data,
  });
  const parts = [part('lvm.header', 0x100000, header(w, regions))];
  parts.push(part('lvm.descriptor', six ? 0x101000 : 0x100200, descriptor(w)));
  if (w.version > 3 && w.device.firstPE === 0) {
    const names = new Bytes(256 * 32);
    for (let i = 0; i < Math.min(32, w.devices); i++) names.text(i * 256, `mpx.vmhba0:C0:T${4 + i}:L0:1`);
    parts.push(part('lvm.names', six ? 0x17f000 : 0x17e200, names.data));
  }
  if (six) {
    const one = new Bytes(ENTRY);
    entry(one, 0, 0, DATA, w.device.firstPE * PE, w.device.pes * PE);
    parts.push(part('lvm.pebitmap', 0x181000, bitmap(1, 4096)), part('lvm.petable', 0x182000, one.data));
    return parts;
  }
  for (const [i, region] of regions.entries()) {
    if (i > 0) {
      const next = regions[i + 1]?.head ?? 0;
      const maps = Math.ceil(region.pes / MAP_PES);
      const block = new Bytes(512).u32(0, 0xc001d00d).u32(4, maps).u64(8, region.data).u64(16, next);
      parts.push(part(`lvm.extension/${i}`, region.head, block.data));
    }
    parts.push(...pairs(w, region));
  }
  return parts;
}
