/** Evidence that lies on purpose: each case ends in named damage, and all the rest is still had. */
import { expect, test } from 'vitest';
import { MemorySource } from '../../src/core/memory.ts';
import type { Node } from '../../src/core/node.ts';
import { filesystems, home } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { type Fault, faulty, put, unreadable, zeroed } from '../faults/faults.ts';
import { small3, small5, small6, spanned } from '../make/stores.ts';
import type { Made, TruthFile } from '../make/types.ts';
import { evidenceOf } from './stores.ts';

const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);
const u64 = (low: number, high: number): Uint8Array => new Uint8Array(new Uint32Array([low, high]).buffer);

const stores: [string, () => Made][] = [
  ['VMFS3', () => small3()],
  ['VMFS5', () => small5()],
  ['VMFS6', () => small6()],
];

/** Opens a store with faults laid over it. */
function opened(made: Made, faults: readonly (Fault & { member: number })[]): Stack {
  const evidence = evidenceOf(made).map((e, i) => {
    return {
      ...e,
      source: faulty(
        e.source,
        faults.filter((fault) => fault.member === i),
      ),
    };
  });
  return new Stack(evidence, { only: true });
}

function structure(made: Made, name: string): { member: number; at: number; length: number } {
  const found = made.truth.structures.find((s) => s.name === name);
  if (found === undefined) throw new Error(`no structure ${name}`);
  return found;
}

const fdName = (file: TruthFile): string => `fd/0x${file.fdAddress.toString(16).padStart(8, '0')}`;
const lockBytes = (made: Made): number => (made.truth.version === 6 ? 4096 : 512);

async function walk(stack: Stack): Promise<Map<string, Node>> {
  const out = new Map<string, Node>();
  const queue = [await home(stack)];
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    for await (const child of stack.children(node)) {
      out.set(child.locator.replace(/^.*::vmfs/, ''), child);
      if (child.children !== undefined) queue.push(child);
    }
    expect(out.size).toBeLessThan(5000);
  }
  return out;
}

const codes = (nodes: Iterable<Node>): Set<string> => new Set([...nodes].flatMap((n) => n.damage.map((d) => d.code)));

test.each(stores)('%s: a directory inside itself ends, and says so', async (_, make) => {
  const made = make();
  const folder = made.truth.files.find((f) => f.kind === 'directory' && f.path === '/kinds')!;
  const entry = made.truth.structures.find((s) => /^dirent:\/kinds\/folder$/.test(s.name))!;
  expect(entry).toBeDefined();
  const looped = await walk(opened(made, [{ member: entry.member, ...put(entry.at + 4, u32(folder.fdAddress)) }]));
  expect(codes(looped.values())).toContain('vmfs.directory.loop');
  expect([...looped.keys()].some((path) => path.startsWith('/names/'))).toBe(true);
});

test.each(stores)('%s: a pointer past the end is a gap, the rest of the file is there', async (_, make) => {
  const made = make();
  const six = made.truth.version === 6;
  const file = made.truth.files.find(
    (f) => f.kind === 'file' && f.allocation === 'direct' && f.size > 2 * made.truth.blockSize,
  )!;
  const { member, at } = structure(made, fdName(file));
  const word = six ? u64(0xffff8001, 0x00003fff) : u32(0xffffffc1);
  const nodes = await walk(opened(made, [{ member, ...put(at + (six ? 0x1600 : 0x400), word) }]));
  const source = await nodes.get(file.path)!.bytes!();
  const into = new Uint8Array(file.size);
  const gaps = await source.read(0, into);
  expect(gaps).toEqual([{ offset: 0, length: made.truth.blockSize, code: 'vmfs.pointer-range' }]);
  const rest = file.content!.read(made.truth.blockSize, file.size - made.truth.blockSize);
  expect(Buffer.compare(into.subarray(made.truth.blockSize), rest)).toBe(0);
});

test.each(stores)('%s: a length over 2**53 is damage, not a size', async (_, make) => {
  const made = make();
  const file = made.truth.files.find((f) => f.kind === 'file' && f.size > 0)!;
  const { member, at } = structure(made, fdName(file));
  const nodes = await walk(opened(made, [{ member, ...put(at + lockBytes(made) + 0x14, u64(0, 0x200000)) }]));
  const node = nodes.get(file.path)!;
  expect(node.damage.map((d) => d.code)).toContain('vmfs.fd.length');
  expect(node.facts.size).toBe(0);
});

test.each(stores)('%s: wiped descriptors are named, their neighbours are had', async (_, make) => {
  const made = make();
  const files = made.truth.files.filter((f) => f.kind === 'file' && f.path.startsWith('/kinds/'));
  const gone = files[0];
  const nodes = await walk(
    opened(made, [
      {
        ...structure(made, fdName(gone)),
        ...zeroed(structure(made, fdName(gone)).at, made.truth.version === 6 ? 8192 : 2048),
      },
    ]),
  );
  expect(nodes.get(gone.path)!.damage.map((d) => d.code)).toContain('vmfs.fd.missing');
  expect(nodes.get(gone.path)!.bytes).toBeUndefined();
  expect(nodes.get(files[1].path)!.damage).toEqual([]);
});

test.each(stores)('%s: an unreadable pointer table is a gap, never a hole', async (_, make) => {
  const made = make();
  const file = made.truth.files.find((f) => f.kind === 'file' && f.allocation === 'indirect')!;
  const table = made.truth.structures.find((s) => s.name === `pb:${file.path}#0`)!;
  const source = await (
    await walk(opened(made, [{ member: table.member, ...unreadable(table.at, table.length) }]))
  ).get(file.path)!.bytes!();
  const into = new Uint8Array(Math.min(file.size, 64 * 1024));
  expect(await source.read(0, into)).toEqual([{ offset: 0, length: into.length, code: 'vmfs.pointers-unreadable' }]);
});

test.each([3, 5, 6] as const)(
  'VMFS%i: a missing member is named, and what lies on the others is had',
  async (version) => {
    const made = spanned(version, 3);
    const evidence = evidenceOf(made);
    for (const lost of [1, 2]) {
      const stack = new Stack(
        evidence.filter((_, i) => i !== lost),
        { only: true },
      );
      const nodes = await walk(stack);
      expect(nodes.size).toBeGreaterThan(3);
      expect(codes(await stack.spans())).toContain('vmfs-lvm.member-missing');
    }
    const shuffled = new Stack([evidence[2], evidence[0], evidence[1]], { only: true });
    expect(codes(await filesystems(shuffled, shuffled.roots[0]))).toEqual(new Set());
  },
);

test('extents whose sum no disk can have are damage, not a fault', async () => {
  const text = `# Disk DescriptorFile\nversion=1\nCID=1\ncreateType="custom"\n${'RW 1099511627776 ZERO\n'.repeat(40)}`;
  const stack = new Stack([{ name: 'd.vmdk', source: new MemorySource(Buffer.from(text)) }], { only: true });
  const disk = await stack.inside(stack.roots[0]);
  expect(disk?.facts.size).toBe(2 ** 49);
  expect(disk?.damage.filter((d) => d.code === 'vmdk.extent-line')).toHaveLength(39);
});

test('PE entries and partitions whose ends no offset can name are damage, not a fault', async () => {
  const made = small5({ members: [{ pes: 4, wrap: 'gpt' }] });
  const far = u64(0xffffffff, 0x001fffff);
  const table = structure(made, 'lvm.petable');
  const fields = [9, 17, 25].map((at) => ({ member: 0, ...put(table.at + at, far) }));
  const header = structure(made, 'lvm.descriptor');
  const lost = { member: 0, ...put(header.at, u64(0, 0x200000)) };
  expect(await filesystems(opened(made, [...fields, lost]), opened(made, [...fields, lost]).roots[0])).toBeDefined();
  const entries = ['gpt.primary.entries', 'gpt.backup.entries'].map((name) => structure(made, name));
  const stack = opened(
    made,
    entries.map(({ member, at }) => ({ member, ...put(at + 40, far) })),
  );
  const inside = await stack.inside(stack.roots[0]);
  for await (const child of stack.children(inside!)) expect(await child.bytes?.()).toBeDefined();
});

test('a member of another datastore is left out', async () => {
  const made = spanned(5, 2);
  const [first] = evidenceOf(made);
  const [, foreign] = evidenceOf(spanned(6, 2));
  const stack = new Stack([first, { ...foreign, name: 'foreign.img' }], { only: true });
  await filesystems(stack, stack.roots[0]);
  const [span] = await stack.spans();
  expect(span.facts.details?.present).toBe(1);
});
