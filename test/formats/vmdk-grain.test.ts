/** Sparse disks of other grains than the usual one, without their header: the tables tell how large grains are. */
import { expect, test } from 'vitest';
import { vmdk } from '../../src/formats/disk/vmdk/index.ts';
import { seeded } from '../make/content.ts';
import { judge, lies } from './judged.ts';

const MIB = 1024 * 1024;
const PER_TABLE = 512;

/** Two directories with tables from sector 21 on, then grains, the last first; nothing in place of header and text. */
function headless(truth: Uint8Array, grain: number): Uint8Array {
  const bytes = grain * 512;
  const grains = truth.length / bytes;
  const tables = Math.ceil(grains / PER_TABLE);
  const room = Math.ceil(tables / 128) + tables * 4;
  const start = Math.ceil((21 + 2 * room) / grain) * grain;
  const used = Array.from({ length: grains }, (_, i) => i).filter((i) => truth[i * bytes] !== 0);
  const out = new Uint8Array((start + used.length * grain) * 512);
  const view = new DataView(out.buffer);
  for (const copy of [21, 21 + room]) {
    const first = copy + Math.ceil(tables / 128);
    for (let i = 0; i < tables; i++) view.setUint32(copy * 512 + i * 4, first + i * 4, true);
    for (const [n, i] of used.toReversed().entries()) view.setUint32(first * 512 + i * 4, start + n * grain, true);
  }
  for (const [n, i] of used.toReversed().entries())
    out.set(truth.subarray(i * bytes, (i + 1) * bytes), (start + n * grain) * 512);
  return out;
}

test.each([8, 16, 64, 128, 512])('grains of %i sectors', async (grain) => {
  const truth = new Uint8Array(32 * MIB);
  for (let at = 0; at < truth.length; at += 3 * MIB) {
    truth.set(seeded(at + 1, MIB).read(0, MIB), at);
    for (let i = 0; i < MIB; i += 4096) truth[at + i] |= 1;
  }
  const text = `# Disk DescriptorFile\nversion=1\nCID=00000002\nparentCID=ffffffff\ncreateType="monolithicSparse"\n# Extent description\nRW ${truth.length / 512} SPARSE "e.vmdk"\n`;
  const files = { 'd.vmdk': Buffer.from(text), 'e.vmdk': headless(truth, grain) };
  const judged = await judge(vmdk, files, 'd.vmdk', truth);
  expect([judged.lost, lies(judged), judged.wrong.inferred]).toEqual([0, 0, 0]);
  expect(judged.right.inferred).toBe(truth.length);
});
