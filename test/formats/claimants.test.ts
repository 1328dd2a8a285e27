/** Who had a place last, of many that are gone. */
import { expect, test } from 'vitest';
import { type Candidate, Names } from '../../src/formats/filesystem/called.ts';
import { Claimants } from '../../src/formats/filesystem/claimants.ts';
import { dice } from '../faults/faults.ts';

test('claims are told as a list that is looked through as a whole tells them', () => {
  const roll = dice(5);
  const all = Array.from({ length: 3000 }, () => {
    const from = roll(500);
    return { from, end: from + 1 + roll(40), order: roll(6) === 0 ? Number.NaN : roll(50), who: roll(30) };
  });
  const claimants = new Claimants();
  for (const one of all) claimants.add(one);
  for (let n = 0; n < 300; n++) {
    const own = { ...all[roll(all.length)] };
    const touching = all.filter((one) => one.from < own.end && one.end > own.from && !(one.order < own.order));
    const key = (one: object): string => JSON.stringify(Object.values(one));
    expect([...new Set(claimants.after(own).map(key))].sort()).toEqual([...new Set(touching.map(key))].sort());
    const { fate, end } = claimants.fate(own);
    for (let at = own.from; at < end; at++) {
      const others = touching.filter((one) => one.who !== own.who && one.from <= at && one.end > at);
      const isLater = others.some(({ order }) => order > own.order);
      expect(isLater ? 'later' : others.length > 0 ? 'unsure' : undefined).toBe(fate);
    }
  }
});

test('a name of the time at which a file had its inode is its own', () => {
  const names = new Names();
  const add = (name: string, order?: number) => names.add(7, { name, parent: 2, order } satisfies Candidate);
  expect(names.of(7, undefined)).toBeUndefined();
  add('left');
  expect(names.of(7, { first: 5, last: 9 })).toMatchObject({ name: 'left', others: [] });
  add('before', 3);
  add('after', 12);
  expect(names.of(7, { first: 5, last: 9 })).toMatchObject({ name: 'left', others: ['before', 'after'] });
  add('own', 6);
  add('renamed', 8);
  expect(names.of(7, { first: 5, last: 9 })).toMatchObject({ name: 'renamed', others: [] });
});
