/** Faults laid over evidence: other bytes, stretches that cannot be read, an end that comes too early. */
import { data, missing, type Segment, segments, slice } from '../../src/core/map-source.ts';
import { MemorySource } from '../../src/core/memory.ts';
import { VERIFIED } from '../../src/core/run.ts';
import type { Source } from '../../src/core/source.ts';

/** Bytes to put at an offset; `bytes` absent makes `length` bytes unreadable. */
export interface Fault {
  readonly at: number;
  readonly length: number;
  readonly bytes?: Uint8Array;
}

export const put = (at: number, bytes: Uint8Array): Fault => ({ at, length: bytes.length, bytes });
export const zeroed = (at: number, length: number): Fault => put(at, new Uint8Array(length));
export const unreadable = (at: number, length: number): Fault => ({ at, length });

/** `source` with faults over it; they must not overlap. */
export function faulty(source: Source, faults: readonly Fault[]): Source {
  const out: Segment[] = [];
  let at = 0;
  for (const fault of [...faults].sort((a, b) => a.at - b.at)) {
    const end = Math.min(source.size, fault.at + fault.length);
    if (fault.at < at) throw new Error(`faults overlap at ${fault.at}`);
    if (end <= fault.at) continue;
    out.push(data(source, at, fault.at - at, VERIFIED));
    if (fault.bytes === undefined) out.push(missing(end - fault.at, { what: 'a planted fault', code: 'unreadable' }));
    else out.push(data(new MemorySource(fault.bytes), 0, end - fault.at, VERIFIED));
    at = end;
  }
  out.push(data(source, at, source.size - at, VERIFIED));
  return segments(out);
}

/** The first `length` bytes of a source: an image whose copying was broken off. */
export function truncated(source: Source, length: number): Source {
  return slice(source, 0, Math.min(length, source.size), VERIFIED);
}

/** A small seeded generator: the same faults in every run. */
export function dice(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
