/** What a volume holds and no longer shows: deleted in every way, brought back from metadata alone. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { GUESSED, INFERRED, MISSING } from '../../src/core/run.ts';
import type { Manifest } from '../../src/export/index.ts';
import { home } from '../../src/stack/home.ts';
import { locate } from '../../src/stack/locate.ts';
import { Stack } from '../../src/stack/stack.ts';
import { build, salvor } from '../cli/salvor.ts';
import { corpusAbsent, corpusImage } from '../corpus.ts';
import { dice, faulty } from '../faults/faults.ts';
import { mutation } from '../fuzz/mutate.ts';
import { targetsOf } from '../fuzz/targets.ts';
import type { DeleteOptions, Variant } from '../make/damage.ts';
import { Eraser } from '../make/damage.ts';
import { writeImages } from '../make/images.ts';
import { makeStore, small3, small5, small6 } from '../make/stores.ts';
import type { TruthFile } from '../make/types.ts';
import type { EntrySpec } from '../make/vmfs.ts';
import { below, expectNoLie, inside, onMember, opened, runsOf } from './gone.ts';
import { evidenceOf } from './stores.ts';

const made = { 3: small3(), 5: small5(), 6: small6() } as const;
type Version = keyof typeof made;
const MIB = 0x100000;
const VERSIONS: readonly Version[] = [3, 5, 6];

const folderOf = (version: Version): string => `/web0${version}`;

/** Counts what came back: by its descriptor's address with its bytes, and by its name at its place. */
async function score(
  found: ReadonlyMap<string, Node>,
  wanted: readonly TruthFile[],
): Promise<{ bytes: number; names: number }> {
  const byAddress = new Map([...found].map(([path, node]) => [node.facts.details?.descriptor, { path, node }]));
  let bytes = 0;
  let names = 0;
  for (const file of wanted) {
    const one = byAddress.get(`0x${file.fdAddress.toString(16).padStart(8, '0')}`);
    if (one === undefined) continue;
    if (one.path === file.path) names++;
    expect(one.node.kind).toBe(file.kind);
    expect(one.node.facts.size).toBe(file.size);
    expect(one.node.facts.modified).toBe(file.mtime);
    expect(one.node.damage.length).toBeGreaterThan(0);
    if (file.content === undefined || file.kind === 'rdm') {
      bytes++;
      continue;
    }
    const source = await one.node.bytes!();
    let same = true;
    for (const extent of file.extents) {
      const there = new Uint8Array(Math.min(extent.length, 2 * 1024 * 1024));
      const gaps = await source.read(extent.offset, there);
      same &&= gaps.length === 0 && Buffer.compare(there, file.content.read(extent.offset, there.length)) === 0;
    }
    if (same) bytes++;
    await expectNoLie(one.node);
  }
  return { bytes: bytes / wanted.length, names: names / wanted.length };
}

const machines: [string, Version, Variant, DeleteOptions][] = VERSIONS.flatMap((version) => [
  [`VMFS${version}: entry removed, descriptor freed`, version, 'A', {}],
  [`VMFS${version}: entry cleared, descriptor untouched`, version, 'E', {}],
]);

test.each(machines)('%s: a machine comes back with its names and bytes', async (_, version, variant, options) => {
  const store = made[version];
  const folder = folderOf(version);
  const stack = opened(store, new Eraser(store).directory(folder, variant, options).changes());
  const found = await below(stack, variant === 'E' ? '+orphan' : '+deleted');
  const other = await below(stack, variant === 'E' ? '+deleted' : '+orphan');
  expect([...other.keys()]).toEqual([]);
  expect(await score(found, inside(store, folder))).toEqual({ bytes: 1, names: 1 });
});

test.each(machines)('%s: every kind of file comes back', async (_, version, variant, options) => {
  const store = made[version];
  const stack = opened(store, new Eraser(store).directory('/kinds', variant, options).changes());
  const found = await below(stack, variant === 'E' ? '+orphan' : '+deleted');
  // VMFS3/5: hundreds of files in clusters that each count generations anew, told apart by the order they came in.
  expect(await score(found, inside(store, '/kinds'))).toEqual({ bytes: 1, names: 1 });
});

test.each([3, 5] as const)('VMFS%i: where the last entry takes the place, content names disks', async (version) => {
  const store = made[version];
  const folder = folderOf(version);
  const options: DeleteOptions = { entry: 'moved', order: 'first' };
  const stack = opened(store, new Eraser(store).directory(folder, 'A', options).changes());
  const found = await below(stack, '+deleted');
  const { bytes, names } = await score(found, inside(store, folder));
  // Half of the entries are written over. Deltas name nothing: three of 18 files keep their addresses as names.
  expect({ bytes, names: Math.round(names * 18) }).toEqual({ bytes: 1, names: 15 });
  const bare = [...found.keys()].filter((path) => path.startsWith('/fd-'));
  expect(bare.every((path) => path.endsWith('-delta.vmdk'))).toBe(true);
});

test.each(VERSIONS)('VMFS%i: without the root directory all files are orphans, with names', async (version) => {
  const store = made[version];
  const root = store.truth.structures.filter((s) => /^dir:\/(#\d+)?$/.test(s.name));
  const wiped = root.map(({ member, at, length }) => ({ member, at, length, bytes: new Uint8Array(length) }));
  const found = await below(opened(store, wiped), '+orphan');
  const files = store.truth.files.filter((f) => f.kind !== 'directory' && f.kind !== 'system' && f.path !== '/');
  const { bytes } = await score(found, files);
  expect(bytes).toBe(1);
  // The machine's folder is called like its configuration; the other two folders have nothing that names them.
  const machine = await score(found, inside(store, folderOf(version)));
  expect(machine.names).toBe(1);
  const last = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
  const names = new Set([...found.keys()].map(last));
  expect(files.filter((f) => f.rawName === undefined && !names.has(last(f.path)))).toEqual([]);
});

test.each(VERSIONS)('VMFS%i: one file of a live directory, beside its live neighbours', async (version) => {
  const store = made[version];
  const path = `${folderOf(version)}/web0${version}-flat.vmdk`;
  const before = await listing(opened(store, []));
  const stack = opened(store, new Eraser(store).file(path, 'A').changes());
  const after = await listing(stack);
  expect(before.filter((one) => !after.includes(one)).map((one) => one.split(' ')[0])).toEqual([path]);
  const found = await below(stack, '+deleted');
  expect([...found.keys()]).toEqual([folderOf(version), path]);
  const node = found.get(path)!;
  expect([node.state, found.get(folderOf(version))!.state]).toEqual(['deleted', 'deleted']);
  const same = await locate(stack, node.locator);
  expect(same.node.facts).toEqual(node.facts);
  expect(node.locator).toMatch(/::vmfs\/\+deleted\/web0/);
});

test.each(VERSIONS)('VMFS%i: pointers that were cleared are missing bytes, not zeros', async (version) => {
  const store = made[version];
  const folder = folderOf(version);
  const flat = store.truth.files.find((f) => f.path === `${folder}/web0${version}_1-flat.vmdk`)!;
  const found = await below(opened(store, new Eraser(store).file(flat.path, 'B').changes()), '+deleted');
  const node = found.get(flat.path)!;
  expect([node.facts.size, node.facts.modified]).toEqual([flat.size, flat.mtime]);
  const [list] = await runsOf(await node.bytes!());
  expect([list.n, list.state(0), list.length[0], list.why(0)?.code]).toEqual([
    1,
    MISSING,
    flat.size,
    'vmfs.pointers-zeroed',
  ]);
});

test.each(VERSIONS)('VMFS%i: pointer blocks that were cleared are missing bytes, not zeros', async (version) => {
  const store = made[version];
  const found = await below(opened(store, new Eraser(store).file('/kinds/indirect', 'D').changes()), '+deleted');
  const source = await found.get('/kinds/indirect')!.bytes!();
  const [list] = await runsOf(source);
  expect([list.n, list.state(0), list.why(0)?.code]).toEqual([1, MISSING, 'vmfs.pointers-zeroed']);
});

test.each(VERSIONS)(
  'VMFS%i: pointer blocks that lost their descriptor lead to a file of their own',
  async (version) => {
    const store = made[version];
    const file = store.truth.files.find((f) => f.path === '/kinds/indirect')!;
    const stack = opened(store, new Eraser(store).file(file.path, 'C').changes());
    expect([...(await below(stack, '+deleted')).keys()]).toEqual([]);
    const found = await below(stack, '+orphan');
    expect([...found.keys()]).toEqual(['/kinds', file.path]);
    const node = found.get(file.path)!;
    // VMFS6 books pointer blocks to the directory of their file.
    const from = version === 6 ? /^booked to its directory/ : /^the only entry without a file/;
    expect(node.facts.details?.name_from).toMatch(from);
    const source = await node.bytes!();
    const there = new Uint8Array(file.size);
    expect(await source.read(0, there)).toEqual([]);
    expect(Buffer.compare(there, file.content!.read(0, file.size))).toBe(0);
    const [list] = await runsOf(source);
    expect([list.certainty(0), list.why(0)?.code]).toEqual([GUESSED, 'vmfs.pointers-unowned']);
  },
);

test.each([3, 5] as const)('VMFS%i: pointer blocks of one file are joined in order', async (version) => {
  const size = 2100 * MIB + 5;
  const content = {
    size,
    read(offset: number, length: number): Uint8Array {
      const out = new Uint8Array(length);
      const view = new DataView(out.buffer);
      for (let at = Math.ceil(offset / MIB) * MIB; at + 4 <= offset + length; at += MIB) {
        view.setUint32(at - offset, 0xd15c0000 + at / MIB, true);
      }
      return out;
    },
  };
  const entries: EntrySpec[] = [{ path: '/big', kind: 'file', content, force: 'indirect' }];
  const store = makeStore(version, { name: 'joined', seed: 77, members: [{ pes: 12 }], entries });
  const found = await below(
    opened(store, new Eraser(store).file('/big', 'C', { journal: false }).changes()),
    '+orphan',
  );
  expect(found.size).toBe(1);
  const [node] = found.values();
  expect(node.facts.details).toMatchObject({ pointerBlocks: 3, blocks: 2101 });
  const source = await node.bytes!();
  for (const block of [0, 1, 1023, 1024, 2047, 2048, 2100]) {
    const there = new Uint8Array(4);
    await source.read(block * MIB, there);
    expect(Buffer.compare(there, content.read(block * MIB, 4))).toBe(0);
  }
});

test.each(VERSIONS)('VMFS%i: exactly the blocks that a live file took are missing', async (version) => {
  const store = made[version];
  const eraser = new Eraser(store).file('/kinds/blocks', 'A').reuse('/kinds/blocks', '/kinds/wrapped', 2);
  const found = await below(opened(store, eraser.changes()), '+deleted');
  const file = store.truth.files.find((f) => f.path === '/kinds/blocks')!;
  const source = await found.get('/kinds/blocks')!.bytes!();
  const [list] = await runsOf(source);
  const taken = 2 * store.truth.blockSize;
  expect([list.state(0), list.length[0], list.why(0)?.code]).toEqual([MISSING, taken, 'vmfs.overwritten']);
  expect([list.n, list.certainty(1)]).toEqual([2, INFERRED]);
  const there = new Uint8Array(file.size - taken);
  expect(await source.read(taken, there)).toEqual([]);
  expect(Buffer.compare(there, file.content!.read(taken, there.length))).toBe(0);
});

test.each(VERSIONS)('VMFS%i: a block that two deleted files claim is guessed in both', async (version) => {
  const store = made[version];
  const eraser = new Eraser(store).file('/kinds/blocks', 'A').file('/kinds/wrapped', 'A');
  const changes = eraser.reuse('/kinds/blocks', '/kinds/wrapped', 2).changes();
  const found = await below(opened(store, changes), '+deleted');
  for (const path of ['/kinds/blocks', '/kinds/wrapped']) {
    const [list] = await runsOf(await found.get(path)!.bytes!());
    const shared = [list.length[0], list.certainty(0), list.why(0)?.code];
    expect(shared).toEqual([2 * store.truth.blockSize, GUESSED, 'vmfs.claimed-twice']);
    expect(list.certainty(1)).toBe(INFERRED);
  }
});

test.each(VERSIONS)('VMFS%i: a slot that was used again does not get the old name', async (version) => {
  const store = made[version];
  const eraser = new Eraser(store).directory(folderOf(version), 'A');
  const vmx = store.truth.files.find((f) => f.path === `${folderOf(version)}/web0${version}.vmx`)!;
  const found = await below(opened(store, eraser.renumber(vmx.path, 77).changes()), '+deleted');
  const node = [...found.values()].find((n) => n.facts.details?.generation === 77)!;
  expect(node.facts.details?.name_from).toMatch(/^content \(displayName\)/);
});

test.each(VERSIONS)('VMFS%i: a sound store holds nothing that it does not show', async (version) => {
  const stack = opened(made[version], []);
  expect((await below(stack, '+deleted')).size).toBe(0);
  expect((await below(stack, '+orphan')).size).toBe(0);
});

test.skipIf(corpusAbsent !== undefined).each(['vmfs3', 'vmfs5', 'vmfs6'] as const)(
  'the real %s datastore holds nothing that it does not show',
  async (name) => {
    const stack = new Stack([corpusImage(name)!], { only: true });
    try {
      expect([...(await below(stack, '+deleted')).keys()]).toEqual([]);
      expect([...(await below(stack, '+orphan')).keys()]).toEqual([]);
    } finally {
      stack.close();
    }
  },
);

/** All that is shown, with sizes: what must stay as it is. */
async function listing(stack: Stack): Promise<string[]> {
  const out: string[] = [];
  const queue = [{ node: await home(stack), path: '' }];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    for await (const child of stack.children(next.node)) {
      const path = `${next.path}/${child.rawName}`;
      out.push(`${path} ${child.kind} ${child.kind === 'directory' ? '' : child.facts.size}`);
      if (child.children !== undefined) queue.push({ node: child, path });
    }
  }
  return out;
}

test.each(VERSIONS)('VMFS%i: damage on top of deletion gives nodes, and nothing stated', async (version) => {
  const store = made[version];
  const changes = new Eraser(store).directory(folderOf(version), 'A').file('/kinds/folder', 'E').changes();
  const base = evidenceOf(store).map((e, i) => ({ ...e, source: faulty(e.source, onMember(changes, i)) }));
  const targets = targetsOf(store).filter(({ name }) => /^(fd\/|dir:|dirent|fdc|pb:|sbc)/.test(name));
  const random = dice(20261122 + version);
  for (let round = 0; round < 10; round++) {
    const { target } = targets[random(targets.length)];
    const fault = mutation(target, random);
    const mutated = base.map((e, i) => (i === target.member ? { ...e, source: faulty(e.source, [fault]) } : e));
    const stack = new Stack(mutated, { only: true });
    for (const name of ['+deleted', '+orphan'] as const) {
      for (const node of (await below(stack, name)).values()) await expectNoLie(node);
    }
  }
});

test('ls, tree and find show them when asked, recover brings them out', async () => {
  build();
  const dir = mkdtempSync(join(tmpdir(), 'salvor-residue-'));
  try {
    const store = made[5];
    const [image] = await writeImages(store, dir);
    const file = openSync(image, 'r+');
    const eraser = new Eraser(store).directory('/web05', 'A').file('/kinds/blocks', 'E');
    for (const { bytes, at } of eraser.changes()) writeSync(file, bytes, 0, bytes.length, at);
    closeSync(file);
    expect((await salvor('ls', image)).out).not.toContain('+deleted');
    expect((await salvor('ls', image, '--deleted')).out).toMatch(/\+deleted\n.*\+orphan\n/);
    expect((await salvor('tree', image, '--deleted')).out).toMatch(/ {2}\+deleted\/\n/);
    const found = await salvor('find', image, '--deleted', '--name', 'web05*.vmx');
    expect(found.out).toBe(`${image}::gpt/p1::vmfs/+deleted/web05/web05.vmx\n`);
    const vmx = store.truth.files.find((f) => f.path === '/web05/web05.vmx')!;
    expect((await salvor('cat', found.out.trim())).out).toBe(Buffer.from(vmx.content!.read(0, vmx.size)).toString());
    const out = join(dir, 'out');
    await salvor(
      'recover',
      image,
      '--out',
      out,
      '--deep',
      '--case',
      join(dir, 'case'),
      '--path',
      '**/web05*',
      '--path',
      '**/blocks',
    );
    const manifest = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')) as Manifest;
    const states = new Map(manifest.files.map((one) => [one.path, one]));
    expect(states.get('+deleted/web05/web05-flat.vmdk')?.state).toBe('deleted');
    expect(states.get('+orphan/kinds/blocks')?.state).toBe('orphan');
    for (const one of manifest.files) if (one.path.startsWith('+')) expect(one.certainty.worst).toBe('inferred');
    expect((await salvor('verify', out)).code).toBe(0);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
