/** The journal: which blocks of the volume it holds newer bytes of, and every copy that still stands in it. */
import { crc32cUpdate } from '../../../codec/crc32c.ts';
import { MapSource } from '../../../core/map-source.ts';
import type { Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import { TYPE_REGULAR } from '../posix.ts';
import { type Inode, inodeOf } from './inode.ts';
import {
  BLOCK_COMMIT,
  BLOCK_DESCRIPTOR,
  BLOCK_REVOKE,
  INCOMPAT_64BIT,
  INCOMPAT_FAST_COMMIT,
  INCOMPAT_SUM_2,
  INCOMPAT_SUM_3,
  JOURNAL_MAGIC,
  journalHeader,
  journalSuper,
  TAG_ESCAPED,
  TAG_LAST,
  TAG_SAME_UUID,
} from './journal-structs.ts';
import { EXTENT_MAGIC, FLAG_EXTENTS, MAP_AT, MAP_BYTES } from './structs.ts';
import type { Volume } from './volume.ts';

type JournalSuper = ReturnType<typeof journalSuper.decode>;

/** One block of the volume as it stands in the journal. */
export interface Copy {
  /** Of the volume. */
  readonly block: number;
  /** Bytes from the start of the journal. */
  readonly at: number;
  /** Of the transaction that wrote it. */
  readonly sequence: number;
  /** Its first word was the journal's own magic, and stands there as zeros. */
  readonly isEscaped: boolean;
  /** Whether its sum agrees; undefined where it has none. */
  readonly summed: boolean | undefined;
}

export interface Journal {
  readonly source: Source;
  readonly super: JournalSuper;
  readonly blockSize: number;
  /** Blocks of the ring; what is behind them are fast commits. */
  readonly end: number;
  readonly seed: number;
}

interface Replay {
  readonly copies: ReadonlyMap<number, Copy>;
  readonly transactions: number;
  /** Why the last state is not known, where that is so. */
  readonly doubt?: string;
}

interface Tag {
  readonly block: number;
  readonly isEscaped: boolean;
  readonly checksum: number;
}

const HEADER = journalHeader.size;
const UUID = 16;
const NO_STATE = 0xffffffff;
/** Blocks of the longest journal that is read: 64 GiB with blocks of 4 KiB. */
const MAX_BLOCKS = 2 ** 24;
const COMMIT_SUM_AT = 0x10;

/** The journal of a volume; undefined where it has none inside, or none that can be used. */
export async function journalOf(volume: Volume): Promise<Journal | undefined> {
  const { super: sb, blockSize } = volume.geometry;
  if (sb.journalInode === 0) return undefined;
  const inode = await volume.inodes.raw(sb.journalInode);
  const found = inode?.type === TYPE_REGULAR && inode.doubts.length === 0 ? inode : undefined;
  // The superblock keeps a second copy of the journal's map.
  for (const one of [found, fromBackup(volume), inode]) {
    if (one === undefined || one.size < 2 * blockSize || one.size / blockSize > MAX_BLOCKS) continue;
    const source = new MapSource(volume.sizeOf(one), volume.map(one));
    const block = new Uint8Array(journalSuper.size);
    if ((await source.read(0, block)).length > 0) continue;
    const head = journalSuper.decode(block);
    if (journalSuper.violations(head).length > 0 || head.blockSize !== blockSize) continue;
    const fast = (head.incompat & INCOMPAT_FAST_COMMIT) !== 0 ? head.fastBlocks || 256 : 0;
    const end = Math.min(head.blocks, Math.floor(source.size / blockSize)) - fast;
    if (end <= head.first) continue;
    return { source, super: head, blockSize, end, seed: crc32cUpdate(NO_STATE, head.uuid) };
  }
  return undefined;
}

/** An inode made of what the superblock keeps of the journal's: its map, then its size. */
function fromBackup(volume: Volume): Inode | undefined {
  const { geometry, source } = volume;
  const { journalBackup, journalInode } = geometry.super;
  const view = viewOf(journalBackup);
  const raw = new Uint8Array(geometry.inodeSize);
  raw.set(journalBackup.subarray(0, MAP_BYTES), MAP_AT);
  const made = inodeOf(geometry, journalInode, raw, source, geometry.superAt);
  const size = view.getUint32(MAP_BYTES, true) * 2 ** 32 + view.getUint32(MAP_BYTES + 4, true);
  const isTree = view.getUint16(0, true) === EXTENT_MAGIC;
  return size === 0 ? undefined : { ...made, size, type: TYPE_REGULAR, flags: isTree ? FLAG_EXTENTS : 0 };
}

/** What a mount would write into the volume: the blocks of all transactions that were committed and not yet put in place. */
export async function replay(journal: Journal): Promise<Replay> {
  const { super: head, end } = journal;
  const copies = new Map<number, Copy>();
  const revoked = new Map<number, number>();
  const all: Copy[] = [];
  let transactions = 0;
  let doubt = (head.incompat & INCOMPAT_FAST_COMMIT) !== 0 ? 'ext.journal.fast-commit' : undefined;
  if (head.start === 0) return { copies, transactions, ...(doubt && { doubt }) };
  let at = head.start;
  let sequence = head.sequence;
  let pending: Copy[] = [];
  let revokes: number[] = [];
  const next = (n: number, by = 1): number => (n + by >= end ? n + by - end + head.first : n + by);
  // Each block of the ring is met once at most.
  for (let seen = 0; seen < end && at >= head.first && at < end; ) {
    const block = await readBlock(journal, at);
    const kind = block === undefined ? undefined : kindOf(block);
    if (block === undefined) doubt ??= 'ext.journal.unreadable';
    if (block === undefined || kind === undefined || kind.sequence !== sequence) break;
    let used = 1;
    if (kind.type === BLOCK_DESCRIPTOR) {
      if (isTailSummed(journal, block) === false) doubt ??= 'ext.journal.checksum';
      for (const tag of tagsOf(journal, block)) {
        const place = next(at, used++);
        pending.push(await copyOf(journal, tag, place, sequence));
      }
    } else if (kind.type === BLOCK_REVOKE) {
      revokes.push(...revokesOf(journal, block));
    } else if (kind.type === BLOCK_COMMIT) {
      if (isCommitSummed(journal, block) === false) {
        doubt ??= 'ext.journal.checksum';
        break;
      }
      all.push(...pending);
      for (const one of revokes) revoked.set(one, sequence);
      pending = [];
      revokes = [];
      transactions++;
      sequence = (sequence + 1) >>> 0;
    } else break;
    at = next(at, used);
    seen += used;
  }
  for (const copy of all) {
    const since = revoked.get(copy.block);
    // Sequences go round: the later one is ahead by less than half of all.
    if (since !== undefined && ((since - copy.sequence) | 0) >= 0) continue;
    copies.set(copy.block, copy);
    if (copy.summed === false) doubt ??= 'ext.journal.checksum';
  }
  return { copies, transactions, ...(doubt && { doubt }) };
}

/** Every copy that still stands in the journal, whatever was committed or put in place since; the oldest place first. */
export async function* allCopies(journal: Journal, signal: AbortSignal): AsyncGenerator<Copy> {
  for (let at = journal.super.first; at < journal.end && !signal.aborted; at++) {
    const block = await readBlock(journal, at);
    const kind = block === undefined ? undefined : kindOf(block);
    if (block === undefined || kind?.type !== BLOCK_DESCRIPTOR || isTailSummed(journal, block) === false) continue;
    let place = at;
    for (const tag of tagsOf(journal, block)) {
      place++;
      if (place >= journal.end) place = journal.super.first;
      const content = await readBlock(journal, place);
      // A header where data should stand: a later turn of the ring has written over the rest.
      if (content === undefined || kindOf(content) !== undefined) break;
      const copy = await copyOf(journal, tag, place, kind.sequence, content);
      if (copy.summed !== false) yield copy;
    }
  }
}

/** Why bytes that come from a copy are believed. */
export function whyOf(journal: Journal, copy: Copy): { why: Why; isDoubtful: boolean } {
  const why: Why = { what: `ext journal, transaction ${copy.sequence}`, source: journal.source, at: copy.at };
  const isDoubtful = copy.summed === false;
  return { why: isDoubtful ? { ...why, code: 'ext.journal.checksum' } : why, isDoubtful };
}

async function readBlock(journal: Journal, n: number): Promise<Uint8Array | undefined> {
  const block = new Uint8Array(journal.blockSize);
  const gaps = await journal.source.read(n * journal.blockSize, block);
  return gaps.length > 0 ? undefined : block;
}

function kindOf(block: Uint8Array): { type: number; sequence: number } | undefined {
  const head = journalHeader.decode(block);
  return head.magic === JOURNAL_MAGIC ? head : undefined;
}

function hasSums({ super: { incompat } }: Journal): boolean {
  return (incompat & (INCOMPAT_SUM_2 | INCOMPAT_SUM_3)) !== 0;
}

/** The tags of a descriptor block, in the order in which their blocks follow. */
function tagsOf(journal: Journal, block: Uint8Array): Tag[] {
  const { incompat } = journal.super;
  const isThree = (incompat & INCOMPAT_SUM_3) !== 0;
  const isWide = (incompat & INCOMPAT_64BIT) !== 0;
  const size = isThree ? 16 : isWide ? 12 : 8;
  const view = viewOf(block);
  const end = block.length - (hasSums(journal) ? 4 : 0);
  const out: Tag[] = [];
  for (let at = HEADER; at + size <= end; ) {
    const flags = isThree ? view.getUint32(at + 4) : view.getUint16(at + 6);
    const high = isWide ? view.getUint32(at + 8) : 0;
    const checksum = isThree ? view.getUint32(at + 12) : view.getUint16(at + 4);
    out.push({ block: view.getUint32(at) + high * 2 ** 32, isEscaped: (flags & TAG_ESCAPED) !== 0, checksum });
    at += size + ((flags & TAG_SAME_UUID) !== 0 ? 0 : UUID);
    if ((flags & TAG_LAST) !== 0) break;
  }
  return out;
}

function revokesOf(journal: Journal, block: Uint8Array): number[] {
  const view = viewOf(block);
  const isWide = (journal.super.incompat & INCOMPAT_64BIT) !== 0;
  const size = isWide ? 8 : 4;
  const end = Math.min(view.getUint32(HEADER), block.length);
  const out: number[] = [];
  for (let at = HEADER + 4; at + size <= end; at += size) {
    out.push(isWide ? view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4) : view.getUint32(at));
  }
  return out;
}

async function copyOf(journal: Journal, tag: Tag, n: number, sequence: number, known?: Uint8Array): Promise<Copy> {
  const at = n * journal.blockSize;
  const { block, isEscaped } = tag;
  if (!hasSums(journal)) return { block, at, sequence, isEscaped, summed: undefined };
  const content = known ?? (await readBlock(journal, n));
  if (content === undefined) return { block, at, sequence, isEscaped, summed: false };
  const number = new Uint8Array(4);
  viewOf(number).setUint32(0, sequence);
  const sum = crc32cUpdate(crc32cUpdate(journal.seed, number), content);
  const isThree = (journal.super.incompat & INCOMPAT_SUM_3) !== 0;
  return { block, at, sequence, isEscaped, summed: (isThree ? sum : sum & 0xffff) === tag.checksum };
}

function isTailSummed(journal: Journal, block: Uint8Array): boolean | undefined {
  if (!hasSums(journal)) return undefined;
  const tail = block.length - 4;
  const copy = block.slice();
  copy.fill(0, tail);
  return crc32cUpdate(journal.seed, copy) === viewOf(block).getUint32(tail);
}

function isCommitSummed(journal: Journal, block: Uint8Array): boolean | undefined {
  if (!hasSums(journal)) return undefined;
  const copy = block.slice();
  copy.fill(0, COMMIT_SUM_AT, COMMIT_SUM_AT + 4);
  return crc32cUpdate(journal.seed, copy) === viewOf(block).getUint32(COMMIT_SUM_AT);
}
