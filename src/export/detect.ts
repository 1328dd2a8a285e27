/** Looks through a disk for zeros that nothing calls zeros: threads read ahead, what they find is taken in order. */
import { CHUNK } from '../codec/tree-hash.ts';
import { flattenChecked } from '../core/checked.ts';
import type { FileSource } from '../core/evidence.ts';
import { type Occupied, OccupiedBuilder } from '../core/occupied.ts';
import { RunList } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { filledIn } from './chunk.ts';
import { LayoutBuilder } from './layout.ts';
import { bottomsOf } from './summary.ts';
import type { Threads } from './threads.ts';

/** Chunks under way or waiting for their turn. */
const AHEAD = 8;

/** What was found of one chunk: [from, end) from its start, of stretches that hold something. */
interface Pending {
  readonly at: number;
  readonly filled: Promise<readonly number[]>;
}

/** The units of a disk that hold anything but zeros. `seen` is told how far it is, in bytes. */
export async function detected(
  disk: Source,
  unit: number,
  threads: Threads,
  signal: AbortSignal,
  seen: (done: number) => void,
): Promise<Occupied> {
  const out = new OccupiedBuilder(unit);
  const pending: Pending[] = [];
  const step = Math.min(unit, CHUNK);
  const holes = holesOf(await bottomsOf(disk));
  const take = async (): Promise<void> => {
    const { at, filled } = pending.shift()!;
    const list = await filled;
    for (let i = 0; i < list.length; i += 2) out.add(at + list[i], at + list[i + 1]);
    seen(at);
  };
  try {
    for await (const { at, layout, length } of chunksOf(disk)) {
      signal.throwIfAborted();
      const { foreign, empty } = layout;
      const job = { kind: 'filled', at, length, layout: layout.take(), step, holes } as const;
      if (empty) continue;
      await threads.slot();
      const asked = foreign ? Promise.resolve(undefined) : threads.run<'filled'>(job);
      // What a thread cannot read is read here, where it is known how to go on behind an error.
      const filled = asked.then(async (list) => list ?? here(disk, at, length, step));
      filled.catch(() => undefined);
      pending.push({ at, filled });
      if (pending.length > AHEAD) await take();
    }
    while (pending.length > 0) await take();
  } finally {
    await Promise.allSettled(pending.map((one) => one.filled));
  }
  return out.take(disk.size);
}

/** The disk chunk by chunk, with where the bytes of each lie; `layout` is to be taken before the next one is asked for. */
async function* chunksOf(disk: Source): AsyncGenerator<{ at: number; length: number; layout: LayoutBuilder }> {
  const layout = new LayoutBuilder('skip', true);
  const list = new RunList();
  for (let at = 0; at < disk.size; ) {
    list.clear();
    let from = at;
    at = await flattenChecked(disk, at, disk.size, list, true);
    for (let i = 0; i < list.n; i++) {
      const end = from + list.length[i];
      for (let to = from; to < end; ) {
        const stop = Math.min(end, (Math.floor(to / CHUNK) + 1) * CHUNK);
        layout.add(list, i, to, to - from, stop - to);
        to = stop;
        const chunk = Math.ceil(stop / CHUNK) - 1;
        if (stop % CHUNK === 0 || stop === disk.size) yield { at: chunk * CHUNK, length: stop - chunk * CHUNK, layout };
      }
      from = end;
    }
  }
}

/** Descriptors of files with holes, each with the one that holes are read by. */
function holesOf(bottoms: readonly FileSource[]): number[] {
  return bottoms.flatMap((file) => (file.holesFd === undefined ? [] : [file.fd, file.holesFd]));
}

async function here(disk: Source, at: number, length: number, step: number): Promise<number[]> {
  const bytes = new Uint8Array(length);
  await disk.read(at, bytes);
  return filledIn(bytes, 0, step, []);
}
