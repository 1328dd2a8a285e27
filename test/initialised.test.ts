/** A disk without partitions that Windows "initialised": a GPT and a reserved partition over the start of an ext4. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { flatten } from '../src/core/resolve.ts';
import { RunList, STATED } from '../src/core/run.ts';
import { home } from '../src/stack/home.ts';
import { Stack } from '../src/stack/stack.ts';
import { sha256, whole } from './formats/volumes.ts';
import { qemu, qemuAbsent } from './make/disks.ts';
import { ext2progsAbsent, makeExt, sampleEntries, writeEntries } from './make/ext.ts';

const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-initialised-'));
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const noSgdisk = spawnSync('sgdisk', ['--version'], { env: { ...process.env, PATH } }).status !== 0;
const MSR = '0C01';

test.skipIf(qemuAbsent !== undefined || ext2progsAbsent !== undefined || noSgdisk)(
  'its files are there again, inferred (case H4)',
  async () => {
    const entries = sampleEntries(6, 5);
    writeEntries(join(dir, 'from'), entries);
    const raw = join(dir, 'raw');
    makeExt(raw, '200M', join(dir, 'from'), ['-t', 'ext4']);
    const done = spawnSync('sgdisk', ['-o', '-n', '1:34:+16M', '-t', `1:${MSR}`, raw], {
      env: { ...process.env, PATH },
    });
    expect(done.status).toBe(0);
    const file = join(dir, 'ext4.vhdx');
    qemu('qemu-img', ['convert', '-f', 'raw', '-O', 'vhdx', raw, file]);
    const stack = new Stack([file], { only: true });
    const volume = await home(stack);
    expect(volume.kind).toBe('filesystem');
    const node = await stack.child(volume, 'large');
    const source = await node!.bytes!();
    expect(sha256(await whole(source))).toBe(sha256(entries.find(({ path }) => path === 'large')!.bytes!));
    const list = new RunList();
    await flatten(source, 0, source.size, list);
    for (let i = 0; i < list.n; i++) expect(list.certainty(i)).toBeLessThan(STATED);
    stack.close();
  },
);
