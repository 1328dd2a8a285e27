/** What the journal still says of files whose descriptors were cleared, or that were there before others. */
import { expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { seeded } from '../make/content.ts';
import { type DeleteOptions, Eraser, type Variant } from '../make/damage.ts';
import { type Change, Edit } from '../make/damage-edit.ts';
import { makeStore } from '../make/stores.ts';
import type { Made, TruthFile } from '../make/types.ts';
import type { EntrySpec } from '../make/vmfs.ts';
import { below, expectNoLie, opened } from './gone.ts';

const MIB = 0x100000;
const VERSIONS = [3, 5, 6] as const;
type Version = (typeof VERSIONS)[number];

/** A folder with a file that never changes; the last file is what the last transaction made. */
function storeWith(version: Version, last: Omit<EntrySpec, 'kind'>, mounted: boolean): Made {
  const entries: EntrySpec[] = [
    { path: '/vm', kind: 'directory' },
    { path: '/vm/kept.txt', kind: 'file', content: 'kept\n' },
    { kind: 'file', ...last },
  ];
  return makeStore(version, { name: `journal${version}`, seed: 31, members: [{ pes: 2 }], entries, mounted });
}

const fdName = (file: TruthFile): string => `fd/0x${file.fdAddress.toString(16).padStart(8, '0')}`;
const fileAt = (made: Made, path: string): TruthFile => made.truth.files.find((f) => f.path === path)!;

/** VMFS6: the records of a transaction are not known; a copy of the descriptor's metadata is put where one would be. */
function inJournal(made: Made, path: string): Change[] {
  if (made.truth.version !== 6) return [];
  const bytes = new Edit(made).read(fdName(fileAt(made, path))).subarray(4096);
  const { member, at } = made.truth.structures.find((s) => s.name === 'journal')!;
  return [{ member, at: at + 3 * 4096 + 0x28, length: bytes.length, bytes }];
}

async function deleted(
  made: Made,
  path: string,
  variant: Variant,
  options: DeleteOptions = {},
): Promise<Map<string, Node>> {
  const copy = options.journal === false ? [] : inJournal(made, path);
  const stack = opened(made, [...new Eraser(made).file(path, variant, options).changes(), ...copy]);
  return below(stack, '+deleted');
}

async function expectWhole(node: Node, file: TruthFile): Promise<void> {
  const source = await node.bytes!();
  const there = new Uint8Array(file.size);
  expect(await source.read(0, there)).toEqual([]);
  expect(Buffer.compare(there, file.content!.read(0, file.size))).toBe(0);
  await expectNoLie(node);
}

const kinds: [string, Omit<EntrySpec, 'kind'>][] = [
  ['blocks', { path: '/vm/new-flat.vmdk', content: seeded(7, 5 * MIB + 700) }],
  ['pointer blocks', { path: '/vm/new-flat.vmdk', content: seeded(8, 6 * MIB + 1), force: 'indirect' }],
  ['text inside', { path: '/vm/new.txt', content: 'as small as that\n' }],
];
const cases = VERSIONS.flatMap((version) =>
  kinds.flatMap(([kind, last]) => {
    return (['B', 'C'] as const).map((variant) => [version, variant, kind, last] as const);
  }),
);

test.each(cases)(
  'VMFS%i, variant %s: a file with %s whose descriptor was cleared',
  async (version, variant, _, last) => {
    for (const mounted of [true, false]) {
      const made = storeWith(version, last, mounted);
      const file = fileAt(made, last.path);
      const found = await deleted(made, last.path, variant);
      expect([...found.keys()]).toEqual(['/vm', last.path]);
      const node = found.get(last.path)!;
      if (file.allocation !== 'inline') expect(node.facts.details).toMatchObject({ reason: 'vmfs.fd.journal' });
      expect([node.facts.size, node.facts.modified, node.state]).toEqual([file.size, file.mtime, 'deleted']);
      await expectWhole(node, file);
    }
  },
);

test.each(VERSIONS)('VMFS%i: without its copy such a file has no bytes', async (version) => {
  const last = kinds[0][1];
  const made = storeWith(version, last, true);
  expect([...(await deleted(made, last.path, 'C', { journal: false })).keys()]).toEqual([]);
  const bare = (await deleted(made, last.path, 'B', { journal: false })).get(last.path)!;
  expect(await (await bare.bytes!()).read(0, new Uint8Array(4096))).toHaveLength(1);
});

test.each(VERSIONS)('VMFS%i: what was in a slot before is a file of its own', async (version) => {
  const last = kinds[0][1];
  const made = storeWith(version, last, true);
  const file = fileAt(made, last.path);
  // The slot was given to another file, which was deleted as well.
  const eraser = new Eraser(made).file(last.path, 'A').renumber(last.path, 77);
  const found = await below(opened(made, [...eraser.changes(), ...inJournal(made, last.path)]), '+deleted');
  const both = [...found.values()].filter((node) => node.kind === 'file');
  expect(new Set(both.map((node) => node.facts.details?.generation))).toEqual(new Set([file.generation, 77]));
  const old = found.get(last.path)!;
  expect(old.facts.details).toMatchObject({ generation: file.generation, reason: 'vmfs.fd.journal' });
  // Both claim the same blocks, so neither is more than a guess.
  await expectNoLie(old);
});

test.each(VERSIONS)(
  'VMFS%i: an older state of a file is a second version, not mixed with the first',
  async (version) => {
    const last = kinds[0][1];
    const made = storeWith(version, last, true);
    const file = fileAt(made, last.path);
    const [at, step] = version === 6 ? [0x1600, 8] : [0x400, 4];
    const edit = new Edit(made);
    const fd = edit.read(fdName(file));
    edit.write(fdName(file), at, fd.slice(at + step, at + 2 * step)); // the first block is the second one's
    const changes = [
      ...new Eraser(made).file(last.path, 'A').changes(),
      ...edit.changes(),
      ...inJournal(made, last.path),
    ];
    const found = await below(opened(made, changes), '+deleted');
    expect([...found.keys()]).toEqual(['/vm', last.path, `${last.path};2`]);
    expect(found.get(last.path)!.facts.details?.reason).toBe('vmfs.fd.free');
    expect(found.get(`${last.path};2`)!.facts.details?.reason).toBe('vmfs.fd.journal');
    await expectWhole(found.get(`${last.path};2`)!, file);
  },
);

test.each([3, 5] as const)('VMFS%i: a copy of its directory block names a file', async (version) => {
  const last = kinds[0][1];
  const made = storeWith(version, last, false);
  const edit = new Edit(made);
  const entry = `dirent:${last.path}`;
  edit.zero(entry); // whole, not its address alone
  const changes = [
    ...new Eraser(made)
      .file(last.path, 'A')
      .changes()
      .filter((c) => !overlaps(made, entry, c)),
    ...edit.changes(),
  ];
  const found = await below(opened(made, changes), '+deleted');
  expect([...found.keys()]).toEqual(['/vm', last.path]);
  expect(found.get(last.path)!.facts.details?.name_from).toBe('copy of its entry in the journal');
});

function overlaps(made: Made, name: string, change: Change): boolean {
  return made.truth.structures.some(
    (s) => s.name === name && s.at < change.at + change.length && s.at + s.length > change.at,
  );
}
