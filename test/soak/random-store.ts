/** Stores that nobody thought of: everything about them follows from one seed. */
import { dice, seeded } from '../make/content.ts';
import { machineEntries } from '../make/machines.ts';
import { makeStore } from '../make/stores.ts';
import type { Content, Made } from '../make/types.ts';
import type { EntrySpec, Force, MemberSpec, Range, StoreSpec } from '../make/vmfs.ts';

const MIB = 0x100000;
const MAX_FILES = 40;
const LETTERS = ['a', 'Z', '0', ' ', '.', '%', ':', '@', '+', '~', 'ü', '中', '-flat.vmdk', '.vmx', '\t'];

type Dice = (below: number) => number;
type Version = 3 | 5 | 6;

/** Layouts that may be asked for; the maker refuses what does not go together. */
const FORCES: Readonly<Record<Version, readonly Force[]>> = {
  3: ['direct', 'indirect', 'cow'],
  5: ['direct', 'indirect', 'cow', 'pb2', 'double', 'double-pb'],
  6: ['direct', 'indirect', 'cow', 'pb2', 'double', 'sub-blocks', 'lfb', 'lfb-direct'],
};

function pick<T>(roll: Dice, list: readonly T[]): T {
  return list[roll(list.length)];
}

/** Lengths at and beside every border that the layouts have, and some anywhere. */
function sizeOf(roll: Dice, unit: number): number {
  const borders = [0, 1, 512, 1024, 3584, 4096, 8192, 65536, unit, 2 * unit, 5 * unit];
  if (roll(3) > 0) return Math.max(0, pick(roll, borders) + roll(3) - 1);
  return roll(4) === 0 ? roll(24 * unit) : roll(200_000);
}

/** Stretches of data, holes and blocks to be zeroed that tile a file, each of whole blocks. */
function rangesOf(roll: Dice, size: number, unit: number): Range[] {
  const kinds = ['data', 'data', 'hole', 'tbz'] as const;
  const ranges: Range[] = [];
  for (let at = 0; at < size; ) {
    const length = Math.min(size - at, (1 + roll(4)) * unit);
    ranges.push({ offset: at, length, kind: pick(roll, kinds) });
    at += length;
  }
  return ranges;
}

/** No byte is zero: what the maker leaves out because it is zeros would read as a hole of the evidence itself. */
function withoutZeros(content: Content): Content {
  return {
    size: content.size,
    read(offset, length) {
      const bytes = content.read(offset, length);
      for (let i = 0; i < bytes.length; i++) if (bytes[i] === 0) bytes[i] = 0xff;
      return bytes;
    },
  };
}

function fileOf(roll: Dice, version: Version, unit: number, path: string): EntrySpec {
  // A file in many small blocks, far larger than what is in it, or an ordinary one.
  const isWide = roll(8) === 0;
  const size = isWide ? (300 + roll(1500)) * unit : sizeOf(roll, unit);
  const entry: EntrySpec = {
    path,
    kind: 'file',
    content: withoutZeros(seeded(roll(1 << 30), size)),
    mode: roll(0o1000),
  };
  if (isWide) {
    const from = roll(299) * unit;
    entry.ranges = [
      { offset: 0, length: from, kind: 'hole' },
      { offset: from, length: 2 * unit, kind: 'data' },
      { offset: from + 2 * unit, length: size - from - 2 * unit, kind: 'hole' },
    ];
    entry.ranges = entry.ranges.filter((range) => range.length > 0);
  } else if (size > unit && roll(2) === 0) entry.ranges = rangesOf(roll, size, unit);
  if (roll(3) === 0) {
    const force = pick(roll, FORCES[version]);
    const isLarge = force === 'lfb' || force === 'lfb-direct';
    // Large blocks are 512 MiB each: two such files fill a small store.
    if (!isLarge || (roll(4) === 0 && entry.ranges === undefined)) entry.force = force;
  }
  if (roll(6) === 0) entry.place = pick(roll, ['end', 'wrap', 0.3, 0.7] as const);
  return entry;
}

function entriesOf(roll: Dice, version: Version, unit: number): EntrySpec[] {
  const entries: EntrySpec[] = [];
  const folders = [''];
  const used = new Set<string>();
  const path = (): string => {
    const length = 1 + roll(roll(5) === 0 ? 30 : 6);
    const name = `${entries.length}${Array.from({ length }, () => pick(roll, LETTERS)).join('')}`.slice(0, 100);
    used.add(name);
    return `${pick(roll, folders)}/${name}`;
  };
  const count = 5 + roll(MAX_FILES);
  for (let i = 0; i < count; i++) {
    const what = roll(12);
    if (what < 2 && folders.length < 10) {
      const folder = path();
      folders.push(folder);
      entries.push({ path: folder, kind: 'directory', ...(roll(4) === 0 && { force: 'direct' as const }) });
    } else if (what === 2) entries.push({ path: path(), kind: 'symlink', target: 'x'.repeat(1 + roll(600)) });
    else if (what === 3) entries.push({ path: path(), kind: 'rdm', size: (1 + roll(100)) * 512 * MIB });
    else entries.push(fileOf(roll, version, unit, path()));
  }
  if (roll(2) === 0) {
    const disk = { bytes: (4 + roll(20)) * MIB, fill: roll(10) / 10, thin: roll(2) === 0, partitioned: roll(2) === 0 };
    entries.push(
      ...machineEntries({ name: 'vm', seed: roll(1 << 20), disks: [disk], snapshots: roll(3), blockSize: unit }),
    );
  }
  return entries;
}

/** The specification that a seed stands for. */
export function specOf(seed: number): { version: Version; spec: StoreSpec } {
  const roll = dice(seed);
  const version = pick(roll, [3, 5, 6] as const);
  const isUpgraded = version === 5 && roll(3) === 0;
  const blockSize = version === 3 || isUpgraded ? pick(roll, [1, 2, 4, 8]) * MIB : MIB;
  const wraps = ['bare', 'mbr', 'gpt'] as const;
  const count = roll(3) === 0 ? 2 + roll(4) : 1;
  const least = version === 6 ? 4 : 2;
  const members = Array.from({ length: count }, (): MemberSpec => ({ pes: least + roll(6), wrap: pick(roll, wraps) }));
  const spec: StoreSpec = {
    name: `random${version}-${seed}`,
    seed,
    label: pick(roll, ['', 'datastore1', 'Ü 中', 'x'.repeat(60)]),
    blockSize,
    upgraded: isUpgraded,
    members,
    entries: entriesOf(roll, version, blockSize),
    allocation: pick(roll, ['sequential', 'interleaved'] as const),
    mounted: roll(3) === 0,
  };
  if (version === 6 && roll(4) === 0) spec.subBlocks = 5000 + roll(1500);
  if (roll(4) === 0) spec.descriptors = 300 + roll(2000);
  return { version, spec };
}

/** The store that a seed stands for, or why the maker refuses it: too full, or layouts that do not go together. */
export function randomStore(seed: number): Made | string {
  const { version, spec } = specOf(seed);
  try {
    return makeStore(version, spec);
  } catch (error) {
    return (error as Error).message;
  }
}
