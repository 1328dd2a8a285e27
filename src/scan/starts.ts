/** Places at which a file may begin: one pass over a source with the keys of all carvers, at sectors or at every byte. */
import { type Carver, FIRST } from '../core/carver.ts';
import type { Finder, Hit } from '../core/finder.ts';
import { flatten } from '../core/resolve.ts';
import { DATA, RunList } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { Sweep } from './sweep.ts';

const WINDOW = 4 * 1024 * 1024;
/** Bytes behind a window that keys and first looks at what begins in it reach; the farthest key stands at 32 KiB. */
const BEHIND = 65_536;

/** A place where the key of a carver stands, and where its first look saw nothing against it. */
export interface Start {
  readonly at: number;
  readonly carver: Carver;
}

export interface Starts {
  readonly carvers: readonly Carver[];
  /** At every byte, not only where sectors begin. */
  readonly everywhere: boolean;
  readonly signal: AbortSignal;
}

/** All starts of files in `source`, in order. Each byte is read once; what is missing, or zeros by its map, is not read. */
export async function* startsIn(source: Source, { carvers, everywhere, signal }: Starts): AsyncGenerator<Start> {
  const look = everywhere ? atEveryByte(carvers) : atSectors(carvers);
  const buffers = [new Uint8Array(WINDOW + BEHIND), new Uint8Array(WINDOW + BEHIND)];
  const fill = async (from: number, buffer: Uint8Array): Promise<Uint8Array | undefined> => {
    const length = Math.min(buffer.length, source.size - from);
    // Whole pairs of bytes are looked at; an odd one at the end starts nothing.
    const part = buffer.subarray(0, Math.max(0, length - (length % 2)));
    if (part.length === 0 || !(await hasData(source, from, from + part.length))) return undefined;
    await source.read(from, part);
    return part;
  };
  let next = fill(0, buffers[0]);
  for (let from = 0, n = 0; from < source.size && !signal.aborted; from += WINDOW, n++) {
    const window = await next;
    // The next window is on its way while this one is looked through.
    next = fill(from + WINDOW, buffers[(n + 1) % 2]);
    next.catch(() => undefined);
    if (window === undefined) continue;
    const found = look(window, from).filter(({ at }) => at >= from && at < from + WINDOW);
    yield* found.sort((a, b) => a.at - b.at);
  }
  await next.catch(() => undefined);
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

interface Wanted {
  readonly carver: Carver;
  /** Bytes from the file's start to the pair that is looked up. */
  readonly back: number;
  /** From the pair that is looked up to the first byte of the key. */
  readonly first: number;
  readonly bytes: readonly number[];
}

/**
 * One look-up of two bytes at each even place, for all keys together. A key may begin at an odd place, so two of its pairs
 * are known, of which one stands at an even place wherever it begins.
 */
function atEveryByte(carvers: readonly Carver[]): Look {
  const table = new Uint8Array(65_536);
  const byPair = new Map<number, Wanted[]>();
  const add = (low: number, high: number, wanted: Wanted): void => {
    const pair = low | (high << 8);
    table[pair] = 1;
    const list = byPair.get(pair);
    if (list === undefined) byPair.set(pair, [wanted]);
    else list.push(wanted);
  };
  for (const carver of carvers) {
    for (const { offset, bytes } of carver.keys) {
      for (const parity of [0, 1]) {
        const i = rarest(bytes, parity);
        if (i !== undefined) add(bytes[i], bytes[i + 1], { carver, back: offset + i, first: -i, bytes });
        // A key of two bytes has one pair only: of the one that begins before it, any first byte will do.
        else for (let low = 0; low < 256; low++) add(low, bytes[0], { carver, back: offset - 1, first: 1, bytes });
      }
    }
  }
  return (window, from) => {
    const out: Start[] = [];
    const pairs = new Uint16Array(window.buffer, window.byteOffset, window.length >>> 1);
    for (let i = 0; i < pairs.length; i++)
      if (table[pairs[i]] !== 0) for (const wanted of byPair.get(pairs[i])!) take(wanted, window, from, 2 * i, out);
    return out;
  };
}

function take({ carver, back, first, bytes }: Wanted, window: Uint8Array, from: number, i: number, out: Start[]): void {
  const at = i - back;
  if (from + at < 0) return;
  for (let k = 0; k < bytes.length; k++) if (window[i + first + k] !== bytes[k]) return;
  if (passes(carver, window, at)) out.push({ at: from + at, carver });
}

/** Of the pairs of a key that begin at even or odd bytes of it the one that other bytes have least often. */
function rarest(bytes: readonly number[], parity: number): number | undefined {
  let best: number | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (let i = parity; i + 1 < bytes.length; i += 2) {
    const cost = commonness(bytes[i]) + commonness(bytes[i + 1]);
    if (cost < least) [best, least] = [i, cost];
  }
  return best;
}

function commonness(byte: number): number {
  if (byte === 0) return 8;
  if (byte === 0xff || byte === 0x20) return 4;
  return (byte >= 0x61 && byte <= 0x7a) || byte === 1 ? 2 : byte >= 0x20 && byte < 0x7f ? 1 : 0;
}
