/** salvor hash: the same bytes have the same hash in every container, and what is not certain is said. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { blake3 } from '../src/codec/blake3.ts';
import { CHUNK, leavesOf, treeOf } from '../src/codec/tree-hash.ts';
import { build, json, salvor } from './cli/salvor.ts';
import { seeded } from './make/content.ts';

const MIB = 2 ** 20;
const root = fs.mkdtempSync(join(tmpdir(), 'salvor-hash-'));
const bytes = Buffer.alloc(45 * MIB + 512);
const raw = join(root, 'disk.raw');

interface Hashes {
  readonly hashes: readonly {
    readonly locator: string;
    readonly tree: string;
    readonly sha256?: string;
    readonly gaps: readonly (readonly [number, number])[];
  }[];
  readonly same?: boolean;
}

beforeAll(() => {
  build();
  bytes.set(seeded(5, 3 * MIB).read(0, 3 * MIB), 7 * MIB - 100);
  bytes[30 * MIB] = 1;
  fs.writeFileSync(raw, bytes);
});
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

test('every container of a disk has the hash of its bytes', async () => {
  const leaves = Array.from({ length: leavesOf(bytes.length) }, (_, i) =>
    blake3(bytes.subarray(i * CHUNK, (i + 1) * CHUNK)),
  );
  const expected = treeOf(bytes.length, leaves);
  const outs = ['vdi', 'vmdk', 'vhdx', 'vhd', 'stream', 'flat'].map((variant) => {
    const ending = variant === 'stream' || variant === 'flat' ? `${variant}.vmdk` : `x.${variant}`;
    return [variant, join(root, ending)] as const;
  });
  for (const [variant, out] of outs) {
    const done = await json<{ content?: string }>('convert', raw, out, '--to', variant);
    if (variant === 'flat') expect(done.content).toBe(expected);
  }
  const all = await json<Hashes>('hash', '--sha256', raw, ...outs.map(([, out]) => out));
  expect(all.same).toBe(true);
  expect(all.hashes).toHaveLength(1 + outs.length);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  for (const one of all.hashes) expect(one).toMatchObject({ tree: expected, sha256, gaps: [] });
  const text = await salvor('hash', raw, outs[0][1]);
  expect(text).toMatchObject({ code: 0, out: expect.stringContaining('All 2 hold the same bytes.') });
});

test('one other byte is another hash', async () => {
  const other = join(root, 'other.raw');
  fs.copyFileSync(raw, other);
  const fd = fs.openSync(other, 'r+');
  fs.writeSync(fd, Buffer.of(9), 0, 1, 44 * MIB);
  fs.closeSync(fd);
  const done = await salvor('hash', raw, other);
  expect(done).toMatchObject({ code: 1, out: expect.stringContaining('do not hold the same bytes') });
});

test('what is missing is said, and the disks are not called the same without it', async () => {
  const part = join(root, 'part.raw');
  fs.copyFileSync(raw, part);
  const map = [
    '0x0 + 1',
    '0x0 0x1400000 +',
    '0x1400000 0x10000 -',
    `0x1410000 0x${(bytes.length - 0x1410000).toString(16)} +`,
  ];
  fs.writeFileSync(`${part}.map`, `# Mapfile. Created by GNU ddrescue version 1.27\n${map.join('\n')}\n`);
  const done = await salvor('hash', raw, part);
  expect(done.code).toBe(1);
  expect(done.out).toContain('64 KiB are missing');
  expect(done.out).toContain('as far as they were had');
});

test('a byte is no disk', async () => {
  expect(await salvor('hash', `${raw}@512`)).toMatchObject({ code: 2, err: expect.stringContaining('one byte') });
});
