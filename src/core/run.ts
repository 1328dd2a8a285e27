/** Runs: where a stretch of a Source's bytes lies, its state and its certainty. */
import type { Source } from './source.ts';

/** What a run is. The numbers are stored in RunList.meta. */
export const DATA = 0;
export const ZERO = 1;
export const MISSING = 2;
/** This layer says nothing: the layer below has to be asked. At the bottom it is missing. */
export const ABSENT = 3;
export type State = typeof DATA | typeof ZERO | typeof MISSING | typeof ABSENT;
export const STATE_NAMES: readonly string[] = ['data', 'zero', 'missing', 'absent'];

/** How certain a byte is, weakest first, so that the weakest link of a way is a plain minimum. */
export const LOST = 0;
export const GUESSED = 1;
export const INFERRED = 2;
export const STATED = 3;
export const VERIFIED = 4;
export type Certainty = 0 | 1 | 2 | 3 | 4;
export const CERTAINTY_NAMES: readonly string[] = ['missing', 'guessed', 'inferred', 'stated', 'verified'];

/** The metadata that said where a run lies: a structure's name and its position in the source it was read from. */
export interface Why {
  /** What said so, in the specification's words: "VMFS file descriptor 0x02400004". */
  readonly what: string;
  /** The source that the structure was read from, and where in it (bytes). */
  readonly source?: Source;
  readonly at?: number;
  /** The check that failed, where certainty is below stated, or why bytes are missing. */
  readonly code?: string;
}

const STATE_BITS = 0b111;
const CERTAINTY_SHIFT = 3;
const WHY_SHIFT = 6;
/** Runs a list holds before it is full; large enough that refills cost nothing beside reading. */
const CAPACITY = 1024;

/**
 * A bounded list of runs as a struct of arrays. A run costs a few stores, no object and no promise.
 * `source` and the why of `meta` are indexes into the list's own tables, so a list owns all it names.
 */
export class RunList {
  n = 0;
  readonly length: Float64Array;
  readonly at: Float64Array;
  readonly source: Uint32Array;
  readonly meta: Uint32Array;
  readonly capacity: number;
  /** Tables behind the indexes. Index 0 means none. */
  sources: (Source | undefined)[] = [undefined];
  whys: (Why | undefined)[] = [undefined];

  constructor(capacity: number = CAPACITY) {
    this.capacity = capacity;
    this.length = new Float64Array(capacity);
    this.at = new Float64Array(capacity);
    this.source = new Uint32Array(capacity);
    this.meta = new Uint32Array(capacity);
  }

  get full(): boolean {
    return this.n === this.capacity;
  }

  clear(): void {
    this.n = 0;
    if (this.sources.length > 1) this.sources = [undefined];
    if (this.whys.length > 1) this.whys = [undefined];
  }

  /**
   * Appends one run of `length` bytes, merged with the one before where it simply continues it.
   * Answers false, and adds nothing, when the list is full. Zero-length runs are dropped.
   */
  add(state: State, certainty: Certainty, length: number, source?: Source, at = 0, why?: Why): boolean {
    if (length <= 0) return true;
    const s = source === undefined ? 0 : this.#sourceIndex(source);
    const w = why === undefined ? 0 : this.#whyIndex(why);
    const meta = state | (certainty << CERTAINTY_SHIFT) | (w << WHY_SHIFT);
    const last = this.n - 1;
    if (last >= 0 && this.meta[last] === meta && this.source[last] === s) {
      // Zeros continue zeros; data, and missing bytes whose place is known, continue only where they lie on.
      if (s === 0 || this.at[last] + this.length[last] === at) {
        this.length[last] += length;
        return true;
      }
    }
    if (this.full) return false;
    const i = this.n++;
    this.length[i] = length;
    this.at[i] = at;
    this.source[i] = s;
    this.meta[i] = meta >>> 0;
    return true;
  }

  state(i: number): State {
    return (this.meta[i] & STATE_BITS) as State;
  }

  certainty(i: number): Certainty {
    return ((this.meta[i] >>> CERTAINTY_SHIFT) & STATE_BITS) as Certainty;
  }

  why(i: number): Why | undefined {
    return this.whys[this.meta[i] >>> WHY_SHIFT];
  }

  sourceOf(i: number): Source | undefined {
    return this.sources[this.source[i]];
  }

  // Lists name few sources and few whys, nearly always the last one again: look there first.
  #sourceIndex(source: Source): number {
    const last = this.sources.length - 1;
    if (this.sources[last] === source) return last;
    const known = this.sources.indexOf(source);
    return known > 0 ? known : this.sources.push(source) - 1;
  }

  #whyIndex(why: Why): number {
    const last = this.whys.length - 1;
    if (this.whys[last] === why) return last;
    const known = this.whys.lastIndexOf(why);
    return known > 0 ? known : this.whys.push(why) - 1;
  }
}

/** The weaker of two certainties. */
export function weaker(a: Certainty, b: Certainty): Certainty {
  return a < b ? a : b;
}
