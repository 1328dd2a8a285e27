/** Entries whose descriptors are gone, and bytes that nothing leads to: who belongs to whom, and when that is not said. */
import { expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { INFERRED } from '../../src/core/run.ts';
import { guessText } from '../../src/formats/filesystem/vmfs/residue-content.ts';
import { inTurn } from '../../src/formats/filesystem/vmfs/residue-order.ts';
import { flatSizes } from '../../src/formats/machine/log.ts';
import { home } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { faulty, unreadable, zeroed } from '../faults/faults.ts';
import { machineEntries } from '../make/machines.ts';
import { makeStore } from '../make/stores.ts';
import type { Made, TruthFile } from '../make/types.ts';
import { runsOf } from './gone.ts';
import { evidenceOf } from './stores.ts';

const MIB = 2 ** 20;
const VERSIONS = [3, 5, 6] as const;
type Version = (typeof VERSIONS)[number];
const NAMES = ['one', 'two', 'three', 'four', 'five'];
const LOST = ['two', 'four'];

/** Machines that are alike: their disks have one size and lie behind pointer blocks. */
function store(version: Version): Made {
  const entries = NAMES.flatMap((name, i) =>
    machineEntries({ name, seed: 90 + i, disks: [{ bytes: 10 * MIB, fill: 1, partitioned: true }], force: 'indirect' }),
  );
  return makeStore(version, { seed: 6, members: [{ pes: 4 }], entries });
}

type Fault = ReturnType<typeof zeroed>;

function damaged(made: Made, fault: (at: number, length: number, name: string) => Fault | undefined): Stack {
  const evidence = evidenceOf(made).map((one) => ({
    ...one,
    source: faulty(
      one.source,
      made.truth.structures.flatMap(({ at, length, name }) => fault(at, length, name) ?? []),
    ),
  }));
  return new Stack(evidence, { only: true });
}

function fdName({ fdAddress }: TruthFile): string {
  return `fd/0x${fdAddress.toString(16).padStart(8, '0')}`;
}

/** Files of the machines that lose their descriptors. */
function victims(made: Made, ends: RegExp): TruthFile[] {
  return made.truth.files.filter(({ path }) => LOST.includes(path.split('/')[1]) && ends.test(path));
}

async function nodeAt(stack: Stack, path: string): Promise<Node | undefined> {
  for (const top of ['+orphan', '+carved']) {
    let node = await stack.child(await home(stack), top);
    for (const step of path.slice(1).split('/')) node = node && (await stack.child(node, step));
    if (node?.bytes !== undefined) return node;
  }
  return undefined;
}

async function expectBytes(node: Node | undefined, file: TruthFile): Promise<void> {
  expect(node, file.path).toBeDefined();
  const source = await node!.bytes!();
  expect(source.size, file.path).toBe(file.size);
  for (const extent of file.extents) {
    if (extent.kind !== 'data') continue;
    const there = new Uint8Array(extent.length);
    expect(await source.read(extent.offset, there)).toEqual([]);
    expect(Buffer.compare(there, file.content!.read(extent.offset, extent.length)), file.path).toBe(0);
  }
  for (const list of await runsOf(source))
    for (let i = 0; i < list.n; i++) expect(list.certainty(i)).toBeLessThanOrEqual(INFERRED);
}

test.each(VERSIONS)('VMFS%i: names of machines that are alike find their bytes, never stated', async (version) => {
  const made = store(version);
  // What fits into a descriptor of VMFS5 and VMFS6 is gone with it.
  const lost = victims(made, version === 3 ? /-flat\.vmdk$|\.nvram$|\.vmsd$/ : /-flat\.vmdk$|\.nvram$/);
  const gone = new Set(lost.map(fdName));
  const stack = damaged(made, (at, length, name) => (gone.has(name) ? zeroed(at, length) : undefined));
  expect(lost.length).toBe(version === 3 ? 6 : 4);
  for (const file of lost) {
    const node = await nodeAt(stack, file.path);
    await expectBytes(node, file);
    expect(node!.facts.details?.name_from, file.path).toBeDefined();
  }
});

test.each(VERSIONS)('VMFS%i: with bytes of one kind more than names, nothing is given a name', async (version) => {
  const made = store(version);
  // Of one of the two the entry is gone as well: its bytes could be either's.
  const lost = victims(made, /\.nvram$/);
  const gone = new Set(lost.map(fdName));
  for (const file of made.truth.files) if (file.path.endsWith('.nvram')) gone.add(fdName(file));
  const stack = damaged(made, (at, length, name) => {
    if (name === 'dirent:/two/two.nvram') return zeroed(at, length);
    return gone.has(name) ? zeroed(at, length) : undefined;
  });
  const named = await nodeAt(stack, '/four/four.nvram');
  // VMFS6 books sub-blocks to directories: no order is needed.
  if (version === 6) await expectBytes(named, lost.find(({ path }) => path.startsWith('/four'))!);
  else expect(named).toBeUndefined();
});

test.each(VERSIONS)('VMFS%i: a root whose pointers cannot be read is found by its block', async (version) => {
  const made = store(version);
  const stack = damaged(made, (at, length, name) => {
    const pointers = version === 6 ? 0x1600 : 0x400;
    return name === 'fd/0x00000004' ? unreadable(at + pointers, length - pointers) : undefined;
  });
  const top = await home(stack);
  for (const name of NAMES) expect(await stack.child(top, name), name).toBeDefined();
  const orphans: string[] = [];
  for await (const node of stack.children((await stack.child(top, '+orphan'))!)) orphans.push(node.name);
  expect(orphans).toEqual([]);
});

test('what is alike is told apart by order only where the rest keeps to it and the numbers agree', () => {
  const names = [{ index: 5 }, { index: 25 }];
  const pieces = [{ at: 900 }, { at: 100 }];
  expect(inTurn(names, pieces, [])).toEqual([
    [{ index: 5 }, { at: 100 }],
    [{ index: 25 }, { at: 900 }],
  ]);
  expect(inTurn(names, pieces, [{ index: 10, at: 1000 }])).toEqual([]);
  expect(
    inTurn(names, pieces, [
      { index: 10, at: 500 },
      { index: 20, at: 400 },
    ]),
  ).toEqual([]);
  expect(inTurn([...names, { index: -1 }], [...pieces, { at: 1 }], [])).toEqual([]);
  expect(inTurn(names, pieces.slice(1), [{ index: 10, at: 500 }])).toEqual([[{ index: 5 }, { at: 100 }]]);
  // One file that is said to begin in two places is no mark.
  expect(
    inTurn(names, pieces, [
      { index: 10, at: 1000 },
      { index: 10, at: 2000 },
    ]),
  ).toHaveLength(2);
});

test('a configuration is called like the files that are named after it, not as it is shown', () => {
  const text = '.encoding = "UTF-8"\nconfig.version = "8"\nnvram = "web01.nvram"\ndisplayName = "Web (old)"\n';
  expect(guessText(text)).toMatchObject({ stem: 'web01', ending: '.vmx', from: 'content (files named after it)' });
  expect(guessText(text.replace(/nvram.*\n/, ''))).toMatchObject({ stem: 'Web (old)' });
  const list = '.encoding = "UTF-8"\nsnapshot.lastUID = "1"\nsnapshot0.filename = "web01-Snapshot1.vmsn"\n';
  expect(guessText(list)).toMatchObject({ stem: 'web01', ending: '.vmsd' });
});

test('a log says how large the flat disks are that it saw opened', () => {
  const text = [
    `2024-01-01T00:00:00.000Z| vmx| I125: DISKLIB-VMFS  : "/vmfs/volumes/5f0-1/web/web-flat.vmdk" : open successful (10) size = 10485760, hd = 0. Type 3`,
    `2024-01-01T00:00:00.000Z| vmx| I125: DISKLIB-VMFS  : "/vmfs/volumes/5f0-1/web/web-000001-delta.vmdk" : open successful (10) size = 5, hd = 0. Type 8`,
    `2024-01-01T00:00:00.000Z| vmx| I125: DISKLIB-LINK  : Opened '/vmfs/volumes/5f0-1/web/web_1.vmdk' (0xa): vmfs, 2048 sectors / 1 MB.`,
    `2024-01-02T00:00:00.000Z| vmx| I125: DISKLIB-VMFS  : "web-flat.vmdk" : open successful (10) size = 20971520, hd = 0. Type 3`,
  ].join('\n');
  expect(Object.fromEntries(flatSizes(text))).toEqual({ 'web-flat.vmdk': 20971520, 'web_1-flat.vmdk': MIB });
});
