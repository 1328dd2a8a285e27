/** Copies: one column is read, and where it has nothing the next. RAID 1, and the near, far and offset forms of RAID 10. */
import { MapSource } from '../../../core/map-source.ts';
import type { RunList } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { type Column, emit, type Grade } from './striped.ts';

/** How RAID 10 lays its copies; `columnBytes` is what a column holds. */
interface Copies {
  readonly near: number;
  readonly far: number;
  /** The far copies follow chunk by chunk. */
  readonly isOffset: boolean;
  readonly columnBytes: number;
}

/** RAID 10 from the number that md keeps for its layout. */
export function copiesOf(layout: number, columnBytes: number): Copies {
  return { near: layout & 0xff, far: (layout >> 8) & 0xff, isOffset: (layout & 0x10000) !== 0, columnBytes };
}

/** The first column that is there, whole; missing where none is. */
export function mirrored(columns: readonly Column[], size: number, grade: Grade): Source {
  const best = columns.find(({ source }) => source !== undefined) ?? columns[0];
  const runs = (from: number, end: number, out: RunList): number =>
    emit(out, best?.source, (best?.at ?? 0) + from, end - from, grade) ? end : from;
  return new MapSource(size, { runs });
}

/** The bytes of a RAID 10, each chunk from the first of its copies that is there. */
export function tenfold(columns: readonly Column[], chunk: number, size: number, copies: Copies, grade: Grade): Source {
  const n = columns.length;
  const { near, far, isOffset, columnBytes } = copies;
  const farBytes = far > 1 && !isOffset ? Math.floor(columnBytes / far / chunk) * chunk : 0;
  const places = (number: number): [number, number][] => {
    const first = number * near;
    const device = first % n;
    const row = Math.floor(first / n) * (isOffset ? far : 1);
    const out: [number, number][] = [];
    for (let i = 0; i < near; i++) {
      const column = (device + i) % n;
      const down = device + i >= n ? chunk : 0;
      for (let f = 0; f < far; f++) {
        const shift = isOffset ? f * chunk : f * farBytes;
        out.push([(column + f * near) % n, row * chunk + down + shift]);
      }
    }
    return out;
  };
  const runs = (from: number, end: number, out: RunList): number => {
    let at = from;
    while (at < end) {
      const number = Math.floor(at / chunk);
      const inner = at - number * chunk;
      const stop = Math.min(end, at + chunk - inner);
      const all = places(number);
      const [column, there] = all.find(([index]) => columns[index].source !== undefined) ?? all[0];
      const { source, at: base } = columns[column];
      if (!emit(out, source, base + there + inner, stop - at, grade)) return at;
      at = stop;
    }
    return at;
  };
  return new MapSource(size, { runs });
}
