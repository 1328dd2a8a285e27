/** VHD, dynamic. Source: vhd.md. */
import { viewOf } from '../../../core/struct.ts';
import type { Writer } from '../../../core/writer.ts';
import { identity } from './identity.ts';
import { alignUp, Parts } from './parts.ts';

const SECTOR = 512;
const BLOCK = 2 * 1024 * 1024;
/** One sector of bits in front of each block: all sectors are there. */
const BITMAP = SECTOR;
const HEADER_AT = SECTOR;
const HEADER = 1024;
const TABLE_AT: number = HEADER_AT + HEADER;
const FREE = 0xffffffff;
/** Hosts open no larger disk: 2040 GiB. */
const MAX_SECTORS = 0xff000000;
/** What says that the size is the one in the footer; others show what the geometry multiplies to. */
const CREATOR = 'win ';

export const vhdWriter: Writer = {
  variants: ['vhd'],
  endings: ['.vhd', '.vpc'],
  unit: () => BLOCK,
  plan(disk, { occupied }) {
    const sectors = Math.ceil(disk.size / SECTOR);
    if (sectors > MAX_SECTORS || sectors === 0)
      throw new RangeError(`a VHD holds from one sector to 2040 GiB, not ${disk.size} bytes`);
    const blocks = Math.ceil(disk.size / BLOCK);
    const dataAt = alignUp(TABLE_AT + blocks * 4, SECTOR);
    const table = new Uint8Array(dataAt - TABLE_AT).fill(0xff);
    const view = viewOf(table);
    occupied.each(0, blocks, (unit, index) => {
      const sector = (dataAt + index * (BITMAP + BLOCK)) / SECTOR;
      if (sector >= FREE) throw new RangeError(`a disk of ${disk.size} bytes is too full for a VHD`);
      view.setUint32(unit * 4, sector);
    });
    const foot = footer(sectors * SECTOR, occupied.count);
    const parts = new Parts();
    parts.bytes(foot).bytes(dynamicHeader(blocks)).bytes(table);
    parts.units(disk, occupied, new Uint8Array(BITMAP).fill(0xff)).bytes(foot);
    return [{ suffix: '', source: parts.file() }];
  },
};

function footer(size: number, occupied: number): Uint8Array {
  const out = new Uint8Array(SECTOR);
  const view = viewOf(out);
  latin1(out, 0, 'conectix');
  view.setUint32(8, 2);
  view.setUint32(12, 0x00010000);
  put64(view, 16, HEADER_AT);
  latin1(out, 28, CREATOR);
  view.setUint32(32, 0x000a0000);
  latin1(out, 36, 'Wi2k');
  put64(view, 40, size);
  put64(view, 48, size);
  const { cylinders, heads, perTrack } = geometry(size / SECTOR);
  view.setUint16(56, cylinders);
  out[58] = heads;
  out[59] = perTrack;
  view.setUint32(60, 3); // dynamic
  identity(out.subarray(68, 84), size / SECTOR, occupied);
  view.setUint32(64, checksum(out));
  return out;
}

function dynamicHeader(blocks: number): Uint8Array {
  const out = new Uint8Array(HEADER);
  const view = viewOf(out);
  latin1(out, 0, 'cxsparse');
  out.fill(0xff, 8, 16);
  put64(view, 16, TABLE_AT);
  view.setUint32(24, 0x00010000);
  view.setUint32(28, blocks);
  view.setUint32(32, BLOCK);
  view.setUint32(36, checksum(out));
  return out;
}

/** The geometry that the specification computes for so many sectors. */
function geometry(sectors: number): { cylinders: number; heads: number; perTrack: number } {
  const total = Math.min(sectors, 65535 * 16 * 255);
  if (total >= 65535 * 16 * 63) return shaped(total, 16, 255);
  let perTrack = 17;
  let tracks = Math.floor(total / perTrack);
  let heads = Math.max(4, Math.ceil(tracks / 1024));
  if (tracks >= heads * 1024 || heads > 16) {
    [perTrack, heads] = [31, 16];
    tracks = Math.floor(total / perTrack);
  }
  if (tracks >= heads * 1024) [perTrack, heads] = [63, 16];
  return shaped(total, heads, perTrack);
}

function shaped(total: number, heads: number, perTrack: number) {
  return { cylinders: Math.floor(Math.floor(total / perTrack) / heads), heads, perTrack };
}

/** The ones' complement of the sum of all bytes; the checksum's own are zeros yet. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return ~sum >>> 0;
}

function latin1(out: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i);
}

function put64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value >>> 0);
}
