/** What no directory leads to any more on ext volumes: the root or a folder lost its inode, the files below are there. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { INFERRED } from '../../src/core/run.ts';
import { Stack } from '../../src/stack/stack.ts';
import { seeded } from '../make/content.ts';
import { toolsAbsent } from '../make/fat.ts';
import { everything, weakest, whole } from './volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-ext-orphans-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const absent = toolsAbsent('mke2fs', 'debugfs');
const bytes = (seed: number): Uint8Array => seeded(seed, 3000 + seed).read(0, 3000 + seed);

/** A volume with 30 files in a folder in a folder, of which `command` of debugfs took something. */
function volume(type: string, command?: string): Uint8Array {
  const tree = join(root, 'tree');
  fs.mkdirSync(join(tree, 'outer/inner'), { recursive: true });
  for (let i = 0; i < 30; i++) fs.writeFileSync(join(tree, 'outer/inner', `file-${i}`), bytes(i));
  const image = join(root, `${type}.img`);
  fs.rmSync(image, { force: true });
  execFileSync('mke2fs', ['-q', '-F', '-t', type, '-d', tree, image, '16M'], { stdio: 'ignore' });
  if (command !== undefined) execFileSync('debugfs', ['-w', '-R', command, image], { stdio: 'ignore' });
  return fs.readFileSync(image);
}

async function orphansOf(image: Uint8Array): Promise<Map<string, Node> | undefined> {
  const stack = new Stack([{ name: 'x', source: new MemorySource(image) }]);
  const top = (await stack.inside(stack.roots[0]))!;
  const orphans = await top.child!('+orphan');
  return orphans === undefined ? undefined : everything(stack, orphans);
}

test.skipIf(absent !== undefined).each(['ext2', 'ext3', 'ext4'])('%s: folders without a way to them', async (type) => {
  expect(await orphansOf(volume(type))).toBeUndefined();
  for (const [lost, way] of [
    ['clri <2>', '/inner/'],
    ['clri outer', '/'],
    ['clri outer/inner', ''],
  ] as const) {
    const found = (await orphansOf(volume(type, lost)))!;
    for (let i = 0; i < 30; i++) {
      const files = [...found].filter(([path]) =>
        way === '' ? path.startsWith('inode-') : path.endsWith(`${way}file-${i}`),
      );
      const contents = await Promise.all(files.map(async ([, node]) => whole(await node.bytes!())));
      const at = contents.findIndex((content) => Buffer.compare(content, bytes(i)) === 0);
      expect([lost, i, at >= 0]).toEqual([lost, i, true]);
      expect(files[at][1].state === 'orphan' || way !== '').toBe(true);
      expect(await weakest(await files[at][1].bytes!())).toBe(INFERRED);
    }
  }
});
