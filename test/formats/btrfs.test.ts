import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { segments } from '../../src/core/map-source.ts';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { CERTAINTY_NAMES, INFERRED, STATED } from '../../src/core/run.ts';
import { decodeExtent, extentSegments } from '../../src/formats/filesystem/btrfs/extents.ts';
import { btrfs } from '../../src/formats/filesystem/btrfs/index.ts';
import { openVolume } from '../../src/formats/filesystem/btrfs/open.ts';
import { deadSegments } from '../../src/formats/filesystem/btrfs/reuse.ts';
import { FILE_EXTENT, FS_TREE, nodeHeader, superBlock } from '../../src/formats/filesystem/btrfs/structs.ts';
import type { Item } from '../../src/formats/filesystem/btrfs/tree.ts';
import { Claimants } from '../../src/formats/filesystem/claimants.ts';
import { filesystems } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { type BtrfsSpec, makeBtrfs, run } from '../make/btrfs.ts';
import { type ExtEntry, writeEntries } from '../make/ext.ts';
import { mountAbsent } from '../make/mounted.ts';
import { checkFormat } from '../suites/check-format.ts';
import { all, bytes, fill, mixed, opened } from './btrfs-volumes.ts';
import { cxOf } from './judged.ts';
import { departuresFrom, differences, type Expected, everything, sha256, weakest, whole } from './volumes.ts';

const CORPUS = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpus', 'images.tar.gz');
const root = fs.mkdtempSync(join(tmpdir(), 'salvor-btrfs-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const absent = mountAbsent('btrfs');
if (absent !== undefined) console.log(`Volumes of btrfs are not made: ${absent}.`);

/** Every departure of a volume from what was put on it, given its devices. */
async function departures(images: readonly string[], put: readonly ExtEntry[]): Promise<string[]> {
  const out: string[] = [];
  const stack = new Stack([...images], { only: true });
  const top = (await stack.inside(stack.roots[0]))!;
  expect(top.format).toBe('btrfs file system');
  const found = await everything(stack, top);
  for (const d of top.damage) out.push(`volume: ${d.code}: ${d.expected} / ${d.actual}`);
  for (const entry of put) {
    const node = found.get(entry.path);
    found.delete(entry.path);
    if (node === undefined) out.push(`${entry.path} is not there`);
    else out.push(...(await differences(node, entry)));
  }
  for (const [path, node] of found) if (node.kind !== 'directory') out.push(`${path} is there too`);
  stack.close();
  return out;
}

const combinations: readonly [string, readonly string[], (string | undefined)?, number?][] = [
  ['defaults', []],
  ['nodes of 4 KiB', ['-n', '4096']],
  ['nodes of 64 KiB, compressed by lzo', ['-n', '65536'], 'compress-force=lzo'],
  ['mixed groups', ['-M']],
  ['single metadata, xxhash, compressed by zlib', ['-m', 'single', '--csum', 'xxhash'], 'compress-force=zlib:9'],
  ['sha256, compressed by zstd', ['--csum', 'sha256'], 'compress-force=zstd'],
  ['blake2, lzo', ['--csum', 'blake2'], 'compress-force=lzo'],
  ['DUP data', ['-d', 'dup']],
  ['holes in items', ['-O', '^no-holes'], 'compress=zstd'],
  ['a label, nothing inline', ['-L', 'some label'], 'max_inline=0'],
  ['RAID0', ['-d', 'raid0', '-m', 'raid0'], undefined, 2],
  ['RAID1', ['-d', 'raid1', '-m', 'raid1'], undefined, 2],
  ['RAID1C3', ['-d', 'raid1c3', '-m', 'raid1c3'], undefined, 3],
  ['RAID10', ['-d', 'raid10', '-m', 'raid10'], undefined, 4],
  ['RAID5', ['-d', 'raid5', '-m', 'raid5'], undefined, 3],
  ['RAID6, zlib', ['-d', 'raid6', '-m', 'raid6'], 'compress-force=zlib', 4],
];

function imagesOf(name: string, count = 1): string[] {
  return Array.from({ length: count }, (_, i) => join(root, `${name.replaceAll(/\W/g, '-')}-${i}.img`));
}

function specOf([name, options, mount, count]: (typeof combinations)[number]): BtrfsSpec {
  return { images: imagesOf(name, count), size: '256M', options, ...(mount !== undefined && { mount }) };
}

test.skipIf(absent !== undefined).each(combinations)('%s: all names, all bytes, all stated', async (...one) => {
  const spec = specOf(one);
  makeBtrfs(spec, fill);
  expect(await departures(spec.images, all)).toEqual([]);
  for (const image of spec.images) fs.rmSync(image);
});

test.skipIf(!fs.existsSync(CORPUS))('a real volume is listed and read as Linux reads it', async () => {
  const [file, list] = ['vhdx/discutils/btrfs.vhdx', 'expected/vhdx-discutils-btrfs.json'];
  expect(spawnSync('tar', ['xSzf', CORPUS, '-C', root, file, list]).status).toBe(0);
  const stack = new Stack([join(root, file)], { only: true });
  const [top] = await filesystems(stack, stack.roots[0]);
  expect(top.damage).toEqual([]);
  const found = await everything(stack, top);
  const expected = JSON.parse(fs.readFileSync(join(root, list), 'utf8')) as Expected[];
  expect(found.size).toBe(expected.length);
  for (const one of expected) expect(await departuresFrom(found.get(one.path.slice(1)), one)).toEqual([]);
  stack.close();
});

test.skipIf(absent !== undefined)('subvolumes stand where they hang, with what is known of them', async () => {
  const [image] = imagesOf('subvolumes');
  const inner = bytes(50, 70_000);
  const make = (dir: string): void => {
    const at = (name: string): string => join(dir, name);
    run('btrfs', 'subvolume', 'create', at('home'));
    fs.writeFileSync(at('home/inner'), inner);
    run('btrfs', 'subvolume', 'create', at('home/nested'));
    fs.writeFileSync(at('home/nested/deep'), 'deep');
    run('btrfs', 'subvolume', 'snapshot', '-r', at('home'), at('yesterday'));
    fs.writeFileSync(at('home/inner'), 'other');
    run('btrfs', 'subvolume', 'set-default', at('home'));
    run('btrfs', 'subvolume', 'create', at('gone'));
    for (let i = 0; i < 200; i++) fs.writeFileSync(at(`gone/lost${i}`), bytes(i, 1000));
  };
  makeBtrfs({ images: [image], size: '256M', options: [], mount: 'subvolid=5' }, make, (dir) =>
    run('btrfs', 'subvolume', 'delete', '-c', join(dir, 'gone')),
  );
  const { stack, top } = await opened([image]);
  const found = await everything(stack, top);
  expect([...found.keys()].sort()).toEqual(
    [
      'home',
      'home/inner',
      'home/nested',
      'home/nested/deep',
      'yesterday',
      'yesterday/inner',
      'yesterday/nested',
    ].sort(),
  );
  expect(sha256(await whole(await found.get('yesterday/inner')!.bytes!()))).toBe(sha256(inner));
  const [home, yesterday] = ['home', 'yesterday'].map((name) => found.get(name)!.facts.details!);
  expect(yesterday).toMatchObject({ readOnly: true, parentUuid: home.uuid });
  expect(home).toMatchObject({ readOnly: false, subvolume: 256 });
  expect(top.facts.details).toMatchObject({ defaultSubvolume: 256 });
  const gone = await everything(stack, (await stack.child(top, '+deleted'))!);
  let exact = 0;
  for (let i = 0; i < 200; i++) {
    const lost = await gone.get(`gone/lost${i}`)?.bytes?.();
    if (lost?.size !== 1000 || sha256(await whole(lost)) !== sha256(bytes(i, 1000))) continue;
    expect(await weakest(lost)).toBe(INFERRED);
    exact++;
  }
  // Some of its leaves were written over when the volume was unmounted.
  expect(exact).toBeGreaterThan(100);
  expect(await stack.child(top, '+orphan')).toBeUndefined();
  stack.close();
});

const GONE: ExtEntry[] = Array.from({ length: 40 }, (_, i) => ({
  path: `gone/g${i}`,
  bytes: mixed(600 + i, 30 + i * 7919),
}));

/** A volume with files that were deleted; a snapshot may have them still. */
function makeDeleted(image: string, how: string, hasSnapshot: boolean, isReused: boolean): void {
  const keep = Array.from({ length: 300 }, (_, i): ExtEntry => ({ path: `many/keep${i}`, bytes: bytes(800 + i, 9) }));
  const mount = how === 'none' ? {} : { mount: `compress-force=${how}` };
  makeBtrfs(
    { images: [image], size: '256M', options: [], ...mount },
    (dir) => {
      writeEntries(dir, [...GONE, ...keep, { path: 'link', target: 'gone/g1' }]);
      fs.writeFileSync(join(dir, 'shared'), shared);
      run('cp', '--reflink=always', join(dir, 'shared'), join(dir, 'still'));
      fs.writeFileSync(join(dir, 'sparse'), bytes(5, 9000));
      fs.truncateSync(join(dir, 'sparse'), 1_000_000);
      if (hasSnapshot) run('btrfs', 'subvolume', 'snapshot', '-r', dir, join(dir, 'kept'));
    },
    (dir) => {
      for (const { path } of GONE) fs.rmSync(join(dir, path));
      for (const name of ['link', 'shared', 'sparse']) fs.rmSync(join(dir, name));
    },
    ...(isReused ? [(dir: string) => fs.writeFileSync(join(dir, 'later'), bytes(1000, 300_000))] : []),
  );
}
const shared = mixed(77, 500_000);
const sparse = new Uint8Array(1_000_000);
sparse.set(bytes(5, 9000));

test.skipIf(absent !== undefined).each([
  ['none', false, false],
  ['zstd', false, false],
  ['lzo', false, false],
  ['none', false, true],
  ['zlib', true, true],
  ['none', true, true],
] as const)(
  'what was deleted comes back (compressed: %s, in a snapshot: %s, written to: %s)',
  async (how, hasSnapshot, isReused) => {
    const [image] = imagesOf(`deleted-${how}-${hasSnapshot}-${isReused}`);
    makeDeleted(image, how, hasSnapshot, isReused);
    const { stack, top } = await opened([image]);
    const deleted = await stack.child(top, '+deleted');
    const found = deleted === undefined ? new Map<string, Node>() : await everything(stack, deleted);
    let exact = 0;
    for (const { path, bytes: content } of [
      ...GONE,
      { path: 'shared', bytes: shared },
      { path: 'sparse', bytes: sparse },
    ]) {
      const node = found.get(path);
      // Its leaf was written over.
      if (node === undefined) continue;
      expect(node.state, path).toBe('deleted');
      const source = await node.bytes!();
      // Or the newest leaf that is left is of a time when the file was still being written.
      expect(source.size, path).toBeLessThanOrEqual(content!.length);
      if (source.size > 0) expect(await weakest(source), path).toBeLessThanOrEqual(INFERRED);
      const data = new Uint8Array(source.size);
      // What others have now is missing; the rest is right.
      const gaps = await source.read(0, data);
      for (const { offset, length } of gaps) data.set(content!.subarray(offset, offset + length), offset);
      expect(sha256(data) === sha256(content!.subarray(0, data.length)), path).toBe(true);
      if (gaps.length === 0 && data.length === content!.length) exact++;
    }
    // Freed nodes are soon written over, those that a snapshot keeps are not.
    expect(exact).toBeGreaterThanOrEqual(hasSnapshot ? GONE.length : isReused ? 0 : 10);
    if (hasSnapshot) expect(found.get('link')?.facts.target).toBe('gone/g1');
    stack.close();
  },
);

test.skipIf(absent !== undefined)(
  'a deleted extent with a shorter stream leaves a live one at its place whole',
  async () => {
    const [image] = imagesOf('shorter');
    const content = mixed(31, 128 * 1024);
    content.set(bytes(32, 20_000), 40_000);
    makeBtrfs({ images: [image], size: '144M', options: [], mount: 'compress-force=zlib' }, (dir) =>
      fs.writeFileSync(join(dir, 'live'), content),
    );
    const volume = await openVolume(new MemorySource(fs.readFileSync(image)), cxOf('x', {}));
    const { tree } = (await volume.subvolume(FS_TREE))!;
    const entries = await tree
      .items({ objectid: 257, type: FILE_EXTENT, offset: 0 }, { objectid: 257, type: FILE_EXTENT, offset: 1e6 })
      .next();
    const live = decodeExtent(entries.value as Item);
    expect(live).toMatchObject({ compression: 1, bytes: content.length });
    const [why, past] = [{ what: 'test' }, volume.chunks.before()];
    // Others have its place now, and the one that is gone was shorter.
    const dead = { ...live, diskBytes: live.diskBytes - 4096, generation: live.generation - 1 };
    const [gone] = await deadSegments(volume, dead, INFERRED, why, { past, claimants: new Claimants() });
    expect(gone.why?.code).toBe('btrfs.extent-reused');
    for (const other of [dead, { ...live, diskBytes: live.diskBytes + 4096 }, live]) {
      extentSegments(volume, other, INFERRED, why, past);
      extentSegments(volume, other, INFERRED, why);
      const source = segments(extentSegments(volume, live, STATED, why));
      expect(sha256(await whole(source))).toBe(sha256(content));
    }
  },
);

test.skipIf(absent !== undefined)('of what is gone and lay at one place, only the last is there', async () => {
  const [image] = imagesOf('places');
  makeBtrfs({ images: [image], size: '144M', options: [] }, (dir) =>
    fs.writeFileSync(join(dir, 'gone'), bytes(33, 64 * 1024)),
  );
  const volume = await openVolume(new MemorySource(fs.readFileSync(image)), cxOf('x', {}));
  const { tree } = (await volume.subvolume(FS_TREE))!;
  const found = await tree
    .items({ objectid: 257, type: FILE_EXTENT, offset: 0 }, { objectid: 257, type: 255, offset: 0 })
    .next();
  const extent = decodeExtent(found.value as Item);
  const { place: from, diskBytes, generation: order } = extent;
  const gradesWith = async (...claims: [at: number, end: number, order: number][]): Promise<string[]> => {
    const claimants = new Claimants();
    for (const [at, end, when] of [[0, diskBytes, order], ...claims])
      claimants.add({ from: from + at, end: from + end, order: when, who: 0 });
    const list = await deadSegments(
      volume,
      extent,
      INFERRED,
      { what: 'x' },
      { past: volume.chunks.before(), claimants },
    );
    return list.map(({ length, certainty }) => `${length} ${CERTAINTY_NAMES[certainty]}`);
  };
  expect(await gradesWith()).toEqual(['65536 inferred']);
  expect(await gradesWith([4096, 8192, order - 1])).toEqual(['65536 inferred']);
  expect(await gradesWith([4096, 8192, order + 1])).toEqual(['4096 inferred', '4096 missing', '57344 inferred']);
  // A part that was cut off says a later generation, as another of the same shape would.
  expect(await gradesWith([0, diskBytes, order + 1])).toEqual(['65536 guessed']);
});

test.skipIf(absent !== undefined)('a file that was unlinked while it was open, and a volume with a log', async () => {
  const [image] = imagesOf('open');
  const [unlinked, logged] = ['unlinked', 'logged'].map((name) => join(root, `${name}.img`));
  makeBtrfs({ images: [image], size: '144M', options: [] }, (dir) => {
    fs.writeFileSync(join(dir, 'kept'), bytes(7, 50_000));
    fs.writeFileSync(join(dir, 'open'), bytes(8, 70_000));
    run('sync', '-f', dir);
    const file = fs.openSync(join(dir, 'open'), 'r');
    fs.rmSync(join(dir, 'open'));
    run('sync', '-f', dir);
    fs.copyFileSync(image, unlinked);
    fs.closeSync(file);
    const late = fs.openSync(join(dir, 'late'), 'w');
    fs.writeSync(late, bytes(9, 5000));
    fs.fsyncSync(late);
    fs.closeSync(late);
    fs.copyFileSync(image, logged);
  });
  const first = await opened([unlinked]);
  const gone = await everything(first.stack, (await first.stack.child(first.top, '+deleted'))!);
  const [node] = [...gone.values()];
  expect(sha256(await whole(await node.bytes!()))).toBe(sha256(bytes(8, 70_000)));
  expect(await weakest(await node.bytes!())).toBe(INFERRED);
  first.stack.close();
  const second = await opened([logged]);
  expect(second.top.notices).toHaveLength(1);
  const kept = (await second.stack.child(second.top, 'kept'))!;
  expect(await weakest(await kept.bytes!())).toBe(INFERRED);
  second.stack.close();
});

if (absent === undefined) {
  const folder = fs.mkdtempSync(join(root, 'suite-'));
  writeEntries(folder, [
    { path: 'b/a', bytes: bytes(1, 10) },
    { path: 'b/c', bytes: bytes(2, 9000) },
  ]);
  const image = join(root, 'suite.img');
  run('truncate', '-s', '120M', image);
  run('mkfs.btrfs', '-q', '--rootdir', folder, image);
  checkFormat(btrfs, {
    fixtures: [{ name: 'small', source: new MemorySource(fs.readFileSync(image)), children: ['b'] }],
    others: [{ name: 'noise', source: new MemorySource(bytes(9, 2 * 1024 * 1024)) }],
    tables: [
      { at: 0x10000, table: superBlock },
      { at: 0x500000, table: nodeHeader },
    ],
  });
}
