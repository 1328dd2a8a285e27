/** Proxmox without its configurations: those in config.db, and what the names of volumes say. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { INFERRED, STATED } from '../../src/core/run.ts';
import { planMachine } from '../../src/export/index.ts';
import { machineWriters } from '../../src/formats/index.ts';
import { guestOf } from '../../src/stack/guest/index.ts';
import { numberedMachines } from '../../src/stack/numbered.ts';
import { Stack } from '../../src/stack/stack.ts';
import { build, salvor } from '../cli/salvor.ts';
import { seeded } from '../make/content.ts';
import { makeLvm2 } from '../make/lvm2.ts';

let dir = '';
beforeAll(() => {
  dir = fs.mkdtempSync(join(tmpdir(), 'salvor-pve-'));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

const conf = (number: number): string =>
  `name: web${number}\nmemory: 2048\ncores: 2\nostype: l26\nscsihw: virtio-scsi-pci\nscsi0: local-lvm:vm-${number}-disk-0,size=32G\nnet0: virtio=BC:24:11:00:00:01,bridge=vmbr0\n#${'x'.repeat(number === 102 ? 20_000 : 3)}\n`;

/** A database as pmxcfs makes it, with more files than fit on one page. */
function made(name: string, numbers: readonly number[], pageSize = 4096): string {
  const file = join(dir, name);
  fs.mkdirSync(join(file, '..'), { recursive: true });
  const db = new DatabaseSync(file);
  db.exec(`PRAGMA page_size=${pageSize}`);
  db.exec(
    "CREATE TABLE tree (inode INTEGER PRIMARY KEY NOT NULL, parent INTEGER NOT NULL CHECK(typeof(parent)=='integer'), version INTEGER NOT NULL, writer INTEGER NOT NULL, mtime INTEGER NOT NULL, type INTEGER NOT NULL, name TEXT NOT NULL, data BLOB)",
  );
  const add = db.prepare('INSERT INTO tree VALUES (?, ?, ?, 0, 1700000000, ?, ?, ?)');
  add.run(0, 0, 99, 8, '__version__', null);
  add.run(2, 0, 2, 4, 'nodes', null);
  add.run(3, 2, 3, 4, 'pve1', null);
  add.run(4, 3, 4, 4, 'qemu-server', null);
  add.run(5, 0, 5, 8, 'storage.cfg', Buffer.from('dir: local\n'));
  add.run(6, 3, 5, 4, 'lxc', null);
  for (const [i, number] of numbers.entries())
    add.run(10 + i, 4, 10 + i, 8, `${number}.conf`, Buffer.from(conf(number)));
  add.run(5_000_000_000, 6, 9, 8, '900.conf', Buffer.from('memory: 512\n'));
  db.close();
  return file;
}

async function opened(file: string) {
  const stack = new Stack([file]);
  const node = await stack.inside(stack.roots[0]);
  stack.close();
  return node;
}

test.each([512, 4096, 65_536])('machines are read from a database with pages of %i bytes', async (page) => {
  const numbers = Array.from({ length: 300 }, (_, i) => 400 - i);
  const node = await opened(made(`p${page}/config.db`, numbers, page));
  expect(node?.damage).toEqual([]);
  expect(node?.machines?.map(({ name }) => name.value)).toEqual(numbers.toReversed().map((number) => `web${number}`));
  const [first] = node!.machines!;
  expect(first).toMatchObject({
    memory: { value: 2048 * 2 ** 20, certainty: STATED },
    disks: [{ slot: 'scsi0', file: expect.stringContaining('vm-101-disk-0') }],
  });
  expect(first.name.from).toContain('101.conf on pve1');
});

test('a log beside the database makes all of it inferred, and is told', async () => {
  const file = made('config.db', [102]);
  fs.writeFileSync(`${file}-wal`, 'x');
  const node = await opened(file);
  expect(node?.machines?.[0].memory?.certainty).toBe(INFERRED);
  expect(node?.notices?.join()).toContain('config.db-wal');
});

test('a change that was begun beside the database makes all of it inferred, and is told', async () => {
  const file = made('hot/config.db', [102]);
  fs.writeFileSync(`${file}-journal`, Buffer.from('d9d505f920a163d7000000010000000000000000', 'hex'));
  const node = await opened(file);
  expect(node?.machines?.[0].memory?.certainty).toBe(INFERRED);
  expect(node?.notices?.join()).toContain('config.db-journal');
});

test('cells that lead to the same bytes again and again take no more memory than the file', async () => {
  const file = made(
    'same/config.db',
    Array.from({ length: 40 }, (_, i) => 200 + i),
    512,
  );
  const bytes = fs.readFileSync(file);
  // All cells of each leaf become its first one.
  for (let page = 512; page + 512 <= bytes.length; page += 512) {
    if (bytes[page] !== 13) continue;
    const cells = bytes.readUInt16BE(page + 3);
    for (let i = 1; i < cells; i++) bytes.writeUInt16BE(bytes.readUInt16BE(page + 8), page + 8 + i * 2);
  }
  fs.writeFileSync(file, bytes);
  const node = await opened(file);
  expect(node?.damage.map(({ code }) => code)).toContain('pmxcfs.pages');
});

test('a damaged database answers what it can, ends, and never throws', async () => {
  const sound = fs.readFileSync(made('bad/config.db', [101, 102, 103, 104], 512));
  const noise = seeded(9, 4000).read(0, 4000);
  let answered = 0;
  for (let i = 0; i < 400; i++) {
    const bytes = Buffer.from(sound);
    for (let n = 0; n < 6; n++)
      bytes[100 + ((noise[i * 6 + n] * 257 + noise[(i + n * 13) % 4000] * 31) % (bytes.length - 100))] ^= 1 << (i % 8);
    const file = join(dir, 'bad', 'config.db');
    fs.writeFileSync(file, i % 3 === 0 ? bytes.subarray(0, 1024 + ((i * 37) % 8192)) : bytes);
    const node = await opened(file);
    if ((node?.machines?.length ?? 0) > 0) answered++;
  }
  expect(answered).toBeGreaterThan(100);
});

test('machines by the names of their volumes, the one with EFI variables not as a disk', async () => {
  const small = (text: string, at = 0): Uint8Array => {
    const out = new Uint8Array(2 ** 20);
    out.set(Buffer.from(text, 'latin1'), at);
    return out;
  };
  const volume = (name: string, content: Uint8Array) => ({ name, type: 'linear' as const, content, on: [0] });
  const [group] = makeLvm2(9, 1, [
    volume('vm-103-disk-0', small('third')),
    volume('vm-102-disk-1', small('second')),
    volume('vm-102-disk-0', small('_FVH', 40)),
    volume('vm-102-disk-2', small('more')),
    volume('vm-102-cloudinit', small('x')),
  ]);
  const file = join(dir, 'pve.img');
  fs.writeFileSync(file, group);
  const stack = new Stack([file], { only: true });
  const machines = await numberedMachines(stack, undefined);
  expect(machines.map(({ name, disks }) => [name, disks.map(({ node }) => node.rawName)])).toEqual([
    ['vm-102', ['vm-102-disk-1', 'vm-102-disk-2']],
    ['vm-103', ['vm-103-disk-0']],
  ]);
  const writer = machineWriters.find(({ platform }) => platform.target === 'proxmox')!;
  const { texts, target } = planMachine(machines[0], await guestOf(stack, machines[0]), writer, '/x');
  stack.close();
  expect(target.firmware).toBe('efi');
  expect(texts[0].name).toBe('102.conf');
  expect(texts[0].text).toMatch(/^bios: ovmf$/m);
  expect(texts[0].text).toMatch(/^sata0: local:102\/vm-102-disk-0\.qcow2,size=1M$/m);
  build();
  const several = await salvor('plan', file);
  expect(several.code).toBe(2);
  expect(several.err).toContain('vm-102 (2 disks), vm-103 (1 disk)');
  const one = await salvor('plan', file, '--vm', '102', '--target', 'proxmox');
  expect(one.out).toContain('Machine "vm-102"');
});
