/** The files inside the disks of machines: found, listed by time and brought out under their own names. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build, json, salvor } from './cli/salvor.ts';
import { ext2progsAbsent, makeExt, sampleEntries, writeEntries } from './make/ext.ts';
import { writeImages } from './make/images.ts';
import { descriptorText, vmxText } from './make/machine/text.ts';
import { makeStore } from './make/stores.ts';
import { makeVma } from './make/vma.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-inside-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const guests = ext2progsAbsent === undefined ? test : test.skip;
const entries = sampleEntries(7, 20);
const SECTOR = 512;
const GONE = 'home/x/notes.txt';
let store = '';

/** A guest's disk: a partition table, and one file system that has lost a file. */
function guestDisk(): Buffer {
  const from = fs.mkdtempSync(join(root, 'from-'));
  writeEntries(from, entries);
  const image = join(root, 'guest.img');
  makeExt(image, '12M', from, ['-t', 'ext4']);
  spawnSync('debugfs', ['-w', '-R', `rm ${GONE}`, image], {
    env: { ...process.env, PATH: `/sbin:/usr/sbin:${process.env.PATH}` },
  });
  const volume = fs.readFileSync(image);
  const disk = Buffer.alloc(2048 * SECTOR + volume.length);
  volume.copy(disk, 2048 * SECTOR);
  disk.writeUInt8(0x83, 0x1be + 4);
  disk.writeUInt32LE(2048, 0x1be + 8);
  disk.writeUInt32LE(volume.length / SECTOR, 0x1be + 12);
  disk.writeUInt16LE(0xaa55, 510);
  return disk;
}

beforeAll(async () => {
  build();
  if (ext2progsAbsent !== undefined) return;
  const disk = guestDisk();
  const base = { descriptor: 'web.vmdk', extent: 'web-flat.vmdk', cid: '12345678' };
  const text = { node: 'scsi0:0', sectors: disk.length / SECTOR, thin: false, levels: [base] };
  const made = makeStore(6, {
    seed: 9,
    name: 'guests',
    label: 'guests',
    members: [{ pes: 2, wrap: 'gpt' }],
    entries: [
      { path: '/web', kind: 'directory' },
      {
        path: '/web/web.vmx',
        kind: 'file',
        content: vmxText({ name: 'web', seed: 4, disks: [text], snapshots: 0, time: 0 }),
      },
      { path: '/web/web.vmdk', kind: 'file', content: descriptorText(text, base) },
      { path: '/web/web-flat.vmdk', kind: 'file', content: disk },
      { path: '/other', kind: 'directory' },
      { path: '/other/iso.txt', kind: 'file', content: Buffer.from('no disk') },
    ],
  });
  [store] = await writeImages(made, root);
}, 60_000);

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Files below `dir` that are not as they were put into the guest, or are there too. */
function departures(dir: string): string[] {
  const out: string[] = [];
  const found = new Set(
    (fs.readdirSync(dir, { recursive: true }) as string[]).filter((name) => fs.statSync(join(dir, name)).isFile()),
  );
  for (const { path, bytes } of entries.filter((one) => one.path !== GONE)) {
    const name = path.replace(':', '%3A');
    // Names longer than a system allows keep their start.
    const cut = [...found].find((one) => path.length > 240 && one.startsWith(path.slice(0, 200)));
    const there = [path, name, path.replaceAll('%', '%25'), cut ?? path].find((one) => found.delete(one));
    if (there === undefined) out.push(`${path} is not there`);
    else if (bytes !== undefined && sha256(fs.readFileSync(join(dir, there))) !== sha256(bytes))
      out.push(`${path} differs`);
  }
  return [...out, ...[...found].map((name) => `${name} is there too`)];
}

guests('--guest-files brings out the files of the guests, under their disks', async () => {
  const out = join(root, 'all');
  const { code, err } = await salvor('recover', store, '--guest-files', '--out', out);
  expect(err).not.toContain('salvor:');
  expect(code).toBe(0);
  expect(fs.readdirSync(out).sort()).toEqual(['.salvor', 'manifest.json', 'web']);
  expect(fs.readdirSync(join(out, 'web'))).toEqual(['web.vmdk']);
  expect(departures(join(out, 'web', 'web.vmdk', 'p1'))).toEqual([]);
  const verified = await salvor('verify', out);
  expect(verified.code, verified.out).toBe(0);
});

guests('--vm takes the disks of one machine, and --deep what its guest deleted', async () => {
  const out = join(root, 'deep');
  const { err } = await salvor(
    'recover',
    store,
    '--guest-files',
    '--vm',
    'web',
    '--deep',
    '--case',
    join(root, 'case'),
    '--path',
    'notes*',
    '**/+deleted/**',
    '--out',
    out,
  );
  expect(err).not.toContain('salvor:');
  const names = (fs.readdirSync(out, { recursive: true }) as string[]).filter((name) => name.includes('+deleted'));
  expect(names.length).toBeGreaterThan(0);
  const none = await salvor('recover', store, '--guest-files', '--vm', 'mail', '--out', join(root, 'none'));
  expect(none.code).toBe(3);
  expect(none.err).toContain('There is no machine "mail"; there is web.');
});

guests('a locator is recovered alone', async () => {
  const disk = `${store}::vmfs/web/web.vmdk`;
  const [file, folder] = [join(root, 'file'), join(root, 'folder')];
  expect((await salvor('recover', `${disk}::ext/large`, '--out', file)).code).toBe(0);
  expect(fs.readdirSync(file).sort()).toEqual(['.salvor', 'large', 'manifest.json']);
  expect(sha256(fs.readFileSync(join(file, 'large')))).toBe(
    sha256(entries.find(({ path }) => path === 'large')!.bytes!),
  );
  expect((await salvor('recover', `${disk}::ext/many`, '--out', folder)).code).toBe(0);
  expect(fs.readdirSync(folder)).toHaveLength(20 + 2);
  const config = await salvor('recover', `${store}::vmfs/other/iso.txt`, '--out', join(root, 'plain'));
  expect(config.code).toBe(0);
  expect(fs.readFileSync(join(root, 'plain', 'iso.txt'), 'utf8')).toBe('no disk');
  const byte = await salvor('recover', `${disk}::ext/large@7`, '--out', join(root, 'byte'));
  expect(byte.code).toBe(2);
  expect(byte.err).toContain('is one byte');
});

guests('what guests deleted is found by name and time', async () => {
  const all = await json<{ matches: { locator: string }[] }>('find', store, '--guest-files', '--name', 'sixt?');
  expect(all.matches.map(({ locator }) => locator)).toEqual([expect.stringMatching(/web\/web\.vmdk::.*ext\/sixty$/)]);
  const gone = ['find', store, '--guest-files', '--deleted', '--name', '*notes*'];
  const { matches } = await json<{ matches: { locator: string }[] }>(...gone);
  expect(matches.filter(({ locator }) => locator.includes('+deleted'))).not.toEqual([]);
  expect((await salvor(...gone, '--after', '2100-01-01')).code).toBe(3);
  expect((await salvor(...gone, '--before', '2100-01-01')).out).toContain('+deleted');
});

guests('a timeline has each file, in the order of the tree or of time', async () => {
  const body = (await salvor('timeline', store, '--guest-files')).out.trimEnd().split('\n');
  const large = body.find((line) => line.includes('/large|'))!.split('|');
  expect(large).toHaveLength(11);
  expect(large[1]).toMatch(/web\.vmdk::.*ext\/large$/);
  expect([large[0], large[3], large[6]]).toEqual(['0', '-rw-r--r--', String(2_345_678)]);
  expect(Number(large[8])).toBeGreaterThan(1.6e9);
  const [head, ...rows] = (await salvor('timeline', store, '--guest-files', '--format', 'csv')).out
    .trimEnd()
    .split('\n');
  expect(head.split(',')).toHaveLength(rows[0].split(',').length);
  const times = rows.map((row) => row.split(',')[0]);
  expect(times).toEqual([...times].sort());
  expect(rows.filter((row) => row.includes('ext/large"')).length).toBeGreaterThan(0);
  const document = await json<{ entries: unknown[] }>('timeline', store, '--guest-files');
  expect(document.entries).toHaveLength(body.length);
});

test('of a chain of snapshots only the newest disk is entered', async () => {
  if (ext2progsAbsent !== undefined || spawnSync('qemu-img', ['--version']).status !== 0) return;
  const folder = join(root, 'chain');
  fs.mkdirSync(folder);
  execFileSync('qemu-img', ['convert', '-O', 'qcow2', join(root, 'guest.img'), join(folder, 'base.qcow2')]);
  execFileSync('qemu-img', [
    'create',
    '-q',
    '-f',
    'qcow2',
    '-b',
    'base.qcow2',
    '-F',
    'qcow2',
    join(folder, 'top.qcow2'),
  ]);
  const { out } = await salvor('tree', folder, '--guest-files', '--depth', '2');
  expect(out).toContain('top.qcow2');
  expect(out).not.toMatch(/base\.qcow2\/$/m);
  const target = join(root, 'chain-out');
  expect((await salvor('recover', folder, '--guest-files', '--out', target)).code).toBe(0);
  expect(departures(join(target, 'top.qcow2', 'files'))).toEqual([]);
});

guests('disks without a format among the files of a host, and in backups of machines, are entered too', async () => {
  const images = join(root, 'host');
  const disk = guestDisk();
  const volume = disk.subarray(2048 * SECTOR);
  writeEntries(images, [
    { path: 'images/whole.img', bytes: disk },
    { path: 'images/volume.raw', bytes: volume },
    { path: 'images/notes.raw', bytes: Buffer.from('no disk') },
  ]);
  const host = join(root, 'host.img');
  makeExt(host, '64M', images, ['-t', 'ext4']);
  const out = join(root, 'host-out');
  expect(await salvor('recover', host, '--guest-files', '--out', out)).toMatchObject({ code: 0 });
  expect(departures(join(out, 'images/whole.img/p1'))).toEqual([]);
  expect(departures(join(out, 'images/volume.raw/files'))).toEqual([]);
  const backup = join(root, 'vzdump-qemu-104.vma');
  const conf = 'name: web\nmemory: 2048\nscsihw: virtio-scsi-pci\nscsi0: local-lvm:vm-104-disk-0,size=13M\n';
  fs.writeFileSync(backup, makeVma({ 'qemu-server.conf': conf }, [{ name: 'drive-scsi0', content: disk }]));
  const files = join(root, 'backup-files');
  expect(await salvor('recover', backup, '--guest-files', '--out', files)).toMatchObject({ code: 0 });
  expect(departures(join(files, 'disk-drive-scsi0.raw/p1'))).toEqual([]);
  const machine = join(root, 'backup-machine');
  const done = await salvor('recover', backup, '--target', 'kvm', '--out', machine);
  expect(done).toMatchObject({ code: 0 });
  expect(fs.readdirSync(machine).sort()).toEqual(
    ['.salvor', 'manifest.json', 'web-disk0.qcow2', 'web.qemu.sh', 'web.xml'].sort(),
  );
});
