/** A volume of clusters: from a file's first cluster to the places of its bytes. FAT and exFAT have this in common. */
import type { Damage } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { data, type MapSource, missing, type Segment, segments, zeros } from '../../../core/map-source.ts';
import { type Certainty, GUESSED, INFERRED, STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { Claims } from '../ext/claims.ts';
import type { Entry, Opened, Tree } from '../tree.ts';
import { bestChain, type Chain, type Extent } from './chain.ts';
import { FIRST, Table, type TablePlace } from './table.ts';

/** Where clusters lie. */
interface Clusters {
  /** Bytes of a cluster. */
  readonly cluster: number;
  /** Byte of the first one. */
  readonly heapAt: number;
  readonly table: TablePlace;
}

/** Bytes of clusters and the grade that all of them have. */
interface Part extends Extent {
  readonly certainty: Certainty;
  readonly code?: string;
  readonly isLost?: boolean;
}

export abstract class Ground implements Tree {
  readonly source: Source;
  readonly cx: Cx;
  readonly clusters: Clusters;
  readonly table: Table;
  /** The first cluster of which the source has no byte: what is counted and looked through ends there. */
  readonly held: number;
  readonly directories = new Map<number, string>();
  readonly damage: Damage[] = [];
  /** What a code of this volume begins with. */
  readonly #name: string;
  #claims: Promise<Claims> | undefined;
  /** Why nothing of the volume can be stated, where that is so. */
  doubt: string | undefined;

  constructor(name: string, source: Source, clusters: Clusters, cx: Cx, doubt?: string) {
    this.#name = name;
    this.source = source;
    this.clusters = clusters;
    this.table = new Table(source, clusters.table);
    const fits = Math.max(0, Math.ceil((source.size - clusters.heapAt) / clusters.cluster));
    this.held = FIRST + Math.min(clusters.table.clusters, fits);
    this.cx = cx;
    this.doubt = doubt;
  }

  abstract open(directory: Entry): Promise<Opened>;
  /** Looks through all of the volume: which clusters something claims, and which two things do. */
  protected abstract census(claims: Claims): Promise<void>;
  /** Whether nothing that lives has this cluster. */
  protected abstract isFree(cluster: number): Promise<boolean>;
  /** Whether a chain that a deleted file had still is a chain, and nobody's now. */
  protected abstract isLoose(chain: Chain, claims: Claims): Promise<boolean>;
  /** The check that fails of clusters that a live file has, beside those of its chain. */
  protected abstract doubtOf(extents: readonly Extent[]): Promise<string | undefined>;

  claims(): Promise<Claims> {
    this.#claims ??= this.#count();
    return this.#claims;
  }

  async #count(): Promise<Claims> {
    const claims = new Claims(this.held);
    await this.census(claims);
    // Of half a count nothing could be stated.
    this.cx.signal.throwIfAborted();
    return claims;
  }

  code(of: string): string {
    return `${this.#name}.${of}`;
  }

  /** Clusters that hold `size` bytes. */
  needed(size: number): number {
    return Math.ceil(size / this.clusters.cluster);
  }

  byteOf(cluster: number): number {
    return this.clusters.heapAt + (cluster - 2) * this.clusters.cluster;
  }

  /** The chain of what takes `need` clusters; the copy of the table whose chain has as many is the one that is used. */
  chain(start: number, need: number): Promise<Chain> {
    return bestChain(this.table, start, need, (chain) => fits(chain, need));
  }

  async bytes(entry: Entry): Promise<Source> {
    const need = this.needed(entry.size);
    if (need === 0) return segments([]);
    const why: Why = { what: `directory entry of cluster ${entry.start}`, source: this.source, at: entry.at };
    if (!this.table.has(entry.start))
      return segments([missing(entry.size, { ...why, code: this.code('cluster-range') })]);
    const parts = entry.isGone ? await this.#gone(entry, need) : await this.#live(entry, need);
    return this.#mapped(parts, entry, why);
  }

  async #live(entry: Entry, need: number): Promise<Part[]> {
    const claims = await this.claims();
    const failed = this.doubt ?? entry.doubts[0]?.code ?? doubtAbove(entry, claims, this.code('directory-claimed'));
    if (entry.isContiguous) {
      const one = { start: entry.start, count: need };
      const isInside = this.table.has(entry.start + need - 1);
      const count = isInside ? need : this.clusters.table.clusters + 2 - entry.start;
      const own = isInside ? await this.#failedOf([one], claims) : this.code('cluster-range');
      const part = grade({ start: entry.start, count }, failed ?? own);
      return isInside ? [part] : [part, lost(need - count, this.code('cluster-range'))];
    }
    const chain = await this.chain(entry.start, need);
    const code = failed ?? this.#doubtOfChain(chain, need) ?? (await this.#failedOf(chain.extents, claims));
    const parts = chain.extents.map((one) => grade(one, code));
    if (chain.count >= need) return parts;
    if (chain.broken === undefined || chain.broken === 'chain-range')
      return [...parts, lost(need - chain.count, this.code(chain.broken ?? 'chain-short'))];
    // Where the table is lost, files mostly go on where they were: what nobody has may be theirs.
    const last = chain.extents.at(-1)!;
    const rest = await this.#straight(last.start + last.count, need - chain.count, GUESSED, claims);
    return [...parts, ...rest];
  }

  async #failedOf(extents: readonly Extent[], claims: Claims): Promise<string | undefined> {
    const isDisputed = extents.some(({ start, count }) => claims.disputed(start, start + count));
    return isDisputed ? this.code('cluster-claimed') : this.doubtOf(extents);
  }

  #doubtOfChain(chain: Chain, need: number): string | undefined {
    if (chain.broken !== undefined) return this.code(chain.broken);
    if (chain.count !== need) return this.code('chain-length');
    return chain.differs ? this.code('copies-differ') : undefined;
  }

  async #gone(entry: Entry, need: number): Promise<Part[]> {
    const claims = await this.claims();
    if (!entry.isContiguous) {
      const chain = await this.chain(entry.start, need);
      if (fits(chain, need) && (await this.isLoose(chain, claims)))
        return chain.extents.map((one) => ({ ...one, certainty: INFERRED, code: this.code('deleted') }));
    }
    const isTold = entry.others === undefined;
    return this.#straight(entry.start, need, entry.isContiguous ? INFERRED : GUESSED, claims, isTold);
  }

  /** Clusters that follow each other, without those that somebody has. The first is inferred where it was told. */
  async #straight(start: number, need: number, grade: Certainty, claims: Claims, isTold = false): Promise<Part[]> {
    const parts: Part[] = [];
    for (let i = 0; i < need; i++) {
      const cluster = start + i;
      this.cx.signal.throwIfAborted();
      if (!this.table.has(cluster) || cluster >= this.held) {
        const code = this.table.has(cluster) ? 'past-end' : 'cluster-range';
        parts.push(lost(need - i, this.code(code)));
        break;
      }
      const isFree = !claims.taken(cluster) && (await this.isFree(cluster));
      const certainty = i === 0 && isTold ? INFERRED : grade;
      const one: Part = isFree
        ? { start: cluster, count: 1, certainty, code: this.code(certainty === GUESSED ? 'contiguous' : 'deleted') }
        : { start: cluster, count: 1, certainty: 0, code: this.code('cluster-reused'), isLost: true };
      const last = parts.at(-1);
      const continues = last?.certainty === one.certainty && last.isLost === one.isLost;
      if (continues) parts[parts.length - 1] = { ...last, count: last.count + 1 };
      else parts.push(one);
    }
    return parts;
  }

  #mapped(parts: readonly Part[], entry: Entry, why: Why): MapSource {
    const out: Segment[] = [];
    const reasons = new Map<string, Why>();
    const reasonFor = (code: string): Why => {
      const known = reasons.get(code) ?? { ...why, code };
      reasons.set(code, known);
      return known;
    };
    let left = entry.size;
    let written = entry.valid;
    const unit = this.clusters.cluster;
    for (const { start, count, certainty, code, isLost } of parts) {
      const length = Math.min(left, count * unit);
      left -= length;
      const said = code === undefined ? why : reasonFor(code);
      const at = start === 0 ? undefined : this.byteOf(start);
      const there = Math.min(length, written);
      written -= there;
      if (isLost === true || at === undefined) {
        const place = at === undefined ? {} : { source: this.source, at };
        out.push({ ...missing(length, said), ...place });
        continue;
      }
      // Bytes behind the end of an image that was cut off.
      const had = Math.max(0, Math.min(there, this.source.size - at));
      out.push(data(this.source, at, had, certainty, said));
      out.push(missing(there - had, reasonFor(this.code('past-end'))));
      out.push(zeros(length - there, certainty, said));
    }
    if (left > 0) out.push(missing(left, reasonFor(this.code('chain-short'))));
    return segments(out.filter(({ length }) => length > 0));
  }

  /** The bytes of a directory, as far as they can be read, and why they may be others than its own. */
  async content(chain: Chain): Promise<{ readonly block: Uint8Array; readonly unread: number | undefined }> {
    const unit = this.clusters.cluster;
    const { bytes, first } = this.#heldOf(chain.extents);
    const block = new Uint8Array(bytes);
    let [at, unread] = [0, first];
    for (const { start, count } of chain.extents) {
      if (at >= bytes) break;
      const gaps = await this.source.read(this.byteOf(start), block.subarray(at, at + count * unit));
      unread ??= gaps[0]?.offset;
      at += count * unit;
    }
    return { block, unread };
  }

  /** Byte of the volume at which a byte of these clusters lies; where they begin if it is none of theirs. */
  protected placeOf(extents: readonly Extent[], offset: number): number {
    let left = offset;
    for (const { start, count } of extents) {
      if (left < count * this.clusters.cluster) return this.byteOf(start) + left;
      left -= count * this.clusters.cluster;
    }
    return this.clusters.heapAt;
  }

  /** How many bytes there are of clusters up to the last that the source has, and the first place that it has not. */
  #heldOf(extents: readonly Extent[]): { readonly bytes: number; readonly first: number | undefined } {
    let [all, bytes]: [number, number] = [0, 0];
    let first: number | undefined;
    for (const { start, count } of extents) {
      const inside = Math.max(0, Math.min(count, this.held - start));
      if (inside > 0) bytes = all + inside;
      if (inside < count) first ??= this.source.size;
      all += count;
    }
    return { bytes: bytes * this.clusters.cluster, first };
  }
}

function fits(chain: Chain, need: number): boolean {
  return chain.broken === undefined && chain.count === need;
}

function grade(extent: Extent, code: string | undefined): Part {
  return code === undefined ? { ...extent, certainty: STATED } : { ...extent, certainty: INFERRED, code };
}

function lost(count: number, code: string): Part {
  return { start: 0, count, certainty: 0, code, isLost: true };
}

/** Whether a directory on the way to an entry lies on clusters that something else claims. */
function doubtAbove(entry: Entry, claims: Claims, code: string): string | undefined {
  for (let above = entry.within; above !== undefined; above = above.entry.within)
    if (above.extents.some(({ start, count }) => claims.disputed(start, start + count))) return code;
  return undefined;
}
