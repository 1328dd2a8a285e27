/** Disks whose first blocks live files have: placed from what they keep of themselves further behind, or not at all. */
import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { GUESSED, MISSING, RunList } from '../../src/core/run.ts';
import { home } from '../../src/stack/home.ts';
import { Stack } from '../../src/stack/stack.ts';
import { faulty, put, unreadable } from '../faults/faults.ts';
import { exactly, seeded } from '../make/content.ts';
import { Eraser } from '../make/damage.ts';
import { machineEntries } from '../make/machines.ts';
import { makeStore } from '../make/stores.ts';
import type { Made } from '../make/types.ts';
import { evidenceOf } from './stores.ts';

const MIB = 2 ** 20;
const SECTOR = 512;
const VERSIONS = [3, 5, 6] as const;
type Version = (typeof VERSIONS)[number];
/** Blocks of the disk, and those of them that a live file takes. */
const BLOCKS = 12;
const TAKEN = 4;
/** The partition begins behind the first of them. */
const PARTITION = MIB;
const MIRROR = 6 * MIB;

type Kind = 'ntfs' | 'ntfs elsewhere' | 'ext' | 'xfs' | 'gpt';

/** A disk of random bytes but for what its kind keeps of itself behind its start. */
function disk(kind: Kind): Buffer {
  const out = Buffer.from(seeded(77, BLOCKS * MIB).read(0, BLOCKS * MIB));
  out.fill(0, 0, SECTOR);
  const end = out.length - SECTOR;
  if (kind.startsWith('ntfs')) {
    out.fill(0, end).write('NTFS    ', end + 3, 'latin1');
    out.writeUInt16LE(SECTOR, end + 0x0b);
    out[end + 0x0d] = 8;
    out.writeUInt32LE((end - PARTITION) / SECTOR, end + 0x28);
    out.writeUInt32LE(4, end + 0x30);
    out.writeUInt32LE((MIRROR - PARTITION) / 4096, end + 0x38);
    out[end + 0x40] = 0xf6;
    out.writeUInt16LE(0xaa55, end + 510);
    if (kind === 'ntfs') {
      out.fill(0, MIRROR, MIRROR + 1024).write('FILE', MIRROR, 'latin1');
      out.writeUInt16LE(0x30, MIRROR + 4);
    }
  }
  if (kind === 'ext') {
    const at = PARTITION + 4 * MIB; // group 1 of groups of 1,024 blocks
    out.fill(0, at, at + 1024);
    out.writeUInt32LE((out.length - PARTITION) / 4096, at + 4);
    out.writeUInt32LE(2, at + 0x18);
    out.writeUInt32LE(1024, at + 0x20);
    out.writeUInt16LE(0xef53, at + 0x38);
    out.writeUInt16LE(1, at + 0x5a);
  }
  if (kind === 'xfs') {
    const at = PARTITION + 4 * MIB; // the second of three groups
    out.fill(0, at, at + 1024).write('XFSB', at, 'latin1');
    out.writeUInt32BE(4096, at + 4);
    out.writeUInt32BE((out.length - PARTITION) / 4096, at + 12);
    out.writeUInt32BE(1024, at + 84);
    out.writeUInt32BE(3, at + 88);
    out.writeUInt16BE(SECTOR, at + 102);
    out.write('XAGF', at + SECTOR, 'latin1');
    out.writeUInt32BE(1, at + SECTOR + 8);
    out.copy(out, at + 4 * MIB, at, at + 1024);
    out.writeUInt32BE(2, at + 4 * MIB + SECTOR + 8);
  }
  if (kind === 'gpt') {
    out.fill(0, end).write('EFI PART', end, 'latin1');
    out.writeUInt32LE(0x10000, end + 8);
    out.writeUInt32LE(92, end + 12);
    out.writeUInt32LE(end / SECTOR, end + 24);
    out.writeUInt32LE(1, end + 32);
    out.writeUInt32LE(128, end + 80);
    out.writeUInt32LE(128, end + 84);
    out.writeUInt32LE(crc32(out.subarray(end, end + 92)), end + 16);
  }
  return out;
}

/** A machine is gone with its descriptors, and a live file has the first blocks of its disk. */
function reused(version: Version, bytes: Buffer): Stack {
  const made = makeStore(version, {
    seed: 8,
    members: [{ pes: 4 }],
    entries: [
      { path: '/old', kind: 'directory' },
      { path: '/old/old-flat.vmdk', kind: 'file', content: exactly(bytes) },
      { path: '/new.bin', kind: 'file', content: seeded(3, TAKEN * MIB) },
    ],
  });
  const eraser = new Eraser(made).reuse('/old/old-flat.vmdk', '/new.bin', TAKEN);
  const changes = eraser.directory('/old', 'C', { journal: false }).changes();
  const evidence = evidenceOf(made).map((one, i) => {
    const faults = changes.filter(({ member }) => member === i).map(({ at, bytes: now }) => put(at, now));
    return { ...one, source: faulty(one.source, faults) };
  });
  return new Stack(evidence, { only: true });
}

async function carved(stack: Stack): Promise<Node[]> {
  const out: Node[] = [];
  for await (const node of stack.children((await stack.child(await home(stack), '+carved'))!)) out.push(node);
  return out;
}

/** Of each block of a file whether it is missing; fails where a byte is more than guessed. */
async function missing(node: Node): Promise<boolean[]> {
  const source = (await node.bytes?.())!;
  const out: boolean[] = [];
  const list = new RunList();
  for (let at = 0; at < source.size; at += MIB) {
    list.clear();
    await flatten(source, at, Math.min(source.size, at + MIB), list);
    for (let i = 0; i < list.n; i++)
      if (list.state(i) !== MISSING) expect(list.certainty(i)).toBeLessThanOrEqual(GUESSED);
    out.push(list.n === 1 && list.state(0) === MISSING);
  }
  return out;
}

for (const version of VERSIONS) {
  test.each(['ntfs', 'ext', 'xfs', 'gpt'] as const)(
    `VMFS${version}: what is left of a disk is placed by what it keeps of itself: %s`,
    async (kind) => {
      const bytes = disk(kind);
      const [node, ...more] = await carved(reused(version, bytes));
      expect(more).toEqual([]);
      // A file system is shown from where it begins itself; a disk with a table from its own first byte.
      const start = kind === 'gpt' ? 0 : PARTITION;
      expect(node.rawName).toMatch(kind === 'gpt' ? /-flat\.vmdk$/ : /\.img$/);
      expect(node.facts.size).toBe(bytes.length - start);
      const lost = TAKEN - start / MIB;
      const states = await missing(node);
      expect(states).toEqual(states.map((_, i) => i < lost));
      const had = Buffer.alloc(bytes.length - TAKEN * MIB);
      await (await node.bytes!()).read(lost * MIB, had);
      expect(had.equals(bytes.subarray(TAKEN * MIB))).toBe(true);
      expect(node.notices?.join(' ')).toContain(`the first ${lost * MIB} bytes have others now`);
    },
  );

  test(`VMFS${version}: nothing is placed where something else stands at a place that it must hold`, async () => {
    expect(await carved(reused(version, disk('ntfs elsewhere')))).toEqual([]);
  });
}

/** A store of one machine of which some structures are damaged. */
async function textOf(made: Made, name: string, faults: ReturnType<typeof put>[]): Promise<Node | undefined> {
  const stack = new Stack(
    evidenceOf(made).map((one) => ({ ...one, source: faulty(one.source, faults) })),
    { only: true },
  );
  let node = await stack.child(await home(stack), '+orphan');
  for (const step of ['one', name]) node = node && (await stack.child(node, step));
  return node;
}

test.each([
  ['its middle', 512],
  ['its start', 0],
])('a text whose descriptor is gone goes on behind what cannot be read of %s', async (_, bad) => {
  const made = makeStore(3, {
    seed: 9,
    members: [{ pes: 4 }],
    entries: machineEntries({ name: 'one', seed: 4, disks: [{ bytes: 4 * MIB }] }),
  });
  const file = made.truth.files.find(({ path }) => path === '/one/one.vmx')!;
  const fd = `fd/0x${file.fdAddress.toString(16).padStart(8, '0')}`;
  const faults = made.truth.structures.flatMap(({ at, length, name }) => {
    if (name === fd || name.startsWith(`journal:${fd}`)) return [unreadable(at, length)];
    return name === 'sb:/one/one.vmx#0' ? [unreadable(at + bad, 512)] : [];
  });
  const node = await textOf(made, 'one.vmx', faults);
  expect(node?.facts.size).toBe(file.size);
  const bytes = Buffer.alloc(file.size);
  const source = await node!.bytes!();
  expect(await source.read(0, bytes)).toMatchObject([{ offset: bad, length: 512 }]);
  const expected = Buffer.from(file.content!.read(0, file.size));
  expected.fill(0, bad, bad + 512);
  expect(bytes.toString('latin1')).toBe(expected.toString('latin1'));
  const list = new RunList();
  await flatten(source, 0, source.size, list);
  for (let i = 0; i < list.n; i++) expect(list.certainty(i)).toBeLessThanOrEqual(GUESSED);
});
