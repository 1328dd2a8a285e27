/** Sparse extents of which nothing but grains is left: one of them is the start of a disk, which says how large that is. */
import { PEEK, sizeFrom } from '../placing/marks.ts';
import type { Place } from './layer.ts';
import { MAX_SECTORS, SECTOR } from './structs.ts';
import { Window } from './window.ts';

/** Grains of the usual size that are looked at. */
const HEADS = 64;
const GRAIN_BYTES = 65_536;
/** Room for header and tables, beside the grains of a full disk. */
const MOST_AROUND: number = 64 * 1024 * 1024;

/** The start of a disk inside an extent, and the size that its partition table tells. */
export interface Headless {
  readonly at: number;
  readonly sectors: number;
  readonly what: string;
  readonly isExact: boolean;
}

/**
 * A partition table where a grain may lie, in a file that does not begin with one: it says of itself that it is the start
 * of a disk. Undefined where there is none, or where the disk would be smaller than what is here of it.
 */
export async function headlessIn({ source, signal }: Place): Promise<Headless | undefined> {
  const window = new Window(source, PEEK);
  if (source.size < 2 * GRAIN_BYTES || isTable(await window.bytes(0, PEEK)) !== undefined) return undefined;
  for (let at = GRAIN_BYTES; at < Math.min(HEADS * GRAIN_BYTES, source.size - PEEK); at += GRAIN_BYTES) {
    signal.throwIfAborted();
    const told = isTable(await window.bytes(at, PEEK));
    if (told === undefined) continue;
    const sectors = Math.ceil(told.size / SECTOR);
    const isRoom = sectors <= MAX_SECTORS && source.size <= sectors * SECTOR + MOST_AROUND;
    return isRoom ? { at, sectors, what: told.what, isExact: told.exact } : undefined;
  }
  return undefined;
}

/** What a partition table at the start of these bytes tells; file systems may begin anywhere. */
function isTable(head: Uint8Array): ReturnType<typeof sizeFrom> {
  const told = sizeFrom(head);
  return told !== undefined && /GPT|MBR/.test(told.what) ? told : undefined;
}
