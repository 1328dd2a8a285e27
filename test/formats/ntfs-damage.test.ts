/** Damaged NTFS volumes: what is stated is right, what can be found without the start is found, nothing is thrown. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { DATA, INFERRED, RunList, STATED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { filesystems } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { dice, faulty, put, unreadable, zeroed } from '../faults/faults.ts';
import { seeded } from '../make/content.ts';
import { formatNtfs, makeNtfs, type NtfsEntry, ntfs3gAbsent, onVolume, sampleNtfs } from '../make/ntfs.ts';
import { everything, sha256, weakest, whole } from './ntfs-volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-ntfs-damage-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const MIB = 2 ** 20;
const made = ntfs3gAbsent === undefined;
const CLUSTER = 4096;
const RECORD = 1024;
const small = sampleNtfs(2, 120);

function volume(mib: number, options: readonly string[], entries: readonly NtfsEntry[], then?: (at: string) => void): MemorySource {
  const image = join(root, 'image');
  makeNtfs(image, mib * MIB, options, entries);
  if (then !== undefined) onVolume(image, then);
  const source = new MemorySource(fs.readFileSync(image));
  fs.rmSync(image);
  return source;
}

async function opened(source: Source): Promise<{ stack: Stack; top: Node | undefined }> {
  const stack = new Stack([{ name: 'x.img', source }], { only: true });
  return { stack, top: (await filesystems(stack, stack.roots[0]))[0] };
}

async function part(source: Source, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await source.read(at, bytes);
  return bytes;
}

const contentOf = (entry: NtfsEntry): Uint8Array =>
  entry.bytes ?? small.find((one) => one.path === entry.linkTo)!.bytes!;

/** What is stated of a damaged volume's files and is not so; bytes that were themselves changed do not count. */
async function judge(source: Source): Promise<{ lies: string[]; differs: boolean }> {
  const { stack, top } = await opened(source);
  if (top === undefined) return { lies: [], differs: true };
  const found = await everything(stack, top);
  const lies: string[] = [];
  let differs = top.damage.length > 0;
  for (const entry of small) {
    const node = found.get(entry.path);
    const bytes = contentOf(entry);
    if (node?.bytes === undefined || node.kind !== 'file') {
      differs = true;
      continue;
    }
    const content = await node.bytes();
    if (content.size !== bytes.length) differs = true;
    const end = Math.min(content.size, bytes.length);
    const list = new RunList();
    for (let at = 0; at < end; ) {
      list.clear();
      let position = at;
      at = await flatten(content, at, end, list);
      for (let i = 0; i < list.n; i++) {
        const length = list.length[i];
        // What was put over the volume comes from another source than the rest of it.
        const touched = list.state(i) === DATA && list.sourceOf(i) !== four;
        if (list.certainty(i) >= STATED && !touched) {
          const right = bytes.subarray(position, position + length);
          if (Buffer.compare(await part(content, position, length), right) !== 0) {
            lies.push(`${entry.path}: ${length} bytes at ${position}`);
          }
        } else if (list.certainty(i) < STATED) differs = true;
        position += length;
      }
    }
  }
  stack.close();
  return { lies, differs };
}

const four = made ? volume(8, ['-c', '4096'], small) : new MemorySource([], 0);
/** mkntfs puts $MFT at the fourth cluster of 4 KiB. */
const MFT = 4 * CLUSTER;

/** Where the record of a file stands. */
async function recordOf(path: string): Promise<number> {
  const { stack, top } = await opened(four);
  const node = (await everything(stack, top!)).get(path)!;
  stack.close();
  return MFT + Number(node.facts.details!.record) * RECORD;
}

test.runIf(made)('the judge finds a lie (canary)', async () => {
  // Another volume's file of the same length in place of one: nothing in this volume can tell.
  const large = small.find((one) => one.path === 'large')!;
  expect((await judge(four)).lies).toEqual([]);
  const before = large.bytes!.slice();
  large.bytes!.set([1, 2, 3], 5000);
  expect((await judge(four)).lies.join()).toMatch(/^large: /);
  large.bytes!.set(before);
});

test.runIf(made)('seeded damage: what is stated is right, and nothing is thrown', async () => {
  const random = dice(7);
  const targets = await Promise.all(['large', 'sparse', 'text.log', 'block', 'home/x/notes.txt', 'many'].map(recordOf));
  let changed = 0;
  const lied: string[] = [];
  for (let round = 0; round < 200; round++) {
    // Half of the faults are aimed at maps of runs, which is what leads astray.
    const aimed = targets[random(targets.length)] + 0x38 + random(0x1a0);
    const at = [aimed, MFT + random(200 * RECORD), random(four.size - 64), aimed][round % 4];
    const bytes = Uint8Array.from({ length: 1 + random(round % 3 === 0 ? 2 : 40) }, () => random(256));
    const fault = round % 5 === 0 ? zeroed(at - (at % 512), 1024) : put(at, bytes);
    const { lies, differs } = await judge(faulty(four, [fault]));
    if (differs) changed++;
    if (lies.length > 0) lied.push(`round ${round}, ${fault.length} bytes at ${fault.at}: ${lies.join()} ${[...fault.bytes!]}`);
  }
  expect(lied).toEqual([]);
  expect(changed).toBeGreaterThan(40);
});
