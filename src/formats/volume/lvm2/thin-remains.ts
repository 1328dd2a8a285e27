/**
 * What is left in the metadata of a thin pool beside the trees that its superblock leads to: nodes are written anew at
 * each change, carry a sum and their own place, and stay where they are until their block is used again. So older states
 * of trees, trees of removed devices, and children of a node that was lost are still to be found. Source: volumes.md section 5.
 */
import { type Certainty, GUESSED, INFERRED, weaker } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { BLOCK, type Branch, branchIn, MAX_LEVELS, readBranch, TIME } from './thin-nodes.ts';

/** Blocks of metadata that are looked through: those of the largest pool there can be, 16 GiB. */
const MAX_BLOCKS: number = 2 ** 22;
/** Nodes that are kept, and mappings that are put in place of one lost node. */
const MAX_NODES: number = 2 ** 20;
const MAX_FILLED: number = 2 ** 21;
/** Blocks of data of which it is kept whether a live device has them. */
const MAX_CLAIMED: number = 2 ** 31;
const READ_BLOCKS = 1024;

/** A node that may be used in place of a lost one. */
interface Found {
  readonly block: number;
  readonly isLeaf: boolean;
  readonly first: number;
  readonly last: number;
}

/** Mappings of a stretch of a device, in the order of their keys. */
export interface Filled {
  readonly n: number;
  readonly keys: Float64Array;
  /** As in a tree's leaf. */
  readonly values: Float64Array;
  readonly grades: Uint8Array;
}

export class ThinRemains {
  readonly #metadata: Source;
  readonly #nodes: ReadonlyMap<number, Found>;
  /** Nodes of live trees. */
  #reached: ReadonlySet<number> = new Set();
  readonly #claimed: Uint8Array;
  /** Leaves that lead from devices to their trees, by their blocks. */
  readonly #tops: ReadonlyMap<number, Branch>;

  private constructor(
    metadata: Source,
    nodes: ReadonlyMap<number, Found>,
    tops: ReadonlyMap<number, Branch>,
    blocks: number,
  ) {
    this.#metadata = metadata;
    this.#nodes = nodes;
    this.#tops = tops;
    this.#claimed = new Uint8Array(Math.ceil(Math.min(blocks, MAX_CLAIMED) / 8));
  }

  /** Looks through the metadata. `blocks` are those of data; `root` is that of the live trees, undefined where it is lost. */
  static async of(metadata: Source, blocks: number, root: number | undefined): Promise<ThinRemains> {
    const nodes = new Map<number, Found>();
    const tops = new Map<number, Branch>();
    const last = Math.min(MAX_BLOCKS, Math.floor(metadata.size / BLOCK));
    const bytes = new Uint8Array(READ_BLOCKS * BLOCK);
    for (let from = 0; from < last && nodes.size < MAX_NODES; from += READ_BLOCKS) {
      const n = Math.min(READ_BLOCKS, last - from);
      // What cannot be read is zeros here, and so no node.
      await metadata.read(from * BLOCK, bytes.subarray(0, n * BLOCK));
      for (let i = 0; i < n; i++) {
        const block = from + i;
        const branch = branchIn(bytes.subarray(i * BLOCK, (i + 1) * BLOCK), block, { what: 'a thin pool tree node' });
        if (branch === undefined || branch.n === 0) continue;
        nodes.set(block, { block, isLeaf: branch.isLeaf, first: branch.keys[0], last: branch.keys[branch.n - 1] });
        if (branch.isLeaf && leadsToNodes(branch, last)) tops.set(block, branch);
      }
    }
    for (const [block, { values }] of tops) if (!values.some((value) => nodes.has(value))) tops.delete(block);
    const out = new ThinRemains(metadata, nodes, tops, blocks);
    if (root !== undefined) out.#reached = await out.#walk(root, (branch) => out.#claim(branch));
    return out;
  }

  /** There is no node at all. */
  get isEmpty(): boolean {
    return this.#nodes.size === 0;
  }

  /** All nodes with mappings are those of live trees. */
  get isSpent(): boolean {
    for (const { block, isLeaf } of this.#nodes.values())
      if (isLeaf && !this.#reached.has(block) && !this.#tops.has(block)) return false;
    return true;
  }

  /** The leaf that leads to the trees of which most is left: a root to use where the superblock that names it is lost. */
  async bestRoot(): Promise<number | undefined> {
    let best: number | undefined;
    let most = 0;
    for (const block of this.#tops.keys()) {
      let mapped = 0;
      await this.#walk(block, (branch) => {
        mapped += branch.n;
      });
      if (mapped <= most) continue;
      most = mapped;
      best = block;
    }
    return best;
  }

  /** The root of the tree of a device that live trees do not name: of all that older ones name, the one of which most is left. */
  async rootOf(id: number): Promise<number | undefined> {
    let best: number | undefined;
    let most = 0;
    for (const { keys, values } of this.#tops.values()) {
      const root = values[keys.indexOf(id)] as number | undefined;
      if (root === undefined || root === best || this.#reached.has(root)) continue;
      let mapped = 0;
      await this.#walk(root, (branch) => {
        for (let i = 0; i < branch.n; i++) if (!this.isClaimed(Math.floor(branch.values[i] / TIME))) mapped++;
      });
      if (mapped <= most) continue;
      most = mapped;
      best = root;
    }
    return best;
  }

  /** Whether a live device has a block of data. */
  isClaimed(block: number): boolean {
    return ((this.#claimed[Math.floor(block / 8)] ?? 0) & (1 << (block & 7))) !== 0;
  }

  /**
   * What nodes that no live tree leads to say of keys [low, high), without blocks of data that live devices have. Where
   * two say something else of a key, the one with the later time is guessed; of one time, neither is taken.
   */
  async fill(low: number, high: number, most: Certainty): Promise<Filled> {
    const byKey = new Map<number, { value: number; grade: Certainty; isTorn: boolean }>();
    for (const { block, first, isLeaf, last } of this.#nodes.values()) {
      if (!isLeaf || last < low || first >= high || this.#reached.has(block) || this.#tops.has(block)) continue;
      const branch = await readBranch(this.#metadata, block);
      // Of a whole tree nothing says whose leaves these are.
      const isPart = (low > 0 || high < Number.POSITIVE_INFINITY) && first >= low && last < high;
      const grade = isPart ? weaker(most, INFERRED) : GUESSED;
      for (let i = 0; i < branch.n && byKey.size < MAX_FILLED; i++) {
        const [key, value] = [branch.keys[i], branch.values[i]];
        if (key < low || key >= high || this.isClaimed(Math.floor(value / TIME))) continue;
        const known = byKey.get(key);
        if (known === undefined) byKey.set(key, { value, grade, isTorn: false });
        else if (Math.floor(known.value / TIME) !== Math.floor(value / TIME)) {
          const [before, now] = [known.value % TIME, value % TIME];
          if (now >= before) byKey.set(key, { value, grade: GUESSED, isTorn: now === before });
        }
      }
    }
    const keys = Float64Array.from(byKey.keys()).sort();
    const sure = keys.filter((key) => !byKey.get(key)!.isTorn);
    const values = sure.map((key) => byKey.get(key)!.value);
    return { n: sure.length, keys: sure, values, grades: Uint8Array.from(sure, (key) => byKey.get(key)!.grade) };
  }

  #claim(branch: Branch): void {
    for (let i = 0; i < branch.n; i++) {
      const block = Math.floor(branch.values[i] / TIME);
      if (block / 8 < this.#claimed.length) this.#claimed[Math.floor(block / 8)] |= 1 << (block & 7);
    }
  }

  /** Shows all leaves of mappings below a node, which may be of either kind of tree; answers the nodes that were met. */
  async #walk(root: number, visit: (leaf: Branch) => void): Promise<Set<number>> {
    const seen = new Set<number>();
    const queue: { block: number; level: number }[] = [{ block: root, level: 0 }];
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      const { block, level } = next;
      if (seen.has(block) || level > 2 * MAX_LEVELS || !this.#nodes.has(block)) continue;
      seen.add(block);
      const branch = await readBranch(this.#metadata, block);
      if (branch.isLeaf && !this.#tops.has(block)) visit(branch);
      else for (const value of branch.values) queue.push({ block: value, level: level + 1 });
    }
    return seen;
  }
}

/** Whether all that a leaf leads to may be blocks of metadata: those of mappings are far larger. */
function leadsToNodes({ n, values }: Branch, blocks: number): boolean {
  return values.subarray(0, n).every((value) => value > 0 && value < blocks);
}
