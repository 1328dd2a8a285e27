/** Conversions: what is written holds the disk's bytes, by the word of an independent program. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packers, writers } from '../src/formats/index.ts';
import { build, LAUNCHER, outcome, salvor } from './cli/salvor.ts';
import { seeded } from './make/content.ts';

const MIB = 2 ** 20;
const root = fs.mkdtempSync(join(tmpdir(), 'salvor-convert-'));
const hasQemu = spawnSync('qemu-img', ['--version'], { stdio: 'ignore' }).status === 0;
/** What qemu-img calls a variant. */
const QEMU: Readonly<Record<string, string>> = {
  raw: 'raw',
  qcow2: 'qcow2',
  'qcow2-zlib': 'qcow2',
  'qcow2-zstd': 'qcow2',
  vdi: 'vdi',
  vmdk: 'vmdk',
  stream: 'vmdk',
  flat: 'vmdk',
  vhd: 'vpc',
  vhdx: 'vhdx',
};
const variants = [
  ...writers.flatMap((writer) => writer.variants.map((variant) => [variant, writer.endings[0]] as const)),
  ...packers.flatMap((packer) => packer.variants.map((variant) => [variant, '.packed'] as const)),
];

beforeAll(build);
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

/** A disk whose size is no multiple of any block, with data, stretches of zeros, and holes. */
function disk(name: string, bytes = 37 * MIB + 7 * 512): string {
  const file = join(root, name);
  const fd = fs.openSync(file, 'w');
  fs.ftruncateSync(fd, bytes);
  const put = (at: number, length: number, seed: number): void => {
    fs.writeSync(fd, seeded(seed, length).read(0, length), 0, length, at);
  };
  put(0, 4096, 1);
  put(5 * MIB - 700, 3 * MIB, 2);
  fs.writeSync(fd, Buffer.alloc(2 * MIB), 0, 2 * MIB, 12 * MIB);
  put(20 * MIB, 9 * MIB + 512, 3);
  put(bytes - 1024, 1024, 4);
  fs.closeSync(fd);
  return file;
}

test.runIf(hasQemu).each(variants)(
  '%s: qemu-img reads the same bytes and finds nothing wrong',
  async (variant, ending) => {
    const from = disk(`${variant}.bin`);
    const out = join(root, `${variant}-out${ending}`);
    const done = await salvor('convert', from, out, '--to', variant);
    expect(done).toMatchObject({ code: 0 });
    const same = spawnSync('qemu-img', ['compare', '-f', 'raw', '-F', QEMU[variant], from, out], { encoding: 'utf8' });
    expect(same.stdout + same.stderr).toContain('identical');
    const info = execFileSync('qemu-img', ['info', '--output=json', '-f', QEMU[variant], out], { encoding: 'utf8' });
    expect(JSON.parse(info)).toMatchObject({ 'virtual-size': fs.statSync(from).size });
    if (!['raw', 'flat', 'vhd'].includes(variant)) {
      expect(execFileSync('qemu-img', ['check', '-f', QEMU[variant], out], { encoding: 'utf8' })).toContain(
        'No errors',
      );
    }
    // Stretches of zeros take no room, whether they were holes or not.
    expect(fs.statSync(out).blocks * 512).toBeLessThan(18 * MIB);
    expect(
      fs.readdirSync(root).filter((name) => name.startsWith(`${variant}-out`) && /converting|part/.test(name)),
    ).toEqual([]);
  },
);

test('what is there is never overwritten', async () => {
  const from = disk('there.bin');
  const out = join(root, 'there.qcow2');
  fs.writeFileSync(out, 'mine');
  expect(await salvor('convert', from, out)).toMatchObject({
    code: 2,
    err: expect.stringContaining('ever overwritten'),
  });
  expect(fs.readFileSync(out, 'utf8')).toBe('mine');
});

test('a conversion that is killed goes on and gives the same file', async () => {
  const from = disk('killed.bin', 700 * MIB);
  const fd = fs.openSync(from, 'r+');
  const block = Buffer.from(seeded(9, 4 * MIB).read(0, 4 * MIB));
  for (let at = 40 * MIB; at < 500 * MIB; at += 4 * MIB) fs.writeSync(fd, block, 0, block.length, at);
  fs.closeSync(fd);
  const whole = join(root, 'whole.qcow2');
  expect((await salvor('convert', from, whole)).code).toBe(0);
  const out = join(root, 'killed.qcow2');
  let kills = 0;
  for (let i = 0; i < 3; i++) {
    const child = spawn(process.execPath, [LAUNCHER, 'convert', from, out], { stdio: ['ignore', 'pipe', 'pipe'] });
    setTimeout(() => child.kill('SIGKILL'), 250 + 150 * i);
    if ((await outcome(child)).code === null) kills++;
  }
  expect(kills).toBeGreaterThan(0);
  if (!fs.existsSync(out)) expect((await salvor('convert', from, out)).code).toBe(0);
  expect(fs.readFileSync(out).equals(fs.readFileSync(whole))).toBe(true);
});

test('what is missing stands as zeros and is named in a map beside the output', async () => {
  const from = disk('gaps.bin');
  const bad = [24 * MIB, 65536] as const;
  const size = fs.statSync(from).size;
  const map = ['# Mapfile. Created by GNU ddrescue version 1.27', '0x00000000     +               1'];
  map.push(`0x0 0x${bad[0].toString(16)} +`, `0x${bad[0].toString(16)} 0x${bad[1].toString(16)} -`);
  map.push(`0x${(bad[0] + bad[1]).toString(16)} 0x${(size - bad[0] - bad[1]).toString(16)} +`, '');
  fs.writeFileSync(`${from}.map`, map.join('\n'));
  const out = join(root, 'gaps.qcow2');
  expect((await salvor('convert', from, out)).code).toBe(1);
  expect(fs.readFileSync(`${out}.map`, 'utf8')).toMatch(/0x0*1800000\s+0x0*10000\s+-/i);
});

test('a file that is named like a disk and is none is taken as it stands, and that is said', async () => {
  const broken = join(root, 'broken.vdi');
  fs.writeFileSync(broken, seeded(5, 3 * MIB).read(0, 3 * MIB));
  const { code, err } = await salvor('convert', broken, join(root, 'broken.raw'));
  expect(err).toContain('broken.vdi is named like a disk, and nothing in it is one');
  expect(code).toBe(1);
});

test.runIf(hasQemu)(
  'a disk with one file system in it is what its file alone means, and so is a bare volume',
  async () => {
    const raw = join(root, 'guest.raw');
    fs.writeFileSync(raw, '');
    fs.truncateSync(raw, 8 * MIB);
    execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', raw]);
    const disk = join(root, 'guest.vdi');
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'vdi', raw, disk]);
    for (const [from, to] of [
      [disk, 'guest-out.raw'],
      [raw, 'volume-out.raw'],
    ] as const) {
      expect(await salvor('convert', from, join(root, to))).toMatchObject({ code: 0 });
      expect(fs.readFileSync(join(root, to)).equals(fs.readFileSync(raw))).toBe(true);
    }
    expect(await salvor('hash', disk, raw)).toMatchObject({ code: 0, out: expect.stringContaining('same bytes') });
    expect(await salvor('map', disk)).toMatchObject({ code: 0, out: expect.stringContaining('guest.vdi@') });
  },
);

test.runIf(hasQemu).each(['vhdx', 'parallels', 'vdi', 'qcow2'])(
  '%s: a check of a file that lacks its end is not clean',
  async (format) => {
    const from = disk(`${format}-cut.bin`, 40 * MIB);
    const out = join(root, `cut.${format === 'parallels' ? 'hds' : format}`);
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', format, from, out]);
    expect((await salvor('check', out)).code).toBe(0);
    fs.truncateSync(out, fs.statSync(out).size - 700);
    const { code, out: said } = await salvor('check', out);
    expect([code, said]).toEqual([1, expect.stringMatching(/missing|inferred/)]);
  },
);

test('a check of a file system meets what is wrong in its directories', async () => {
  const raw = join(root, 'tree.raw');
  fs.mkdirSync(join(root, 'tree/below'), { recursive: true });
  for (let i = 0; i < 40; i++) fs.writeFileSync(join(root, 'tree/below', `file-${i}`), `content of ${i}`);
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', join(root, 'tree'), raw, '8M']);
  expect((await salvor('check', raw)).code).toBe(0);
  const bytes = fs.readFileSync(raw);
  const entry = bytes.indexOf('file-7') - 8;
  bytes.writeUInt32LE(bytes.readUInt32LE(entry) + 900, entry);
  fs.writeFileSync(raw, bytes);
  const { code, out } = await salvor('check', raw);
  expect([code, out]).toEqual([1, expect.stringMatching(/[1-9]\d* faults/)]);
});
