/** One pass over a window of bytes with all finders. Windows start and end at sectors, also in memory. */
import type { Finder, Hit } from '../core/finder.ts';
import { blocksAt, nextIn, type Pass, passesOf, STEP } from './table.ts';

export class Sweep {
  readonly #passes: readonly Pass[];

  constructor(finders: readonly Finder[]) {
    this.#passes = passesOf(finders);
  }

  /**
   * Emits what finders recognise in `window`, which lies at `base` bytes of the evidence. A block that reaches out of
   * the window is asked for with `more(at, length)`, which may answer fewer bytes, or undefined where none were had.
   */
  run(
    window: Uint8Array,
    base: number,
    more: (at: number, length: number) => Uint8Array | undefined,
    emit: (hit: Hit) => void,
  ): void {
    const pairs = new Uint16Array(window.buffer, window.byteOffset, window.length >>> 1);
    // Windows start anywhere; sectors are those of the evidence.
    const first = ((STEP - (base % STEP)) % STEP) >>> 1;
    for (const pass of this.#passes) {
      for (let at = first; at < pairs.length; at += STEP / 2) {
        at = nextIn(pass, pairs, at);
        for (const found of blocksAt(pass, window, 2 * at, base)) {
          const block = blockOf(window, base, found.at, found.finder.need) ?? more(found.at, found.finder.need);
          if (block !== undefined) found.finder.examine(block, found.at, emit);
        }
      }
    }
  }
}

function blockOf(window: Uint8Array, base: number, at: number, need: number): Uint8Array | undefined {
  const from = at - base;
  return from >= 0 && from + need <= window.length ? window.subarray(from, from + need) : undefined;
}

/** Hits in the order of their positions, with those of one kind and base that follow each other made one. */
export function merged(hits: readonly Hit[]): Hit[] {
  const sorted = [...hits].sort((a, b) => a.at - b.at || (a.kind < b.kind ? -1 : Number(a.kind > b.kind)));
  const out: Hit[] = [];
  /** Place in `out` of the last hit of a kind and base. */
  const last = new Map<string, number>();
  for (const hit of sorted) {
    const key = `${hit.kind} ${hit.base}`;
    const index = last.get(key);
    const before = index === undefined ? undefined : out[index];
    if (before !== undefined && hit.facts === undefined && before.facts === undefined && isNext(before, hit)) {
      out[index!] = {
        ...before,
        length: hit.at + hit.length - before.at,
        count: (before.count ?? 1) + (hit.count ?? 1),
      };
    } else {
      last.set(key, out.length);
      out.push(hit);
    }
  }
  return out;
}

/** Gap up to which pieces count as following each other: a descriptor of VMFS6 is 8 KiB from the next. */
const NEAR = 64 * 1024;

function isNext(before: Hit, hit: Hit): boolean {
  return hit.at - (before.at + before.length) <= NEAR;
}
