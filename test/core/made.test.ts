/** Bytes that are computed: what came short once stays known, whoever forgets the source that it was asked of. */
import { expect, test } from 'vitest';
import { type Codec, MadeSource } from '../../src/core/made.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { DATA, MISSING, RunList } from '../../src/core/run.ts';

/** Gives as many bytes as the first one of its input says. */
const told: Codec = { name: 'told', make: (input, size) => new Uint8Array(Math.min(size, input[0])).fill(7) };

async function states(source: MadeSource): Promise<[number, number][]> {
  const list = new RunList();
  expect(await source.runs(0, source.size, list)).toBe(source.size);
  return Array.from({ length: list.n }, (_, i) => [list.state(i), list.length[i]]);
}

test('a map that makes a source anew says what is missing of it, as it did before', async () => {
  const evidence = new MemorySource(Uint8Array.of(100, 60));
  const make = (at: number): MadeSource => new MadeSource(100, told, [{ source: evidence, at, length: 1 }]);
  const gaps = await make(1).read(0, new Uint8Array(100));
  expect(gaps).toMatchObject([{ offset: 60, length: 40, code: 'made.told' }]);
  expect(await states(make(1))).toEqual([
    [DATA, 60],
    [MISSING, 40],
  ]);
  expect(await make(0).read(0, new Uint8Array(100))).toEqual([]);
  expect(await states(make(0))).toEqual([[DATA, 100]]);
});

test('results that were let go of are made again', async () => {
  const evidence = new MemorySource(new Uint8Array(4096).fill(1));
  const wide: Codec = { name: 'wide', make: (input, size) => new Uint8Array(size).fill(input[0]) };
  const size = 4 * 2 ** 20;
  const sources = Array.from(
    { length: 12 },
    (_, at) => new MadeSource(size, wide, [{ source: evidence, at, length: 1 }]),
  );
  const into = new Uint8Array(size);
  for (const source of [...sources, ...sources]) {
    into.fill(0);
    expect(await source.read(0, into)).toEqual([]);
    expect(into.every((byte) => byte === 1)).toBe(true);
  }
});
