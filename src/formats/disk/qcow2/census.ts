/**
 * Who claims which cluster of the file. Before the first byte of a disk is handed out, all its L2 tables are read once,
 * so that an entry that leads to somebody else's cluster does not count as stated. Source: qcow2.md 4 and 11.6.
 */
import type { Source } from '../../../core/source.ts';
import { type Directory, LOST_TABLE } from './directory.ts';
import {
  COMPRESSED,
  COPIED,
  compressedAt,
  type Geometry,
  offsetOf,
  RESERVED_HIGH,
  RESERVED_LOW,
  readWords,
  type Words,
  ZERO_FLAG,
} from './geometry.ts';

/** Clusters of the largest file whose claims are compared: 2 TiB of 64 KiB clusters, in 160 MiB of memory. */
export const MAX_CLUSTERS: number = 2 ** 25;
/** Compressed clusters of which two that start at one place are looked for. */
const MAX_COMPRESSED: number = 4 * 1024 * 1024;

/** Clusters that have to lie at even places only before that is odd. */
const ENOUGH = 3;

/** Owners above all guest clusters. 0: nobody. */
const CROSSED = 0xfffffffd;
const SHARED = 0xfffffffe;
const STRUCTURE = 0xffffffff;

/** What is odd about one L2 table. */
export interface TableState {
  /** Slot that it was first met in. */
  readonly slot: number;
  entries: number;
  /** Entries that lead nowhere or set bits that nothing uses. */
  bad: number;
  /** Of these, entries that would be sound in a longer file: it may have been cut off. */
  past: number;
  /** It was met in another slot too. */
  crossed: boolean;
  unreadable: boolean;
}

/** Counts an entry that leads behind the end of the file. */
function countPast(state: TableState): void {
  state.bad++;
  state.past++;
}

export class Census {
  readonly geometry: Geometry;
  readonly clusters: number;
  readonly complete: boolean;
  readonly tables = new Map<number, TableState>();
  /** 0 where refcounts are not had; saturated at 255. Set by whoever reads them. */
  readonly refcounts: Uint8Array;
  /** Whether a refcount of 0 means something, by ranges of clusters. */
  readonly counted: Uint8Array;
  /** References to each cluster that were met; saturated at 255. */
  readonly uses: Uint8Array;
  /** Tables that were met by each directory. */
  readonly #met = new WeakMap<Directory, Set<number>>();
  readonly #owner: Uint32Array;
  readonly #file: Source;
  readonly isExternal: boolean;
  #even = 0;
  #odd = 0;
  /** Structures that an entry of data leads to. */
  readonly #overlapped = new Set<number>();
  #starts: number[] = [];
  readonly #twice = new Set<number>();

  constructor(file: Source, geometry: Geometry, isExternal: boolean) {
    this.#file = file;
    this.geometry = geometry;
    this.isExternal = isExternal;
    this.clusters = Math.ceil(file.size / geometry.clusterSize);
    this.complete = this.clusters <= MAX_CLUSTERS;
    const n = this.complete ? this.clusters : 0;
    this.#owner = new Uint32Array(n);
    this.refcounts = new Uint8Array(n);
    this.uses = new Uint8Array(n);
    this.counted = new Uint8Array(n);
  }

  /** A structure of the image takes these bytes. */
  claimStructure(at: number, length: number): void {
    const { clusterSize } = this.geometry;
    const end = Math.min(this.#owner.length, Math.ceil((at + length) / clusterSize));
    for (let i = Math.max(0, Math.floor(at / clusterSize)); i < end; i++) {
      if (this.#owner[i] !== 0 && this.#owner[i] !== STRUCTURE) this.#overlapped.add(i);
      this.#owner[i] = STRUCTURE;
      this.#use(i);
    }
  }

  /** Reads all L2 tables of a directory that were not met before, and notes what they claim. */
  async claim(directory: Directory, signal: AbortSignal): Promise<void> {
    const { clusterSize } = this.geometry;
    const { tables } = directory;
    const met = this.#met.get(directory) ?? new Set<number>();
    this.#met.set(directory, met);
    for (let slot = 0; slot < tables.length; slot++) {
      const at = tables[slot];
      if (at === 0 || at === LOST_TABLE) continue;
      const known = this.tables.get(at);
      if (known !== undefined && known.slot !== slot) known.crossed = true;
      if (met.has(at)) continue;
      met.add(at);
      signal.throwIfAborted();
      const words = await readWords(this.#file, at, clusterSize);
      if (known !== undefined) {
        // States that share a table refer to all it leads to, each once more.
        this.#use(at / clusterSize);
        if (words !== undefined && known.slot === slot) this.#claimTable(words, slot, { ...known }, false);
        continue;
      }
      const state: TableState = { slot, entries: 0, bad: 0, past: 0, crossed: false, unreadable: words === undefined };
      this.tables.set(at, state);
      // What is a structure of another kind, or somebody's data, is no table of this directory.
      if (this.isClaimed(at / clusterSize)) state.crossed = true;
      this.claimStructure(at, clusterSize);
      if (words !== undefined) this.#claimTable(words, slot, state, true);
    }
    this.#starts.sort((a, b) => a - b);
    for (let i = 1; i < this.#starts.length; i++)
      if (this.#starts[i - 1] === this.#starts[i]) this.#twice.add(this.#starts[i]);
    this.#starts = [];
  }

  #claimTable(words: Words, slot: number, state: TableState, isNew: boolean): void {
    const { clusterBits, clusterSize, extended, l2Entries } = this.geometry;
    const stride = extended ? 4 : 2;
    for (let i = 0; i < l2Entries; i++) {
      const high = words[i * stride];
      const low = words[i * stride + 1];
      if (high === 0 && low === 0 && !(extended && words[i * stride + 2] + words[i * stride + 3] > 0)) continue;
      state.entries++;
      if ((high & COMPRESSED) !== 0) {
        const { at, length } = compressedAt(high, low, clusterBits);
        // Compressed clusters have no subclusters.
        const hasBitmap = extended && (words[i * stride + 2] | words[i * stride + 3]) !== 0;
        if ((high & COPIED) !== 0 || hasBitmap) state.bad++;
        else if (at >= this.#file.size) countPast(state);
        else this.#claimCompressed(at, length, isNew);
        continue;
      }
      const offset = offsetOf(high, low);
      const reserved =
        (high & RESERVED_HIGH) !== 0 || (low & RESERVED_LOW) !== 0 || (extended && (low & ZERO_FLAG) !== 0);
      const broken = extended && (words[i * stride + 2] & words[i * stride + 3]) !== 0;
      if (reserved || broken || offset % clusterSize !== 0) state.bad++;
      else if (this.isExternal || offset === 0) continue;
      else if (offset >= this.#file.size) countPast(state);
      else this.#claimData(offset / clusterSize, slot * l2Entries + i + 1);
    }
  }

  #use(cluster: number): void {
    if (this.uses[cluster] < 255) this.uses[cluster]++;
  }

  #claimData(cluster: number, owner: number): void {
    if (cluster % 2 === 0) this.#even++;
    else this.#odd++;
    if (cluster >= this.#owner.length) return;
    const before = this.#owner[cluster];
    this.#use(cluster);
    if (before === STRUCTURE) this.#overlapped.add(cluster);
    else this.#owner[cluster] = before === 0 || before === owner ? owner : CROSSED;
  }

  #claimCompressed(at: number, length: number, isNew: boolean): void {
    const { clusterSize } = this.geometry;
    if (isNew && this.#starts.length < MAX_COMPRESSED) this.#starts.push(at);
    const end = Math.min(this.#owner.length, Math.ceil((at + length) / clusterSize));
    for (let i = Math.floor(at / clusterSize); i < end; i++) {
      const before = this.#owner[i];
      this.#use(i);
      // What is read for a stream is rounded up to sectors, so it may touch a cluster that is not its own.
      if (before === 0 || before === SHARED) this.#owner[i] = SHARED;
      else if (i * clusterSize >= at + length - 511) continue;
      else if (before === STRUCTURE) this.#overlapped.add(i);
      else this.#owner[i] = CROSSED;
    }
  }

  /** No cluster of data begins where every other one should: clusters may be larger than it was said. */
  get isSparse(): boolean {
    return this.#odd === 0 && this.#even >= ENOUGH;
  }

  /** Why the cluster at this offset may not be that of this guest cluster; undefined where all agrees. */
  doubt(offset: number, guest: number): string | undefined {
    const cluster = offset / this.geometry.clusterSize;
    if (cluster >= this.#owner.length) return undefined;
    if (this.#owner[cluster] !== guest + 1)
      return this.#owner[cluster] === STRUCTURE ? 'qcow2.overlap' : 'qcow2.shared';
    return this.#isMiscounted(cluster) ? 'qcow2.refcount' : undefined;
  }

  /** Something leads to a free cluster, or more leads to one than its count says: one of them is not its own. */
  #isMiscounted(cluster: number): boolean {
    if (this.counted[cluster] !== 1) return false;
    const count = this.refcounts[cluster];
    return count === 0 || (count < 255 && this.uses[cluster] > count);
  }

  /** Why the L2 table at this offset may not be one any more. */
  doubtTable(at: number): string | undefined {
    const cluster = at / this.geometry.clusterSize;
    if (cluster >= this.#owner.length) return undefined;
    if (this.#owner[cluster] !== STRUCTURE || this.#overlapped.has(cluster)) return 'qcow2.overlap';
    return this.#isMiscounted(cluster) ? 'qcow2.refcount' : undefined;
  }

  /** As `doubt`, of a compressed cluster. */
  doubtCompressed(at: number, length: number): string | undefined {
    if (this.#twice.has(at)) return 'qcow2.shared';
    const { clusterSize } = this.geometry;
    const end = Math.min(this.#owner.length, Math.ceil((at + length - 511) / clusterSize));
    for (let i = Math.floor(at / clusterSize); i < end; i++) {
      if (this.#owner[i] !== SHARED) return 'qcow2.shared';
      if (this.counted[i] === 1 && this.refcounts[i] === 0) return 'qcow2.refcount';
    }
    return undefined;
  }

  /** Notes that a cluster is that of a guest cluster, though no table says so. */
  adopt(offset: number, guest: number): void {
    this.#claimData(offset / this.geometry.clusterSize, guest + 1);
  }

  isClaimed(cluster: number): boolean {
    return cluster < this.#owner.length && this.#owner[cluster] !== 0;
  }

  /** Clusters with more references, by their refcount, than were met: something that led to them may be lost. */
  get excess(): number {
    let n = 0;
    for (let i = 0; i < this.refcounts.length; i++) if (this.counted[i] === 1 && this.refcounts[i] > this.uses[i]) n++;
    return n;
  }

  /** Nothing leads to some cluster of which no count says whether it is in use. */
  get hasUncounted(): boolean {
    return !this.complete || this.#owner.some((owner, i) => owner === 0 && this.counted[i] !== 1);
  }

  /** Clusters in use, by their refcount, that nothing leads to. */
  leaked(): number[] {
    const out: number[] = [];
    for (let i = 0; i < this.refcounts.length; i++) {
      if (this.counted[i] === 1 && this.refcounts[i] > 0 && this.#owner[i] === 0) out.push(i);
    }
    return out;
  }
}
