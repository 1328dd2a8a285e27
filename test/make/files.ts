/** Small files of many kinds with seeded content, written from carving.md. */

import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import * as zlib from 'node:zlib';
import { dice, seeded } from './content.ts';

const WORDS = 'the disk of a machine that was lost holds letters and numbers which nobody keeps elsewhere '.split(' ');

/** Words in a seeded order. */
export function words(seed: number, length: number): Buffer {
  const roll = dice(seed);
  let out = '';
  while (out.length < length) out += `${WORDS[roll(WORDS.length)]} ${roll(100_000)} `;
  return Buffer.from(out.slice(0, length));
}

const noise = (seed: number, length: number): Buffer => Buffer.from(seeded(seed, length).read(0, length));
const be32 = (value: number): Buffer =>
  Buffer.from([value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);
const le32 = (value: number): Buffer => Buffer.from(be32(value).toReversed());
const le16 = (value: number): Buffer => Buffer.from([value & 255, value >>> 8]);
const crc = (data: Uint8Array): number => zlib.crc32(data) >>> 0;

export function pngFile(seed: number, width: number, height: number): Buffer {
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), data]);
    return Buffer.concat([be32(data.length), body, be32(crc(body))]);
  };
  const rows = Buffer.alloc((width * 3 + 1) * height);
  noise(seed, rows.length).copy(rows);
  for (let y = 0; y < height; y++) rows[y * (width * 3 + 1)] = 0;
  const packed = zlib.deflateSync(rows);
  const out = [
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', Buffer.concat([be32(width), be32(height), Buffer.from([8, 2, 0, 0, 0])])),
  ];
  for (let at = 0; at < packed.length; at += 8192) out.push(chunk('IDAT', packed.subarray(at, at + 8192)));
  return Buffer.concat([...out, chunk('IEND', Buffer.alloc(0))]);
}

/** A grey JPEG whose blocks are seeded symbols: as a decoder sees it, a picture like any other. */
export function jpegFile(seed: number, blocks: number): Buffer {
  const roll = dice(seed);
  const segment = (kind: number, body: Buffer): Buffer =>
    Buffer.concat([Buffer.from([0xff, kind, (body.length + 2) >>> 8, (body.length + 2) & 255]), body]);
  // Eleven categories of five bits or less, and sixteen symbols of runs and sizes of five bits.
  const dc = { counts: [0, 0, 0, 4, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], symbols: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] };
  const ac = {
    counts: [0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    symbols: [
      0, 1, 2, 3, 4, 5, 0x11, 0x12, 0x13, 0x21, 0x22, 0x31, 0x41, 0x51, 0x61, 0x71, 0x81, 0x91, 0xa1, 0xb1, 0xc1, 0xd1,
      0xe1, 0xf1,
    ],
  };
  const table = (id: number, { counts, symbols }: { counts: number[]; symbols: number[] }): Buffer =>
    segment(0xc4, Buffer.from([id, ...counts, ...symbols]));
  const codes = ({
    counts,
    symbols,
  }: {
    counts: number[];
    symbols: number[];
  }): Map<number, readonly [number, number]> => {
    const out = new Map<number, readonly [number, number]>();
    let [code, at] = [0, 0];
    for (let length = 1; length <= 16; length++, code *= 2)
      for (let i = 0; i < counts[length - 1]; i++) out.set(symbols[at++], [code++, length]);
    return out;
  };
  const [dcCodes, acCodes] = [codes(dc), codes(ac)];
  const bytes: number[] = [];
  let [held, count] = [0, 0];
  const put = (value: number, length: number): void => {
    for (let i = length - 1; i >= 0; i--) {
      held = (held << 1) | ((value >>> i) & 1);
      if (++count < 8) continue;
      bytes.push(held);
      if (held === 0xff) bytes.push(0);
      held = count = 0;
    }
  };
  for (let n = 0; n < blocks; n++) {
    const size = roll(10);
    put(...dcCodes.get(size)!);
    put(roll(2 ** size), size);
    for (let k = 1; k < 64; ) {
      const symbol = k > 40 ? 0 : ac.symbols[1 + roll(23)];
      if (symbol !== 0 && k + (symbol >>> 4) > 63) continue;
      put(...acCodes.get(symbol)!);
      if (symbol === 0) break;
      put(roll(2 ** (symbol & 15)), symbol & 15);
      k += (symbol >>> 4) + 1;
    }
  }
  while (count !== 0) put(1, 1);
  const side = blocks * 8;
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xe0, Buffer.from('4a46494600010100000100010000', 'hex')),
    segment(0xdb, Buffer.from([0, ...Array.from({ length: 64 }, (_, i) => i + 1)])),
    segment(0xc0, Buffer.from([8, 0, 8, side >>> 8, side & 255, 1, 1, 0x11, 0])),
    table(0, dc),
    table(0x10, ac),
    segment(0xda, Buffer.from([1, 1, 0, 0, 63, 0])),
    Buffer.from(bytes),
    Buffer.from([0xff, 0xd9]),
  ]);
}

export function zipFile(members: readonly (readonly [string, Buffer, boolean])[]): Buffer {
  const parts: Buffer[] = [];
  const list: Buffer[] = [];
  let at = 0;
  for (const [name, data, isStored] of members) {
    const body = isStored ? data : zlib.deflateRawSync(data);
    const common = Buffer.concat([
      le16(20),
      le16(0),
      le16(isStored ? 0 : 8),
      le32(0x5a215a21),
      le32(crc(data)),
      le32(body.length),
      le32(data.length),
      le16(name.length),
      le16(0),
    ]);
    const local = Buffer.concat([le32(0x04034b50), common, Buffer.from(name), body]);
    list.push(
      Buffer.concat([
        le32(0x02014b50),
        le16(20),
        common,
        le16(0),
        le16(0),
        le16(0),
        le32(0),
        le32(at),
        Buffer.from(name),
      ]),
    );
    parts.push(local);
    at += local.length;
  }
  const directory = Buffer.concat(list);
  const end = Buffer.concat([
    le32(0x06054b50),
    le16(0),
    le16(0),
    le16(members.length),
    le16(members.length),
    le32(directory.length),
    le32(at),
    le16(0),
  ]);
  return Buffer.concat([...parts, directory, end]);
}

export function tarFile(members: readonly (readonly [string, Buffer])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, data] of members) {
    const head = Buffer.alloc(512);
    head.write(name, 0);
    head.write('0000644\0' + '0000000\0' + '0000000\0', 100, 'latin1');
    head.write(`${data.length.toString(8).padStart(11, '0')}\0`, 124);
    head.write(`${(1_700_000_000).toString(8).padStart(11, '0')}\0        0`, 136);
    head.write('ustar\x0000', 257, 'latin1');
    const sum = head.reduce((total, byte) => total + byte, 0);
    head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    parts.push(head, data, Buffer.alloc((512 - (data.length % 512)) % 512));
  }
  const all = Buffer.concat([...parts, Buffer.alloc(1024)]);
  return Buffer.concat([all, Buffer.alloc((10_240 - (all.length % 10_240)) % 10_240)]);
}

export function pdfFile(seed: number, objects: number): Buffer {
  let out = Buffer.from('%PDF-1.4\n');
  const places: number[] = [];
  for (let i = 1; i <= objects; i++) {
    places.push(out.length);
    const stream = zlib.deflateSync(words(seed + i, 20_000));
    out = Buffer.concat([
      out,
      Buffer.from(`${i} 0 obj\n<</Length ${stream.length}/Filter/FlateDecode>>\nstream\n`),
      stream,
      Buffer.from('\nendstream\nendobj\n'),
    ]);
  }
  const rows = places.map((at) => `${String(at).padStart(10, '0')} 00000 n \n`).join('');
  const tail = `xref\n0 ${objects + 1}\n0000000000 65535 f \n${rows}trailer\n<</Size ${objects + 1}/Root 1 0 R>>\nstartxref\n${out.length}\n%%EOF\n`;
  return Buffer.concat([out, Buffer.from(tail)]);
}

export function sqliteFile(seed: number, rows: number): Buffer {
  const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-sqlite-'));
  const file = join(dir, 'x');
  const db = new DatabaseSync(file);
  db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB); CREATE INDEX i ON t (name); BEGIN');
  const insert = db.prepare('INSERT INTO t (name, data) VALUES (?, ?)');
  for (let i = 0; i < rows; i++) insert.run(words(seed + i, 60).toString(), noise(seed + i, i % 40 === 0 ? 9000 : 120));
  db.exec('COMMIT');
  db.close();
  const out = fs.readFileSync(file);
  fs.rmSync(dir, { recursive: true });
  return out;
}

export function wavFile(seed: number, length: number): Buffer {
  const data = noise(seed, length);
  const head = Buffer.concat([
    Buffer.from('WAVEfmt '),
    le32(16),
    le16(1),
    le16(1),
    le32(44_100),
    le32(88_200),
    le16(2),
    le16(16),
    Buffer.from('data'),
    le32(length),
  ]);
  return Buffer.concat([Buffer.from('RIFF'), le32(head.length + length), head, data]);
}

export function bmpFile(seed: number, width: number, height: number): Buffer {
  const row = Math.ceil((width * 3) / 4) * 4;
  const pixels = Buffer.alloc(row * height);
  for (let y = 0; y < height; y++) noise(seed + y, width * 3).copy(pixels, y * row);
  const head = Buffer.concat([
    le32(40),
    le32(width),
    le32(height),
    le16(1),
    le16(24),
    le32(0),
    le32(pixels.length),
    le32(0),
    le32(0),
    le32(0),
    le32(0),
  ]);
  return Buffer.concat([Buffer.from('BM'), le32(54 + pixels.length), le32(0), le32(54), head, pixels]);
}

export function mp4File(seed: number, length: number): Buffer {
  const box = (type: string, body: Buffer): Buffer => Buffer.concat([be32(body.length + 8), Buffer.from(type), body]);
  return Buffer.concat([
    box('ftyp', Buffer.from('isom\0\0\x02\0isomiso2', 'latin1')),
    box('free', Buffer.alloc(8)),
    box('mdat', noise(seed, length)),
    box('moov', box('mvhd', noise(seed + 1, 100))),
  ]);
}
