/** Disks of RAID arrays that say nothing of the array, in any order: what lies on them tells how they belong together. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { DATA, INFERRED, VERIFIED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { marksOf } from '../../src/formats/volume/array/marks.ts';
import { solve } from '../../src/formats/volume/array/solve.ts';
import { filesystems } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { dice } from '../faults/faults.ts';
import { seeded } from '../make/content.ts';
import { type MemoryImage, memoryImages } from '../make/images.ts';
import { dataDevices, type Layout, laidOut } from '../make/raid.ts';
import { small5, small6 } from '../make/stores.ts';
import { read } from './devices.ts';
import { everything } from './volumes.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const never = new AbortController().signal;
const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

function shuffled<T>(list: readonly T[], seed: number): T[] {
  const roll = dice(seed);
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = roll(i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

async function arrayOf(devices: readonly Uint8Array[]): Promise<{ stack: Stack; node: Node | undefined }> {
  const named = devices.map((bytes, i) => ({ name: `disk${i}.img`, source: new MemorySource(bytes) }));
  const stack = new Stack(named, { only: true });
  const found: Node[] = [];
  for (const root of stack.roots) {
    const inside = await stack.inside(root);
    if (inside?.facts.details?.level !== undefined) found.push(inside);
  }
  // All members show the one array.
  expect(new Set(found).size).toBeLessThan(2);
  return { stack, node: found[0] };
}

const [image5] = memoryImages(small5());

test.each<[Layout, number | undefined]>([
  [{ level: 0, layout: 0, devices: 3, chunk: 64 * KIB }, undefined],
  [{ level: 0, layout: 0, devices: 5, chunk: 16 * KIB }, 3],
  [{ level: 5, layout: 2, devices: 4, chunk: 64 * KIB }, undefined],
  [{ level: 5, layout: 0, devices: 4, chunk: 256 * KIB }, 1],
  [{ level: 5, layout: 1, devices: 3, chunk: 16 * KIB }, undefined],
  [{ level: 5, layout: 3, devices: 8, chunk: 32 * KIB }, 0],
  [{ level: 6, layout: 8, devices: 5, chunk: 64 * KIB }, undefined],
  [{ level: 6, layout: 2, devices: 6, chunk: 128 * KIB }, 2],
])('%j without disk %s is told by what lies on it', async (layout, gone) => {
  const row = dataDevices(layout) * layout.chunk;
  const bytes = new Uint8Array(Math.floor((48 * MIB) / row) * row);
  image5.read(0, bytes);
  const disks = shuffled([...laidOut(layout, bytes).entries()], 11).filter(([slot]) => slot !== gone);
  const marks = await Promise.all(disks.map(([, disk]) => marksOf(new MemorySource(disk), never)));
  const [{ agree, members, marks: all, ...shape }] = solve(marks);
  expect(shape).toEqual(layout);
  expect(members.map((member) => (member < 0 ? gone : disks[member][0]))).toEqual([...members.keys()]);
  expect(agree).toBeGreaterThan(all * 0.95);
});

test('disks without structures that know their place, and copies of one disk, are no array', async () => {
  const noise = [1, 2, 3].map((seed) => seeded(seed, 8 * MIB).read(0, 8 * MIB));
  expect((await arrayOf(noise)).node).toBeUndefined();
});

test('an older disk among the members is noticed by the parity', async () => {
  const bytes = new Uint8Array(48 * MIB);
  image5.read(0, bytes);
  for (let at = 8 * MIB; at < bytes.length; at += 64 * KIB) bytes.fill(at / MIB, at + 512, at + 1024);
  const all = laidOut({ level: 5, layout: 2, devices: 4, chunk: 64 * KIB }, bytes);
  expect((await arrayOf(shuffled(all, 9))).node?.damage).toEqual([]);
  for (let at = 2 * MIB; at < all[2].length; at += 64 * KIB) all[2].fill(7, at, at + 512);
  const { node } = await arrayOf(shuffled(all, 9));
  expect(node!.damage.map(({ code }) => code)).toEqual(['array.parity']);
  expect((await read((await node!.bytes!())!)).weakest).toBe(INFERRED);
});

/** One disk of a RAID 5 in the layout that most controllers use, made as it is read. */
function member(image: MemoryImage, devices: number, chunk: number, slot: number): Source {
  const size = Math.ceil(image.size / chunk / (devices - 1)) * chunk;
  const piece = new Uint8Array(chunk);
  const source: Source = {
    size,
    async read(offset, into) {
      into.fill(0);
      for (let at = offset; at < offset + into.length; ) {
        const [stripe, inner] = [Math.floor(at / chunk), at % chunk];
        const length = Math.min(chunk - inner, offset + into.length - at);
        const p = devices - 1 - (stripe % devices);
        const all = Array.from({ length: devices - 1 }, (_, i) => i);
        for (const column of slot === p ? all : [(slot - p - 1 + devices) % devices]) {
          image.read((stripe * (devices - 1) + column) * chunk + inner, piece.subarray(0, length));
          for (let i = 0; i < length; i++) into[at - offset + i] ^= piece[i];
        }
        at += length;
      }
      return [];
    },
    runs: (from, end, out) => (out.add(DATA, VERIFIED, Math.min(end, size) - from, source, from) ? end : from),
  };
  return source;
}

test.each([5, 6] as const)(
  'a VMFS%i datastore on disks of a controller, in any order, one of them gone',
  async (version) => {
    const made = version === 5 ? small5() : small6();
    const [image] = memoryImages(made);
    const disks = [0, 1, 3].map((slot) => member(image, 4, 64 * KIB, slot));
    const named = shuffled(disks, 5).map((source, i) => ({ name: `disk${i}.img`, source }));
    const stack = new Stack(named, { only: true });
    const direct = new Stack([{ name: 'whole', source: new MemorySource(image.pieces, image.size) }], { only: true });
    const wanted = await hashesIn(direct);
    expect(wanted.size).toBeGreaterThan(20);
    expect(await hashesIn(stack)).toEqual(wanted);
  },
);

/** Hashes of all files of the datastores on evidence, by their paths. */
async function hashesIn(stack: Stack): Promise<Map<string, string>> {
  const out = new Map<string, string>();
  for (const one of await filesystems(stack, stack.roots[0])) {
    for (const [path, node] of await everything(stack, one)) {
      if (node.kind !== 'file' || (node.facts.size ?? 0) > 4 * MIB) continue;
      out.set(path, sha256((await read((await node.bytes!())!)).data));
    }
  }
  return out;
}
