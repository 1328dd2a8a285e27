/** plan and recover --target as they are typed. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build, json, salvor } from '../cli/salvor.ts';

let dir = '';
let folder = '';
beforeAll(() => {
  build();
  dir = mkdtempSync(join(tmpdir(), 'salvor-plan-'));
  folder = mkdtempSync(join(dir, 'vm-'));
  writeFileSync(join(folder, 'disk.img'), Buffer.alloc(2 ** 20, 7));
  const disk = (file: string, dev: string): string =>
    `<disk type='file' device='disk'><driver type='raw'/><source file='/srv/${file}'/><target dev='${dev}' bus='virtio'/></disk>`;
  const devices = `<devices>${disk('disk.img', 'vda')}</devices>`;
  writeFileSync(
    join(folder, 'web.xml'),
    `<domain type='kvm'><name>web</name><memory>1048576</memory>${devices}</domain>`,
  );
  const two = `<devices>${disk('disk.img', 'vda')}${disk('gone.img', 'vdb')}</devices>`;
  writeFileSync(join(folder, 'two.xml'), `<domain type='kvm'><name>two</name>${two}</domain>`);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Report {
  readonly machine: string;
  readonly model: { readonly memory: { readonly value: number; readonly certainty: string } };
  readonly targets: readonly { readonly target: string; readonly machine: { readonly storage: string } }[];
}

test('plan says what a machine would be on every platform, and writes nothing', async () => {
  const told = await json<Report>('plan', folder, '--vm', 'web');
  expect(told.model.memory).toMatchObject({ value: 2 ** 30, certainty: 'stated' });
  expect(told.targets.map(({ target, machine }) => [target, machine.storage])).toEqual([
    ['kvm', 'virtio'],
    ['virtualbox', 'sata'],
    ['vmware', 'sata'],
    ['proxmox', 'virtio'],
    ['ovf', 'sata'],
  ]);
  const one = await salvor('plan', folder, '--vm', 'WEB', '--target', 'proxmox');
  expect(one.code).toBe(0);
  expect(one.out).toContain('storage: virtio (as it was');
  expect(one.out).toContain('qm start 100');
  expect((await salvor('plan', folder, '--vm', 'nobody')).code).toBe(3);
  expect((await salvor('plan', folder)).err).toContain('There are 2');
});

test('a name from the evidence is one word of every command that people are told to run', async () => {
  const name = "a'; touch pwned; echo '$(id)";
  const own = mkdtempSync(join(dir, "it's-"));
  writeFileSync(join(own, 'disk.img'), Buffer.alloc(2 ** 20, 7));
  writeFileSync(
    join(own, 'x.xml'),
    `<domain type='kvm'><name>${name}</name><memory>1048576</memory><devices><disk type='file' device='disk'><driver type='raw'/><source file='/srv/disk.img'/><target dev='vda' bus='virtio'/></disk></devices></domain>`,
  );
  const told = await salvor('plan', own, '--target', 'kvm');
  const words = (line: string): string[] =>
    execFileSync('sh', ['-c', `printf '%s\\n' ${line}`], { encoding: 'utf8', cwd: own })
      .trimEnd()
      .split('\n');
  const next = /^Next: (.*)$/m.exec(told.out)![1];
  expect(words(next)).toEqual(['salvor', 'recover', 'SOURCE', '--vm', name, '--target', 'kvm', '--out', 'DIR']);
  const start = /virsh start --console (.*)\.$/m.exec(told.out)![1];
  expect(words(start)).toEqual([name]);
  const inspected = await salvor('inspect', own);
  expect(words(/^Next: (.*)$/m.exec(inspected.out)![1])).toContain(own);
  expect(existsSync(join(own, 'pwned'))).toBe(false);
});

test('recover --target does it; a disk that is not there is said; options about files are refused', async () => {
  const out = join(dir, 'out');
  const done = await salvor('recover', folder, '--vm', 'web', '--target', 'proxmox', '--out', out);
  expect([done.code, done.err]).toEqual([0, expect.not.stringContaining('fault')]);
  expect(readFileSync(join(out, '100.conf'), 'utf8')).toMatch(/^virtio0: local:100\/vm-100-disk-0\.qcow2,size=1M$/m);
  expect((await salvor('verify', out)).code).toBe(0);
  const lacking = await salvor('plan', folder, '--vm', 'two.xml');
  expect(lacking.code).toBe(1);
  expect(lacking.out).toContain('/srv/gone.img is named by');
  const wrong = await salvor('recover', folder, '--vm', 'web', '--target', 'kvm', '--deep', '--out', join(dir, 'no'));
  expect(wrong.code).toBe(2);
  expect(wrong.err).toContain('--deep is about files');
  for (const more of [['--choose', 'x'], ['--carve'], ['--carve-all'], ['--carve-any'], ['--no-mend']]) {
    const other = await salvor('recover', folder, '--vm', 'web', '--target', 'kvm', '--out', join(dir, 'no'), ...more);
    expect([other.code, other.err], more[0]).toEqual([2, expect.stringContaining('is about files')]);
  }
  expect(existsSync(join(dir, 'no'))).toBe(false);
});
