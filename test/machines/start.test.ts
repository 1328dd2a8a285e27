/** A guest that really starts, from what was written for each platform: by libvirt itself, and from disks of VirtualBox and VMware. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UNKNOWN_GUEST } from '../../src/core/guest.ts';
import { hardDisks } from '../../src/core/machine.ts';
import { recoverMachine } from '../../src/export/index.ts';
import { machineWriters } from '../../src/formats/index.ts';
import { bootable, machinesIn } from '../../src/stack/bootable.ts';
import { Stack } from '../../src/stack/stack.ts';
import { missing } from '../make/check/peers.ts';
import { guestImage, guestParts } from '../make/guest.ts';

const LINE = 'the line on the disk of this machine';
const TIMEOUT = 110_000;
const NOBODY = 65_534;
const absent = missing('qemu-system-x86_64') ?? missing('qemu-img');
const parts = absent === undefined ? guestParts() : absent;
const root = typeof parts === 'string' ? '' : parts.root;
const noLibvirt = spawnSync('which', ['virt-qemu-run']).status === 0 ? undefined : 'virt-qemu-run is not installed';
if (typeof parts === 'string') console.log(`No guest is started: ${parts}.`);
if (noLibvirt !== undefined) console.log(`libvirt starts nothing here: ${noLibvirt}.`);
let dir = '';
let folder = '';

beforeAll(() => {
  dir = fs.mkdtempSync(join(tmpdir(), 'salvor-start-'));
  fs.chmodSync(dir, 0o755);
  folder = join(dir, 'web01');
  fs.mkdirSync(folder);
  if (root === '') return;
  const guest = guestImage(root, LINE);
  const raw = join(dir, 'guest.img');
  const fd = fs.openSync(raw, 'wx');
  fs.ftruncateSync(fd, guest.size);
  for (const { at, bytes } of guest.pieces) fs.writeSync(fd, bytes, 0, bytes.length, at);
  fs.closeSync(fd);
  const done = spawnSync('qemu-img', ['convert', '-O', 'vmdk', raw, join(folder, 'web01.vmdk')], { encoding: 'utf8' });
  expect(done.status, done.stderr).toBe(0);
  const vmx = [
    'config.version = "8"',
    'displayName = "web01"',
    'guestOS = "other5xlinux-64"',
    'memSize = "384"',
    'ide0:0.present = "TRUE"',
    'ide0:0.fileName = "web01.vmdk"',
    'ethernet0.present = "TRUE"',
    'ethernet0.virtualDev = "e1000"',
  ];
  fs.writeFileSync(join(folder, 'web01.vmx'), vmx.join('\n'));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

async function recovered(target: string): Promise<string> {
  const out = join(dir, target);
  const stack = new Stack([folder]);
  const [machine] = await machinesIn(stack, undefined);
  const writer = machineWriters.find(({ platform }) => platform.target === target)!;
  const { signal } = new AbortController();
  await recoverMachine(stack, await bootable(stack, machine), {
    out,
    writer,
    guest: UNKNOWN_GUEST,
    command: ['test'],
    signal,
  });
  stack.close();
  return out;
}

/** Waits for the prompt in what `serial` gives, and ends the program. */
async function prompt(child: ChildProcess, serial: () => string): Promise<string> {
  let errors = '';
  child.stderr?.on('data', (bytes: Buffer) => (errors += bytes.toString()));
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()));
  const isOver = { value: false };
  void ended.then(() => (isOver.value = true));
  for (let waited = 0; waited < TIMEOUT && !isOver.value && !serial().includes('salvor login:'); waited += 100)
    await new Promise((resolve) => setTimeout(resolve, 100));
  child.kill();
  await ended;
  const said = serial();
  expect(said, errors).toContain('salvor login:');
  return said;
}

describe.runIf(root !== '')('started from what was written', () => {
  test.skipIf(noLibvirt !== undefined)('by libvirt, from its XML', async () => {
    const out = await recovered('kvm');
    const state = join(dir, 'libvirt');
    const log = join(state, 'serial.log');
    fs.mkdirSync(state);
    fs.writeFileSync(log, '');
    // The serial line goes where the test can read it; emulated, and without a network, it starts on every host.
    const xml = fs
      .readFileSync(join(out, 'web01.xml'), 'utf8')
      .replace("<serial type='pty'>", `<serial type='file'><source path='${log}'/>`)
      .replace(/<interface [\s\S]*?<\/interface>/, '')
      .replace("<domain type='kvm'>", "<domain type='qemu'>")
      .replace("mode='host-model'", "mode='maximum'");
    expect(xml).toMatch(/type='qemu'[\s\S]*maximum[\s\S]*serial\.log/);
    const file = join(state, 'web01.xml');
    fs.writeFileSync(file, xml);
    const isRoot = process.getuid?.() === 0;
    if (isRoot) for (const one of [out, join(out, 'web01-disk0.qcow2'), log, state]) fs.chownSync(one, NOBODY, NOBODY);
    const run = ['virt-qemu-run', `--root=${join(state, 'root')}`, file];
    const as = ['--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups'];
    const [command, ...args] = isRoot ? ['setpriv', ...as, ...run] : run;
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: state, XDG_RUNTIME_DIR: state };
    const child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    const said = await prompt(child, () => fs.readFileSync(log, 'latin1'));
    expect(said).toContain(`/dev/sda says: ${LINE}`);
    expect(said).toContain('salvor-guest: writes fine');
  });

  test.each([
    ['virtualbox', 'vdi'],
    ['vmware', 'vmdk'],
    ['ovf', 'vmdk'],
  ])('from the disk that was written for %s, in qemu', async (target, format) => {
    const out = await recovered(target);
    const stack = new Stack([out], { only: true });
    const [{ model, disks }] = await machinesIn(stack, undefined);
    const [{ bus }] = hardDisks(model);
    expect(bus).toBe('ide');
    const file = disks[0].chain[0].locator;
    stack.close();
    const drive = `if=none,id=d,format=${format},snapshot=on,file=${file.replaceAll(',', ',,')}`;
    const args = ['-machine', 'pc,accel=tcg', '-m', '384', '-nodefaults', '-display', 'none', '-serial', 'stdio'];
    const child = spawn('qemu-system-x86_64', [...args, '-drive', drive, '-device', 'ide-hd,drive=d'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let serial = '';
    child.stdout.on('data', (bytes: Buffer) => (serial += bytes.toString('latin1')));
    expect(await prompt(child, () => serial)).toContain(`/dev/sda says: ${LINE}`);
  });
});
