/** Images with something in front of them: what a program or a container put there shifts all that the header names. */

import { slice } from '../../../core/map-source.ts';
import { INFERRED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { header, MAGIC, V2_LENGTH } from './structs.ts';

/** Bytes that may stand in front of a header. */
const LOOKED: number = 1024 * 1024;

/** Where a header begins that does not stand at the start, and whose tables lie where it says from there on; 0 for none. */
export async function shiftOf(source: Source): Promise<number> {
  const head = new Uint8Array(Math.min(LOOKED, source.size));
  await source.read(0, head);
  const bytes = Buffer.from(head.buffer);
  const mark = Buffer.from([MAGIC >>> 24, (MAGIC >>> 16) & 0xff, (MAGIC >>> 8) & 0xff, MAGIC & 0xff]);
  for (let at = bytes.indexOf(mark, 1); at > 0; at = bytes.indexOf(mark, at + 1)) {
    if (at + V2_LENGTH > head.length) return 0;
    const whole = new Uint8Array(header.size);
    whole.set(head.subarray(at, at + header.size));
    const values = header.decode(whole);
    const end = source.size - at;
    const isPlace = (place: number): boolean => place > 0 && place < end && place % 2 ** values.clusterBits === 0;
    const { version, clusterBits, l1At, l1Entries, refcountTableAt } = values;
    const isSound = (version === 2 || version === 3) && clusterBits >= 9 && clusterBits <= 21 && l1Entries > 0;
    if (isSound && isPlace(l1At) && isPlace(refcountTableAt)) return at;
  }
  return 0;
}

/** The image from its header on; nothing of it is more than inferred, as only its tables tell that it begins there. */
export function shifted(source: Source, at: number): Source {
  const why = { what: 'a QCOW2 header behind bytes that are not its own', source, at, code: 'qcow2.shifted' };
  return slice(source, at, source.size - at, INFERRED, why);
}
