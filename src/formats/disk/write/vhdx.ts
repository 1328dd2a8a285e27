/** VHDX, dynamic, with an empty log. Source: vhdx.md. */
import { crc32c } from '../../../codec/crc32c.ts';
import { viewOf } from '../../../core/struct.ts';
import type { Writer } from '../../../core/writer.ts';
import { identity } from './identity.ts';
import { alignUp, Parts } from './parts.ts';

const KIB = 1024;
const MIB: number = 1024 * KIB;
const SECTOR = 512;
const LOG_AT: number = MIB;
const METADATA_AT: number = 2 * MIB;
const TABLE_AT: number = 3 * MIB;
const HEADER = 4 * KIB;
const REGIONS = 64 * KIB;
/** Items lie behind the table of the metadata region. */
const ITEMS = 64 * KIB;
const MAX_SIZE: number = 64 * 2 ** 40;
/** Blocks are as small as they may be while the table stays below these entries, and never larger than this. */
const FEW_BLOCKS = 2 ** 18;
const MAX_BLOCK: number = 32 * MIB;
const PRESENT = 6;
const ZERO = 2;

const ID = {
  table: '2dc27766-f623-4200-9d64-115e9bfd4a08',
  metadata: '8b7ca206-4790-4b9a-b8fe-575f050f886e',
  file: 'caa16737-fa36-4d43-b3b6-33f0aa44e76b',
  size: '2fa54224-cd1b-4876-b211-5dbed83bf4b8',
  disk: 'beca12ab-b2e6-4523-93ef-c309e000c746',
  logical: '8141bf1d-a96f-4709-ba47-f233a8faab5f',
  physical: 'cda348c7-445d-4471-9cc9-e9885251c556',
} as const;

export const vhdxWriter: Writer = {
  variants: ['vhdx'],
  endings: ['.vhdx'],
  unit: (_, diskBytes) => blockOf(diskBytes),
  plan(disk, { occupied }) {
    const size = alignUp(disk.size, SECTOR);
    if (size > MAX_SIZE || size === 0)
      throw new RangeError(`a VHDX holds from one sector to 64 TiB, not ${disk.size} bytes`);
    const block = blockOf(disk.size);
    // Behind the blocks of one bitmap comes an entry for it, which disks without a parent leave empty.
    const ratio = (2 ** 23 * SECTOR) / block;
    const blocks = Math.ceil(size / block);
    const entries = blocks + Math.floor((blocks - 1) / ratio);
    const tableBytes = alignUp(entries * 8, MIB);
    const dataAt = TABLE_AT + tableBytes;
    const ids = new Uint8Array(48);
    for (let i = 0; i < 3; i++) identity(ids.subarray(16 * i, 16 * i + 16), size / SECTOR + i, occupied.count);
    const regions = regionTable(tableBytes);
    const parts = new Parts();
    parts.bytes(creator());
    for (const sequence of [1, 2]) parts.fill(sequence * 64 * KIB).bytes(header(sequence, ids));
    parts
      .fill(192 * KIB)
      .bytes(regions)
      .bytes(regions)
      .fill(METADATA_AT);
    parts.bytes(metadata(size, block, ids.subarray(32))).fill(TABLE_AT);
    parts.table('block table', entries * 8, (table) => {
      const view = viewOf(table);
      for (let i = 0; i < blocks; i++) table[(i + Math.floor(i / ratio)) * 8] = ZERO;
      occupied.each(0, blocks, (unit, index) => {
        const at = (unit + Math.floor(unit / ratio)) * 8;
        put64(view, at, dataAt + index * block);
        table[at] = PRESENT;
      });
    });
    parts.fill(dataAt).units(disk, occupied);
    return [{ suffix: '', source: parts.file() }];
  },
};

function blockOf(diskBytes: number): number {
  let block = MIB;
  while (block < MAX_BLOCK && diskBytes / block > FEW_BLOCKS) block *= 2;
  return block;
}

function creator(): Uint8Array {
  const out = new Uint8Array(SECTOR);
  latin1(out, 0, 'vhdxfile');
  const name = 'Salvor';
  for (let i = 0; i < name.length; i++) out[8 + 2 * i] = name.charCodeAt(i);
  return out;
}

/** No log id: nothing has to be replayed. */
function header(sequence: number, ids: Uint8Array): Uint8Array {
  const out = new Uint8Array(HEADER);
  const view = viewOf(out);
  latin1(out, 0, 'head');
  put64(view, 8, sequence);
  out.set(ids.subarray(0, 32), 16);
  view.setUint16(66, 1, true);
  view.setUint32(68, MIB, true);
  put64(view, 72, LOG_AT);
  view.setUint32(4, crc32c(out, 4), true);
  return out;
}

function regionTable(tableBytes: number): Uint8Array {
  const out = new Uint8Array(REGIONS);
  const view = viewOf(out);
  latin1(out, 0, 'regi');
  view.setUint32(8, 2, true);
  const entry = (at: number, id: string, from: number, length: number): void => {
    guid(out, at, id);
    put64(view, at + 16, from);
    view.setUint32(at + 24, length, true);
    view.setUint32(at + 28, 1, true); // required
  };
  entry(16, ID.table, TABLE_AT, tableBytes);
  entry(48, ID.metadata, METADATA_AT, MIB);
  view.setUint32(4, crc32c(out, 4), true);
  return out;
}

const VIRTUAL_DISK = 2;
const REQUIRED = 4;

function metadata(size: number, block: number, diskId: Uint8Array): Uint8Array {
  const out = new Uint8Array(ITEMS + 4 * KIB);
  const view = viewOf(out);
  latin1(out, 0, 'metadata');
  let count = 0;
  let at = ITEMS;
  const item = (id: string, length: number, flags: number, fill: (at: number) => void): void => {
    const entry = 32 + 32 * count++;
    guid(out, entry, id);
    view.setUint32(entry + 16, at, true);
    view.setUint32(entry + 20, length, true);
    view.setUint32(entry + 24, flags, true);
    fill(at);
    at += length;
  };
  item(ID.file, 8, REQUIRED, (to) => view.setUint32(to, block, true));
  item(ID.size, 8, REQUIRED | VIRTUAL_DISK, (to) => put64(view, to, size));
  item(ID.disk, 16, REQUIRED | VIRTUAL_DISK, (to) => out.set(diskId, to));
  item(ID.logical, 4, REQUIRED | VIRTUAL_DISK, (to) => view.setUint32(to, SECTOR, true));
  item(ID.physical, 4, REQUIRED | VIRTUAL_DISK, (to) => view.setUint32(to, 4096, true));
  view.setUint16(10, count, true);
  return out;
}

/** Stores a GUID: its first three fields are little-endian. */
function guid(out: Uint8Array, at: number, text: string): void {
  const hex = text.replaceAll('-', '');
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  for (const [i, from] of order.entries()) out[at + i] = Number.parseInt(hex.slice(2 * from, 2 * from + 2), 16);
}

function latin1(out: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i);
}

function put64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
