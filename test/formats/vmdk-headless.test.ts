/** Deltas whose first 4 KiB are gone: their own tables are found again, and what they say is guessed. */
import { expect, test } from 'vitest';
import { vmdk } from '../../src/formats/disk/vmdk/index.ts';
import { cowdOf } from '../make/machine/cowd.ts';
import { type SeDelta, seDelta } from '../make/machine/se-delta.ts';
import { seSparse } from '../make/machine/sesparse.ts';
import { judge, lies } from './judged.ts';

const MIB = 1024 * 1024;
const GONE = 4096;

const text = (type: string, kind: string, sectors: number, file: string): Uint8Array =>
  Buffer.from(
    `# Disk DescriptorFile\nversion=1\nCID=00000002\nparentCID=ffffffff\ncreateType="${type}"\n# Extent description\nRW ${sectors} ${kind} "${file}"\n`,
  );

function truthOf({ patches }: Pick<SeDelta, 'patches'>, size: number): Uint8Array {
  const out = new Uint8Array(size);
  for (const { at, bytes } of patches) out.set(bytes.subarray(0, size - at), at);
  return out;
}

test.each([
  ['one table', 8, 0],
  ['some tables', 100, 0],
  ['room behind the last grain', 100, 3 * MIB],
])('a seSparse delta: %s', async (_, mib, room) => {
  const size = mib * MIB;
  const delta = seDelta(size / 512, 9);
  const bytes = new Uint8Array(delta.bytes.length + room);
  bytes.set(delta.bytes.subarray(GONE), GONE);
  const files = { 'd.vmdk': text('seSparse', 'SESPARSE', size / 512, 'd-sesparse.vmdk'), 'd-sesparse.vmdk': bytes };
  const judged = await judge(vmdk, files, 'd.vmdk', truthOf(delta, size));
  expect([judged.lost, lies(judged)]).toEqual([0, 0]);
  expect(judged.codes).toContain('vmdk.header');
  expect(judged.right).toEqual({ guessed: size });
  expect(judged.wrong.guessed).toBe(0);
});

test('a seSparse delta whose tables are gone as well is missing', async () => {
  const sectors = (8 * MIB) / 512;
  const bytes = seSparse(sectors, 5, 0xa7);
  bytes.fill(0, 0, GONE);
  bytes.fill(0x33, 4097 * 512, 4161 * 512);
  const files = { 'd.vmdk': text('seSparse', 'SESPARSE', sectors, 'd-sesparse.vmdk'), 'd-sesparse.vmdk': bytes };
  const judged = await judge(vmdk, files, 'd.vmdk', new Uint8Array(8 * MIB));
  expect(judged.codes).toContain('vmdk.extent-header');
  expect(judged.wrong).toEqual({});
});

test('a COWD delta with one table is read by it; with several, nothing is stated', async () => {
  for (const mib of [2, 64]) {
    const sectors = (mib * MIB) / 512;
    const grains = Array.from({ length: 600 }, (_, i) => {
      const at = 900 + ((i * 4096 * 3) % (sectors - 1200)) + i;
      return { at: at % sectors, bytes: new Uint8Array(512).fill(1 + (i % 250)) };
    });
    const delta = cowdOf(
      sectors,
      grains.filter((one, i) => grains.findIndex(({ at }) => at === one.at) === i),
    );
    const bytes = delta.bytes.slice();
    bytes.fill(0, 0, GONE);
    const files = { 'd.vmdk': text('vmfsSparse', 'VMFSSPARSE', sectors, 'd-delta.vmdk'), 'd-delta.vmdk': bytes };
    const judged = await judge(vmdk, files, 'd.vmdk', truthOf(delta, mib * MIB));
    expect(lies(judged), `${mib}`).toBe(0);
    // Of one table only the entries are lost that stood in the first 4 KiB; of several, which is whose is not known.
    if (mib > 2) continue;
    expect(Object.values(judged.wrong).every((count) => count === 0)).toBe(true);
    expect(judged.lost).toBeLessThanOrEqual(3 * 128 * 512);
  }
});
