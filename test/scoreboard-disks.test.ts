/** One small cell of each kind of disk on the scoreboard of disks, with what is reached today; and a canary. */
import { beforeAll, expect, test } from 'vitest';
import { build } from './cli/salvor.ts';
import { qemuAbsent } from './make/disks.ts';
import { type DiskCell, diskCells } from './scoreboard/disks/cells.ts';
import { workOnDisk } from './scoreboard/disks/work.ts';

beforeAll(() => build());

function cellOf(id: string): DiskCell {
  const found = diskCells().find((cell) => cell.id === id);
  if (found === undefined) throw new Error(`There is no cell ${id}.`);
  return found;
}

/** Cells that are whole today: with Salvor, and with qemu-img. */
const CELLS: readonly (readonly [id: string, mine: boolean, peer: boolean])[] = [
  ['qcow2/v3 64K/header and l1', true, false],
  ['qcow2/overlay 64K/all of these', true, false],
  ['vmdk sparse/monolithicSparse/GD and RGD zeroed', true, false],
  ['vmdk stream/streamOptimized/header zeroed', true, false],
  ['vmdk stream/streamOptimized/a bit of a grain', false, false],
  ['seSparse/delta/directory entry zeroed', true, false],
  ['vdi/dynamic/header zeroed', true, false],
  ['vhd/dynamic/nothing', true, true],
  ['vhdx/dynamic/regions 1 noise', true, false],
];

test.skipIf(qemuAbsent !== undefined).each(CELLS)('%s', (id, mine, peer) => {
  const scores = workOnDisk(cellOf(id), ['salvor', 'convert'])!;
  expect(scores.salvor?.lies).toBe(0);
  expect([scores.salvor?.whole, scores.convert?.whole]).toEqual([mine, peer]);
});

test.skipIf(qemuAbsent !== undefined)('a byte that is turned over is a lie (canary)', () => {
  const scores = workOnDisk(cellOf('vdi/dynamic/nothing'), ['salvor'], (out) => {
    out[out.length >> 1] ^= 1;
  });
  expect(scores?.salvor).toMatchObject({ whole: false, lies: 512 });
});
