/** What one thread does at a time: a stretch of one piece of evidence, read in large blocks and swept. */
import * as fs from 'node:fs';
import type { Hit } from '../core/finder.ts';
import type { Source } from '../core/source.ts';
import { merged, type Sweep } from './sweep.ts';

/** Bytes read at a time; measured best between 256 KiB and 1 MiB, where they stay in the processor's cache. */
const BLOCK = 512 * 1024;
/** Bytes around a block that finders may ask for; none needs more. */
const AHEAD = 128 * 1024;

export interface Shard {
  /** A descriptor that main opened, read-only. */
  readonly fd: number;
  /** Bytes of the evidence. */
  readonly from: number;
  readonly end: number;
  readonly size: number;
  /** Stretches that are not the evidence's bytes, as [start, end, …]; main reads around them. */
  readonly excluded: readonly number[];
}

export interface Swept {
  readonly hits: readonly Hit[];
  /** Stretches that could not be read at once, as [start, end, …]: main reads them with more patience. */
  readonly unread: readonly number[];
}

const buffer = new Uint8Array(BLOCK);

/** Sweeps a shard. */
export function sweepShard(sweep: Sweep, shard: Shard): Swept {
  const hits: Hit[] = [];
  const unread: number[] = [];
  const more = (at: number, length: number): Uint8Array | undefined => {
    const extra = new Uint8Array(Math.max(0, Math.min(length, shard.size - at)));
    return readAll(shard.fd, extra, at) ? extra : undefined;
  };
  for (let at = shard.from; at < shard.end; at += BLOCK) {
    const block = buffer.subarray(0, Math.min(BLOCK, shard.end - at));
    if (!touches(shard.excluded, at, at + block.length) && readAll(shard.fd, block, at))
      sweep.run(block, at, more, (hit) => hits.push(hit));
    else unread.push(at, at + block.length);
  }
  return { hits: merged(hits), unread };
}

/** As sweepShard, for sources of every kind, and with all the patience that the source has for bad places. */
export async function sweepSource(sweep: Sweep, source: Source, from: number, end: number): Promise<Hit[]> {
  const hits: Hit[] = [];
  const window = new Uint8Array(BLOCK);
  for (let at = from; at < end; at += BLOCK) {
    const block = window.subarray(0, Math.min(BLOCK, end - at));
    await source.read(at, block);
    // What reaches out of a block is read before it is needed: finders do not wait.
    const ahead = new Uint8Array(Math.max(0, Math.min(AHEAD, source.size - at - block.length)));
    await source.read(at + block.length, ahead);
    const behind = new Uint8Array(Math.min(AHEAD, at));
    await source.read(at - behind.length, behind);
    const wide = Buffer.concat([behind, block, ahead]);
    const start = at - behind.length;
    const more = (place: number, length: number): Uint8Array | undefined =>
      place < start || place >= start + wide.length ? undefined : wide.subarray(place - start, place - start + length);
    sweep.run(block, at, more, (hit) => hits.push(hit));
  }
  return merged(hits);
}

function touches(stretches: readonly number[], from: number, end: number): boolean {
  for (let i = 0; i < stretches.length; i += 2) if (stretches[i] < end && stretches[i + 1] > from) return true;
  return false;
}

function readAll(fd: number, into: Uint8Array, at: number): boolean {
  try {
    return fs.readSync(fd, into, 0, into.length, at) === into.length;
  } catch {
    return false;
  }
}
