/** Directories of VMFS3 and VMFS5: a flat array of entries. Source: vmfs.md section 5.1. */
import { MAX_ENTRIES } from '../../../core/limits.ts';
import type { Source } from '../../../core/source.ts';
import type { Doubt } from './descriptor.ts';
import { dirent } from './structs.ts';

export interface Entry {
  readonly type: number;
  readonly address: number;
  readonly generation: number;
  /** Raw bytes, one per character. */
  readonly name: string;
  /** Bytes from the start of the directory file. */
  readonly at: number;
}

/** Entries of one read: a whole number of them, close to 1 MiB. */
const ENTRIES_PER_READ = 7488;

/** Yields the entries that are in use, without "." and "..". Problems are handed to `report`. */
export async function* flatEntries(directory: Source, report: (doubt: Doubt) => void): AsyncGenerator<Entry[]> {
  const total = Math.floor(directory.size / dirent.size);
  if (directory.size % dirent.size !== 0) {
    const expected = `a length that is a multiple of ${dirent.size}`;
    report({ at: 0, code: 'vmfs.directory.length', expected, actual: String(directory.size) });
  }
  for (let first = 0; first < Math.min(total, MAX_ENTRIES); first += ENTRIES_PER_READ) {
    const count = Math.min(ENTRIES_PER_READ, total - first, MAX_ENTRIES - first);
    const block = new Uint8Array(count * dirent.size);
    const base = first * dirent.size;
    for (const gap of await directory.read(base, block)) {
      const expected = `${gap.length} bytes of directory entries`;
      report({ at: gap.offset, code: 'vmfs.directory.unreadable', expected, actual: gap.code });
    }
    const out: Entry[] = [];
    for (let i = 0; i < count; i++) {
      const { type, address, generation, name } = dirent.decode(block, i * dirent.size);
      if (address === 0 || name === '.' || name === '..' || name === '') continue;
      out.push({ type, address, generation, name, at: base + i * dirent.size });
    }
    yield out;
  }
  if (total > MAX_ENTRIES) {
    const expected = `at most ${MAX_ENTRIES} entries`;
    report({ at: MAX_ENTRIES * dirent.size, code: 'vmfs.directory.entries', expected, actual: String(total) });
  }
}
