/** Seeded mutations of all that describes a sparse disk: whatever is stated or verified stays right. */
import { expect, test } from 'vitest';
import { vmdk } from '../../src/formats/disk/vmdk/index.ts';
import { cowdHeader, seHeader, sparseHeader } from '../../src/formats/disk/vmdk/structs.ts';
import { dice } from '../faults/faults.ts';
import { mutation } from '../fuzz/mutate.ts';
import { converted, qemuAbsent, rawDisk } from '../make/disks.ts';
import { cowdDelta } from '../make/machine/cowd.ts';
import { seDelta } from '../make/machine/se-delta.ts';
import { streamDisk } from '../make/machine/stream.ts';
import { judge, lies } from './judged.ts';

const ROUNDS = Number(process.env.SALVOR_FUZZ_ROUNDS ?? 40);
const SIZE = 5 * 1024 * 1024;
const raw = rawDisk(SIZE, 21);

interface Victim {
  readonly files: Record<string, Uint8Array>;
  readonly name: string;
  readonly extent: string;
  readonly truth: Uint8Array;
  /** Stretches of metadata, and the table of a header at 0. */
  readonly parts: readonly (readonly [from: number, length: number])[];
  // biome-ignore lint/suspicious/noExplicitAny: any table will do
  readonly table: any;
}

function delta(
  kind: 'VMFSSPARSE' | 'SESPARSE',
  extent: string,
  bytes: Uint8Array,
  patches: readonly { at: number; bytes: Uint8Array }[],
) {
  const truth = new Uint8Array(SIZE);
  for (const patch of patches) truth.set(patch.bytes.subarray(0, SIZE - patch.at), patch.at);
  const text = Buffer.from(
    `# Disk DescriptorFile\nversion=1\nCID=00000002\nparentCID=ffffffff\ncreateType="vmfs"\nRW ${SIZE / 512} ${kind} "${extent}"\n`,
  );
  return { files: { 'd.vmdk': text, [extent]: bytes }, name: 'd.vmdk', extent, truth };
}

function victims(): [string, Victim][] {
  const cowd = cowdDelta(SIZE / 512, 4);
  const se = seDelta(SIZE / 512, 5);
  const stream = streamDisk(raw, 's.vmdk');
  const ends = [...stream.grains.values()].map((at): [number, number] => [at, 14]);
  const last = stream.bytes.length - 10 * 512;
  const out: [string, Victim][] = [
    [
      'COWD',
      {
        ...delta('VMFSSPARSE', 'd-delta.vmdk', cowd.bytes, cowd.patches),
        parts: [
          [0, 40],
          [2048, 16],
          [2560, 16384],
        ],
        table: cowdHeader,
      },
    ],
    [
      'seSparse',
      {
        ...delta('SESPARSE', 'd-sesparse.vmdk', se.bytes, se.patches),
        parts: [
          [0, 208],
          [512, 32],
          [se.directory, 16],
          [se.tables, 32768],
        ],
        table: seHeader,
      },
    ],
    [
      'stream',
      {
        files: { 's.vmdk': stream.bytes },
        name: 's.vmdk',
        extent: 's.vmdk',
        truth: raw,
        parts: [[0, 79], [512, 300], ...ends, [last, 10 * 512]],
        table: sparseHeader,
      },
    ],
  ];
  if (qemuAbsent !== undefined) return out;
  for (const kind of ['monolithicSparse', 'twoGbMaxExtentSparse', 'streamOptimized']) {
    const files = converted(raw, kind);
    const extent = kind.startsWith('two') ? 'd-s001.vmdk' : 'd.vmdk';
    const parts = [
      [0, 79],
      [21 * 512, 4],
      [22 * 512, 2048],
      [26 * 512, 4],
      [27 * 512, 2048],
      [512, 300],
    ] as const;
    out.push([kind, { files, name: 'd.vmdk', extent, truth: raw, parts, table: sparseHeader }]);
  }
  return out;
}

test.each(victims())('%s', { timeout: 120_000 }, async (kind, victim) => {
  const random = dice(Number(process.env.SALVOR_FUZZ_SEED ?? 1) + kind.length * 7919);
  const { parts, table, files, extent, name, truth } = victim;
  let had = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = files[extent].slice();
    for (let n = 1 + random(2); n > 0; n--) {
      const [at, length] = parts[random(parts.length)];
      const fault = mutation({ member: 0, at, length, ...(at === 0 && { table }) }, random);
      const there = bytes.subarray(fault.at, Math.min(bytes.length, fault.at + fault.length));
      there.set((fault.bytes ?? new Uint8Array(fault.length)).subarray(0, there.length));
    }
    const judged = await judge(vmdk, { ...files, [extent]: bytes }, name, truth);
    expect(lies(judged), `round ${round}: ${JSON.stringify([judged.wrong, judged.codes])}`).toBe(0);
    if (judged.lost === 0) had++;
  }
  if (process.env.SALVOR_VMDK_TABLE !== undefined)
    process.stderr.write(`${kind}: nothing lost in ${had} of ${ROUNDS}\n`);
});
