/**
 * No lie: with ground truth, no byte that is graded stated or better is wrong where the damage could be detected.
 * What cannot be detected from metadata (the content itself, a length, a name, a time) is not mutated here.
 */
import { expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { MISSING, RunList, STATED } from '../../src/core/run.ts';
import type { NamedSource } from '../../src/stack/evidence.ts';
import { filesystems } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { dice, type Fault, faulty, put, unreadable, zeroed } from '../faults/faults.ts';
import { evidenceOf } from '../formats/stores.ts';
import { small3, small5, small6 } from '../make/stores.ts';
import type { Made, TruthFile } from '../make/types.ts';

const ROUNDS = Number(process.env.SALVOR_FUZZ_ROUNDS ?? 60);
const SEED = Number(process.env.SALVOR_FUZZ_SEED ?? 7);
const PROBE = 8192;

const stores: [string, () => Made][] = [
  ['VMFS3', () => small3()],
  ['VMFS5', () => small5()],
  ['VMFS6', () => small6()],
];

test.each(stores)('%s: no stated byte is wrong after damage to metadata', async (_, make) => {
  const made = make();
  const evidence = evidenceOf(made);
  const random = dice(SEED);
  const lies: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const { name, member, fault } = damage(made, random);
    const hurt = evidence.map((e, i) => (i === member ? { ...e, source: faulty(e.source, [fault]) } : e));
    for (const lie of await liesOf(made, hurt)) lies.push(`round ${round}, ${name} at ${fault.at}: ${lie}`);
  }
  expect(lies).toEqual([]);
});

test('a reader that lies is caught (canary)', async () => {
  const made = small5();
  const evidence = evidenceOf(made);
  const file = made.truth.files.find(
    (f) => f.kind === 'file' && f.allocation === 'direct' && f.extents.some((e) => e.kind === 'data'),
  )!;
  const extent = file.extents.find((e) => e.kind === 'data')!;
  // Content is what metadata cannot speak for: changing it is the lie that this test must be able to see.
  const fault = put(extent.at!, new Uint8Array(512).fill(0x55));
  const hurt = evidence.map((e, i) => (i === extent.member ? { ...e, source: faulty(e.source, [fault]) } : e));
  expect(await liesOf(made, hurt)).not.toEqual([]);
});

/** Damage that checks can see: structures wiped, unreadable, or with pointers that lead elsewhere. */
function damage(made: Made, random: (below: number) => number): { name: string; member: number; fault: Fault } {
  const six = made.truth.version === 6;
  const structures = made.truth.structures.filter((s) => !/^(heartbeat|journal|mbr|gpt|sb|lvm.names)/.test(s.name));
  const { name, member, at, length } = structures[random(structures.length)];
  const choice = random(4);
  if (choice === 0) return { name, member, fault: zeroed(at, length) };
  if (choice === 1) return { name, member, fault: unreadable(at, Math.min(length, 4096)) };
  if (name.startsWith('pb:') || (name.startsWith('fd/') && hasPointers(made, name))) {
    // One pointer replaced: by another block, or by noise.
    const start = name.startsWith('pb:') ? at : at + (six ? 0x1600 : 0x400);
    const width = six ? 8 : 4;
    const slot = random(name.startsWith('pb:') ? 64 : 8);
    const word = new Uint8Array(width);
    const view = new DataView(word.buffer);
    const block = 4 + random(600);
    if (six) {
      view.setUint32(0, (1 | ((block >>> 9) << 15)) >>> 0, true);
      view.setUint32(4, ((block & 511) << 19) >>> 0, true);
    } else view.setUint32(0, choice === 2 ? (block << 6) | 1 : random(0xffffffff), true);
    return { name, member, fault: put(start + slot * width, word) };
  }
  const noise = Uint8Array.from({ length: Math.min(length, 64) }, () => random(256));
  return { name, member, fault: put(at, noise) };
}

/** On VMFS3 and 5 inline content stands where pointers would, and changed content cannot be seen. */
function hasPointers(made: Made, name: string): boolean {
  const file = made.truth.files.find((f) => f.fdAddress === Number(name.slice(3)));
  return file !== undefined && ['sub-block', 'direct', 'indirect', 'double'].includes(file.allocation);
}

async function liesOf(made: Made, evidence: NamedSource[]): Promise<string[]> {
  const out: string[] = [];
  const truth = new Map(made.truth.files.map((file) => [file.path, file]));
  const stack = new Stack(evidence, { only: true });
  for (const root of stack.roots) {
    for (const volume of await filesystems(stack, root)) {
      const queue: { node: Node; path: string }[] = [{ node: volume, path: '' }];
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        for await (const child of stack.children(next.node)) {
          const path = `${next.path}/${Buffer.from(child.rawName, 'latin1').toString('utf8')}`;
          if (child.children !== undefined) queue.push({ node: child, path });
          const file = truth.get(path);
          if (child.kind === 'file' && file?.content !== undefined) out.push(...(await liesIn(child, file, path)));
        }
      }
    }
  }
  return out;
}

/** Compares what is graded stated or better with the truth, at both ends of every run and wherever the truth changes. */
async function liesIn(node: Node, file: TruthFile, path: string): Promise<string[]> {
  const source = await node.bytes?.();
  if (source === undefined) return [];
  const list = new RunList(2048);
  await flatten(source, 0, Math.min(source.size, file.size), list);
  let at = 0;
  for (let i = 0; i < list.n; i++) {
    const length = list.length[i];
    const graded = list.certainty(i) >= STATED && list.state(i) !== MISSING;
    const inner = file.extents.map((e) => e.offset).filter((offset) => offset > at && offset < at + length);
    for (const start of graded ? [at, at + Math.max(0, length - PROBE), ...inner] : []) {
      const there = new Uint8Array(Math.min(PROBE, at + length - start));
      const gaps = await source.read(start, there);
      const right = file.content!.read(start, there.length);
      if (gaps.length > 0) return [`${path}: a stated run at ${start} has a gap`];
      if (Buffer.compare(there, right) !== 0)
        return [`${path}: bytes near ${start} are graded ${list.certainty(i)} and wrong`];
    }
    at += length;
  }
  return [];
}
