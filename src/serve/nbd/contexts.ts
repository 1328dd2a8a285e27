/** Metadata contexts: what a client can ask about stretches of a disk, and the answers. */
import { flatten } from '../../core/resolve.ts';
import { type Certainty, MISSING, RunList, type State, ZERO } from '../../core/run.ts';
import type { Source } from '../../core/source.ts';
import { MAX_EXTENT_STEPS, MAX_EXTENTS, STATE_HOLE, STATE_ZERO } from './protocol.ts';

/** A context: its name, the id that answers carry, and what it says of a run. */
export interface Context {
  readonly name: string;
  readonly id: number;
  flags(state: State, certainty: Certainty): number;
}

/** Missing bytes count as data, so that no client takes them for zeros without having asked. */
const allocation: Context = {
  name: 'base:allocation',
  id: 1,
  flags: (state) => (state === ZERO ? STATE_HOLE | STATE_ZERO : 0),
};

/** The grade as a number: 0 missing, 1 guessed, 2 inferred, 3 stated, 4 verified. */
const certainty: Context = {
  name: 'salvor:certainty',
  id: 2,
  flags: (state, grade) => (state === MISSING ? 0 : grade),
};

export const CONTEXTS: readonly Context[] = [allocation, certainty];

/** The contexts that a query asks for. In a listing, a name that ends in ":" means all behind it. */
export function asked(query: string, listing: boolean): Context[] {
  return CONTEXTS.filter(({ name }) => name === query || (listing && query.endsWith(':') && name.startsWith(query)));
}

/** What each context says of [from, end): pairs of length and flags. All start at `from`; a long answer may stop early. */
export async function extentsOf(
  source: Source,
  from: number,
  end: number,
  contexts: readonly Context[],
  one: boolean,
): Promise<number[][]> {
  const out = contexts.map((): number[] => []);
  const most = 2 * (one ? 1 : MAX_EXTENTS);
  const open = new Set(contexts.keys());
  const list = new RunList();
  let at = from;
  for (let step = 0; step < MAX_EXTENT_STEPS && at < end && open.size > 0; step++) {
    list.clear();
    at = await flatten(source, at, end, list);
    for (let run = 0; run < list.n; run++) {
      for (const i of open) {
        const flags = contexts[i].flags(list.state(run), list.certainty(run));
        if (!extend(out[i], list.length[run], flags, most)) open.delete(i);
      }
    }
  }
  return out;
}

/** False where there is no room for another extent. */
function extend(extents: number[], length: number, flags: number, most: number): boolean {
  if (extents.length > 0 && extents[extents.length - 1] === flags) {
    extents[extents.length - 2] += length;
    return true;
  }
  if (extents.length >= most) return false;
  extents.push(length, flags);
  return true;
}
