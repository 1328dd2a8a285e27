/** Conversions, read back by the program's own readers and by the peers that know the format. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formats, writers } from '../src/formats/index.ts';
import { build, json, salvor } from './cli/salvor.ts';
import { seeded } from './make/content.ts';

const MIB = 2 ** 20;
const root = fs.mkdtempSync(join(tmpdir(), 'salvor-convert-back-'));
const hasQemu = spawnSync('qemu-img', ['--version'], { stdio: 'ignore' }).status === 0;
const hasVmdkinfo = spawnSync('vmdkinfo', ['-V'], { stdio: 'ignore' }).status === 0;
/** Endings without a container to read, or whose reader is not there. */
const isRead = (ending: string): boolean =>
  ending !== '.raw' && (ending !== '.qcow2' || formats.some((format) => format.id === 'qcow2'));
const variants = writers
  .filter((writer) => isRead(writer.endings[0]))
  .flatMap((writer) => writer.variants.map((variant) => [variant, writer.endings[0]] as const));

beforeAll(build);
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

/** A disk with data across the edges of blocks, and a boot sector so that it looks like one. */
function disk(name: string, bytes = 71 * MIB + 3 * 512): string {
  const file = join(root, name);
  const fd = fs.openSync(file, 'w');
  fs.ftruncateSync(fd, bytes);
  for (const [at, length, seed] of [
    [512, 4096, 1],
    [33 * MIB - 700, 3 * MIB, 2],
    [bytes - 1024, 1024, 4],
  ]) {
    fs.writeSync(fd, seeded(seed, length).read(0, length), 0, length, at);
  }
  fs.closeSync(fd);
  return file;
}

test.each(variants)('%s: our own reader gives back the bytes, all of them stated', async (variant, ending) => {
  const from = disk(`${variant}.bin`);
  const out = join(root, `${variant}${ending}`);
  expect(await salvor('convert', from, out, '--to', variant)).toMatchObject({ code: 0 });
  const back = join(root, `${variant}.back`);
  const done = await json<{ certainty: { worst: string }; size: number }>('convert', out, back, '--to', 'raw');
  expect(done.size).toBe(fs.statSync(from).size);
  expect(['stated', 'verified']).toContain(done.certainty.worst);
  expect(fs.readFileSync(back).equals(fs.readFileSync(from))).toBe(true);
  const checked = await salvor('check', out);
  expect(checked).toMatchObject({ code: 0, err: '' });
});

test.runIf(hasVmdkinfo).each(['vmdk', 'flat'])('%s: vmdkinfo knows the disk', async (variant) => {
  const from = disk(`info-${variant}.bin`);
  const out = join(root, `info-${variant}.vmdk`);
  expect((await salvor('convert', from, out, '--to', variant)).code).toBe(0);
  const info = spawnSync('vmdkinfo', [out], { encoding: 'utf8' });
  expect(info.status, info.stderr).toBe(0);
  expect(info.stdout).toContain(`(${fs.statSync(from).size} bytes)`);
});

test('flat: what the descriptor names is what was written beside it', async () => {
  const from = disk('odd.bin');
  const out = join(root, 'a..b..vmdk');
  expect((await salvor('convert', from, out, '--to', 'flat')).code).toBe(0);
  const named = /FLAT "([^"]*)" 0/.exec(fs.readFileSync(out, 'utf8'))?.[1];
  expect(named).toBe('a..b.-flat.vmdk');
  expect(fs.readFileSync(join(root, named!)).equals(fs.readFileSync(from))).toBe(true);
  const refused = await salvor('convert', from, join(root, 'a"b.vmdk'), '--to', 'flat');
  expect(refused).toMatchObject({ code: 2, err: expect.stringContaining('quotation marks') });
});

test.runIf(hasQemu).each(['vhdx', 'vhd', 'vmdk'])('%s: tables of more than one piece', async (variant) => {
  const from = join(root, `wide-${variant}.raw`);
  const fd = fs.openSync(from, 'w');
  fs.ftruncateSync(fd, 9 * 1024 * MIB + 512);
  for (const at of [0, 4095.5, 4096, 8191, 8192.5, 9215]) fs.writeSync(fd, Buffer.alloc(MIB, 1 + at), 0, MIB, at * MIB);
  fs.closeSync(fd);
  // A container says where its holes are, so that neither program has to read them.
  const sparse = join(root, `wide-${variant}.vdi`);
  expect(spawnSync('qemu-img', ['convert', '-O', 'vdi', from, sparse]).status).toBe(0);
  const out = join(root, `wide-out-${variant}.x`);
  expect(await salvor('convert', sparse, out, '--to', variant)).toMatchObject({ code: 0 });
  const format = variant === 'vhd' ? 'vpc' : variant;
  const same = spawnSync('qemu-img', ['compare', '-f', 'vdi', '-F', format, sparse, out], { encoding: 'utf8' });
  expect(same.stdout + same.stderr).toContain('identical');
});
