/**
 * Who held which stretch of a volume, and when. Of all that is gone and lay at one place only the last may still be
 * there: what was there before it was written over, though nothing that lives has the place now.
 */

/** Stretches that are kept; beyond them nothing is sure. */
const MAX_CLAIMS = 2 ** 22;
const FIRST_ROOM = 1024;
/** Numbers of a claim: where it begins and ends, when it was, and whose. */
const WIDTH = 4;

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
  #room = FIRST_ROOM;
  #rows = new Float64Array(FIRST_ROOM * WIDTH);
  #n = 0;
  /** Rows from here on are not in order yet. */
  #sorted = 0;
  /** The farthest end of all rows up to each one. */
  #reach = new Float64Array(0);
  #isHopeless = false;

  add({ from, end, order, who }: Claim): void {
    if (!(end > from) || this.#isHopeless) return;
    if (this.#n === this.#room) this.#grow();
    if (this.#isHopeless) return;
    this.#rows.set([from, end, order, who], this.#n++ * WIDTH);
  }

  /** Too many were entered: what others held is not known. */
  get isHopeless(): boolean {
    return this.#isHopeless;
  }

  /** All that touch what `own` held and were not over before it: at the same time, later, or nobody knows when. */
  after(own: Claim): Claim[] {
    if (this.#sorted < this.#n) this.#sort();
    const out: Claim[] = [];
    for (let i = this.#firstFrom(own.end) - 1; i >= 0 && this.#reach[i] > own.from; i--) {
      const one = this.#row(i);
      if (one.end > own.from && !(one.order < own.order)) out.push(one);
    }
    return out.reverse();
  }

  /** What became of what begins at `own.from` once `own` no longer had it, and up to where the same holds. */
  fate(own: Claim): { readonly fate: Fate; readonly end: number } {
    if (this.#isHopeless) return { fate: 'unsure', end: own.end };
    let { end } = own;
    let fate: Fate;
    for (const one of this.after(own)) {
      if (one.who === own.who) continue;
      end = Math.min(end, one.from > own.from ? one.from : one.end);
      if (one.from > own.from || fate === 'later') continue;
      fate = one.order > own.order ? 'later' : 'unsure';
    }
    return { fate, end };
  }

  #row(i: number): Claim {
    const at = i * WIDTH;
    const rows = this.#rows;
    return { from: rows[at], end: rows[at + 1], order: rows[at + 2], who: rows[at + 3] };
  }

  /** Makes room; what was entered twice is kept once. */
  #grow(): void {
    this.#sort();
    if (this.#n <= this.#room / 2) return;
    if (this.#room >= MAX_CLAIMS) {
      this.#isHopeless = true;
      this.#n = 0;
      this.#rows = new Float64Array(0);
      return;
    }
    this.#room *= 2;
    const rows = new Float64Array(this.#room * WIDTH);
    rows.set(this.#rows);
    this.#rows = rows;
  }

  #sort(): void {
    const rows = this.#rows;
    const order = new Uint32Array(this.#n);
    for (let i = 0; i < order.length; i++) order[i] = i * WIDTH;
    order.sort((a, b) => {
      for (let i = 0; i < WIDTH; i++) {
        // Unknown times sort as the first ones.
        const [x, y] = [rows[a + i] || 0, rows[b + i] || 0];
        if (x !== y) return x < y ? -1 : 1;
      }
      return 0;
    });
    const out = new Float64Array(rows.length);
    let n = 0;
    for (const at of order) {
      const before = (n - 1) * WIDTH;
      const isSame = n > 0 && [0, 1, 2, 3].every((i) => Object.is(out[before + i], rows[at + i]));
      if (!isSame) out.set(rows.subarray(at, at + WIDTH), n++ * WIDTH);
    }
    this.#rows = out;
    this.#n = this.#sorted = n;
    this.#reach = new Float64Array(n);
    let most = 0;
    for (let i = 0; i < n; i++) this.#reach[i] = most = Math.max(most, out[i * WIDTH + 1]);
  }

  /** The first row that begins at `place` or behind it. */
  #firstFrom(place: number): number {
    let low = 0;
    let high = this.#n;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#rows[middle * WIDTH] < place) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
