/** What a raw file holds is found the same whether its zeros are holes or were written, and wherever they begin. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { FileSource } from '../src/core/evidence.ts';
import { detected } from '../src/export/detect.ts';
import { Threads } from '../src/export/threads.ts';
import { seeded } from './make/content.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const UNIT = 64 * KIB;
/** Stretches of data, [from, end): over borders of units, chunks of 4 MiB and pages, at the start and at the very end. */
const DATA = [
  [0, 100],
  [3 * MIB - 1, 3 * MIB + 1],
  [5 * MIB, 9 * MIB + 300],
  [20 * MIB + 60 * KIB, 20 * MIB + 64 * KIB],
  [31 * MIB + 511, 31 * MIB + 513],
  [40 * MIB + 17, 40 * MIB + 18],
] as const;
const SIZE = 40 * MIB + 18;

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-holes-'));
afterAll(() => fs.rmSync(dir, { recursive: true }));

/** The units that hold data, counted from the list above. */
function truth(): number[] {
  const units = new Set<number>();
  for (const [from, end] of DATA) {
    for (let unit = Math.floor(from / UNIT); unit * UNIT < end; unit++) units.add(unit);
  }
  return [...units].sort((a, b) => a - b);
}

/** A file of that data; `written` says which of the stretches of zeros between are no holes. */
function made(name: string, written: (i: number) => boolean): string {
  const file = path.join(dir, name);
  const fd = fs.openSync(file, 'wx');
  let at = 0;
  for (const [i, [from, end]] of DATA.entries()) {
    if (written(i)) fs.writeSync(fd, new Uint8Array(from - at), 0, from - at, at);
    const bytes = seeded(i + 1, MIB * 8).read(0, end - from);
    fs.writeSync(fd, bytes, 0, bytes.length, from);
    at = end;
  }
  fs.closeSync(fd);
  return file;
}

test.each([
  ['holes', () => false],
  ['written zeros', () => true],
  ['both', (i: number) => i % 2 === 0],
])('%s', async (name, written) => {
  const threads = new Threads();
  const source = new FileSource(made(name.replace(' ', '-'), written));
  try {
    expect(source.size).toBe(SIZE);
    const found = await detected(source, UNIT, threads, new AbortController().signal, () => {});
    const units: number[] = [];
    found.each(0, found.units, (unit) => units.push(unit));
    expect(units).toEqual(truth());
  } finally {
    await threads.close();
    source.close();
  }
});

test('through the descriptor for holes nothing comes but holes', () => {
  const source = new FileSource(made('some', (i) => i === 3));
  const plain = new FileSource(made('none', () => true));
  try {
    expect(plain.holesFd).toBeUndefined();
    const fd = source.holesFd;
    if (fd === undefined) return; // a file system without such reads
    const into = new Uint8Array(MIB + 1).fill(1).subarray(1);
    expect(fs.readSync(fd, into, 0, MIB, 32 * MIB)).toBe(MIB);
    expect(into.every((byte) => byte === 0)).toBe(true);
    // Where data lies a read is refused, or answers what is there: it never answers zeros for it.
    try {
      const got = fs.readSync(fd, into, 0, MIB, 6 * MIB);
      expect(got === 0 || into.subarray(0, got).some((byte) => byte !== 0)).toBe(true);
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('EINVAL');
    }
  } finally {
    source.close();
    plain.close();
  }
});
