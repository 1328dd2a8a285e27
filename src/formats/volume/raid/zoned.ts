/** RAID 0 over devices of several sizes: where the smaller ones end, the larger ones go on among themselves. */
import { type Segment, segments } from '../../../core/map-source.ts';
import { DATA } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { type Column, type Grade, striped } from './striped.ts';

/**
 * `sizes` are the bytes of each column. Old kernels went on in the second zone with the device that the number of the
 * chunk gives; newer ones (`alternate`) begin each zone with its first device.
 */
export function zoned(
  columns: readonly Column[],
  sizes: readonly number[],
  chunk: number,
  alternate: boolean,
  grade: Grade,
): Source {
  const out: Segment[] = [];
  let below = 0;
  let done = 0;
  for (const top of [...new Set(sizes)].sort((a, b) => a - b)) {
    const members = columns.filter((_, i) => sizes[i] > below);
    const length = (top - below) * members.length;
    // Chunks are counted from the start of the array, so a zone may begin in the middle of its devices' order.
    const turn = alternate ? 0 : Math.floor(done / chunk) % members.length;
    const order = [...members.slice(turn), ...members.slice(0, turn)];
    const shifted = order.map(({ source, at }): Column => ({ ...(source && { source }), at: at + below }));
    const zone = striped(shifted, chunk, length, grade);
    out.push({ length, state: DATA, source: zone, at: 0, certainty: grade.certainty, why: grade.why });
    below = top;
    done += length;
  }
  return segments(out);
}
