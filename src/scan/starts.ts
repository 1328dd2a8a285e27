/** Places at which a file may begin: one pass over a source with the keys of all carvers, at sectors or at every byte. */
import { type Carver, FIRST } from '../core/carver.ts';
import type { Finder, Hit } from '../core/finder.ts';
import { flatten } from '../core/resolve.ts';
import { DATA, RunList } from '../core/run.ts';
import type { Gap, Source } from '../core/source.ts';
import { EveryByte } from './every-byte.ts';
import { Sweep } from './sweep.ts';

const WINDOW = 4 * 1024 * 1024;
/** Bytes behind a window that keys and first looks at what begins in it reach; the farthest key stands at 32 KiB. */
const BEHIND = 65_536;

/** A place where the key of a carver stands, and where its first look saw nothing against it. */
export interface Start {
  readonly at: number;
  readonly carver: Carver;
}

/** A start with what was read of the bytes from there on; good until the next one is asked for. */
export interface StartRead extends Start {
  readonly head: Uint8Array;
}

export interface Starts {
  readonly carvers: readonly Carver[];
  /** At every byte, not only where sectors begin. */
  readonly everywhere: boolean;
  readonly signal: AbortSignal;
  /** Only those in [from, end); all, where these are absent. */
  readonly from?: number;
  readonly end?: number;
}

/** All starts of files in `source`, in order. Each byte is read once; what is missing, or zeros by its map, is not read. */
export async function* startsIn(source: Source, how: Starts): AsyncGenerator<StartRead> {
  const { carvers, everywhere, signal, from: first = 0, end = source.size } = how;
  const look = everywhere ? atEveryByte(carvers) : atSectors(carvers);
  const buffers = [new Uint8Array(WINDOW + BEHIND), new Uint8Array(WINDOW + BEHIND)];
  const fill = async (from: number, buffer: Uint8Array): Promise<Window | undefined> => {
    const length = Math.min(buffer.length, source.size - from);
    // Whole pairs of bytes are looked at; an odd one at the end starts nothing.
    const part = buffer.subarray(0, Math.max(0, length - (length % 2)));
    if (part.length === 0 || !(await hasData(source, from, from + part.length))) return undefined;
    return { bytes: part, gaps: await source.read(from, part) };
  };
  let next = fill(first, buffers[0]);
  for (let from = first, n = 0; from < end && !signal.aborted; from += WINDOW, n++) {
    const window = await next;
    // The next window is on its way while this one is looked through.
    next = from + WINDOW < end ? fill(from + WINDOW, buffers[(n + 1) % 2]) : Promise.resolve(undefined);
    next.catch(() => undefined);
    if (window === undefined) continue;
    // Looking through a window lets nothing else happen, so the read has to be under way before.
    await new Promise((resolve) => setImmediate(resolve));
    const found = look(window.bytes, from).filter(({ at }) => at >= from && at < Math.min(from + WINDOW, end));
    yield* withHeads(
      found.sort((a, b) => a.at - b.at),
      window,
      from,
    );
  }
  await next.catch(() => undefined);
}

interface Window {
  readonly bytes: Uint8Array;
  readonly gaps: readonly Gap[];
}

/** What was read behind each start, up to where bytes are missing. */
function* withHeads(starts: readonly Start[], { bytes, gaps }: Window, from: number): Generator<StartRead> {
  let n = 0;
  for (const { at, carver } of starts) {
    while (n < gaps.length && gaps[n].offset + gaps[n].length <= at) n++;
    const end = n < gaps.length ? Math.max(at, gaps[n].offset) - from : bytes.length;
    yield { at, carver, head: bytes.subarray(at - from, end) };
  }
}

async function hasData(source: Source, from: number, end: number): Promise<boolean> {
  const list = new RunList(64);
  for (let at = from; at < end; ) {
    list.clear();
    const reached = await flatten(source, at, end, list);
    for (let i = 0; i < list.n; i++) if (list.state(i) === DATA) return true;
    if (reached <= at) return true;
    at = reached;
  }
  return false;
}

type Look = (window: Uint8Array, from: number) => Start[];

/** Whether a carver's first look at what begins at `at` bytes of a window lets it be; what begins before it is let be. */
function passes({ begins }: Carver, window: Uint8Array, at: number): boolean {
  return begins === undefined || at < 0 || begins(window.subarray(at, at + FIRST));
}

function atSectors(carvers: readonly Carver[]): Look {
  const byTitle = new Map(carvers.map((carver) => [carver.title, carver]));
  const sweep = new Sweep(carvers.map(finderOf));
  return (window, from) => {
    const hits: Hit[] = [];
    const more = (at: number, need: number): Uint8Array | undefined =>
      at >= from ? window.subarray(at - from, at - from + need) : undefined;
    sweep.run(window, from, more, (hit) => hits.push(hit));
    return hits
      .map(({ at, kind }) => ({ at, carver: byTitle.get(kind)! }))
      .filter(({ at, carver }) => passes(carver, window, at - from));
  };
}

/** Carvers as finders: the key is all that is looked at while bytes go by. */
function finderOf(carver: Carver): Finder {
  return {
    align: 512,
    keys: carver.keys,
    need: FIRST,
    examine: (_, at, emit) => emit({ kind: carver.title, at, length: FIRST }),
  };
}

function atEveryByte(carvers: readonly Carver[]): Look {
  const every = new EveryByte(carvers);
  return (window, from) => {
    const out: Start[] = [];
    every.run(window, (at, carver) => {
      if (from + at >= 0 && passes(carver, window, at)) out.push({ at: from + at, carver });
    });
    return out;
  };
}
