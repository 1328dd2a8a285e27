/** MD arrays: whole, short of devices, and with devices that are stale. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { STATED } from '../../src/core/run.ts';
import { md } from '../../src/formats/volume/md/index.ts';
import { oldSuperblock, superblock } from '../../src/formats/volume/md/structs.ts';
import { seeded } from '../make/content.ts';
import { type MdSpec, makeMd } from '../make/md.ts';
import { dataDevices } from '../make/raid.ts';
import { checkFormat } from '../suites/check-format.ts';
import { brokenInvariants } from '../suites/check-source.ts';
import { type Read, read, volume } from './devices.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-md-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

const KIB = 1024;
const MIB = 1024 * KIB;
const bytes = (seed: number, size: number): Uint8Array => seeded(seed, size).read(0, size);
const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** Bytes that are given and wrong. */
function wrong(had: Read, gaps: readonly { offset: number; length: number }[], content: Uint8Array): number {
  const masked = content.slice();
  for (const { offset, length } of gaps) masked.fill(0, offset, offset + length);
  let count = 0;
  for (let i = 0; i < masked.length; i++) if (masked[i] !== had.data[i]) count++;
  return count;
}

const CHUNK = 16 * KIB;
const arrays: MdSpec[] = [
  { level: 0, layout: 0, devices: 3, chunk: CHUNK, version: '1.2', seed: 1 },
  { level: 1, layout: 0, devices: 2, chunk: CHUNK, version: '1.0', seed: 2 },
  { level: 1, layout: 0, devices: 2, chunk: CHUNK, version: '0.90', seed: 3 },
  { level: 4, layout: 0, devices: 4, chunk: CHUNK, version: '1.1', seed: 4 },
  ...[0, 1, 2, 3, 4, 5].map(
    (layout) => ({ level: 5, layout, devices: 4, chunk: CHUNK, version: '1.2', seed: 10 + layout }) as MdSpec,
  ),
  ...[0, 1, 2, 3, 4, 5, 8, 9, 10, 16, 17, 18, 19, 20].map(
    (layout) => ({ level: 6, layout, devices: 5, chunk: CHUNK, version: '1.2', seed: 20 + layout }) as MdSpec,
  ),
  { level: 10, layout: 0x102, devices: 4, chunk: CHUNK, version: '1.2', seed: 50 },
  { level: 10, layout: 0x102, devices: 3, chunk: CHUNK, version: '1.2', seed: 51 },
  { level: 10, layout: 0x201, devices: 4, chunk: CHUNK, version: '1.2', seed: 52 },
  { level: 10, layout: 0x10201, devices: 4, chunk: CHUNK, version: '1.2', seed: 53 },
];
const nameOf = (spec: MdSpec): string =>
  `level ${spec.level} layout ${spec.layout} of ${spec.devices}, ${spec.version}`;
const contentOf = (spec: MdSpec): Uint8Array => bytes(spec.seed, Math.round(dataDevices(spec) * 20 * 3) * CHUNK);

/** Devices that may be missing at once. */
function spares({ level, layout, devices }: MdSpec): number {
  return level === 1 ? devices - 1 : level === 6 ? 2 : level === 0 ? 0 : level === 10 && layout === 0 ? 0 : 1;
}

test.each(arrays.map((spec) => [nameOf(spec), spec] as const))(
  'md %s is read whole, and without devices',
  async (_, spec) => {
    const content = contentOf(spec);
    const devices = makeMd(spec, content);
    const whole = await volume(devices);
    expect(whole.damage).toEqual([]);
    const source = (await whole.bytes!())!;
    expect(await brokenInvariants(source)).toEqual([]);
    const all = await read(source);
    expect([sha256(all.data), all.lost, all.weakest]).toEqual([sha256(content), 0, STATED]);
    const n = spec.devices;
    const without = (gone: readonly number[]) => devices.map((one, i) => (gone.includes(i) ? undefined : one));
    const sets = Array.from({ length: n }, (_, i) => [i, (i + 1) % n].slice(0, spares(spec)));
    for (const gone of spares(spec) === 0 ? [] : sets) {
      const node = await volume(without(gone));
      expect(node.damage.filter(({ code }) => code === 'md.member-missing')).toHaveLength(gone.length);
      const had = await read((await node.bytes!())!);
      expect([sha256(had.data), had.lost], `without ${gone.join()}`).toEqual([sha256(content), 0]);
    }
    // One more than the array can bear: what is lost is named, and nothing that is given is wrong.
    const gone = Array.from({ length: Math.min(n - 1, spares(spec) + 1) }, (_, i) => (i + 1) % n);
    const node = await volume(without(gone));
    const left = (await node.bytes!())!;
    const data = new Uint8Array(left.size);
    const gaps = await left.read(0, data);
    expect(wrong({ data, lost: 0, weakest: 0 }, gaps, content)).toBe(0);
    if (spec.level !== 1 && !(spec.level === 10)) expect(gaps.length).toBeGreaterThan(0);
  },
);

test('mdadm sees in made members what they are', () => {
  const tool = ['/sbin/mdadm', '/usr/sbin/mdadm'].find((file) => fs.existsSync(file));
  if (tool === undefined) return;
  for (const spec of [arrays[0], arrays[1], arrays[2], arrays[3]]) {
    const file = join(root, 'member');
    fs.writeFileSync(file, makeMd(spec, contentOf(spec))[1]);
    const { stdout } = spawnSync(tool, ['--examine', file], { encoding: 'utf8' });
    expect(stdout, nameOf(spec)).toMatch(/Checksum : [0-9a-f]+ - correct/);
    expect(stdout).toContain(`Raid Level : raid${spec.level}`);
  }
});

test('a device that the array went on without is left out', async () => {
  const spec = arrays.find(({ level }) => level === 5)!;
  const before = contentOf(spec);
  const now = bytes(999, before.length);
  const [stale, fresh] = [makeMd({ ...spec, events: 10 }, before), makeMd({ ...spec, events: 90 }, now)];
  const node = await volume([stale[0], ...fresh.slice(1)]);
  expect(node.damage.map(({ code }) => code)).toEqual(expect.arrayContaining(['md.stale', 'md.member-missing']));
  expect(sha256((await read((await node.bytes!())!)).data)).toBe(sha256(now));
});

const single = makeMd({ level: 1, layout: 0, devices: 1, chunk: CHUNK, version: '1.2', seed: 90 }, bytes(90, MIB));
const old = makeMd({ level: 1, layout: 0, devices: 1, chunk: CHUNK, version: '0.90', seed: 91 }, bytes(91, MIB));
const noise = new MemorySource(bytes(92, 2 * MIB));

checkFormat(md, {
  fixtures: [
    { name: 'version 1.2', source: new MemorySource(single[0]), sha256: sha256(bytes(90, MIB)) },
    { name: 'version 0.90', source: new MemorySource(old[0]), sha256: sha256(bytes(91, MIB)) },
  ],
  others: [
    { name: 'noise', source: noise },
    { name: 'zeros', source: new MemorySource(new Uint8Array(MIB)) },
  ],
  tables: [
    { at: 4096, table: superblock },
    { at: MIB, table: oldSuperblock },
  ],
});
