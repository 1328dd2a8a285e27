/** Entries of XFS directories: in the inode, or in blocks of which only the entries themselves are read. */
import { latin1, readU64, viewOf } from '../../../core/struct.ts';
import type { Doubt } from '../posix.ts';
import { DIRECTORY_MAGICS } from './structs.ts';

export interface Entry {
  readonly inode: number;
  /** Raw bytes (latin1). */
  readonly name: string;
  /** As entries write it; 0 where the volume does not. */
  readonly type: number;
  /** Bytes from the start of the volume. */
  readonly at: number;
  readonly doubt?: string;
}

/** A name whose entry was taken out: the upper half of its inode's number was written over. */
export interface Leftover {
  readonly inodeLow: number;
  readonly name: string;
  readonly type: number;
}

const ALIGN = 8;
/** Number, length of the name, and the entry's own offset at its end. */
const LEAST = 8 + 1 + 2;
const FREE_TAG = 0xffff;
const MAX_TYPE = 8;

/** Entries of a directory that fits into its inode, which also names the parent. */
export function shortEntries(fork: Uint8Array, at: number, hasTypes: boolean, report: (doubt: Doubt) => void): Entry[] {
  const view = viewOf(fork);
  const out: Entry[] = [];
  if (fork.length < 6) return out;
  const [count, wide] = [fork[0], fork[1]];
  const bytes = wide > 0 ? 8 : 4;
  const all = Math.max(count, wide);
  let next = 2 + bytes;
  for (let i = 0; i < all; i++) {
    const length = fork[next];
    const end = next + 3 + length + Number(hasTypes) + bytes;
    if (!(length > 0) || end > fork.length || !isName(fork, next + 3, length)) {
      const expected = `${all} entries in the inode`;
      report({ at: at + next, code: 'xfs.directory.entry', expected, actual: `one that cannot be, after ${i}` });
      return out;
    }
    const name = latin1(fork, next + 3, length);
    const type = hasTypes ? fork[next + 3 + length] : 0;
    const inode = bytes === 8 ? readU64(view, end - 8, false) : view.getUint32(end - 4, false);
    out.push({ inode, name, type, at: at + next });
    next = end;
  }
  return out;
}

/** Where entries of a block begin and end; undefined where it is no block of entries. */
function boundsOf(block: Uint8Array): { readonly from: number; readonly end: number } | undefined {
  const view = viewOf(block);
  const magic = view.getUint32(0, false);
  const { blockOld, block: checked, dataOld, data } = DIRECTORY_MAGICS;
  const from = magic === checked || magic === data ? 64 : magic === blockOld || magic === dataOld ? 16 : undefined;
  if (from === undefined) return undefined;
  if (magic === data || magic === dataOld) return { from, end: block.length };
  // Its index stands at its end: entries of 8 bytes, counted in the last 8.
  const count = view.getUint32(block.length - 8, false);
  const end = block.length - 8 - count * 8;
  return end > from ? { from, end } : undefined;
}

/** What a block of entries holds. `failed` is a check of the whole block. */
export function entriesIn(
  block: Uint8Array,
  base: number,
  hasTypes: boolean,
  report: (doubt: Doubt) => void,
  failed?: string,
): Entry[] {
  const out: Entry[] = [];
  const bounds = boundsOf(block);
  const say = (at: number, expected: string, actual: string): void =>
    report({ at: base + at, code: 'xfs.directory.entry', expected, actual });
  if (bounds === undefined) {
    say(0, 'a block of directory entries', `0x${viewOf(block).getUint32(0, false).toString(16)}`);
    return out;
  }
  const view = viewOf(block);
  let doubt = failed;
  for (let at = bounds.from; at + ALIGN <= bounds.end; ) {
    if (view.getUint16(at, false) === FREE_TAG) {
      const length = view.getUint16(at + 2, false);
      if (length >= ALIGN && length % ALIGN === 0 && at + length <= bounds.end) {
        at += length;
        continue;
      }
    } else {
      const length = entryBytes(block, at, bounds.end, hasTypes);
      if (length !== undefined) {
        const name = latin1(block, at + 9, block[at + 8]);
        const type = hasTypes ? block[at + 9 + block[at + 8]] : 0;
        const entry = { inode: readU64(view, at, false), name, type, at: base + at };
        if (name !== '.' && name !== '..') out.push(doubt === undefined ? entry : { ...entry, doubt });
        at += length;
        continue;
      }
    }
    // Each entry says where it stands itself, so a chain that is torn can be taken up again.
    say(at, 'a directory entry that says where it stands', 'none');
    doubt = 'xfs.directory.entry';
    at += ALIGN;
    while (at < bounds.end && entryBytes(block, at, bounds.end, hasTypes) === undefined) at += ALIGN;
  }
  return out;
}

/** Names that stand in free stretches. */
export function leftoversIn(block: Uint8Array, hasTypes: boolean): Leftover[] {
  const out: Leftover[] = [];
  const bounds = boundsOf(block);
  if (bounds === undefined) return out;
  const view = viewOf(block);
  for (let at = bounds.from; at + ALIGN <= bounds.end; ) {
    if (view.getUint16(at, false) !== FREE_TAG) {
      at += entryBytes(block, at, bounds.end, hasTypes) ?? ALIGN;
      continue;
    }
    const length = view.getUint16(at + 2, false);
    const end = Math.min(bounds.end, at + Math.max(ALIGN, length));
    for (let inner = at; inner + LEAST <= end; ) {
      const bytes = entryBytes(block, inner, end, hasTypes, at);
      if (bytes === undefined) {
        inner += ALIGN;
        continue;
      }
      const name = latin1(block, inner + 9, block[inner + 8]);
      const type = hasTypes ? block[inner + 9 + block[inner + 8]] : 0;
      if (name !== '.' && name !== '..') out.push({ inodeLow: view.getUint32(inner + 4, false), name, type });
      inner += bytes;
    }
    at = end;
  }
  return out;
}

/** Bytes of the entry at `at`; undefined where none can stand there. `free` is the start of the free stretch it is in. */
function entryBytes(block: Uint8Array, at: number, end: number, hasTypes: boolean, free?: number): number | undefined {
  const length = block[at + 8];
  const whole = Math.ceil((LEAST + length + Number(hasTypes)) / ALIGN) * ALIGN;
  if (!(length > 0) || at + whole > end || !isName(block, at + 9, length)) return undefined;
  if (hasTypes && block[at + 9 + length] > MAX_TYPE) return undefined;
  const view = viewOf(block);
  const tag = view.getUint16(at + whole - 2, false);
  // Free stretches grow together, and then the tag is that of the stretch as it was at some time.
  if (free !== undefined)
    return tag % ALIGN === 0 && tag >= (free & 0xffff) && tag <= (at & 0xffff) ? whole : undefined;
  return tag === (at & 0xffff) && Number.isSafeInteger(readU64(view, at, false)) ? whole : undefined;
}

/** Names hold neither zeros nor separators. */
function isName(block: Uint8Array, at: number, length: number): boolean {
  if (at + length > block.length) return false;
  for (let i = at; i < at + length; i++) if (block[i] === 0 || block[i] === 0x2f) return false;
  return true;
}
