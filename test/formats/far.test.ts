/** Datastores whose first MiB were overwritten: what is left are clusters further on, what they hold, and file blocks. */
import { expect, test } from 'vitest';
import type { Found, Hit } from '../../src/core/finder.ts';
import { slice } from '../../src/core/map-source.ts';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { VERIFIED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { vmfsFinder } from '../../src/formats/filesystem/vmfs/find.ts';
import { sweepSource } from '../../src/scan/shard.ts';
import { merged, Sweep } from '../../src/scan/sweep.ts';
import { home } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { faulty, zeroed } from '../faults/faults.ts';
import { seeded } from '../make/content.ts';
import { machineEntries } from '../make/machines.ts';
import { makeStore } from '../make/stores.ts';
import type { Made } from '../make/types.ts';
import { expectNoLie } from './gone.ts';

const MIB = 2 ** 20;
const VERSIONS = [3, 5, 6] as const;
type Fill = 'zeros' | 'noise';
type Image = { readonly name: string; readonly source: Source };
type Version = (typeof VERSIONS)[number];
const DISK = { bytes: 4 * MIB, fill: 1, partitioned: true };
/** Bytes that a scan of these small stores has to see. */
const SCANNED = 256 * MIB;

function made(version: Version, wrap: 'bare' | 'gpt'): Made {
  const entries = machineEntries({ name: 'web', seed: 4, disks: [DISK] });
  return makeStore(version, { seed: 8, members: [{ pes: 2, wrap }], entries });
}

/** The store with `fill` in [0, end), and without what lies from `tail` on. */
function overwritten(store: Made, fill: Fill, end = firstOf(store, 'sbc.header'), tail = store.members[0].size): Image {
  const pieces = [{ at: 0, bytes: fill === 'zeros' ? new Uint8Array(end) : seeded(77, end).read(0, end) }];
  for (const { at, bytes } of store.writes()) {
    const kept = bytes.subarray(Math.max(0, end - at), Math.max(0, tail - at));
    if (kept.length > 0) pieces.push({ at: Math.max(at, end), bytes: kept });
  }
  return { name: 'm0.img', source: new MemorySource(pieces, store.members[0].size) };
}

function firstOf(store: Made, name: string): number {
  return store.truth.structures.find((one) => one.name === name)!.at;
}

/** What a scan finds. */
async function scanned(source: Source): Promise<Found> {
  const end = Math.min(SCANNED, source.size);
  const hits = merged(await sweepSource(new Sweep([vmfsFinder]), source, 0, end));
  const byKind = (kind: string): Hit[] => hits.filter((hit) => hit.kind === kind);
  return { hits: (evidence, kind) => (evidence === source ? byKind(kind) : []), whole: (one) => one === source };
}

async function filesBelow(node: Node | undefined, stack: Stack): Promise<Node[]> {
  const out: Node[] = [];
  for await (const child of node === undefined ? [] : stack.children(node)) {
    if (child.children === undefined) out.push(child);
    else out.push(...(await filesBelow(child, stack)));
  }
  return out;
}

async function bytesOf(node: Node): Promise<Buffer> {
  const source = await node.bytes!();
  const bytes = Buffer.alloc(source.size);
  await source.read(0, bytes);
  return bytes;
}

function contentOf(store: Made, name: string): Uint8Array {
  const file = store.truth.files.find(({ path }) => path === `/web/${name}`)!;
  return file.content!.read(0, file.size);
}

/** Texts in sub-blocks and the disk come back, with the names that their directory has. */
async function expectRemains(store: Made, stack: Stack): Promise<void> {
  const root = await home(stack);
  expect(root.kind).toBe('filesystem');
  expect(root.damage.map(({ code }) => code)).toContain('vmfs.header-lost');
  const orphans = await filesBelow(await stack.child(root, '+orphan'), stack);
  const carved = await filesBelow(await stack.child(root, '+carved'), stack);
  for (const node of [...orphans, ...carved]) await expectNoLie(node);
  const disk = carved.find(({ rawName }) => rawName.endsWith('-flat.vmdk'))!;
  const want = contentOf(store, 'web-flat.vmdk');
  expect(Buffer.compare((await bytesOf(disk)).subarray(0, want.length), want)).toBe(0);
  const log = orphans.find(({ rawName }) => rawName.endsWith('.log'));
  if (log !== undefined) {
    const had = await bytesOf(log);
    expect(Buffer.compare(had, Buffer.from(contentOf(store, 'vmware.log').subarray(0, had.length)))).toBe(0);
  }
}

for (const version of VERSIONS) {
  test.each(['zeros', 'noise'] as const)(`VMFS${version}: opens by far clusters over %s`, async (fill) => {
    const store = made(version, 'bare');
    const evidence = overwritten(store, fill);
    for (const found of [undefined, await scanned(evidence.source)]) {
      const stack = new Stack([evidence], { only: true, ...(found !== undefined && { found }) });
      const root = await home(stack);
      expect(root.format).toBe(`VMFS${version} file system`);
      await expectRemains(store, stack);
    }
  });

  test(`VMFS${version}: a partition whose table is lost as well is opened where it started`, async () => {
    const store = made(version, 'gpt');
    // The second table of a GPT is at the end.
    const evidence = overwritten(store, 'noise', undefined, store.members[0].size - 34 * 512);
    for (const found of [undefined, await scanned(evidence.source)]) {
      const stack = new Stack([evidence], { only: true, ...(found !== undefined && { found }) });
      const start = store.truth.members[0].partitionStart;
      expect((await home(stack)).locator).toContain(`lost/at${start}`);
      await expectRemains(store, stack);
    }
  });
}

test('fewer clusters than are enough open nothing', async () => {
  const store = made(5, 'bare');
  const { name, source } = overwritten(store, 'zeros');
  const locks = store.truth.structures.filter((one) => one.name.startsWith('sbc.cluster/'));
  for (const [count, opens] of [
    [3, false],
    [4, true],
  ] as const) {
    const end = locks[count].at;
    const stack = new Stack([{ name, source: faulty(source, [zeroed(end, 64 * MIB - end)]) }], { only: true });
    expect((await home(stack)).locator.includes('::vmfs')).toBe(opens);
  }
});

test('clusters that lie elsewhere than they say open the volume where it would have started', async () => {
  const { name, source } = overwritten(made(5, 'bare'), 'zeros');
  const cut = MIB + 4096;
  const stack = new Stack([{ name, source: slice(source, cut, source.size - cut, VERIFIED) }], { only: true });
  expect((await home(stack)).locator).toContain(`lost/at-${cut}`);
});

test('sub-blocks of later groups come back where the first group is gone', async () => {
  const filler = Array.from({ length: 2300 }, (_, i) => {
    return { path: `/filler-${i}`, kind: 'file' as const, content: seeded(i, 2000) };
  });
  const entries = [...filler, ...machineEntries({ name: 'web', seed: 4, disks: [DISK] })];
  const store = makeStore(5, { seed: 8, members: [{ pes: 2 }], entries });
  const evidence = overwritten(store, 'noise', firstOf(store, 'sbc.cluster/64'));
  const stack = new Stack([evidence], { only: true, found: await scanned(evidence.source) });
  await expectRemains(store, stack);
  const orphans = await filesBelow(await stack.child(await home(stack), '+orphan'), stack);
  const log = orphans.find(({ rawName }) => rawName === 'vmware.log')!;
  expect(Buffer.compare(await bytesOf(log), Buffer.from(contentOf(store, 'vmware.log')))).toBe(0);
});

test.each([1, 2, 4, 8])(
  'VMFS3 with blocks of %i MiB: their size follows from descriptors, or from where files begin',
  async (mib) => {
    const entries = machineEntries({ name: 'web', seed: 4, disks: [DISK] });
    const store = makeStore(3, { seed: 8, blockSize: mib * MIB, members: [{ pes: 4 }], entries });
    // Only the system descriptors are gone, then all of them.
    const regular = store.truth.files.filter(({ kind }) => kind === 'file');
    const places = regular.map((one) => firstOf(store, `fd/0x${one.fdAddress.toString(16).padStart(8, '0')}`));
    for (const end of [Math.min(...places), firstOf(store, 'fbb.header')]) {
      const isDescribed = end <= Math.max(...places);
      const evidence = overwritten(store, 'noise', end);
      const stack = new Stack([evidence], { only: true, found: await scanned(evidence.source) });
      const root = await home(stack);
      expect(root.format).toBe('VMFS3 file system');
      const { blockSize } = root.facts.details!;
      if (isDescribed || mib === 1 || mib === 8) expect(blockSize).toBe(mib * MIB);
      else expect([MIB, mib * MIB]).toContain(blockSize);
    }
  },
);
