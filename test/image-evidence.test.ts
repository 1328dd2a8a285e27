/** An image with a mapfile beside it, as evidence: exactly what was not copied is named, and none of it is read. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatMapfile, StatusMap } from '../src/codec/mapfile.ts';
import type { Manifest } from '../src/export/index.ts';
import { build, json, LAUNCHER, salvor } from './cli/salvor.ts';
import { writeImages } from './make/images.ts';
import { small5 } from './make/stores.ts';

const noStrace = spawnSync('strace', ['-V']).status === 0 ? '' : ' (strace is not installed)';
const FILE = '/kinds/blocks';
let dir = '';
let image = '';
/** Where the file's first bytes lie on the image, and how many follow on each other there. */
let run = { at: 0, length: 0 };
/** What the map says was not had: offset in the file, length. */
const LOST: readonly (readonly [number, number])[] = [
  [512, 1024],
  [70_000, 512],
];

interface Mapped {
  readonly runs: readonly { state: string; at: number; offset: number; length: number; why?: { code?: string } }[];
}

beforeAll(async () => {
  build();
  dir = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-mapped-')));
  [image] = await writeImages(small5(), dir);
  const { runs } = await json<Mapped>('map', `${image}::${FILE}`);
  run = { at: runs[0].at, length: runs[0].length };
  expect(run.length).toBeGreaterThan(100_000);
  const map = new StatusMap(fs.statSync(image).size);
  map.set(0, map.size, '+');
  for (const [i, [at, length]] of LOST.entries()) map.set(run.at + at, run.at + at + length, i === 0 ? '-' : '?');
  fs.writeFileSync(`${image}.map`, formatMapfile(map, []));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

const USED = (): string => `Used ${image}.map: 2 unreadable ranges, 1.5 KiB.`;

test('runs and reads name exactly those bytes; --only turns it off', async () => {
  const { runs } = await json<Mapped>('map', `${image}::${FILE}`);
  const missing = runs.filter((one) => one.state === 'missing');
  expect(missing.map(({ offset, length, why }) => [offset, length, why?.code])).toEqual(
    LOST.map(([at, length]) => [at, length, 'unreadable']),
  );
  const { code, err } = await salvor('cat', `${image}::${FILE}`);
  expect(code).toBe(1);
  const lines = LOST.map(([at, length]) => `${FILE}@${at}: ${length} bytes are missing (unreadable)`);
  for (const line of [...lines, USED()]) expect(err).toContain(line);
  const only = await salvor('cat', `${image}::${FILE}`, '--only');
  expect([only.code, only.err]).toEqual([0, '']);
});

test('recover names exactly those bytes, brings all others, and the rest of the store is whole', async () => {
  const out = path.join(dir, 'out');
  const manifest = await json<Manifest>('recover', image, '--out', out, '--path', '/kinds/*');
  const damaged = manifest.files.filter((file) => file.gaps.length > 0);
  expect(damaged.map((file) => [file.path.endsWith(FILE.slice(1)), file.gaps])).toEqual([[true, LOST]]);
  const whole = path.join(dir, 'whole');
  await json<Manifest>('recover', image, '--out', whole, '--path', FILE, '--only');
  const expected = fs.readFileSync(path.join(whole, damaged[0].path));
  for (const [at, length] of LOST) expected.fill(0, at, at + length);
  expect(fs.readFileSync(path.join(out, damaged[0].path)).equals(expected)).toBe(true);
});

test.skipIf(noStrace !== '')(`none of those bytes is read from the image${noStrace}`, () => {
  const trace = path.join(dir, 'trace');
  const reads = (...args: string[]): [number, number][] => {
    const strace = ['-f', '-y', '-o', trace, '-P', image, '-e', 'trace=read,pread64,readv,preadv,mmap'];
    spawnSync('strace', [...strace, process.execPath, LAUNCHER, ...args]);
    const lines = fs.readFileSync(trace, 'utf8').split('\n');
    const other = lines.filter((line) => line.includes(`<${image}>`) && !line.includes('pread64('));
    expect(other).toEqual([]);
    return lines.flatMap((line) => {
      const [, length, at] = /pread64\(.*, (\d+), (\d+)(?:\)| <unfinished)/.exec(line) ?? [];
      return at === undefined ? [] : [[Number(at), Number(length)] as [number, number]];
    });
  };
  const touched = (list: readonly [number, number][]): boolean =>
    list.some(([at, length]) => LOST.some(([o, l]) => at < run.at + o + l && at + length > run.at + o));
  const inside = `${image}::${FILE}`;
  for (const args of [
    ['cat', inside],
    ['recover', image, '--out', path.join(dir, 'traced')],
    ['image', image, `${dir}-copy`],
  ]) {
    const list = reads(...args);
    expect(list.length).toBeGreaterThan(0);
    expect([args[0], touched(list)]).toEqual([args[0], false]);
  }
  // The canary: without the map they are read.
  expect(touched(reads('cat', inside, '--only'))).toBe(true);
  for (const ending of ['', '.map', '.json']) fs.rmSync(`${dir}-copy${ending}`);
});

test('an image of an image passes on what its map says was not had', async () => {
  const copy = path.join(dir, 'copy');
  const done = await salvor('image', image, copy);
  expect([done.code, done.err]).toEqual([1, `${USED()}\n`]);
  const { runs } = await json<Mapped>('map', `${copy}::${FILE}`);
  expect(runs.flatMap((one) => (one.state === 'missing' ? [[one.offset, one.length]] : []))).toEqual(LOST);
});
