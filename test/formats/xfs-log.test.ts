/** XFS volumes that were not unmounted: read as the kernel reads them once it has put their logs in place. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { STATED } from '../../src/core/run.ts';
import { Stack } from '../../src/stack/stack.ts';
import { dice } from '../faults/faults.ts';
import { seeded } from '../make/content.ts';
import { makeMounted, makeStopped, mountAbsent, readMounted } from '../make/mounted.ts';
import { dataOf, departures, everything, sha256, weakest } from './volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-xfs-log-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const absent = mountAbsent('xfs');
const LEAST = '100M';

/** Files, directories and links that come, grow, move and go; what is synced now and then is partly in place. */
function churn(dir: string, seed: number, rounds: number): void {
  const roll = dice(seed);
  const dirs = [''];
  let files: string[] = [];
  const any = <T>(list: readonly T[]): T => list[roll(list.length)];
  for (let i = 0; i < rounds; i++) {
    const kind = roll(100);
    const path = join(any(dirs), `n${i}${'x'.repeat(roll(50))}`);
    const full = join(dir, path);
    if (kind < 5) {
      fs.mkdirSync(full);
      dirs.push(path);
    } else if (kind < 50 || files.length < 5) {
      fs.writeFileSync(full, seeded(i, [0, 10, 700, 5000, 40_000][roll(5)]).read(0, 40_000));
      files.push(path);
    } else if (kind < 55) {
      fs.symlinkSync('t'.repeat([5, 100, 600, 1000][roll(4)]), full);
    } else if (kind < 60) {
      const file = fs.openSync(join(dir, any(files)), 'r+');
      for (let piece = 0; piece < 40; piece++) fs.writeSync(file, `piece ${piece}`, piece * 8192);
      fs.closeSync(file);
    } else if (kind < 70) {
      const from = any(files);
      fs.renameSync(join(dir, from), full);
      files = [...files.filter((one) => one !== from), path];
    } else if (kind < 97) {
      const gone = any(files);
      fs.rmSync(join(dir, gone));
      files = files.filter((one) => one !== gone);
    } else if (kind < 98) execFileSync('sync', ['-f', dir]);
  }
}

const KINDS: readonly [string, readonly string[]][] = [
  ['defaults', []],
  ['blocks of 1 KiB', ['-b', 'size=1024']],
  ['without bigtime and reflink, with rmapbt', ['-m', 'bigtime=0,reflink=0,inobtcount=0,rmapbt=1', '-l', 'size=20m']],
  ['inodes of 1 KiB, directories of 8 KiB', ['-i', 'size=1024', '-n', 'size=8192']],
  ['a striped log', ['-l', 'su=64k,size=12m']],
];

test.skipIf(absent !== undefined).each(KINDS)('%s: what the log has is read, all stated', async (name, options) => {
  const image = join(root, `${name.replaceAll(/\W/g, '-')}.img`);
  makeStopped('xfs', image, LEAST, options, (dir) => churn(dir, name.length, 1500));
  const before = sha256(fs.readFileSync(image));
  const recovered = `${image}.mounted`;
  fs.copyFileSync(image, recovered);
  const put = readMounted(recovered);
  expect(put.length).toBeGreaterThan(200);
  expect(await departures(image, put)).toEqual([]);
  expect(sha256(fs.readFileSync(image))).toBe(before);
  // What the kernel has recovered is clean, although its log went through a recovery.
  expect(await departures(recovered, put)).toEqual([]);
  fs.rmSync(image);
  fs.rmSync(recovered);
});

test.skipIf(absent !== undefined)('a log that went round', async () => {
  const image = join(root, 'round.img');
  makeStopped('xfs', image, LEAST, ['-l', 'size=6m'], (dir) => {
    churn(dir, 5, 500);
    for (let turn = 0; turn < 25; turn++) {
      for (let i = 0; i < 300; i++) fs.writeFileSync(join(dir, `${turn % 2}-${i}`), String(turn));
      execFileSync('sync', ['-f', dir]);
    }
  });
  fs.copyFileSync(image, `${image}.mounted`);
  expect(await departures(image, readMounted(`${image}.mounted`))).toEqual([]);
});

test.skipIf(absent !== undefined)(
  'a log that is damaged is told, and nothing stated is wrong',
  async () => {
    const image = join(root, 'damaged.img');
    makeStopped('xfs', image, LEAST, ['-b', 'size=1024'], (dir) => churn(dir, 9, 1500));
    const sound = fs.readFileSync(image);
    const isData = await dataOf(image);
    const truth = new Map(readMounted(image).map((one) => [one.path, one]));
    const view = new DataView(sound.buffer, sound.byteOffset);
    const [logAt, agBlocks, agBits] = [view.getUint32(52), view.getUint32(84), sound[124]];
    const log = (Math.floor(logAt / 2 ** agBits) * agBlocks + (logAt % 2 ** agBits)) * 1024;
    // What is in use of the log, and where metadata lies.
    let used = log;
    for (let at = log; at < log + view.getUint32(96) * 1024; at += 512)
      if (view.getUint32(at) === 0xfeedbabe) used = at;
    const roll = dice(31);
    let told = 0;
    const rounds = 20;
    for (let round = 0; round < rounds; round++) {
      const at = round % 2 === 0 ? log + roll(used - log) : roll(4) * agBlocks * 1024 + roll(128 * 1024);
      const length = roll(2) === 0 ? 1 : 1 + roll(6000);
      const value = roll(256);
      const before = Buffer.from(sound.subarray(at, at + length));
      // What files hold carries no sums, so that is left alone.
      for (let i = at; i < at + length; i++)
        if (isData[i >>> 10] === 0) sound[i] = length === 1 ? sound[i] ^ (1 << (value & 7)) : value;
      const stack = new Stack([{ name: 'x', source: new MemorySource(sound) }], { only: true });
      const top = await stack.inside(stack.roots[0]);
      if (top?.damage.some(({ code }) => code.startsWith('xfs.log'))) told++;
      const found = top?.kind === 'filesystem' ? await everything(stack, top) : [];
      for (const [path, node] of found) {
        const put = truth.get(path);
        if (node.bytes === undefined || node.kind !== 'file' || node.damage.length > 0) continue;
        const source = await node.bytes();
        const data = new Uint8Array(source.size);
        const gaps = await source.read(0, data);
        if (gaps.length > 0 || data.length === 0 || (await weakest(source)) < STATED) continue;
        const isRight = put !== undefined && sha256(data) === sha256(put.bytes!);
        expect(isRight, `round ${round} at ${at}, ${length}, ${path}`).toBe(true);
      }
      stack.close();
      before.copy(sound, at);
    }
    expect(told).toBeGreaterThanOrEqual(rounds / 3);
  },
  60_000,
);

test.skipIf(absent !== undefined)('what was unmounted is not taken for anything else', async () => {
  const image = join(root, 'clean.img');
  makeMounted('xfs', image, LEAST, [], (dir) => fs.writeFileSync(join(dir, 'a'), 'a'));
  expect(await departures(image, [{ path: 'a', bytes: new TextEncoder().encode('a') }])).toEqual([]);
});
