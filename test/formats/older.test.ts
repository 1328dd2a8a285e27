/** Formatted over: an older datastore beneath a newer file system comes back, minus what the newer one wrote. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { DATA, RunList, STATED } from '../../src/core/run.ts';
import { beneath } from '../../src/stack/beneath.ts';
import { filesystems } from '../../src/stack/home.ts';
import { childrenWith } from '../../src/stack/residue.ts';
import { Stack } from '../../src/stack/stack.ts';
import { writeImages } from '../make/images.ts';
import { machineEntries } from '../make/machines.ts';
import { makeStore } from '../make/stores.ts';
import type { Made, TruthFile } from '../make/types.ts';

const MIB = 2 ** 20;
const SECTOR = 512;
const root = fs.mkdtempSync(join(tmpdir(), 'salvor-older-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

type Version = 3 | 5 | 6;
const peer = (name: string): boolean =>
  process.env
    .PATH!.split(':')
    .concat('/usr/sbin', '/sbin')
    .some((dir) => fs.existsSync(join(dir, name)));

function store(version: Version, seed: number, names: readonly string[], mib: number): Made {
  const entries = names.flatMap((name, i) =>
    machineEntries({ name, seed: seed * 10 + i, disks: [{ bytes: mib * MIB, fill: 0.7, partitioned: true }] }),
  );
  return makeStore(version, {
    seed,
    name: `s${version}-${seed}`,
    label: `store${seed}`,
    members: [{ pes: mib > 100 ? 4 : 2, wrap: 'gpt' }],
    entries,
  });
}

type Over = (image: string, start: number, bytes: number, dir: string) => void;

/** A newer VMFS of that version, written where it differs from zeros. */
function vmfsOver(version: Version): Over {
  return (image) => {
    const fd = fs.openSync(image, 'r+');
    for (const { at, bytes } of store(version, 2, ['omega'], 8).writes()) fs.writeSync(fd, bytes, 0, bytes.length, at);
    fs.closeSync(fd);
  };
}

const ext4: Over = (image, start, bytes) =>
  void execFileSync('mke2fs', [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-E',
    `nodiscard,offset=${start}`,
    image,
    `${Math.floor(bytes / 1024)}k`,
  ]);

const ntfs: Over = (image, start, bytes, dir) => {
  const made = join(dir, 'ntfs');
  fs.writeFileSync(made, '');
  fs.truncateSync(made, bytes);
  execFileSync('mkntfs', ['-Q', '-F', '-q', made], { stdio: 'ignore' });
  const from = fs.openSync(made, 'r');
  const fd = fs.openSync(image, 'r+');
  const block = Buffer.alloc(MIB);
  for (let at = 0; at < bytes; at += MIB) {
    fs.readSync(from, block, 0, MIB, at);
    for (let i = 0; i < MIB; i += 4096) {
      const part = block.subarray(i, i + 4096);
      if (part.some((byte) => byte !== 0)) fs.writeSync(fd, part, 0, part.length, start + at + i);
    }
  }
  fs.closeSync(from);
  fs.closeSync(fd);
  fs.rmSync(made);
};

const gpt: Over = (image) =>
  void execFileSync('sgdisk', ['-o', '-n', '1:8192:+200M', '-t', '1:0700', image], { stdio: 'ignore' });

const others: Record<Version, readonly Version[]> = { 3: [5, 6], 5: [3, 6], 6: [3, 5] };
const cases = ([3, 5, 6] as const).flatMap((old): [Version, string, Over, string | undefined][] => [
  ...others[old].map((version): [Version, string, Over, undefined] => [
    old,
    `VMFS${version}`,
    vmfsOver(version),
    undefined,
  ]),
  [old, 'ext4', ext4, 'mke2fs'],
  [old, 'NTFS', ntfs, 'mkntfs'],
  [old, 'a fresh GPT', gpt, 'sgdisk'],
]);

test.each(cases)(
  'VMFS%i beneath %s comes back, and nothing that was written over is stated',
  async (old, what, over, needs) => {
    if (needs !== undefined && !peer(needs)) return;
    const dir = fs.mkdtempSync(join(root, 'case-'));
    const made = store(old, 1, ['alpha', 'beta', 'gamma'], 12);
    const [image] = await writeImages(made, dir);
    const { partitionStart, partitionBytes } = made.truth.members[0];
    const files = made.truth.files.filter((file) => file.kind === 'file' && file.size > 0);
    const truth = new Map(files.map((file) => [file, bytesOf(image, file)]));
    over(image, partitionStart, partitionBytes, dir);
    const found = await everyFile(image);
    let alive = 0;
    let right = 0;
    let lies = 0;
    for (const [file, before] of truth) {
      const now = bytesOf(image, file);
      const still = sectors(file).filter((at) =>
        before.subarray(at, at + SECTOR).equals(now.subarray(at, at + SECTOR)),
      );
      alive += still.length;
      let best = 0;
      for (const node of found.filter((one) => one.facts.size === file.size)) {
        const { bytes, stated, had } = await read(node);
        const same = sectors(file).filter(
          (at) => had[at] === 1 && before.subarray(at, at + SECTOR).equals(bytes.subarray(at, at + SECTOR)),
        );
        best = Math.max(best, same.length);
        const own = node.rawName === file.path.split('/').at(-1) && same.length > 0;
        if (own)
          lies += sectors(file).filter(
            (at) => stated[at] === 1 && !before.subarray(at, at + SECTOR).equals(bytes.subarray(at, at + SECTOR)),
          ).length;
      }
      right += Math.min(best, still.length);
    }
    expect(alive).toBeGreaterThan(1000);
    expect(right / alive, what).toBeGreaterThanOrEqual(0.95);
    expect(lies).toBe(0);
  },
  60_000,
);

test.each([5] as const)(
  'VMFS%i of which a VMFS6 left no descriptor is known by its clusters',
  async (old) => {
    const dir = fs.mkdtempSync(join(root, 'beats-'));
    const made = store(old, 1, ['alpha', 'beta'], 300);
    const [image] = await writeImages(made, dir);
    const { partitionStart, partitionBytes } = made.truth.members[0];
    const disks = made.truth.files.filter((file) => file.size === 300 * MIB);
    vmfsOver(6)(image, partitionStart, partitionBytes, dir);
    const fd = fs.openSync(image, 'r+');
    // Where the heartbeats of VMFS6 are, those of the older one and all of its descriptors were.
    const beats = 0x2f0000;
    fs.writeSync(fd, Buffer.alloc(beats), 0, beats, partitionStart + 0x1100000 + 0x410000);
    fs.closeSync(fd);
    const stack = new Stack([image], { only: true });
    const names: string[] = [];
    for (const one of await beneath(stack, stack.roots[0])) names.push(one.format ?? '');
    stack.close();
    expect(names).toEqual([`VMFS${old} file system`]);
    const found = (await everyFile(image)).filter((one) => one.locator.includes(`-vmfs${old}/`));
    expect(disks.length).toBe(2);
    for (const file of disks) {
      const truth = bytesOf(image, file);
      let best = 0;
      for (const node of found.filter((one) => (one.facts.size ?? 0) > 200 * MIB)) {
        const { bytes, had, stated } = await read(node);
        expect(stated.includes(1)).toBe(false);
        const same = sectors(file).filter(
          (at) => had[at] === 1 && truth.subarray(at, at + SECTOR).equals(bytes.subarray(at, at + SECTOR)),
        );
        best = Math.max(best, same.length);
      }
      expect(best / sectors(file).length).toBeGreaterThan(0.9);
    }
  },
  60_000,
);

const MADE_BEFORE = { ...process.env, E2FSPROGS_FAKE_TIME: '1600000000' };

/** A store on a partition that had ext4 before; VMFS leaves the first MiB with its superblock as it was. */
async function onFormerExt4(version: Version, filled: boolean): Promise<{ made: Made; image: string }> {
  const dir = fs.mkdtempSync(join(root, 'former-'));
  const entries = machineEntries({
    name: 'alpha',
    seed: 7,
    disks: [{ bytes: 12 * MIB, fill: 0.7, partitioned: true }],
  });
  const made = makeStore(version, { seed: 3, members: [{ pes: 2, wrap: 'bare' }], entries });
  const image = join(dir, 'former.img');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, made.members[0].size);
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', image], { env: MADE_BEFORE });
  if (filled) {
    const large = join(dir, 'large');
    fs.writeFileSync(large, Buffer.alloc(300 * MIB, 7));
    execFileSync('debugfs', ['-w', '-R', `write ${large} large`, image], { env: MADE_BEFORE, stdio: 'ignore' });
    fs.rmSync(large);
  }
  const fd = fs.openSync(image, 'r+');
  for (const { at, bytes } of made.writes()) fs.writeSync(fd, bytes, 0, bytes.length, at);
  fs.closeSync(fd);
  return { made, image };
}

test.skipIf(!peer('mke2fs') || !peer('debugfs')).each([
  [3, true],
  [5, true],
  [6, true],
  [5, false],
] as const)(
  'VMFS%i made where ext4 was before keeps all its bytes (its places filled: %s)',
  async (version, filled) => {
    const { made, image } = await onFormerExt4(version, filled);
    const found = await everyFile(image);
    for (const file of made.truth.files.filter((one) => one.kind === 'file' && one.size > 0)) {
      const node = found.find((one) => one.rawName === file.path.split('/').at(-1))!;
      const { bytes, had, stated } = await read(node);
      expect(bytes.equals(Buffer.from(file.content!.read(0, file.size)))).toBe(true);
      for (const at of sectors(file)) expect(had[at]).toBe(1);
      // Heartbeats that stand where ext4 had written prove which of them came later; without them it is inferred.
      if (filled) for (const at of sectors(file)) expect(stated[at]).toBe(1);
    }
  },
);

const xfs: Over = (image) => void execFileSync('mkfs.xfs', ['-q', '-f', '-K', image]);
const fat: Over = (image) => void execFileSync('mkfs.vfat', ['-F', '32', image], { stdio: 'ignore' });
const onlyGpt: Over = (image) => void execFileSync('sgdisk', ['-o', image], { stdio: 'ignore' });

test.each([
  [3, 'ext4', ext4, 'mke2fs'],
  [5, 'ext4', ext4, 'mke2fs'],
  [6, 'ext4', ext4, 'mke2fs'],
  [5, 'NTFS', ntfs, 'mkntfs'],
  [5, 'XFS', xfs, 'mkfs.xfs'],
  [6, 'FAT', fat, 'mkfs.vfat'],
  [6, 'an empty GPT', onlyGpt, 'sgdisk'],
] as const)('VMFS%i on a whole disk, its LVM header lost beneath %s, comes back', async (version, _, over, needs) => {
  if (!peer(needs)) return;
  const dir = fs.mkdtempSync(join(root, 'whole-'));
  const entries = machineEntries({
    name: 'alpha',
    seed: 7,
    disks: [{ bytes: 12 * MIB, fill: 0.7, partitioned: true }],
  });
  const made = makeStore(version, { seed: 3, members: [{ pes: 2, wrap: 'bare' }], entries });
  const [image] = await writeImages(made, dir);
  over(image, 0, made.members[0].size, dir);
  const fd = fs.openSync(image, 'r+');
  fs.writeSync(fd, Buffer.alloc(MIB), 0, MIB, MIB);
  fs.closeSync(fd);
  const found = await everyFile(image);
  for (const file of made.truth.files.filter((one) => one.kind === 'file' && one.size > 0)) {
    const node = found.find((one) => one.rawName === file.path.split('/').at(-1))!;
    expect(node.locator).toContain('::lost/at0::vmfs/');
    const { bytes, had, stated } = await read(node);
    expect(stated.includes(1)).toBe(false);
    const now = bytesOf(image, file);
    for (const at of sectors(file).filter((one) => had[one] === 1))
      expect(bytes.subarray(at, at + SECTOR).equals(now.subarray(at, at + SECTOR))).toBe(true);
    expect(sectors(file).filter((at) => had[at] === 1).length).toBeGreaterThan(0.95 * sectors(file).length - 1);
  }
});

/** A file's bytes as the image has them where the truth says they lie. */
function bytesOf(image: string, file: TruthFile): Buffer {
  const out = Buffer.alloc(file.size);
  const fd = fs.openSync(image, 'r');
  for (const { kind, at, offset, length } of file.extents)
    if (kind === 'data') fs.readSync(fd, out, offset, length, at!);
  fs.closeSync(fd);
  return out;
}

function sectors(file: TruthFile): number[] {
  return file.extents.flatMap(({ kind, offset, length }) =>
    kind === 'data' ? Array.from({ length: Math.ceil(length / SECTOR) }, (_, i) => offset + i * SECTOR) : [],
  );
}

/** All files of all file systems of the image, older and deleted ones too. */
async function everyFile(image: string): Promise<Node[]> {
  const stack = new Stack([image], { only: true });
  const queue: Node[] = [];
  for (const one of stack.roots) queue.push(...(await filesystems(stack, one)), ...(await beneath(stack, one)));
  const out: Node[] = [];
  for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
    for await (const child of childrenWith(stack, node, 'deleted')) {
      if (child.kind === 'file') out.push(child);
      else queue.push(child);
    }
  }
  return out;
}

async function read(node: Node): Promise<{ bytes: Buffer; had: Uint8Array; stated: Uint8Array }> {
  const source = (await node.bytes?.())!;
  const bytes = Buffer.alloc(source.size);
  await source.read(0, bytes);
  const had = new Uint8Array(source.size);
  const stated = new Uint8Array(source.size);
  const list = new RunList();
  for (let at = 0; at < source.size; ) {
    list.clear();
    let from = at;
    at = await flatten(source, at, source.size, list);
    for (let i = 0; i < list.n; i++) {
      const end = from + list.length[i];
      if (list.state(i) === DATA) had.fill(1, from, end);
      if (list.certainty(i) >= STATED) stated.fill(1, from, end);
      from = end;
    }
  }
  return { bytes, had, stated };
}
