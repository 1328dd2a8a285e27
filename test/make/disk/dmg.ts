/** Apple disk images: chunks of each kind behind each other, their tables in a property list, a trailer. */
import { spawnSync } from 'node:child_process';
import { crc32, deflateSync } from 'node:zlib';

const SECTOR = 512;

export type Packing = 'zero' | 'ignored' | 'raw' | 'zlib' | 'bzip2' | 'adc' | 'lzfse' | 'lzma';
const NUMBERS: Record<Packing, number> = {
  zero: 0,
  raw: 1,
  ignored: 2,
  adc: 0x80000004,
  zlib: 0x80000005,
  bzip2: 0x80000006,
  lzfse: 0x80000007,
  lzma: 0x80000008,
};

/** A stretch of the disk in one table of its own. */
export interface Part {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Of each chunk in turn, over and over. */
  readonly packings: readonly Packing[];
  /** Bytes of a chunk. */
  readonly chunk: number;
}

/** Whether chunks can be packed so here. */
export const hasBzip2: boolean = spawnSync('bzip2', ['--help']).status === 0;
export const hasXz: boolean = spawnSync('xz', ['--help']).status === 0;

export function makeDmg(parts: readonly Part[]): Buffer {
  const data: Buffer[] = [];
  let at = 0;
  let sector = 0;
  const dicts: string[] = [];
  for (const [id, part] of parts.entries()) {
    const chunks: Buffer[] = [];
    const summed: Uint8Array[] = [];
    for (let from = 0, n = 0; from < part.bytes.length; from += part.chunk, n++) {
      const bytes = part.bytes.subarray(from, from + part.chunk);
      const kind = part.packings[n % part.packings.length];
      const packed = packedAs(kind, bytes);
      if (kind !== 'ignored') summed.push(bytes);
      chunks.push(chunkOf(NUMBERS[kind], from / SECTOR, bytes.length / SECTOR, at, packed.length));
      data.push(packed);
      at += packed.length;
    }
    chunks.push(chunkOf(0xffffffff, part.bytes.length / SECTOR, 0, at, 0));
    const head = Buffer.alloc(204);
    head.write('mish', 0, 'latin1');
    head.writeUInt32BE(1, 4);
    head.writeBigUInt64BE(BigInt(sector), 8);
    head.writeBigUInt64BE(BigInt(part.bytes.length / SECTOR), 16);
    head.writeUInt32BE(2, 64);
    head.writeUInt32BE(32, 68);
    head.writeUInt32BE(crc32(Buffer.concat(summed)), 72);
    head.writeUInt32BE(chunks.length, 200);
    dicts.push(dictOf(part.name, id, Buffer.concat([head, ...chunks]).toString('base64')));
    sector += part.bytes.length / SECTOR;
  }
  const list = Buffer.from(listOf(dicts));
  const end = Buffer.alloc(SECTOR);
  end.write('koly', 0, 'latin1');
  end.writeUInt32BE(4, 4);
  end.writeUInt32BE(SECTOR, 8);
  end.writeBigUInt64BE(BigInt(at), 32);
  end.writeUInt32BE(1, 56);
  end.writeUInt32BE(1, 60);
  end.writeBigUInt64BE(BigInt(at), 216);
  end.writeBigUInt64BE(BigInt(list.length), 224);
  end.writeUInt32BE(1, 488);
  end.writeBigUInt64BE(BigInt(sector), 492);
  return Buffer.concat([...data, list, end]);
}

function packedAs(kind: Packing, bytes: Uint8Array): Buffer {
  if (kind === 'raw') return Buffer.from(bytes);
  if (kind === 'zlib') return deflateSync(bytes);
  if (kind === 'adc') return adc(bytes);
  if (kind === 'bzip2') return spawnSync('bzip2', ['-c'], { input: bytes, maxBuffer: 2 ** 28 }).stdout;
  if (kind === 'lzma') return spawnSync('xz', ['-c', '--check=crc32'], { input: bytes, maxBuffer: 2 ** 28 }).stdout;
  return kind === 'lzfse' ? Buffer.from('bvx-not really') : Buffer.alloc(0);
}

/** Runs of one byte as copies from near and far, everything else as it is. */
function adc(bytes: Uint8Array): Buffer {
  const out: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    let same = 0;
    while (at > 0 && same < 67 && at + same < bytes.length && bytes[at + same] === bytes[at - 1]) same++;
    if (same >= 4 && at % 2 === 0) out.push(0x40 | (same - 4), 0, 0);
    else if (same >= 3) out.push((Math.min(same, 18) - 3) << 2, 0);
    if (same >= 3) {
      at += same >= 4 && at % 2 === 0 ? same : Math.min(same, 18);
      continue;
    }
    let end = at + 1;
    while (end < bytes.length && end - at < 128 && bytes[end] !== bytes[end - 1]) end++;
    out.push(0x7f + (end - at), ...bytes.subarray(at, end));
    at = end;
  }
  return Buffer.from(out);
}

function chunkOf(kind: number, first: number, sectors: number, at: number, length: number): Buffer {
  const out = Buffer.alloc(40);
  out.writeUInt32BE(kind, 0);
  for (const [i, value] of [first, sectors, at, length].entries()) out.writeBigUInt64BE(BigInt(value), 8 + 8 * i);
  return out;
}

function dictOf(name: string, id: number, data: string): string {
  const lines = data.replace(/.{52}/g, '$&\n\t\t\t\t');
  return `<dict><key>Attributes</key><string>0x0050</string><key>CFName</key><string>${name}</string>
<key>Data</key><data>${lines}</data><key>ID</key><string>${id}</string><key>Name</key><string>${name}</string></dict>`;
}

function listOf(dicts: readonly string[]): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict><key>resource-fork</key><dict><key>blkx</key><array>${dicts.join('\n')}</array>
<key>plst</key><array><dict><key>Data</key><data>AAAA</data></dict></array></dict></dict></plist>
`;
}
