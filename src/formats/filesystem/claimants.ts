/**
 * Who held which stretch of a volume, and when. Of all that is gone and lay at one place only the last may still be
 * there: what was there before it was written over, though nothing that lives has the place now.
 */

/** Stretches that are kept; beyond them nothing is sure. */
const MAX_CLAIMS = 4_000_000;

/** A stretch that was held. */
export interface Claim {
  readonly from: number;
  readonly end: number;
  /** When, as far as that can be told: the larger the later; NaN where it is not known. */
  readonly order: number;
  readonly who: number;
}

/** Another had it later, or one had it of which nobody knows when. */
export type Fate = 'later' | 'unsure' | undefined;

export class Claimants {
  readonly #claims: Claim[] = [];
  /** The farthest end of all claims up to each one. */
  #reach: Float64Array | undefined;

  add(claim: Claim): void {
    if (claim.end > claim.from && this.#claims.length <= MAX_CLAIMS) this.#claims.push(claim);
    this.#reach = undefined;
  }

  /** Too many were entered: what others held is not known. */
  get isHopeless(): boolean {
    return this.#claims.length > MAX_CLAIMS;
  }

  /** All that touch what `own` held and were not over before it: at the same time, later, or nobody knows when. */
  after(own: Claim): Claim[] {
    const reach = this.#reach ?? this.#sort();
    const out: Claim[] = [];
    for (let i = this.#firstFrom(own.end) - 1; i >= 0 && reach[i] > own.from; i--) {
      const one = this.#claims[i];
      if (one.end > own.from && !(one.order < own.order)) out.push(one);
    }
    return out.reverse();
  }

  /** What became of what begins at `own.from` once `own` no longer had it, and up to where the same holds. */
  fate(own: Claim): { readonly fate: Fate; readonly end: number } {
    if (this.isHopeless) return { fate: 'unsure', end: own.end };
    const others = this.after(own).filter(({ who }) => who !== own.who);
    let { end } = own;
    for (const one of others) {
      if (one.from > own.from) end = Math.min(end, one.from);
      else end = Math.min(end, one.end);
    }
    const first = others.filter(({ from }) => from <= own.from);
    const isLater = first.some(({ order }) => order > own.order);
    return { fate: isLater ? 'later' : first.length > 0 ? 'unsure' : undefined, end };
  }

  #sort(): Float64Array {
    this.#claims.sort((a, b) => a.from - b.from);
    const reach = new Float64Array(this.#claims.length);
    let most = 0;
    for (const [i, { end }] of this.#claims.entries()) reach[i] = most = Math.max(most, end);
    this.#reach = reach;
    return reach;
  }

  /** The first claim that begins at `place` or behind it. */
  #firstFrom(place: number): number {
    let low = 0;
    let high = this.#claims.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#claims[middle].from < place) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
