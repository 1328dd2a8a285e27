/** What no file system has given to anything: the bytes of a source in which what is in use is missing. */
import { MapSource } from '../core/map-source.ts';
import type { Node } from '../core/node.ts';
import { flatten } from '../core/resolve.ts';
import { DATA, MISSING, RunList, VERIFIED, type Why } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { TableCache } from '../core/tables.ts';
import { filesystems } from './home.ts';
import type { Stack } from './stack.ts';

const IN_USE: Why = { what: 'the tables of the file system that lives there', code: 'in-use' };
/** Bytes whose state is asked for together. */
const PART = 16 * 1024 * 1024;
/** Bytes of a unit where a file system does not say what it counts in. */
const UNIT = 4096;
/** Stretches of volumes that are kept; a volume in more pieces is looked through whole. */
const MAX_STRETCHES = 200_000;

/** A stretch of a file system's volume, and where it lies at the bottom of all layers. */
export interface Stretch {
  readonly source: Source;
  readonly at: number;
  readonly length: number;
  readonly ground: Ground;
  /** Bytes from the start of the volume. */
  readonly from: number;
}

interface Ground {
  readonly isFree: (at: number) => Promise<boolean | undefined>;
  readonly unit: number;
}

/**
 * `source`, the bytes of `node`, with all that is in use left out as missing. Undefined where no file system there can
 * say what is free. What a file system says nothing of counts as free.
 */
export async function freeOf(stack: Stack, node: Node, source: Source): Promise<Source | undefined> {
  const inside = node.kind === 'filesystem' ? [node] : await filesystems(stack, node);
  const stretches: Stretch[] = [];
  for (const one of inside) {
    const own = await stretchesOf(stack, one);
    if (own === undefined) return undefined;
    for (const stretch of own) stretches.push(stretch);
  }
  if (stretches.length === 0) return undefined;
  const bySource = Map.groupBy(stretches, (one) => one.source);
  for (const list of bySource.values()) list.sort((a, b) => a.at - b.at);
  const parts = new TableCache<readonly number[]>();
  return new MapSource(source.size, {
    load: async (at) => {
      const part = Math.floor(at / PART);
      const used = await usedIn(source, part * PART, Math.min(source.size, (part + 1) * PART), bySource);
      parts.set(part, used, used.length * 8 + 64);
    },
    runs: (from, end, out) => {
      let at = from;
      while (at < end) {
        const part = Math.floor(at / PART);
        const used = parts.get(part);
        if (used === undefined) return at;
        const stop = Math.min(end, (part + 1) * PART);
        at = emit(source, used, at, stop, out);
        if (at < stop) return at;
      }
      return at;
    },
  });
}

/** Where a stretch that is in use begins first in [from, end); undefined where nothing there is. */
export async function firstInUse(free: Source, from: number, end: number): Promise<number | undefined> {
  const list = new RunList(256);
  for (let at = from; at < end; ) {
    list.clear();
    let place = at;
    at = await free.runs(at, end, list);
    for (let i = 0; i < list.n; place += list.length[i++]) if (list.state(i) === MISSING) return place;
  }
  return undefined;
}

/**
 * Where a file system's volume lies at the bottom; none where it cannot say what is free, undefined where that is too many
 * pieces to be kept.
 */
export async function stretchesOf(stack: Stack, filesystem: Node): Promise<Stretch[] | undefined> {
  const out: Stretch[] = [];
  const volume = filesystem.isFree === undefined ? undefined : await stack.parentOf(filesystem)?.bytes?.();
  const isFree = (at: number): Promise<boolean | undefined> => filesystem.isFree!(at);
  const ground = { isFree, unit: unitOf(filesystem) };
  const list = new RunList();
  for (let at = 0; volume !== undefined && at < volume.size; ) {
    list.clear();
    let from = at;
    at = await flatten(volume, at, volume.size, list);
    for (let i = 0; i < list.n; from += list.length[i++]) {
      const source = list.state(i) === DATA ? list.sourceOf(i) : undefined;
      if (source !== undefined) out.push({ source, at: list.at[i], length: list.length[i], ground, from });
    }
    if (out.length > MAX_STRETCHES) return undefined;
  }
  return out;
}

/** Bytes that a file system gives away at least, as it says itself. */
function unitOf({ facts }: Node): number {
  const said = facts.details?.blockSize ?? facts.details?.clusterSize;
  return typeof said === 'number' && said >= 512 && said % 512 === 0 && said <= PART ? said : UNIT;
}

/** Stretches of [from, end) that are in use, as [start, end, …]. */
async function usedIn(
  source: Source,
  from: number,
  end: number,
  bySource: ReadonlyMap<Source, readonly Stretch[]>,
): Promise<number[]> {
  const out: number[] = [];
  const list = new RunList();
  for (let at = from; at < end; ) {
    list.clear();
    let place = at;
    at = await flatten(source, at, end, list);
    for (let i = 0; i < list.n; place += list.length[i++]) {
      const bottom = list.state(i) === DATA ? list.sourceOf(i) : undefined;
      if (bottom === undefined) continue;
      const [low, high] = [list.at[i], list.at[i] + list.length[i]];
      for (const one of overlapping(bySource.get(bottom) ?? [], low, high))
        await ask(one, Math.max(low, one.at), Math.min(high, one.at + one.length), place - low, out);
    }
  }
  return out;
}

/** Stretches that touch [low, high); they do not overlap each other where volumes are sound. */
function overlapping(list: readonly Stretch[], low: number, high: number): readonly Stretch[] {
  let [a, b] = [0, list.length];
  while (a < b) {
    const middle = (a + b) >>> 1;
    if (list[middle].at + list[middle].length <= low) a = middle + 1;
    else b = middle;
  }
  let stop = a;
  while (stop < list.length && list[stop].at < high) stop++;
  return list.slice(a, stop);
}

/** Asks unit by unit; [low, high) are places at the bottom, `shift` leads from there into what is looked through. */
async function ask(stretch: Stretch, low: number, high: number, shift: number, out: number[]): Promise<void> {
  const { ground, at: base, from } = stretch;
  const volumeEnd = high - base + from;
  for (let at = low - base + from; at < volumeEnd; ) {
    const next = Math.min(volumeEnd, (Math.floor(at / ground.unit) + 1) * ground.unit);
    if ((await ground.isFree(at)) === false) {
      const [start, end] = [at - from + base + shift, next - from + base + shift];
      if (out.length > 0 && out[out.length - 1] === start) out[out.length - 1] = end;
      else out.push(start, end);
    }
    at = next;
  }
}

function emit(source: Source, used: readonly number[], from: number, end: number, out: RunList): number {
  let at = from;
  let i = 0;
  while (i < used.length && used[i + 1] <= at) i += 2;
  while (at < end) {
    const isUsed = i < used.length && used[i] <= at;
    const stop = Math.min(end, isUsed ? used[i + 1] : (used[i] ?? end));
    const added = isUsed
      ? out.add(MISSING, 0, stop - at, undefined, 0, IN_USE)
      : out.add(DATA, VERIFIED, stop - at, source, at);
    if (!added) return at;
    at = stop;
    if (isUsed) i += 2;
  }
  return at;
}
