/** Directories whose descriptor was cleared still name their files; what has no descriptor gets its name elsewhere. */
import { expect, test } from 'vitest';
import { GUESSED, INFERRED } from '../../src/core/run.ts';
import { Eraser } from '../make/damage.ts';
import { machineEntries } from '../make/machines.ts';
import { makeStore } from '../make/stores.ts';
import type { Made, TruthFile } from '../make/types.ts';
import type { EntrySpec } from '../make/vmfs.ts';
import { below, expectNoLie, inside, opened, runsOf } from './gone.ts';

const MIB = 0x100000;
const VERSIONS = [3, 5, 6] as const;
type Version = (typeof VERSIONS)[number];

/** One machine whose disk lies in pointer blocks, beside a file that stays. */
function storeOf(version: Version, disks = 1): Made {
  const list = [
    { bytes: 40 * MIB, fill: 0.9, partitioned: true },
    { bytes: 56 * MIB, fill: 0.9, partitioned: 'gpt' as const },
  ];
  const entries: EntrySpec[] = [
    ...machineEntries({ name: 'web', seed: 3, disks: list.slice(0, disks), force: 'indirect' }),
    { path: '/last', kind: 'file', content: 'the newest file\n' },
  ];
  return makeStore(version, { name: `lost${version}`, seed: 5, members: [{ pes: 4 }], entries });
}

const fileAt = (made: Made, path: string): TruthFile => made.truth.files.find((f) => f.path === path)!;

test.each(VERSIONS)('VMFS%i: a directory whose descriptor was cleared names its files', async (version) => {
  const made = storeOf(version);
  const eraser = new Eraser(made).file('/web', 'C');
  for (const state of ['+orphan', '+deleted'] as const) {
    const stack = opened(made, eraser.changes());
    const found = await below(stack, state);
    const names = inside(made, '/web').map((file) => file.path);
    if (state === '+orphan')
      expect([...found.keys()].filter((path) => names.includes(path)).sort()).toEqual(names.sort());
    else expect([...found.keys()]).toEqual([]);
    for (const node of found.values()) await expectNoLie(node);
  }
});

test.each(VERSIONS)('VMFS%i: a live descriptor names the disk that was cleared', async (version) => {
  const made = storeOf(version, 2);
  const flats = ['/web/web-flat.vmdk', '/web/web_1-flat.vmdk'];
  const eraser = new Eraser(made);
  for (const path of flats) eraser.file(path, 'C');
  const found = await below(opened(made, eraser.changes()), '+orphan');
  expect([...found.keys()]).toEqual(['/web', ...flats]);
  for (const path of flats) {
    const file = fileAt(made, path);
    const node = found.get(path)!;
    expect(node.facts.size).toBe(file.size);
    const source = await node.bytes!();
    const there = new Uint8Array(file.size);
    expect(await source.read(0, there)).toEqual([]);
    for (const { offset, length, kind } of file.extents) {
      if (kind !== 'data') continue;
      expect(Buffer.compare(there.subarray(offset, offset + length), file.content!.read(offset, length))).toBe(0);
    }
    const [list] = await runsOf(source);
    expect(list.certainty(0)).toBe(INFERRED);
    await expectNoLie(node);
  }
});

test.each(VERSIONS)('VMFS%i: a whole machine without descriptors', async (version) => {
  const made = storeOf(version);
  const found = await below(opened(made, new Eraser(made).directory('/web', 'C').changes()), '+orphan');
  const flat = fileAt(made, '/web/web-flat.vmdk');
  const paths = [...found.keys()];
  const path = paths.find((one) => one.endsWith('/web-flat.vmdk') || /\/pb-/.test(one))!;
  expect(path).toBeDefined();
  const source = await found.get(path)!.bytes!();
  const there = new Uint8Array(flat.size);
  expect(await source.read(0, there)).toEqual([]);
  expect(Buffer.compare(there.subarray(0, 20 * MIB), flat.content!.read(0, 20 * MIB))).toBe(0);
  // Its configuration is text in a sub-block, or was inside the descriptor and is gone with it.
  const vmx = fileAt(made, '/web/web.vmx');
  if (vmx.allocation === 'sub-block') {
    const node = [...found.values()].find((one) => one.rawName === 'web.vmx')!;
    const text = new Uint8Array(vmx.size);
    expect(node.facts.size).toBe(vmx.size);
    await (await node.bytes!()).read(0, text);
    expect(Buffer.compare(text, vmx.content!.read(0, vmx.size))).toBe(0);
    const [list] = await runsOf(await node.bytes!());
    expect(list.certainty(0)).toBe(GUESSED);
  }
});
