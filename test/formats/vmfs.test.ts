import { expect, test } from 'vitest';
import { missing, segments } from '../../src/core/map-source.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { Stack } from '../../src/stack/stack.ts';
import { fragmented, huge, many5, many6, small3, small5, small6, spanned, thin, upgraded5 } from '../make/stores.ts';
import type { Made } from '../make/types.ts';
import { departures } from './stores.ts';

const MIB = 0x100000;
const stores: [string, () => Made][] = [
  ['VMFS3 with one of every kind of file', () => small3()],
  ['VMFS5 with one of every kind of file', () => small5()],
  ['VMFS6 with one of every kind of file', () => small6()],
  ['VMFS5 upgraded from VMFS3, 2 MiB blocks', () => upgraded5(2 * MIB)],
  ['VMFS5 upgraded from VMFS3, 8 MiB blocks', () => upgraded5(8 * MIB)],
  ['VMFS3 on an MBR disk', () => small3({ members: [{ pes: 4, wrap: 'mbr' }] })],
  ['VMFS5 on a GPT disk', () => small5({ members: [{ pes: 4, wrap: 'gpt' }] })],
  ['VMFS6 on a GPT disk', () => small6({ members: [{ pes: 16, wrap: 'gpt' }] })],
  ['thin VMFS3', () => thin(3)],
  ['thin VMFS5', () => thin(5)],
  ['thin VMFS6', () => thin(6)],
  ['fragmented VMFS5', () => fragmented(5)],
  ['fragmented VMFS6', () => fragmented(6)],
  ['VMFS3 on three devices', () => spanned(3, 3)],
  ['VMFS5 on three devices', () => spanned(5, 3)],
  ['VMFS6 on two GPT disks', () => spanned(6, 2, 'gpt')],
  ['VMFS5 of 64 TiB on one device', () => huge(5, { members: 1 })],
  ['VMFS6 of 64 TiB on one device', () => huge(6, { members: 1 })],
  ['VMFS5 of 64 TiB on 32 devices', () => huge(5, { members: 32 })],
  ['VMFS6 of 64 TiB on 32 devices', () => huge(6, { members: 32 })],
  ['VMFS5 with 16,000 files', () => many5()],
  ['VMFS6 with 16,000 files', () => many6()],
];

test.each(stores)('%s reads as it was made', async (_, make) => {
  const made = make();
  expect(made.truth.files.length).toBeGreaterThan(4);
  expect(await departures(made)).toEqual([]);
});

test('bytes of which none are had are not taken for a datastore', async () => {
  const why = { what: 'a table that is lost', source: new MemorySource(new Uint8Array(1)), at: 0, code: 'lost' };
  const source = segments([missing(64 * MIB, why)]);
  const stack = new Stack([{ name: 'disk.raw', source }]);
  expect(await stack.inside(stack.roots[0])).toBeUndefined();
});
