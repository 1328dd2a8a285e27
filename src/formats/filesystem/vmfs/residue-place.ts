/** Where bytes of a file lie in the volume, and which file's bytes lie at a place of the volume. */
import { DATA, RunList } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import type { Volume } from './volume.ts';

/** Files of the volume lie on other files of it: sub-blocks on .sbc.sf, that on its pointers. */
const MAX_FILES = 4;
/** Stretches of one file that are remembered. */
const MAX_SPANS = 1 << 16;

/** A stretch of a file, and where it lies in the volume. */
export interface Span {
  readonly offset: number;
  readonly at: number;
  readonly length: number;
}

/** Position in the volume of a byte of a file that lies in it; -1 where it has none. */
export async function placeIn(volume: Volume, file: Source, offset: number): Promise<number> {
  const [span] = await spansOf(volume, file, offset, offset + 1);
  return span?.at ?? -1;
}

/** Where [from, end) of a file lies in the volume, in order; what has no place there is left out. */
export async function spansOf(volume: Volume, file: Source, from: number, end: number): Promise<Span[]> {
  const out: Span[] = [];
  const queue = [{ source: file, at: from, offset: from, length: Math.min(end, file.size) - from, depth: 0 }];
  for (let next = queue.pop(); next !== undefined && out.length < MAX_SPANS; next = queue.pop()) {
    const { source, at, offset, length, depth } = next;
    if (source === volume.volume) {
      out.push({ offset, at, length });
      continue;
    }
    if (depth >= MAX_FILES) continue;
    const list = new RunList();
    const reached = await source.runs(at, at + length, list);
    if (reached > at && reached < at + length) {
      queue.push({ source, at: reached, offset: offset + reached - at, length: at + length - reached, depth });
    }
    let done = offset + (reached - at);
    // The last first, so that the first comes from the queue next.
    for (let i = list.n - 1; i >= 0; i--) {
      done -= list.length[i];
      const below = list.state(i) === DATA ? list.sourceOf(i) : undefined;
      if (below === undefined) continue;
      queue.push({ source: below, at: list.at[i], offset: done, length: list.length[i], depth: depth + 1 });
    }
  }
  return out;
}
