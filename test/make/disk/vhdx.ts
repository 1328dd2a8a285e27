/** Writes VHDX files, from vhdx.md alone. Log at 1 MiB, metadata at 2 MiB, table of blocks at 3 MiB, blocks behind. */
import type { Disk, MadeDisk } from './content.ts';

export interface VhdxSpec {
  readonly disk: Disk;
  readonly fixed?: boolean;
  readonly sector?: 512 | 4096;
  readonly dataWrite?: string;
  readonly parent?: { readonly dataWrite: string; readonly name: string };
  /** Whether a sector is in this file; all of a stored block by default. Needs a parent. */
  has?(sector: number): boolean;
  /** The first sector of the table is in the log alone: in its place stands what was there before any block was stored. */
  readonly open?: boolean;
}

const MIB = 1024 * 1024;
const LOG_ID = '11111111-2222-3333-4444-555555555555';

export function crc(bytes: Uint8Array): number {
  let out = 0xffffffff;
  for (const byte of bytes) {
    out ^= byte;
    for (let i = 0; i < 8; i++) out = out & 1 ? (out >>> 1) ^ 0x82f63b78 : out >>> 1;
  }
  return ~out >>> 0;
}

export function guid(text: string): Buffer {
  const raw = Buffer.from(text.replaceAll('-', ''), 'hex');
  raw.subarray(0, 4).reverse();
  raw.subarray(4, 6).reverse();
  raw.subarray(6, 8).reverse();
  return raw;
}

export function makeVhdx(spec: VhdxSpec): MadeDisk {
  const { disk, sector = 512, parent } = spec;
  const ratio = (2 ** 23 * sector) / disk.block;
  const count = Math.ceil(disk.size / disk.block);
  const chunks = Math.ceil(count / ratio);
  const bitmapsAt = 4 * MIB;
  const first = bitmapsAt + (parent ? chunks * MIB : 0);
  const order = spec.fixed ? Array.from({ length: count }, (_, i) => i) : disk.order;
  const out = Buffer.alloc(first + order.length * disk.block);
  out.write('vhdxfile', 0, 'latin1');
  out.write('Maker', 8, 'utf16le');
  const table = out.subarray(3 * MIB, 4 * MIB);
  const put = (i: number, state: number, at = 0): void => {
    table.writeBigUInt64LE(BigInt(at + state), 8 * (i + Math.floor(i / ratio)));
  };
  for (const i of disk.zero) put(i, 2);
  for (const [place, i] of order.entries()) {
    const at = first + place * disk.block;
    const sectors = disk.block / sector;
    let own = 0;
    for (let s = 0; s < sectors; s++) {
      const number = i * sectors + s;
      if (spec.has !== undefined && !spec.has(number)) continue;
      own++;
      const from = number * sector;
      out.set(disk.raw.subarray(from, from + sector), at + s * sector);
      const bit = number % (ratio * sectors);
      if (parent) out[bitmapsAt + Math.floor(i / ratio) * MIB + (bit >> 3)] |= 1 << (bit & 7);
    }
    put(i, own === sectors ? 6 : 7, at);
  }
  for (let c = 0; parent && c < chunks; c++) {
    table.writeBigUInt64LE(BigInt(bitmapsAt + c * MIB + 6), 8 * ((c + 1) * ratio + c));
  }
  metadata(out.subarray(2 * MIB, 3 * MIB), spec, sector);
  if (spec.open) logged(out, table);
  for (const [i, at] of [64 * 1024, 128 * 1024].entries()) header(out.subarray(at, at + 4096), spec, 7 + i);
  for (const at of [192 * 1024, 256 * 1024]) regions(out.subarray(at, at + 65536));
  const parts = [
    { name: 'identifier', at: 0, length: 512 },
    { name: 'header 1', at: 64 * 1024, length: 4096 },
    { name: 'header 2', at: 128 * 1024, length: 4096 },
    { name: 'regions 1', at: 192 * 1024, length: 65536 },
    { name: 'regions 2', at: 256 * 1024, length: 65536 },
    { name: 'log', at: MIB, length: MIB },
    { name: 'metadata', at: 2 * MIB, length: 2 * 65536 },
    { name: 'table', at: 3 * MIB, length: 8 * (count + Math.floor(count / ratio)) },
  ];
  return { bytes: out, parts };
}

function header(out: Buffer, spec: VhdxSpec, sequence: number): void {
  out.write('head', 0, 'latin1');
  out.writeBigUInt64LE(BigInt(sequence), 8);
  out.set(guid('aaaaaaaa-0000-0000-0000-000000000001'), 16);
  out.set(guid(spec.dataWrite ?? 'dddddddd-0000-0000-0000-000000000001'), 32);
  if (spec.open) out.set(guid(LOG_ID), 48);
  out.writeUInt16LE(1, 66);
  out.writeUInt32LE(MIB, 68);
  out.writeBigUInt64LE(BigInt(MIB), 72);
  out.writeUInt32LE(crc(out), 4);
}

function regions(out: Buffer): void {
  out.write('regi', 0, 'latin1');
  out.writeUInt32LE(2, 8);
  const ids = ['2dc27766-f623-4200-9d64-115e9bfd4a08', '8b7ca206-4790-4b9a-b8fe-575f050f886e'];
  for (const [i, at] of [3 * MIB, 2 * MIB].entries()) {
    out.set(guid(ids[i]), 16 + 32 * i);
    out.writeBigUInt64LE(BigInt(at), 32 + 32 * i);
    out.writeUInt32LE(MIB, 40 + 32 * i);
    out.writeUInt32LE(1, 44 + 32 * i);
  }
  out.writeUInt32LE(crc(out), 4);
}

function metadata(out: Buffer, spec: VhdxSpec, sector: number): void {
  out.write('metadata', 0, 'latin1');
  const items: [string, Buffer][] = [];
  const parameters = Buffer.alloc(8);
  parameters.writeUInt32LE(spec.disk.block, 0);
  parameters.writeUInt32LE((spec.fixed ? 1 : 0) + (spec.parent ? 2 : 0), 4);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(spec.disk.size));
  const logical = Buffer.alloc(4);
  logical.writeUInt32LE(sector);
  items.push(['caa16737-fa36-4d43-b3b6-33f0aa44e76b', parameters]);
  items.push(['2fa54224-cd1b-4876-b211-5dbed83bf4b8', size]);
  items.push(['beca12ab-b2e6-4523-93ef-c309e000c746', guid('eeeeeeee-0000-0000-0000-000000000001')]);
  items.push(['8141bf1d-a96f-4709-ba47-f233a8faab5f', logical]);
  items.push(['cda348c7-445d-4471-9cc9-e9885251c556', logical]);
  if (spec.parent) items.push(['a8d35f2d-b30b-454d-abf7-d3d84834ab0c', locator(spec.parent)]);
  out.writeUInt16LE(items.length, 10);
  let at = 65536;
  for (const [i, [id, bytes]] of items.entries()) {
    out.set(guid(id), 32 + 32 * i);
    out.writeUInt32LE(at, 48 + 32 * i);
    out.writeUInt32LE(bytes.length, 52 + 32 * i);
    out.writeUInt32LE(4, 56 + 32 * i);
    out.set(bytes, at);
    at += bytes.length;
  }
}

function locator(parent: { dataWrite: string; name: string }): Buffer {
  const out = Buffer.alloc(1024);
  out.set(guid('b04aefb7-d19e-4a81-b789-25b8e9445913'), 0);
  const pairs = [
    ['parent_linkage', `{${parent.dataWrite}}`],
    ['relative_path', `.\\${parent.name}`],
  ];
  out.writeUInt16LE(pairs.length, 18);
  let at = 128;
  for (const [i, pair] of pairs.entries()) {
    for (const [j, text] of pair.entries()) {
      out.write(text, at, 'utf16le');
      out.writeUInt32LE(at, 20 + 12 * i + 4 * j);
      out.writeUInt16LE(2 * text.length, 28 + 12 * i + 2 * j);
      at += 2 * text.length;
    }
  }
  return out;
}

/** Moves the first sector of the table into a log of two entries, of which the second counts. */
function logged(out: Buffer, table: Buffer): void {
  const now = Buffer.from(table.subarray(0, 4096));
  table.fill(0, 0, 4096);
  for (const [i, content] of [Buffer.alloc(4096, 0xff), now].entries()) {
    const entry = out.subarray(MIB + i * 8192, MIB + (i + 1) * 8192);
    entry.write('loge', 0, 'latin1');
    entry.writeUInt32LE(8192, 8);
    entry.writeUInt32LE(0, 12);
    entry.writeBigUInt64LE(BigInt(40 + i), 16);
    entry.writeUInt32LE(1, 24);
    entry.set(guid(LOG_ID), 32);
    entry.writeBigUInt64LE(BigInt(out.length), 48);
    entry.writeBigUInt64LE(BigInt(out.length), 56);
    entry.write('desc', 64, 'latin1');
    entry.set(content.subarray(4092), 68);
    entry.set(content.subarray(0, 8), 72);
    entry.writeBigUInt64LE(BigInt(3 * MIB), 80);
    entry.writeBigUInt64LE(BigInt(40 + i), 88);
    entry.write('data', 4096, 'latin1');
    entry.set(content.subarray(8, 4092), 4096 + 8);
    entry.writeUInt32LE(40 + i, 4096 + 4092);
    entry.writeUInt32LE(crc(entry), 4);
  }
}
