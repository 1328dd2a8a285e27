/** +carved: disks that were recognised by their content alone, as nodes. */
import type { Cx } from '../../../core/format.ts';
import { encodeName, printable } from '../../../core/locator.ts';
import { data, missing, type Segment, segments, zeros } from '../../../core/map-source.ts';
import type { Node } from '../../../core/node.ts';
import { GUESSED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { BlockSet, type CarvedDisk, carvedDisks, type Known, own, type Wanted } from './carve.ts';
import { rootNode } from './files.ts';
import type { ResidueOf } from './residue.ts';
import { guessOf } from './residue-content.ts';
import { indexOf } from './residue-neighbours.ts';
import type { Whole } from './residue-open.ts';
import { NEVER_WRITTEN, NOT_FOUND } from './thin.ts';
import type { Volume } from './volume.ts';

const CARVED = '+carved';
/** Directory levels of what already has a name. */
const MAX_DEPTH = 64;
/** Descriptors are a few hundred bytes. */
const MAX_DESCRIPTOR = 65536;
const MAX_WANTED = 65536;
/** Files that are remembered with where they begin. */
const MAX_WHOLE = 65536;
/** Files that lie in blocks of their own and are worth looking for without a pointer. */
const LOOKED_FOR = /(?:-flat\.vmdk|\.nvram|\.log)$/;

const HABIT = 'the order in which ESXi gives out blocks';
const BY_HABIT = 'its blocks follow each other as ESXi gives them out';
const BY_GUEST =
  'it grew in turns with others, and its blocks are those that fit what the file systems on it have in use';
const NOT_HAD: Why = { what: 'a block that the guest has in use and that was not found', code: 'vmfs.carved-lost' };
const NOT_KNOWN: Why = {
  what: 'a block that something else has now, or that nothing says is of this disk',
  code: 'vmfs.carved-start',
};
const UNWRITTEN: Why = { what: 'the guest has nothing in use where no block was found', code: 'vmfs.carved-hole' };

const BY: Readonly<Record<NonNullable<CarvedDisk['by']>, string>> = {
  size: 'the only missing disk of this size, and the only one found',
  order: 'by the order of descriptors and of what they led to, which is a guess',
  length: 'the only missing log of this length, and the only one found',
  kind: 'the only missing file of its kind, and the only one found',
};

/** What was met on the way through everything that has a name. */
interface Seen {
  readonly owned: BlockSet;
  /** Extents that descriptors name, and files without bytes. */
  readonly wanted: Wanted[];
  /** Paths of files that some block is left of. */
  readonly paths: Set<string>;
  readonly whole: Whole[];
}

/** Enters the flat extent that the text of a descriptor names. */
async function noteExtent(source: Source, path: readonly string[], seen: Seen): Promise<void> {
  const text = new Uint8Array(source.size);
  await source.read(0, text);
  const extent = guessOf(text)?.extent;
  if (extent !== undefined) noteWanted({ path: [...path, extent.name], size: extent.size, index: -1 }, seen);
}

function noteWanted(one: Wanted, { wanted }: Seen): void {
  if (wanted.length < MAX_WANTED) wanted.push(one);
}

/** What is looked for, each path once: one may know the size, another the descriptor. */
function knownOf({ wanted, paths, whole }: Seen): Known {
  const byPath = new Map<string, Wanted>();
  for (const one of wanted) {
    const key = one.path.join('/');
    const known = byPath.get(key);
    const index = Math.max(one.index, known?.index ?? -1);
    if (!paths.has(key)) byPath.set(key, { path: one.path, size: known?.size ?? one.size, index });
  }
  const all = [...byPath.values()];
  const isSettings = ({ path }: Wanted): boolean => path.at(-1)!.endsWith('.nvram');
  const isLog = ({ path }: Wanted): boolean => path.at(-1)!.endsWith('.log');
  const disks = all.filter((one) => !isSettings(one) && !isLog(one));
  return { disks, settings: all.filter(isSettings), logs: all.filter(isLog), whole };
}

export class CarvedOf {
  readonly #volume: Volume;
  readonly #root: string;
  readonly #residue: ResidueOf;
  readonly #cx: Cx;
  #disks: Promise<CarvedDisk[]> | undefined;

  /** `root` is the locator of the file system; what `residue` has is not carved again. */
  constructor(volume: Volume, root: string, residue: ResidueOf, cx: Cx) {
    this.#volume = volume;
    this.#root = root;
    this.#residue = residue;
    this.#cx = cx;
  }

  /** '+carved', which is always there; undefined for any other name. */
  node(rawName: string): Node | undefined {
    if (rawName !== CARVED) return undefined;
    const locator = `${this.#root}/${CARVED}`;
    const disks = async (): Promise<Node[]> => {
      this.#disks ??= this.#look();
      return this.#tree(await this.#disks, locator, 0);
    };
    return folderNode(CARVED, locator, disks);
  }

  /** Disks whose name is known lie in the directory that they were in. */
  #tree(disks: readonly CarvedDisk[], locator: string, depth: number): Node[] {
    const out: Node[] = [];
    const folders = new Map<string, CarvedDisk[]>();
    for (const disk of disks) {
      const folder =
        disk.wanted !== undefined && disk.wanted.path.length > depth + 1 ? disk.wanted.path[depth] : undefined;
      if (folder === undefined) out.push(this.#node(disk, locator));
      else folders.set(folder, [...(folders.get(folder) ?? []), disk]);
    }
    for (const [name, inner] of folders) {
      const below = `${locator}/${encodeName(name)}`;
      out.push(folderNode(name, below, async () => this.#tree(inner, below, depth + 1)));
    }
    return out;
  }

  async #look(): Promise<CarvedDisk[]> {
    const volume = this.#volume;
    const { blockSize, fdcAt } = volume.geometry;
    const owned = new BlockSet(Math.ceil(volume.volume.size / blockSize));
    for (let block = 0; block * blockSize < fdcAt; block++) owned.add(block);
    const doubtful = new BlockSet(Math.ceil(volume.volume.size / blockSize));
    for (const file of Object.values(volume.files)) await own(volume, file.source, doubtful);
    const seen: Seen = { owned, wanted: [], paths: new Set(), whole: [] };
    await this.#ownNamed(await rootNode(volume, this.#root, ''), seen, []);
    for (const name of ['+deleted', '+orphan']) await this.#ownNamed(this.#residue.node(name)!, seen, []);
    for (const one of await this.#residue.open()) if (LOOKED_FOR.test(one.path.at(-1)!)) noteWanted(one, seen);
    return carvedDisks(volume, owned, doubtful, knownOf(seen), this.#cx);
  }

  async #ownNamed(folder: Node, seen: Seen, path: readonly string[]): Promise<void> {
    for await (const node of folder.children?.() ?? []) {
      const inner = [...path, node.rawName];
      if (node.children !== undefined && path.length < MAX_DEPTH) await this.#ownNamed(node, seen, inner);
      const source = await node.bytes?.();
      if (source === undefined) continue;
      const at = await own(this.#volume, source, seen.owned);
      if (at >= 0) seen.paths.add(inner.join('/'));
      this.#note(node, inner, source.size, at, seen);
      if (node.rawName.endsWith('.vmdk') && source.size > 0 && source.size <= MAX_DESCRIPTOR)
        await noteExtent(source, path, seen);
    }
  }

  /** Remembers files that lie in blocks of their own: where they begin, or that this is to be looked for. */
  #note(node: Node, path: readonly string[], size: number, at: number, seen: Seen): void {
    const { rawName: name } = node;
    if (!LOOKED_FOR.test(name) || size === 0) return;
    const address = node.facts.details?.descriptor;
    const index = typeof address === 'string' ? indexOf(this.#volume, Number(address)) : -1;
    if (at < 0) noteWanted({ path, size, index }, seen);
    else if (index >= 0 && seen.whole.length < MAX_WHOLE) seen.whole.push({ name, size, index, at });
  }

  #node(disk: CarvedDisk, folder: string): Node {
    const { blockSize } = this.#volume.geometry;
    const { blocks, label, size, what, ending, by } = disk;
    const name = disk.wanted?.path.at(-1) ?? `block-${blocks.find((block) => block >= 0)}${ending}`;
    const count = blocks.reduce((n, block) => n + (block < 0 ? 0 : 1), 0);
    const had = Math.min(size, blocks.length * blockSize);
    const known = label === undefined ? what : `${what} "${printable(label)}"`;
    const lost: Why = { what: `a disk that begins with ${known}`, code: 'vmfs.carved-end' };
    return {
      name: printable(name),
      rawName: name,
      locator: `${folder}/${encodeName(name)}`,
      kind: 'file',
      state: 'carved',
      facts: { size, details: { looks_like: known, blocks: count, ...(by !== undefined && { name_from: BY[by] }) } },
      damage: [],
      notices: [noticeOf(disk, known, count, blockSize)],
      bytes: async () => segments([...this.#segments(disk, had), ...(had < size ? [missing(size - had, lost)] : [])]),
    };
  }

  /** Blocks that lie side by side are one segment. */
  #segments({ blocks, isHeadless, isThin }: CarvedDisk, had: number): Segment[] {
    const { blockSize } = this.#volume.geometry;
    const what = isThin ? 'what the guests on disks that grew in turns have in use' : HABIT;
    const out: Segment[] = [];
    for (let i = 0, at = 0; i < blocks.length && at < had; ) {
      const step = blocks[i] < 0 ? 0 : 1;
      let n = 1;
      while (i + n < blocks.length && blocks[i + n] === blocks[i] + n * step) n++;
      const length = Math.min(n * blockSize, had - at);
      if (blocks[i] === NOT_FOUND) out.push(missing(length, isHeadless ? NOT_KNOWN : NOT_HAD));
      else if (blocks[i] === NEVER_WRITTEN) out.push(zeros(length, GUESSED, UNWRITTEN));
      else {
        const start = blocks[i] * blockSize;
        const why: Why = { what, source: this.#volume.volume, at: start, code: 'vmfs.carved' };
        out.push(data(this.#volume.volume, start, length, GUESSED, why));
      }
      at += length;
      i += n;
    }
    return out;
  }
}

/** What it rests on that this is a disk, and that its blocks are these. */
function noticeOf({ blocks, isHeadless, isThin }: CarvedDisk, known: string, count: number, blockSize: number): string {
  if (!isHeadless) return `It begins with ${known}; ${isThin ? BY_GUEST : BY_HABIT}, which is a guess.`;
  const gone = blocks.findIndex((block) => block >= 0) * blockSize;
  const lost =
    gone > 0 ? `; the first ${gone} bytes have others now, or are not known` : ', which is not as it should be';
  return `A copy of ${known} further behind says where its start was${lost}. That the ${count} blocks found are of it is a guess: ${BY_HABIT}.`;
}

function folderNode(rawName: string, locator: string, nodes: () => Promise<Node[]>): Node {
  return {
    name: printable(rawName),
    rawName,
    locator,
    kind: 'directory',
    state: 'carved',
    facts: { mode: 0o755 },
    damage: [],
    async child(name) {
      return (await nodes()).find((node) => node.rawName === name);
    },
    async *children() {
      yield* await nodes();
    },
  };
}
