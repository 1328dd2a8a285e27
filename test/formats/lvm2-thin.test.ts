/** Thin pools: whole, with lost nodes and superblocks, and devices that were removed from them. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { GUESSED, INFERRED, STATED } from '../../src/core/run.ts';
import { seeded } from '../make/content.ts';
import { type LvSpec, makeLvm2 } from '../make/lvm2.ts';
import {
  deviceLines,
  entriesOf,
  NODE,
  poolLines,
  type Range,
  rootOf,
  setRoot,
  shadow,
  THIN,
  thinAbsent,
  thinMetadata,
} from '../make/thin.ts';
import { brokenInvariants } from '../suites/check-source.ts';
import { type Read, read, volume } from './devices.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-thin-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

const MIB = 2 ** 20;
const BLOCKS = 420;
const SIZE = 32 * MIB;
/** A block past those of the trees. */
const FREE = 900;
const data = seeded(100, BLOCKS * THIN).read(0, BLOCKS * THIN);
// Many ranges, so that the second tree has more than one level; every third block of it is a hole.
const first: Range[] = Array.from({ length: 10 }, (_, i) => [i * 9, 7 * i, 5]);
const second: Range[] = Array.from({ length: 290 }, (_, i) => [i + Math.floor(i / 2), 100 + ((i * 7) % 290), 1]);
const [one, two] = [first, second].map((list) => {
  const out = new Uint8Array(SIZE);
  for (const [at, block, n] of list) out.set(data.subarray(block * THIN, (block + n) * THIN), at * THIN);
  return out;
});

function group(metadata: Uint8Array, more: Partial<LvSpec> = {}, transaction = 1): Uint8Array[] {
  return makeLvm2(11, 1, [
    { name: 'pool_tmeta', type: 'linear', content: metadata, on: [0], isHidden: true },
    { name: 'pool_tdata', type: 'linear', content: padded(data), on: [0], isHidden: true },
    { name: 'pool', type: 'other', content: padded(data), on: [], segment: poolLines(transaction) },
    { name: 'one', type: 'other', content: one, on: [], segment: deviceLines(1) },
    { name: 'two', type: 'other', content: two, on: [], segment: deviceLines(2), ...more },
    { name: 'none', type: 'other', content: two, on: [], segment: deviceLines(3) },
  ]);
}

const padded = (bytes: Uint8Array): Uint8Array => {
  const out = new Uint8Array(Math.ceil(bytes.length / MIB) * MIB);
  out.set(bytes);
  return out;
};

interface Had extends Read {
  /** Bytes that are given and are not so. */
  readonly wrong: number;
}

async function had(devices: readonly Uint8Array[], path: readonly string[], truth: Uint8Array): Promise<Had> {
  let node: Node = await volume(devices);
  for (const name of path) node = (await node.child!(name))!;
  const source = (await node.bytes!())!;
  expect(await brokenInvariants(source)).toEqual([]);
  const out = await read(source);
  const given = truth.slice();
  for (const { offset, length } of await source.read(0, new Uint8Array(source.size)))
    given.fill(0, offset, offset + length);
  let wrong = 0;
  for (let i = 0; i < truth.length; i++) if (out.data[i] !== given[i]) wrong++;
  return { ...out, wrong };
}

/** The root of the tree of device 2, and its first leaf with keys above 0. */
function treeOfTwo(metadata: Buffer): { top: number; tree: number; leaf: number } {
  const top = rootOf(metadata);
  const tree = new Map(entriesOf(metadata, top)).get(2)!;
  const leaves = entriesOf(metadata, tree);
  expect(leaves.length).toBeGreaterThan(1);
  return { top, tree, leaf: leaves[1][1] };
}

const wipe = (metadata: Buffer, block: number): Buffer => metadata.fill(0, block * NODE, (block + 1) * NODE);

describe.skipIf(thinAbsent !== undefined)('thin pools', () => {
  const made = (): Buffer => thinMetadata(root, [first, second], BLOCKS);

  test('devices are read through the trees of their pool', async () => {
    const devices = group(made());
    expect(await had(devices, ['one'], one)).toMatchObject({ wrong: 0, lost: 0, weakest: STATED });
    expect(await had(devices, ['two'], two)).toMatchObject({ wrong: 0, lost: 0, weakest: STATED });
    expect((await had(devices, ['none'], two)).lost).toBe(SIZE);
    expect((await volume(devices)).damage).toEqual([]);
  });

  test('without the superblock the tree of which most is left is used', async () => {
    const devices = group(wipe(made(), 0));
    expect(await had(devices, ['one'], one)).toMatchObject({ wrong: 0, lost: 0, weakest: INFERRED });
    expect(await had(devices, ['two'], two)).toMatchObject({ wrong: 0, lost: 0, weakest: INFERRED });
    expect((await volume(devices)).damage.map(({ code }) => code)).toEqual(['lvm2.thin-super']);
  });

  test('a lost node is made up for with an older state of it, and only with that', async () => {
    const metadata = made();
    const { leaf } = treeOfTwo(metadata);
    const mapped = entriesOf(metadata, leaf).length;
    const without = await had(group(wipe(Buffer.from(metadata), leaf)), ['two'], two);
    expect(without).toMatchObject({ wrong: 0, weakest: STATED });
    expect(without.lost).toBeGreaterThanOrEqual(mapped * THIN);
    // The older state lacks the last mapping, and has one of a block that another device was given since.
    const older = entriesOf(metadata, leaf).slice(0, -1);
    older[3] = [older[3][0], 2 * 2 ** 24];
    shadow(metadata, leaf, FREE, older);
    const { lost, weakest, wrong } = await had(group(wipe(metadata, leaf)), ['two'], two);
    expect({ wrong, weakest }).toEqual({ wrong: 0, weakest: INFERRED });
    expect(without.lost - lost).toBe((mapped - 2) * THIN);
  });

  test('a tree without its root is put together from its leaves, which is guessed', async () => {
    const metadata = made();
    const { tree } = treeOfTwo(metadata);
    const found = await had(group(wipe(metadata, tree)), ['two'], two);
    expect(found).toMatchObject({ wrong: 0, weakest: GUESSED });
    // Where it has holes nothing says that nothing was there.
    expect(found.lost).toBe(SIZE - second.length * THIN);
    expect(await had(group(metadata), ['one'], one)).toMatchObject({ wrong: 0, lost: 0, weakest: STATED });
  });

  test('a removed device comes back by the older root, without what others were given since', async () => {
    const metadata = made();
    const { top } = treeOfTwo(metadata);
    const removed = { isRemoved: true };
    const all = entriesOf(metadata, top);
    shadow(metadata, top, FREE, [all[0]]);
    setRoot(metadata, FREE);
    const devices = group(metadata, removed);
    expect(await had(devices, ['one'], one)).toMatchObject({ wrong: 0, lost: 0, weakest: STATED });
    expect(await had(devices, ['+deleted', 'two-2'], two)).toMatchObject({ wrong: 0, lost: 0, weakest: INFERRED });
    // The first device gets one of its blocks.
    const leaf = all[0][1];
    const entries = entriesOf(metadata, leaf);
    shadow(metadata, leaf, FREE + 1, [...entries.slice(0, -1), [entries.at(-1)![0], 100 * 2 ** 24]]);
    shadow(metadata, FREE, FREE, [[1, FREE + 1]]);
    const again = await had(group(metadata, removed), ['+deleted', 'two-2'], two);
    expect(again).toMatchObject({ wrong: 0, lost: THIN, weakest: INFERRED });
  });

  test('a group and a pool that count other transactions are read, and told apart', async () => {
    const node = await volume(group(made(), {}, 7));
    expect(node.damage.map(({ code, expected, actual }) => [code, expected, actual])).toEqual([
      ['lvm2.thin-transaction', 'transaction 7 in the superblock of pool, as the text says', '1'],
    ]);
    expect(node.damage[0].effect).toContain('vgcfgrestore');
  });
});
