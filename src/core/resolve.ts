/** From any Source down to the evidence: the one place where runs are followed and bytes are read. */
import { MAX_DEPTH } from './limits.ts';
import { ABSENT, type Certainty, DATA, LOST, MISSING, RunList, VERIFIED, type Why, weaker } from './run.ts';
import type { Gap, Source } from './source.ts';

/** A stretch of one layer that is being followed down. */
interface Frame {
  source: Source;
  at: number;
  end: number;
  certainty: Certainty;
  why: Why | undefined;
  readonly list: RunList;
  i: number;
}

const PAST_END: Why = { what: 'the end of what is there', code: 'past-end' };
const NO_PARENT: Why = { what: 'a layer that only says what differs from its parent', code: 'no-parent' };
const TOO_DEEP: Why = { what: `more than ${MAX_DEPTH} layers on top of each other`, code: 'too-deep' };
const NOWHERE = new RunList(1);
/** Runs asked of a layer at a time: windows of lists, not whole tables. */
const WINDOW = 256;

/**
 * Appends the runs of [from, end) with every run followed to the bottom: a file, a device or memory. `toRead`: what has to
 * be held against a checksum first is not followed further, so that it is read by what can do that.
 * Certainty is the weakest along the way, and the why is the one that weakened it (or the uppermost).
 * Answers the offset reached; less than `end` only when `out` is full. Iterative: depth costs no stack.
 */
export function flatten(
  source: Source,
  from: number,
  end: number,
  out: RunList,
  toRead = false,
): number | Promise<number> {
  const flattener = spare.pop() ?? new Flattener();
  const reached = flattener.go(source, from, end, out, toRead);
  if (typeof reached === 'number') {
    spare.push(flattener);
    return reached;
  }
  return reached.finally(() => spare.push(flattener));
}

/** Flatteners at rest. Each keeps a list per layer, which is what makes them worth keeping. */
const spare: Flattener[] = [];

class Flattener {
  readonly #frames: Frame[] = [];
  #out: RunList = NOWHERE;
  #depth = -1;
  #reached = 0;
  #toRead = false;

  go(source: Source, from: number, end: number, out: RunList, toRead: boolean): number | Promise<number> {
    this.#toRead = toRead;
    this.#out = out;
    this.#depth = -1;
    this.#reached = from;
    this.#push(source, from, end, VERIFIED, undefined);
    return this.#advance();
  }

  #advance(): number | Promise<number> {
    while (this.#depth >= 0) {
      const frame = this.#frames[this.#depth];
      if (frame.i < frame.list.n) {
        if (!this.#step(frame)) return this.#reached;
      } else if (frame.at >= frame.end) {
        this.#depth--;
      } else {
        const waiting = this.#refill(frame);
        if (waiting !== undefined) return waiting.then(() => this.#advance());
      }
    }
    return this.#reached;
  }

  /** Asks the frame's source for its next runs. */
  #refill(frame: Frame): Promise<void> | undefined {
    frame.list.clear();
    frame.i = 0;
    if (frame.at >= frame.source.size) {
      frame.list.add(MISSING, LOST, frame.end - frame.at, undefined, 0, PAST_END);
      frame.at = frame.end;
      return undefined;
    }
    const end = Math.min(frame.end, frame.source.size);
    const checks = this.#toRead && frame.source.runsToRead !== undefined;
    const reached = checks
      ? frame.source.runsToRead!(frame.at, end, frame.list)
      : frame.source.runs(frame.at, end, frame.list);
    if (typeof reached === 'number') {
      this.#arrived(frame, reached);
      return undefined;
    }
    return reached.then((offset) => this.#arrived(frame, offset));
  }

  #arrived(frame: Frame, reached: number): void {
    if (reached <= frame.at) throw new Error(`a source said nothing about its bytes from ${frame.at} on`);
    frame.at = reached;
  }

  /** Gives out run i of a frame, or follows it one layer down. False when `out` is full. */
  #step(frame: Frame): boolean {
    const { list, i } = frame;
    const lower = list.sourceOf(i);
    const own = list.certainty(i);
    const certainty = weaker(frame.certainty, own);
    // The upper layer's why stays unless this layer is what makes the bytes less certain.
    const why = frame.why !== undefined && own >= frame.certainty ? frame.why : list.why(i);
    const follow = list.state(i) === DATA && lower !== undefined && lower !== frame.source;
    if (follow && this.#depth + 1 < MAX_DEPTH) {
      frame.i++;
      this.#push(lower, list.at[i], list.at[i] + list.length[i], certainty, why);
      return true;
    }
    const length = list.length[i];
    if (follow || list.state(i) === ABSENT) {
      if (!this.#out.add(MISSING, LOST, length, undefined, 0, follow ? TOO_DEEP : NO_PARENT)) return false;
    } else if (!this.#out.add(list.state(i), certainty, length, lower, list.at[i], why)) return false;
    this.#reached += length;
    frame.i++;
    return true;
  }

  #push(source: Source, at: number, end: number, certainty: Certainty, why: Why | undefined): void {
    this.#depth++;
    const known = this.#frames[this.#depth];
    if (known === undefined) {
      this.#frames[this.#depth] = { source, at, end, certainty, why, list: new RunList(WINDOW), i: 0 };
      return;
    }
    known.list.clear();
    Object.assign(known, { source, at, end, certainty, why, i: 0 });
  }
}

/** A piece of a read: bytes that lie together at the bottom. */
interface Piece {
  source: Source;
  at: number;
  into: Uint8Array;
  /** Offset in the source that was asked. */
  offset: number;
}

/** Derives `read` from `runs`: resolves, fills zeros, joins what lies together, reads in large blocks. */
export async function readThrough(source: Source, offset: number, into: Uint8Array): Promise<readonly Gap[]> {
  const gaps: Gap[] = [];
  const list = lists.pop() ?? new RunList(WINDOW);
  const end = offset + into.length;
  let at = offset;
  while (at < end) {
    list.clear();
    const answer = flatten(source, at, end, list, true);
    const reached = typeof answer === 'number' ? answer : await answer;
    const pieces = layOut(list, at, offset, into, gaps);
    for (let i = 0; i < pieces.length; i += READS_AT_ONCE) {
      await Promise.all(pieces.slice(i, i + READS_AT_ONCE).map((piece) => readPiece(piece, gaps)));
    }
    at = reached;
  }
  list.clear();
  lists.push(list);
  return gaps.length > 1 ? joined(gaps) : gaps;
}

/** Lists of reads that are over. */
const lists: RunList[] = [];

/** Reads under way at once from one call; enough to keep a disk's queue busy. */
const READS_AT_ONCE = 8;

function layOut(list: RunList, from: number, offset: number, into: Uint8Array, gaps: Gap[]): Piece[] {
  const pieces: Piece[] = [];
  let at = from;
  for (let i = 0; i < list.n; i++) {
    const length = list.length[i];
    const target = into.subarray(at - offset, at - offset + length);
    const lower = list.sourceOf(i);
    if (list.state(i) === DATA && lower !== undefined) {
      const last = pieces[pieces.length - 1];
      const touches = last !== undefined && last.source === lower && last.offset + last.into.length === at;
      if (touches && last.at + last.into.length === list.at[i]) {
        last.into = into.subarray(last.offset - offset, at - offset + length);
      } else {
        pieces.push({ source: lower, at: list.at[i], into: target, offset: at });
      }
    } else {
      target.fill(0);
      if (list.state(i) === MISSING) gaps.push({ offset: at, length, code: list.why(i)?.code ?? 'missing' });
    }
    at += length;
  }
  return pieces;
}

async function readPiece(piece: Piece, gaps: Gap[]): Promise<void> {
  for (const gap of await piece.source.read(piece.at, piece.into)) {
    gaps.push({ offset: piece.offset + (gap.offset - piece.at), length: gap.length, code: gap.code });
  }
}

/** Sorted, and with neighbours of one cause made one. */
function joined(gaps: Gap[]): Gap[] {
  gaps.sort((a, b) => a.offset - b.offset);
  const out: Gap[] = [gaps[0]];
  for (const gap of gaps.slice(1)) {
    const last = out[out.length - 1];
    if (last.offset + last.length === gap.offset && last.code === gap.code) {
      out[out.length - 1] = { ...last, length: last.length + gap.length };
    } else out.push(gap);
  }
  return out;
}
