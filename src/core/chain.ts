/** Layers on top of each other: what the upper one says nothing of, the next one below is asked for. */
import { readThrough } from './resolve.ts';
import { ABSENT, type Certainty, LOST, MISSING, RunList, STATED, type State, type Why, weaker, ZERO } from './run.ts';
import type { Gap, Source } from './source.ts';

/** One layer of a chain. */
export interface ChainLayer {
  readonly source: Source;
  /** The most that this layer and those below it can be certain of: below STATED where the link to it was not proved. */
  readonly certainty: Certainty;
  /** Why it is no more than that. */
  readonly why?: Why;
}

/** A run of the composed answer. */
interface Piece {
  readonly at: number;
  readonly length: number;
  readonly state: State;
  readonly certainty: Certainty;
  readonly source: Source | undefined;
  readonly inner: number;
  readonly why: Why | undefined;
}

interface Window {
  readonly from: number;
  readonly end: number;
  readonly pieces: readonly Piece[];
}

/** A stretch that is still to be asked for, and the most that is certain of what lies below it there. */
interface Span {
  readonly from: number;
  readonly end: number;
  readonly most: Certainty;
  readonly doubt: Why | undefined;
}

const PAST_PARENT: Why = { what: 'the end of a parent that is shorter than its child' };
/** Bytes that are composed at a time: enough for large runs, and few enough runs to keep. */
const WINDOW = 256 * 1024 * 1024;
const RUNS = 4096;

/**
 * The disk that `layers`, the uppermost first, make together. What all of them say nothing of is zeros, or missing with
 * `lost` as the reason where the lowest layer names a parent that is not had. Each layer is asked once for each window.
 */
export function chain(layers: readonly ChainLayer[], lost?: Why): Source {
  return new Chain(layers, lost);
}

class Chain implements Source {
  readonly size: number;
  readonly #layers: readonly ChainLayer[];
  readonly #lost: Why | undefined;
  /** The window that was composed last; whoever reads on needs it again. */
  #window: Window = { from: 0, end: 0, pieces: [] };

  constructor(layers: readonly ChainLayer[], lost: Why | undefined) {
    this.size = layers[0].source.size;
    this.#layers = layers;
    this.#lost = lost;
  }

  read(offset: number, into: Uint8Array): Promise<readonly Gap[]> {
    return readThrough(this, offset, into);
  }

  runs(from: number, end: number, out: RunList): number | Promise<number> {
    const window = this.#window;
    if (from >= window.from && from < window.end) return say(window, from, end, out);
    return this.#compose(from, end).then((fresh) => say(fresh, from, end, out));
  }

  async #compose(from: number, end: number): Promise<Window> {
    this.#window = await compose(this.#layers, from, Math.min(end, this.size, from + WINDOW), this.#lost);
    return this.#window;
  }
}

function say(window: Window, from: number, end: number, out: RunList): number {
  let reached = from;
  for (let i = indexOf(window.pieces, from); i < window.pieces.length && reached < end; i++) {
    const piece = window.pieces[i];
    const skip = reached - piece.at;
    const length = Math.min(piece.length - skip, end - reached);
    const inner = piece.source === undefined ? 0 : piece.inner + skip;
    if (!out.add(piece.state, piece.certainty, length, piece.source, inner, piece.why)) return reached;
    reached += length;
  }
  return reached;
}

async function compose(
  layers: readonly ChainLayer[],
  from: number,
  end: number,
  lost: Why | undefined,
): Promise<Window> {
  const pieces: Piece[] = [];
  let open: Span[] = [{ from, end, most: 4, doubt: undefined }];
  let stop = end;
  const list = new RunList(RUNS);
  for (const { source, certainty, why } of layers) {
    const left: Span[] = [];
    for (const span of open) {
      const { from: start, end: till } = span;
      if (start >= stop) break;
      const most = weaker(span.most, certainty);
      const doubt = certainty < span.most ? why : span.doubt;
      const until = Math.min(till, stop);
      // A parent that ends early is zeros from there on, also where those below it are longer.
      const there = Math.min(until, Math.max(start, source.size));
      const reached = await ask(source, start, there, pieces, left, most, doubt, list);
      if (reached < there) stop = reached;
      else if (there < until) pieces.push(piece(there, until - there, ZERO, weaker(most, STATED), PAST_PARENT));
    }
    open = left;
  }
  for (const { from: start, end: till, most, doubt } of open) {
    const length = Math.min(till, stop) - start;
    if (length <= 0) continue;
    if (lost !== undefined) pieces.push(piece(start, length, MISSING, LOST, lost));
    else pieces.push(piece(start, length, ZERO, weaker(most, STATED), most < STATED ? doubt : undefined));
  }
  const inside = pieces.filter((one) => one.at < stop).sort((a, b) => a.at - b.at);
  const last = inside.at(-1);
  if (last !== undefined && last.at + last.length > stop) {
    inside[inside.length - 1] = { ...last, length: stop - last.at };
  }
  return { from, end: stop, pieces: inside };
}

/** Sorts what a layer says of [from, end) into pieces and what is left open. Answers the offset reached. */
async function ask(
  source: Source,
  from: number,
  end: number,
  pieces: Piece[],
  left: Span[],
  most: Certainty,
  doubt: Why | undefined,
  list: RunList,
): Promise<number> {
  let at = from;
  let asked = 0;
  while (at < end) {
    if (asked++ >= MAX_ASKS) return at;
    list.clear();
    const answer = source.runs(at, end, list);
    const reached = typeof answer === 'number' ? answer : await answer;
    for (let i = 0; i < list.n; i++) {
      const length = list.length[i];
      const state = list.state(i);
      const own = list.certainty(i);
      if (state === ABSENT) {
        // A layer that says nothing may be unsure of that, too: then so is what shows through it.
        const unsure = own !== LOST && own < most;
        addSpan(left, { from: at, end: at + length, most: unsure ? own : most, doubt: unsure ? list.why(i) : doubt });
      } else {
        const why = own > most ? doubt : list.why(i);
        const certainty = state === MISSING ? LOST : weaker(own, most);
        pieces.push({ at, length, state, certainty, source: list.sourceOf(i), inner: list.at[i], why });
      }
      at += length;
    }
    if (reached !== at) throw new Error(`a layer said to reach ${reached} and covered ${at}`);
  }
  return at;
}

/** Full lists taken from one layer for one stretch; what is left belongs to the next window. */
const MAX_ASKS = 4;

function addSpan(spans: Span[], span: Span): void {
  const last = spans.at(-1);
  const continues =
    last !== undefined && last.end === span.from && last.most === span.most && last.doubt === span.doubt;
  if (continues) spans[spans.length - 1] = { ...last, end: span.end };
  else spans.push(span);
}

function piece(at: number, length: number, state: State, certainty: Certainty, why: Why | undefined): Piece {
  return { at, length, state, certainty, source: undefined, inner: 0, why };
}

/** Index of the piece that `at` lies in. */
function indexOf(pieces: readonly Piece[], at: number): number {
  let low = 0;
  let high = pieces.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (pieces[middle].at <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}
