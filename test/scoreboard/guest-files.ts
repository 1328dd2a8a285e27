/** Seeded files for guests: texts, pictures and archives that a carver knows, and bytes that nobody knows. */
import { crc32, deflateSync, gzipSync } from 'node:zlib';
import { dice, seeded } from '../make/content.ts';

export interface GuestFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const KIB = 1024;
const WORDS =
  'the host has lost its store and every machine on it waits for a disk that nobody can read any more'.split(' ');
const KINDS = ['txt', 'png', 'gz', 'bin'] as const;

function text(seed: number, size: number): Buffer {
  const roll = dice(seed);
  let out = '';
  for (let line = 0; out.length < size; line++) {
    const words = Array.from({ length: 9 }, () => WORDS[roll(WORDS.length)]);
    out += `${seed}.${line} ${words.join(' ')} ${roll(1_000_000)}\n`;
  }
  return Buffer.from(out.slice(0, size));
}

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

/** A grey picture of noise, which does not compress: about as large as asked for. */
function picture(seed: number, size: number): Buffer {
  const side = Math.max(8, Math.floor(Math.sqrt(size)));
  const head = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  const noise = seeded(seed, side * (side + 1)).read(0, side * (side + 1));
  for (let row = 0; row < side; row++) noise[row * (side + 1)] = 0;
  const magic = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const parts = [chunk('IHDR', head), chunk('IDAT', deflateSync(noise, { level: 1 })), chunk('IEND', new Uint8Array())];
  return Buffer.concat([magic, ...parts]);
}

function bytesOf(kind: (typeof KINDS)[number], seed: number, size: number): Uint8Array {
  if (kind === 'txt') return text(seed, size);
  if (kind === 'png') return picture(seed, size);
  if (kind === 'gz') return gzipSync(Buffer.concat([text(seed, size), seeded(seed, size).read(0, size)]), { level: 1 });
  return seeded(seed, size).read(0, size);
}

/** Files of about so many bytes together. */
export function guestFiles(seed: number, total: number): GuestFile[] {
  const roll = dice(seed);
  const out: GuestFile[] = [];
  for (let sum = 0, i = 0; sum < total; i++) {
    const kind = KINDS[i % KINDS.length];
    const most = Math.min(total - sum, roll(5) === 0 ? 2048 * KIB : 256 * KIB);
    const bytes = bytesOf(
      kind,
      seed * 1000 + i,
      Math.max(2 * KIB, roll(Math.max(1, Math.floor(most / KIB))) * KIB + 700),
    );
    out.push({ name: `file-${String(i).padStart(3, '0')}.${kind}`, bytes });
    sum += bytes.length + 2 * KIB;
  }
  return out;
}
