/** Machines started from evidence: a Linux on a thin disk with a snapshot, on a datastore that nothing shows any more. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accelerator } from '../src/serve/boot/accelerator.ts';
import { hostOf } from '../src/serve/boot/host.ts';
import { build, json, LAUNCHER, salvor } from './cli/salvor.ts';
import { missing } from './make/check/peers.ts';
import { deleteFile } from './make/damage.ts';
import { efiGuest, efiParts, type GuestImage, guestImage, guestParts } from './make/guest.ts';
import { writeImages } from './make/images.ts';
import { cowdOf } from './make/machine/cowd.ts';
import { machine } from './make/machines.ts';
import type { Content, Made } from './make/types.ts';
import type { EntrySpec, Range } from './make/vmfs/spec.ts';
import { makeVmfs6 } from './make/vmfs.ts';

const MIB = 2 ** 20;
const OLD = 'this is what stood here before the snapshot';
const NEW = 'only the snapshot knows this line';
const absent = missing('qemu-system-x86_64') ?? missing('qemu-img');
const parts = absent === undefined ? guestParts() : absent;
const root = typeof parts === 'string' ? '' : parts.root;
const before = tmpdir();
let dir = '';
let image = '';
let made: Made;

beforeAll(async () => {
  build();
  dir = fs.mkdtempSync(join(tmpdir(), 'salvor-boot-'));
  // What runs leave behind is looked for where no other test leaves anything.
  process.env.TMPDIR = join(dir, 'tmp');
  fs.mkdirSync(process.env.TMPDIR);
  if (root === '') return;
  made = datastore(guestImage(root, OLD));
  [image] = await writeImages(made, dir);
  const changes = deleteFile(made, '/web01/web01.vmx', 'C', { journal: false });
  const gone = made.truth.structures.filter(({ name }) => /^(mbr|gpt\.|fsd$)/.test(name));
  const fd = fs.openSync(image, 'r+');
  for (const { at, bytes } of changes) fs.writeSync(fd, bytes, 0, bytes.length, at);
  for (const { at, length } of gone) fs.writeSync(fd, new Uint8Array(length), 0, length, at);
  fs.closeSync(fd);
  expect(gone.length).toBeGreaterThan(3);
});
afterAll(() => {
  process.env.TMPDIR = before;
  fs.rmSync(dir, { recursive: true, force: true });
});

/** A VMFS6 datastore with the guest as thin disk, and a delta over it that changes one line. */
function datastore(guest: GuestImage): Made {
  const vm = machine({ name: 'web01', seed: 5, disks: [{ bytes: guest.size, thin: true }], snapshots: 1 });
  const line = new Uint8Array(512);
  line.set(new TextEncoder().encode(`${NEW}\n`));
  const delta = cowdOf(guest.size / 512, [{ at: guest.lineAt, bytes: line }]).bytes;
  const small = (text: string): string =>
    text
      .replaceAll('lsisas1068', 'pvscsi')
      .replaceAll('windows9srv-64', 'debian11-64')
      .replace(/(memSize\s*=\s*)"4096"/g, '$1"384"');
  const entries = vm.entries.map((entry): EntrySpec => {
    if (entry.path.endsWith('-flat.vmdk')) return { ...entry, content: contentOf(guest), ranges: rangesOf(guest) };
    if (entry.path.endsWith('-delta.vmdk')) return { ...entry, content: delta };
    return typeof entry.content === 'string' ? { ...entry, content: small(entry.content) } : entry;
  });
  return makeVmfs6({ name: 'lun', seed: 31, label: 'store', members: [{ pes: 4, wrap: 'gpt' }], entries });
}

function contentOf({ size, pieces }: GuestImage): Content {
  return {
    size,
    read(offset, length) {
      const out = new Uint8Array(length);
      for (const { at, bytes } of pieces) {
        const from = Math.max(at, offset);
        const end = Math.min(at + bytes.length, offset + length);
        if (from < end) out.set(bytes.subarray(from - at, end - at), from - offset);
      }
      return out;
    },
  };
}

/** Blocks of 1 MiB that hold something, and holes between. */
function rangesOf({ size, pieces }: GuestImage): Range[] {
  const out: Range[] = [];
  for (let at = 0; at < size; at += MIB) {
    const isData = pieces.some((piece) => piece.at < at + MIB && piece.at + piece.bytes.length > at);
    const kind = isData ? 'data' : 'hole';
    const last = out.at(-1);
    if (last?.kind === kind) last.length += MIB;
    else out.push({ offset: at, length: MIB, kind });
  }
  return out;
}

function sha256(file: string): string {
  const hash = createHash('sha256');
  const fd = fs.openSync(file, 'r');
  const block = Buffer.alloc(MIB);
  for (let n = fs.readSync(fd, block); n > 0; n = fs.readSync(fd, block)) hash.update(block.subarray(0, n));
  fs.closeSync(fd);
  return hash.digest('hex');
}

interface Report {
  readonly machine: string;
  readonly config: string;
  readonly seen: boolean;
  readonly line: string;
  readonly serial: string;
  readonly firstSerial: number;
  readonly disks: readonly { readonly locator: string; readonly slot: string }[];
  readonly choices: readonly { readonly what: string; readonly value: string }[];
  readonly served: { readonly bytes: number; readonly lostBytes: number };
}

const why = typeof parts === 'string' ? ` (${parts})` : '';
describe.runIf(root !== '')(`from a datastore without partition table, header and .vmx${why}`, () => {
  test('a machine starts on its snapshot, and the evidence stays as it is', async () => {
    const before = sha256(image);
    const proof = join(dir, 'proof');
    const args = ['--smoke', '--expect', NEW, '--timeout', '90', '--overlay-dir', proof];
    const told = await json<Report>('boot', image, '--vm', 'web01', ...args);
    expect(told.serial).toContain(`salvor-guest: /dev/sda says: ${NEW}`);
    expect(told).toMatchObject({ seen: true, machine: 'web01', line: expect.stringContaining(NEW) });
    expect(told.config).toContain('+regenerated');
    expect(told.disks[0]).toMatchObject({ slot: 'scsi0:0', locator: expect.stringContaining('web01-000001.vmdk') });
    expect(told.choices).toContainEqual(expect.objectContaining({ what: 'storage', value: 'pvscsi' }));
    expect(told.choices).toContainEqual(expect.objectContaining({ what: 'memory', value: '384 MiB' }));
    expect(told.choices).toContainEqual(
      expect.objectContaining({ what: 'network 0', value: expect.stringContaining('vmxnet3') }),
    );
    expect(told.firstSerial).toBeGreaterThan(0);
    expect(told.served.lostBytes).toBe(0);
    expect(fs.readFileSync(join(proof, 'serial.log'), 'latin1')).toContain(NEW);
    expect(fs.readFileSync(join(proof, 'screen.png')).subarray(1, 4).toString()).toBe('PNG');
    // Nothing was copied: what the guest read is a part of its disk, and the overlay holds what it wrote.
    expect(told.served.bytes).toBeLessThan(64 * MIB);
    expect(fs.statSync(join(proof, 'disk0.qcow2')).size).toBeLessThan(4 * MIB);
    expect(sha256(image)).toBe(before);
    expect(fs.readdirSync(tmpdir()).filter((name) => name.startsWith('salvor-run-'))).toEqual([]);
  });

  test('recovered for KVM, it starts from what was written, and knows what only the snapshot holds', async () => {
    const out = join(dir, 'kvm');
    const done = await salvor('recover', image, '--vm', 'web01', '--target', 'kvm', '--out', out);
    expect(done.err).not.toContain('fault of the program');
    expect(fs.readdirSync(out).filter((name) => name.startsWith('web01'))).toEqual([
      'web01-disk0.qcow2',
      'web01.qemu.sh',
      'web01.xml',
    ]);
    expect(fs.readFileSync(join(out, 'web01.xml'), 'utf8')).toContain("model='vmpvscsi'");
    const more = ['-display', 'none', '-serial', 'stdio', '-machine', 'accel=tcg', '-no-reboot'];
    const guest = spawn('sh', [join(out, 'web01.qemu.sh'), ...more], { stdio: ['ignore', 'pipe', 'pipe'] });
    let serial = '';
    const over = AbortSignal.timeout(90_000);
    guest.stdout.on('data', (bytes: Buffer) => {
      serial += bytes.toString('latin1');
      if (serial.includes('salvor login:')) guest.kill();
    });
    over.addEventListener('abort', () => guest.kill());
    let errors = '';
    guest.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
    await new Promise((resolve) => guest.on('exit', resolve));
    expect(serial, errors).toContain(`says: ${NEW}`);
  });

  test('its disk before the snapshot starts, too, without a configuration', async () => {
    const named = await salvor('find', image, '--name', 'web01.vmdk');
    const locator = named.out.trim().split('\n')[0];
    const told = await json<Report>('boot', locator, '--bus', 'ide', '--memory', '384', '--smoke', '--timeout', '90');
    expect(told.serial).toContain(`says: ${OLD}`);
    expect(told).toMatchObject({ seen: true, line: 'salvor login:' });
    expect(told.serial).toContain('salvor-guest: writes fine');
  });

  test.each([
    ['error', undefined],
    ['zeros', 'salvor-guest: /dev/sda says:'],
  ])('a block of it that is lost: --lost %s', async (lost, line) => {
    const cut = join(dir, `cut-${lost}.img`);
    fs.copyFileSync(image, cut);
    const flat = made.truth.files.find((file) => file.path === '/web01/web01-flat.vmdk')!;
    const line0 = flat.extents.find((e) => e.kind === 'data' && e.offset === 112 * MIB)!;
    // A mapfile beside the image says that the block with the old line was never copied.
    const size = fs.statSync(cut).size;
    const map = `# Mapfile. Created by GNU ddrescue\n0x0 + 1\n0x0 0x${line0.at!.toString(16)} +\n0x${line0.at!.toString(16)} 0x100000 -\n0x${(line0.at! + MIB).toString(16)} 0x${(size - line0.at! - MIB).toString(16)} +\n`;
    fs.writeFileSync(`${cut}.map`, map);
    const base = (await salvor('find', cut, '--name', 'web01.vmdk')).out.trim().split('\n')[0];
    const args = ['--bus', 'pvscsi', '--memory', '384', '--smoke', '--timeout', '90', '--lost', lost];
    const told = await json<Report>('boot', base, ...args);
    // The kernel says what it could not read; with zeros the line is simply empty.
    if (line === undefined) expect(told.serial).toMatch(/I\/O error|critical medium error/i);
    else expect(told.serial).toMatch(/says: \r?\n/);
    expect(told.served.lostBytes).toBeGreaterThan(0);
    expect(told.serial).not.toContain(OLD);
  });
});

const efi = absent === undefined ? efiParts() : absent;
const ovmf = hostOf().efi === undefined ? 'ovmf is not installed' : undefined;
const noEfi = typeof efi === 'string' ? efi : ovmf;
describe.runIf(noEfi === undefined)(`by EFI${noEfi === undefined ? '' : ` (${noEfi})`}`, () => {
  test('a guest is known to start by EFI from its disk alone, and starts', async () => {
    const disk = join(dir, 'efi.img');
    const line = 'this line stands behind the EFI partition';
    efiGuest(efi as { root: string; grub: string }, disk, line);
    // The kernel of clouds that the guest has knows no SATA.
    const told = await json<Report>('boot', disk, '--bus', 'virtio', '--memory', '512', '--smoke', '--timeout', '100');
    expect(told.choices).toContainEqual(
      expect.objectContaining({
        what: 'firmware',
        value: 'efi',
        reason: expect.stringContaining('EFI system partition'),
      }),
    );
    expect(told.choices).toContainEqual(expect.objectContaining({ what: 'board', value: 'q35' }));
    expect(told.serial).toContain(`says: ${line}`);
    expect(told).toMatchObject({ seen: true, sign: 'login' });
  });
});

describe.runIf(absent === undefined)(
  `a disk with nothing to start${absent === undefined ? '' : ` (${absent})`}`,
  () => {
    const empty = (): string => {
      const file = join(dir, 'empty.img');
      fs.writeFileSync(file, new Uint8Array(4 * MIB));
      return file;
    };

    test('does not come up: which sign, what to do, and the picture', async () => {
      const kept = join(dir, 'empty');
      const args = ['--bus', 'ide', '--memory', '128', '--smoke', '--timeout', '60', '--overlay-dir', kept];
      const { code, out } = await salvor('boot', empty(), ...args);
      expect(code).toBe(1);
      expect(out).toContain('It does not come up: the firmware finds nothing to start: "No bootable device');
      expect(out).toMatch(/Try another bus with --bus\.\nIts screen at the end: .*screen\.png/);
      expect(fs.readFileSync(join(kept, 'screen.png')).subarray(1, 4).toString()).toBe('PNG');
    });

    test('qemu ends with the program that started it, whatever ended that', async () => {
      const kept = join(dir, 'killed');
      const args = [
        'boot',
        empty(),
        '--memory',
        '64',
        '--display',
        'none',
        '--accel',
        'tcg',
        '--json',
        '--overlay-dir',
        kept,
      ];
      const child = spawn(process.execPath, [LAUNCHER, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      const processes = (): number[] =>
        fs
          .readdirSync('/proc')
          .filter((name) => /^\d+$/.test(name))
          .filter((pid) => fs.existsSync(`/proc/${pid}/cmdline`) && isOurs(Number(pid), kept))
          .map(Number);
      await expect.poll(processes, { timeout: 20_000 }).toHaveLength(1);
      child.kill('SIGKILL');
      await expect.poll(processes, { timeout: 5000 }).toEqual([]);
    });
  },
);

/** Whether a process is a qemu whose overlays lie there. */
function isOurs(pid: number, within: string): boolean {
  try {
    const said = fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1');
    return said.includes('qemu-system') && said.includes(within) && said.includes('-sandbox');
  } catch {
    return false; // it ended meanwhile
  }
}

test.runIf(root !== '')('what cannot be started is a sentence', async () => {
  const none = await salvor('boot', dir, '--vm', 'nobody');
  expect(none.code).toBe(3);
  expect(none.err).toContain('No machine is called "nobody". There are: "web01"');
  expect(none.err).not.toContain('fault of the program');
});

test.runIf(absent === undefined)('an accelerator that was asked for is tried no further', async () => {
  expect((await accelerator('tcg')).value).toBe('emulated');
});
