import { expect, test, vi } from 'vitest';
import { vmfs } from '../../src/formats/filesystem/vmfs/index.ts';
import { FS_HEADER_AT } from '../../src/formats/filesystem/vmfs/structs.ts';
import { faulty, truncated } from '../faults/faults.ts';
import { evidenceOf } from '../formats/stores.ts';
import { small3, small5, small6, spanned } from '../make/stores.ts';
import type { Made } from '../make/types.ts';
import { dice, mutation } from './mutate.ts';
import { survives } from './survive.ts';
import { targetsOf } from './targets.ts';

const ROUNDS = Number(process.env.SALVOR_FUZZ_ROUNDS ?? 150);
const SEED = Number(process.env.SALVOR_FUZZ_SEED ?? 20261122);

const stores: [string, () => Made][] = [
  ['VMFS3', () => small3()],
  ['VMFS5', () => small5()],
  ['VMFS6', () => small6()],
  ['VMFS5 on two devices', () => spanned(5, 2)],
];

test.each(stores)('%s: any mutation gives nodes or a refusal', async (_, make) => {
  expect(await failuresOf(make(), ROUNDS)).toEqual([]);
});

test.each(stores)('%s: cut off anywhere, it gives nodes or a refusal', async (_, make) => {
  const evidence = evidenceOf(make());
  const size = evidence[0].source.size;
  const points = [0, 1, 511, 512, 0x100000, 0x100200, 0x1100000, 0x1300000, 0x1300200, 0x1400000, 0x1520000, 0x1820000];
  for (const at of [...points, size / 2, size - 1].map(Math.floor)) {
    const cut = evidence.map((e, i) => (i === 0 ? { ...e, source: truncated(e.source, at) } : e));
    expect(await survives(cut), `cut at ${at}`).toBeUndefined();
  }
});

test('a planted bug is found (canary)', async () => {
  const honest = vmfs.open.bind(vmfs);
  // A reader that takes a size from the evidence at its word, the way such bugs look.
  const planted = vi.spyOn(vmfs, 'open').mockImplementation(async (source, cx) => {
    const header = new Uint8Array(512);
    await source.read(FS_HEADER_AT, header);
    const size = new DataView(header.buffer).getUint32(0xd9, true);
    if (size > 0x7fffffff) throw new RangeError(`planted: ${size} bytes`);
    return honest(source, cx);
  });
  try {
    expect((await failuresOf(small5(), 200, 'fsd')).join()).toContain('planted');
  } finally {
    planted.mockRestore();
  }
});

/** Mutates a store's structures one at a time and opens it each time. */
async function failuresOf(made: Made, rounds: number, only?: string): Promise<string[]> {
  const evidence = evidenceOf(made);
  const targets = targetsOf(made).filter(({ name }) => only === undefined || name === only);
  const random = dice(SEED);
  const failures: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const { name, target } = targets[random(targets.length)];
    const fault = mutation(target, random);
    const mutated = evidence.map((e, i) => (i === target.member ? { ...e, source: faulty(e.source, [fault]) } : e));
    const problem = await survives(mutated);
    if (problem !== undefined) failures.push(`round ${round}, ${name} at ${fault.at}: ${problem}`);
  }
  return failures;
}
