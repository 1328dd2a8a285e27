/** What bytes on a member of an array say of their place in a volume on that array. */
import type { Hit } from '../../../core/finder.ts';
import type { Source } from '../../../core/source.ts';
import { marksIn } from '../../disk/placing/marks.ts';
import { vmfsFinder } from '../../filesystem/vmfs/find.ts';

/** Bytes from the start of a member that are looked at, and of each stretch further on. */
const FIRST = 64 * 1024 * 1024;
const STRETCH = 2 * 1024 * 1024;
const STRETCHES = 24;
/** Marks that are kept of one member, of each kind. */
const MAX_MARKS = 4096;
const SECTOR = 512;
const BLOCK = 4096;
/** Bytes of a record of the $MFT; its first records lie in one piece. */
const RECORD = 1024;
const FIRST_RECORDS = 16_384;

/** Some bytes of a member that know their place. */
export interface Met {
  /** Where they lie on the member. */
  readonly at: number;
  /** Where they say that they lie, from the start of what they are a part of. */
  readonly own: number;
}

/** Marks of one member, by what they count from: volumes of one kind, and whole disks. */
export type Marks = ReadonlyMap<string, readonly Met[]>;

/** Reads parts of a member for marks. What cannot be read has none. */
export async function marksOf(source: Source, signal: AbortSignal): Promise<Marks> {
  const out = new Map<string, Met[]>();
  const put = (kind: string, at: number, own: number): void => {
    const list = out.get(kind) ?? [];
    if (list.length === 0) out.set(kind, list);
    if (list.length < MAX_MARKS) list.push({ at, own });
  };
  const bytes = new Uint8Array(STRETCH);
  for (const from of starts(source.size)) {
    signal.throwIfAborted();
    const part = bytes.subarray(0, Math.min(STRETCH, source.size - from));
    await source.read(from, part);
    for (let at = 0; at + SECTOR <= part.length; at += SECTOR) {
      const block = part.subarray(at, at + SECTOR);
      const first = block[0] | (block[1] << 8) | (block[2] << 16);
      if (first === 0) continue;
      vmfsFinder.examine(block, from + at, ({ base, kind, at: place }: Hit) => {
        // A header tells its volume by nothing, and any bytes that begin like it would.
        if (base !== undefined && kind !== 'vmfs.header') put('vmfs', place, place - base);
      });
    }
    for (let at = 0; at + BLOCK <= part.length; at += BLOCK) {
      for (const { at: within, mark } of marksIn(part.subarray(at, at + BLOCK))) {
        const place = from + at + within;
        if (mark.kind === 'disk' && mark.at > 0) put('disk', place, mark.at);
        else if (mark.kind === 'ext' || mark.kind === 'xfs') put(mark.kind, place, mark.at);
        else if (mark.kind === 'ntfs-record' && mark.number < FIRST_RECORDS) put('ntfs', place, mark.number * RECORD);
      }
    }
  }
  return out;
}

/** Starts of the stretches that are looked at: all from the start on, then some to the end. */
function* starts(size: number): Generator<number> {
  for (let at = 0; at < Math.min(size, FIRST); at += STRETCH) yield at;
  const step = Math.max(STRETCH, Math.floor((size - FIRST) / STRETCHES / STRETCH) * STRETCH);
  for (let at = FIRST; at < size; at += step) yield at;
}
