/** Which stretches of a file the entries of a table claim, and which two of them do. All stretches are of one length. */

/** Stretches that are told apart; their places take four bytes each. */
const MAX_BUCKETS: number = 2 ** 24;
const SECTOR = 512;

export class Claims {
  /** There are too many to tell: nothing is known of double claims. */
  readonly unchecked: boolean;
  /** Different stretches that are claimed. */
  claimed = 0;
  readonly #stride: number;
  readonly #limit: number;
  /** Two stretches that do not overlap never start in one bucket. Holds the start within it, in sectors, plus one. */
  readonly #starts: Uint32Array;
  readonly #contested: Uint8Array;

  /** Claims on `size` bytes, each `stride` bytes long, from multiples of 512 on. */
  constructor(size: number, stride: number) {
    const buckets = Math.ceil(size / stride) + 1;
    this.unchecked = !(buckets <= MAX_BUCKETS);
    this.#stride = stride;
    this.#limit = size;
    this.#starts = new Uint32Array(this.unchecked ? 0 : buckets + 1);
    this.#contested = new Uint8Array(this.#starts.length);
  }

  /** Enters the claim that starts at `at`. */
  add(at: number): void {
    if (this.unchecked || !(at >= 0 && at < this.#limit)) return;
    const bucket = Math.floor(at / this.#stride);
    const start = Math.floor((at - bucket * this.#stride) / SECTOR) + 1;
    if (this.#starts[bucket] !== 0) {
      this.#contested[bucket] = 1;
      // Kept is the earlier start, which is what those below can run into.
      if (start < this.#starts[bucket]) this.#starts[bucket] = start;
    } else {
      this.#starts[bucket] = start;
      this.claimed++;
    }
  }

  /** Whether another claim overlaps the one that starts at `at`. All claims have to be in. */
  isContested(at: number): boolean {
    const bucket = Math.floor(at / this.#stride);
    if (this.unchecked || !(bucket >= 0 && bucket < this.#starts.length)) return false;
    if (this.#contested[bucket] === 1) return true;
    const start = Math.floor((at - bucket * this.#stride) / SECTOR) + 1;
    const below = bucket > 0 ? this.#starts[bucket - 1] : 0;
    const above = this.#starts[bucket + 1] ?? 0;
    // A claim reaches into the next bucket by as much as it starts late in its own; of two below, the later is not kept.
    if (below > start || (below !== 0 && start > 1 && this.#contested[bucket - 1] === 1)) return true;
    return above !== 0 && above < start;
  }

  /** How many more claims would fit between those that there are, outside of `reserved`, in [from, end). */
  room(from: number, end: number, reserved: readonly (readonly [from: number, end: number])[]): number {
    const sorted = [...reserved].sort((a, b) => a[0] - b[0]);
    let next = 0;
    let free = from;
    let out = 0;
    const gap = (till: number): void => {
      if (till > free) out += Math.floor((till - free) / this.#stride);
    };
    // What is reserved ends a gap as much as a claim does.
    const upTo = (start: number): void => {
      for (; next < sorted.length && sorted[next][0] < start; next++) {
        gap(Math.min(sorted[next][0], end));
        free = Math.max(free, sorted[next][1]);
      }
      gap(Math.min(start, end));
    };
    for (let bucket = 0; bucket < this.#starts.length; bucket++) {
      if (this.#starts[bucket] === 0) continue;
      const start = bucket * this.#stride + (this.#starts[bucket] - 1) * SECTOR;
      upTo(start);
      free = Math.max(free, start + this.#stride);
    }
    upTo(end);
    return out;
  }
}
