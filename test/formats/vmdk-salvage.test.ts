/** Every structure of sparse disks gone, one at a time and together: nothing wrong is ever stated or verified. */
import { expect, test } from 'vitest';
import { vmdk } from '../../src/formats/disk/vmdk/index.ts';
import { converted, qemuAbsent, rawDisk } from '../make/disks.ts';
import { cowdDelta } from '../make/machine/cowd.ts';
import { seDelta } from '../make/machine/se-delta.ts';
import { streamDisk } from '../make/machine/stream.ts';
import { type Judged, judge, lies } from './judged.ts';
import { type Damage, deltaDamages, hostedDamages, streamDamages } from './vmdk-damages.ts';

const SEEDS = Number(process.env.SALVOR_VMDK_SEEDS ?? 1);
const MIB = 1024 * 1024;
const SIZE = 40 * MIB;
const SECTORS = SIZE / 512;

/** What came back: bytes with something in them, of all there were. */
interface Row {
  total: number;
  lost: number;
  wrong: Record<string, number>;
}

async function matrix(
  title: string,
  make: (seed: number) => {
    files: Record<string, Uint8Array>;
    name: string;
    extent: string;
    truth: Uint8Array;
    damages: Record<string, Damage>;
  },
): Promise<Map<string, Judged[]>> {
  const out = new Map<string, Judged[]>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { files, name, extent, truth, damages } = make(seed);
    for (const [what, damage] of Object.entries(damages)) {
      const bytes = damage(files[extent], seed * 97);
      if (bytes === undefined) continue;
      const judged = await judge(vmdk, { ...files, [extent]: bytes }, name, truth);
      expect(lies(judged), `${title}, ${what}, seed ${seed}: ${JSON.stringify(judged.wrong)}`).toBe(0);
      out.set(what, [...(out.get(what) ?? []), judged]);
    }
  }
  if (process.env.SALVOR_VMDK_TABLE !== undefined) show(title, out);
  return out;
}

function show(title: string, out: Map<string, Judged[]>): void {
  const lines = [...out].map(([what, all]) => {
    const row: Row = { total: 0, lost: 0, wrong: {} };
    for (const one of all) {
      row.lost += one.lost;
      for (const [grade, n] of Object.entries(one.wrong)) row.wrong[grade] = (row.wrong[grade] ?? 0) + n;
      for (const n of Object.values(one.right)) row.total += n;
    }
    const wrong = Object.entries(row.wrong)
      .filter(([, n]) => n > 0)
      .map(([grade, n]) => `${n} wrong ${grade}`);
    const codes = [...new Set(all.flatMap(({ codes: c }) => c))].join(' ');
    return `${what.padEnd(36)} lost ${row.lost}  right ${row.total}  ${wrong.join(', ')}  ${codes}`;
  });
  process.stderr.write(`${title}\n${lines.join('\n')}\n`);
}

const lostOf = (all: Map<string, Judged[]>, what: string): number =>
  all.get(what)!.reduce((n, { lost }) => n + lost, 0);

const TABLES = Math.ceil(SECTORS / 65536);

test.skipIf(qemuAbsent !== undefined)('monolithicSparse', { timeout: 120_000 }, async () => {
  const made = await matrix('monolithicSparse', (seed) => {
    const truth = rawDisk(SIZE, seed);
    const files = converted(truth, 'monolithicSparse');
    return { files, name: 'd.vmdk', extent: 'd.vmdk', truth, damages: hostedDamages(TABLES, 21) };
  });
  const whole = ['header zeroed', 'GD zeroed', 'GD noise', 'RGD noise', 'GD and RGD zeroed', 'GTs zeroed', 'GTs noise'];
  for (const what of [...whole, 'RGTs noise', 'grain size halved', 'grain size doubled', 'capacity halved']) {
    expect(lostOf(made, what), what).toBe(0);
    expect(made.get(what)![0].wrong.inferred ?? 0, what).toBe(0);
  }
  for (const one of made.get('text mode')!) expect(one.codes).toContain('vmdk.newline');
});

test.skipIf(qemuAbsent !== undefined)('split extents with their descriptor', { timeout: 120_000 }, async () => {
  const made = await matrix('twoGbMaxExtentSparse', (seed) => {
    const truth = rawDisk(SIZE, seed);
    const files = converted(truth, 'twoGbMaxExtentSparse');
    return { files, name: 'd.vmdk', extent: 'd-s001.vmdk', truth, damages: hostedDamages(TABLES, 21) };
  });
  expect(lostOf(made, 'header zeroed')).toBe(0);
});

test('streams', { timeout: 120_000 }, async () => {
  const made = await matrix('streamOptimized', (seed) => {
    const truth = rawDisk(SIZE, seed);
    const { bytes, grains } = streamDisk(truth, 's.vmdk');
    return { files: { 's.vmdk': bytes }, name: 's.vmdk', extent: 's.vmdk', truth, damages: streamDamages(grains) };
  });
  for (const what of ['header zeroed', 'footer gone', 'footer noise', 'tail of tables zeroed']) {
    expect(lostOf(made, what), what).toBe(0);
  }
});

test.skipIf(qemuAbsent !== undefined)('a small disk without its header is not the text inside it', async () => {
  const truth = new Uint8Array(4 * MIB);
  truth.fill(0x5a, MIB, MIB + 100_000);
  const files = converted(truth, 'monolithicSparse');
  const bytes = files['d.vmdk'].slice();
  expect(bytes.length).toBeLessThan(MIB);
  bytes.fill(0, 0, 512);
  const judged = await judge(vmdk, { 'd.vmdk': bytes }, 'd.vmdk', truth);
  expect([judged.lost, lies(judged)]).toEqual([0, 0]);
  expect(judged.right.inferred).toBe(truth.length);
});

const text = (type: string, kind: string, file: string): Uint8Array =>
  Buffer.from(
    `# Disk DescriptorFile\nversion=1\nCID=00000002\nparentCID=ffffffff\ncreateType="${type}"\n# Extent description\nRW ${SECTORS} ${kind} "${file}"\n`,
  );
const patched = (patches: readonly { at: number; bytes: Uint8Array }[]): Uint8Array => {
  const out = new Uint8Array(SIZE);
  for (const { at, bytes } of patches) out.set(bytes.subarray(0, SIZE - at), at);
  return out;
};

test('COWD deltas', { timeout: 120_000 }, async () => {
  const slots = Math.ceil(SECTORS / 4096);
  await matrix('COWD', (seed) => {
    const { bytes, patches } = cowdDelta(SECTORS, seed);
    const files = { 'd.vmdk': text('vmfsSparse', 'VMFSSPARSE', 'd-delta.vmdk'), 'd-delta.vmdk': bytes };
    const tables = [...new Uint32Array(bytes.slice(2048, 2048 + slots * 4).buffer)].filter((v) => v > 0);
    const damages = deltaDamages(4, tables, 32, slots, 4);
    return { files, name: 'd.vmdk', extent: 'd-delta.vmdk', truth: patched(patches), damages };
  });
});

test('seSparse deltas', { timeout: 120_000 }, async () => {
  await matrix('seSparse', (seed) => {
    const { bytes, patches, directory, tables } = seDelta(SECTORS, seed);
    const files = { 'd.vmdk': text('seSparse', 'SESPARSE', 'd-sesparse.vmdk'), 'd-sesparse.vmdk': bytes };
    const places = [0, 1].map((i) => tables / 512 + i * 64);
    const damages = deltaDamages(directory / 512, places, 64, Math.ceil(SECTORS / 32768), 8);
    return { files, name: 'd.vmdk', extent: 'd-sesparse.vmdk', truth: patched(patches), damages };
  });
});
