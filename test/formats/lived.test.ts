/**
 * Volumes that were lived in, sound and damaged: what is stated is right, what is lost is said, nothing that is gone is
 * stated, and what is inferred of it is nearly always what it was.
 */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { dice, faulty, unreadable } from '../faults/faults.ts';
import { mountAbsent } from '../make/mounted.ts';
import { ntfs3gAbsent } from '../make/ntfs.ts';
import { type Family, hurt, KINDS, type Lived, lived, metadataOf, verdict } from './lived.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-lived-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const ROUNDS = Number(process.env.SALVOR_FUZZ_ROUNDS ?? 24);
const SEED = Number(process.env.SALVOR_FUZZ_SEED ?? 4);

const families: [Family, string | undefined][] = [
  ['btrfs', mountAbsent('btrfs')],
  ['xfs', mountAbsent('xfs')],
  ['ext', mountAbsent('ext4')],
  ['ntfs', ntfs3gAbsent],
];
const made = families.flatMap(([family, absent]) => {
  if (absent !== undefined) console.log(`Volumes of ${family} are not made: ${absent}.`);
  return absent === undefined ? KINDS[family].map((kind) => [kind.name, family, kind] as const) : [];
});

test.each(made)('%s: no lie, whatever is looked at first', async (name, family, kind) => {
  const store = lived(kind, join(root, 'image'), SEED, 3);
  const source = new MemorySource(store.bytes);
  for (const order of ['live first', 'gone first'] as const) {
    const { lies, stated, all, right, wrong, wrongBytes } = await verdict(source, store, order);
    expect(lies).toEqual([]);
    expect(stated).toBe(all);
    expect(right, name).toBeGreaterThan(100_000);
    // What nobody tells of any more had a place too. Tables of pointers carry no sums.
    expect(wrongBytes / right, wrong.join('\n')).toBeLessThan(name === 'ext3' ? 0.5 : 0.25);
  }
  const clusters = await metadataOf(source, store.bytes, hurt.unit(family));
  const roll = dice(SEED + 100);
  let damages = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const { what, undo, isTouched } = hurt.some(family, kind, store, clusters, roll);
    const one = await verdict(source, store, round % 2 === 0 ? 'live first' : 'gone first', isTouched);
    expect(one.lies, `round ${round}: ${what}`).toEqual([]);
    damages += one.damages;
    undo();
    const cluster = clusters[roll(clusters.length)];
    const at = cluster[roll(cluster.length)];
    const torn = faulty(source, [unreadable(at, 512 * (1 + roll(16)))]);
    const two = await verdict(torn, store, round % 2 === 0 ? 'gone first' : 'live first');
    expect(two.lies, `round ${round}: unreadable at ${at}`).toEqual([]);
    damages += two.damages;
  }
  expect(damages).toBeGreaterThan(0);
});

test.runIf(made.length > 0)('the judge finds lies (canary)', async () => {
  const store = lived(made[0][2], join(root, 'canary'), SEED);
  const source = new MemorySource(store.bytes);
  const [path, content] = [...store.truth].find(([, bytes]) => bytes.length > 5000)!;
  const other = (bytes: Uint8Array | undefined): Pick<Lived, 'truth' | 'ever'> => {
    const truth = new Map(store.truth);
    if (bytes === undefined) truth.delete(path);
    else truth.set(path, bytes);
    return { truth, ever: store.ever };
  };
  const changed = Uint8Array.from(content);
  changed[3000] ^= 1;
  for (const [truth, lie] of [
    [changed, / are wrong/],
    [content.subarray(1), / bytes/],
    [undefined, /is said to be there/],
  ] as const)
    expect((await verdict(source, other(truth), 'live only')).lies.join()).toMatch(lie);
});
