/** NTFS volumes as mkntfs and ntfs-3g make them: every name, every byte, and what is stated about them. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Hit } from '../../src/core/finder.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { STATED } from '../../src/core/run.ts';
import { ntfs } from '../../src/formats/filesystem/ntfs/index.ts';
import { recordFinder } from '../../src/formats/filesystem/ntfs/sift.ts';
import { bootSector, recordHeader } from '../../src/formats/filesystem/ntfs/structs.ts';
import { filesystems } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { formatNtfs, interleave, makeNtfs, type NtfsEntry, ntfs3gAbsent, onVolume, sampleNtfs } from '../make/ntfs.ts';
import { checkFormat } from '../suites/check-format.ts';
import { brokenInvariants } from '../suites/check-source.ts';
import { everything, sha256, weakest, whole } from './ntfs-volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-ntfs-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const MIB = 2 ** 20;
const made = ntfs3gAbsent === undefined;

/** Every departure of an opened volume from what was put on it. */
async function departures(image: string, put: readonly NtfsEntry[]): Promise<string[]> {
  const out: string[] = [];
  const stack = new Stack([image], { only: true });
  const top = (await stack.inside(stack.roots[0]))!;
  expect(top.kind).toBe('filesystem');
  const found = await everything(stack, top);
  for (const d of top.damage) out.push(`volume: ${d.code}: ${d.expected} / ${d.actual}`);
  for (const { path, linkTo, bytes = put.find((one) => one.path === linkTo)!.bytes! } of put) {
    const node = found.get(path);
    found.delete(path);
    if (node === undefined) {
      out.push(`${path} is not there`);
      continue;
    }
    out.push(...node.damage.map((d) => `${path}: ${d.code} at ${d.at}: ${d.expected} / ${d.actual}`));
    const source = await node.bytes!();
    if (source.size !== bytes.length) out.push(`${path}: ${source.size} bytes, not ${bytes.length}`);
    else if (sha256(await whole(source)) !== sha256(bytes)) out.push(`${path}: other bytes`);
    if ((await weakest(source)) < STATED) out.push(`${path}: not stated`);
    if (bytes.length > 4096) out.push(...(await brokenInvariants(source)));
  }
  for (const [path, node] of found) {
    if (node.kind !== 'directory' && node.kind !== 'system') out.push(`${path} is there too`);
    if (node.damage.length > 0) out.push(`${path}: ${node.damage[0].code}`);
  }
  stack.close();
  return out;
}

const combinations: readonly [string, number, readonly string[]][] = [
  ['clusters of 512', 16, ['-c', '512']],
  ['clusters of 1 KiB', 16, ['-c', '1024']],
  ['clusters of 2 KiB', 16, ['-c', '2048']],
  ['clusters of 4 KiB', 24, ['-c', '4096']],
  ['clusters of 8 KiB', 24, ['-c', '8192']],
  ['clusters of 16 KiB', 32, ['-c', '16384']],
  ['clusters of 32 KiB', 48, ['-c', '32768']],
  ['clusters of 64 KiB', 64, ['-c', '65536']],
  ['clusters of 512, compressed', 16, ['-c', '512', '-C']],
  ['clusters of 1 KiB, compressed', 16, ['-c', '1024', '-C']],
  ['clusters of 4 KiB, compressed', 24, ['-c', '4096', '-C']],
  ['sectors of 1 KiB', 24, ['-s', '1024']],
  ['sectors of 4 KiB', 48, ['-s', '4096', '-c', '4096']],
  ['with a label, indexed', 24, ['-L', 'Größe 日本', '-I']],
];

test.runIf(made).each(combinations)('%s: all names, all bytes, all stated', async (name, mib, options) => {
  const image = join(root, `${name.replaceAll(/\W/g, '-')}.img`);
  const entries = sampleNtfs(1, options.includes('4096') && !options.includes('-C') ? 2500 : 200);
  makeNtfs(image, mib * MIB, options, entries);
  expect(await departures(image, entries)).toEqual([]);
  fs.rmSync(image);
});

test.runIf(made)(
  'a file in so many pieces that its attributes take a list, and one that is sparse all over',
  async () => {
    const image = join(root, 'pieces.img');
    const bytes = (seed: number): Uint8Array => seeded(seed, 3 * MIB).read(0, 3 * MIB);
    const holes = new Uint8Array(40 * MIB);
    for (let at = 0; at < holes.length; at += 128 * 1024) holes.set(seeded(at + 9, 4096).read(0, 4096), at);
    formatNtfs(image, 24 * MIB, ['-c', '1024']);
    onVolume(image, (at) => {
      interleave(at, ['one', 'two'], 2048, [bytes(1), bytes(2)]);
      fs.writeFileSync(join(at, 'holes'), '');
      const fd = fs.openSync(join(at, 'holes'), 'r+');
      for (let from = 0; from < holes.length; from += 128 * 1024) fs.writeSync(fd, holes, from, 4096, from);
      fs.ftruncateSync(fd, holes.length);
      fs.closeSync(fd);
    });
    const entries = [
      { path: 'one', bytes: bytes(1) },
      { path: 'two', bytes: bytes(2) },
      { path: 'holes', bytes: holes },
    ];
    expect(await departures(image, entries)).toEqual([]);
    const told = execFileSync('ntfsinfo', ['-F', '/holes', image], { encoding: 'utf8' });
    expect(told).toContain('$ATTRIBUTE_LIST');
    fs.rmSync(image);
  },
);

/** A volume in memory. */
function volume(name: string, mib: number, options: readonly string[], entries: readonly NtfsEntry[]): MemorySource {
  const image = join(root, `${name}.img`);
  makeNtfs(image, mib * MIB, options, entries);
  const source = new MemorySource(fs.readFileSync(image));
  fs.rmSync(image);
  return source;
}

const zeros = { name: 'zeros', source: new MemorySource([], 64 * MIB) };
const prose = { name: 'prose', source: new MemorySource(Buffer.from('Dear reader,\n'.repeat(900))) };

if (made) {
  const four = volume('four', 8, ['-c', '4096'], sampleNtfs(2, 20));
  const small = volume('small', 8, ['-c', '512', '-C'], sampleNtfs(3, 20));
  const names =
    '$AttrDef $BadClus $BadClus:$Bad $Bitmap $Boot $Extend $LogFile $MFT $MFTMirr $Secure $Secure:$SDS $UpCase ' +
    '$UpCase:$Info $Volume again block empty home large large:third many mixed resident.bin sparse text.log tiny tiny:second';
  checkFormat(ntfs, {
    fixtures: [
      { name: 'four', source: four, children: names.split(' ') },
      { name: 'small', source: small, children: names.split(' ') },
    ],
    others: [zeros, prose],
    tables: [
      { at: 0, table: bootSector },
      { at: 4 * 4096, table: recordHeader },
      { at: 4 * 4096 + 5 * 1024, table: recordHeader },
      { at: 4 * 4096 + 6 * 1024, table: recordHeader },
    ],
  });
}

test.runIf(made)('scans find records by what they say of themselves', async () => {
  const source = volume('scanned', 8, ['-c', '4096'], []);
  const bytes = await whole(source);
  const hits: Hit[] = [];
  for (let at = 0; at < bytes.length; at += 512) {
    if (bytes[at] === 0x46)
      recordFinder.examine(bytes.subarray(at, at + recordFinder.need), at, (hit) => hits.push(hit));
  }
  const first = hits.find((hit) => hit.facts?.number === 0)!;
  expect(first).toMatchObject({ kind: 'ntfs.record', at: 4 * 4096, length: 1024, base: 4 * 4096 });
  expect(hits.filter((hit) => hit.base === first.base).length).toBeGreaterThan(10);
});

const CORPUS = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpus', 'images.tar.gz');
const REAL: readonly [string, string][] = [
  ['ntfs/colinfinck/testfs1', 'ntfs-colinfinck-testfs1'],
  ['ntfs/colinfinck/testfs1-old0', 'ntfs-colinfinck-testfs1-old0'],
  ['ntfs/dfvfs/ntfs.raw', 'ntfs-dfvfs-ntfs'],
  ['ntfs/suhanov/ntfs-lastaccess.raw', 'ntfs-suhanov-lastaccess'],
  ['ntfs/suhanov/ntfs-ptrn.raw', 'ntfs-suhanov-ptrn'],
  ['vhd/dfvfs/ntfs-dynamic.vhd', 'vhd-dfvfs-ntfs-dynamic'],
  ['vhd/dfvfs/ntfs-fixed.vhd', 'vhd-dfvfs-ntfs-fixed'],
  ['vhd/dfvfs/ntfs-parent.vhd', 'vhd-dfvfs-ntfs-parent'],
  ['vhdx/dfvfs/ntfs-fixed.vhdx', 'vhdx-dfvfs-ntfs-fixed'],
];

interface Expected {
  readonly path: string;
  readonly type: string;
  readonly size?: number;
  readonly mtime?: number;
  readonly sha256?: string;
}

test.skipIf(!fs.existsSync(CORPUS))('real volumes are listed and read as another system reads them', async () => {
  const names = REAL.flatMap(([file, key]) => [file, `expected/${key}.json`]);
  execFileSync('tar', ['xSzf', CORPUS, '-C', root, ...names, 'vhd/dfvfs/ntfs-differential.vhd']);
  for (const [file, key] of REAL) {
    const stack = new Stack([join(root, file)], { only: true });
    const [top] = await filesystems(stack, stack.roots[0]);
    expect(top.damage, file).toEqual([]);
    const found = await everything(stack, top);
    const list = JSON.parse(fs.readFileSync(join(root, `expected/${key}.json`), 'utf8')) as Expected[];
    const own = [...found.values()].filter((node) => node.kind !== 'system');
    expect(
      own.map((node) => node.locator).filter((path) => path.includes(':$')),
      file,
    ).toEqual([]);
    for (const one of list) {
      const node = found.get(one.path.slice(1));
      expect(node?.damage, `${file}${one.path}`).toEqual([]);
      expect(Math.trunc(node!.facts.modified!), one.path).toBe(one.mtime);
      expect(node!.kind).toBe(one.type === 'd' ? 'directory' : one.type === 'l' ? 'symlink' : 'file');
      if (one.type !== 'f') continue;
      const bytes = await node!.bytes!();
      expect(sha256(await whole(bytes)), one.path).toBe(one.sha256);
      expect(await weakest(bytes)).toBe(STATED);
    }
    expect(own.length, file).toBe(list.length);
    stack.close();
  }
});
