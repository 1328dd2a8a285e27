/** How much of what was deleted comes back, in every variant of deletion: bars that must not sink. */
import { expect, test } from 'vitest';
import type { Source } from '../../src/core/source.ts';
import { Eraser, type Variant } from '../make/damage.ts';
import { machineEntries } from '../make/machines.ts';
import { makeStore } from '../make/stores.ts';
import type { Made, TruthFile } from '../make/types.ts';
import type { EntrySpec } from '../make/vmfs.ts';
import { belowStack, expectNoLie, inside, opened } from './gone.ts';

const MIB = 0x100000;
const VERSIONS = [3, 5, 6] as const;
type Version = (typeof VERSIONS)[number];

/** Two machines: one goes, one stays. Disks lie in pointer blocks, as all of more than 256 MiB do. */
function storeOf(version: Version): Made {
  const disk = (mib: number, more: object = {}) => ({ bytes: mib * MIB, fill: 0.8, partitioned: true, ...more });
  const web = machineEntries({
    name: 'web',
    seed: 3,
    disks: [disk(14), disk(20, { partitioned: 'gpt' })],
    force: 'indirect',
    snapshots: 1,
  });
  const mail = machineEntries({ name: 'mail', seed: 4, disks: [disk(16, { thin: true })], force: 'indirect' });
  const entries: EntrySpec[] = [...web, ...mail, { path: '/last', kind: 'file', content: 'the newest file\n' }];
  return makeStore(version, {
    name: `bars${version}`,
    seed: 8,
    members: [{ pes: 6 }],
    entries,
    allocation: 'interleaved',
  });
}

const stores = new Map(VERSIONS.map((version) => [version, storeOf(version)]));

/** Bytes of a file that are there and right; those that are there and wrong are worse than missing. */
async function rightBytes(file: TruthFile, source: Source): Promise<{ right: number; wrong: number }> {
  let right = 0;
  let wrong = 0;
  for (const { offset, length, kind } of file.extents) {
    if (kind !== 'data') continue;
    for (let at = offset; at < offset + length; at += MIB) {
      const there = new Uint8Array(Math.min(MIB, offset + length - at));
      const truth = file.content!.read(at, there.length);
      const gaps =
        at + there.length <= source.size ? await source.read(at, there) : [{ offset: at, length: there.length }];
      if (gaps.length > 0) continue;
      if (Buffer.compare(there, truth) === 0) right += there.length;
      else wrong += there.length;
    }
  }
  return { right, wrong };
}

interface Score {
  /** Shares of bytes: those at the right name and place, and those anywhere. */
  readonly named: number;
  readonly any: number;
  /** Nodes at the right name whose bytes are not the file's. */
  readonly wrong: number;
}

async function scoreOf(
  made: Made,
  wanted: readonly TruthFile[],
  changes: Parameters<typeof opened>[1],
): Promise<Score> {
  const nodes = await belowStack(opened(made, changes));
  for (const node of nodes.values()) await expectNoLie(node);
  let [named, any, total, wrong] = [0, 0, 0, 0];
  for (const file of wanted) {
    if (file.content === undefined || file.kind !== 'file') continue;
    const size = file.extents.reduce((n, one) => n + (one.kind === 'data' ? one.length : 0), 0);
    total += size;
    const own = await nodes.get(file.path)?.bytes?.();
    const there = own === undefined ? { right: 0, wrong: 0 } : await rightBytes(file, own);
    named += there.right;
    wrong += there.wrong;
    let best = there.right;
    for (const node of best === size ? [] : nodes.values()) {
      const source = await node.bytes?.();
      if (source !== undefined && source.size > 0) best = Math.max(best, (await rightBytes(file, source)).right);
    }
    any += best;
  }
  return { named: named / total, any: any / total, wrong };
}

/** Least shares of bytes, at their names and anywhere. */
const bars: [Variant, number, number][] = [
  ['A', 0.99, 0.99],
  ['B', 0.99, 0.99],
  ['C', 0, 0.95],
  ['E', 0.99, 0.99],
];
const cases = VERSIONS.flatMap((version) =>
  bars.map(([variant, named, any]) => [version, variant, named, any] as const),
);

test.each(cases)('VMFS%i, variant %s: a whole machine', async (version, variant, named, any) => {
  const made = stores.get(version)!;
  const changes = new Eraser(made).directory('/web', variant).changes();
  const score = await scoreOf(made, inside(made, '/web'), changes);
  expect(score.named).toBeGreaterThanOrEqual(named);
  expect(score.any).toBeGreaterThanOrEqual(any);
  expect(score.wrong).toBe(0);
});

test.each(cases)('VMFS%i, variant %s: one disk of a machine', async (version, variant, _, any) => {
  const made = stores.get(version)!;
  const path = '/web/web-flat.vmdk';
  const changes = new Eraser(made).file(path, variant).changes();
  const score = await scoreOf(
    made,
    made.truth.files.filter((file) => file.path === path),
    changes,
  );
  // Its descriptor lives and names it, so also C gives the name back.
  expect(score.named).toBeGreaterThanOrEqual(any);
  expect(score.wrong).toBe(0);
});

test.each(cases)('VMFS%i, variant %s: freed in the bitmaps too', async (version, variant, named, any) => {
  const made = stores.get(version)!;
  const eraser = new Eraser(made);
  for (const file of inside(made, '/web'))
    if (file.allocation === 'direct' || file.allocation === 'indirect') eraser.freeBlocks(file.path);
  const score = await scoreOf(made, inside(made, '/web'), eraser.directory('/web', variant).changes());
  expect(score.named).toBeGreaterThanOrEqual(named);
  expect(score.any).toBeGreaterThanOrEqual(any);
  expect(score.wrong).toBe(0);
});
