/** Disks of every variant that qemu-img makes, alone and as chains: read as it reads them. The soak has 500 of them. */
import { expect, test } from 'vitest';
import { readHealthy } from './healthy.ts';
import { qemuAbsent } from './make/disks.ts';

const SEEDS = 40;

test.skipIf(qemuAbsent !== undefined)(`${SEEDS} seeded disks`, { timeout: 180_000 }, async () => {
  const wrong: string[] = [];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const found = await readHealthy(seed);
    if (found.wrong.length > 0) wrong.push(`seed ${seed}, ${found.what}: ${found.wrong.slice(0, 4).join('; ')}`);
  }
  expect(wrong).toEqual([]);
});

test.skipIf(qemuAbsent !== undefined)('a byte that is another is seen (canary)', async () => {
  const { wrong } = await readHealthy(3, ({ raw }) => {
    raw[raw.length >> 1] ^= 1;
  });
  expect(wrong.join()).toContain('differs');
});
