import type { MemoryImage } from '../images.ts';
import type { Made, TruthExtent } from '../types.ts';

/*
 * A second reading of the pointers, for the layouts that no peer can follow: it decodes addresses from the bytes of
 * the images alone and shares nothing with the writer but the format tables (vmfs.md 3, 4.3, 6.3).
 */

const MIB = 0x100000;
const PE = 256 * MIB;
const LFB = 512 * MIB;

/** A slot's place: volume offset, and whether it is to be zeroed; undefined for a hole. */
type Slot = { at: number; tbz: boolean } | undefined;

interface Descriptor {
  size: number;
  unit: number;
  zla: number;
  at: number;
}

interface Geometry {
  per: number;
  group: number;
  base: number;
  size: number;
  groupSize: number;
}

/** Reads one store by its pointers. */
export class Walker {
  readonly #made: Made;
  readonly #images: readonly MemoryImage[];
  readonly #six: boolean;
  readonly #header: number;
  readonly #geometry = new Map<number, Geometry>();

  constructor(made: Made, images: readonly MemoryImage[]) {
    this.#made = made;
    this.#images = images;
    this.#six = made.truth.version === 6;
    this.#header = this.#six ? 8192 : 1024;
  }

  #volume(at: number, length: number): DataView {
    const { members } = this.#made.truth;
    const index = members.findIndex((m) => at < (m.firstPE + m.pes) * PE);
    const m = members[index]!;
    const into = new Uint8Array(length);
    this.#images[index]!.read(m.partitionStart + 0x1100000 + at - m.firstPE * PE, into);
    return new DataView(into.buffer);
  }

  /** Image place of a volume offset on linear devices. */
  place(at: number): { member: number; at: number } {
    const { members } = this.#made.truth;
    const member = members.findIndex((m) => at < (m.firstPE + m.pes) * PE);
    const m = members[member]!;
    return { member, at: m.partitionStart + 0x1100000 + at - m.firstPE * PE };
  }

  #wide(view: DataView, at: number): bigint {
    return this.#six ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
  }

  #descriptor(address: number): Descriptor {
    const cluster = (address >>> 6) & 0xffff;
    const resource = address >>> 22;
    // On VMFS6 .fdc.sf goes on behind the root directory, so even cluster 0 is not in one piece (vmfs.md 8.6).
    const at =
      cluster === 0 && resource < 9
        ? this.#bootstrap() + resource * (this.#six ? 8192 : 2048)
        : this.#byteOf(2, cluster, resource);
    const meta = this.#volume(at + (this.#six ? 4096 : 512), 512);
    if (meta.getUint32(0, true) !== address) throw new Error(`FD 0x${address.toString(16)} is not at ${at}`);
    const size = Number(meta.getBigUint64(0x14, true));
    return { size, unit: Number(meta.getBigUint64(0x1c, true)), zla: meta.getUint32(0x44, true), at };
  }

  #bootstrap(): number {
    const bs = this.#made.truth.blockSize;
    const start = this.#six ? 7 * MIB : bs * Math.ceil(0x400000 / bs);
    const fsd = this.#volume(0x200000, 512);
    return start + fsd.getUint32(0xd1, true) + fsd.getUint32(0xd5, true) * this.#header;
  }

  /** Volume offset of a resource: file 2 .fdc.sf, 3 .pbc.sf, 4 .sbc.sf, 6 .pb2.sf. */
  #byteOf(file: number, cluster: number, resource: number): number {
    const fd = ((file << 22) | 4) >>> 0;
    let g = this.#geometry.get(file);
    if (g === undefined) {
      const head = this.#volume(this.slot(fd, 0)!.at, 32);
      const [per, group, base, size, groupSize] = [0, 4, 8, 12, 16].map((at) => head.getUint32(at, true)) as [
        number,
        number,
        number,
        number,
        number,
      ];
      g = { per, group, base, size, groupSize };
      this.#geometry.set(file, g);
    }
    const inGroup = (cluster % g.group) * g.per + resource;
    const offset = g.base + Math.floor(cluster / g.group) * g.groupSize + g.group * this.#header + inGroup * g.size;
    const bs = this.#made.truth.blockSize;
    return this.slot(fd, Math.floor(offset / bs))!.at + (offset % bs);
  }

  /** Volume offset that a pointer names, `slot` being the slot it stands in. */
  #target(pointer: bigint, slot: number, unit: number): Slot {
    if (pointer === 0n) return undefined;
    const field = (from: bigint, bits: bigint) => Number((pointer >> from) & ((1n << bits) - 1n));
    const type = field(0n, 3n);
    const bs = this.#made.truth.blockSize;
    if (!this.#six) {
      if (type === 1) return { at: field(6n, 26n) * bs, tbz: field(5n, 1n) === 1 };
      const low = field(28n, 4n);
      const dense = (this.#volume(0x200000, 512).getUint32(0x19, true) & 4) !== 0;
      const resource = type === 2 && dense ? low | (field(3n, 2n) << 4) : low;
      return { at: this.#byteOf(type === 2 ? 4 : type === 3 ? 3 : 6, field(6n, 22n), resource), tbz: false };
    }
    const tbz = field(7n, 8n) !== 0;
    if (type === 1) return { at: (field(15n, 31n) * 512 + field(51n, 13n)) * bs, tbz };
    if (type === 7) return { at: field(15n, 31n) * LFB + ((slot * unit) % LFB), tbz };
    return { at: this.#byteOf(type === 2 ? 4 : type === 3 ? 3 : 6, field(6n, 36n), field(56n, 8n)), tbz: false };
  }

  /** The place of a file's slot by its FD address. */
  slot(address: number, slot: number): Slot {
    const fd = this.#descriptor(address);
    const width = this.#six ? 8 : 4;
    const n = this.#six ? 8192 : 1024;
    const first = fd.at + (this.#six ? 0x1600 : 0x400);
    const read = (at: number, index: number) => this.#wide(this.#volume(at + index * width, width), 0);
    if (fd.zla === 1 || fd.zla === 2) return this.#target(read(first, slot), slot, fd.unit);
    const span = fd.zla === 0x10d0 ? n * n : n;
    let table = this.#target(read(first, Math.floor(slot / span)), 0, fd.unit);
    if (fd.zla === 0x10d0 && table !== undefined) {
      table = this.#target(read(table.at, Math.floor(slot / n) % n), 0, fd.unit);
    }
    return table === undefined ? undefined : this.#target(read(table.at, slot % n), slot, fd.unit);
  }

  /** Whether the pointers agree with an extent of the truth at its first and last slot. */
  agrees(address: number, extent: TruthExtent): boolean {
    const { unit, zla } = this.#descriptor(address);
    if (zla === 0x10d1) return extent.kind === 'data';
    const offsets = [extent.offset, extent.offset + extent.length - 1];
    return offsets.every((offset) => {
      const slot = this.slot(address, Math.floor(offset / unit));
      if (slot === undefined || extent.kind === 'hole') return slot === undefined && extent.kind === 'hole';
      if (slot.tbz !== (extent.kind === 'tbz')) return false;
      const place = this.place(slot.at + (unit === LFB ? 0 : offset % unit) + (unit === LFB ? offset % LFB : 0));
      return place.member === extent.member && place.at === extent.at! + (offset - extent.offset);
    });
  }
}
