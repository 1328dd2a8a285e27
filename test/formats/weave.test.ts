/** Pieces of several disks in turns: each gets its disk and its slot, others none. */
import { expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { saysUnused } from '../../src/formats/disk/placing/align.ts';
import { usageOf, type Volume } from '../../src/formats/disk/placing/volumes.ts';
import { NOBODY, type Strand, woven } from '../../src/formats/disk/placing/weave.ts';

/** A disk that needs these slots, and knows its own pieces by `marks`, at places where that is so. */
function strand(first: number, used: readonly number[], slots: number, marks: ReadonlyMap<number, number>): Strand {
  const isUsed = (slot: number): boolean => used.includes(slot);
  return {
    first,
    slots,
    nextUsed: Int32Array.from({ length: slots + 1 }, (_, from) => used.find((slot) => slot >= from) ?? slots),
    skip: (from, end) => used.filter((slot) => slot >= from && slot < end).length * 15,
    fits: (piece, slot) => (marks.get(piece) === slot ? 10 : 0) + (isUsed(slot) ? 2 : -2),
    named: () => [],
  };
}

const signal = new AbortController().signal;

test('two disks with holes, and a piece of neither', () => {
  // Pieces: a0 a1 b0 a4 | b1 b2 | x | a5 b6
  const a = strand(
    0,
    [0, 1, 4, 5],
    8,
    new Map([
      [3, 4],
      [7, 5],
    ]),
  );
  const b = strand(
    2,
    [0, 1, 2, 6],
    8,
    new Map([
      [4, 1],
      [8, 6],
    ]),
  );
  const { owner, slot } = woven(9, [a, b], (piece) => (piece === 6 ? 0.5 : 8), signal);
  expect([...owner]).toEqual([0, 0, 1, 0, 1, 1, NOBODY, 0, 1]);
  expect([...slot]).toEqual([0, 1, 0, 4, 1, 2, NOBODY, 5, 6]);
});

test('what holds nothing is of nobody, and many pieces take no long time', () => {
  const used = Array.from({ length: 1000 }, (_, i) => i);
  const a = strand(0, used, 1000, new Map());
  const from = performance.now();
  const { owner } = woven(2000, [a], (piece) => (piece % 2 === 0 ? 5 : 0), signal);
  expect(owner.filter((one) => one === 0).length).toBe(1000);
  expect(performance.now() - from).toBeLessThan(20_000);
});

test('a slot is unused only where a file system says so', async () => {
  const node: Node = {
    name: '',
    rawName: '',
    kind: 'filesystem',
    state: 'live',
    format: '',
    locator: '',
    facts: {},
    damage: [],
  };
  const volume = (start: number, end: number, isFree: Volume['isFree']): Volume => ({
    start,
    end,
    source: new MemorySource([], end - start),
    node,
    unit: 512,
    isFree,
    blank: [],
    tables: undefined,
    known: [],
    ends: () => undefined,
    positionOf: () => undefined,
  });
  const MIB = 2 ** 20;
  const volumes = [
    // One that says nothing, one of which a part is unreadable, and room that is in none.
    volume(0, 2 * MIB, async () => undefined),
    volume(2 * MIB, 5 * MIB, async (at) => (at < 3 * MIB ? true : at < 3 * MIB + 8192 ? undefined : at >= 4 * MIB)),
  ];
  const grid = { slots: 6, coverage: MIB, unit: 4096, isSampled: false };
  const usage = await usageOf(volumes, grid, signal);
  const unused = Array.from({ length: 6 }, (_, slot) => saysUnused(usage, slot));
  expect(unused).toEqual([false, false, true, false, true, false]);
  const none = await usageOf(volumes, { ...grid, slots: 2 ** 20 }, signal);
  expect(saysUnused(none, 2)).toBe(false);
});
