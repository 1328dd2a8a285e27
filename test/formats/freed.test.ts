/** Whether freed blocks still hold data: what inspect says before anybody searches for days. */
import { expect, test } from 'vitest';
import type { Look } from '../../src/core/node.ts';
import { home } from '../../src/stack/home.ts';
import type { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { Eraser } from '../make/damage.ts';
import type { Change } from '../make/damage-edit.ts';
import { makeStore } from '../make/stores.ts';
import type { Made } from '../make/types.ts';
import { opened } from './gone.ts';

const MIB = 0x100000;
const VERSIONS = [3, 5, 6] as const;

function storeOf(version: (typeof VERSIONS)[number]): Made {
  const entries = ['/direct', '/indirect', '/kept'].map((path, i) => {
    const force = path === '/indirect' ? 'indirect' : 'direct';
    return { path, kind: 'file', content: seeded(i + 1, 12 * MIB), force } as const;
  });
  return makeStore(version, { name: `freed${version}`, seed: 9, members: [{ pes: 2 }], entries: [...entries] });
}

/** What a discarding storage gives back. */
function discarded(made: Made, path: string): Change[] {
  const { extents } = made.truth.files.find((file) => file.path === path)!;
  return extents.flatMap(({ kind, member, at, length }) => {
    return kind === 'data' ? [{ member: member!, at: at!, length, bytes: new Uint8Array(length) }] : [];
  });
}

async function lookAt(stack: Stack): Promise<Look> {
  return (await home(stack)).look!();
}

test.each(VERSIONS)('VMFS%i: what deleted files had is still there', async (version) => {
  const made = storeOf(version);
  const eraser = new Eraser(made);
  for (const path of ['/direct', '/indirect']) eraser.freeBlocks(path).file(path, 'A');
  const { notices, details } = await lookAt(opened(made, eraser.changes()));
  expect(details).toMatchObject({ deletedBlocksSampled: 8, deletedBlocksWithData: 8 });
  expect(notices).toEqual([expect.stringMatching(/^100 % of 8 sampled blocks that deleted files had still hold data/)]);
});

test.each(VERSIONS)('VMFS%i: where the storage discarded it, that is said', async (version) => {
  const made = storeOf(version);
  const eraser = new Eraser(made);
  for (const path of ['/direct', '/indirect']) eraser.freeBlocks(path).file(path, 'A');
  const changes = [...eraser.changes(), ...discarded(made, '/direct'), ...discarded(made, '/indirect')];
  const { notices, details } = await lookAt(opened(made, changes));
  expect(details).toMatchObject({ deletedBlocksSampled: 8, deletedBlocksWithData: 0 });
  expect(notices).toEqual([
    expect.stringMatching(/^None of 8 sampled blocks that deleted files had holds data: .*UNMAP/),
  ]);
});

test.each(VERSIONS)('VMFS%i: half and half', async (version) => {
  const made = storeOf(version);
  const eraser = new Eraser(made);
  for (const path of ['/direct', '/indirect']) eraser.freeBlocks(path).file(path, 'A');
  const { notices } = await lookAt(opened(made, [...eraser.changes(), ...discarded(made, '/indirect')]));
  expect(notices).toEqual([expect.stringMatching(/^50 % of 8 sampled/)]);
});

test.each(VERSIONS)('VMFS%i: without a deleted file, free blocks speak for themselves', async (version) => {
  const made = storeOf(version);
  const { notices, details } = await lookAt(opened(made, []));
  expect(details.deletedBlocksSampled).toBeUndefined();
  expect(notices).toEqual([
    expect.stringMatching(/^None of \d+ sampled free blocks holds data: nothing was ever in them, or/),
  ]);
  // A volume whose deleted files have no descriptor left.
  const eraser = new Eraser(made).freeBlocks('/direct').file('/direct', 'C', { journal: false });
  const after = await lookAt(opened(made, eraser.changes()));
  expect(after.notices).toEqual([expect.stringMatching(/sampled free blocks (hold|holds) data/)]);
});
