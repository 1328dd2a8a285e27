/** What the maps of files need of the volume that they lie on, and the last step of each: from a cluster to a run. */
import {
  type Certainty,
  DATA,
  GUESSED,
  INFERRED,
  LOST,
  MISSING,
  type RunList,
  type Why,
  weaker,
} from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import type { Claimants, Fate } from '../claimants.ts';
import { bitAt, type Claims, type ClusterBitmap, PAGE_CLUSTERS, sameUntil } from './bitmap.ts';

export interface Ground {
  readonly source: Source;
  /** Bytes of a cluster. */
  readonly cluster: number;
  /** Clusters of the volume. */
  readonly clusters: number;
  /** Absent for what is read before it, and for what holds checks of its own. */
  readonly bitmap?: ClusterBitmap | undefined;
  /** Absent where nobody has looked. */
  readonly claims?: Claims | undefined;
  /** Who of what is gone had which clusters; absent where that is of no matter, or where nobody has looked. */
  readonly later?: Claimants | undefined;
}

/** What became of a cluster once a file no longer had it, and up to which one the same holds. */
type FateOf = (from: number, end: number) => { readonly fate: Fate; readonly end: number };

/** Reasons that are kept of one map. */
const MAX_REASONS = 64;

export class Placer {
  readonly #ground: Ground;
  /** A deleted file's: clusters that are in use are somebody else's now. */
  readonly #isDead: boolean;
  readonly #fate: FateOf | undefined;
  readonly #reasons = new Map<string, Why>();

  constructor(ground: Ground, isDead: boolean, fate?: FateOf) {
    this.#fate = fate;
    this.#ground = ground;
    this.#isDead = isDead;
  }

  /** Adds runs of [at, stop), which starts `inner` bytes into the cluster `lcn`; answers the offset reached. */
  place(at: number, stop: number, lcn: number, inner: number, own: Certainty, why: Why, out: RunList): number {
    const { source, cluster: unit, clusters, bitmap, claims } = this.#ground;
    const base = lcn * unit + inner - at;
    for (let position = at; position < stop; ) {
      const cluster = Math.floor((base + position) / unit);
      if (cluster >= clusters) return this.lost(position, stop, this.reason(why, 'ntfs.runs.range'), out);
      let until = Math.min(Math.ceil((base + stop) / unit), clusters);
      let code: string | undefined;
      let isLost = false;
      let isUnsure = false;
      if (bitmap !== undefined) {
        const page = bitmap.page(cluster);
        if (page === undefined) return position;
        const bit = cluster % PAGE_CLUSTERS;
        const first = cluster - bit;
        const end = Math.min(until - first, PAGE_CLUSTERS);
        const isUsed = bitAt(page.bits, bit);
        until = first + sameUntil(page.bits, bit, end);
        isLost = this.#isDead && isUsed !== false;
        if (isUsed === undefined) code = 'ntfs.bitmap';
        else if (this.#isDead) code = isUsed ? 'ntfs.cluster-reused' : undefined;
        else if (!isUsed) code = 'ntfs.cluster-free';
        if (code === undefined && this.#isDead && this.#fate !== undefined) {
          const later = this.#fate(cluster, until);
          until = later.end;
          isLost = later.fate === 'later';
          isUnsure = later.fate === 'unsure';
          if (later.fate !== undefined) code = isLost ? 'ntfs.cluster-reused' : 'ntfs.cluster-claimed';
        }
        if (code === undefined && !this.#isDead && claims !== undefined) {
          const twice = claims.page(cluster);
          if (claims.isHopeless || bitAt(twice, bit) === true) code = 'ntfs.cluster-claimed';
          until = first + sameUntil(twice, bit, until - first);
        }
      }
      const end = Math.min(stop, until * unit - base);
      const reason = code === undefined ? why : this.reason(why, code);
      const certainty = code === undefined && !this.#isDead ? own : weaker(own, isUnsure ? GUESSED : INFERRED);
      const isAdded = isLost
        ? out.add(MISSING, LOST, end - position, source, base + position, reason)
        : out.add(DATA, certainty, end - position, source, base + position, reason);
      if (!isAdded) return position;
      position = end;
    }
    return stop;
  }

  /** Loads what `place` needs for a cluster. */
  async load(cluster: number): Promise<void> {
    const { bitmap, clusters } = this.#ground;
    if (cluster < clusters && bitmap?.page(cluster) === undefined) await bitmap?.load(cluster);
  }

  /** Adds missing bytes; answers the offset reached. */
  lost(at: number, stop: number, why: Why, out: RunList): number {
    return out.add(MISSING, LOST, stop - at, undefined, 0, why) ? stop : at;
  }

  /** The same why with the check that failed; the same object each time, so that runs merge. */
  reason(why: Why, code: string): Why {
    let reason = this.#reasons.get(code);
    if (reason === undefined || reason.at !== why.at) {
      if (this.#reasons.size > MAX_REASONS) this.#reasons.clear();
      reason = { ...why, code };
      this.#reasons.set(code, reason);
    }
    return reason;
  }
}
