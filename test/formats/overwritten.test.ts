/** Slots of file descriptors that something was written over: other bytes, another descriptor, or the lock alone. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { INFERRED, STATED } from '../../src/core/run.ts';
import { recover } from '../../src/export/index.ts';
import { home } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { type Fault, faulty, put } from '../faults/faults.ts';
import { exactly, seeded } from '../make/content.ts';
import { writeImages } from '../make/images.ts';
import { machineEntries } from '../make/machines.ts';
import { makeStore } from '../make/stores.ts';
import type { Made, TruthFile } from '../make/types.ts';
import { runsOf } from './gone.ts';
import { evidenceOf } from './stores.ts';

const VERSIONS = [3, 5, 6] as const;
const ENTRIES = [
  { path: '/web', kind: 'directory' as const },
  { path: '/web/one.iso', kind: 'file' as const, content: seeded(1, 3_000_000) },
  { path: '/web/two.iso', kind: 'file' as const, content: seeded(2, 2_000_000) },
  { path: '/web/sub', kind: 'directory' as const },
  { path: '/web/sub/three.txt', kind: 'file' as const, content: exactly('three') },
];
/** Four seeds: among random bytes is sometimes a mode that says directory. */
const SEEDS = [11, 12, 13, 14];

function made(version: 3 | 5 | 6): Made {
  return makeStore(version, { seed: 5, members: [{ pes: 4 }], entries: ENTRIES });
}

function slotOf(store: Made, path: string): { at: number; length: number; file: TruthFile } {
  const file = store.truth.files.find((one) => one.path === path)!;
  const name = `fd/0x${file.fdAddress.toString(16).padStart(8, '0')}`;
  const { at, length } = store.truth.structures.find((one) => one.name === name)!;
  return { at, length, file };
}

async function bytesAt(store: Made, at: number, length: number): Promise<Uint8Array> {
  const out = new Uint8Array(length);
  await evidenceOf(store)[0].source.read(at, out);
  return out;
}

function stackOf(store: Made, faults: readonly Fault[]): Stack {
  return new Stack(
    evidenceOf(store).map((one) => ({ ...one, source: faulty(one.source, faults) })),
    { only: true },
  );
}

async function nodeAt(stack: Stack, path: string): Promise<Node> {
  let node: Node | undefined = await home(stack);
  for (const step of path.slice(1).split('/')) node = node && (await stack.child(node, step));
  return node ?? expect.unreachable(path);
}

async function gradesOf(node: Node): Promise<number[]> {
  const grades = new Set<number>();
  for (const list of await runsOf(await node.bytes!())) for (let i = 0; i < list.n; i++) grades.add(list.certainty(i));
  return [...grades];
}

function expectNameOnly(node: Node, kind: Node['kind']): void {
  expect(node.kind).toBe(kind);
  expect(node.bytes).toBeUndefined();
  expect(node.facts.size).toBeUndefined();
  expect(node.damage.map(({ code }) => code)).toEqual(['vmfs.fd.missing']);
}

test.each(VERSIONS)('VMFS%i: other bytes in a slot say nothing of the file that is named', async (version) => {
  const store = made(version);
  const [file, folder] = ['/web/one.iso', '/web/sub'].map((path) => slotOf(store, path));
  for (const seed of SEEDS) {
    const noise = [file, folder].map(({ at, length }, i) => put(at, seeded(seed + i * 100, length).read(0, length)));
    const stack = stackOf(store, noise);
    expectNameOnly(await nodeAt(stack, '/web/one.iso'), 'file');
    expectNameOnly(await nodeAt(stack, '/web/sub'), 'directory');
  }
});

test.each(VERSIONS)('VMFS%i: a descriptor in the slot of another does not lend it its bytes', async (version) => {
  const store = made(version);
  const [one, two] = ['/web/one.iso', '/web/two.iso'].map((path) => slotOf(store, path));
  const stack = stackOf(store, [put(one.at, await bytesAt(store, two.at, two.length))]);
  const node = await nodeAt(stack, '/web/one.iso');
  expectNameOnly(node, 'file');
  expect(node.damage[0].actual).toContain(`calls itself 0x${two.file.fdAddress.toString(16).padStart(8, '0')}`);
  expect(await gradesOf(await nodeAt(stack, '/web/two.iso'))).toEqual([STATED]);
});

test.each(VERSIONS)('VMFS%i: a file that lost its lock alone is listed once, under its name', async (version) => {
  const store = made(version);
  const { at } = slotOf(store, '/web/one.iso');
  const stack = stackOf(store, [put(at, seeded(21, 512).read(0, 512))]);
  const node = await nodeAt(stack, '/web/one.iso');
  expect(await gradesOf(node)).toEqual([INFERRED]);
  const orphans = await stack.child(await home(stack), '+orphan');
  for await (const left of orphans!.children!()) expect.unreachable(left.locator);
});

test.each(VERSIONS)('VMFS%i: a length that no pointers could lead to is damage, not a size', async (version) => {
  const store = made(version);
  const lock = version === 6 ? 4096 : 512;
  for (const name of ['/web/one.iso', '/web/sub/three.txt']) {
    const { at, file } = slotOf(store, name);
    // Bit 50 of the length: a petabyte.
    const node = await nodeAt(stackOf(store, [put(at + lock + 0x14 + 6, new Uint8Array([4]))]), name);
    expect(node.damage.map(({ code }) => code)).toEqual(['vmfs.fd.length']);
    const source = await node.bytes!();
    expect(source.size).toBe(node.facts.size);
    expect(source.size).toBeLessThan(512 * 2 ** 20);
    const had = new Uint8Array(file.size);
    expect(await source.read(0, had)).toEqual([]);
    expect(Buffer.compare(had, file.content!.read(0, file.size))).toBe(0);
    expect(await gradesOf(node)).toEqual([INFERRED]);
  }
});

test('a disk descriptor made anew has the name of the one that is lost, so that the machine finds it', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-overwritten-'));
  const disks = [{ bytes: 4 * 2 ** 20, fill: 1, partitioned: true }];
  const store = makeStore(6, {
    seed: 8,
    members: [{ pes: 16 }],
    entries: machineEntries({ name: 'web', seed: 4, disks }),
  });
  const { at, length } = slotOf(store, '/web/web.vmdk');
  fs.mkdirSync(path.join(dir, 'lun'));
  await writeImages(store, path.join(dir, 'lun'));
  const [name] = fs.readdirSync(path.join(dir, 'lun'));
  const image = fs.openSync(path.join(dir, 'lun', name), 'r+');
  fs.writeSync(image, seeded(31, length).read(0, length), 0, length, at);
  fs.closeSync(image);
  const stack = new Stack([path.join(dir, 'lun', name)]);
  const out = path.join(dir, 'out');
  const given = { out, fill: 'zero', sha256: false, symlinks: 'text', system: false, command: ['test'] } as const;
  const manifest = await recover(stack, { ...given, signal: new AbortController().signal });
  stack.close();
  expect(manifest.regenerated?.map((one) => one.path)).toEqual(['web/web.vmdk']);
  expect(fs.readFileSync(path.join(out, 'web', 'web.vmdk'), 'latin1')).toContain('"web-flat.vmdk"');
  const lost = manifest.files.find((file) => file.locator.endsWith('::vmfs/web/web.vmdk'));
  expect(lost?.certainty.worst).toBe('missing');
  fs.rmSync(dir, { recursive: true });
});
