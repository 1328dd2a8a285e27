/** Disks that no pointer leads to: recognised by content, followed by habit, and never more than guessed. */
import { expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { GUESSED, MISSING, RunList } from '../../src/core/run.ts';
import { home } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { faulty, zeroed } from '../faults/faults.ts';
import { exactly } from '../make/content.ts';
import { machineEntries } from '../make/machines.ts';
import { makeStore } from '../make/stores.ts';
import type { Made, TruthFile } from '../make/types.ts';
import type { EntrySpec, Range } from '../make/vmfs.ts';
import { type GuestSpec, guestAbsent, guestImage } from '../scoreboard/guests.ts';
import { evidenceOf } from './stores.ts';

const MIB = 2 ** 20;
const VERSIONS = [3, 5, 6] as const;
type Version = (typeof VERSIONS)[number];

function store(version: Version, place?: EntrySpec['place'], pes: readonly number[] = [4]): Made {
  const entries = ['one', 'two', 'three'].flatMap((name, i) =>
    machineEntries({
      name,
      seed: 50 + i,
      disks: [{ bytes: (9 + 4 * i) * MIB, fill: 1, partitioned: true }],
      ...(place !== undefined && i === 0 && { place }),
    }),
  );
  return makeStore(version, { seed: 5, members: pes.map((n) => ({ pes: n })), entries });
}

/** The store without descriptors, pointer blocks and journals; `present` says which members are given. */
function wiped(made: Made, present: (member: number) => boolean = () => true): Stack {
  const lost = made.truth.structures.filter((one) => /^(fd\/|pb:|journal$)/.test(one.name));
  const evidence = evidenceOf(made).map((one, i) => ({
    ...one,
    source: faulty(
      one.source,
      lost.filter((l) => l.member === i).map((l) => zeroed(l.at, l.length)),
    ),
  }));
  return new Stack(
    evidence.filter((_, i) => present(i)),
    { only: true },
  );
}

/** All carved disks, by size; fails where any byte of them is more than guessed. */
async function carved(stack: Stack): Promise<{ size: number; bytes: Buffer }[]> {
  const folder = (await stack.child(await home(stack), '+carved'))!;
  const out: { size: number; bytes: Buffer }[] = [];
  const queue: Node[] = [folder];
  for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
    if (node.children !== undefined) {
      // Disks whose name is known lie in the directory they were in.
      for await (const child of stack.children(node)) queue.push(child);
      continue;
    }
    // Settings that fill a block of their own are found beside the disks.
    if (node.rawName.endsWith('.nvram')) continue;
    const source = (await node.bytes?.())!;
    const bytes = Buffer.alloc(source.size);
    await source.read(0, bytes);
    out.push({ size: source.size, bytes });
    const list = new RunList();
    for (let at = 0; at < source.size; ) {
      list.clear();
      at = await flatten(source, at, source.size, list);
      for (let i = 0; i < list.n; i++)
        if (list.state(i) !== MISSING) expect(list.certainty(i)).toBeLessThanOrEqual(GUESSED);
    }
  }
  return out;
}

function bytesOf(file: TruthFile): Buffer {
  return Buffer.from(file.content!.read(0, file.size));
}

const flats = (made: Made): TruthFile[] => made.truth.files.filter((file) => file.path.endsWith('-flat.vmdk'));

/** Sectors of a disk that stand where they belong in the carved disk that has most of them. */
function rightShare(file: TruthFile, found: readonly { bytes: Buffer }[]): number {
  const truth = bytesOf(file);
  const sectors = Math.floor(truth.length / 512);
  const counts = found.map(({ bytes }) => {
    let same = 0;
    for (let at = 0; at < sectors * 512; at += 512)
      if (truth.subarray(at, at + 512).equals(bytes.subarray(at, at + 512))) same++;
    return same;
  });
  return Math.max(0, ...counts) / sectors;
}

test.each(VERSIONS)('VMFS%i without any pointer: thick disks come back from their content', async (version) => {
  const made = store(version);
  const found = await carved(wiped(made));
  expect(found.length).toBe(3);
  for (const file of flats(made)) expect(rightShare(file, found), file.path).toBeGreaterThan(0.99);
});

test.each(VERSIONS)('VMFS%i: a disk that wraps around in its cluster is followed', async (version) => {
  const made = store(version, 'wrap');
  const found = await carved(wiped(made));
  for (const file of flats(made)) expect(rightShare(file, found), file.path).toBeGreaterThan(0.9);
});

test.each(VERSIONS)('VMFS%i without its first device: what lies on the others is found', async (version) => {
  const made = store(version, 0.9, [1, 3]);
  const found = await carved(wiped(made, (member) => member > 0));
  const there = flats(made).filter((file) => file.extents.every((one) => one.member !== 0));
  expect(there.length).toBeGreaterThan(0);
  for (const file of there) expect(rightShare(file, found), file.path).toBeGreaterThan(0.99);
});

/** Machines whose disks hold file systems and grew in turns, a few blocks each time. */
function inTurns(version: Version, specs: readonly GuestSpec[]): Made {
  const entries = specs.flatMap((spec, i) => {
    const disk = guestImage(spec);
    const ranges: Range[] = [];
    for (let offset = 0; offset < disk.length; offset += MIB) {
      const kind = disk.subarray(offset, offset + MIB).every((byte) => byte === 0) ? 'hole' : 'data';
      ranges.push({ offset, length: MIB, kind });
    }
    const list = machineEntries({ name: `thin${i}`, seed: 70 + i, disks: [{ bytes: disk.length, thin: true }] });
    const isFlat = (path: string): boolean => path.endsWith('-flat.vmdk');
    return list.map((entry) => (isFlat(entry.path) ? { ...entry, content: exactly(disk), ranges } : entry));
  });
  return makeStore(version, { seed: 6, members: [{ pes: 2 }], entries, allocation: 'interleaved' });
}

const GUESTS: readonly GuestSpec[] = [
  { kind: 'ext4', mib: 12, fill: 0.6, seed: 41 },
  { kind: 'ext4', mib: 16, fill: 0.5, seed: 42 },
  { kind: 'ext4', mib: 12, fill: 0.4, seed: 43 },
];

test.skipIf(guestAbsent('ext4'))('thin disks that grew in turns are told apart by their guests', async () => {
  for (const version of VERSIONS) {
    const made = inTurns(version, GUESTS);
    expect(flats(made).every((file) => file.extents.some((one) => one.kind === 'hole'))).toBe(true);
    const found = await carved(wiped(made));
    for (const file of flats(made))
      expect(rightShare(file, found), `VMFS${version} ${file.path}`).toBeGreaterThan(0.95);
  }
});

test('what still has a name is not carved, and a healthy store has nothing to carve', async () => {
  const made = store(6);
  const stack = new Stack(evidenceOf(made), { only: true });
  expect(await carved(stack)).toEqual([]);
});
