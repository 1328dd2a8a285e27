/** Scans: every piece is found where it lies, by any number of threads, after any number of kills. */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Case } from '../src/case/case.ts';
import { FileSource } from '../src/core/evidence.ts';
import type { Hit } from '../src/core/finder.ts';
import { finders } from '../src/formats/index.ts';
import { SCAN, scan } from '../src/jobs/scan.ts';
import { sweepSource } from '../src/scan/shard.ts';
import { Sweep } from '../src/scan/sweep.ts';
import { build, LAUNCHER, outcome, salvor } from './cli/salvor.ts';
import { dice } from './faults/faults.ts';
import { writeImages } from './make/images.ts';
import { small3, small5, small6 } from './make/stores.ts';
import type { Made } from './make/types.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-scan-'));
const GIB = 2 ** 30;
const stores: [string, () => Made][] = [
  ['VMFS3', () => small3()],
  ['VMFS5', () => small5()],
  ['VMFS6', () => small6()],
];

beforeAll(build);
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

/** A made store as an image of its own, `shift` bytes into a larger one. */
async function imageOf(name: string, made: Made, shift = 0, size?: number): Promise<string> {
  const dir = path.join(root, `${name}-parts`);
  fs.mkdirSync(dir, { recursive: true });
  const [image] = await writeImages(made, dir);
  if (shift === 0 && size === undefined) return image;
  const out = path.join(root, `${name}.img`);
  const fd = fs.openSync(out, 'w');
  const from = fs.openSync(image, 'r');
  const block = Buffer.alloc(2 ** 20);
  for (let at = 0; ; at += block.length) {
    const got = fs.readSync(from, block, 0, block.length, at);
    if (got === 0) break;
    if (block.subarray(0, got).some((byte) => byte !== 0)) fs.writeSync(fd, block, 0, got, shift + at);
  }
  fs.ftruncateSync(fd, size ?? shift + fs.statSync(image).size);
  fs.closeSync(fd);
  fs.closeSync(from);
  return out;
}

async function scanned(file: string, dir: string, threads = 2): Promise<Map<string, readonly Hit[]>> {
  const kept = Case.begin(dir, 'test', SCAN);
  const source = new FileSource(file);
  try {
    const report = await scan(kept, [source], { threads, signal: new AbortController().signal });
    expect(report.whole).toBe(true);
    expect(kept.whole(source)).toBe(true);
    return new Map(kept.kinds(source).map(({ kind }) => [kind, kept.hits(source, kind)]));
  } finally {
    source.close();
    kept.close();
  }
}

const total = (hits: readonly Hit[] = []): number => hits.reduce((sum, hit) => sum + (hit.count ?? 1), 0);

test.each(stores)(
  '%s: each descriptor, heartbeat and cluster is found, with the start of its volume',
  async (name, make) => {
    const made = make();
    const found = await scanned(await imageOf(name, made), path.join(root, `${name}.salvor`));
    const named = (pattern: RegExp): number => made.truth.structures.filter((one) => pattern.test(one.name)).length;
    expect(total(found.get('vmfs.descriptor'))).toBe(named(/^fd\//));
    expect(total(found.get('vmfs.heartbeat'))).toBe(named(/^heartbeat\//));
    expect(total(found.get('vmfs.cluster.sbc'))).toBe(named(/^sbc\.cluster\//));
    expect(total(found.get('vmfs-lvm.header'))).toBe(1);
    const bases = new Set(
      [...found].filter(([kind]) => kind.startsWith('vmfs.')).flatMap(([, hits]) => hits.map((hit) => hit.base)),
    );
    expect(bases.size).toBe(1);
  },
);

test('the threads find what a plain reading of the source finds, and no guest is missed', async () => {
  const image = await imageOf('plain', small5());
  const threads = await scanned(image, path.join(root, 'plain.salvor'), 1);
  const source = new FileSource(image);
  const plain = await sweepSource(new Sweep(finders), source, 0, source.size);
  source.close();
  for (const kind of new Set(plain.map((hit) => hit.kind))) {
    expect(total(threads.get(kind)), kind).toBe(total(plain.filter((hit) => hit.kind === kind)));
  }
  expect(plain.some((hit) => hit.kind === 'vmdk.descriptor')).toBe(true);
});

test('a volume far into a disk without a table is found by a scan, and only by it', async () => {
  const image = await imageOf('far', small5(), 300 * 2 ** 20 + 512 * 77);
  const dir = path.join(root, 'far.salvor');
  const before = await salvor('inspect', image, '--case', dir);
  expect(before.code).toBe(3);
  expect((await salvor('scan', image, '--case', dir)).code).toBe(0);
  const after = await salvor('tree', image, '--case', dir);
  expect(after.out).toContain('.vmx');
  // The same bytes under another name are other evidence: the case says nothing of them.
  const twin = path.join(root, 'twin.img');
  fs.copyFileSync(image, twin);
  expect((await salvor('inspect', twin, '--case', dir)).code).toBe(3);
});

test('evidence that was changed is scanned again', async () => {
  const image = await imageOf('changed', small5(), 0, 2 ** 28);
  const dir = path.join(root, 'changed.salvor');
  const first = JSON.parse((await salvor('scan', image, '--case', dir, '--json')).out);
  expect(first.swept).toBe(2 ** 28);
  expect(JSON.parse((await salvor('scan', image, '--case', dir, '--json')).out).swept).toBe(0);
  const fd = fs.openSync(image, 'r+');
  fs.writeSync(fd, Buffer.alloc(512), 0, 512, 100);
  fs.closeSync(fd);
  expect(JSON.parse((await salvor('scan', image, '--case', dir, '--json')).out).swept).toBe(2 ** 28);
});

test('a case is never begun among other files, nor inside the evidence', async () => {
  const folder = path.join(root, 'full');
  fs.mkdirSync(folder);
  const image = await imageOf('place', small5());
  fs.writeFileSync(path.join(folder, 'mine.txt'), 'mine');
  expect(await salvor('scan', image, '--case', folder)).toMatchObject({
    code: 2,
    err: expect.stringContaining('no case'),
  });
  fs.copyFileSync(image, path.join(folder, 'a.img'));
  const inside = await salvor('scan', folder, '--case', path.join(folder, 'case'));
  expect(inside).toMatchObject({ code: 2, err: expect.stringContaining('never written to') });
});

test('a scan that is killed ten times ends with the same findings', async () => {
  const image = await imageOf('killed', small5(), GIB, 2 * GIB);
  const whole = await scanned(image, path.join(root, 'whole.salvor'));
  const dir = path.join(root, 'killed.salvor');
  let kills = 0;
  for (let i = 0; i < 10; i++) {
    const child = spawn(process.execPath, [LAUNCHER, 'scan', image, '--case', dir, '--threads', '1'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    setTimeout(() => child.kill('SIGKILL'), 120 + i * 23);
    if ((await outcome(child)).code === null) kills++;
  }
  expect(kills).toBeGreaterThan(0);
  expect(await scanned(image, dir)).toEqual(whole);
});

test('no finder throws, whatever stands behind its key and wherever the evidence ends', () => {
  const random = dice(20261122);
  for (const finder of finders) {
    for (let round = 0; round < 400; round++) {
      const length = round % 3 === 0 ? random(finder.need) + 1 : finder.need;
      const block = Uint8Array.from({ length }, () => random(256));
      for (const { offset, bytes } of finder.keys)
        if (random(2) === 0) block.set(bytes.slice(0, Math.max(0, length - offset)), Math.min(offset, length));
      finder.examine(block, finder.align * random(1000), (hit) => {
        expect(Number.isSafeInteger(hit.at) && hit.length > 0).toBe(true);
        expect(() => structuredClone(hit)).not.toThrow();
      });
    }
  }
});
