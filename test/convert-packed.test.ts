/** Conversions with compressed units: bytes, tables that fill more than one piece, stops, and what cannot shrink. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packers } from '../src/formats/index.ts';
import { build, LAUNCHER, outcome, salvor } from './cli/salvor.ts';
import { seeded } from './make/content.ts';

const MIB = 2 ** 20;
const UNIT = 65536;
const root = fs.mkdtempSync(join(tmpdir(), 'salvor-packed-'));
const hasQemu = spawnSync('qemu-img', ['--version'], { stdio: 'ignore' }).status === 0;
const variants = packers.flatMap((packer) => packer.variants);
const formatOf = (variant: string): string => (variant === 'stream' ? 'vmdk' : 'qcow2');

beforeAll(build);
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

/**
 * Units of all kinds: text, one byte all over, random bytes, halves, zeros; in several tables, and the last one cut.
 * Long rows of units that shrink to next to nothing share a cluster.
 */
function disk(name: string): string {
  const file = join(root, name);
  const fd = fs.openSync(file, 'w');
  const size = 600 * MIB + 5 * 512;
  fs.ftruncateSync(fd, size);
  const random = seeded(7, 8 * MIB);
  const put = (unit: number, kind: number): void => {
    const bytes = Buffer.alloc(Math.min(UNIT, size - unit * UNIT));
    if (kind === 0) bytes.fill(`line ${unit} of a log that says much the same\n`);
    if (kind === 1) bytes.fill(1 + (unit % 255));
    if (kind === 2) bytes.set(random.read((unit % 120) * UNIT, bytes.length));
    if (kind === 3) bytes.set(random.read((unit % 97) * UNIT, bytes.length).subarray(0, bytes.length >>> 1));
    fs.writeSync(fd, bytes, 0, bytes.length, unit * UNIT);
  };
  for (let i = 0; i < 1200; i++) put(i, i < 700 ? 1 : i % 5);
  for (let i = 8190; i < 8230; i++) put(i, i % 4);
  put(Math.floor(size / UNIT), 0);
  fs.closeSync(fd);
  return file;
}

test.runIf(hasQemu).each(variants)(
  '%s: as qemu-img reads it, small, and the same each time',
  async (variant) => {
    const from = disk(`${variant}.bin`);
    const out = join(root, `${variant}.out`);
    expect(await salvor('convert', from, out, '--to', variant)).toMatchObject({ code: 0 });
    const args = ['compare', '-f', 'raw', '-F', formatOf(variant), from, out];
    expect(spawnSync('qemu-img', args, { encoding: 'utf8' }).stdout).toContain('identical');
    expect(execFileSync('qemu-img', ['check', '-f', formatOf(variant), out], { encoding: 'utf8' })).toContain(
      'No errors',
    );
    const info = JSON.parse(
      execFileSync('qemu-img', ['info', '--output=json', '-f', formatOf(variant), out], { encoding: 'utf8' }),
    );
    expect(info['virtual-size']).toBe(fs.statSync(from).size);
    // Random bytes remain, and halves of them, which do not always find a cluster to share.
    expect(fs.statSync(out).size).toBeLessThan(16 * MIB);
    const again = join(root, `${variant}.again`);
    expect((await salvor('convert', from, again, '--to', variant, '--no-detect')).code).toBe(0);
    const same = spawnSync('qemu-img', ['compare', '-F', formatOf(variant), '-f', formatOf(variant), out, again]);
    expect(same.status).toBe(0);
    fs.rmSync(again);
  },
  30_000,
);

test('stream: our own reader finds footer, markers and tables in order', async () => {
  const from = disk('own.bin');
  const out = join(root, 'own.vmdk');
  expect((await salvor('convert', from, out, '--to', 'stream')).code).toBe(0);
  expect(await salvor('check', out)).toMatchObject({ code: 0 });
  const back = join(root, 'own.raw');
  expect((await salvor('convert', out, back)).code).toBe(0);
  expect(spawnSync('cmp', [from, back]).status).toBe(0);
});

test.each(['SIGKILL', 'SIGINT'] as const)(
  'after %s nothing has the final name, and the same command begins anew',
  async (kind) => {
    const from = join(root, `${kind}.bin`);
    fs.writeFileSync(from, seeded(3, 96 * MIB).read(0, 96 * MIB));
    const out = join(root, `${kind}.qcow2`);
    const child = spawn(process.execPath, [LAUNCHER, 'convert', from, out, '--to', 'qcow2-zlib'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = outcome(child);
    const part = join(`${out}.converting`, `${kind}.qcow2.part`);
    while (!fs.existsSync(part) || fs.statSync(part).size < MIB) await wait(5);
    child.kill(kind);
    const { code, err } = await ended;
    if (kind === 'SIGINT') {
      expect(code).toBe(130);
      expect(err).toContain('begins anew');
    }
    expect(fs.existsSync(out)).toBe(false);
    expect(await salvor('convert', from, out, '--to', 'qcow2-zlib')).toMatchObject({ code: 0 });
    expect(fs.existsSync(`${out}.converting`)).toBe(false);
    if (hasQemu) expect(spawnSync('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', from, out]).status).toBe(0);
  },
  30_000,
);
