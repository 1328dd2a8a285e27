/** kill -9 of the server at random moments of scan and recover: nothing is lost, and the end is the same. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build } from '../cli/salvor.ts';
import { killed, type Undisturbed, undisturbed } from './killed.ts';

const dir = mkdtempSync(join(tmpdir(), 'salvor-kills-'));
let calm: Undisturbed;

beforeAll(async () => {
  build();
  calm = await undisturbed(dir);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const SEEDS = [1, 2, 3, 4, 5];

test.each(SEEDS)('a scan that was killed ends as if nobody had: %i', async (seed) => {
  expect(await killed('scan', calm, seed)).toEqual([]);
});

test.each(SEEDS)('a recovery that was killed ends as if nobody had: %i', async (seed) => {
  expect(await killed('recover', calm, seed + 100)).toEqual([]);
});
