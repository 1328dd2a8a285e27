/** Data of btrfs held against its checksums: what a volume disproves is never stated. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { forgetMade } from '../../src/core/made.ts';
import { flatten } from '../../src/core/resolve.ts';
import { CERTAINTY_NAMES, DATA, RunList } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { recover } from '../../src/export/recover.ts';
import { Stack } from '../../src/stack/stack.ts';
import { makeBtrfs, run } from '../make/btrfs.ts';
import { mountAbsent } from '../make/mounted.ts';
import { bytes, mixed, opened } from './btrfs-volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-btrfs-sums-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const absent = mountAbsent('btrfs');
const SECTOR = 4096;
/** Longer than what is copied as a whole, and than what threads check at a time. */
const content = bytes(9, 9_000_001);
const AT = 5_000_000;

interface Case {
  readonly name: string;
  readonly options: readonly string[];
  readonly mount?: string;
  /** Sums are not kept of it. */
  readonly isBare?: boolean;
  readonly wanted: 'right' | 'guessed' | 'stated';
}

const CASES: readonly Case[] = [
  { name: 'single', options: ['-d', 'single'], wanted: 'guessed' },
  { name: 'dup', options: ['-d', 'dup'], wanted: 'right' },
  { name: 'sha256', options: ['--csum', 'sha256', '-d', 'single'], wanted: 'guessed' },
  { name: 'no sums', options: ['-d', 'single'], mount: 'nodatasum', wanted: 'stated' },
];

/** The first place of the image that holds the sector of `data` in which `at` lies, on a sector's border. */
function placeOf(image: Uint8Array, data: Uint8Array, at: number): number {
  const first = Math.floor(at / SECTOR) * SECTOR;
  const held = Buffer.from(image.buffer, image.byteOffset, image.length);
  let place = held.indexOf(data.subarray(first, first + 64));
  while (place >= 0 && place % SECTOR !== 0) place = held.indexOf(data.subarray(first, first + 64), place + 1);
  expect(place).toBeGreaterThan(0);
  return place + (at - first);
}

async function gradesOf(source: Source): Promise<Record<string, number>> {
  const out: Record<string, number> = {};
  const list = new RunList();
  for (let at = 0; at < source.size; ) {
    list.clear();
    at = await flatten(source, at, source.size, list);
    for (let i = 0; i < list.n; i++) {
      const name = list.state(i) === DATA ? CERTAINTY_NAMES[list.certainty(i)] : 'missing';
      out[name] = (out[name] ?? 0) + list.length[i];
    }
  }
  return out;
}

for (const { name, options, mount, wanted } of CASES) {
  test.skipIf(absent !== undefined)(`a flipped bit, ${name}: ${wanted}`, async () => {
    const image = join(root, `${name}.img`);
    const small = bytes(10, 50_000);
    makeBtrfs({ images: [image], size: '256M', options, ...(mount && { mount }) }, (dir) => {
      fs.writeFileSync(join(dir, 'file'), content);
      fs.writeFileSync(join(dir, 'small'), small);
    });
    const held = fs.readFileSync(image);
    const broken: [string, Uint8Array, number][] = [
      ['file', content, AT],
      ['small', small, 20_000],
    ];
    for (const [, data, at] of broken) held[placeOf(held, data, at)] ^= 4;
    fs.writeFileSync(image, held);

    const { stack, top } = await opened([image]);
    for (const [own, data, at] of broken) {
      const source = await (await stack.child(top, own))!.bytes!();
      const had = new Uint8Array(data.length);
      expect(await source.read(0, had)).toEqual([]);
      const right = Uint8Array.from(data);
      if (wanted !== 'right') right[at] ^= 4;
      expect(Buffer.compare(had, right)).toBe(0);
      const guessed = wanted === 'guessed' ? SECTOR : 0;
      const said = { stated: data.length - guessed, ...(guessed > 0 && { guessed }) };
      expect(await gradesOf(source)).toEqual(said);
    }
    expect(top.damage.map(({ code }) => code)).toEqual(
      broken.flatMap(() => (wanted === 'stated' ? [] : ['btrfs.data.checksum'])),
    );
    stack.close();
    await expectRecovered(image, broken, wanted);
  });
}

/** Recovering it, as threads do, gives the same bytes and says the same of them. */
async function expectRecovered(
  image: string,
  broken: readonly [string, Uint8Array, number][],
  wanted: Case['wanted'],
): Promise<void> {
  const out = `${image}.out`;
  const stack = new Stack([image]);
  const { signal } = new AbortController();
  const manifest = await recover(stack, {
    out,
    fill: 'zero',
    symlinks: 'links',
    sha256: false,
    system: false,
    command: ['test'],
    signal,
  });
  for (const [name, data, at] of broken) {
    const right = Uint8Array.from(data);
    if (wanted !== 'right') right[at] ^= 4;
    expect(Buffer.compare(fs.readFileSync(join(out, name)), right)).toBe(0);
    const entry = manifest.files.find((file) => file.path === name)!;
    expect(entry.certainty.worst).toBe(wanted === 'guessed' ? 'guessed' : 'stated');
    expect(entry.certainty.bytes.guessed).toBe(wanted === 'guessed' ? SECTOR : 0);
  }
  stack.close();
}

test.skipIf(absent !== undefined)('of compressed bytes that are disproved nothing is made', async () => {
  for (const method of ['zstd', 'lzo']) {
    const image = join(root, `${method}.img`);
    const text = mixed(3, 1_000_000);
    makeBtrfs(
      { images: [image], size: '144M', options: ['-d', 'single'], mount: `compress-force=${method}` },
      (dir) => {
        fs.writeFileSync(join(dir, 'text'), text);
      },
    );
    run('sync');
    const held = fs.readFileSync(image);
    // Stretches of it do not compress, and stand in the stream as they are.
    const place = held.indexOf(text.subarray(110_000, 110_032));
    expect(place).toBeGreaterThan(0);
    held[place] ^= 1;
    fs.writeFileSync(image, held);
    forgetMade();
    const { stack, top } = await opened([image]);
    const source = await (await stack.child(top, 'text'))!.bytes!();
    const had = new Uint8Array(text.length);
    const gaps = await source.read(0, had);
    const [{ offset, length }] = gaps;
    expect(gaps.length).toBe(1);
    expect([offset, length]).toEqual([0, 131_072]);
    had.set(text.subarray(0, length));
    expect(Buffer.compare(had, text)).toBe(0);
    stack.close();
  }
});
