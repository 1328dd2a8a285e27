/** Sparse VMDK with a guest whose tables are gone: what the guest says puts grains back, and nothing of that is stated. */
import { describe, expect, test } from 'vitest';
import { vmdk } from '../../src/formats/disk/vmdk/index.ts';
import { seeded } from '../make/content.ts';
import { converted, qemuAbsent, rawDisk } from '../make/disks.ts';
import { type GuestKind, guestAbsent, guestImage } from '../scoreboard/guests.ts';
import { type Judged, judge, lies } from './judged.ts';
import { hostedDamages } from './vmdk-damages.ts';
import { DELTA_LOSSES, type GuestDisk, HOSTED_LOSSES, type SparseKind, sparseOf } from './vmdk-guests.ts';

const SEED = 97;
const GRAIN = 65_536;
const guest = (kind: GuestKind, mib = 48): Uint8Array => guestImage({ kind, mib, seed: 5, fill: 0.5 });
const absent = (kind: GuestKind): string | undefined => qemuAbsent ?? guestAbsent(kind);

async function without(disk: GuestDisk, loss: string, truth: Uint8Array): Promise<Judged> {
  const bytes = disk.damages[loss](disk.files[disk.extent], SEED)!;
  return judge(vmdk, { ...disk.files, [disk.extent]: bytes }, disk.top, truth);
}

const wrong = (judged: Judged): number => Object.values(judged.wrong).reduce((sum, n) => sum + n, 0);
/** Bytes that are neither had nor zeros of the disk, and bytes that are others than those of the disk. */
const faults = (judged: Judged): number[] => [judged.lost, wrong(judged), lies(judged)];
const WHOLE = [0, 0, 0];

for (const kind of ['ext4', 'ntfs', 'xfs'] as const) {
  describe.skipIf(absent(kind) !== undefined)(kind, () => {
    for (const sparse of ['monolithicSparse', 'twoGbMaxExtentSparse'] as const satisfies readonly SparseKind[]) {
      test(`${sparse} comes back from its grains`, { timeout: 60_000 }, async () => {
        const truth = guest(kind);
        const disk = sparseOf(sparse, truth);
        for (const loss of HOSTED_LOSSES) expect(faults(await without(disk, loss, truth)), loss).toEqual(WHOLE);
      });
    }
    for (const sparse of ['seSparse', 'vmfsSparse'] as const satisfies readonly SparseKind[]) {
      test(`${sparse} comes back from its tables, or from what is left of them`, { timeout: 60_000 }, async () => {
        const truth = guest(kind);
        const disk = sparseOf(sparse, truth);
        for (const loss of DELTA_LOSSES.filter((one) => !one.startsWith('all'))) {
          const had = await without(disk, loss, truth);
          // XFS has blocks in use that it never wrote: where grains are small, which of them these are is a guess.
          const isUnsure = kind === 'xfs' && sparse === 'seSparse' && loss.startsWith('a table');
          if (!isUnsure) expect(faults(had), loss).toEqual(WHOLE);
          expect(lies(had)).toBe(0);
          expect(wrong(had) + had.lost, loss).toBeLessThan(truth.length * 0.01);
        }
      });
    }
  });
}

test.skipIf(absent('ext4') !== undefined)('grains of 4 KiB without any table', { timeout: 60_000 }, async () => {
  const truth = guest('ext4', 24);
  for (const sparse of ['seSparse', 'vmfsSparse'] as const) {
    const had = await without(sparseOf(sparse, truth), 'all tables zeroed', truth);
    expect(faults(had), sparse).toEqual(WHOLE);
    expect(had.right.stated ?? 0).toBe(0);
  }
});

test.skipIf(absent('ext4') !== undefined)(
  'a disk of two extents, either of them or both',
  { timeout: 60_000 },
  async () => {
    const truth = guest('ext4');
    const half = truth.length / 2;
    const [a, b] = [0, half].map((at) => converted(truth.subarray(at, at + half), 'monolithicSparse')['d.vmdk']);
    const lines = ['a', 'b'].map((name) => `RW ${half / 512} SPARSE "${name}.vmdk"`).join('\n');
    const head =
      '# Disk DescriptorFile\nversion=1\nCID=00000002\nparentCID=ffffffff\ncreateType="twoGbMaxExtentSparse"';
    const top = Buffer.from(`${head}\n# Extent description\n${lines}\n`);
    const wiped = hostedDamages(1, 21)['all tables zeroed'];
    for (const [first, second] of [
      [wiped(a, SEED)!, b],
      [a, wiped(b, SEED)!],
      [wiped(a, SEED)!, wiped(b, SEED)!],
    ]) {
      const files = { 'd.vmdk': top, 'a.vmdk': first, 'b.vmdk': second };
      expect(faults(await judge(vmdk, files, 'd.vmdk', truth))).toEqual(WHOLE);
    }
  },
);

test.skipIf(absent('ext4') !== undefined)('canary: grains that changed places are wrong, and guessed', async () => {
  const truth = guest('ext4');
  const disk = sparseOf('monolithicSparse', truth);
  const bytes = Uint8Array.from(disk.files['d.vmdk']);
  const at = (Math.floor(bytes.length / GRAIN) - 40) * GRAIN;
  const one = bytes.slice(at, at + GRAIN);
  bytes.copyWithin(at, at + 8 * GRAIN, at + 9 * GRAIN);
  bytes.set(one, at + 8 * GRAIN);
  const files = { 'd.vmdk': disk.damages['all tables zeroed'](bytes, SEED)! };
  const had = await judge(vmdk, files, 'd.vmdk', truth);
  expect(had.wrong.guessed).toBeGreaterThan(GRAIN);
  expect(lies(had)).toBe(0);
  expect(had.wrong.inferred ?? 0).toBe(0);
});

test.skipIf(absent('ntfs') !== undefined)('a grain that a crash left over is put nowhere', async () => {
  const truth = guest('ntfs');
  const disk = sparseOf('monolithicSparse', truth);
  const left = Buffer.concat([disk.files['d.vmdk'], seeded(3, GRAIN).read(0, GRAIN)]);
  expect(faults(await judge(vmdk, { 'd.vmdk': left }, 'd.vmdk', truth))).toEqual(WHOLE);
});

test.skipIf(qemuAbsent !== undefined)('without a guest, what no table leads to is missing', async () => {
  const raw = rawDisk(48 * 2 ** 20, 4);
  const had = await without(sparseOf('monolithicSparse', raw), 'all tables zeroed', raw);
  expect([wrong(had), Object.values(had.right).reduce((a, n) => a + n, 0)]).toEqual([0, 0]);
});

test.skipIf(absent('ext4') !== undefined)('over a parent nothing is laid out', async () => {
  const truth = guest('ext4');
  const disk = sparseOf('monolithicSparse', truth);
  const bytes = disk.damages['all tables zeroed'](disk.files['d.vmdk'], SEED)!;
  const text = Buffer.from(bytes.subarray(512, 21 * 512))
    .toString('latin1')
    .replace('parentCID=ffffffff', 'parentCID=00000007');
  bytes.set(Buffer.from(text, 'latin1'), 512);
  const had = await judge(vmdk, { 'd.vmdk': bytes }, 'd.vmdk', truth);
  expect([wrong(had), had.right.guessed ?? 0, had.right.inferred ?? 0]).toEqual([0, 0, 0]);
});
