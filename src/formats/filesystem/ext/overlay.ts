/** A volume as it would be after its journal was put in place: nothing is written, blocks are only said to lie elsewhere. */
import { MapSource } from '../../../core/map-source.ts';
import { MemorySource } from '../../../core/memory.ts';
import { DATA, INFERRED, type RunList, STATED, VERIFIED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { type Copy, type Journal, whyOf } from './journal.ts';
import { JOURNAL_MAGIC } from './journal-structs.ts';

const WORD = 4;

/** `source` with the blocks of `copies` taken from the journal. */
export function overlay(source: Source, journal: Journal, copies: ReadonlyMap<number, Copy>): Source {
  const list = [...copies.values()].filter(({ block }) => (block + 1) * journal.blockSize <= source.size);
  list.sort((a, b) => a.block - b.block);
  const whys = new Map<number, Why>();
  const { blockSize } = journal;
  const runs = (from: number, end: number, out: RunList): number => {
    let at = from;
    for (let i = firstAt(list, Math.floor(from / blockSize)); at < end; i++) {
      const copy = list[i];
      const start = copy === undefined ? end : Math.min(end, Math.max(at, copy.block * blockSize));
      if (!out.add(DATA, VERIFIED, start - at, source, at)) return at;
      at = start;
      if (copy === undefined || at >= end) break;
      const stop = Math.min(end, (copy.block + 1) * blockSize);
      const reached = addCopy(copy, at, stop, out);
      if (reached < stop) return reached;
      at = reached;
    }
    return at;
  };
  const addCopy = (copy: Copy, from: number, stop: number, out: RunList): number => {
    const { why: fresh, isDoubtful } = whyOf(journal, copy);
    const why = whys.get(copy.block) ?? fresh;
    whys.set(copy.block, why);
    const certainty = isDoubtful ? INFERRED : STATED;
    const base = copy.block * blockSize;
    let at = from;
    if (copy.isEscaped && at < base + WORD) {
      const end = Math.min(stop, base + WORD);
      if (!out.add(DATA, certainty, end - at, MAGIC, at - base, why)) return at;
      at = end;
    }
    return out.add(DATA, certainty, stop - at, journal.source, copy.at + at - base, why) ? stop : at;
  };
  return new MapSource(source.size, { runs });
}

/** What stands at the start of escaped blocks. */
const MAGIC = magic();

function magic(): Source {
  const bytes = new Uint8Array(WORD);
  viewOf(bytes).setUint32(0, JOURNAL_MAGIC);
  return new MemorySource(bytes);
}

/** The first copy of a block at or behind `block`. */
function firstAt(list: readonly Copy[], block: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle].block < block) low = middle + 1;
    else high = middle;
  }
  return low;
}
