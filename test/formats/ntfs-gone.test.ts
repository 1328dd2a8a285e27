/** What NTFS keeps beside plain files: deleted ones, what the system compressed, the recycle bin. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { GUESSED, INFERRED, LOST, STATED } from '../../src/core/run.ts';
import { type Fault, faulty, put } from '../faults/faults.ts';
import { seeded } from '../make/content.ts';
import { makeNtfs, type NtfsEntry, ntfs3gAbsent, onVolume } from '../make/ntfs.ts';
import { splitTable } from '../make/ntfs-table.ts';
import { everything, opened, part, sha256, weakest, whole } from './ntfs-volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-ntfs-gone-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const MIB = 2 ** 20;
const made = ntfs3gAbsent === undefined;
const RECORD = 1024;
/** mkntfs puts $MFT at the fourth cluster of 4 KiB. */
const MFT = 4 * 4096;

/** A volume in memory, changed by `then` once it was filled and unmounted. */
function volume(
  mib: number,
  options: readonly string[],
  entries: readonly NtfsEntry[],
  then?: (at: string) => void,
): MemorySource {
  const image = join(root, 'image');
  makeNtfs(image, mib * MIB, options, entries);
  if (then !== undefined) onVolume(image, then);
  const source = new MemorySource(fs.readFileSync(image));
  fs.rmSync(image);
  return source;
}

test.runIf(made)('deleted files come back inferred, and what others took of them is missing', async () => {
  const files = ['a', 'b', 'c'].map((name, i) => ({
    path: `old/${name}.bin`,
    bytes: seeded(70 + i, 300_000).read(0, 300_000),
  }));
  const tiny = { path: 'old/tiny.txt', bytes: seeded(80, 300).read(0, 300) };
  const source = volume(
    6,
    ['-c', '4096'],
    [...files, tiny, { path: 'old/stays', bytes: seeded(90, 40).read(0, 40) }],
    (at) => {
      for (const { path } of [...files, tiny]) fs.rmSync(join(at, path));
    },
  );
  const { stack, top } = await opened(source);
  const found = await everything(stack, (await stack.child(top!, '+deleted'))!);
  for (const { path, bytes } of [...files, tiny]) {
    const node = found.get(path)!;
    expect(node.state).toBe('deleted');
    expect(sha256(await whole(await node.bytes!()))).toBe(sha256(bytes));
    expect(await weakest(await node.bytes!())).toBe(INFERRED);
  }
  // Files that came later took records and clusters.
  const image = join(root, 'later.img');
  fs.writeFileSync(image, await part(source, 0, source.size));
  onVolume(image, (at) => fs.writeFileSync(join(at, 'later'), seeded(99, 3_000_000).read(0, 3_000_000)));
  const later = await opened(new MemorySource(fs.readFileSync(image)));
  const gone = await everything(later.stack, (await later.stack.child(later.top!, '+deleted'))!);
  let lost = 0;
  for (const { path, bytes } of files) {
    const node = gone.get(path);
    if (node?.bytes === undefined) continue;
    const content = await node.bytes();
    const had = new Uint8Array(content.size);
    const gaps = await content.read(0, had);
    for (const gap of gaps) expect(gap.code).toBe('ntfs.cluster-reused');
    for (const gap of gaps) had.set(bytes.subarray(gap.offset, gap.offset + gap.length), gap.offset);
    expect(sha256(had), path).toBe(sha256(bytes));
    lost += gaps.length;
  }
  expect(lost).toBeGreaterThan(0);
});

/** Puts a resident attribute behind all others of a record, which must have room for it. */
function withAttribute(record: Buffer, type: number, value: Uint8Array): Buffer {
  const out = Buffer.from(record);
  // The ends of both sectors stand in the update sequence while they carry its number.
  const kept = out.readUInt16LE(4);
  for (const i of [1, 2]) out.writeUInt16LE(out.readUInt16LE(kept + 2 * i), 512 * i - 2);
  const used = out.readUInt32LE(0x18);
  const at = used - 8;
  const length = Math.ceil((24 + value.length) / 8) * 8;
  if (out.readUInt32LE(at) !== 0xffffffff || at + length + 8 > out.length - 2)
    throw new Error('no room for an attribute');
  out.fill(0, at, at + length);
  out.writeUInt32LE(type, at);
  out.writeUInt32LE(length, at + 4);
  out.writeUInt16LE(0x40, at + 14);
  out.writeUInt32LE(value.length, at + 16);
  out.writeUInt16LE(24, at + 20);
  out.set(value, at + 24);
  out.writeUInt32LE(0xffffffff, at + length);
  out.writeUInt32LE(used + length, 0x18);
  for (const i of [1, 2]) {
    out.writeUInt16LE(out.readUInt16LE(512 * i - 2), kept + 2 * i);
    out.writeUInt16LE(out.readUInt16LE(kept), 512 * i - 2);
  }
  return out;
}

/** XPRESS with a code of nine bits for every symbol: literals, and one match of the byte before for long runs. */
function xpress(chunk: Uint8Array): Uint8Array {
  const table = new Uint8Array(256).fill(0x99);
  const codes: [number, number][] = [];
  for (let i = 0; i < chunk.length; ) {
    let run = 0;
    while (i > 0 && run < 17 && i + run < chunk.length && chunk[i + run] === chunk[i - 1]) run++;
    // A symbol of 256 and more: the upper four bits tell of the distance (one byte here), the lower ones of the length.
    codes.push(run >= 3 ? [256 + run - 3, 9] : [chunk[i], 9]);
    i += run >= 3 ? run : 1;
  }
  const bits = codes.map(([code, width]) => code.toString(2).padStart(width, '0')).join('');
  const words = Array.from({ length: Math.ceil(bits.length / 16) + 1 }, (_, i) =>
    Number.parseInt(bits.slice(16 * i, 16 * i + 16).padEnd(16, '0'), 2),
  );
  return Buffer.concat([table, Buffer.from(Uint16Array.from(words).buffer)]);
}

test.runIf(made).each([
  [0, 4096],
  [2, 8192],
  [3, 16_384],
])('files that the system compressed, algorithm %i', async (algorithm, chunk) => {
  const bytes = new Uint8Array(70_000).map((_, i) => (i % 1000 < 700 ? 7 : (i * 31) & 0xff));
  bytes.set(seeded(4, chunk).read(0, chunk), chunk);
  const chunks = Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, i) => {
    const part = bytes.subarray(i * chunk, (i + 1) * chunk);
    const packed = xpress(part);
    return packed.length < part.length ? packed : part;
  });
  const table = new Uint32Array(chunks.length - 1);
  for (let i = 0, at = 0; i < table.length; i++) {
    at += chunks[i].length;
    table[i] = at;
  }
  const packed = Buffer.concat([Buffer.from(table.buffer), ...chunks]);
  const source = volume(
    6,
    ['-c', '4096'],
    [
      { path: 'f', bytes: new Uint8Array(0) },
      { path: 'f:WofCompressedData', bytes: packed },
    ],
    (at) => fs.truncateSync(join(at, 'f'), bytes.length),
  );
  const before = await opened(source);
  const at = MFT + RECORD * Number((await before.stack.child(before.top!, 'f'))!.facts.details!.record);
  const point = (kind: number): Fault => {
    const value = Buffer.alloc(24);
    for (const [i, word] of [0x80000017, 16, 1, 2, 1, kind].entries()) value.writeUInt32LE(word, 4 * i);
    return put(at, withAttribute(record, 0xc0, value));
  };
  const record = await part(source, at, RECORD);
  const { stack, top } = await opened(faulty(source, [point(algorithm)]));
  const found = await everything(stack, top!);
  expect([...found.keys()].filter((path) => path.startsWith('f'))).toEqual(['f']);
  expect(sha256(await whole(await found.get('f')!.bytes!()))).toBe(sha256(bytes));
  expect(await weakest(await found.get('f')!.bytes!())).toBe(STATED);
  // What stands in place of it is kept elsewhere: holes are no zeros.
  const value = Buffer.alloc(16);
  value.writeUInt32LE(0x80000013, 0);
  const dedup = await opened(faulty(source, [put(at, withAttribute(record, 0xc0, value))]));
  const kept = await (await dedup.stack.child(dedup.top!, 'f'))!.bytes!();
  expect(await kept.read(0, new Uint8Array(50))).toEqual([{ offset: 0, length: 50, code: 'ntfs.dedup' }]);
  const lzx = await opened(faulty(source, [point(1)]));
  const none = await (await lzx.stack.child(lzx.top!, 'f'))!.bytes!();
  expect(await none.read(0, new Uint8Array(100))).toEqual([{ offset: 0, length: 100, code: 'ntfs.wof.lzx' }]);
});

test.runIf(made)('the recycle bin tells where its files came from', async () => {
  const path = Buffer.from('C:\\Users\\a\\Möbel.txt\0', 'utf16le');
  const head = Buffer.alloc(28);
  head.writeUInt32LE(2, 0);
  head.writeUInt32LE(5, 8);
  head.writeBigUInt64LE(133_500_000_000_000_000n, 16);
  head.writeUInt32LE(path.length / 2, 24);
  const old = Buffer.alloc(24 + 520);
  old.writeUInt32LE(1, 0);
  old.write('D:\\x', 24, 'utf16le');
  const bin = '$RECYCLE.BIN/S-1-5-21-1-2-3-1001';
  const source = volume(
    6,
    [],
    [
      { path: `${bin}/$IABC123.txt`, bytes: Buffer.concat([head, path]) },
      { path: `${bin}/$RABC123.txt`, bytes: Buffer.from('hello') },
      { path: `${bin}/$IXYZ.txt`, bytes: old },
      { path: `${bin}/$RXYZ.txt`, bytes: Buffer.from('hi') },
    ],
  );
  const { stack, top } = await opened(source);
  const found = await everything(stack, top!);
  const facts = found.get(`${bin}/$RABC123.txt`)!.facts.details!;
  expect(Buffer.from(String(facts.original), 'latin1').toString()).toBe('C:\\Users\\a\\Möbel.txt');
  expect(facts.deleted).toBe(13_350_000_000 - 11_644_473_600);
  expect(found.get(`${bin}/$RXYZ.txt`)!.facts.details!.original).toBe('D:\\x');
});

test.runIf(made)('names outlive their records in what indexes leave behind', async () => {
  const files = Array.from({ length: 200 }, (_, i) => ({ path: `d/fill-${i}`, bytes: Buffer.from(`xyz${i}`) }));
  const source = volume(6, ['-c', '4096'], files, (at) => {
    for (let i = 150; i < 200; i++) fs.rmSync(join(at, `d/fill-${i}`));
    // Records of the deleted ones are taken by these.
    for (let i = 0; i < 60; i++) fs.writeFileSync(join(at, `new-${i}`), 'x');
  });
  const { stack, top } = await opened(source);
  const found = await everything(stack, (await stack.child(top!, '+deleted'))!);
  const names = [...found].filter(([, node]) => node.facts.details?.nameOnly === true);
  expect(names.length).toBeGreaterThan(5);
  for (const [path, node] of names) {
    expect(path).toMatch(/^d\/fill-1[5-9]\d$/);
    expect(node.facts.size).toBe(6);
    expect(node.bytes).toBeUndefined();
  }
});

test.runIf(made)('a $MFT whose own map stands in two records', async () => {
  const files = Array.from({ length: 100 }, (_, i) => ({ path: `d/file-${i}`, bytes: Buffer.from(`xyz${i}`) }));
  const source = volume(6, ['-c', '4096'], files);
  const image = Buffer.from(await part(source, 0, source.size));
  splitTable(image, MFT, 4096, 8);
  const { stack, top } = await opened(new MemorySource(image));
  expect(top!.damage.map((one) => one.code)).toEqual([]);
  const found = await everything(stack, top!);
  for (const { path, bytes } of files) {
    const content = await found.get(path)!.bytes!();
    expect(Buffer.from(await whole(content)), path).toEqual(bytes);
    expect(await weakest(content)).toBe(STATED);
  }
  // The same without both boot sectors.
  image.fill(0, 0, 4096);
  image.fill(0, image.length - 512);
  const bare = await opened(new MemorySource(image));
  expect([...(await everything(bare.stack, bare.top!)).keys()].sort()).toEqual([...found.keys()].sort());
});

test.runIf(made)('of two deleted files that had the same clusters the one that was changed last has them', async () => {
  const files = ['one', 'two'].map((path, i) => ({ path, bytes: seeded(110 + i, 50_000).read(0, 50_000) }));
  const source = volume(6, ['-c', '4096'], files, (at) => {
    for (const { path } of files) fs.rmSync(join(at, path));
  });
  const sound = await opened(source);
  const found = await everything(sound.stack, (await sound.stack.child(sound.top!, '+deleted'))!);
  const [one, two] = files.map(({ path }) => MFT + Number(found.get(path)!.facts.details!.record) * RECORD);
  const bytes = await part(source, 0, source.size);
  /** Where the attribute of data stands in a record. */
  const dataAt = (record: number): number => {
    let at = record + bytes.readUInt16LE(record + 0x14);
    while (bytes.readUInt32LE(at) !== 0x80) at += bytes.readUInt32LE(at + 4);
    return at;
  };
  // The second one's runs are those of the first.
  const runsAt = (record: number): number => dataAt(record) + bytes.readUInt16LE(dataAt(record) + 0x20);
  bytes.copy(bytes, runsAt(two), runsAt(one), runsAt(one) + 8);
  const first = files[0].bytes;
  for (const [lsns, grades] of [
    [
      [0, 0],
      [GUESSED, GUESSED],
    ],
    [
      [200, 100],
      [INFERRED, LOST],
    ],
    [
      [100, 200],
      [LOST, INFERRED],
    ],
  ] as const) {
    for (const [i, record] of [one, two].entries()) bytes.writeBigUInt64LE(BigInt(lsns[i]), record + 8);
    const { stack, top } = await opened(new MemorySource(bytes));
    const gone = await everything(stack, (await stack.child(top!, '+deleted'))!);
    for (const [i, { path }] of files.entries()) {
      const content = await gone.get(path)!.bytes!();
      expect(await weakest(content), `${path} ${lsns.join()}`).toBe(grades[i]);
      if (grades[i] > LOST) expect(sha256(await whole(content))).toBe(sha256(first));
    }
    stack.close();
  }
});
