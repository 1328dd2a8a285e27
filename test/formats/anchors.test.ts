/** Lost anchors and tables: whatever says where a volume and its files lie is wiped, and they are found all the same. */
import { expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { INFERRED, RunList } from '../../src/core/run.ts';
import { home } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { faulty, zeroed } from '../faults/faults.ts';
import { small3, small5, small6, spanned } from '../make/stores.ts';
import type { Made } from '../make/types.ts';
import { evidenceOf } from './stores.ts';

const stores: [string, () => Made][] = [
  ['VMFS3', () => small3()],
  ['VMFS5', () => small5()],
  ['VMFS6', () => small6()],
];
const losses: [string, RegExp][] = [
  ['partition tables', /^(mbr|gpt)/],
  ['LVM header', /^lvm\.header/],
  ['LVM descriptor', /^lvm\.descriptor/],
  ['LVM PE table', /^lvm\.(petable|pebitmap)/],
  ['all of the LVM', /^lvm/],
  ['file-system header', /^fsd/],
  ['heartbeats', /^heartbeat/],
  ['the root descriptor', /^fd\/0x00000004$/],
  ['the descriptor of descriptors', /^fd\/0x00800004$/],
  ['the descriptor of sub-blocks', /^fd\/0x01000004$/],
  ['any system descriptor', /^fd\/0x0[01][048c]00004$/],
  ['resource headers', /^(fbb|lfb|sfb|fdc|sbc|pbc|pb2|jbc)\.header/],
  ['resource headers and clusters', /^(fbb|lfb|sfb|fdc|sbc|pbc|pb2|jbc)\.(header|cluster)/],
  ['all anchors at once', /^(mbr|gpt|lvm|fsd|heartbeat)/],
];
const cases = stores.flatMap(([name, make]) => losses.map(([what, names]) => [name, what, make, names] as const));

/** A store with all structures of these names wiped. */
function without(made: Made, names: RegExp): Stack {
  const wiped = made.truth.structures.filter((s) => names.test(s.name));
  expect(wiped.length).toBeGreaterThan(0);
  const evidence = evidenceOf(made).map((e, i) => {
    const faults = wiped.filter((s) => s.member === i).map((s) => zeroed(s.at, s.length));
    return { ...e, source: faulty(e.source, faults) };
  });
  return new Stack(evidence, { only: true });
}

async function filesOf(stack: Stack): Promise<Map<string, Node>> {
  const out = new Map<string, Node>();
  const queue = [{ node: await home(stack), path: '' }];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for await (const child of stack.children(next.node)) {
      const path = `${next.path}/${Buffer.from(child.rawName, 'latin1').toString('utf8')}`;
      out.set(path, child);
      if (child.children !== undefined) queue.push({ node: child, path });
    }
  }
  return out;
}

test.each(cases)('%s without %s: all files with their names', async (_, what, make, names) => {
  const made = make();
  const found = await filesOf(without(made, names));
  let checked = 0;
  for (const file of made.truth.files) {
    if (file.kind !== 'file' || file.content === undefined || file.rawName !== undefined) continue;
    const node = found.get(file.path);
    expect(node, file.path).toBeDefined();
    const source = await node!.bytes!();
    const bytes = new Uint8Array(Math.min(file.size, 256 * 1024));
    expect(await source.read(0, bytes)).toEqual([]);
    expect(Buffer.compare(bytes, file.content.read(0, bytes.length)), file.path).toBe(0);
    if (what.startsWith('all anchors') && file.size > 0) {
      const list = new RunList();
      await flatten(source, 0, Math.min(file.size, 4096), list);
      expect(list.certainty(0)).toBeLessThanOrEqual(INFERRED);
    }
    checked++;
  }
  expect(checked).toBeGreaterThan(50);
});

test.each([3, 5, 6] as const)('VMFS%i on two devices without their LVM headers', async (version) => {
  const made = spanned(version, 2);
  const found = await filesOf(without(made, /^lvm\.header/));
  for (const file of made.truth.files.filter((f) => f.kind === 'file'))
    expect(found.has(file.path), file.path).toBe(true);
});

test('a lost partition entry is stated exactly', async () => {
  const made = small5({ members: [{ pes: 4, wrap: 'gpt', startSector: 4096 }] });
  const stack = without(made, /^(mbr|gpt)/);
  const root = await home(stack);
  const place = stack.parentOf(stack.parentOf(root)!)!;
  const { partitionStart, partitionBytes } = made.truth.members[0];
  expect(place.facts.details?.start).toBe(partitionStart);
  expect(place.notices?.[0]).toContain(`first sector ${partitionStart / 512}, ${partitionBytes / 512} sectors`);
});
