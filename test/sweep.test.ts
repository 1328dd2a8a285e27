/** The sweep sees what a search for each key at each place sees, however many keys there are and wherever they stand. */
import { expect, test } from 'vitest';
import type { Finder } from '../src/core/finder.ts';
import { Sweep } from '../src/scan/sweep.ts';
import { dice } from './faults/faults.ts';

const ALIGNS = [512, 4096, 65536] as const;
const SECTORS = 96;

/** Finders with keys of few different bytes, so that pairs are often there and keys sometimes. */
function findersOf(roll: (below: number) => number, count: number, places: number): Finder[] {
  return Array.from({ length: count }, (_, n) => ({
    align: ALIGNS[roll(ALIGNS.length)],
    keys: Array.from({ length: 1 + roll(2) }, () => ({
      offset: 2 * roll(places) + (roll(4) === 0 ? 512 * roll(5) : 0),
      bytes: Array.from({ length: 2 + roll(2) }, () => roll(3)),
    })),
    need: 512,
    examine: (_, at, emit) => emit({ kind: `finder-${n}`, at, length: 512 }),
  }));
}

/** The same by looking at each place for each key. */
function plainly(finders: readonly Finder[], window: Uint8Array, base: number): string[] {
  const out = new Set<string>();
  for (const [n, { align, keys }] of finders.entries()) {
    for (const { offset, bytes } of keys) {
      for (let at = Math.ceil((base - offset) / align) * align; at + offset < base + window.length; at += align) {
        const from = at + offset - base;
        if (at < 0 || from + bytes.length > window.length) continue;
        if (bytes.every((byte, i) => window[from + i] === byte)) out.add(`finder-${n} ${at}`);
      }
    }
  }
  return [...out].sort();
}

test.each([
  [1, 1],
  [10, 2],
  [40, 4],
  [60, 30],
  [200, 250],
])('%i finders at %i places', (count, places) => {
  const roll = dice(count);
  for (let round = 0; round < 20; round++) {
    const finders = findersOf(roll, count, places);
    const base = 512 * roll(300);
    const length = 512 * SECTORS - (roll(3) === 0 ? 2 * roll(255) : 0);
    const window = Uint8Array.from({ length }, () => (roll(2) === 0 ? roll(3) : roll(256)));
    const seen = new Set<string>();
    new Sweep(finders).run(
      window,
      base,
      () => new Uint8Array(512),
      ({ kind, at }) => seen.add(`${kind} ${at}`),
    );
    const wanted = plainly(finders, window, base);
    expect(wanted.length > 0 || count === 1).toBe(true);
    expect([...seen].sort()).toEqual(wanted);
  }
});
