/** Pointer blocks whose file lost its pointers, or its descriptor: which file they are of, and in which order. */
import { expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { GUESSED, INFERRED } from '../../src/core/run.ts';
import { Eraser } from '../make/damage.ts';
import { makeStore } from '../make/stores.ts';
import type { Content, Made, TruthFile } from '../make/types.ts';
import type { EntrySpec } from '../make/vmfs.ts';
import { below, expectNoLie, opened, runsOf } from './gone.ts';

const MIB = 0x100000;
const VERSIONS = [3, 5, 6] as const;
type Version = (typeof VERSIONS)[number];

/** Each block begins with its number and the seed; the first with a partition table where it is a disk. */
function numbered(blocks: number, seed: number, disk = false): Content {
  const size = blocks * MIB;
  return {
    size,
    read(offset: number, length: number): Uint8Array {
      const out = new Uint8Array(length);
      const view = new DataView(out.buffer);
      for (let at = Math.ceil(offset / MIB) * MIB; at + 4 <= offset + length; at += MIB) {
        view.setUint32(at - offset, seed * 2 ** 20 + at / MIB, true);
      }
      if (disk && offset === 0 && length >= 512) out.set([0x55, 0xaa], 510);
      return out;
    },
  };
}

function disk(path: string, blocks: number, more: Partial<EntrySpec> = {}): EntrySpec {
  const content = numbered(blocks, path.length, true);
  return { path, kind: 'file', content, force: 'indirect', ...more };
}

function storeOf(version: Version, entries: EntrySpec[], more: object = {}): Made {
  const folder: EntrySpec[] = [{ path: '/vm', kind: 'directory' }];
  const last: EntrySpec = { path: '/last', kind: 'file', content: 'the newest file\n' };
  const all = [...folder, ...entries, last];
  return makeStore(version, { name: `chains${version}`, seed: 5, members: [{ pes: 48 }], entries: all, ...more });
}

const fileAt = (made: Made, path: string): TruthFile => made.truth.files.find((f) => f.path === path)!;

/** Every block's first bytes, or undefined where some are missing. */
async function isWhole(node: Node, content: Content): Promise<boolean> {
  const source = await node.bytes!();
  await expectNoLie(node);
  const there = new Uint8Array(512);
  for (let at = 0; at + 512 <= content.size; at += MIB) {
    const gaps = await source.read(at, there);
    if (gaps.length > 0 || Buffer.compare(there, content.read(at, 512)) !== 0) return false;
  }
  return true;
}

async function worst(node: Node): Promise<number> {
  let out = 9;
  for (const list of await runsOf(await node.bytes!())) {
    for (let i = 0; i < list.n; i++) out = Math.min(out, list.certainty(i));
  }
  return out;
}

const cases = VERSIONS.map((version) => [version, version === 6 ? 8192 : 1024] as const);

test.each(cases)('VMFS%i: cleared pointers of one file, one pointer block', async (version) => {
  const made = storeOf(version, [disk('/vm/a-flat.vmdk', 90), disk('/vm/bb-flat.vmdk', 70)]);
  const found = await below(opened(made, new Eraser(made).file('/vm/a-flat.vmdk', 'B').changes()), '+deleted');
  const node = found.get('/vm/a-flat.vmdk')!;
  expect(await isWhole(node, fileAt(made, '/vm/a-flat.vmdk').content!)).toBe(true);
  expect(await worst(node)).toBe(INFERRED);
  expect(node.facts.details?.pointers_from).toMatch(/^the only pointer blocks that fit its 90 blocks/);
});

test.each(cases)('VMFS%i: cleared pointers of two files are told apart by their blocks', async (version) => {
  const made = storeOf(version, [disk('/vm/a-flat.vmdk', 90), disk('/vm/bb-flat.vmdk', 70)]);
  const eraser = new Eraser(made).file('/vm/a-flat.vmdk', 'B').file('/vm/bb-flat.vmdk', 'B');
  const stack = opened(made, eraser.changes());
  const found = await below(stack, '+deleted');
  expect([...found.keys()]).toEqual(['/vm', '/vm/a-flat.vmdk', '/vm/bb-flat.vmdk']);
  for (const path of ['/vm/a-flat.vmdk', '/vm/bb-flat.vmdk']) {
    expect(await isWhole(found.get(path)!, fileAt(made, path).content!)).toBe(true);
    expect(await worst(found.get(path)!)).toBe(INFERRED);
  }
  expect([...(await below(stack, '+orphan')).keys()]).toEqual([]);
});

test.each(cases)('VMFS%i: where two fit, both are offered, as guesses', async (version) => {
  const made = storeOf(version, [disk('/vm/a-flat.vmdk', 80), disk('/vm/bb-flat.vmdk', 80)]);
  const eraser = new Eraser(made).file('/vm/a-flat.vmdk', 'B').file('/vm/bb-flat.vmdk', 'B');
  const found = await below(opened(made, eraser.changes()), '+deleted');
  const paths = ['/vm/a-flat.vmdk', '/vm/a-flat.vmdk;2', '/vm/bb-flat.vmdk', '/vm/bb-flat.vmdk;2'];
  expect([...found.keys()]).toEqual(['/vm', ...paths]);
  for (const path of ['/vm/a-flat.vmdk', '/vm/bb-flat.vmdk']) {
    const { content } = fileAt(made, path);
    const whole = [found.get(path)!, found.get(`${path};2`)!].map((node) => isWhole(node, content!));
    expect((await Promise.all(whole)).filter(Boolean)).toHaveLength(1);
    expect(await worst(found.get(path)!)).toBe(GUESSED);
  }
});

test.each(cases)('VMFS%i: several pointer blocks of files that grew in turns', async (version, perTable) => {
  const blocks = perTable + 300;
  const entries = [disk('/vm/a-flat.vmdk', blocks), disk('/vm/bb-flat.vmdk', version === 6 ? 500 : blocks + 600)];
  const made = storeOf(version, entries, { allocation: 'interleaved', members: [{ pes: version === 6 ? 48 : 16 }] });
  const found = await below(opened(made, new Eraser(made).file('/vm/a-flat.vmdk', 'B').changes()), '+deleted');
  const node = found.get('/vm/a-flat.vmdk')!;
  expect(await isWhole(node, fileAt(made, '/vm/a-flat.vmdk').content!)).toBe(true);
  expect(node.facts.details).toMatchObject({ pointerBlocks: 2 });
  expect(await worst(node)).toBe(INFERRED);
});

test.each([5, 6] as const)('VMFS%i: a pointer block of the second level gives the order', async (version) => {
  const blocks = version === 6 ? 8192 + 10 : 3100;
  const unit = (from: number, to: number) => ({ offset: from * MIB, length: (to - from) * MIB, kind: 'data' as const });
  const ranges = [unit(0, 40), unit(blocks - 50, blocks)];
  const made = storeOf(version, [disk('/vm/a-flat.vmdk', blocks, { force: 'double', ranges })]);
  for (const variant of ['B', 'C'] as const) {
    const eraser = new Eraser(made).file('/vm/a-flat.vmdk', variant);
    const found = await below(opened(made, eraser.changes()), variant === 'B' ? '+deleted' : '+orphan');
    const [node] = [...found.values()].filter((one) => one.kind === 'file');
    const source = await node.bytes!();
    for (const block of [0, 39, blocks - 50, blocks - 1]) {
      const there = new Uint8Array(512);
      expect(await source.read(block * MIB, there)).toEqual([]);
      expect(Buffer.compare(there, fileAt(made, '/vm/a-flat.vmdk').content!.read(block * MIB, 512))).toBe(0);
    }
    await expectNoLie(node);
  }
});
