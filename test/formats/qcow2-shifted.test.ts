/** Images with something in front of their header: the image begins where a header and its tables agree. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import { qcow2 } from '../../src/formats/disk/qcow2/index.ts';
import { seeded } from '../make/content.ts';
import { files, qemu, qemuAbsent } from '../make/disks.ts';
import { judge, lies } from './judged.ts';

const MIB = 1024 * 1024;

test.skipIf(qemuAbsent !== undefined).each([7, 512, 65_536])('%i bytes before it', async (length) => {
  const truth = new Uint8Array(16 * MIB);
  for (let at = MIB; at < truth.length; at += 3 * MIB) truth.set(seeded(at, MIB).read(0, MIB), at);
  const name = 'd.qcow2';
  const image = files((dir) => {
    const from = join(dir, 'raw');
    fs.writeFileSync(from, truth);
    qemu('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', from, join(dir, name)]);
    fs.rmSync(from);
  })[name];
  const bytes = new Uint8Array(length + image.length);
  bytes.set(seeded(length, length).read(0, length));
  bytes.set(image, length);
  const cx = { source: name, isKnown: false } as Parameters<typeof qcow2.probe>[1];
  expect(await qcow2.probe(new MemorySource(bytes), cx)).toBeGreaterThan(40);
  const judged = await judge(qcow2, { [name]: bytes }, name, truth);
  expect([judged.lost, lies(judged), judged.size]).toEqual([0, 0, truth.length]);
  expect(judged.right.inferred).toBe(truth.length);
  expect(judged.codes).toEqual(['qcow2.shifted']);
});
