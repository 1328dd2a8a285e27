/** XFS volumes that lost their root, directories, or the trees and headers of their AGs. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { INFERRED } from '../../src/core/run.ts';
import { primary } from '../../src/formats/filesystem/xfs/geometry.ts';
import { orphansNode } from '../../src/formats/filesystem/xfs/orphans.ts';
import { recovered } from '../../src/formats/filesystem/xfs/recovered.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { type ExtEntry, writeEntries } from '../make/ext.ts';
import { makeMounted, mountAbsent } from '../make/mounted.ts';
import { cxOf } from './judged.ts';
import { everything, sha256, weakest, whole } from './volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-xfs-lost-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const absent = mountAbsent('xfs');
const entries: ExtEntry[] = Array.from({ length: 180 }, (_, i) => ({
  path: `${['', 'alpha/', 'alpha/deep/', 'beta/'][i % 4]}a file with a name of some length ${i}`,
  bytes: seeded(i, 100 + i * 311).read(0, 100 + i * 311),
}));
const gone: ExtEntry[] = Array.from({ length: 9 }, (_, i) => ({
  path: `beta/gone ${i}`,
  bytes: seeded(500 + i, 9000 + i).read(0, 9000 + i),
}));

/** A volume, where its inodes are, and how to read it with something of it wiped. */
function made(): { readonly sound: Buffer; readonly inodes: Map<string, number>; readonly agBytes: number } {
  const image = join(root, 'lost.img');
  const inodes = new Map<string, number>();
  makeMounted(
    'xfs',
    image,
    '100M',
    [],
    (dir) => {
      writeEntries(dir, [...entries, ...gone]);
      for (const path of ['', 'alpha', 'alpha/deep', 'beta']) inodes.set(path, fs.statSync(join(dir, path)).ino);
    },
    (dir) => {
      for (const { path } of gone) fs.rmSync(join(dir, path));
    },
  );
  const sound = fs.readFileSync(image);
  fs.rmSync(image);
  return { sound, inodes, agBytes: sound.readUInt32BE(84) * 4096 };
}

async function reading(bytes: Uint8Array, work: (stack: Stack, top: Node) => Promise<void>): Promise<void> {
  const stack = new Stack([{ name: 'x', source: new MemorySource(bytes) }], { only: true });
  await work(stack, (await stack.inside(stack.roots[0]))!);
  stack.close();
}

/** Paths of entries that come back below a virtual directory, byte for byte and inferred. */
async function found(stack: Stack, top: Node, name: string, state: string): Promise<Map<string, string>> {
  const out = new Map<string, string>();
  const folder = await stack.child(top, name);
  if (folder === undefined) return out;
  for (const [path, node] of await everything(stack, folder)) {
    if (node.kind !== 'file') continue;
    expect(node.state).toBe(state);
    const source = await node.bytes!();
    expect(await weakest(source)).toBe(INFERRED);
    out.set(path, sha256(await whole(source)));
  }
  return out;
}

test.skipIf(absent !== undefined)('roots and directories that are lost leave their files', async () => {
  const { sound, inodes, agBytes } = made();
  const placeOf = (path: string): number => {
    const [bits, blocks] = [sound[124] + sound[123], sound[123]];
    const number = inodes.get(path)!;
    const ag = Math.floor(number / 2 ** bits);
    return ag * agBytes + Math.floor((number % 2 ** bits) / 2 ** blocks) * 4096 + (number % 2 ** blocks) * 512;
  };
  await reading(sound, async (stack, top) => expect(await stack.child(top, '+orphan')).toBeUndefined());

  const rootless = Buffer.from(sound);
  rootless.fill(0xaa, placeOf(''), placeOf('') + 512);
  await reading(rootless, async (stack, top) => {
    expect(top.damage.map(({ code }) => code)).toEqual(['xfs.root']);
    const have = await found(stack, top, '+orphan', 'orphan');
    // The root is a block of its own, and has all names.
    for (const { path, bytes } of entries) expect(have.get(path), path).toBe(sha256(bytes!));
    expect(have.size).toBe(entries.length);
  });

  const torn = Buffer.from(sound);
  torn.fill(0, placeOf('alpha'), placeOf('alpha') + 512);
  await reading(torn, async (stack, top) => {
    const have = await found(stack, top, '+orphan', 'orphan');
    for (const { path, bytes } of entries.filter(({ path: one }) => one.startsWith('alpha/')))
      expect(have.get(path.replace('alpha/', `inode-${inodes.get('alpha')}/`)), path).toBe(sha256(bytes!));
  });
});

test.skipIf(absent !== undefined)('trees of inodes that are lost are made up for', async () => {
  const { sound, agBytes } = made();
  const view = new DataView(sound.buffer, sound.byteOffset);
  for (const what of ['header', 'tree', 'both superblock and headers'] as const) {
    const copy = Buffer.from(sound);
    for (let ag = 0; ag < 4; ag++) {
      const base = ag * agBytes;
      if (what === 'header') copy.fill(0, base + 1024, base + 1536);
      else if (what === 'tree')
        copy.fill(0x55, base + view.getUint32(base + 1044) * 4096, base + (view.getUint32(base + 1044) + 1) * 4096);
      else if (ag !== 1) copy.fill(0, base, base + 2048);
    }
    await reading(copy, async (stack, top) => {
      const live = await everything(stack, top);
      for (const { path, bytes } of entries)
        expect(sha256(await whole(await live.get(path)!.bytes!())), `${what}: ${path}`).toBe(sha256(bytes!));
      const folder = await stack.child(top, '+deleted');
      const have = folder === undefined ? new Map<string, Node>() : await everything(stack, folder);
      const back = gone.filter(({ path }) => have.get(path)?.kind === 'file');
      // Without the lists of free blocks nothing says that blocks of deleted files are still theirs.
      expect(back.length, what).toBe(gone.length);
    });
  }
});

test.skipIf(absent !== undefined)('where not all can be reached nothing passes for an orphan', async () => {
  const source = new MemorySource(made().sound);
  const geometry = (await primary(source))!;
  for (const most of [50, 10_000]) {
    const { volume } = await recovered(source, geometry, cxOf('x', {}));
    expect(await orphansNode(volume, 'x', most)).toBeUndefined();
    expect(volume.damage.map(({ code }) => code)).toEqual(most === 50 ? ['xfs.orphans.limit'] : []);
  }
});
