/** States that qcow2 disks keep in themselves, written for libvirt, which takes them back (K12). */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build, salvor } from '../cli/salvor.ts';
import { missing } from '../make/check/peers.ts';

const noVirsh = spawnSync('which', ['virsh']).status === 0 ? undefined : 'virsh is not installed';
if (noVirsh !== undefined) console.log(`States are not given to libvirt: ${noVirsh}.`);
let dir = '';
beforeAll(() => {
  build();
  dir = fs.mkdtempSync(join(tmpdir(), 'salvor-states-'));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

const run = (...args: string[]): void => {
  const done = spawnSync('qemu-img', args, { encoding: 'utf8' });
  expect(done.status, done.stderr).toBe(0);
};

test.skipIf(missing('qemu-img') !== undefined)('states inside of a qcow2 become XML that libvirt takes', async () => {
  const disk = join(dir, 'db <1>.qcow2');
  run('create', '-q', '-f', 'qcow2', disk, '8M');
  run('snapshot', '-c', 'before & after', disk);
  run('snapshot', '-c', 's2', disk);
  const out = join(dir, 'out');
  const done = await salvor('recover', disk, '--target', 'kvm', '--out', out);
  expect(done.err).not.toContain('fault of the program');
  expect(done.out).toContain('keep states of their own ("before & after", "s2")');
  const names = fs.readdirSync(out).filter((name) => name.endsWith('.xml'));
  const [inPlace, one, two] = ['in-place', 'state-1', 'state-2'].map(
    (part) => names.find((name) => name.includes(part))!,
  );
  expect(fs.readFileSync(join(out, inPlace), 'utf8')).toContain("db &lt;1&gt;.qcow2'");
  if (noVirsh !== undefined) return;
  const name = /<name>(.*?)<\/name>/.exec(fs.readFileSync(join(out, inPlace), 'utf8'))![1];
  fs.renameSync(out, join(dir, 'o'));
  const at = (file: string): string => `"${join(dir, 'o', file)}"`;
  const domain = `"${name.replaceAll('&lt;', '<').replaceAll('&gt;', '>')}"`;
  const commands = [
    `define ${at(inPlace)}`,
    `snapshot-create ${domain} ${at(one)} --redefine`,
    `snapshot-create ${domain} ${at(two)} --redefine`,
    `snapshot-list ${domain} --tree`,
  ];
  const virsh = spawnSync('virsh', ['-c', 'test:///default', commands.join('; ')], { encoding: 'utf8' });
  expect(virsh.stdout + virsh.stderr).toMatch(/before & after\n\s*\|\n\s*\+- s2/);
  for (const file of [one, two]) {
    const valid = spawnSync('virt-xml-validate', [join(dir, 'o', file), 'domainsnapshot'], { encoding: 'utf8' });
    expect(valid.status, valid.stdout + valid.stderr).toBe(0);
  }
});
