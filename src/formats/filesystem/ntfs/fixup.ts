/** Update sequences: two bytes at the end of each 512 that tell whether all of a record was written at once. */
import { viewOf } from '../../../core/struct.ts';
import { STRIDE } from './structs.ts';

/** Where the update sequence of a record stands, and which of its sectors do not carry its number. */
export interface Fixup {
  readonly usaAt: number;
  /** Sectors, by their place in the record, that were written at another time. */
  readonly torn: readonly number[];
}

const NONE: readonly number[] = [];

/**
 * Puts back what the update sequence keeps, in place. Sectors that do not carry its number stay as they are. Undefined
 * where there is no sequence that could belong to a record of this length.
 */
export function fixUp(record: Uint8Array, usaAt: number, usaCount: number): Fixup | undefined {
  const sectors = record.length / STRIDE;
  if (usaCount !== sectors + 1 || usaAt < 8 || usaAt % 2 !== 0 || usaAt + 2 * usaCount > STRIDE - 2) return undefined;
  const view = viewOf(record);
  const number = view.getUint16(usaAt, true);
  let torn = NONE;
  for (let i = 1; i < usaCount; i++) {
    const at = i * STRIDE - 2;
    if (view.getUint16(at, true) === number) view.setUint16(at, view.getUint16(usaAt + 2 * i, true), true);
    else torn = [...torn, i - 1];
  }
  return { usaAt, torn };
}
