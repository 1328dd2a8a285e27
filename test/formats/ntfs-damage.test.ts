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
import { dice, faulty, put, unreadable, zeroed } from '../faults/faults.ts';
import { makeNtfs, type NtfsEntry, ntfs3gAbsent, sampleNtfs } from '../make/ntfs.ts';
import { everything, opened, part, sha256, weakest, whole } from './ntfs-volumes.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'salvor-ntfs-damage-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const MIB = 2 ** 20;
const made = ntfs3gAbsent === undefined;
const CLUSTER = 4096;
const RECORD = 1024;
const small = sampleNtfs(2, 60);

/** A volume in memory. */
function volume(mib: number, options: readonly string[], entries: readonly NtfsEntry[]): MemorySource {
  const image = join(root, 'image');
  makeNtfs(image, mib * MIB, options, entries);
  const source = new MemorySource(fs.readFileSync(image));
  fs.rmSync(image);
  return source;
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
  const nodes: number[] = [0];
  for (let at = 0; at < four.size; at += CLUSTER) {
    if ((await part(four, at, 4)).toString('latin1') === 'INDX') nodes.push(at);
  }
  let changed = 0;
  const lied: string[] = [];
  for (let round = 0; round < 200; round++) {
    // Half of the faults are aimed at maps of runs, which is what leads astray.
    const aimed = targets[random(targets.length)] + 0x38 + random(0x1a0);
    const node = nodes[random(nodes.length)] + random(CLUSTER / 2);
    const own = MFT + [0, 1, 5, 6][random(4)] * RECORD + random(0x1a0);
    const at = [aimed, MFT + random(200 * RECORD), random(four.size - 64), node, own][round % 5];
    const bytes = Uint8Array.from({ length: 1 + random(round % 3 === 0 ? 2 : 40) }, () => random(256));
    const fault = round % 7 === 0 ? zeroed(at - (at % 512), 1024) : put(at, bytes);
    const { lies, differs } = await judge(faulty(four, [fault]));
    if (differs) changed++;
    if (lies.length > 0) lied.push(`round ${round}, ${fault.length} bytes at ${fault.at}: ${lies.join()}`);
  }
  expect(lied).toEqual([]);
  expect(changed).toBeGreaterThan(40);
});

/** Checks every file of `small` on a damaged volume: the right bytes, at the grade `least` or better; missing paths are told. */
async function survivors(source: Source, least: number): Promise<{ wrong: string[]; top: Node }> {
  const { stack, top } = await opened(source);
  const found = await everything(stack, top!);
  const wrong: string[] = [];
  for (const entry of small) {
    const node = found.get(entry.path);
    const bytes = contentOf(entry);
    if (node?.bytes === undefined) {
      wrong.push(`${entry.path} is not there`);
      continue;
    }
    const content = await node.bytes();
    if (content.size !== bytes.length || sha256(await whole(content)) !== sha256(bytes))
      wrong.push(`${entry.path} differs`);
    else if (bytes.length > 0 && (await weakest(content)) !== least) {
      wrong.push(`${entry.path} is of grade ${await weakest(content)}`);
    }
  }
  return { wrong, top: top! };
}

const codes = (node: Node | undefined): string[] => (node?.damage ?? []).map(({ code }) => code);
const END = four.size - 512;
const mirror = async (): Promise<number> => Number((await part(four, 0x38, 8)).readBigUInt64LE()) * CLUSTER;

test.runIf(made)('a lost boot sector is made up for with its copy, and all is inferred', async () => {
  const { wrong, top } = await survivors(faulty(four, [zeroed(0, 4096)]), INFERRED);
  expect(wrong).toEqual([]);
  expect(codes(top)).toEqual(['ntfs.boot']);
});

test.runIf(made)('a boot sector that leads astray is told by its copy', async () => {
  const { wrong, top } = await survivors(faulty(four, [put(0x0d, Uint8Array.of(16))]), INFERRED);
  expect(wrong).toEqual([]);
  expect(codes(top)).toEqual(['ntfs.boot']);
});

test.runIf(made)('without both boot sectors the layout is worked out from the records', async () => {
  const bare = faulty(four, [zeroed(0, 4096), zeroed(END, 512)]);
  const { wrong, top } = await survivors(bare, INFERRED);
  expect(wrong).toEqual([]);
  expect(top.facts.details?.clusterSize).toBe(CLUSTER);
  // Also by the mirror alone.
  const less = faulty(four, [zeroed(0, 4096), zeroed(MFT, 4 * RECORD), zeroed(END, 512)]);
  expect((await survivors(less, INFERRED)).wrong).toEqual([]);
});

test.runIf(made)('the first records come from the mirror', async () => {
  const { wrong, top } = await survivors(faulty(four, [zeroed(MFT, 4 * RECORD)]), STATED);
  expect(wrong).toEqual([]);
  expect(codes(top)).toContain('ntfs.mft.record');
});

test.runIf(made)('a $MFT that nothing tells of is put together from the numbers of its records', async () => {
  const source = faulty(four, [zeroed(MFT, RECORD), zeroed(await mirror(), RECORD)]);
  const { wrong, top } = await survivors(source, INFERRED);
  expect(wrong).toEqual([]);
  expect(codes(top)).toContain('ntfs.mft');
});

test.runIf(made)('a torn record is inferred, and said', async () => {
  const at = await recordOf('block');
  const { stack, top } = await opened(faulty(four, [put(at + 1022, Uint8Array.of(0x99, 0x99))]));
  const node = (await everything(stack, top!)).get('block')!;
  expect(codes(node)).toEqual(['ntfs.record.torn']);
  expect(await weakest(await node.bytes!())).toBe(INFERRED);
});

test.runIf(made)('files of a damaged index are known by what they say of themselves', async () => {
  const faults: ReturnType<typeof zeroed>[] = [];
  for (let at = 0; at < four.size; at += CLUSTER) {
    if ((await part(four, at, 4)).toString('latin1') === 'INDX') faults.push(zeroed(at, CLUSTER));
  }
  expect(faults.length).toBeGreaterThan(3);
  const { wrong } = await survivors(faulty(four, faults), STATED);
  expect(wrong).toEqual([]);
  // The root's own record: names of all that call it theirs.
  expect((await survivors(faulty(four, [zeroed(MFT + 5 * RECORD, RECORD)]), STATED)).wrong).toEqual([]);
});

test.runIf(made)('files whose directory is lost are orphans', async () => {
  const { stack, top } = await opened(faulty(four, [zeroed(await recordOf('home/x'), RECORD)]));
  const orphan = (await stack.child(top!, '+orphan'))!;
  const found = await everything(stack, orphan);
  const [path, end] = [...found].find((one) => one[0].endsWith('/deep/er/still/end'))!;
  expect(path).toMatch(/^record-\d+\/deep/);
  expect(end.state).toBe('orphan');
  const bytes = await end.bytes!();
  expect(sha256(await whole(bytes))).toBe(sha256(small.find((one) => one.path === 'home/x/deep/er/still/end')!.bytes!));
  expect(await weakest(bytes)).toBe(INFERRED);
});

test.runIf(made)('clusters that two files claim are inferred in both', async () => {
  const from = await recordOf('block');
  const record = await part(four, from, RECORD);
  const [large] = [await part(four, await recordOf('large'), RECORD)];
  const runsAt = (bytes: Buffer): number => {
    let at = bytes.readUInt16LE(0x14);
    while (bytes.readUInt32LE(at) !== 0x80) at += bytes.readUInt32LE(at + 4);
    return at + bytes.readUInt16LE(at + 32);
  };
  const a = runsAt(record);
  const b = runsAt(large);
  const bytesOf = (buffer: Buffer, at: number): number => buffer[at] >>> 4;
  expect([record[a] & 15, bytesOf(record, a)]).toEqual([1, bytesOf(large, b)]);
  const lcn = large.subarray(b + 1 + (large[b] & 15), b + 1 + (large[b] & 15) + bytesOf(large, b));
  const { stack, top } = await opened(faulty(four, [put(from + a + 2, lcn)]));
  const found = await everything(stack, top!);
  expect(await weakest(await found.get('block')!.bytes!())).toBe(INFERRED);
  expect(await weakest(await found.get('large')!.bytes!())).toBe(INFERRED);
  expect(await weakest(await found.get('home/x/notes.txt')!.bytes!())).toBe(STATED);
});

test.runIf(made)('a volume that was in use says so', async () => {
  const record = await part(four, MFT + 3 * RECORD, RECORD);
  let at = record.readUInt16LE(0x14);
  while (record.readUInt32LE(at) !== 0x70) at += record.readUInt32LE(at + 4);
  const flags = MFT + 3 * RECORD + at + record.readUInt16LE(at + 20) + 10;
  expect((await opened(four)).top!.notices).toEqual([]);
  expect((await opened(faulty(four, [put(flags, Uint8Array.of(1))]))).top!.notices).toHaveLength(1);
});

test.runIf(made)(
  'any damage: every file is read or named, nothing is thrown, and it ends',
  async () => {
    const random = dice(31);
    for (let round = 0; round < 200; round++) {
      const faults = Array.from({ length: 3 }, (_, i) => {
        const at = i * 2.5 * MIB + random(round % 2 === 0 ? 300 * RECORD : 2 * MIB);
        if (round % 7 === 0) return unreadable(at, 5000);
        return put(
          at,
          Uint8Array.from({ length: 1 + random(60) }, () => random(256)),
        );
      });
      const { stack, top } = await opened(faulty(four, faults));
      if (top === undefined) continue;
      const nodes = [...(await everything(stack, top)).values()];
      for (const name of ['+deleted', '+orphan']) {
        const gone = await stack.child(top, name);
        if (gone !== undefined) nodes.push(...(await everything(stack, gone)).values());
      }
      for (const node of nodes) {
        const source = await node.bytes?.();
        if (source !== undefined) await source.read(0, new Uint8Array(Math.min(source.size, 300_000)));
      }
      stack.close();
    }
  },
  60_000,
);
