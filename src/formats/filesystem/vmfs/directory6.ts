/** Directories of VMFS6: a header, allocation maps and blocks of entries. Source: vmfs.md section 5.2. */
import { MAX_ENTRIES } from '../../../core/limits.ts';
import type { Gap, Source } from '../../../core/source.ts';
import { viewOf } from '../../../core/struct.ts';
import type { Doubt } from './descriptor.ts';
import type { Entry } from './directory.ts';
import { directoryBlock, directoryHeader, dirent6 } from './structs.ts';

const BLOCKS_AT = 0x10000;
const KIND_ENTRIES = 1;
const KIND_MAP = 3;
const NEVER_WRITTEN = 8;
const BLOCK_HEADER = directoryBlock.size;
/** Blocks of one read: 1 MiB. */
const BLOCKS_PER_READ = 256;

type Report = (doubt: Doubt) => void;

/** Yields the entries that are in use. `md` is the volume's metadata alignment, which is the block size here. */
export async function* hashedEntries(directory: Source, md: number, report: Report): AsyncGenerator<Entry[]> {
  const head = new Uint8Array(directoryHeader.size);
  await directory.read(0, head);
  const header = directoryHeader.decode(head);
  for (const v of directoryHeader.violations(header)) {
    report({ at: v.at, code: `vmfs6.directory.${v.field}`, expected: v.expected, actual: v.actual });
  }
  const blocks = Math.max(0, Math.floor((directory.size - BLOCKS_AT) / md));
  const kinds = await blockKinds(directory, md, header, blocks, report);
  let seen = 2; // "." and ".." live in the header
  for (let first = 0; first < blocks; first += BLOCKS_PER_READ) {
    const count = Math.min(BLOCKS_PER_READ, blocks - first);
    if (!kinds.subarray(first, first + count).includes(KIND_ENTRIES)) continue;
    const bytes = new Uint8Array(count * md);
    const gaps = await directory.read(BLOCKS_AT + first * md, bytes);
    const out: Entry[] = [];
    for (let i = 0; i < count; i++) {
      if (kinds[first + i] !== KIND_ENTRIES) continue;
      takeBlock(bytes.subarray(i * md, (i + 1) * md), BLOCKS_AT + (first + i) * md, gaps, out, report);
    }
    seen += out.length;
    yield out;
    if (seen > MAX_ENTRIES) {
      const expected = `at most ${MAX_ENTRIES} entries`;
      report({ at: 4, code: 'vmfs6.directory.entries', expected, actual: `${header.entries} or more` });
      return;
    }
  }
  if (header.entries !== seen && directoryHeader.violations(header).length === 0) {
    const expected = `${header.entries} entries, as the header counts`;
    report({ at: 4, code: 'vmfs6.directory.entries', expected, actual: String(seen) });
  }
}

/** Kind of each block by the allocation maps, without the flag for free slots; 0 where it was never written. */
async function blockKinds(
  directory: Source,
  md: number,
  header: ReturnType<typeof directoryHeader.decode>,
  blocks: number,
  report: Report,
): Promise<Uint8Array> {
  const kinds = new Uint8Array(blocks);
  const perMap = 2 * (md - BLOCK_HEADER);
  const view = viewOf(header.mapBlocks);
  const maps = Math.min(header.maps, 128, Math.ceil(blocks / perMap));
  for (let m = 0; m < maps; m++) {
    const number = view.getUint32(m * 4, true);
    const block = new Uint8Array(md);
    const at = BLOCKS_AT + number * md;
    const gaps = number < blocks ? await directory.read(at, block) : [];
    const meta = directoryBlock.decode(block);
    if (number >= blocks || gaps.length > 0 || meta.kind !== KIND_MAP) {
      const actual = number >= blocks ? `block ${number} of ${blocks}` : (gaps[0]?.code ?? `kind ${meta.kind}`);
      report({ at, code: 'vmfs6.directory.map', expected: 'an allocation map', actual });
      // Without the map each block speaks for itself: its own header says what it is.
      kinds.fill(KIND_ENTRIES, m * perMap, Math.min(blocks, (m + 1) * perMap));
      continue;
    }
    for (let i = 0; i < perMap && m * perMap + i < blocks; i++) {
      const byte = block[BLOCK_HEADER + (i >>> 1)];
      const nibble = i % 2 === 0 ? byte >>> 4 : byte & 0xf;
      kinds[m * perMap + i] = (nibble & NEVER_WRITTEN) === 0 ? nibble & 3 : 0;
    }
  }
  return kinds;
}

/** Takes the entries of one block whose slots are in use. */
function takeBlock(block: Uint8Array, at: number, gaps: readonly Gap[], out: Entry[], report: Report): void {
  const gap = gaps.find((g) => g.offset < at + block.length && g.offset + g.length > at);
  if (gap !== undefined) {
    report({ at, code: 'vmfs6.directory.unreadable', expected: 'a block of entries', actual: gap.code });
  }
  const { kind, slots, bitmap } = directoryBlock.decode(block);
  if (kind !== KIND_ENTRIES) {
    if (gap === undefined && kind !== KIND_MAP && kind !== 2) {
      report({ at, code: 'vmfs6.directory.block', expected: 'a block of entries', actual: `kind ${kind}` });
    }
    return;
  }
  const count = Math.min(slots, Math.floor((block.length - BLOCK_HEADER) / dirent6.size));
  for (let slot = 0; slot < count; slot++) {
    if ((bitmap[slot >>> 3] & (1 << (slot & 7))) !== 0) continue;
    const start = BLOCK_HEADER + slot * dirent6.size;
    const { type, address, generation, self, name } = dirent6.decode(block, start);
    if (address === 0 || name === '') continue;
    if (self !== at + start) {
      const expected = `an entry that knows its own offset ${at + start}`;
      report({ at: at + start, code: 'vmfs6.directory.self-offset', expected, actual: String(self) });
    }
    out.push({ type, address, generation, name, at: at + start });
  }
}
