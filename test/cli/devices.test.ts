/** salvor devices on hosts that are made of files: what Linux says in /sys and /proc, and an image in a disk's place. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeImages } from '../make/images.ts';
import { small5, spanned } from '../make/stores.ts';
import { build, json, salvor } from './salvor.ts';

let dir = '';
let image = '';
let member = '';

beforeAll(async () => {
  build();
  dir = mkdtempSync(join(tmpdir(), 'salvor-devices-'));
  [image] = await writeImages(small5(), dir);
  [member] = await writeImages(spanned(5, 3), dir);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Listed {
  readonly devices: readonly {
    readonly name: string;
    readonly size: number;
    readonly warning?: string;
    readonly unseen?: string;
    readonly contents: readonly { what?: string; type?: string; locator: string; path?: string }[];
  }[];
}

/** A host made of files; keys are paths below its root. */
function host(name: string, files: Readonly<Record<string, string>>, disks: Readonly<Record<string, string>>): string {
  const root = join(dir, name);
  for (const [path, text] of Object.entries({ 'proc/swaps': 'Filename\tType\n', ...files })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  mkdirSync(join(root, 'dev'), { recursive: true });
  for (const [device, target] of Object.entries(disks)) symlinkSync(target, join(root, 'dev', device));
  return root;
}

/** The first bytes of an image, where its structures are. */
function start(file: string): Buffer {
  const bytes = Buffer.alloc(64 * 2 ** 20);
  const fd = openSync(file, 'r');
  readSync(fd, bytes, 0, bytes.length, 0);
  closeSync(fd);
  return bytes;
}

const mount = (device: string, point: string, source: string): string =>
  `30 1 ${device} / ${point} rw,relatime - ext4 ${source} rw`;

describe('salvor devices', () => {
  test('says size, model and what is on a disk, partition by partition', async () => {
    const root = host(
      'plain',
      {
        'sys/block/sdb/size': '8429568',
        'sys/block/sdb/removable': '1',
        'sys/block/sdb/ro': '1',
        'sys/block/sdb/queue/rotational': '0',
        'sys/block/sdb/device/vendor': 'ATA     ',
        'sys/block/sdb/device/model': 'WDC WD40EFRX  ',
        'sys/block/sdb/sdb1/partition': '1',
        'sys/block/sdb/sdb1/start': '2048',
        'sys/block/sdb/sdb1/size': '8425472',
        'sys/block/sr0/size': '0',
      },
      { sdb: image },
    );
    const { code, out, err } = await salvor('devices', '--sysroot', root);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const dev = join(root, 'dev');
    expect(out.split('\n')[0]).toBe(`${dev}/sdb, 4.0 GiB, ATA WDC WD40EFRX, solid state, removable, read-only`);
    expect(out).toMatch(
      /^ {2}\S+\/dev\/sdb1, .*, VMFS, VMFS5 file system "Small VMFS5", \S+\/dev\/sdb::gpt\/p1::vmfs$/m,
    );
    expect(out).not.toContain('sr0');
    expect((await json<Listed>('devices', '--sysroot', root, '--all')).devices.map((d) => d.name)).toEqual([
      'sdb',
      'sr0',
    ]);
    // What is printed can be pasted back.
    expect((await salvor('ls', `${dev}/sdb::gpt/p1::vmfs`)).code).toBe(0);
  });

  test('warns of disks that are mounted, swapped to, or used through others', async () => {
    const root = host(
      'used',
      {
        'sys/block/sda/size': '100',
        'sys/block/sda/sda1/partition': '1',
        'sys/block/sda/sda1/dev': '8:1',
        'sys/block/sda/sda2/partition': '2',
        'sys/block/sda/sda2/dev': '8:2',
        'sys/block/sda/sda3/partition': '3',
        'sys/block/sda/sda3/holders/dm-0/x': '',
        'sys/block/dm-0/dm/name': 'vg0-root',
        'sys/block/dm-0/dev': '254:0',
        'sys/block/dm-0/size': '50',
        'sys/block/dm-0/dm/suspended': '1',
        'sys/block/sdz/size': '100',
        'sys/block/sdz/dev': '8:99',
        'proc/self/mountinfo': [
          mount('8:1', '/mnt/my\\040disk', '/dev/sda1'),
          mount('254:0', '/', '/dev/mapper/vg0-root'),
          mount('0:41', '/btrfs', '/dev/sdz'),
        ].join('\n'),
        'proc/swaps': 'Filename\tType\tSize\n/dev/sda2 partition 1000',
      },
      {},
    );
    const { devices } = await json<Listed>('devices', '--sysroot', root);
    const warnings = new Map(devices.map((device) => [device.name, device.warning]));
    const end = ': do not recover to it; image it first if you can';
    expect(warnings.get('sda')).toBe(
      `mounted at /mnt/my disk, used as swap, held by ${root}/dev/dm-0, in use at /${end}`,
    );
    expect(warnings.get('dm-0')).toBe(`mounted at /${end}`);
    expect(warnings.get('sdz')).toBe(`mounted at /btrfs${end}`);
  });

  test('what cannot be looked into is said, and the rest is listed', async () => {
    const root = host(
      'closed',
      {
        'sys/block/dm-0/size': '50',
        'sys/block/dm-0/dm/suspended': '1',
        'sys/block/sdx/size': '100',
        'sys/block/sdy/size': '100',
        'sys/block/sdy/sdy1/partition': '1',
      },
      { sdx: '/dev/zero' },
    );
    const { code, out } = await salvor('devices', '--sysroot', root);
    expect(code).toBe(1);
    expect(out).toContain('dm-0 is suspended and would not answer.');
    expect(out).toContain('/dev/sdx is neither a file nor a block device');
    expect(out).toContain('/dev/sdy cannot be used as evidence: there is no such file.');
    expect(out).toMatch(/^ {2}\S+\/dev\/sdy1, 0 bytes$/m);
  });

  test('a member of a datastore on several disks', async () => {
    const root = host('member', { 'sys/block/sdm/size': '100' }, { sdm: member });
    const { devices } = await json<Listed>('devices', '--sysroot', root);
    expect(devices[0].contents[0]).toMatchObject({
      type: 'VMFS',
      what: expect.stringMatching(/ one of its 3 devices$/),
    });
  });

  test('hostile names from the host are printed safely', async () => {
    const root = host('hostile', { 'sys/block/sdh/size': '1', 'sys/block/sdh/device/model': 'a\u001b[31mb\u202e' }, {});
    const { out } = await salvor('devices', '--sysroot', root);
    expect(out).toContain('a%1B[31mb%E2%80%AE');
  });

  test('no devices at all, as in most containers', async () => {
    const root = host('nothing', {}, {});
    const { code, out, err } = await salvor('devices', '--sysroot', root);
    expect({ code, out }).toEqual({ code: 3, out: '' });
    expect(err).toMatch(/^This system shows no block devices\./);
  });

  test('a disk that was deleted while a process has it open is listed, and can be copied', async () => {
    const open = join(dir, 'other.bin');
    writeFileSync(open, Buffer.alloc(2 * 2 ** 20, 7));
    mkdirSync(join(dir, 'held'));
    const [file] = await writeImages(small5(), join(dir, 'held'));
    const fds = [file, open].map((name) => openSync(name, 'r'));
    const holder = spawn('sleep', ['100'], { stdio: ['ignore', 'ignore', 'ignore', ...fds] });
    for (const fd of fds) closeSync(fd);
    try {
      const was = start(file);
      for (const name of [file, open]) rmSync(name);
      const { deleted } = await json<{
        deleted: { path: string; was: string; contents: { what: string }[]; warning: string }[];
      }>('devices');
      const found = deleted.filter((one) => one.path.startsWith(`/proc/${holder.pid}/`));
      expect(found).toMatchObject([{ was: file, contents: [{ what: 'VMFS5 file system "Small VMFS5"' }] }]);
      expect(found[0].warning).toContain(`kill -STOP ${holder.pid}`);
      const out = join(dir, 'had.img');
      expect(await salvor('image', found[0].path, out)).toMatchObject({ code: 0, err: '' });
      expect(start(out).equals(was)).toBe(true);
      expect((await salvor('recover', found[0].path, '--out', join(dir, 'files'))).code).toBe(0);
    } finally {
      holder.kill();
    }
  });

  test('on this host it ends well, whatever it may see', async () => {
    const { code, err } = await salvor('devices', '--all');
    expect([0, 1, 3]).toContain(code);
    expect(err).not.toContain('fault of the program');
  });
});
