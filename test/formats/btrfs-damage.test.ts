/** btrfs volumes that are damaged, or of which devices are missing: nothing stated is wrong. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { DATA, INFERRED, MISSING, RunList, STATED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { openVolume } from '../../src/formats/filesystem/btrfs/open.ts';
import { ROOT_BACKREF, ROOT_REF } from '../../src/formats/filesystem/btrfs/structs.ts';
import { locate } from '../../src/stack/locate.ts';
import { dice } from '../faults/faults.ts';
import { makeBtrfs, run } from '../make/btrfs.ts';
import { sampleEntries, writeEntries } from '../make/ext.ts';
import { mountAbsent } from '../make/mounted.ts';
import { all, bytes, fill, opened } from './btrfs-volumes.ts';
import { cxOf } from './judged.ts';
import { differences, everything, sha256, weakest, whole } from './volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-btrfs-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const absent = mountAbsent('btrfs');
if (absent !== undefined) console.log(`Volumes of btrfs are not made: ${absent}.`);

function imagesOf(name: string, count = 1): string[] {
  return Array.from({ length: count }, (_, i) => join(root, `${name}-${i}.img`));
}

test.skipIf(absent !== undefined)(
  'one device of a RAID1 is enough; of a RAID0 what lay on the other is missing',
  async () => {
    const put = sampleEntries(5, 50);
    for (const [profile, isWhole] of [
      ['raid1', true],
      ['raid0', false],
    ] as const) {
      const images = imagesOf(`half-${profile}`, 2);
      makeBtrfs({ images, size: '256M', options: ['-d', profile, '-m', 'raid1'] }, (dir) => writeEntries(dir, put));
      for (const image of images) {
        const { stack, top } = await opened([image]);
        expect(top.damage.map(({ code }) => code)).toEqual(['btrfs.device-missing']);
        const found = await everything(stack, top);
        for (const one of put) {
          const node = found.get(one.path)!;
          if (isWhole) expect(await differences(node, one)).toEqual([]);
          else if (one.bytes !== undefined) await expectHonest(await node.bytes!(), one.bytes, one.path);
        }
        stack.close();
      }
    }
  },
);

/** What is not missing is right. */
async function expectHonest(source: Source, content: Uint8Array, what: string): Promise<void> {
  expect(source.size, what).toBe(content.length);
  const data = new Uint8Array(source.size);
  for (const { offset, length } of await source.read(0, data))
    data.set(content.subarray(offset, offset + length), offset);
  expect(sha256(data) === sha256(content), what).toBe(true);
}

test.skipIf(absent !== undefined)('RAID5, RAID6 and RAID10 lose devices', async () => {
  const put = sampleEntries(6, 50);
  for (const [profile, count, lost] of [
    ['raid5', 3, 1],
    ['raid6', 4, 2],
    ['raid10', 4, 1],
  ] as const) {
    const images = imagesOf(`lost-${profile}`, count);
    makeBtrfs({ images, size: '256M', options: ['-d', profile, '-m', profile] }, (dir) => writeEntries(dir, put));
    for (let first = 0; first < count; first++) {
      const { stack, top } = await opened(images.filter((_, i) => (i - first + count) % count >= lost));
      const found = await everything(stack, top);
      for (const one of put) expect(await differences(found.get(one.path)!, one), `${profile} ${first}`).toEqual([]);
      stack.close();
    }
  }
});

test.skipIf(absent !== undefined)('without its first superblock, or its tree of chunks, it is inferred', async () => {
  const put = sampleEntries(4, 3);
  const [image] = imagesOf('headless');
  makeBtrfs({ images: [image], size: '144M', options: ['-m', 'single'] }, (dir) => writeEntries(dir, put));
  const sound = fs.readFileSync(image);
  const view = new DataView(sound.buffer, sound.byteOffset);
  const chunkRoot = Number(view.getBigUint64(0x10000 + 0x58, true));
  const headless = Uint8Array.from(sound);
  headless.fill(0, 0x10000, 0x11000);
  const unmapped = Uint8Array.from(sound);
  // The first system chunk of a single device stands where its addresses say.
  let hits = 0;
  for (let at = 0; at + 4096 <= unmapped.length; at += 4096)
    if (Number(new DataView(unmapped.buffer).getBigUint64(at + 0x30, true)) === chunkRoot && at !== 0x10000) {
      unmapped.fill(0xaa, at, at + 100);
      hits++;
    }
  expect(hits).toBeGreaterThan(0);
  for (const [name, bytes] of [
    ['headless', headless],
    ['unmapped', unmapped],
  ] as const) {
    const { stack, top } = await opened([{ name, source: new MemorySource(bytes) }]);
    expect(top.damage.length, name).toBeGreaterThan(0);
    if (name === 'headless') {
      const { node } = await locate(stack, `${name}::btrfs/large`);
      const source = await node.bytes!();
      expect(sha256(await whole(source))).toBe(sha256(put.find(({ path }) => path === 'large')!.bytes!));
      expect(await weakest(source)).toBe(INFERRED);
    } else {
      for (const [path, node] of await everything(stack, top)) {
        const one = put.find((entry) => entry.path === path);
        if (one?.bytes !== undefined && node.bytes !== undefined)
          await expectHonest(await node.bytes(), one.bytes, path);
      }
    }
    stack.close();
  }
});

test.skipIf(absent !== undefined)('subvolumes whose roots are lost are no empty directories', async () => {
  const [image] = imagesOf('roots');
  makeBtrfs({ images: [image], size: '144M', options: ['-m', 'single', '-n', '4096'] }, (dir) => {
    for (let i = 0; i < 90; i++) {
      run('btrfs', 'subvolume', 'create', join(dir, `a subvolume with a name of some length ${i}`));
      fs.writeFileSync(join(dir, `a subvolume with a name of some length ${i}`, 'file'), `${i}`);
    }
  });
  const sound = fs.readFileSync(image);
  const volume = await openVolume(new MemorySource(sound), cxOf('x', {}));
  const leaves = new Map<number, boolean>();
  for await (const item of volume.roots.items(
    { objectid: 0, type: 0, offset: 0 },
    { objectid: 1e6, type: 0, offset: 0 },
  ))
    if (!('lost' in item)) leaves.set(item.node.place, (leaves.get(item.node.place) ?? true) && item.type === ROOT_REF);
  expect([...leaves.values()].filter((isOfReferences) => isOfReferences).length).toBeGreaterThan(0);
  for (const [place, isOfReferences] of leaves) {
    const at = volume.physical(place);
    const torn = Buffer.from(sound).fill(0x55, at, at + 4096);
    const { stack, top } = await opened([{ name: 'x', source: new MemorySource(torn) }]);
    let count = 0;
    for await (const child of stack.children(top)) {
      const file = await stack.child(child, 'file');
      if (file === undefined) expect(child.damage.length, child.name).toBeGreaterThan(0);
      else expect(Buffer.from(await whole(await file.bytes!())).toString()).toBe(child.name.split(' ').at(-1));
      if (file !== undefined) count++;
    }
    // What says where they hang stands with each of them too.
    if (isOfReferences) expect(count).toBe(90);
    else if (count < 90) expect(top.damage.length).toBeGreaterThan(0);
    stack.close();
  }
  const [reference, back] = await Promise.all(
    [
      [5, ROOT_REF, 316],
      [316, ROOT_BACKREF, 5],
    ].map(async ([objectid, type, offset]) => (await volume.roots.leaf({ objectid, type, offset })).place),
  );
  const torn = Buffer.from(sound);
  for (const place of [reference, back]) torn.fill(0x55, volume.physical(place), volume.physical(place) + 4096);
  const { stack, top } = await opened([{ name: 'x', source: new MemorySource(torn) }]);
  const last = await stack.child(top, 'a subvolume with a name of some length 60');
  expect(last!.damage.map(({ code }) => code)).toEqual(['btrfs.node.lost']);
  stack.close();
});

/** Which sectors of an image hold bytes of files. */
async function dataOf(image: string): Promise<Uint8Array> {
  const { stack, top } = await opened([image]);
  const out = new Uint8Array(fs.statSync(image).size / 4096);
  const list = new RunList();
  for (const node of (await everything(stack, top)).values()) {
    const source = node.kind === 'file' ? await node.bytes!() : undefined;
    for (let at = 0; source !== undefined && source.size > 4096 && at < source.size; ) {
      list.clear();
      at = await flatten(source, at, source.size, list);
      for (let i = 0; i < list.n; i++)
        if (list.state(i) === DATA)
          out.fill(1, Math.floor(list.at[i] / 4096), Math.ceil((list.at[i] + list.length[i]) / 4096));
    }
  }
  stack.close();
  return out;
}

test.skipIf(absent !== undefined)(
  'damage is named, and nothing stated is wrong',
  async () => {
    const [image] = imagesOf('damaged');
    makeBtrfs({ images: [image], size: '144M', options: ['-m', 'single', '-n', '4096'] }, fill);
    const sound = fs.readFileSync(image);
    const truth = new Map(all.map((one) => [one.path, one]));
    const isData = await dataOf(image);
    const nodes: number[] = [];
    const uuid = sound.subarray(0x10020, 0x10030);
    for (let at = 0; at < sound.length; at += 4096)
      if (isData[at / 4096] === 0 && sound.subarray(at + 0x20, at + 0x30).equals(uuid)) nodes.push(at);
    const roll = dice(77);
    let lost = 0;
    for (let round = 0; round < 25; round++) {
      const before: [number, Buffer][] = [];
      for (let n = 0; n < 12; n++) {
        const at = nodes[roll(nodes.length)] + roll(4096);
        const length = roll(2) === 0 ? 1 : 1 + roll(4096 - (at % 4096));
        before.push([at, Buffer.from(sound.subarray(at, at + length))]);
        if (length === 1) sound[at] ^= 1 << roll(8);
        else sound.fill(roll(256), at, at + length);
      }
      const { stack, top } = await opened([{ name: 'x', source: new MemorySource(sound) }]);
      const found = top?.kind === 'filesystem' ? await everything(stack, top) : new Map<string, Node>();
      for (const [path, node] of found) {
        const put = truth.get(path);
        if (put?.bytes === undefined || node.bytes === undefined) continue;
        const source = await node.bytes();
        if (source.size === put.bytes.length) lost += await liesOf(source, put.bytes, `round ${round}, ${path}`);
        // A size that is wrong stood in a node whose checksum fails.
        else expect(node.damage.length, `round ${round}, ${path}`).toBeGreaterThan(0);
      }
      if (found.size < all.length)
        expect(top.damage.length + [...found.values()].flatMap((one) => one.damage).length).toBeGreaterThan(0);
      stack.close();
      for (const [at, was] of before.toReversed()) was.copy(sound, at);
    }
    expect(lost).toBeGreaterThan(0);
  },
  60_000,
);

/** Expects every stated byte to be right; answers how many runs were less than that. */
async function liesOf(source: Source, content: Uint8Array, what: string): Promise<number> {
  const list = new RunList();
  const data = new Uint8Array(source.size);
  await source.read(0, data);
  let weak = 0;
  for (let at = 0; at < source.size; ) {
    list.clear();
    const start = at;
    at = await flatten(source, at, source.size, list);
    for (let i = 0, from = start; i < list.n; from += list.length[i++]) {
      if (list.state(i) === MISSING || list.certainty(i) < STATED) weak++;
      else {
        const end = from + list.length[i];
        expect(Buffer.compare(data.subarray(from, end), content.subarray(from, end)), what).toBe(0);
      }
    }
  }
  return weak;
}

test.skipIf(absent !== undefined)('checking a file compares it with its checksums; attributes are named', async () => {
  const [image] = imagesOf('checked');
  makeBtrfs({ images: [image], size: '144M', options: ['--csum', 'xxhash'] }, (dir) => {
    fs.writeFileSync(join(dir, 'file'), bytes(1, 300_000));
    run('python3', '-c', `import os; os.setxattr(${JSON.stringify(join(dir, 'file'))}, 'user.colour', b'red')`);
  });
  const sound = fs.readFileSync(image);
  const at = sound.indexOf(bytes(1, 300_000).subarray(0, 4096)) + 50_000;
  for (const isBroken of [false, true]) {
    if (isBroken) sound[at] ^= 4;
    const { stack, top } = await opened([{ name: 'x', source: new MemorySource(sound) }]);
    const file = (await stack.child(top, 'file'))!;
    expect(file.facts.details?.attributes).toBe('user.colour');
    const damage: string[] = [];
    for await (const one of file.check!(new AbortController().signal)) damage.push(`${one.code} ${one.at}`);
    expect(damage).toEqual(isBroken ? [`btrfs.data.checksum x@${at - (at % 4096)}`] : []);
    stack.close();
  }
});

test.skipIf(absent !== undefined)('where the first copy of a node is damaged the second one is as good', async () => {
  const [image] = imagesOf('dup');
  const put = sampleEntries(7, 100);
  makeBtrfs({ images: [image], size: '144M', options: ['-m', 'dup'] }, (dir) => writeEntries(dir, put));
  const bytes = fs.readFileSync(image);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const uuid = bytes.subarray(0x10020, 0x10030);
  const met = new Set<bigint>();
  for (let at = 0; at < bytes.length; at += 4096) {
    const place = view.getBigUint64(at + 0x30, true);
    const isSuper = place === BigInt(at);
    if (isSuper || met.has(place) || !bytes.subarray(at + 0x20, at + 0x30).equals(uuid)) continue;
    met.add(place);
    bytes[at + 300] ^= 0x10;
  }
  expect(met.size).toBeGreaterThan(8);
  const { stack, top } = await opened([{ name: 'x', source: new MemorySource(bytes) }]);
  expect(top.damage).toEqual([]);
  const found = await everything(stack, top);
  for (const one of put) expect(await differences(found.get(one.path)!, one)).toEqual([]);
  stack.close();
});

test.skipIf(absent !== undefined)('a device that was away is believed last', async () => {
  const images = imagesOf('stale', 2);
  const old = images.map((image) => `${image}.old`);
  const put = sampleEntries(8, 20);
  const later = bytes(80, 200_000);
  makeBtrfs(
    { images, size: '144M', options: ['-d', 'raid1', '-m', 'raid1'] },
    (dir) => {
      writeEntries(dir, put);
      fs.writeFileSync(join(dir, 'changed'), bytes(81, 200_000));
      run('chattr', '+C', dir);
      fs.writeFileSync(join(dir, 'in place'), bytes(82, 200_000));
    },
    (dir) => {
      for (const [i, image] of images.entries()) fs.copyFileSync(image, old[i]);
      fs.writeFileSync(join(dir, 'changed'), later);
      const file = fs.openSync(join(dir, 'in place'), 'r+');
      fs.writeSync(file, later);
      fs.closeSync(file);
    },
  );
  const pairs = [
    [old[0], images[1]],
    [images[0], old[1]],
  ];
  for (const pair of pairs) {
    const { stack, top } = await opened(pair);
    expect(top.damage.map(({ code }) => code)).toEqual(['btrfs.device-stale']);
    for (const path of ['changed', 'in place']) {
      const source = await (await stack.child(top, path))!.bytes!();
      expect(sha256(await whole(source)), path).toBe(sha256(later));
      expect(await weakest(source)).toBe(STATED);
    }
    stack.close();
  }
});
