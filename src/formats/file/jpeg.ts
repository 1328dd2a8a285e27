/** JPEG: segments, then coded data that has to decode. Source: carving.md section 1. */
import { type Carved, type Carver, type Content, cut, whole } from '../../core/carver.ts';
import { type Frame, Scan, type Table, tableOf } from './jpeg-scan.ts';

const MIB = 1024 * 1024;
const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const DHT = 0xc4;
const DRI = 0xdd;
/** Pixels across; larger ones do not exist. */
const MAX_SIDE = 65_500;

export const jpeg: Carver = {
  extension: 'jpg',
  title: 'JPEG picture',
  keys: [
    'ffd8ffdb',
    'ffd8ffe0',
    'ffd8ffe1',
    'ffd8ffe2',
    'ffd8ffe8',
    'ffd8ffee',
    'ffd8fffe',
    'ffd8ffc0',
    'ffd8ffc2',
  ].map((hex) => ({ offset: 0, bytes: [...Buffer.from(hex, 'hex')] })),
  most: 256 * MIB,
  examine: (file) => follow(file),
};

async function follow(file: Content): Promise<Carved | undefined> {
  const tables = new Map<number, Table>();
  let frame: Frame | undefined;
  let restart = 0;
  let scans = 0;
  for (let at = 2; ; ) {
    const facts = frame === undefined ? {} : { facts: { width: frame.width, height: frame.height } };
    const [mark, kind] = [await file.number(at, 1), await file.number(at + 1, 1)];
    if (mark !== 0xff || Number.isNaN(kind)) return scans > 0 ? cut(at, facts) : undefined;
    if (kind === 0xff) at++;
    else if (kind === EOI) return scans > 0 && frame !== undefined ? whole(at + 2, facts) : undefined;
    else if (kind === SOI || kind < 0xc0) return scans > 0 ? cut(at, facts) : undefined;
    else {
      const length = await file.number(at + 2, 2, 'big');
      const body = length >= 2 ? await file.bytes(at + 4, length - 2) : undefined;
      if (body === undefined) return scans > 0 ? cut(at, facts) : undefined;
      at += length + 2;
      if (kind === DHT && !takeTables(body, tables)) return scans > 0 ? cut(at, facts) : undefined;
      if (kind === DRI) restart = body[0] * 256 + body[1];
      if (kind >= 0xc0 && kind <= 0xcf && ![DHT, 0xc8, 0xcc].includes(kind)) {
        frame = frameOf(body, kind);
        if (frame === undefined) return undefined;
      }
      if (kind !== SOS) continue;
      if (frame === undefined) return undefined;
      const scan = new Scan(file, at, frame, body, tables, restart);
      const end = await scan.end();
      scans++;
      if (!end.isSound) return cut(end.at, facts);
      at = end.at;
    }
  }
}

function takeTables(body: Uint8Array, into: Map<number, Table>): boolean {
  for (let at = 0; at + 17 <= body.length; ) {
    const counts = body.subarray(at + 1, at + 17);
    const n = counts.reduce((sum, count) => sum + count, 0);
    const table = at + 17 + n <= body.length ? tableOf(counts, body.subarray(at + 17, at + 17 + n)) : undefined;
    if (table === undefined) return false;
    into.set(body[at], table);
    at += 17 + n;
  }
  return true;
}

function frameOf(body: Uint8Array, kind: number): Frame | undefined {
  if (body.length < 6) return undefined;
  const [height, width, n] = [body[1] * 256 + body[2], body[3] * 256 + body[4], body[5]];
  if (![8, 12].includes(body[0]) || width === 0 || width > MAX_SIDE || height > MAX_SIDE || n < 1 || n > 4)
    return undefined;
  if (body.length < 6 + n * 3) return undefined;
  const components = Array.from({ length: n }, (_, i) => {
    const at = 6 + i * 3;
    return { id: body[at], across: body[at + 1] >>> 4, down: body[at + 1] & 15 };
  });
  if (components.some(({ across, down }) => across < 1 || across > 4 || down < 1 || down > 4)) return undefined;
  return {
    width,
    height,
    isBaseline: (kind === 0xc0 || kind === 0xc1) && body[0] === 8,
    isProgressive: kind === 0xc2 && body[0] === 8,
    components,
  };
}
