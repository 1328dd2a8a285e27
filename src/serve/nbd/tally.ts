/** How much of a disk is known how well: counted while it is served, without holding up those who read. */
import { flatten } from '../../core/resolve.ts';
import { CERTAINTY_NAMES, MISSING, RunList } from '../../core/run.ts';
import type { Source } from '../../core/source.ts';

export interface Tally {
  /** Bytes per certainty, in the order of CERTAINTY_NAMES. */
  readonly bytes: number[];
  /** Stretches that are missing. */
  stretches: number;
}

/** Looks at all tables of a source; undefined where `signal` ended it. */
export async function tallyOf(source: Source, signal: AbortSignal): Promise<Tally | undefined> {
  const tally: Tally = { bytes: CERTAINTY_NAMES.map(() => 0), stretches: 0 };
  const list = new RunList();
  for (let at = 0; at < source.size; ) {
    await new Promise((resolve) => setImmediate(resolve));
    if (signal.aborted) return undefined;
    list.clear();
    at = await flatten(source, at, source.size, list);
    for (let i = 0; i < list.n; i++) {
      tally.bytes[list.certainty(i)] += list.length[i];
      if (list.state(i) === MISSING) tally.stretches++;
    }
  }
  return tally;
}
