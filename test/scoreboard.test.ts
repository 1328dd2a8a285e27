/** One small cell of each kind of damage on the scoreboard, with what is reached today; and canaries. */
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { build } from './cli/salvor.ts';
import { cellOf } from './scoreboard/cells.ts';
import { guestAbsent } from './scoreboard/guests.ts';
import type { Score } from './scoreboard/judge.ts';
import { whyNot } from './scoreboard/place.ts';
import type { Outcome } from './scoreboard/programs.ts';
import type { Version } from './scoreboard/store.ts';
import { shareOf, workOn } from './scoreboard/work.ts';

const absent = guestAbsent('ext4') ?? whyNot('sgdisk');

beforeAll(() => build());

async function scoreOf(
  group: string,
  damage: string,
  version: Version,
  spoil?: (outcome: Outcome) => void,
): Promise<Score> {
  const cell = cellOf(group, damage, version, 2);
  const [result] = await workOn(cell, ['salvor'], spoil);
  return result.score!;
}

interface Reached {
  readonly bytes: number;
  readonly names: number;
  readonly machines: number;
}

/** Shares that must be reached; what only later work brings back is 0 here. */
const CELLS: readonly [group: string, damage: string, Version, Reached][] = [
  ['1', 'all-anchors', 6, { bytes: 1, names: 1, machines: 2 }],
  ['2', 'all-headers', 5, { bytes: 1, names: 1, machines: 2 }],
  ['3', 'machine-A', 5, { bytes: 1, names: 1, machines: 1 }],
  ['4', 'fresh-gpt', 5, { bytes: 1, names: 1, machines: 2 }],
  ['5', 'no-pointers', 6, { bytes: 0, names: 0, machines: 0 }],
  ['6', 'wrong-order', 3, { bytes: 1, names: 1, machines: 2 }],
  ['7', 'in-data', 5, { bytes: 1, names: 1, machines: 0 }],
  ['8', 'striped', 6, { bytes: 1, names: 1, machines: 0 }],
  ['9', 'wrong-cid', 5, { bytes: 1, names: 1, machines: 2 }],
];

test.skipIf(absent !== undefined).each(CELLS)('%s/%s on VMFS%i (%o)', async (group, damage, version, reached) => {
  const score = await scoreOf(group, damage, version);
  expect(score.lies, score.liars.join('; ')).toBe(0);
  expect(score.recoverable).toBeGreaterThan(4 * 0x100000);
  expect(shareOf(score)).toBeGreaterThanOrEqual(reached.bytes);
  expect(score.names / score.nameable).toBeGreaterThanOrEqual(reached.names);
  expect(score.machines[0]).toBeGreaterThanOrEqual(reached.machines);
});

/** Turns over one byte in the middle of a recovered disk. */
function plant({ files }: Outcome): void {
  const { file } = files.find((one) => one.path.endsWith('-flat.vmdk'))!;
  const bytes = readFileSync(file);
  const at = bytes.findIndex((byte, i) => byte !== 0 && i > bytes.length / 2);
  bytes[at] ^= 0xff;
  writeFileSync(file, bytes);
}

test.skipIf(absent !== undefined)('a planted lie is counted (canary)', async () => {
  const score = await scoreOf('1', 'heartbeats', 5, plant);
  expect(score.lies).toBe(512);
  expect(score.liars[0]).toMatch(/-flat\.vmdk/);
  expect(score.machines).toEqual([1, 1, 0]);
  expect(shareOf(score)).toBeLessThan(1);
});

test.skipIf(absent !== undefined)('a file that is not there is counted (canary)', async () => {
  const score = await scoreOf('1', 'heartbeats', 5, (outcome) => {
    (outcome.files as unknown[]).splice(0, outcome.files.length);
  });
  expect(score.machines).toEqual([0, 0, 2]);
  expect(score.right).toBe(0);
  expect(score.names).toBe(0);
  expect(score.lies).toBe(0);
});

if (absent !== undefined) test.skip(`the scoreboard's cells: ${absent}`, () => undefined);
