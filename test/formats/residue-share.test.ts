/** What live files have taken of a deleted one is missing, and counted, whatever kind of block it was. */
import { expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { MISSING } from '../../src/core/run.ts';
import { seeded } from '../make/content.ts';
import { Eraser, type Variant } from '../make/damage.ts';
import { makeStore } from '../make/stores.ts';
import type { Made, TruthFile } from '../make/types.ts';
import type { EntrySpec } from '../make/vmfs.ts';
import { below, expectNoLie, opened, runsOf } from './gone.ts';

const MIB = 0x100000;
const VERSIONS = [3, 5, 6] as const;
type Version = (typeof VERSIONS)[number];

function storeOf(version: Version): Made {
  const file = (path: string, size: number, more: Partial<EntrySpec> = {}): EntrySpec => {
    return { path, kind: 'file', content: seeded(size + path.length, size), ...more };
  };
  const entries: EntrySpec[] = [
    { path: '/vm', kind: 'directory' },
    file('/vm/old.bin', 10 * MIB, { force: 'direct' }),
    file('/vm/new.bin', 10 * MIB, { force: 'direct' }),
    file('/vm/old.small', 5000),
    file('/vm/new.small', 5200),
    file('/vm/old.tables', 9 * MIB, { force: 'indirect' }),
    file('/vm/new.tables', 8 * MIB, { force: 'indirect' }),
    { path: '/last', kind: 'file', content: 'the newest file\n' },
  ];
  return makeStore(version, { name: `share${version}`, seed: 21, members: [{ pes: 2 }], entries });
}

const stores = new Map(VERSIONS.map((version) => [version, storeOf(version)]));
const fileAt = (made: Made, path: string): TruthFile => made.truth.files.find((f) => f.path === path)!;

async function missingOf(node: Node): Promise<Map<string, number>> {
  const out = new Map<string, number>();
  for (const list of await runsOf(await node.bytes!())) {
    for (let i = 0; i < list.n; i++) {
      if (list.state(i) !== MISSING) continue;
      const code = list.why(i)?.code ?? '';
      out.set(code, (out.get(code) ?? 0) + list.length[i]);
    }
  }
  return out;
}

const cases = VERSIONS.flatMap((version) => (['A', 'D', 'E'] as const).map((variant) => [version, variant] as const));

test.each(cases)('VMFS%i, variant %s: file blocks', async (version, variant: Variant) => {
  const made = stores.get(version)!;
  const eraser = new Eraser(made).file('/vm/old.bin', variant).reuse('/vm/old.bin', '/vm/new.bin', 3);
  const found = await below(opened(made, eraser.changes()), variant === 'E' ? '+orphan' : '+deleted');
  const node = found.get('/vm/old.bin')!;
  expect(await missingOf(node)).toEqual(new Map([['vmfs.overwritten', 3 * MIB]]));
  expect(node.facts.details).toMatchObject({ overwritten: 3 * MIB, overwrittenBy: '/vm/new.bin', bytesThere: 7 * MIB });
  expect(node.notices).toEqual([
    `30 % of it (${3 * MIB} bytes) is overwritten by /vm/new.bin; these ranges are missing.`,
  ]);
  expect(node.damage.map(({ code }) => code)).toContain('vmfs.overwritten');
  const file = fileAt(made, '/vm/old.bin');
  const there = new Uint8Array(7 * MIB);
  expect(await (await node.bytes!()).read(3 * MIB, there)).toEqual([]);
  expect(Buffer.compare(there, file.content!.read(3 * MIB, 7 * MIB))).toBe(0);
  await expectNoLie(node);
});

test.each(VERSIONS)('VMFS%i: a sub-block', async (version) => {
  const made = stores.get(version)!;
  const eraser = new Eraser(made).file('/vm/old.small', 'A').reuse('/vm/old.small', '/vm/new.small', 1);
  const node = (await below(opened(made, eraser.changes()), '+deleted')).get('/vm/old.small')!;
  expect(await missingOf(node)).toEqual(new Map([['vmfs.overwritten', 5000]]));
  expect(node.facts.details).toMatchObject({ overwritten: 5000, overwrittenBy: '/vm/new.small', bytesThere: 0 });
});

test.each(VERSIONS)('VMFS%i: a pointer block', async (version) => {
  const made = stores.get(version)!;
  const eraser = new Eraser(made).file('/vm/old.tables', 'A').reuse('/vm/old.tables', '/vm/new.tables', 1);
  const node = (await below(opened(made, eraser.changes()), '+deleted')).get('/vm/old.tables')!;
  expect(await missingOf(node)).toEqual(new Map([['vmfs.overwritten', 9 * MIB]]));
  expect(node.facts.details?.overwrittenBy).toBe('/vm/new.tables');
});

test.each(VERSIONS)('VMFS%i: blocks of pointer blocks that were tied to a file again', async (version) => {
  const made = stores.get(version)!;
  const size = version === 6 ? 8 : 4;
  for (const variant of ['B', 'C'] as const) {
    const eraser = new Eraser(made).file('/vm/old.tables', variant);
    // A live file takes two of its blocks: their pointers are read from the pointer block.
    eraser.copyPointers('/vm/old.tables', '/vm/new.bin', 2 * size);
    const found = await below(opened(made, eraser.changes()), variant === 'B' ? '+deleted' : '+orphan');
    const node = found.get('/vm/old.tables')!;
    expect(await missingOf(node)).toEqual(new Map([['vmfs.overwritten', 2 * MIB]]));
    expect(node.facts.details).toMatchObject({ overwritten: 2 * MIB, overwrittenBy: '/vm/new.bin' });
    await expectNoLie(node);
  }
});
