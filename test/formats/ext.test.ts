/** ext2, ext3 and ext4 volumes as mke2fs makes them: every name, every byte, and what is stated about them. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { DATA, INFERRED, RunList, STATED, ZERO } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { ext } from '../../src/formats/filesystem/ext/index.ts';
import { groupDescriptor, inodeStruct, superBlock } from '../../src/formats/filesystem/ext/structs.ts';
import { Stack } from '../../src/stack/stack.ts';
import { dice, faulty, put, zeroed } from '../faults/faults.ts';
import { seeded } from '../make/content.ts';
import { type ExtEntry, ext2progsAbsent, makeExt, sampleEntries, writeEntries } from '../make/ext.ts';
import { checkFormat } from '../suites/check-format.ts';
import { departures, everything, sha256, weakest, whole } from './volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-ext-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const entries = sampleEntries(1);
const from = join(root, 'from');
writeEntries(from, entries);

const combinations: readonly [string, string, readonly string[]][] = [
  ['ext2, 1 KiB', '16M', ['-t', 'ext2', '-b', '1024']],
  ['ext2, 2 KiB, inodes of 128', '16M', ['-t', 'ext2', '-b', '2048', '-I', '128']],
  ['ext2, 4 KiB, without types in entries', '16M', ['-t', 'ext2', '-b', '4096', '-O', '^filetype']],
  ['ext2, revision 0', '16M', ['-t', 'ext2', '-b', '1024', '-r', '0', '-O', 'none']],
  ['ext3, 1 KiB', '24M', ['-t', 'ext3', '-b', '1024', '-J', 'size=4']],
  ['ext3, 4 KiB', '24M', ['-t', 'ext3', '-b', '4096']],
  ['ext4, defaults', '24M', ['-t', 'ext4']],
  ['ext4, 1 KiB, several groups', '40M', ['-t', 'ext4', '-b', '1024', '-O', '^flex_bg']],
  ['ext4, 2 KiB, flex_bg of 4', '40M', ['-t', 'ext4', '-b', '2048', '-G', '4', '-g', '1024']],
  ['ext4, 64 KiB', '64M', ['-t', 'ext4', '-b', '65536']],
  ['ext4, inodes of 1024', '24M', ['-t', 'ext4', '-b', '4096', '-I', '1024']],
  ['ext4, inline data', '24M', ['-t', 'ext4', '-I', '256', '-O', 'inline_data']],
  ['ext4, without extents', '24M', ['-t', 'ext4', '-b', '1024', '-O', '^extents,^64bit']],
  ['ext4, without metadata_csum', '24M', ['-t', 'ext4', '-O', '^metadata_csum,uninit_bg']],
  ['ext4, without any sums', '24M', ['-t', 'ext4', '-O', '^metadata_csum,^uninit_bg']],
  ['ext4, 32-bit', '24M', ['-t', 'ext4', '-O', '^64bit']],
  ['ext4, seed of its own', '24M', ['-t', 'ext4', '-O', 'metadata_csum_seed']],
  ['ext4, meta_bg', '40M', ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode']],
  ['ext4, bigalloc', '64M', ['-t', 'ext4', '-O', 'bigalloc', '-C', '16384']],
  ['ext4, sparse_super2', '40M', ['-t', 'ext4', '-b', '1024', '-O', 'sparse_super2,^resize_inode']],
  ['ext4, no sparse_super', '40M', ['-t', 'ext4', '-b', '1024', '-O', '^sparse_super,^resize_inode']],
];

test.runIf(ext2progsAbsent === undefined).each(combinations)(
  '%s: all names, all bytes, all stated',
  async (name, size, options) => {
    const image = join(root, `${name.replaceAll(/\W/g, '-')}.img`);
    makeExt(image, size, from, options);
    expect(await departures(image, entries)).toEqual([]);
    fs.rmSync(image);
  },
);

/** A small volume in memory. */
function made(name: string, size: string, options: readonly string[], what: readonly ExtEntry[] = small): MemorySource {
  const image = join(root, `${name}.img`);
  const folder = join(root, `${name}.from`);
  writeEntries(folder, what);
  makeExt(image, size, folder, options);
  const source = new MemorySource(fs.readFileSync(image));
  fs.rmSync(image);
  return source;
}

const small = sampleEntries(2, 20);
const zeros = { name: 'zeros', source: new MemorySource([], 64 * 0x100000) };
const prose = { name: 'prose', source: new MemorySource(Buffer.from('Dear reader,\n'.repeat(900))) };

if (ext2progsAbsent === undefined) {
  const four = made('four', '16M', ['-t', 'ext4', '-b', '1024']);
  const two = made('two', '12M', ['-t', 'ext2', '-b', '1024']);
  const names = 'lost+found block empty fast home hundred large many sixty slow sparse tiny';
  const children = names.split(' ');
  checkFormat(ext, {
    fixtures: [
      { name: 'ext4', source: four, children },
      { name: 'ext2', source: two, children },
    ],
    others: [zeros, prose],
    tables: [
      { at: 1024, table: superBlock },
      { at: 2048, table: groupDescriptor },
      { at: await tableOf(two), table: inodeStruct },
      { at: (await tableOf(two)) + 256, table: inodeStruct },
      { at: (await tableOf(four)) + 256, table: inodeStruct },
    ],
  });

  test('seeded damage: what is stated is right, and nothing is thrown', async () => {
    const random = dice(7);
    let changed = 0;
    for (let round = 0; round < 200; round++) {
      const source = round % 2 === 0 ? four : two;
      // Metadata stands in the first part of such a volume; half of the faults are aimed at it.
      const at = random(round % 4 < 2 ? 2 ** 19 : source.size - 64);
      const bytes = Uint8Array.from({ length: 1 + random(40) }, () => random(256));
      const fault = round % 5 === 0 ? zeroed(at - (at % 512), 1024) : put(at, bytes);
      const { lies, differs } = await judge(faulty(source, [fault]), fault.at, fault.at + fault.length);
      if (differs) changed++;
      expect(lies, `round ${round}, ${fault.length} bytes at ${fault.at}`).toEqual([]);
    }
    expect(changed).toBeGreaterThan(10);
  });

  test('a pointer that leads into another file is not stated, in neither of the two', async () => {
    const stack = new Stack([{ name: 'two.img', source: two }], { only: true });
    const found = await everything(stack, (await stack.inside(stack.roots[0]))!);
    const mapAt = async (path: string): Promise<number> => {
      const size = superBlock.decode(await part(two, 1024, 1024)).inodeSize;
      return (await tableOf(two)) + (Number(found.get(path)!.facts.details!.inode) - 1) * size + 0x28;
    };
    const other = (await part(two, await mapAt('large'), 60)).subarray(20, 24);
    const fault = put((await mapAt('home/x/notes.txt')) + 12, other);
    const damaged = faulty(two, [fault]);
    const again = new Stack([{ name: 'x.img', source: damaged }], { only: true });
    const now = await everything(again, (await again.inside(again.roots[0]))!);
    expect(await weakest(await now.get('home/x/notes.txt')!.bytes!())).toBe(INFERRED);
    expect(await weakest(await now.get('large')!.bytes!())).toBe(INFERRED);
    expect(await weakest(await now.get('block')!.bytes!())).toBe(STATED);
    expect((await judge(damaged, fault.at, fault.at + 4)).lies).toEqual([]);
  });

  test("where a file's table of pointers is another's, its holes are not stated either", async () => {
    const bytes = seeded(9, 80_000).read(0, 28_672);
    const holed = new Uint8Array(45_056);
    holed.set(bytes.subarray(0, 12_288));
    for (let i = 0; i < 4; i++) holed.set(bytes.subarray(12_288 + 4096 * i, 16_384 + 4096 * i), 16_384 + 8192 * i);
    const entries = [
      { path: 'whole', bytes },
      { path: 'holed', bytes: holed, sparse: true },
    ];
    const source = made('holed', '12M', ['-t', 'ext2', '-b', '1024'], entries);
    const look = async (from: Source): Promise<Map<string, Node>> => {
      const stack = new Stack([{ name: 'x.img', source: from }], { only: true });
      return await everything(stack, (await stack.inside(stack.roots[0]))!);
    };
    const found = await look(source);
    const tableAt = async (path: string): Promise<number> => {
      const number = Number(found.get(path)!.facts.details!.inode);
      const map = await part(source, (await tableOf(source)) + (number - 1) * 256 + 0x28, 60);
      return new DataView(map.buffer).getUint32(48, true) * 1024;
    };
    const fault = put(await tableAt('whole'), await part(source, await tableAt('holed'), 1024));
    const now = await look(faulty(source, [fault]));
    expect(await weakest(await found.get('whole')!.bytes!())).toBe(STATED);
    const content = await now.get('whole')!.bytes!();
    const list = new RunList();
    for (let at = 12_288; at < content.size; ) at = await content.runs(at, content.size, list);
    expect(Array.from({ length: list.n }, (_, i) => list.certainty(i)).every((grade) => grade === INFERRED)).toBe(true);
    expect(Array.from({ length: list.n }, (_, i) => list.state(i))).toContain(ZERO);
  });

  test('a lost superblock is made up for with a copy, and all is inferred', async () => {
    const source = faulty(four, [zeroed(0, 4096)]);
    const stack = new Stack([{ name: 'four.img', source }], { only: true });
    const top = (await stack.inside(stack.roots[0]))!;
    expect(top.damage[0].code).toBe('ext.super');
    const found = await everything(stack, top);
    for (const { path, bytes } of small.filter((one) => one.bytes !== undefined)) {
      const content = await found.get(path)!.bytes!();
      expect(sha256(await whole(content)), path).toBe(sha256(bytes!));
      if (content.size > 0) expect(await weakest(content)).toBe(INFERRED);
    }
  });
}

async function part(source: Source, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await source.read(at, bytes);
  return bytes;
}

/** Where the inode table of the first group stands, by its descriptor. */
async function tableOf(source: Source): Promise<number> {
  const block = new Uint8Array(4);
  await source.read(2048 + 8, block);
  return new DataView(block.buffer).getUint32(0, true) * 1024;
}

/** What is stated of a damaged volume's files and is not so; bytes that were themselves changed do not count. */
async function judge(source: Source, from: number, end: number): Promise<{ lies: string[]; differs: boolean }> {
  const stack = new Stack([{ name: 'x.img', source }], { only: true });
  const top = await stack.inside(stack.roots[0]);
  if (top === undefined) return { lies: [], differs: true };
  const found = await everything(stack, top);
  const lies: string[] = [];
  let differs = top.damage.length > 0;
  for (const { path, bytes } of small) {
    const node = found.get(path);
    if (bytes === undefined || node?.bytes === undefined || node.kind !== 'file') {
      differs ||= bytes !== undefined;
      continue;
    }
    const content = await node.bytes();
    if (content.size !== bytes.length && node.damage.length === 0) lies.push(`${path}: ${content.size} bytes`);
    const list = new RunList();
    for (let at = 0; at < Math.min(content.size, bytes.length); ) {
      list.clear();
      const start = at;
      at = await content.runs(at, Math.min(content.size, bytes.length), list);
      let position = start;
      for (let i = 0; i < list.n; i++) {
        const length = list.length[i];
        const touched = list.state(i) === DATA && list.at[i] < end && list.at[i] + length > from;
        if (list.certainty(i) >= STATED && !touched) {
          const had = new Uint8Array(length);
          await content.read(position, had);
          const right = bytes.subarray(position, position + length);
          if (Buffer.compare(had, right) !== 0) lies.push(`${path}: ${length} bytes at ${position}`);
        } else differs = true;
        position += length;
      }
    }
  }
  return { lies, differs };
}
