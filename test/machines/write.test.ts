/** Machines written for platforms: read again they are the same, libvirt's schema takes them, and disks are whole. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GuestFacts, STORAGE_KINDS, type StorageKind, UNKNOWN_GUEST } from '../../src/core/guest.ts';
import { inferred, type MachineModel, scsiOf, stated, unknownMachine } from '../../src/core/machine.ts';
import type { MachineWriter, TargetMachine } from '../../src/core/machine-writer.ts';
import { ExportError, recoverMachine, verify } from '../../src/export/index.ts';
import { decide, machineWriters } from '../../src/formats/index.ts';
import { bootable, machinesIn } from '../../src/stack/bootable.ts';
import { Stack } from '../../src/stack/stack.ts';
import { missing } from '../make/check/peers.ts';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'salvor-write-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const writerOf = (target: string): MachineWriter => machineWriters.find(({ platform }) => platform.target === target)!;
const noValidate =
  spawnSync('which', ['virt-xml-validate']).status === 0 ? undefined : 'virt-xml-validate is not installed';

/** A machine with a name that tries to get out of every text. */
function source(kind: StorageKind, more: Partial<MachineModel> = {}): MachineModel {
  const isScsi = scsiOf(kind) !== undefined || kind === 'lsisas';
  const bus = isScsi ? 'scsi' : (kind as 'ide');
  const model = isScsi ? { model: stated(kind as 'pvscsi', 'scsi0.virtualDev') } : {};
  return {
    ...unknownMachine(),
    platform: 'VMware',
    name: stated('wéb & <01> "x" --\'y\'', 'displayName'),
    uuid: stated('564d123456789abcdef0123456789abc', 'uuid.bios'),
    firmware: stated('bios', 'firmware'),
    processors: stated(4, 'numvcpus'),
    coresPerSocket: stated(2, 'cpuid.coresPerSocket'),
    memory: stated(3 * 2 ** 30, 'memSize'),
    guest: stated('debian12-64', 'guestOS'),
    family: inferred('linux', 'guestOS'),
    controllers: [{ bus, number: 0, word: kind, from: 'x', ...model }],
    disks: [
      { slot: `${bus}0:0`, device: 'disk', bus, controller: 0, unit: 0, file: 'a.vmdk', chain: [], from: 'x' },
      { slot: 'sata0:0', device: 'cdrom', bus: 'sata', controller: 0, unit: 0, file: '', chain: [], from: 'x' },
    ],
    cards: [
      {
        number: 0,
        word: 'e1000',
        model: stated('e1000', 'x'),
        mac: stated('00:50:56:11:22:33', 'x'),
        link: 'bridge',
        from: 'x',
      },
      {
        number: 1,
        word: 'vmxnet3',
        model: stated('vmxnet3', 'x'),
        mac: stated('00:50:56:11:22:34', 'x'),
        link: 'bridge',
        from: 'x',
      },
    ],
    ...more,
  };
}

const sizes = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ said: undefined, size: (i + 1) * 2 ** 30, file: '' }));

function decided(
  writer: MachineWriter,
  model: MachineModel,
  count: number,
  guest: GuestFacts = UNKNOWN_GUEST,
): TargetMachine {
  const names = writer.names('web01', count, 123);
  const disks = sizes(count).map((disk, i) => ({
    ...disk,
    said: i === 0 ? model.disks[0] : undefined,
    file: names[i],
  }));
  return decide(writer.platform, model, guest, disks, { name: model.name.value, stem: 'web01' });
}

async function readAgain(writer: MachineWriter, machine: TargetMachine): Promise<MachineModel> {
  const folder = mkdtempSync(join(dir, 'again-'));
  const [first] = writer.write(machine, folder, 123);
  writeFileSync(join(folder, first.name), first.text);
  const stack = new Stack([join(folder, first.name)]);
  const node = await stack.inside(stack.roots[0]);
  expect(node?.damage, first.text).toEqual([]);
  expect(node?.machines, first.text).toHaveLength(1);
  return node!.machines![0];
}

const drivers = (...kinds: StorageKind[]): GuestFacts => ({ drivers: inferred(kinds, 'a test'), notes: [] });
const base = (file: string): string => file.split('/').pop()!;

describe.each(machineWriters.map((writer) => [writer.platform.target, writer] as const))('%s', (target, writer) => {
  test.each(writer.platform.storage)('what is written on %s is read as the same machine', async (kind) => {
    for (const firmware of ['bios', 'efi'] as const) {
      for (const count of writer.platform.room[kind]!.units < 3 ? [1] : [1, 3]) {
        const machine = decided(writer, source(kind, { firmware: stated(firmware, 'firmware') }), count, drivers(kind));
        expect(machine.storage).toBe(kind);
        const model = await readAgain(writer, machine);
        const name = target === 'proxmox' ? 'w-b-01-x----y' : machine.name;
        expect(model).toMatchObject({
          name: { value: name },
          uuid: { value: '564d123456789abcdef0123456789abc' },
          firmware: { value: firmware },
          processors: { value: 4 },
          memory: { value: 3 * 2 ** 30 },
        });
        const disks = model.disks.filter(({ device }) => device === 'disk');
        expect(disks.map(({ file }) => base(file))).toEqual(machine.disks.map(({ file }) => file));
        expect(new Set(disks.map(({ bus, controller, unit }) => `${bus}${controller}:${unit}`)).size).toBe(count);
        for (const { bus, controller } of disks) {
          const scsi = model.controllers.find((one) => one.bus === bus && one.number === controller)?.model?.value;
          expect(scsi ?? bus).toBe(kind);
        }
        expect(model.disks.filter(({ device }) => device === 'cdrom')).toHaveLength(1);
        expect(model.cards.map(({ mac }) => mac?.value)).toEqual(['00:50:56:11:22:33', '00:50:56:11:22:34']);
        expect(model.cards.map(({ model: card }) => card?.value)).toEqual(machine.cards.map(({ model: card }) => card));
      }
    }
  });

  test('a name that tries to get out of the text stays in it', async () => {
    const name = 'a\nb" |0A --> <!-- $x `id` \u202e $(id)';
    const model = await readAgain(writer, decided(writer, source('ide', { name: stated(name, 'x') }), 1));
    expect(model.disks.filter(({ device }) => device === 'disk')).toHaveLength(1);
    expect(model.memory?.value).toBe(3 * 2 ** 30);
  });

  test('a guest whose drivers are known gets a bus that it drives, else SATA', () => {
    for (const kind of STORAGE_KINDS) {
      const { storage } = decided(writer, source('lsilogic'), 1, drivers(kind));
      expect(storage).toBe(writer.platform.storage.includes(kind) ? kind : 'sata');
    }
    const xp = source('buslogic', { guest: stated('winxppro', 'guestOS') });
    expect(['ide', 'buslogic']).toContain(decided(writer, xp, 1).storage);
  });

  test('what the platform refuses is not written, and it is said what was left out', async () => {
    const card = source('ide').cards[0];
    const mac = (i: number): string => `00:50:56:00:00:${String(i).padStart(2, '0')}`;
    const cards = Array.from({ length: 40 }, (_, i) => ({
      ...card,
      number: i,
      mac: stated(i === 1 ? '01:00:5e:00:00:01' : mac(i), 'x'),
    }));
    const machine = decided(writer, source('ide', { cards, processors: stated(512, 'x') }), 1);
    const { processors, cards: most } = writer.platform.most;
    const model = await readAgain(writer, machine);
    expect([model.processors?.value, model.cards.length]).toEqual([processors, most]);
    expect(model.cards.slice(0, 3).map((one) => one.mac?.value)).toEqual([mac(0), undefined, mac(2)]);
    const reasons = machine.decisions.map(({ what, value, reason }) => `${what}: ${value} (${reason})`).join('\n');
    expect(reasons).toContain(`the last ${40 - most} of 40`);
    expect(reasons).toContain(`of the 512 that it had: ${writer.platform.title} refuses more`);
    expect(reasons).toContain('01:00:5e:00:00:01 is none that one card can have');
  });

  test('more disks than fit are refused in a sentence, not dropped', () => {
    expect(() => decided(writer, source('ide'), 400, drivers('ide'))).toThrow(/has no place for 400 disks/);
    expect(decided(writer, source('ide'), 4, drivers('ide')).storage).toBe('sata');
  });
});

test.skipIf(noValidate !== undefined)("libvirt's own schema takes what is written", () => {
  const writer = writerOf('kvm');
  for (const [i, kind] of writer.platform.storage.entries()) {
    const more: Partial<MachineModel> = {
      secureBoot: stated(true, 'x'),
      tpm: stated('2.0', 'x'),
      firmware: stated(i % 2 === 0 ? 'efi' : 'bios', 'x'),
      family: stated(i % 3 === 0 ? 'windows' : 'linux', 'x'),
    };
    const machine = decided(writer, source(kind, more), kind === 'lsisas' ? 3 : 1 + i, drivers(kind));
    const file = join(dir, `${kind}.xml`);
    writeFileSync(file, writer.write(machine, '/srv/a & b', 1)[0].text);
    const done = spawnSync('virt-xml-validate', [file, 'domain'], { encoding: 'utf8' });
    expect(done.status, done.stdout + done.stderr).toBe(0);
  }
});

const noQemu = missing('qemu-img');
const VMX = [
  'config.version = "8"',
  'virtualHW.version = "14"',
  'displayName = "web01"',
  'guestOS = "debian12-64"',
  'memSize = "1024"',
  'scsi0.virtualDev = "pvscsi"',
  'scsi0:0.fileName = "web01-000001.vmdk"',
];
const DATA = 'scsi0:1.fileName = "data.vmdk"';

/** A folder with a machine: one disk with a snapshot, and one that is empty, should it have two. */
function machineFolder(vmx: readonly string[] = VMX): string {
  const folder = mkdtempSync(join(dir, 'vm-'));
  const run = (command: string, ...args: string[]): void => {
    const done = spawnSync(command, args, { cwd: folder, encoding: 'utf8' });
    expect(done.status, done.stderr).toBe(0);
  };
  run('qemu-img', 'create', '-q', '-f', 'vmdk', 'web01.vmdk', '8M');
  run('qemu-io', '-f', 'vmdk', '-c', 'write -P 65 0 2M', 'web01.vmdk');
  run('qemu-img', 'create', '-q', '-f', 'vmdk', '-b', 'web01.vmdk', '-F', 'vmdk', 'web01-000001.vmdk');
  run('qemu-io', '-f', 'vmdk', '-c', 'write -P 66 1M 64k', 'web01-000001.vmdk');
  run('qemu-img', 'create', '-q', '-f', 'vmdk', 'data.vmdk', '8M');
  writeFileSync(join(folder, 'web01.vmx'), vmx.join('\n'));
  return folder;
}

async function recovered(folder: string, out: string, target: string, signal = new AbortController().signal) {
  const stack = new Stack([folder]);
  try {
    const [machine] = await machinesIn(stack, undefined);
    const options = { out, writer: writerOf(target), guest: UNKNOWN_GUEST, command: ['test'], signal };
    return await recoverMachine(stack, await bootable(stack, machine), options);
  } finally {
    stack.close();
  }
}

describe.skipIf(noQemu !== undefined)('recover for a platform', () => {
  test.each([
    ['virtualbox', 'vdi', 'web01-disk0.vdi'],
    ['vmware', 'vmdk', 'web01-disk0.vmdk'],
    ['proxmox', 'qcow2', 'vm-100-disk-0.qcow2'],
    ['ovf', 'vmdk', 'web01-disk0.vmdk'],
  ])('%s: disks are whole, the chain joined, and the configuration finds them', async (target, format, file) => {
    // Two empty disks of one size are where identities could be the same.
    const count = target === 'virtualbox' ? 2 : 1;
    const folder = machineFolder(count === 2 ? [...VMX, DATA] : VMX);
    const out = join(dir, `out-${target}`);
    const { manifest } = await recovered(folder, out, target);
    const same = spawnSync('qemu-img', [
      'compare',
      '-f',
      'vmdk',
      '-F',
      format,
      join(folder, 'web01-000001.vmdk'),
      join(out, file),
    ]);
    expect(same.status, String(same.stderr)).toBe(0);
    const checked = await verify(out, { signal: new AbortController().signal });
    expect(checked.differences).toEqual([]);
    expect(manifest.machines[0].disks).toHaveLength(count);
    // Read as a machine again, its disks are found beside it, and no two say the same of themselves.
    const stack = new Stack([out]);
    const [again] = await machinesIn(stack, undefined);
    expect(again.disks.map(({ chain, broken }) => [chain.length, broken])).toEqual(
      Array.from({ length: count }, () => [1, undefined]),
    );
    const identities = await Promise.all(
      again.disks.map(async ({ chain }) => (await stack.inside(chain[0]))?.identities?.[0]),
    );
    if (target === 'virtualbox') {
      expect(new Set(identities).size).toBe(2);
      expect(again.model.disks.map(({ identity }) => identity)).toEqual(
        identities.map((one) => `uuid:${one!.slice(5).replaceAll('-', '')}`),
      );
    }
    stack.close();
    // The same again is known to be done, and anything else is refused.
    expect((await recovered(folder, out, target)).manifest.files).toEqual(manifest.files);
    await expect(recovered(folder, out, target === 'kvm' ? 'vmware' : 'kvm')).rejects.toThrow(/holds another run/);
  });

  test('what was stopped goes on, and nothing that is there is overwritten', async () => {
    const folder = machineFolder([...VMX, DATA]);
    const out = join(dir, 'stopped');
    const stop = new AbortController();
    stop.abort();
    await expect(recovered(folder, out, 'vmware', stop.signal)).rejects.toThrow(ExportError);
    const { manifest } = await recovered(folder, out, 'vmware');
    // As if the run had ended before the second disk was noted: what lies under its name is this program's own.
    const journal = join(out, '.salvor', 'journal.ndjson');
    const lines = readFileSync(journal, 'utf8').trim().split('\n');
    const at = lines.findIndex((line) => line.includes('"done"') && line.includes('disk1'));
    writeFileSync(journal, `${lines.slice(0, at).join('\n')}\n`);
    rmSync(join(out, 'manifest.json'));
    rmSync(join(out, 'web01.vmx'));
    const again = await recovered(folder, out, 'vmware');
    expect(again.manifest.files).toEqual(manifest.files);
    // A run that ended answers only while its files are there.
    const part = join(out, 'web01-disk0-flat.vmdk');
    renameSync(part, `${part}.away`);
    await expect(recovered(folder, out, 'vmware')).rejects.toThrow(/was finished, but 1 of its files changed/);
    // One that did not: a disk of which a part is gone is written again, one that was used since is left alone.
    rmSync(join(out, 'manifest.json'));
    expect((await recovered(folder, out, 'vmware')).manifest.files).toEqual(manifest.files);
    expect(readFileSync(part).equals(readFileSync(`${part}.away`))).toBe(true);
    rmSync(join(out, 'manifest.json'));
    const flat = statSync(part).ino;
    expect((await recovered(folder, out, 'vmware')).manifest.files).toEqual(manifest.files);
    expect(statSync(part).ino).toBe(flat);
    rmSync(join(out, 'manifest.json'));
    writeFileSync(part, 'used', { flag: 'r+' });
    await expect(recovered(folder, out, 'vmware')).rejects.toThrow(/was finished, and changed since/);
    expect(readFileSync(part, 'latin1').startsWith('used')).toBe(true);
    const taken = join(dir, 'taken');
    mkdirSync(taken);
    writeFileSync(join(taken, 'web01-disk0-flat.vmdk'), 'mine');
    await expect(recovered(folder, taken, 'vmware')).rejects.toThrow(/is there already/);
    expect(readdirSync(taken)).toEqual(['web01-disk0-flat.vmdk']);
    await expect(recovered(folder, join(folder, 'inside'), 'kvm')).rejects.toThrow(/evidence/);
    expect(existsSync(join(folder, 'inside'))).toBe(false);
  });

  test('a disk that is missing is said, and one that is not whole is not stated', async () => {
    const folder = machineFolder([...VMX, 'scsi0:2.fileName = "gone.vmdk"']);
    rmSync(join(folder, 'web01.vmdk'));
    const { manifest, plan } = await recovered(folder, join(dir, 'broken'), 'kvm');
    expect(plan.machine.lost.join()).toContain('gone.vmdk');
    const disk = manifest.files.find(({ path }) => path === 'web01-disk0.qcow2')!;
    expect(disk.certainty.worst).toBe('missing');
    expect(manifest.files.map(({ path }) => path)).toContain('web01-disk0.qcow2.map');
  });
});
