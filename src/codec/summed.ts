/** Bytes that pass as they are where they agree with a CRC-32C of each unit of them: a check that threads can make. */
import type { Codec } from '../core/made.ts';
import { crc32c } from './crc32c.ts';
import { SHARED } from './shared-ids.ts';

/** Stands for the sum of a unit of which none is kept. */
export const NO_SUM = -1;

/** Passes units of `unit` bytes up to the first that is disproved. */
export function summed(unit: number, sums: readonly number[]): Codec {
  return {
    name: 'crc32c',
    shared: [SHARED.summed, unit, ...sums],
    make(input) {
      const i = sums.findIndex((sum, n) => sum !== NO_SUM && sum !== crc32c(input.subarray(n * unit, (n + 1) * unit)));
      return i < 0 ? input : input.subarray(0, i * unit);
    },
  };
}
