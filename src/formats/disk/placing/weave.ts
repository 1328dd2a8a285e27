/**
 * Which piece belongs to which of several disks that grew in turns, and which slot of it is its: pieces are in the order
 * in which they were made, and each disk grew from its start to its end, as disks do that are installed.
 */

/** A disk that pieces may be of. */
export interface Strand {
  /** The piece in its first slot. */
  readonly first: number;
  readonly slots: number;
  /** What it costs to leave slots empty, from one to before another. */
  skip(from: number, end: number): number;
  /** The next slot from each one on, itself included, that is known to be in use. */
  readonly nextUsed: Int32Array;
  /** How well a piece fits into a slot. */
  fits(piece: number, slot: number): number;
  /** Slots that the content of a piece names. */
  named(piece: number): readonly number[];
}

export interface Woven {
  /** The strand of each piece, and its slot there; NOBODY where it is of none. */
  readonly owner: Int16Array;
  readonly slot: Int32Array;
  readonly score: number;
}

export const NOBODY = -1;

/** What it costs that the next piece is not of the same disk. */
const SWITCH = 2;
/** Slots right behind the last one that a piece is tried in. */
const NEAR = 3;
/** Ways that are followed side by side: fewer where there is much to do. */
const MAX_WIDTH = 128;
const MIN_WIDTH = 12;
const WORK: number = 2 ** 22;
/** Numbers that make next slots one number, which stays below 2**53. */
const SALT = 4_194_301;

/** Ways so far: of each, the next slot of each strand, the strand of the last piece, and its score. */
interface Ways {
  n: number;
  readonly next: Int32Array;
  readonly last: Int16Array;
  readonly score: Float64Array;
  readonly key: Float64Array;
}

interface Step {
  readonly parent: Int32Array;
  readonly owner: Int16Array;
  readonly slot: Int32Array;
}

/**
 * Ways more, each with the one that it goes on from. There are some thousand for every piece: an object for each of them
 * would be most of what such a search takes of memory.
 */
class Candidates {
  n = 0;
  from: Int32Array = new Int32Array(FIRST_ROOM);
  owner: Int16Array = new Int16Array(FIRST_ROOM);
  slot: Int32Array = new Int32Array(FIRST_ROOM);
  score: Float64Array = new Float64Array(FIRST_ROOM);
  key: Float64Array = new Float64Array(FIRST_ROOM);
  #order = new Uint32Array(FIRST_ROOM);

  add(from: number, owner: number, slot: number, score: number, key: number): void {
    if (this.n === this.from.length) this.#grow();
    this.from[this.n] = from;
    this.owner[this.n] = owner;
    this.slot[this.n] = slot;
    this.score[this.n] = score;
    this.key[this.n++] = key;
  }

  /** Their numbers, the best first; of those that are as good the first. */
  ranked(): Uint32Array {
    const { score } = this;
    const order = this.#order.subarray(0, this.n);
    for (let i = 0; i < this.n; i++) order[i] = i;
    return order.sort((a, b) => score[b] - score[a] || a - b);
  }

  #grow(): void {
    const room = 2 * this.n;
    const { from, owner, slot, score, key } = this;
    this.from = new Int32Array(room);
    this.owner = new Int16Array(room);
    this.slot = new Int32Array(room);
    this.score = new Float64Array(room);
    this.key = new Float64Array(room);
    this.#order = new Uint32Array(room);
    this.from.set(from);
    this.owner.set(owner);
    this.slot.set(slot);
    this.score.set(score);
    this.key.set(key);
  }
}

const FIRST_ROOM = 4096;

/** The best way to give pieces to strands. `unexplained`: what it costs that a piece is of none; 0 where nothing is in it. */
export function woven(
  count: number,
  strands: readonly Strand[],
  unexplained: (piece: number) => number,
  signal: AbortSignal,
): Woven {
  let full = 0;
  for (let piece = 0; piece < count; piece++) if (unexplained(piece) > 0) full++;
  const width = Math.max(MIN_WIDTH, Math.min(MAX_WIDTH, Math.floor(WORK / (1 + full * strands.length))));
  const salts = strands.map((_, i) => Math.floor(SALT / (i + 1)) - 7 * i);
  const startOf = new Map(strands.map((strand, i) => [strand.first, i]));
  let ways = blank(width, strands.length);
  let spare = blank(width, strands.length);
  ways.n = 1;
  ways.last[0] = NOBODY;
  /** Of each piece; undefined where nothing is in it. */
  const steps: (Step | undefined)[] = [];
  const candidates = new Candidates();
  for (let piece = 0; piece < count; piece++) {
    signal.throwIfAborted();
    candidates.n = 0;
    const start = startOf.get(piece);
    if (start === undefined && unexplained(piece) === 0) {
      steps.push(undefined);
      continue;
    }
    for (let way = 0; way < ways.n; way++) {
      if (start !== undefined) {
        const score = ways.score[way] + strands[start].fits(piece, 0);
        candidates.add(way, start, 0, score, ways.key[way] + salts[start]);
      } else expand(piece, way, ways, strands, salts, unexplained(piece), candidates);
    }
    steps.push(keepBest(candidates, ways, spare, width, strands.length));
    [ways, spare] = [spare, ways];
  }
  return backwards(ways, steps, strands);
}

function blank(width: number, strands: number): Ways {
  return {
    n: 0,
    next: new Int32Array(width * strands),
    last: new Int16Array(width),
    score: new Float64Array(width),
    key: new Float64Array(width),
  };
}

function expand(
  piece: number,
  way: number,
  ways: Ways,
  strands: readonly Strand[],
  salts: readonly number[],
  unexplained: number,
  out: Candidates,
): void {
  const base = ways.score[way];
  const key = ways.key[way];
  const last = ways.last[way];
  out.add(way, NOBODY, 0, base - unexplained, key);
  for (const [i, strand] of strands.entries()) {
    const next = ways.next[way * strands.length + i];
    if (next === 0 || next >= strand.slots) continue;
    const tried: number[] = [];
    const attempt = (slot: number): void => {
      if (slot < next || slot >= strand.slots || tried.includes(slot)) return;
      tried.push(slot);
      const score = base + strand.fits(piece, slot) - strand.skip(next, slot) - (i === last ? 0 : SWITCH);
      out.add(way, i, slot, score, key + (slot + 1 - next) * salts[i]);
    };
    for (let slot = next; slot < next + NEAR; slot++) attempt(slot);
    const used = strand.nextUsed[next];
    for (let slot = used; slot < used + NEAR; slot++) attempt(slot);
    for (const slot of strand.named(piece)) attempt(slot);
  }
}

/** Keeps the best ways in `into`; of those that may go on alike only the best. */
function keepBest(candidates: Candidates, ways: Ways, into: Ways, width: number, strands: number): Step {
  const seen = new Set<number>();
  const parent: number[] = [];
  const owners: number[] = [];
  const slots: number[] = [];
  for (const i of candidates.ranked()) {
    const from = candidates.from[i];
    const owner = candidates.owner[i];
    const slot = candidates.slot[i];
    const key = candidates.key[i];
    const last = owner === NOBODY ? ways.last[from] : owner;
    const name = key * 64 + last + 1;
    if (seen.has(name)) continue;
    seen.add(name);
    const to = parent.length;
    for (let k = 0; k < strands; k++) into.next[to * strands + k] = ways.next[from * strands + k];
    if (owner !== NOBODY) into.next[to * strands + owner] = slot + 1;
    into.last[to] = last;
    into.score[to] = candidates.score[i];
    into.key[to] = key;
    parent.push(from);
    owners.push(owner);
    slots.push(slot);
    if (parent.length === width) break;
  }
  into.n = parent.length;
  return { parent: Int32Array.from(parent), owner: Int16Array.from(owners), slot: Int32Array.from(slots) };
}

function backwards(ways: Ways, steps: readonly (Step | undefined)[], strands: readonly Strand[]): Woven {
  let best = 0;
  let most = Number.NEGATIVE_INFINITY;
  for (let way = 0; way < ways.n; way++) {
    let score = ways.score[way];
    for (const [i, strand] of strands.entries())
      score -= strand.skip(ways.next[way * strands.length + i], strand.slots);
    if (score <= most) continue;
    most = score;
    best = way;
  }
  const owner = new Int16Array(steps.length).fill(NOBODY);
  const slot = new Int32Array(steps.length).fill(NOBODY);
  for (let piece = steps.length - 1, way = best; piece >= 0; piece--) {
    const step = steps[piece];
    if (step === undefined) continue;
    owner[piece] = step.owner[way];
    if (owner[piece] !== NOBODY) slot[piece] = step.slot[way];
    way = step.parent[way];
  }
  return { owner, slot, score: most };
}
