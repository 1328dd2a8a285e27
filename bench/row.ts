/** One line of the result: a job of salvor beside a peer's, and the bar it has to meet. */
import { median } from './measure.ts';

export interface Row {
  readonly job: string;
  /** Milliseconds of each run. */
  readonly salvor: readonly number[];
  readonly peer: string;
  readonly peerRuns: readonly number[];
  /** What came out, in the words of the bar. */
  readonly result: string;
  readonly bar: string;
  /** Undefined where there is no bar, or nothing to measure it by. */
  readonly met: boolean | undefined;
  /** MB. */
  readonly memory: number | undefined;
  /** MB that the job may take, where it is measured. */
  readonly memoryBar?: number;
}

type Runs = ReadonlyMap<string, readonly number[]>;

/** Salvor at least `bar` times as fast as the peer. A bar of undefined is for information only. */
export function faster(job: string, runs: Runs, peer: string, bar: number | undefined, memory?: number): Row {
  const salvor = runs.get('salvor')!;
  const peerRuns = runs.get(peer)!;
  const ratio = median(peerRuns) / median(salvor);
  const met = bar === undefined ? undefined : ratio >= bar;
  const wanted = bar === undefined ? 'none' : `≥ ${bar}×`;
  return { job, salvor, peer, peerRuns, result: `${ratio.toFixed(2)}×`, bar: wanted, met, memory };
}

/** Salvor at most `limit` milliseconds beyond the peer's time. */
export function beyond(job: string, runs: Runs, peer: string, limit: number, memory?: number): Row {
  const salvor = runs.get('salvor')!;
  const peerRuns = runs.get(peer)!;
  const more = median(salvor) - median(peerRuns);
  const result = `${more < 0 ? '−' : '+'}${Math.abs(more).toFixed(0)} ms`;
  return { job, salvor, peer, peerRuns, result, bar: `≤ +${limit} ms`, met: more <= limit, memory };
}

/** A row as one line of text. */
export function textOf(row: Row): string {
  const times = `${median(row.salvor).toFixed(0)} ms, ${row.peer} ${median(row.peerRuns).toFixed(0)} ms`;
  const memory = row.memory === undefined ? '' : `, ${memoryOf(row)} MB`;
  const verdict = row.met === undefined ? '' : row.met ? ' (met)' : ' (MISSED)';
  return `${row.job}: ${times}: ${row.result}, bar ${row.bar}${verdict}${memory}`;
}

/** What a row took of what it may take. */
export function memoryOf({ memory, memoryBar }: Row): string {
  if (memory === undefined) return '';
  if (memoryBar === undefined) return memory.toFixed(0);
  const said = `${memory.toFixed(0)} of ${memoryBar}`;
  return memory <= memoryBar ? said : `**${said}**`;
}
