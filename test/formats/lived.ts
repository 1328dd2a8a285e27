/** Volumes that were lived in: written, deleted from and written over again, in several mounts; and what is true of them. */
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { MadeSource } from '../../src/core/made.ts';
import type { Node } from '../../src/core/node.ts';
import { flatten } from '../../src/core/resolve.ts';
import { DATA, INFERRED, LOST, RunList, STATED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';
import { Stack } from '../../src/stack/stack.ts';
import { dice } from '../faults/faults.ts';
import { makeBtrfs, run } from '../make/btrfs.ts';
import { seeded } from '../make/content.ts';
import { debugfs } from '../make/ext.ts';
import { makeMounted } from '../make/mounted.ts';
import { formatNtfs, onVolume } from '../make/ntfs.ts';
import { everything } from './volumes.ts';

/** What is on a volume at its end, and all that ever stood at a path. */
export interface Lived {
  readonly bytes: Buffer;
  /** The volume as each of the earlier mounts left it. */
  readonly before: readonly Buffer[];
  readonly truth: ReadonlyMap<string, Uint8Array>;
  readonly ever: ReadonlyMap<string, readonly Uint8Array[]>;
  readonly logged: ReadonlySet<number>;
}

type Step = (dir: string) => void;
export interface Kind {
  readonly name: string;
  readonly make: (image: string, steps: readonly Step[]) => void;
  /** Its structures carry no sums: what is changed inside one cannot be told from what was written. */
  readonly isUnsummed?: true;
  /** Offsets of blocks that hold what others held before. */
  readonly logged?: (image: string) => readonly number[];
}

const mounted =
  (kind: string, size: string, options: readonly string[]): Kind['make'] =>
  (image, steps) =>
    makeMounted(kind, image, size, options, ...steps);
const btrfs =
  (options: readonly string[], mount?: string): Kind['make'] =>
  (image, steps) =>
    makeBtrfs({ images: [image], size: '144M', options, ...(mount !== undefined && { mount }) }, ...steps);

/** The blocks of ext's journal (inode 8). */
const journalOf =
  (blockSize: number): NonNullable<Kind['logged']> =>
  (image) =>
    debugfs(image, ['blocks <8>'], false)
      .match(/\b\d+\b/g)!
      .map((block) => Number(block) * blockSize);

export type Family = 'btrfs' | 'xfs' | 'ext' | 'ntfs';

export const KINDS: Readonly<Record<Family, readonly Kind[]>> = {
  btrfs: [
    { name: 'btrfs, zlib', make: btrfs(['-m', 'single', '-n', '4096'], 'compress-force=zlib') },
    { name: 'btrfs', make: btrfs(['-m', 'single', '-n', '4096']) },
    { name: 'btrfs, mixed, zstd', make: btrfs(['-M'], 'compress-force=zstd') },
  ],
  xfs: [
    { name: 'XFS', make: mounted('xfs', '64M', ['-b', 'size=1024']) },
    { name: 'XFS, 4 KiB', make: mounted('xfs', '64M', []) },
  ],
  ext: [
    { name: 'ext4', make: mounted('ext4', '32M', ['-b', '1024']), logged: journalOf(1024) },
    {
      name: 'ext4, inline data',
      make: mounted('ext4', '32M', ['-b', '4096', '-O', 'inline_data']),
      logged: journalOf(4096),
    },
    { name: 'ext3', make: mounted('ext3', '32M', ['-b', '1024']), isUnsummed: true, logged: journalOf(1024) },
  ],
  ntfs: [
    {
      name: 'NTFS',
      isUnsummed: true,
      make(image, steps) {
        formatNtfs(image, 24 * 2 ** 20, []);
        for (const step of steps) onVolume(image, step);
      },
    },
    {
      name: 'NTFS, compressed',
      isUnsummed: true,
      make(image, steps) {
        formatNtfs(image, 24 * 2 ** 20, ['-C']);
        for (const step of steps) onVolume(image, step, 'compression');
      },
    },
  ],
};

const FOLDERS = ['', 'a/', 'a/b/', 'c/', 'd/e/'];
/** Bytes of half a file repeat themselves, the rest cannot be compressed. */
function content(seed: number, size: number): Uint8Array {
  const out = Buffer.from(`line ${seed} of a text; `.repeat(Math.ceil(size / 16))).subarray(0, size);
  if (size > 2000) out.set(seeded(seed, Math.floor(size / 2)).read(0, Math.floor(size / 2)), Math.floor(size / 3));
  return Uint8Array.from(out);
}

/** Makes a volume and lives in it. */
export function lived({ make, logged }: Kind, image: string, seed: number, cycles = 1): Lived {
  const roll = dice(seed);
  const truth = new Map<string, Uint8Array>();
  const ever = new Map<string, Uint8Array[]>();
  const before: Buffer[] = [];
  let count = 0;
  const say = (path: string, bytes: Uint8Array): void => {
    truth.set(path, bytes);
    ever.set(path, [...(ever.get(path) ?? []), bytes]);
  };
  const put = (dir: string, path: string, bytes: Uint8Array): void => {
    fs.mkdirSync(dirname(join(dir, path)), { recursive: true });
    fs.writeFileSync(join(dir, path), bytes);
    say(path, bytes);
  };
  const sizeOf = (): number => [0, 40, 700, 5000, 40_000, 300_000][roll(6)] + roll(500);
  const write: Step = (dir) => {
    for (let i = 0; i < 30; i++)
      put(dir, `${FOLDERS[roll(FOLDERS.length)]}file ${count++}${'x'.repeat(roll(30))}`, content(roll(1e6), sizeOf()));
    // Two files that grow in turns lie in pieces.
    const pair = [`pieces ${count++}`, `pieces ${count++}`].map((path) => ({
      path,
      bytes: content(roll(1e6), 200_000),
    }));
    const files = pair.map(({ path }) => fs.openSync(join(dir, path), 'w'));
    for (let at = 0; at < 200_000; at += 20_000)
      for (const [i, file] of files.entries()) {
        fs.writeSync(file, pair[i].bytes, at, 20_000, at);
        fs.fsyncSync(file);
      }
    for (const file of files) fs.closeSync(file);
    for (const { path, bytes } of pair) say(path, bytes);
    const sparse = new Uint8Array(500_000);
    sparse.set(content(roll(1e6), 30_000), 300_000);
    const path = `sparse ${count++}`;
    const file = fs.openSync(join(dir, path), 'w');
    fs.ftruncateSync(file, sparse.length);
    fs.writeSync(file, sparse, 300_000, 30_000, 300_000);
    fs.closeSync(file);
    say(path, sparse);
  };
  const change: Step = (dir) => {
    const paths = [...truth.keys()];
    for (const path of paths) {
      const choice = roll(8);
      if (choice < 3) {
        fs.rmSync(join(dir, path));
        truth.delete(path);
      } else if (choice === 3) put(dir, path, content(roll(1e6), sizeOf()));
      else if (choice === 4) {
        const now = truth.get(path)!.slice(0, Math.floor(truth.get(path)!.length / 2));
        fs.truncateSync(join(dir, path), now.length);
        say(path, now);
      } else if (choice === 5) {
        const other = `${FOLDERS[roll(2)]}moved ${count++}`;
        fs.renameSync(join(dir, path), join(dir, other));
        say(other, truth.get(path)!);
        truth.delete(path);
      }
    }
  };
  const settle: Step = (dir) => {
    run('sync', '-f', dir);
    before.push(fs.readFileSync(image));
  };
  make(image, [write, settle, change, settle, ...Array.from({ length: cycles }, () => [write, change]).flat()]);
  const bytes = fs.readFileSync(image);
  const log = new Set(logged?.(image));
  fs.rmSync(image);
  return { bytes, before, truth, ever, logged: log };
}

/** What was said of a damaged volume that is not so, and how much of it was had. */
export interface Verdict {
  readonly lies: string[];
  /** Bytes of the truth: stated and right, and all of it. */
  readonly stated: number;
  readonly all: number;
  /** Bytes below +deleted and +orphan that are inferred: those that ever stood at that path, and others. */
  readonly right: number;
  readonly wrong: string[];
  readonly wrongBytes: number;
  /** Damages that were said of the volume and of what lives on it. */
  readonly damages: number;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type IsTouched = (source: Source, at: number, length: number) => boolean;
type Truth = Pick<Lived, 'truth' | 'ever'>;

/** Opens a volume and judges every byte; `isTouched` tells of bytes of the image that were changed and that no sum covers. */
export async function verdict(
  source: Source,
  truth: Truth,
  order: 'live first' | 'gone first' | 'live only',
  isTouched: IsTouched = () => false,
): Promise<Verdict> {
  const out = { lies: [] as string[], stated: 0, all: 0, right: 0, wrong: [] as string[], wrongBytes: 0, damages: 0 };
  const stack = new Stack([{ name: 'x', source }], { only: true });
  const top = await stack.inside(stack.roots[0]);
  if (top?.kind !== 'filesystem') return out;
  const gone = async (): Promise<void> => {
    for (const name of ['+deleted', '+orphan']) {
      const folder = await stack.child(top, name);
      if (folder === undefined) continue;
      for (const [path, node] of await everything(stack, folder)) await judgeGone(path, node, truth, out);
    }
  };
  if (order === 'gone first') await gone();
  const found = await everything(stack, top);
  for (const [path, node] of found) await judgeLive(path, node, truth, isTouched, out);
  out.damages = [top, ...found.values()].reduce((sum, { damage }) => sum + damage.length, 0);
  for (const path of truth.truth.keys()) {
    if (found.has(path)) continue;
    // What is lost is said of the directory that should name it.
    let above = dirname(path);
    while (above !== '.' && !found.has(above)) above = dirname(above);
    if ((found.get(above) ?? top).damage.length === 0) out.lies.push(`${path} is not there, and nothing is said`);
  }
  if (order === 'live first') await gone();
  stack.close();
  return out;
}

async function judgeGone(path: string, node: Node, { ever }: Truth, out: Writable<Verdict>): Promise<void> {
  if (node.state === 'live') out.lies.push(`${node.locator} is said to live`);
  const bytes = await node.bytes?.();
  if (bytes === undefined || node.kind !== 'file') return;
  for (const { from, end, grade, had } of await graded(bytes, () => false)) {
    if (grade >= STATED) out.lies.push(`${node.locator}: ${end - from} bytes at ${from} are stated`);
    const known = ever.get(path) ?? ever.get(path.replace(/;\d+$/, ''));
    if (grade !== INFERRED || known === undefined) continue;
    const stoodIn = (list: readonly Uint8Array[]): boolean =>
      list.some((one) => Buffer.compare(one.subarray(from, end), had) === 0);
    // Where the name is said to be uncertain any file may be meant.
    const isNamed = node.facts.details?.nameKnown !== false;
    if (stoodIn(known) || (!isNamed && [...ever.values()].some(stoodIn))) out.right += end - from;
    else {
      out.wrong.push(`${node.locator}: ${end - from} bytes at ${from}`);
      out.wrongBytes += end - from;
    }
  }
}

async function judgeLive(
  path: string,
  node: Node,
  { truth }: Truth,
  isTouched: IsTouched,
  out: Writable<Verdict>,
): Promise<void> {
  const put = truth.get(path);
  if (put === undefined) {
    if (node.kind === 'file' && node.damage.length === 0) out.lies.push(`${path} is said to be there`);
    return;
  }
  out.all += put.length;
  const bytes = await node.bytes?.();
  if (bytes === undefined || node.kind !== 'file') {
    if (node.damage.length === 0) out.lies.push(`${path}: a ${node.kind} without bytes, and nothing is said`);
    return;
  }
  const runs = await graded(bytes, isTouched);
  // Where inodes do not say which they are, another one is told by its blocks, which two claim then.
  const isStated = bytes.size === 0 || runs.some(({ grade }) => grade >= STATED);
  if (bytes.size !== put.length && isStated && node.damage.length === 0) out.lies.push(`${path}: ${bytes.size} bytes`);
  for (const { from, end, grade, had, touched } of runs) {
    if (grade < STATED || touched) continue;
    if (Buffer.compare(put.subarray(from, end), had) === 0) out.stated += end - from;
    else if (from < put.length || node.damage.length === 0)
      out.lies.push(`${path}: ${end - from} bytes at ${from} are wrong`);
  }
}

interface Graded {
  readonly from: number;
  readonly end: number;
  readonly grade: number;
  readonly had: Uint8Array;
  readonly touched: boolean;
}

async function graded(
  bytes: Source,
  isTouched: (source: Source, at: number, length: number) => boolean,
): Promise<Graded[]> {
  const out: Graded[] = [];
  const had = new Uint8Array(Math.min(bytes.size, 4 * 2 ** 20));
  await bytes.read(0, had);
  const list = new RunList();
  for (let at = 0; at < had.length; ) {
    list.clear();
    let from = at;
    at = await flatten(bytes, at, had.length, list);
    for (let i = 0; i < list.n; i++) {
      const end = from + list.length[i];
      const grade = list.certainty(i);
      const isData = list.state(i) === DATA;
      const touched = isData && isTouched(list.sourceOf(i)!, list.at[i], list.length[i]);
      if (grade !== LOST) out.push({ from, end, grade, had: had.subarray(from, end), touched });
      from = end;
    }
  }
  return out;
}

/** Blocks of an image that are in use and hold no bytes of files, those in a row together. */
export async function metadataOf(source: Source, bytes: Uint8Array, unit: number): Promise<number[][]> {
  const isData = new Uint8Array(Math.ceil(bytes.length / unit));
  const stack = new Stack([{ name: 'x', source }], { only: true });
  const list = new RunList();
  const queue: { bytes: Source; at: number; end: number }[] = [];
  const top = (await stack.inside(stack.roots[0]))!;
  for (const node of (await everything(stack, top)).values()) {
    const content = node.kind === 'file' ? await node.bytes!() : undefined;
    if (content !== undefined) queue.push({ bytes: content, at: 0, end: content.size });
  }
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (let at = next.at; at < next.end; ) {
      list.clear();
      at = await flatten(next.bytes, at, next.end, list);
      for (let i = 0; i < list.n; i++) {
        const from = list.sourceOf(i);
        if (from instanceof MadeSource)
          for (const one of from.inputs) queue.push({ bytes: one.source, at: one.at, end: one.at + one.length });
        else if (list.state(i) === DATA && (list.length[i] >= unit || list.at[i] % unit === 0))
          isData.fill(1, Math.floor(list.at[i] / unit), Math.ceil((list.at[i] + list.length[i]) / unit));
      }
    }
  }
  const out: number[][] = [];
  for (let i = 0; i < isData.length; i++) {
    const isEmpty = !bytes.subarray(i * unit, (i + 1) * unit).some((byte) => byte !== 0);
    if (isData[i] === 1 || isEmpty || (await top.isFree?.(i * unit)) === true) continue;
    if (out.at(-1)?.at(-1) === (i - 1) * unit) out.at(-1)!.push(i * unit);
    else out.push([i * unit]);
  }
  stack.close();
  return out;
}

type Roll = (below: number) => number;
const UNITS: Readonly<Record<Family, number>> = { btrfs: 4096, xfs: 1024, ext: 1024, ntfs: 1024 };
/** What checks can see. */
function faultsOf(family: Family, { isUnsummed }: Kind): readonly string[] {
  if (isUnsummed) return ['zero', 'other'];
  // Only nodes of btrfs are known by their generation too.
  return ['bit', 'fill', 'zero', 'other', ...(family === 'btrfs' ? ['older'] : [])];
}

/** Damage to what is no bytes of files. */
export const hurt = {
  unit: (family: Family): number => UNITS[family],
  some(
    family: Family,
    kind: Kind,
    { bytes, before, logged }: Lived,
    clusters: readonly (readonly number[])[],
    roll: Roll,
  ) {
    const unit = UNITS[family];
    const faults = faultsOf(family, kind);
    const was: [number, Buffer][] = [];
    const what: string[] = [];
    const any = (): number => {
      const cluster = clusters[roll(clusters.length)];
      return cluster[roll(cluster.length)];
    };
    // Where nothing carries sums one thing is told by another, and that must not be hurt too.
    for (let n = kind.isUnsummed ? 1 : 1 + roll(6); n > 0; n--) {
      const fault = faults[roll(faults.length)];
      const isPart = fault === 'bit' || fault === 'fill';
      const at = any() + (isPart ? roll(unit) : 0);
      const length = fault === 'bit' ? 1 : fault === 'fill' ? 1 + roll(unit - (at % unit)) : unit;
      was.push([at, Buffer.from(bytes.subarray(at, at + length))]);
      what.push(`${fault} at ${at}, ${length} bytes`);
      let from = any();
      // What stood at the same place before is consistent in itself, its sums too: nothing tells it from what stands there now.
      while (logged.has(from - (from % unit))) from = any();
      if (fault === 'bit') bytes[at] ^= 1 << roll(8);
      else if (fault === 'fill') bytes.fill(roll(256), at, at + length);
      else if (fault === 'zero') bytes.fill(0, at, at + length);
      else if (fault === 'other') bytes.copyWithin(at, from, from + length);
      else before[roll(before.length)].copy(bytes, at, at, at + length);
    }
    return {
      what: what.join('; '),
      undo: () => void was.toReversed().map(([at, old]) => old.copy(bytes, at)),
      // Only nodes of btrfs carry sums over the small files that stand in them.
      isTouched: (_: unknown, from: number, length: number) =>
        family !== 'btrfs' && was.some(([at, old]) => at < from + length && from < at + old.length),
    };
  },
};
