/** More kinds of files: by the tools that people use where these are there, else written from the published formats. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seeded } from './content.ts';
import { words } from './files.ts';

const noise = (seed: number, length: number): Buffer => Buffer.from(seeded(seed, length).read(0, length));
const le = (value: number, bytes: number): Buffer => {
  const out = Buffer.alloc(bytes);
  for (let i = 0, rest = value; i < bytes; i++, rest = Math.floor(rest / 256)) out[i] = rest % 256;
  return out;
};
const be = (value: number, bytes: number): Buffer => Buffer.from(le(value, bytes).toReversed());
const hex = (digits: string): Buffer => Buffer.from(digits, 'hex');
/** Words as text. */
const say = (seed: number, length: number): string => words(seed, length).toString();
const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');
const cat = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts);

/** What a tool makes of files in a folder of its own; undefined where it is not there. */
function tool(
  program: string,
  args: readonly string[],
  out: string,
  files: Readonly<Record<string, Buffer>>,
): Buffer | undefined {
  const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-tool-'));
  try {
    for (const [name, bytes] of Object.entries(files)) {
      fs.mkdirSync(join(dir, name, '..'), { recursive: true });
      fs.writeFileSync(join(dir, name), bytes);
    }
    execFileSync(program, args, { cwd: dir, stdio: 'ignore', timeout: 60_000 });
    return fs.readFileSync(join(dir, out));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

const JAVA =
  'public class A { int x; static String[] s = {"a","b"}; long f(double d) throws Exception { try { return (long) d; } finally { x++; } } }';
const CONTROL = 'Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: a\n';

/** What tools that are there write; a kind without its tool is left out. */
export function toolFiles(seed: number): [string, Buffer][] {
  const text = words(seed, 150_000);
  const disk = cat(
    noise(seed, 70_000),
    Buffer.alloc(300_000),
    noise(seed + 1, 70_000),
    Buffer.alloc(1_000_000 - 440_000),
  );
  const qemu = (format: string, ...options: string[]): Buffer | undefined =>
    tool('qemu-img', ['convert', '-f', 'raw', '-O', format, ...options, 'x.raw', 'out'], 'out', { 'x.raw': disk });
  const made: readonly (readonly [string, Buffer | undefined])[] = [
    ['bz2', tool('bzip2', ['-k', 'x'], 'x.bz2', { x: text })],
    ['bz2', tool('bzip2', ['-k1', 'x'], 'x.bz2', { x: cat(noise(seed + 2, 120_000), Buffer.alloc(70_000), text) })],
    ['lz4', tool('lz4', ['-q', 'x', 'x.lz4'], 'x.lz4', { x: cat(text, noise(seed + 3, 80_000)) })],
    ['lz4', tool('lz4', ['-q', '-9', '-BD', '-B4', 'x', 'x.lz4'], 'x.lz4', { x: text })],
    ['deb', tool('dpkg-deb', ['-b', 'd', 'x.deb'], 'x.deb', { 'd/DEBIAN/control': ascii(CONTROL), 'd/usr/x': text })],
    ['class', tool('javac', ['A.java'], 'A.class', { 'A.java': ascii(JAVA) })],
    ['vhd', qemu('vpc')],
    ['vmdk', qemu('vmdk', '-o', 'subformat=streamOptimized')],
    ['vmdk', qemu('vmdk')],
    ['qcow2', qemu('qcow2')],
    ['vdi', qemu('vdi')],
    ['vhdx', qemu('vhdx')],
    [
      'db',
      tool('perl', ['-MDB_File', '-e', 'tie my %h,"DB_File","x.db"; $h{$_}=$_ x 40 for 1..900; untie %h'], 'x.db', {}),
    ],
    [
      'jpg',
      tool('cjpeg', ['-progressive', '-outfile', 'x.jpg', 'x.ppm'], 'x.jpg', { 'x.ppm': pixels(seed, 301, 203) }),
    ],
    [
      'jpg',
      tool('cjpeg', ['-progressive', '-restart', '2', '-sample', '2x1', '-outfile', 'x.jpg', 'x.ppm'], 'x.jpg', {
        'x.ppm': pixels(seed + 1, 255, 330),
      }),
    ],
    [
      'jpg',
      tool('cjpeg', ['-baseline', '-outfile', 'x.jpg', 'x.ppm'], 'x.jpg', { 'x.ppm': pixels(seed + 2, 301, 203) }),
    ],
    ['lz', tool('python3', ['-c', LZIP], 'x.lz', { x: text })],
  ];
  return made.filter((one): one is [string, Buffer] => one[1] !== undefined);
}

/** A picture of slopes with noise on them. */
function pixels(seed: number, width: number, height: number): Buffer {
  const grain = noise(seed, width * height * 3);
  const body = grain.map((byte, i) => (byte % 60) + ((i / 3) % width) / 3 + Math.floor(i / 3 / width) / 4);
  return cat(ascii(`P6\n${width} ${height}\n255\n`), Buffer.from(body));
}

const LZIP = [
  'import lzma,zlib,struct;d=open("x","rb").read()',
  'b=lzma.compress(d,format=lzma.FORMAT_RAW,filters=[{"id":lzma.FILTER_LZMA1,"dict_size":1<<20,"lc":3,"lp":0,"pb":2}])',
  'open("x.lz","wb").write(b"LZIP\\x01\\x14"+b+struct.pack("<IQQ",zlib.crc32(d),len(d),len(b)+26))',
].join('\n');

/** Kinds that are written here, from their published formats. */
export function writtenFiles(seed: number): [string, Buffer][] {
  return [
    ['cpio', cpioFile(seed)],
    ['flac', flacFile(seed, 40)],
    ['wv', wavPackFile(seed)],
    ['aac', cat(...Array.from({ length: 60 }, (_, i) => adts(seed + i, 300 + i)))],
    ['djvu', djvuFile(seed)],
    ['flv', flvFile(seed)],
    ['ts', transportFile(seed)],
    ['wmv', asfFile(seed)],
    ['kdbx', keepassFile(seed)],
    ['tnef', tnefFile(seed)],
    ['torrent', torrentFile(seed)],
    ['vcf', cardFile(seed)],
    ['pcapng', pcapngFile(seed)],
    ['vmx', settingsFile(seed)],
    ['emf', emfFile(seed)],
    ['jp2', jpeg2000File(seed)],
    ['blend', blenderFile(seed)],
    ['wim', wimFile(seed)],
    ['dex', dexFile(seed)],
  ];
}

function cpioFile(seed: number): Buffer {
  const member = (name: string, data: Buffer): Buffer => {
    const digits = (value: number): string => value.toString(16).padStart(8, '0');
    const fields = [1, 0o100644, 0, 0, 1, 1_700_000_000, data.length, 0, 0, 0, 0, name.length + 1, 0]
      .map(digits)
      .join('');
    const head = ascii(`070701${fields}${name}\0`);
    return cat(head, Buffer.alloc(-head.length & 3), data, Buffer.alloc(-data.length & 3));
  };
  const all = cat(
    member('a/b', words(seed, 20_001)),
    member('c', noise(seed, 9000)),
    member('TRAILER!!!', Buffer.alloc(0)),
  );
  return cat(all, Buffer.alloc(-all.length & 511));
}

class BitList {
  readonly #bits: number[] = [];

  put(value: number, bits: number): this {
    for (let i = bits - 1; i >= 0; i--) this.#bits.push(Math.floor(value / 2 ** i) & 1);
    return this;
  }

  bytes(): Buffer {
    while (this.#bits.length % 8 !== 0) this.#bits.push(0);
    return Buffer.from(
      Array.from({ length: this.#bits.length / 8 }, (_, i) =>
        this.#bits.slice(i * 8, i * 8 + 8).reduce((a, b) => a * 2 + b, 0),
      ),
    );
  }
}

/** A checksum as it is defined, bit by bit. */
function plainCrc(data: Buffer, width: number, polynomial: number): number {
  let crc = 0;
  for (const byte of data)
    for (let bit = 7; bit >= 0; bit--) {
      const top = (crc >>> (width - 1)) ^ ((byte >>> bit) & 1);
      crc = (crc << 1) & (2 ** width - 1);
      if (top === 1) crc ^= polynomial;
    }
  return crc;
}

/** Frames of 192 samples and two channels: one plain, one of differences coded by Rice with and without an escape. */
function flacFile(seed: number, frames: number): Buffer {
  const info = cat(be(192, 2), be(192, 2), be(0, 6), hex('0ac442f0'), be(frames * 192, 4), Buffer.alloc(16));
  const out = [ascii('fLaC'), hex('00000022'), info, hex('84000008'), le(0, 4), le(0, 4)];
  for (let n = 0; n < frames; n++) {
    const head = cat(hex('fff81918'), be(n, 1));
    const bits = new BitList().put(0b0_000001_0, 8);
    for (const byte of noise(seed + n, 384)) bits.put(byte, 8);
    bits.put(0b0_001001_0, 8).put(noise(seed, 2).readUInt16LE(), 16).put(0, 2).put(1, 4);
    bits.put(3, 4);
    for (let i = 0; i < 95; i++) bits.put(1, 1 + ((i * 7) % 5)).put(i % 8, 3);
    bits.put(15, 4).put(6, 5);
    for (let i = 0; i < 96; i++) bits.put(i % 64, 6);
    const body = cat(head, be(plainCrc(head, 8, 0x07), 1), bits.bytes());
    out.push(body, be(plainCrc(body, 16, 0x8005), 2));
  }
  return cat(...out);
}

function wavPackFile(seed: number): Buffer {
  const blocks = Array.from({ length: 12 }, (_, i) =>
    cat(
      ascii('wvpk'),
      le(1624, 4),
      le(0x410, 2),
      le(0, 2),
      le(12_000, 4),
      le(i * 1000, 4),
      le(1000, 4),
      le(0, 4),
      le(0, 4),
      noise(seed + i, 1600),
    ),
  );
  return cat(...blocks);
}

function adts(seed: number, length: number): Buffer {
  const head = Buffer.from([
    0xff,
    0xf1,
    0x50,
    0x80 | (length >>> 11),
    (length >>> 3) & 255,
    ((length & 7) << 5) | 0x1f,
    0xfc,
  ]);
  return cat(head, noise(seed, length - 7));
}

function djvuFile(seed: number): Buffer {
  const chunk = (name: string, data: Buffer): Buffer =>
    cat(ascii(name), be(data.length, 4), data, Buffer.alloc(data.length % 2));
  const body = cat(
    ascii('DJVU'),
    chunk('INFO', noise(seed, 10)),
    chunk('Sjbz', noise(seed, 9001)),
    chunk('TXTz', noise(seed, 700)),
  );
  return cat(ascii('AT&TFORM'), be(body.length, 4), body);
}

function flvFile(seed: number): Buffer {
  const tag = (i: number, size: number): Buffer =>
    cat(
      Buffer.from([i % 2 === 0 ? 8 : 9]),
      be(size, 3),
      be(i * 40, 3),
      Buffer.alloc(4),
      noise(seed + i, size),
      be(size + 11, 4),
    );
  return cat(hex('464c5601050000000900000000'), ...Array.from({ length: 30 }, (_, i) => tag(i, 500 + i * 20)));
}

function transportFile(seed: number): Buffer {
  const packet = (i: number): Buffer => {
    const pid = i % 20 === 0 ? 0 : 0x100;
    const counter = (pid === 0 ? i / 20 : i - Math.floor(i / 20) - 1) & 15;
    return cat(
      Buffer.from([0x47, (i % 20 === 0 ? 0x40 : 0) | (pid >>> 8), pid & 255, 0x10 | counter]),
      noise(seed + i, 184),
    );
  };
  return cat(...Array.from({ length: 120 }, (_, i) => packet(i)));
}

function asfFile(seed: number): Buffer {
  const object = (id: string, body: Buffer): Buffer => cat(hex(id), le(body.length + 24, 8), body);
  const data = object('3626b2758e66cf11a6d900aa0062ce6c', noise(seed, 30_000));
  const index = object('90080033b1e5cf1189f400a0c90349cb', noise(seed, 900));
  const whole = 24 + 6 + 104 + data.length + index.length;
  const facts = object('a1dcab8c47a9cf118ee400c00c205365', cat(Buffer.alloc(16), le(whole, 8), Buffer.alloc(56)));
  return cat(object('3026b2758e66cf11a6d900aa0062ce6c', cat(le(1, 4), hex('0102'), facts)), data, index);
}

function keepassFile(seed: number): Buffer {
  const field = (id: number, data: Buffer): Buffer => cat(Buffer.from([id]), le(data.length, 4), data);
  const block = (data: Buffer): Buffer => cat(noise(seed, 32), le(data.length, 4), data);
  const head = cat(
    hex('03d9a29a67fb4bb500000400'),
    field(2, noise(seed, 16)),
    field(4, noise(seed, 32)),
    field(0, hex('0d0a0d0a')),
  );
  return cat(head, noise(seed, 64), block(noise(seed + 1, 20_000)), block(Buffer.alloc(0)));
}

function tnefFile(seed: number): Buffer {
  const part = (level: number, id: number, data: Buffer): Buffer =>
    cat(Buffer.from([level]), le(id, 4), le(data.length, 4), data, le(data.reduce((a, b) => a + b, 0) % 65_536, 2));
  return cat(
    hex('789f3e220100'),
    part(1, 0x89006, le(65_536, 4)),
    part(2, 0x6800f, noise(seed, 12_345)),
    part(2, 0x18010, ascii('a.bin\0')),
  );
}

function torrentFile(seed: number): Buffer {
  const pieces = noise(seed, 8000);
  return cat(
    ascii(
      'd8:announce14:http://a.b/ann13:creation datei1700000000e4:infod6:lengthi99999e4:name3:abc12:piece lengthi16384e6:pieces8000:',
    ),
    pieces,
    ascii('ee'),
  );
}

function cardFile(seed: number): Buffer {
  const one = (i: number): string =>
    `BEGIN:VCARD\r\nVERSION:3.0\r\nFN:${say(seed + i, 20)}\r\nNOTE;CHARSET=UTF-8:${say(seed + i, 200)}\r\n ${say(seed, 50)}\r\nEND:VCARD\r\n`;
  return ascii(Array.from({ length: 30 }, (_, i) => one(i)).join(''));
}

function pcapngFile(seed: number): Buffer {
  const block = (type: number, body: Buffer): Buffer =>
    cat(le(type, 4), le(body.length + 12, 4), body, le(body.length + 12, 4));
  const head = block(0x0a0d0d0a, cat(hex('4d3c2b1a01000000'), hex('ffffffffffffffff')));
  const packets = Array.from({ length: 40 }, (_, i) =>
    block(6, cat(le(0, 12), le(400, 4), le(400, 4), noise(seed + i, 400))),
  );
  return cat(head, block(1, cat(le(1, 2), le(0, 2), le(65_535, 4))), ...packets);
}

function settingsFile(seed: number): Buffer {
  const more = Array.from({ length: 60 }, (_, i) => `scsi0:${i}.note = "${say(seed + i, 60)}"\n`).join('');
  return ascii(
    `.encoding = "UTF-8"\nconfig.version = "8"\nvirtualHW.version = "13"\ndisplayName = "x"\nguestOS = "other"\n${more}`,
  );
}

function emfFile(seed: number): Buffer {
  const record = (type: number, body: Buffer): Buffer => cat(le(type, 4), le(body.length + 8, 4), body);
  const more = Array.from({ length: 50 }, (_, i) => record(54, noise(seed + i, 200)));
  const end = record(14, Buffer.alloc(12));
  const total = 108 + more.reduce((sum, one) => sum + one.length, 0) + end.length;
  const head = record(
    1,
    cat(Buffer.alloc(32), ascii(' EMF'), le(0x10000, 4), le(total, 4), le(52, 4), Buffer.alloc(52)),
  );
  return cat(head, ...more, end);
}

function jpeg2000File(seed: number): Buffer {
  const box = (type: string, body: Buffer): Buffer => cat(be(body.length + 8, 4), ascii(type), body);
  const code = cat(hex('ff4fff51'), noise(seed, 20_000), hex('ffd9'));
  return cat(
    box('jP  ', hex('0d0a870a')),
    box('ftyp', ascii('jp2 \0\0\0\0jp2 ')),
    box('jp2h', noise(seed, 40)),
    box('jp2c', code),
  );
}

function blenderFile(seed: number): Buffer {
  const block = (code: string, data: Buffer): Buffer =>
    cat(ascii(code.padEnd(4, '\0')), le(data.length, 4), noise(seed, 8), le(1, 8), data);
  return cat(
    ascii('BLENDER-v279'),
    block('REND', noise(seed, 72)),
    block('DATA', noise(seed, 9000)),
    block('DNA1', noise(seed, 4000)),
    block('ENDB', Buffer.alloc(0)),
  );
}

function wimFile(seed: number): Buffer {
  const data = noise(seed, 20_000);
  const table = noise(seed, 500);
  const described = Buffer.from('\ufeff<WIM><TOTALBYTES>1</TOTALBYTES></WIM>', 'utf16le');
  const place = (length: number, at: number): Buffer => cat(le(length, 7), Buffer.from([2]), le(at, 8), le(length, 8));
  const head = cat(
    ascii('MSWIM\0\0\0'),
    le(208, 4),
    le(0x10d00, 4),
    le(0, 4),
    le(0, 4),
    noise(seed, 16),
    le(1, 2),
    le(1, 2),
    le(1, 4),
    place(table.length, 208 + data.length),
    place(described.length, 208 + data.length + table.length),
    Buffer.alloc(208 - 0x60),
  );
  return cat(head, data, table, described);
}

function dexFile(seed: number): Buffer {
  const body = cat(noise(seed, 20), le(20_000, 4), le(0x70, 4), le(0x12345678, 4), noise(seed, 20_000 - 44));
  let [a, b] = [1, 0];
  for (const byte of body) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  return cat(ascii('dex\n035\0'), le(b * 65_536 + a, 4), body);
}
