/** Chains of layers, and bytes that are made: the same invariants as every source, and the same bytes as done by hand. */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chain } from '../../src/core/chain.ts';
import { type Codec, MadeSource } from '../../src/core/made.ts';
import { absent, data, missing, type Segment, segments, zeros } from '../../src/core/map-source.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { flatten } from '../../src/core/resolve.ts';
import { INFERRED, MISSING, RunList, STATED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { brokenInvariants } from '../suites/check-source.ts';

const bytes = (n: number, seed: number): Uint8Array =>
  Uint8Array.from({ length: n }, (_, i) => (i * 7 + seed * 31 + 1) & 0xff);
const whole = async (source: Source): Promise<{ bytes: Uint8Array; lost: number }> => {
  const into = new Uint8Array(source.size);
  const gaps = await source.read(0, into);
  return { bytes: into, lost: gaps.reduce((sum, gap) => sum + gap.length, 0) };
};

test('a chain gives, for every byte, what the uppermost layer that speaks says', async () => {
  const segment = fc.record({
    kind: fc.constantFrom('data', 'absent', 'absent', 'zero'),
    length: fc.integer({ min: 1, max: 700 }),
  });
  const layer = fc.array(segment, { minLength: 1, maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 6 }), fc.boolean(), async (lists, orphan) => {
      const layers = lists.map((list, n) => {
        const content = bytes(30 * 700, n);
        let at = 0;
        const parts = list.map(({ kind, length }): Segment => {
          const from = at;
          at += length;
          if (kind === 'data') return data(new MemorySource(content), from, length, STATED);
          return kind === 'zero' ? zeros(length, STATED) : absent(length);
        });
        return { parts, content, size: at, source: segments(parts) };
      });
      const size = layers[0].size;
      const expected = new Uint8Array(size);
      let lost = 0;
      for (let at = 0; at < size; at++) {
        const speaking = layers.find(({ parts, size: end }) => at >= end || kindAt(parts, at) !== 'absent');
        if (speaking === undefined && orphan) lost++;
        if (speaking !== undefined && at < speaking.size && kindAt(speaking.parts, at) === 'data')
          expected[at] = speaking.content[at];
      }
      const source = chain(
        layers.map((one) => ({ source: one.source, certainty: STATED })),
        orphan ? { what: 'a parent that is not had', code: 'parent' } : undefined,
      );
      expect(await whole(source)).toEqual({ bytes: expected, lost });
      expect(await brokenInvariants(source)).toEqual([]);
    }),
    { numRuns: 60 },
  );
});

function kindAt(parts: readonly Segment[], at: number): 'data' | 'absent' | 'zero' {
  let end = 0;
  for (const { length, state } of parts) {
    end += length;
    if (at < end) return state === 0 ? 'data' : state === 1 ? 'zero' : 'absent';
  }
  return 'zero';
}

test('a link that was not proved makes all below it less certain, and nothing above', async () => {
  const top = segments([data(new MemorySource(bytes(10, 1)), 0, 10, STATED), absent(20)]);
  const base = segments([data(new MemorySource(bytes(30, 2)), 0, 30, STATED)]);
  const doubt = { what: 'a parent found by its name alone', code: 'chain.cid' };
  const list = new RunList();
  await flatten(
    chain([
      { source: top, certainty: STATED },
      { source: base, certainty: INFERRED, why: doubt },
    ]),
    0,
    30,
    list,
  );
  expect([list.n, list.certainty(0), list.certainty(1), list.why(1)?.code]).toEqual([2, STATED, INFERRED, 'chain.cid']);
});

test('300 layers with many runs are composed in several windows', async () => {
  const step = 512;
  const count = 9000;
  const layer = (n: number): Source =>
    segments(
      Array.from({ length: count }, (_, i) =>
        i % 300 === n ? data(new MemorySource(bytes(step, n)), 0, step, STATED) : absent(step),
      ),
    );
  const source = chain(Array.from({ length: 300 }, (_, n) => ({ source: layer(n), certainty: STATED })));
  const { bytes: read, lost } = await whole(source);
  expect(lost).toBe(0);
  for (let i = 0; i < count; i += 17) expect(read.subarray(i * step, (i + 1) * step)).toEqual(bytes(step, i % 300));
});

const inflate: Codec = {
  name: 'deflate',
  make(input, size) {
    try {
      return inflateRawSync(input, { maxOutputLength: size });
    } catch {
      return new Uint8Array(0);
    }
  },
};

test('made bytes keep the invariants, also where an input is damaged, short or missing', async () => {
  const plain = bytes(5000, 9);
  const packed = deflateRawSync(plain);
  const made = (source: Source): MadeSource =>
    new MadeSource(plain.length, inflate, [
      { source, at: 0, length: 10 },
      { source, at: 10, length: packed.length - 10 },
    ]);
  const good = made(new MemorySource(packed));
  expect(await whole(good)).toEqual({ bytes: plain, lost: 0 });
  expect(await brokenInvariants(good)).toEqual([]);
  const broken = made(new MemorySource(Uint8Array.from(packed, (byte, i) => (i > 4 ? byte ^ 0xff : byte))));
  expect((await whole(broken)).lost).toBe(plain.length);
  expect(await brokenInvariants(broken)).toEqual([]);
  const holed = made(
    segments([
      data(new MemorySource(packed), 0, 40, STATED),
      missing(packed.length - 40, { what: 'a test', code: 'test' }),
    ]),
  );
  expect(await brokenInvariants(holed)).toEqual([]);
  const list = new RunList();
  await flatten(holed, 0, plain.length, list);
  expect([list.n, list.state(0), list.why(0)?.code]).toEqual([1, MISSING, 'test']);
});

test('what shows through a layer that is unsure of saying nothing is no more certain than that', async () => {
  const base = new MemorySource(bytes(300, 1));
  const why = { what: 'a table that is lost', code: 'x.table' };
  const unsure: Segment = { length: 100, state: absent(1).state, certainty: INFERRED, why };
  const top = segments([absent(100), unsure, absent(100)]);
  const whole = chain([
    { source: top, certainty: STATED },
    { source: segments([data(base, 0, 300, STATED)]), certainty: STATED },
  ]);
  const list = new RunList();
  await whole.runs(0, 300, list);
  const seen = Array.from({ length: list.n }, (_, i) => [list.length[i], list.certainty(i), list.why(i)?.code]);
  expect(seen).toEqual([
    [100, STATED, undefined],
    [100, INFERRED, 'x.table'],
    [100, STATED, undefined],
  ]);
});
