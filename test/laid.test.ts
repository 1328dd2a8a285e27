/** The names of bytes: the heads of disks, tables and file systems, with values that other programs wrote. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formats } from '../src/formats/index.ts';
import { fieldsIn, type NamedField } from '../src/stack/laid.ts';
import { locate } from '../src/stack/locate.ts';
import { Stack } from '../src/stack/stack.ts';
import { makeSample } from './make/sample.ts';

const dir = mkdtempSync(join(tmpdir(), 'salvor-laid-'));
const MIB = 1024 * 1024;
let store: string;

beforeAll(async () => {
  [store] = (await makeSample(join(dir, 'sample'))).images;
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function named(path: string, from = 0, end = 64 * 1024): Promise<NamedField[]> {
  const stack = new Stack([path]);
  try {
    return await fieldsIn(stack, stack.roots[0], from, end);
  } finally {
    stack.close();
  }
}

function run(program: string, ...args: string[]): void {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  const done = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, PATH: path } });
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${done.stderr}`);
}

function image(name: string, mib: number): string {
  const path = join(dir, name);
  writeFileSync(path, '');
  truncateSync(path, mib * MIB);
  return path;
}

const DISKS: [string, string, string[], string, string, RegExp][] = [
  ['qcow2', 'qcow2', [], 'QCOW2 header', 'size', /^67108864 /],
  ['qcow1', 'qcow', [], 'QCOW header', 'size', /^67108864 /],
  ['vdi', 'vdi', [], 'VDI header', 'diskSize', /^67108864 /],
  ['vmdk', 'vmdk', [], 'SparseExtentHeader', 'capacity', /^131072 /],
  ['vhd', 'vpc', ['-o', 'force_size=on'], 'VHD footer', 'currentSize', /^67108864 /],
  ['vhdx', 'vhdx', [], 'VHDX header', 'version', /^1 /],
  ['parallels', 'parallels', [], 'Parallels header', 'sectors', /^131072 /],
];

test.each(DISKS)('names the head of a disk: %s', async (id, format, options, structure, field, value) => {
  const path = join(dir, `${id}.img`);
  run('qemu-img', 'create', '-q', '-f', format, ...options, path, '64M');
  const fields = await named(path, 0, 512 * 1024);
  const found = fields.find((one) => one.structure === structure && one.field === field);
  expect(found?.value ?? fields.map((one) => `${one.structure}: ${one.field}`)).toMatch(value);
  expect(fields.filter((one) => one.expected !== undefined)).toEqual([]);
});

const SYSTEMS: [string, string, string[], number, string, string, RegExp][] = [
  ['ext', 'mkfs.ext4', ['-q', '-L', 'rescue'], 64, 'ext superblock', 'label', /rescue/],
  ['xfs', 'mkfs.xfs', ['-q', '-L', 'rescue'], 320, 'XFS superblock', 'label', /rescue/],
  ['btrfs', 'mkfs.btrfs', ['-q', '-L', 'rescue'], 128, 'btrfs superblock', 'label', /rescue/],
  ['ntfs', 'mkfs.ntfs', ['-q', '-F', '-L', 'rescue'], 64, 'NTFS boot sector', 'sectorSize', /^512 /],
  ['fat', 'mkfs.fat', ['-n', 'RESCUE'], 64, 'FAT boot sector', 'label16', /RESCUE/],
  ['exfat', 'mkfs.exfat', ['-L', 'rescue'], 64, 'exFAT boot sector', 'sectorShift', /^9 /],
];

test.each(SYSTEMS)(
  'names the head of a file system: %s',
  async (id, program, options, mib, structure, field, value) => {
    const path = image(`${id}.fs`, mib);
    run(program, ...options, path);
    const fields = await named(path, 0, 128 * 1024);
    const found = fields.find((one) => one.structure === structure && one.field === field);
    expect(found?.value ?? fields.map((one) => `${one.structure}: ${one.field}`)).toMatch(value);
    expect(fields.filter((one) => one.expected !== undefined)).toEqual([]);
  },
);

test('names partition tables and their entries, in front and at the end', async () => {
  const path = image('gpt.img', 64);
  run('sgdisk', '-n', '1:2048:40959', path);
  const fields = await named(path);
  const entry = fields.filter((one) => one.structure === 'GPT entry' && one.field === 'last')[0];
  expect(entry).toMatchObject({ at: 1024 + 40, length: 8, value: '40959 (0x9fff)' });
  expect(fields.some((one) => one.structure === 'partition table entry')).toBe(true);
  const behind = await named(path, 64 * MIB - 512, 64 * MIB);
  expect(behind.find((one) => one.field === 'myLba')?.value).toMatch(/^131071 /);
});

test('each byte of a disk with a GPT has one name', async () => {
  const path = image('once.img', 64);
  run('sgdisk', '-n', '1:2048:40959', path);
  const fields = await named(path, 0, 64 * MIB);
  let reached = 0;
  for (const one of fields) {
    expect(one.at, `${one.structure} ${one.field}`).toBeGreaterThanOrEqual(reached);
    reached = one.at + one.length;
  }
  expect(reached).toBe(64 * MIB - 512 + 92);
  const entries = fields.filter((one) => one.structure === 'GPT entry' && one.field === 'first');
  expect(entries.length).toBe(256);
  // Behind the entry array of the primary, and in front of the header of the backup.
  expect(entries[0]).toMatchObject({ at: 1024 + 32, value: '2048 (0x800)' });
  expect(entries[128]).toMatchObject({ at: 64 * MIB - 33 * 512 + 32, value: '2048 (0x800)' });
});

test('names the heads of a datastore, through the layers', async () => {
  const stack = new Stack([store]);
  const heads: string[] = [];
  const seen = new Set<string>();
  const queue = [(await locate(stack, store)).node];
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    if (seen.has(node.locator)) continue;
    seen.add(node.locator);
    const size = (await node.bytes?.())?.size ?? 0;
    for (const { structure } of await fieldsIn(stack, node, 0, Math.min(size, 8 * MIB)))
      if (!heads.includes(structure)) heads.push(structure);
    const inside = node.kind === 'volume' && node.children !== undefined ? node : await stack.inside(node);
    if (inside === undefined || inside.kind === 'filesystem') continue;
    if (inside.children !== undefined) for await (const child of stack.children(inside)) queue.push(child);
    else queue.push(inside);
  }
  stack.close();
  expect(heads).toContain('VMFS file-system header');
  expect(heads).toContain('VMFS heartbeat');
});

test('every byte of a structure has one name, and an illegal value is said to be one', async () => {
  const path = image('bad.fs', 64);
  run('mkfs.ext4', '-q', path);
  const before = await named(path);
  let reached = before[0].at;
  for (const one of before) {
    expect(one.at).toBeLessThanOrEqual(reached);
    reached = Math.max(reached, one.at + one.length);
  }
  expect(reached).toBe(2048);
  const shift = before.find((one) => /^\d+ /.test(one.value) && one.field === 'blockShift');
  if (shift === undefined) throw new Error(before.map((one) => one.field).join(' '));
  const bytes = Buffer.alloc(4, 0x7f);
  spawnSync('dd', [`of=${path}`, 'bs=1', `seek=${shift.at}`, 'conv=notrunc', 'status=none'], { input: bytes });
  const after = (await named(path)).find((one) => one.field === 'blockShift');
  expect(after?.expected).toMatch(/\d/);
});

test('every format that opens bytes by a structure says where it lies', () => {
  const silent = formats.filter(({ layer, laid }) => layer !== 'machine' && laid === undefined).map(({ id }) => id);
  expect(silent).toEqual(['array', 'split', 'guest', 'packed', 'lost', 'lost-guest']);
});
