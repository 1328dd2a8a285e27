/** Journals of ext volumes: changes that were not put in place yet, and files that were deleted since. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { DATA, INFERRED, MISSING, RunList, STATED } from '../../src/core/run.ts';
import { Stack } from '../../src/stack/stack.ts';
import {
  debugfs,
  differingBlocks,
  type ExtEntry,
  ext2progsAbsent,
  logBlocks,
  makeExt,
  sampleEntries,
  writeEntries,
} from '../make/ext.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-ext-journal-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const entries = sampleEntries(3, 40).filter(({ bytes }) => bytes !== undefined && bytes.length > 0);
const from = join(root, 'from');
writeEntries(from, entries);
const gone = entries.filter(({ path }) => !path.startsWith('home/x') && !/[ %]/.test(path)).slice(0, 18);

async function opened(image: string): Promise<{ stack: Stack; top: Node }> {
  const stack = new Stack([image], { only: true });
  return { stack, top: (await stack.inside(stack.roots[0]))! };
}

async function at(stack: Stack, from: Node | undefined, path: string): Promise<Node | undefined> {
  let node = from;
  for (const name of path.split('/')) {
    node = node === undefined ? undefined : await stack.child(node, Buffer.from(name).toString('latin1'));
  }
  return node;
}

/** Whether a node gives exactly these bytes, and the strongest grade of any of them. */
async function content(
  node: Node | undefined,
  bytes: Uint8Array,
): Promise<{ same: boolean; best: number; lost: number }> {
  const source = await node?.bytes?.();
  if (source === undefined || source.size !== bytes.length) return { same: false, best: 0, lost: bytes.length };
  const had = new Uint8Array(source.size);
  await source.read(0, had);
  const list = new RunList();
  let best = 0;
  let lost = 0;
  for (let from = 0; from < source.size; ) {
    list.clear();
    from = await source.runs(from, source.size, list);
    for (let i = 0; i < list.n; i++) {
      if (list.state(i) === DATA) best = Math.max(best, list.certainty(i));
      if (list.state(i) === MISSING) lost += list.length[i];
    }
  }
  return { same: Buffer.compare(had, bytes) === 0, best, lost };
}

async function right(
  image: string,
  list: readonly ExtEntry[],
  below?: string,
): Promise<{ right: number; best: number }> {
  const { stack, top } = await opened(image);
  const start = below === undefined ? top : await stack.child(top, below);
  let count = 0;
  let best = 0;
  for (const { path, bytes } of list) {
    const one = await content(await at(stack, start, path), bytes!);
    count += Number(one.same);
    best = Math.max(best, one.best);
  }
  stack.close();
  return { right: count, best };
}

const kinds: readonly [string, readonly string[]][] = [
  ['ext3', ['-t', 'ext3', '-b', '1024']],
  ['ext4', ['-t', 'ext4', '-b', '1024']],
  ['ext4 of 4 KiB', ['-t', 'ext4', '-b', '4096', '-J', 'size=4']],
];

test.runIf(ext2progsAbsent === undefined).each(kinds)(
  '%s: what only the journal holds is read from it',
  async (name, options) => {
    const image = join(root, `replay-${name.replaceAll(' ', '-')}.img`);
    const later = `${image}.later`;
    makeExt(image, '32M', from, options);
    fs.copyFileSync(image, later);
    const fresh = entries.find(({ path }) => path === 'home/x/notes.txt')!;
    debugfs(later, [
      `rm /tiny`,
      `mkdir /fresh`,
      `write ${join(from, fresh.path)} /fresh/copy`,
      'symlink /fresh/link copy',
    ]);
    const changed = differingBlocks(image, later, options.includes('4096') ? 4096 : 1024);
    changed.delete(0);
    if (!options.includes('4096')) changed.delete(1); // the superblock, which says that the journal is needed
    logBlocks(image, changed);
    const { stack, top } = await opened(image);
    expect(top.notices?.[0]).toContain('read from its journal');
    expect(top.damage).toEqual([]);
    const copy = await at(stack, top, 'fresh/copy');
    expect(await content(copy, fresh.bytes!)).toEqual({ same: true, best: STATED, lost: 0 });
    expect(await at(stack, top, 'tiny')).toBeUndefined();
    expect((await at(stack, top, 'fresh/link'))?.facts.target).toBe('copy');
    stack.close();
  },
);

test.runIf(ext2progsAbsent === undefined).each(kinds)(
  '%s: 18 deleted files whose inodes keep their maps',
  async (name, options) => {
    const image = join(root, `own-${name.replaceAll(' ', '-')}.img`);
    makeExt(image, '32M', from, options);
    debugfs(
      image,
      gone.map(({ path }) => `rm /${path}`),
    );
    const found = await right(image, gone, '+deleted');
    expect(found.right).toBeGreaterThanOrEqual(17);
    expect(found.best).toBe(INFERRED);
  },
);

test.runIf(ext2progsAbsent === undefined).each(kinds)(
  '%s: 18 deleted files whose maps were wiped come back by the journal',
  async (name, options) => {
    const image = join(root, `wiped-${name.replaceAll(' ', '-')}.img`);
    const unit = options.includes('4096') ? 4096 : 1024;
    makeExt(image, '32M', from, options);
    const bytes = fs.readFileSync(image);
    const wanted = debugfs(
      image,
      [...gone.map(({ path }) => `imap /${path}`), ...['', 'home', 'many'].map((d) => `blocks /${d}`)],
      false,
    );
    const blocks = new Set([...wanted.matchAll(/located at block (\d+)/g)].map((m) => Number(m[1])));
    for (const [line] of wanted.matchAll(/^[\d ]+$/gm))
      for (const block of line.split(' ')) if (Number(block) > 0) blocks.add(Number(block));
    const copies = [...blocks].map((block): [number, Uint8Array] => [
      block,
      bytes.subarray(block * unit, (block + 1) * unit),
    ]);
    logBlocks(image, new Map(copies));
    debugfs(image, ['jr']);
    const numbers = [
      ...debugfs(
        image,
        gone.map(({ path }) => `imap /${path}`),
        false,
      ).matchAll(/^Inode (\d+)/gm),
    ].map((m) => m[1]);
    expect(numbers.length).toBe(gone.length);
    debugfs(
      image,
      gone.map(({ path }) => `rm /${path}`),
    );
    // As today's kernels leave an inode: no size, no blocks, an empty root of extents.
    const isTree = options.includes('ext4');
    debugfs(
      image,
      numbers.flatMap((n) => [
        `sif <${n}> size 0`,
        `sif <${n}> blocks 0`,
        `sif <${n}> block[0] ${isTree ? '0xf30a' : 0}`,
        ...Array.from({ length: 14 }, (_, i) => (isTree && i < 2 ? '' : `sif <${n}> block[${i + 1}] 0`)).filter(
          Boolean,
        ),
      ]),
    );
    expect((await right(image, gone)).right).toBe(0);
    const found = await right(image, gone, '+deleted');
    expect(found.right).toBeGreaterThanOrEqual(14);
    expect(found.best).toBe(INFERRED);
  },
);

test.runIf(ext2progsAbsent === undefined)('blocks of a deleted file that another one has now are missing', async () => {
  const image = join(root, 'reused.img');
  makeExt(image, '32M', from, ['-t', 'ext4', '-b', '1024']);
  const large = entries.find(({ path }) => path === 'large')!;
  const other = join(root, 'other');
  fs.writeFileSync(other, Buffer.alloc(600_000, 0x55));
  // Inodes and blocks are taken in order: the new file takes the first one's inode, and blocks of the second.
  const write = (name: string, path: string): string => `write ${join(from, name)} ${path}`;
  debugfs(image, [write('block', '/first'), write('large', '/second')]);
  debugfs(image, ['rm /first', 'rm /second', `write ${other} /other`]);
  const { stack, top } = await opened(image);
  let node: Node | undefined;
  // Its name may be gone: the new entry stands where it stood.
  for await (const child of stack.children((await stack.child(top, '+deleted'))!)) {
    if (child.facts.size === large.bytes!.length) node = child;
  }
  const { lost, same, best } = await content(node, large.bytes!);
  expect(lost).toBeGreaterThan(0);
  expect(lost).toBeLessThan(large.bytes!.length);
  expect(same).toBe(false);
  expect(best).toBe(INFERRED);
  stack.close();
});
