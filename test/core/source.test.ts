import fc from 'fast-check';
import { expect, test } from 'vitest';
import { data, MapSource, missing, type Segment, segments, slice, zeros } from '../../src/core/map-source.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { flatten } from '../../src/core/resolve.ts';
import { DATA, INFERRED, LOST, MISSING, RunList, STATED, VERIFIED, ZERO } from '../../src/core/run.ts';
import type { Gap, Source } from '../../src/core/source.ts';
import { brokenInvariants } from '../suites/check-source.ts';

const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7 + 3) & 0xff);
const lost = { what: 'a test', code: 'test' };

test('the suite finds a source that lies (canary)', async () => {
  const honest = new MemorySource(bytes(5000));
  const liar: Source = {
    size: 5000,
    runs: (from, end, out) => honest.runs(from, end, out),
    async read(offset, into): Promise<readonly Gap[]> {
      const gaps = await honest.read(offset, into);
      if (offset <= 4000 && offset + into.length > 4000) into[4000 - offset] ^= 1;
      return gaps;
    },
  };
  expect(await brokenInvariants(honest)).toEqual([]);
  expect(await brokenInvariants(liar)).not.toEqual([]);
});

test('the suite finds runs that do not tile, and missing bytes that pass for zeros (canary)', async () => {
  const holes = new MapSource(100, {
    runs: (from, end, out) => {
      out.add(ZERO, STATED, 10);
      return Math.min(end, from + 20);
    },
  });
  expect(await brokenInvariants(holes)).not.toEqual([]);
  const silent = new MapSource(100, {
    runs: (from, end, out) => {
      out.add(MISSING, LOST, end - from);
      return end;
    },
  });
  expect(await brokenInvariants(silent)).not.toEqual([]);
});

test('any map of maps keeps the invariants', async () => {
  const segment = fc.record({
    kind: fc.constantFrom('data', 'zero', 'missing'),
    length: fc.integer({ min: 0, max: 3000 }),
    at: fc.integer({ min: 0, max: 9000 }),
  });
  const layer = fc.array(segment, { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 5 }), async (layers) => {
      let below: Source = new MemorySource([{ at: 100, bytes: bytes(8000) }], 10_000);
      for (const list of layers) {
        const lower = below;
        below = segments(
          list.map(({ kind, length, at }): Segment => {
            if (kind === 'data') return data(lower, at, length, STATED, { what: `run at ${at}` });
            return kind === 'zero' ? zeros(length, INFERRED) : missing(length, lost);
          }),
        );
      }
      expect(await brokenInvariants(below)).toEqual([]);
    }),
    { numRuns: 150, seed: 20261122 },
  );
});

test('certainty is the weakest along the way, and the why is what weakened it', async () => {
  const upper = { what: 'upper' };
  const lower = { what: 'lower', code: 'stale' };
  const bottom = new MemorySource(bytes(100));
  const source = slice(slice(bottom, 0, 100, INFERRED, lower), 0, 100, STATED, upper);
  const list = new RunList();
  expect(await flatten(source, 10, 20, list)).toBe(20);
  expect([list.n, list.state(0), list.certainty(0), list.at[0], list.why(0)]).toEqual([1, DATA, INFERRED, 10, lower]);
});

test('tables are loaded on the way, and a map that never moves on is a fault', async () => {
  const bottom = new MemorySource(bytes(1000));
  let loaded = 0;
  const lazy = new MapSource(1000, {
    runs: (from, end, out) => {
      const stop = Math.min(end, loaded * 100);
      if (from < stop) out.add(DATA, STATED, stop - from, bottom, from);
      return Math.max(from, stop);
    },
    load: async (at) => {
      loaded = Math.floor(at / 100) + 1;
    },
  });
  const into = new Uint8Array(1000);
  expect(await lazy.read(0, into)).toEqual([]);
  expect(into).toEqual(bytes(1000));
  const stuck = new MapSource(10, { runs: (from) => from, load: async () => {} });
  await expect(stuck.read(0, new Uint8Array(10))).rejects.toThrow('did not move on');
});

test('a map on top of itself ends at the depth limit as missing bytes', async () => {
  const loop: MapSource = new MapSource(100, {
    runs: (from, end, out) => {
      out.add(DATA, STATED, end - from, inner, from);
      return end;
    },
  });
  const inner: MapSource = slice(loop, 0, 100, STATED);
  const into = new Uint8Array(100).fill(1);
  expect(await loop.read(0, into)).toEqual([{ offset: 0, length: 100, code: 'too-deep' }]);
  expect(into.every((b) => b === 0)).toBe(true);
});

test('a run list merges what continues, and says when it is full', () => {
  const source = new MemorySource(bytes(100));
  const list = new RunList(2);
  expect(list.add(DATA, VERIFIED, 10, source, 0)).toBe(true);
  expect(list.add(DATA, VERIFIED, 10, source, 10)).toBe(true);
  expect([list.n, list.length[0]]).toEqual([1, 20]);
  expect(list.add(DATA, VERIFIED, 10, source, 50)).toBe(true);
  expect(list.add(ZERO, VERIFIED, 10)).toBe(false);
  expect([list.n, list.full]).toEqual([2, true]);
  expect(list.add(DATA, VERIFIED, 10, source, 60)).toBe(true);
});
