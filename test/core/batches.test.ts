/** Batches: the same elements in the same order, whichever way they are taken. */
import { describe, expect, test } from 'vitest';
import { Batches } from '../../src/core/batches.ts';

async function* batches(ended: () => void = () => undefined): AsyncGenerator<readonly number[]> {
  try {
    yield [1, 2];
    yield [];
    yield [3];
  } finally {
    ended();
  }
}

describe('Batches', () => {
  test('gives every element once, in order', async () => {
    const all: number[] = [];
    for await (const one of new Batches(batches())) all.push(one);
    expect(all).toEqual([1, 2, 3]);
  });

  test('gives without a promise what is at hand, and nothing before it was read', async () => {
    const all = new Batches(batches());
    expect(all.now()).toBeUndefined();
    expect(await all.next()).toEqual({ done: false, value: 1 });
    expect(all.now()).toBe(2);
    expect(all.now()).toBeUndefined();
    expect(await all.next()).toEqual({ done: false, value: 3 });
    expect(await all.next()).toEqual({ done: true, value: undefined });
    expect(all.now()).toBeUndefined();
  });

  test('ends what it takes from where a loop ends early', async () => {
    let isEnded = false;
    const all = new Batches(batches(() => (isEnded = true)));
    for await (const one of all) if (one === 1) break;
    expect(isEnded).toBe(true);
    expect(all.now()).toBeUndefined();
  });
});
