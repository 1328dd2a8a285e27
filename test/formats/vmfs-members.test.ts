/** Devices of a spanned VMFS volume of which more than one state is at hand. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { flatten } from '../../src/core/resolve.ts';
import { INFERRED, RunList, STATED } from '../../src/core/run.ts';
import { home } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { writeImages } from '../make/images.ts';
import { makeStore } from '../make/stores.ts';

let dir = '';
let images: string[] = [];
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-members-'));
});
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }));

const PE = 256 * 2 ** 20;
const SIZE = 300 * 2 ** 20;

async function made(): Promise<string> {
  const entries = [{ path: '/big.bin', kind: 'file' as const, content: seeded(9, SIZE) }];
  const store = makeStore(5, { seed: 8, members: [{ pes: 1 }, { pes: 2 }], entries });
  fs.mkdirSync(path.join(dir, 'now'));
  images = await writeImages(store, path.join(dir, 'now'));
  const copy = path.join(dir, 'copy.img');
  fs.copyFileSync(images[1], copy);
  return copy;
}

/** Writes into the device's data, as a host does that goes on after a copy was made. */
function change(image: string): void {
  const fd = fs.openSync(image, 'r+');
  for (let at = 0x1100000; at < 0x1100000 + PE; at += 2 ** 20)
    fs.writeSync(fd, Buffer.alloc(2 ** 20, 0x77), 0, 2 ** 20, at);
  fs.closeSync(fd);
}

async function seen(given: readonly string[], only: boolean): Promise<{ grades: Set<number>; codes: string[] }> {
  const stack = new Stack(given, { only });
  try {
    const root = await home(stack);
    const node = (await stack.child(root, 'big.bin'))!;
    const grades = new Set<number>();
    const source = (await node.bytes!())!;
    const list = new RunList();
    for (let at = 0; at < source.size; ) {
      list.clear();
      at = await flatten(source, at, source.size, list);
      for (let i = 0; i < list.n; i++) grades.add(list.certainty(i));
    }
    const codes = (stack.parentOf(root)?.damage ?? []).map(({ code }) => code);
    return { grades, codes };
  } finally {
    stack.close();
  }
}

test('two states of one device: what it holds is inferred, whichever comes first, and it is said', async () => {
  const copy = await made();
  change(copy);
  for (const given of [
    [images[0], images[1], copy],
    [copy, images[0], images[1]],
  ]) {
    const { grades, codes } = await seen(given, true);
    expect(codes).toContain('vmfs-lvm.copies');
    expect(grades).toEqual(new Set([STATED, INFERRED]));
  }
});

test('an equal copy of a device takes nothing from the other, nor does one that was not given', async () => {
  const copy = await made();
  expect(await seen([images[0], copy, images[1]], true)).toEqual({ grades: new Set([STATED]), codes: [] });
  change(copy);
  fs.renameSync(copy, path.join(path.dirname(images[1]), 'zz-older.img'));
  expect(await seen(images, false)).toEqual({ grades: new Set([STATED]), codes: [] });
});

test('beside an XFS with all of its superblocks all is inferred; one that lost some was written over itself', async () => {
  const store = makeStore(5, {
    seed: 8,
    members: [{ pes: 1 }],
    entries: [{ path: '/big.bin', kind: 'file', content: seeded(9, 9_000_000) }],
  });
  [images[0]] = await writeImages(store, dir);
  expect(await seen([images[0]], true)).toEqual({ grades: new Set([STATED]), codes: [] });
  const group = 16384;
  const at = [0, 1, 2, 3].map((i) => i * group * 4096);
  const fd = fs.openSync(images[0], 'r+');
  const block = Buffer.alloc(512);
  block.write('XFSB');
  block.writeUInt32BE(4096, 4);
  block.writeBigUInt64BE(BigInt(4 * group), 8);
  block.writeBigUInt64BE(128n, 56);
  for (const [place, value] of [
    [84, group],
    [88, 4],
    [96, 1600],
  ] as const)
    block.writeUInt32BE(value, place);
  block.writeUInt16BE(0xb4a5, 100);
  block.writeUInt16BE(512, 102);
  block.writeUInt16BE(512, 104);
  block.writeUInt16BE(8, 106);
  block.set([12, 9, 9, 3, 14], 120);
  for (const place of at) fs.writeSync(fd, block, 0, 512, place);
  const beside = await seen([images[0]], true);
  expect(beside.codes).toContain('vmfs-lvm.guest');
  expect(beside.grades).toEqual(new Set([INFERRED]));
  fs.writeSync(fd, Buffer.alloc(512), 0, 512, at[2]);
  fs.closeSync(fd);
  expect((await seen([images[0]], true)).grades).toEqual(new Set([STATED]));
});
