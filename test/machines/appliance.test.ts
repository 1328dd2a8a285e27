/** Appliances as folders and as one archive: in the order that importers want, with hashes that agree. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UNKNOWN_GUEST } from '../../src/core/guest.ts';
import { ExportError, recoverMachine, verify } from '../../src/export/index.ts';
import { machineWriters } from '../../src/formats/index.ts';
import { bootable, machinesIn } from '../../src/stack/bootable.ts';
import { Stack } from '../../src/stack/stack.ts';
import { build, salvor } from '../cli/salvor.ts';
import { missing } from '../make/check/peers.ts';
import { seeded } from '../make/content.ts';

const absent = missing('qemu-img');
const NAMES = ['web 01.ovf', 'web 01.mf', 'web 01-disk0.vmdk', 'web 01-disk1.vmdk'];
let dir = '';
let folder = '';

beforeAll(() => {
  build();
  dir = fs.mkdtempSync(join(tmpdir(), 'salvor-appliance-'));
  folder = join(dir, 'vm');
  fs.mkdirSync(folder);
  if (absent !== undefined) return;
  run(folder, 'qemu-img', 'create', '-q', '-f', 'vmdk', 'a.vmdk', '8M');
  run(folder, 'qemu-io', '-f', 'vmdk', '-c', 'write -P 65 0 2M', '-c', 'write -P 66 7M 64k', 'a.vmdk');
  run(folder, 'qemu-img', 'create', '-q', '-f', 'vmdk', 'b.vmdk', '4M');
  const vmx = ['config.version = "8"', 'displayName = "web 01"', 'guestOS = "debian12-64"', 'memSize = "1024"'];
  const disks = ['scsi0.virtualDev = "lsilogic"', 'scsi0:0.fileName = "a.vmdk"', 'scsi0:1.fileName = "b.vmdk"'];
  fs.writeFileSync(join(folder, 'web01.vmx'), [...vmx, ...disks].join('\n'));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

function run(cwd: string, command: string, ...args: string[]): string {
  const done = spawnSync(command, args, { cwd, encoding: 'utf8' });
  expect(done.status, `${command} ${args.join(' ')}: ${done.stderr}`).toBe(0);
  return done.stdout;
}

async function recovered(out: string, archive: boolean, target = 'ovf', signal = new AbortController().signal) {
  const stack = new Stack([folder]);
  try {
    const [machine] = await machinesIn(stack, undefined);
    const writer = machineWriters.find(({ platform }) => platform.target === target)!;
    const options = { out, writer, guest: UNKNOWN_GUEST, archive, command: ['test'], signal };
    return await recoverMachine(stack, await bootable(stack, machine), options);
  } finally {
    stack.close();
  }
}

function hashesAgree(at: string): void {
  const lines = fs.readFileSync(join(at, 'web 01.mf'), 'utf8').trim().split('\n');
  expect(lines).toHaveLength(3);
  for (const line of lines) {
    const [, name, hash] = /^SHA256\((.+)\)= ([0-9a-f]{64})$/.exec(line)!;
    expect(
      createHash('sha256')
        .update(fs.readFileSync(join(at, name)))
        .digest('hex'),
    ).toBe(hash);
  }
}

const same = (from: string, to: string): string =>
  run(folder, 'qemu-img', 'compare', '-f', 'vmdk', '-F', 'vmdk', from, to);

describe.skipIf(absent !== undefined)('appliances', () => {
  test('a folder has the hashes of its files beside the description', async () => {
    const out = join(dir, 'folder');
    const { manifest } = await recovered(out, false);
    hashesAgree(out);
    for (const { path, sha256 } of manifest.files.filter(({ path: name }) => name.endsWith('.vmdk')))
      expect(sha256).toBe(
        createHash('sha256')
          .update(fs.readFileSync(join(out, path)))
          .digest('hex'),
      );
    expect((await salvor('check', join(out, 'web 01.ovf'))).code).toBe(0);
    same('a.vmdk', join(out, 'web 01-disk0.vmdk'));
    expect((await verify(out, { signal: new AbortController().signal })).differences).toEqual([]);
  });

  test('one archive: description first, then hashes and disks; tar and qemu-img read it, check compares it', async () => {
    const out = join(dir, 'archive');
    const { manifest } = await recovered(out, true);
    const ova = join(out, 'web 01.ova');
    expect(run(out, 'tar', 'tf', ova).trim().split('\n')).toEqual(NAMES);
    expect(fs.readdirSync(out).sort()).toEqual(['.salvor', 'manifest.json', 'web 01.ova']);
    const unpacked = join(dir, 'unpacked');
    fs.mkdirSync(unpacked);
    run(unpacked, 'tar', 'xf', ova);
    hashesAgree(unpacked);
    same('a.vmdk', join(unpacked, 'web 01-disk0.vmdk'));
    same('b.vmdk', join(unpacked, 'web 01-disk1.vmdk'));
    // qemu reads the disk where it lies in the archive.
    const { size } = fs.statSync(join(unpacked, 'web 01-disk0.vmdk'));
    const at = fs.readFileSync(ova).indexOf(fs.readFileSync(join(unpacked, 'web 01-disk0.vmdk')));
    const raw = { driver: 'raw', offset: at, size, file: { driver: 'file', filename: ova } };
    expect(run(out, 'qemu-img', 'info', `json:${JSON.stringify({ driver: 'vmdk', file: raw })}`)).toContain('8 MiB');
    const { code, out: said } = await salvor('check', ova);
    expect(said).toContain('OVF appliance, nothing wrong was found');
    expect(code).toBe(0);
    const [entry] = manifest.files;
    expect(Object.values(entry.certainty.bytes).reduce((sum, one) => sum + one, 0)).toBe(entry.size);
    expect((await verify(out, { signal: new AbortController().signal })).differences).toEqual([]);
    expect((await recovered(out, true)).manifest.files).toEqual(manifest.files);
    const bytes = fs.readFileSync(ova);
    bytes[at + 65_600] ^= 1;
    fs.writeFileSync(join(dir, 'bad.ova'), bytes);
    const bad = await salvor('check', join(dir, 'bad.ova'));
    expect(bad.code).toBe(1);
    expect(bad.out).toContain('web 01-disk0.vmdk');
  });

  test('an archive that was stopped is made again; what is there is never overwritten', async () => {
    const out = join(dir, 'stopped');
    await recovered(out, true);
    const journal = join(out, '.salvor', 'journal.ndjson');
    const lines = fs.readFileSync(journal, 'utf8').trim().split('\n');
    // As if the run had ended while it packed.
    fs.writeFileSync(
      journal,
      `${lines
        .slice(
          0,
          lines.findIndex((one) => one.includes('"done"') && one.includes('.ova"')),
        )
        .join('\n')}\n`,
    );
    fs.rmSync(join(out, 'manifest.json'));
    fs.truncateSync(join(out, 'web 01.ova'), 4096);
    await recovered(out, true);
    expect(run(out, 'tar', 'tf', 'web 01.ova').trim().split('\n')).toEqual(NAMES);
    const taken = join(dir, 'taken');
    fs.mkdirSync(taken);
    fs.writeFileSync(join(taken, 'web 01.mf'), 'mine');
    await expect(recovered(taken, true)).rejects.toThrow(/is there already/);
    expect(fs.readdirSync(taken)).toEqual(['web 01.mf']);
    await expect(recovered(join(dir, 'kvm'), true, 'kvm')).rejects.toThrow(ExportError);
  });
});

test.skipIf(absent !== undefined)(
  'an archive whose texts come last, with its disk in pieces and packed as a whole',
  async () => {
    const out = join(dir, 'pieces');
    await recovered(out, false);
    fs.writeFileSync(join(out, 'raw'), seeded(9, 2 ** 20).read(0, 2 ** 20));
    fs.rmSync(join(out, 'web 01-disk0.vmdk'));
    const stream = ['-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized'];
    run(out, 'qemu-img', 'convert', ...stream, 'raw', 'web 01-disk0.vmdk');
    run(out, 'split', '-d', '-a', '9', '-b', '262144', 'web 01-disk0.vmdk', 'web 01-disk0.vmdk.');
    fs.rmSync(join(out, 'web 01-disk0.vmdk'));
    run(out, 'gzip', 'web 01-disk1.vmdk');
    const text = fs.readFileSync(join(out, 'web 01.ovf'), 'utf8').replaceAll('disk1.vmdk', 'disk1.vmdk.gz');
    fs.writeFileSync(join(out, 'web 01.ovf'), text);
    const pieces = fs.readdirSync(out).filter((name) => /\.\d{9}$/.test(name));
    expect(pieces.length).toBeGreaterThan(1);
    run(out, 'tar', '-cf', join(dir, 'pieces.ova'), ...pieces, 'web 01-disk1.vmdk.gz', 'web 01.ovf');
    const stack = new Stack([join(dir, 'pieces.ova')]);
    const [machine] = await machinesIn(stack, undefined);
    const { disks, lost } = await bootable(stack, machine);
    stack.close();
    expect(disks.map(({ source }) => source.size)).toEqual([2 ** 20]);
    expect(lost).toEqual([expect.stringContaining('web 01-disk1.vmdk.gz is packed as a whole; unpack it first')]);
  },
);

test.skipIf(absent !== undefined)('a map that somebody put beside the disks is never taken away', async () => {
  const out = join(dir, 'mapped');
  fs.mkdirSync(out);
  fs.writeFileSync(join(out, 'web 01-disk1.qcow2.map'), 'mine');
  for (let run = 0; run < 2; run++) await expect(recovered(out, false, 'kvm')).rejects.toThrow(/is there already/);
  expect(fs.readdirSync(out)).toEqual(['web 01-disk1.qcow2.map']);
});
