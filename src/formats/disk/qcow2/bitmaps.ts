/** Persistent bitmaps, as names. Source: qcow2.md section 6. */
import type { Source } from '../../../core/source.ts';
import { latin1 } from '../../../core/struct.ts';
import type { Census } from './census.ts';
import { offsetOf, readWords } from './geometry.ts';
import type { Header } from './header.ts';
import { AUTOCLEAR, bitmapEntry, bitmapsHeader, MAX_LIST } from './structs.ts';

const MAX_BITMAPS = 65_535;
const MAX_TABLE_ENTRIES = 1024 * 1024;
const IN_USE = 1;

/** Names of the bitmaps with what is known of them; claims the clusters they take. */
export async function bitmapsOf(file: Source, header: Header, census: Census): Promise<string[]> {
  if (header.bitmaps === undefined || header.bitmaps.length < bitmapsHeader.size) return [];
  const { at, count, size } = bitmapsHeader.decode(header.bitmaps);
  if (!(size <= MAX_LIST) || !(at > 0) || at + size > file.size || count > MAX_BITMAPS) return [];
  const bytes = new Uint8Array(size);
  if ((await file.read(at, bytes)).length > 0) return [];
  census.claimStructure(at, size);
  const isValid = (header.values.autoclear & AUTOCLEAR.bitmaps) !== 0;
  const out: string[] = [];
  for (let from = 0; out.length < count && from + bitmapEntry.size <= size; ) {
    const entry = bitmapEntry.decode(bytes, from);
    const name = from + bitmapEntry.size + entry.extraLength;
    if (name + entry.nameLength > size) break;
    const notes = [`${2 ** Math.min(31, entry.granularityBits)} bytes a bit`];
    if (!isValid || (entry.flags & IN_USE) !== 0) notes.push('not up to date');
    out.push(`${latin1(bytes, name, entry.nameLength)} (${notes.join(', ')})`);
    await claimBitmap(file, entry.tableAt, entry.tableEntries, census);
    from = Math.ceil((name + entry.nameLength) / 8) * 8;
  }
  return out;
}

async function claimBitmap(file: Source, at: number, entries: number, census: Census): Promise<void> {
  const words = entries <= MAX_TABLE_ENTRIES && at > 0 ? await readWords(file, at, entries * 8) : undefined;
  if (words === undefined) return;
  census.claimStructure(at, entries * 8);
  for (let i = 0; i < words.length; i += 2) {
    const offset = offsetOf(words[i], words[i + 1]);
    if (offset > 0) census.claimStructure(offset, census.geometry.clusterSize);
  }
}
