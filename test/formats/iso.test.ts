/** ISO 9660 volumes as genisoimage makes them: every name, every byte, and damage. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { DATA, RunList, STATED } from '../../src/core/run.ts';
import { iso } from '../../src/formats/filesystem/iso/index.ts';
import { record, volumeDescriptor } from '../../src/formats/filesystem/iso/structs.ts';
import { Stack } from '../../src/stack/stack.ts';
import { dice } from '../faults/faults.ts';
import { seeded } from '../make/content.ts';
import type { ExtEntry } from '../make/ext.ts';
import { makeIso, plainEntries, toolsAbsent } from '../make/fat.ts';
import { checkFormat } from '../suites/check-format.ts';
import { departures, everything, sha256, weakest, whole } from './volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-iso-test-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const absent = toolsAbsent('genisoimage');
if (absent !== undefined) console.log(`Volumes of ISO 9660 are not made: ${absent}.`);

const bytes = (seed: number, size: number): Uint8Array => seeded(seed, size).read(0, size);
const entries = plainEntries(9, 300);
const links: ExtEntry[] = [
  { path: 'short', target: 'home/x/notes.text' },
  { path: 'absolute', target: '/usr/./lib/../share' },
  // Longer ones get a length that does not fit into its byte.
  { path: 'long', target: `${'some/folder/'.repeat(15)}end` },
  { path: 'home/one', target: `../${'n'.repeat(240)}` },
];
/** Joliet has names of 64 characters, or of 103. */
const short = entries.filter(({ path }) => path.split('/').every((name) => name.length <= 60));

const combinations: readonly [string, readonly string[], readonly ExtEntry[]][] = [
  ['Rock Ridge', ['-R'], [...entries, ...links]],
  ['Rock Ridge and Joliet', ['-R', '-J', '-V', 'SOME LABEL'], [...entries, ...links]],
  ['Rock Ridge with owners of its own', ['-r', '-iso-level', '3'], [...entries, ...links]],
  ['Rock Ridge, as deep as it is', ['-R', '-D'], entries],
  ['Joliet', ['-J', '-D'], short],
  ['Joliet with long names', ['-J', '-joliet-long', '-D'], short],
  ['bootable', ['-R', '-b', 'block', '-no-emul-boot', '-c', 'boot.cat'], entries],
];

test.skipIf(absent !== undefined).each(combinations)(
  '%s: all names, all bytes, all stated',
  async (name, options, put) => {
    const image = join(root, `${name.replaceAll(/\W/g, '-')}.iso`);
    makeIso(image, options, put);
    const said = (await departures(image, put)).filter((line) => line !== 'boot.cat is there too');
    expect(said).toEqual([]);
    fs.rmSync(image);
  },
);

test.skipIf(absent !== undefined)('plain names are those of the first level', async () => {
  const image = join(root, 'plain.iso');
  makeIso(
    image,
    [],
    [
      { path: 'README.TXT', bytes: bytes(1, 5000) },
      { path: 'NODOT', bytes: bytes(2, 1) },
    ],
  );
  expect(
    await departures(image, [
      { path: 'README.TXT', bytes: bytes(1, 5000) },
      { path: 'NODOT', bytes: bytes(2, 1) },
    ]),
  ).toEqual([]);
});

test.skipIf(absent !== undefined)('what boots is told', async () => {
  const image = join(root, 'boot.iso');
  makeIso(image, ['-R', '-b', 'block', '-no-emul-boot', '-boot-load-size', '4', '-c', 'boot.cat'], entries);
  const stack = new Stack([image], { only: true });
  const top = (await stack.inside(stack.roots[0]))!;
  expect(String(top.facts.details!.boot)).toMatch(/^BIOS, no emulation, block \d+, 4 sectors/);
  stack.close();
});

test.skipIf(absent !== undefined)('a file in several records is one file', async () => {
  const image = join(root, 'parts.iso');
  const parts = [bytes(11, 6144), bytes(12, 3000)];
  makeIso(
    image,
    [],
    [
      { path: 'AAA.BIN', bytes: parts[0] },
      { path: 'AAB.BIN', bytes: parts[1] },
    ],
  );
  const copy = fs.readFileSync(image);
  const [first, second] = ['AAA.BIN;1', 'AAB.BIN;1'].map((name) => copy.indexOf(name) - 33);
  copy.write('AAA.BIN;1', second + 33, 'latin1');
  const one: ExtEntry = { path: 'AAA.BIN', bytes: Buffer.concat(parts) };
  // Without the flag they are two that have one name, and which is which is not certain.
  for (const flag of [0x80, 0]) {
    copy[first + 25] = flag;
    fs.writeFileSync(image, copy);
    if (flag !== 0) expect(await departures(image, [one])).toEqual([]);
    else expect((await departures(image, [one])).join(' ')).toMatch(/iso\.extents/);
  }
});

test.skipIf(absent !== undefined)('an interleaved file is missing, and said to be', async () => {
  const image = join(root, 'interleaved.iso');
  makeIso(image, [], [{ path: 'AAA.BIN', bytes: bytes(11, 6144) }]);
  const copy = fs.readFileSync(image);
  copy[copy.indexOf('AAA.BIN;1') - 33 + 26] = 2;
  const stack = new Stack([{ name: 'x', source: new MemorySource(copy) }], { only: true });
  const node = (await stack.child((await stack.inside(stack.roots[0]))!, 'AAA.BIN'))!;
  expect(node.damage.map(({ code }) => code)).toEqual(['iso.interleaved']);
  const gaps = await (await node.bytes!()).read(0, new Uint8Array(6144));
  expect(gaps).toEqual([{ offset: 0, length: 6144, code: 'iso.interleaved' }]);
  stack.close();
});

/** Which blocks of an image hold bytes of files. */
async function dataOf(image: string): Promise<Uint8Array> {
  const stack = new Stack([image], { only: true });
  const out = new Uint8Array(Math.ceil(fs.statSync(image).size / 2048));
  const list = new RunList();
  for (const node of (await everything(stack, (await stack.inside(stack.roots[0]))!)).values()) {
    const source = node.kind === 'file' ? await node.bytes!() : undefined;
    for (let at = 0; source !== undefined && at < source.size; ) {
      list.clear();
      at = await source.runs(at, source.size, list);
      for (let i = 0; i < list.n; i++)
        if (list.state(i) === DATA)
          out.fill(1, Math.floor(list.at[i] / 2048), Math.ceil((list.at[i] + list.length[i]) / 2048));
    }
  }
  stack.close();
  return out;
}

test.skipIf(absent !== undefined).each(['-R', '-J'])('%s: nothing stated is wrong after damage', async (option) => {
  const image = join(root, `damaged${option}.iso`);
  makeIso(image, [option, '-D'], short);
  const sound = fs.readFileSync(image);
  const truth = new Map(short.map((one) => [one.path, one]));
  const isData = await dataOf(image);
  const first = isData.indexOf(1) * 2048;
  const roll = dice(53);
  for (let round = 0; round < 60; round++) {
    const copy = Buffer.from(sound);
    for (let n = 0; n < 8; n++) {
      const at = 32_768 + roll(first - 32_768);
      const length = roll(2) === 0 ? 1 : 1 + roll(500);
      const value = roll(256);
      for (let i = at; i < at + length; i++)
        if (isData[i >>> 11] === 0) copy[i] = length === 1 ? copy[i] ^ (1 << roll(8)) : value;
    }
    const stack = new Stack([{ name: 'x', source: new MemorySource(copy) }], { only: true });
    const top = await stack.inside(stack.roots[0]);
    for (const [path, node] of top?.kind === 'filesystem' ? await everything(stack, top) : []) {
      const put = truth.get(path)?.bytes;
      if (put === undefined || node.bytes === undefined) continue;
      const source = await node.bytes();
      if ((await weakest(source)) < STATED || node.damage.length > 0) continue;
      expect(sha256(await whole(source)) === sha256(put), `round ${round}, ${path}`).toBe(true);
    }
    stack.close();
  }
});

test.skipIf(absent !== undefined)('folders of a directory that is lost come back by the path table', async () => {
  const image = join(root, 'lost.iso');
  makeIso(image, ['-J'], [{ path: 'some/inner/file', bytes: bytes(3, 4000) }]);
  const copy = fs.readFileSync(image);
  const stack = new Stack([image], { only: true });
  const top = (await stack.inside(stack.roots[0]))!;
  const at = Number((await stack.child(top, 'some'))!.facts.details!.block) * 2048;
  stack.close();
  copy.fill(0xff, at, at + 2048);
  const damaged = new Stack([{ name: 'x', source: new MemorySource(copy) }], { only: true });
  const found = await everything(damaged, (await damaged.inside(damaged.roots[0]))!);
  expect(sha256(await whole(await found.get('some/inner/file')!.bytes!()))).toBe(sha256(bytes(3, 4000)));
  expect(await weakest(await found.get('some/inner/file')!.bytes!())).toBeLessThan(STATED);
  damaged.close();
});

if (absent === undefined) {
  const image = join(root, 'suite.iso');
  makeIso(
    image,
    ['-R', '-J'],
    [
      { path: 'a', bytes: bytes(1, 10) },
      { path: 'b/c', bytes: bytes(2, 9000) },
    ],
  );
  const source = new MemorySource(fs.readFileSync(image));
  const rootAt = fs.readFileSync(image).readUInt32LE(32_768 + 158) * 2048;
  checkFormat(iso, {
    fixtures: [{ name: 'ISO 9660', source, children: ['a', 'b'] }],
    others: [{ name: 'noise', source: new MemorySource(bytes(9, 2 * 1024 * 1024)) }],
    tables: [
      { at: 32_768, table: volumeDescriptor },
      { at: 32_768 + 156, table: record },
      { at: rootAt, table: record },
    ],
  });
}
