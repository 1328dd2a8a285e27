/** Kinds of files, one by one: the right end whatever follows, and nothing whole of what is in pieces. */
import { expect, test } from 'vitest';
import { type Carved, Content } from '../src/core/carver.ts';
import { MemorySource } from '../src/core/memory.ts';
import { carvers } from '../src/formats/file/index.ts';
import { seeded } from './make/content.ts';
import { words } from './make/files.ts';
import { toolFiles, writtenFiles } from './make/more-files.ts';

const UNIT = 4096;
const noise = (seed: number, length: number): Buffer => Buffer.from(seeded(seed, length).read(0, length));
const FILLERS = [Buffer.alloc(40_000), noise(9, 40_000), words(9, 40_000)];
const made = [...toolFiles(5), ...writtenFiles(6), ...writtenFiles(77)];

/** What the carvers whose key stands there make of the start of these bytes. */
async function carved(bytes: Buffer): Promise<(Carved & { kind: string })[]> {
  const out: (Carved & { kind: string })[] = [];
  for (const carver of carvers) {
    const begins = carver.keys.some(({ offset, bytes: key }) => key.every((byte, i) => bytes[offset + i] === byte));
    if (!begins || carver.begins?.(bytes.subarray(0, 1024)) === false) continue;
    const found = await carver.examine(new Content(new MemorySource(bytes), 0, carver.most));
    if (found !== undefined) out.push({ ...found, kind: found.extension ?? carver.extension });
  }
  return out;
}

test.each(made.map(([kind, bytes], n) => [kind, n, bytes] as const))('%s (%i): its end', async (kind, _, bytes) => {
  const rest = Buffer.alloc(-bytes.length & (UNIT - 1));
  for (const filler of FILLERS) {
    const found = await carved(Buffer.concat([bytes, rest, filler]));
    expect(found.map((one) => [one.kind, one.isWhole, one.length])).toEqual([[kind, true, bytes.length]]);
  }
});

test.each(made.map(([kind, bytes], n) => [kind, n, bytes] as const))(
  '%s (%i): in two pieces',
  async (kind, n, bytes) => {
    if (bytes.length < 3 * UNIT) return;
    const cut = UNIT * Math.max(1, Math.floor(bytes.length / UNIT / 2));
    const put = Buffer.concat([bytes.subarray(0, cut), noise(n, 3 * UNIT), bytes.subarray(cut), Buffer.alloc(UNIT)]);
    for (const one of await carved(put))
      expect(one.isWhole && one.isUnchecked !== true, `${kind} of ${one.length}`).toBe(false);
    const short = await carved(bytes.subarray(0, bytes.length - UNIT));
    for (const one of short) expect(one.isWhole, `${kind} without its end`).toBe(false);
  },
);

test('sound that does not say how long it is ends where no more frames follow, and is whole only there', async () => {
  const bytes = Buffer.from(made.find(([kind]) => kind === 'flac')![1]);
  bytes[21] &= 0xf0;
  bytes.fill(0, 22, 26);
  const [found] = await carved(Buffer.concat([bytes, Buffer.alloc(-bytes.length & (UNIT - 1)), noise(1, UNIT)]));
  expect(found).toMatchObject({ isWhole: true, length: bytes.length });
  const [half] = await carved(Buffer.concat([bytes.subarray(0, UNIT), noise(2, UNIT)]));
  expect(half.isWhole).toBe(false);
});

/** Bytes that a carver reads to follow a file. */
async function readOf(bytes: Buffer, kind: string): Promise<number> {
  const source = new MemorySource(bytes);
  let read = 0;
  const counted = {
    size: source.size,
    runs: source.runs.bind(source),
    read: (offset: number, into: Uint8Array) => {
      read += into.length;
      return source.read(offset, into);
    },
  };
  const carver = carvers.find(({ extension }) => extension === kind)!;
  expect(await carver.examine(new Content(counted, 0, carver.most))).toMatchObject({ isWhole: true });
  return read;
}

test('frames of sound are not read again for each of them', async () => {
  const bytes = made.find(([kind]) => kind === 'flac')![1];
  expect(await readOf(Buffer.concat([bytes, noise(3, 8 * 1024 * 1024)]), 'flac')).toBeLessThan(4 * 1024 * 1024);
});

test('the directory of a disk is not read again for each of its tables', async () => {
  const disk = Buffer.alloc(4 * 1024 * 1024);
  disk.write('KDMV', 0, 'latin1');
  disk.writeUInt32LE(1, 4);
  const numbers = { 12: 200 * 512 * 128, 20: 128, 56: 1, 64: 128 };
  for (const [at, value] of Object.entries(numbers)) disk.writeUInt32LE(value, Number(at));
  disk.writeUInt32LE(512, 44);
  disk.write('\n \r\n', 73, 'latin1');
  // All tables are one, far behind the directory.
  for (let i = 0; i < 200; i++) disk.writeUInt32LE(6000, 512 + i * 4);
  disk.writeUInt32LE(7000, 6000 * 512);
  expect(await readOf(disk, 'vmdk')).toBeLessThan(4 * 1024 * 1024);
});

test('another picture in the middle of one is no part of it', async () => {
  const pictures = made.filter(([kind]) => kind === 'jpg').map(([, bytes]) => bytes);
  for (const [i, bytes] of pictures.entries()) {
    const other = pictures[(i + 1) % pictures.length];
    for (const units of [1, 2, 3]) {
      // Coded bytes look like coded bytes: only decoding tells them apart.
      const put = [bytes.subarray(0, units * UNIT), other.subarray(UNIT, 2 * UNIT), bytes.subarray(units * UNIT)];
      for (const one of await carved(Buffer.concat(put))) expect(one.isWhole, `${i} at ${units}`).toBe(false);
    }
  }
});

test('there are about 60 kinds that can be told to be whole', () => {
  expect(carvers.length).toBeGreaterThanOrEqual(70);
  expect(new Set(carvers.map(({ title }) => title)).size).toBe(carvers.length);
});
