/** The passes over a failing device: nothing is lost that could be read, and the map never says too much. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { blake3 } from '../src/codec/blake3.ts';
import { parseMapfile, StatusMap } from '../src/codec/mapfile.ts';
import { CHUNK, treeOf } from '../src/codec/tree-hash.ts';
import { ImageHash } from '../src/export/image-hash.ts';
import { ImageOutput } from '../src/export/image-output.ts';
import { Passes } from '../src/export/image-passes.ts';
import { deviceBytes, type Plan, plantedReader, SECTOR } from './planted.ts';

const never = new AbortController().signal;
let dir = '';
beforeAll(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-image-'));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

/** Bytes that the saved map calls had and that are not those of the device: positions, the first few. */
function lies(out: string, bytes: Uint8Array): number[] {
  const map = parseMapfile(fs.readFileSync(`${out}.map`, 'latin1'));
  const there = fs.readFileSync(out);
  const wrong: number[] = [];
  for (const { at, end, status } of map.blocks()) {
    if (status === '+' && !there.subarray(at, end).equals(bytes.subarray(at, end))) wrong.push(at);
  }
  return map.size === bytes.length ? wrong : [-1];
}

function treeOfBytes(bytes: Uint8Array): string {
  const leaves = Array.from({ length: Math.ceil(bytes.length / CHUNK) }, (_, i) =>
    blake3(bytes.subarray(i * CHUNK, (i + 1) * CHUNK)),
  );
  return treeOf(bytes.length, leaves);
}

class Killed extends Error {}

/** One run on `out` that ends, as a kill would end it, after `steps` reads; saves whenever `saves` says so. */
async function run(out: string, bytes: Uint8Array, plan: Plan, steps: number, every: number): Promise<StatusMap> {
  const before = fs.existsSync(out);
  const map = before ? parseMapfile(fs.readFileSync(`${out}.map`, 'latin1')) : new StatusMap(bytes.length);
  const output = new ImageOutput(out, map, { before, comments: () => [] });
  let step = 0;
  const hash = new ImageHash(output, map.size, true);
  const passes = new Passes(plantedReader(bytes, plan), hash, map, {
    sector: SECTOR,
    skip: 16 * SECTOR,
    retries: 3,
    signal: never,
    async onStep() {
      step++;
      if (step % every === 0) {
        await output.save();
        expect(lies(out, bytes)).toEqual([]);
      }
      if (step >= steps) throw new Killed();
    },
  });
  try {
    await passes.run();
    await output.save();
    const there = fs.readFileSync(out);
    const sha256 = createHash('sha256').update(there).digest('hex');
    expect(await hash.finish(out, never, () => {})).toEqual({ tree: treeOfBytes(there), sha256 });
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
  } finally {
    await output.close();
  }
  return map;
}

const stretch = fc.record({ at: fc.nat(29_999), length: fc.integer({ min: 1, max: 40 }), times: fc.nat(2) });
const plans = fc.record({
  sectors: fc.oneof(fc.integer({ min: 1, max: 6000 }), fc.integer({ min: 8192, max: 26_000 })),
  tail: fc.nat(SECTOR - 1),
  stretches: fc.array(stretch, { maxLength: 8 }),
  partial: fc.boolean(),
  kills: fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 3 }),
  every: fc.integer({ min: 1, max: 30 }),
});

function planOf(size: number, stretches: readonly { at: number; length: number; times: number }[], partial: boolean) {
  const bad = new Set<number>();
  const weak = new Map<number, number>();
  const count = Math.ceil(size / SECTOR);
  for (const { at, length, times } of stretches) {
    for (let i = 0; i < length; i++) {
      const sector = (at + i) % count;
      if (times === 0) bad.add(sector);
      else weak.set(sector, times);
    }
  }
  return { bad, weak, partial };
}

test('any pattern of bad sectors, with kills: all that reads is had, the rest is named, no saved map lies', async () => {
  let number = 0;
  await fc.assert(
    fc.asyncProperty(plans, async ({ sectors, tail, stretches, partial, kills, every }) => {
      const bytes = deviceBytes(sectors * SECTOR + tail, sectors);
      const plan = planOf(bytes.length, stretches, partial);
      const out = path.join(dir, `any${number++}`);
      for (const steps of kills) await run(out, bytes, plan, steps, every);
      const map = await run(out, bytes, plan, Number.POSITIVE_INFINITY, 1000);
      expect(lies(out, bytes)).toEqual([]);
      for (const { at, end, status } of map.blocks()) {
        expect(['+', '-']).toContain(status);
        for (let sector = Math.floor(at / SECTOR); sector * SECTOR < end; sector++) {
          if (sector * SECTOR >= at) expect([sector, plan.bad.has(sector)]).toEqual([sector, status === '-']);
        }
      }
      fs.rmSync(out);
    }),
    { numRuns: 20 },
  );
});

test('the check of a saved map finds one wrong byte (canary)', async () => {
  const bytes = deviceBytes(100_000, 5);
  const out = path.join(dir, 'canary');
  await run(out, bytes, planOf(bytes.length, [], true), Number.POSITIVE_INFINITY, 1000);
  expect(lies(out, bytes)).toEqual([]);
  bytes[70_000] ^= 1;
  expect(lies(out, bytes)).toEqual([0]);
});

test('good areas come first: behind an error the reads skip ahead, and sectors are read last', async () => {
  const bytes = deviceBytes(64 * 1024 * 1024, 7);
  const reader = plantedReader(bytes, planOf(bytes.length, [{ at: 9000, length: 4000, times: 0 }], false));
  const reads: [number, number][] = [];
  const map = new StatusMap(bytes.length);
  const out = path.join(dir, 'first');
  const output = new ImageOutput(out, map, { before: false, comments: () => [] });
  const attempt = reader.attempt.bind(reader);
  reader.attempt = (at, into) => {
    reads.push([at, into.length]);
    return attempt(at, into);
  };
  await new Passes(reader, output, map, { sector: SECTOR, skip: 65536, retries: 0, signal: never }).run();
  await output.close();
  const small = reads.findIndex(([, length]) => length === SECTOR);
  const large = new StatusMap(bytes.length);
  for (const [at, length] of reads.slice(0, small)) large.set(at, at + length, '+');
  expect(large.bytes('+')).toBe(bytes.length); // all was tried in large blocks before the first sector was
  expect(reads.slice(0, small).length).toBeLessThan(80);
  expect(map.bytes('-')).toBe(4000 * SECTOR);
  expect(fs.statSync(out).blocks * 512).toBeLessThan(55 * 1024 * 1024); // the zeros are a hole
});

const CHILD = (src: string, test: string): string => `
import * as fs from 'node:fs';
import { parseMapfile, StatusMap } from '${src}/codec/mapfile.ts';
import { ImageOutput } from '${src}/export/image-output.ts';
import { Passes } from '${src}/export/image-passes.ts';
import { deviceBytes, plantedReader } from '${test}/planted.ts';
const out = process.argv[2];
const bytes = deviceBytes(24 * 1024 * 1024 + 100, 3);
const bad = new Set([5000, 5001, 5900, 20000, 20700, 40000, 49152]);
const before = fs.existsSync(out);
const map = fs.existsSync(out + '.map') ? parseMapfile(fs.readFileSync(out + '.map', 'latin1')) : new StatusMap(bytes.length);
const output = new ImageOutput(out, map, { before, saveEvery: 5, comments: () => [] });
const reader = plantedReader(bytes, { bad, weak: new Map(), partial: true });
const signal = new AbortController().signal;
await new Passes(reader, output, map, { sector: 512, skip: 65536, retries: 1, signal, onStep: () => output.saveNowAndThen() }).run();
await output.save();
await output.close();
`;

test('kill -9 at random moments and the same command again: the same image and the same map', async () => {
  const root = path.join(import.meta.dirname, '..');
  const script = path.join(dir, 'child.mts');
  fs.writeFileSync(script, CHILD(path.join(root, 'src'), path.join(root, 'test')));
  const start = (out: string): ChildProcess =>
    spawn(process.execPath, ['--no-warnings', script, out], { stdio: 'inherit' });
  const ended = (child: ChildProcess) => new Promise<number | null>((resolve) => child.once('exit', resolve));
  const whole = path.join(dir, 'whole');
  const began = performance.now();
  expect(await ended(start(whole))).toBe(0);
  const took = performance.now() - began;
  const out = path.join(dir, 'killed');
  const bytes = deviceBytes(24 * 1024 * 1024 + 100, 3);
  for (let kill = 0; kill < 6; kill++) {
    const child = start(out);
    const end = ended(child);
    await Promise.race([sleep((0.3 + 0.7 * Math.random()) * took), end]);
    child.kill('SIGKILL');
    await end;
    if (fs.existsSync(`${out}.map`) && fs.existsSync(out)) expect(lies(out, bytes)).toEqual([]);
  }
  expect(await ended(start(out))).toBe(0);
  expect(fs.readFileSync(out).equals(fs.readFileSync(whole))).toBe(true);
  expect(fs.readFileSync(`${out}.map`, 'latin1')).toBe(fs.readFileSync(`${whole}.map`, 'latin1'));
});
