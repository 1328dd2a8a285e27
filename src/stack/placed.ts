/** Where the bytes of a thing lie on the evidence, run by run, and what they amount to. */
import { FileSource } from '../core/evidence.ts';
import { flatten } from '../core/resolve.ts';
import {
  CERTAINTY_NAMES,
  type Certainty,
  MISSING,
  RunList,
  STATE_NAMES,
  STATED,
  type State,
  type Why,
} from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { size } from './words.ts';

/** A run of a thing's bytes, followed down to the evidence. Neighbours of one kind are one run. */
export interface Placed {
  readonly offset: number;
  length: number;
  readonly state: State;
  readonly certainty: Certainty;
  /** The evidence that holds the bytes, or would hold them if they could be had. */
  readonly source: Source | undefined;
  readonly at: number;
  readonly why: Why | undefined;
}

/** The runs of [from, end) on the evidence. Memory stays the same however long the list is. */
export async function* placed(
  source: Source,
  from: number,
  end: number,
  signal: AbortSignal,
): AsyncGenerator<Placed, void> {
  const list = new RunList();
  let last: Placed | undefined;
  for (let at = from; at < end && !signal.aborted; ) {
    list.clear();
    const reached = await flatten(source, at, end, list);
    for (let i = 0; i < list.n; i++) {
      const run: Placed = {
        offset: at,
        length: list.length[i],
        state: list.state(i),
        certainty: list.certainty(i),
        source: list.sourceOf(i),
        at: list.at[i],
        why: list.why(i),
      };
      at += run.length;
      if (last !== undefined && continues(last, run)) last.length += run.length;
      else {
        if (last !== undefined) yield last;
        last = run;
      }
    }
    at = reached;
  }
  if (last !== undefined) yield last;
}

function continues(last: Placed, run: Placed): boolean {
  if (last.state !== run.state || last.certainty !== run.certainty || last.source !== run.source) return false;
  if (run.source !== undefined && last.at + last.length !== run.at) return false;
  return last.why?.what === run.why?.what && last.why?.code === run.why?.code;
}

/** What the bytes of a thing amount to. */
export interface Summary {
  /** Bytes per certainty, in the order of CERTAINTY_NAMES: missing, guessed, inferred, stated, verified. */
  readonly bytes: number[];
  /** Bytes per state, in the order of STATE_NAMES: data, zero, missing. */
  readonly states: number[];
  /** Stretches of data that do not follow on each other on the evidence. */
  fragments: number;
  /** Why bytes are missing or less than stated, each reason once, the first few. */
  readonly reasons: string[];
}

const MAX_REASONS = 8;

/** Counts the bytes of a source by what is known of them. */
export async function summarize(source: Source, signal: AbortSignal): Promise<Summary> {
  const sum: Summary = { bytes: [0, 0, 0, 0, 0], states: [0, 0, 0], fragments: 0, reasons: [] };
  let before: Placed | undefined;
  for await (const run of placed(source, 0, source.size, signal)) {
    sum.bytes[run.certainty] += run.length;
    sum.states[run.state] += run.length;
    if (STATE_NAMES[run.state] === 'data') {
      if (before === undefined || before.source !== run.source || before.at + before.length !== run.at) sum.fragments++;
      before = run;
    }
    const code = run.why?.code ?? (run.state === MISSING ? 'missing' : 'unchecked');
    if (run.certainty < STATED && sum.reasons.length < MAX_REASONS && !sum.reasons.includes(code)) {
      sum.reasons.push(code);
    }
  }
  return sum;
}

/** Bytes that are missing, or that no sound metadata states, as one sentence; undefined where there are none. */
export function shortfall(sum: Summary): string | undefined {
  const parts = [0, 1, 2].flatMap((c) => (sum.bytes[c] > 0 ? [`${size(sum.bytes[c])} ${CERTAINTY_NAMES[c]}`] : []));
  return parts.length === 0 ? undefined : `of its bytes: ${parts.join(', ')} (${sum.reasons.join(', ')})`;
}

/** A place on the evidence as a locator that every command takes. */
export function placeOf(source: Source, at: number): string {
  return `${source instanceof FileSource ? source.path : 'memory'}@${at}`;
}

/** A run for programs. `places` keeps where metadata lies, for many runs have the same to say. */
export async function runJson(run: Placed, places: Map<Why, string | undefined>): Promise<Record<string, unknown>> {
  const { offset, length, source, at, why } = run;
  if (places.size > 1000) places.clear();
  if (why !== undefined && !places.has(why)) places.set(why, await whyPlace(why));
  return {
    offset,
    length,
    state: STATE_NAMES[run.state],
    certainty: CERTAINTY_NAMES[run.certainty],
    ...(source !== undefined && { evidence: source instanceof FileSource ? source.path : 'memory', at }),
    ...(why !== undefined && { why: { what: why.what, at: places.get(why), code: why.code } }),
  };
}

/** Where on the evidence the metadata lies that said so. */
export async function whyPlace(why: Why): Promise<string | undefined> {
  if (why.source === undefined || why.at === undefined || why.at >= why.source.size) return undefined;
  const list = new RunList(1);
  await flatten(why.source, why.at, why.at + 1, list);
  const source = list.n === 0 ? undefined : list.sourceOf(0);
  return source === undefined ? undefined : placeOf(source, list.at[0]);
}
