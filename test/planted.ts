/** A device with bad sectors that tests plant, over the bytes of a buffer. */
import type { Reader } from '../src/export/image-passes.ts';

export const SECTOR = 512;

export interface Plan {
  /** Sectors that are never read. */
  readonly bad: ReadonlySet<number>;
  /** Sectors that fail so many times, then read. */
  readonly weak: ReadonlyMap<number, number>;
  /** Whether a read that fails gives the bytes before the bad sector, as some systems do. */
  readonly partial: boolean;
}

export function plantedReader(bytes: Uint8Array, plan: Plan): Reader & { reads: number } {
  const failed = new Map<number, number>();
  const refuses = (sector: number): boolean => {
    if (plan.bad.has(sector)) return true;
    const times = failed.get(sector) ?? 0;
    if (times >= (plan.weak.get(sector) ?? 0)) return false;
    failed.set(sector, times + 1);
    return true;
  };
  return {
    size: bytes.length,
    reads: 0,
    async attempt(at, into) {
      this.reads++;
      await new Promise((resolve) => setImmediate(resolve));
      into.fill(0xee); // what a failed read leaves in a buffer is anything
      for (let done = 0; done < into.length; ) {
        const end = Math.min(into.length, done + SECTOR - ((at + done) % SECTOR));
        if (refuses(Math.floor((at + done) / SECTOR))) return plan.partial ? done : 0;
        into.set(bytes.subarray(at + done, at + end), done);
        done = end;
      }
      return into.length;
    },
  };
}

/** Bytes that differ everywhere, with zeros in the middle third. */
export function deviceBytes(size: number, seed: number): Uint8Array {
  const out = new Uint8Array(size);
  let x = seed | 1;
  for (let i = 0; i < size; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    out[i] = i > size / 3 && i < size / 2 ? 0 : x >>> 24;
  }
  return out;
}
