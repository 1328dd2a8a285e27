/** What a job of the benchmark is. */
import type { Contender } from '../measure.ts';
import type { Row } from '../row.ts';
import { knows, salvor } from '../salvor.ts';
import { settle, type Workplace } from '../workplace.ts';

export interface Job {
  readonly id: string;
  /** Free disk space that it needs, in GiB. */
  readonly gib: number;
  /** Peak resident memory that its runs may take, summed over processes, in MB. */
  readonly memory: number;
  /** Rows, and sentences about what was skipped and why. */
  run(place: Workplace): AsyncIterable<Row | string>;
}

export const GIB: number = 1024 ** 3;

/** Copies one file of a datastore to `out`; everything of an earlier run is gone and written back before. */
export function copyOut(place: Workplace, images: readonly string[], path: string, out: string): Contender {
  const before = () => {
    place.remove(out);
    settle();
  };
  if (knows('recover')) {
    const args = ['recover', ...images, '--path', path, '--out', out];
    return salvor(args, { allowed: [0, 1], before });
  }
  return salvor(['cat', ...images, `::${path}`], { before, output: out });
}

/** A peer that copies `from` to `to`. */
export function cp(place: Workplace, name: string, from: string, to: string): Contender {
  const before = () => {
    place.remove(to);
    settle();
  };
  return { name, command: ['cp', from, to], before };
}
