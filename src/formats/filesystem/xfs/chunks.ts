/** Inodes that are set aside: from the trees of their AGs, or, where those are lost, found by what they say of themselves. */
import { crc32c } from '../../../codec/crc32c.ts';
import { bits, readU64, viewOf } from '../../../core/struct.ts';
import { readShort } from './free.ts';
import { agByteOf, type Geometry, inodeNumber } from './geometry.ts';
import type { Inode } from './inodes.ts';
import {
  AGI_CRC_AT,
  agInodes,
  DIRECTORY_CRC_AT,
  DIRECTORY_MAGICS,
  directoryBlock,
  INODE_CRC_AT,
  INODE_MAGIC,
  INODES_MAGIC,
  inodeCore,
  SHORT_BYTES,
  shortBlock,
} from './structs.ts';
import type { Volume } from './volume.ts';

/** Inodes of a chunk. */
const CHUNK = 64;
const MAX_NODES = 200_000;
const MAX_CHUNKS = 4_000_000;
const WINDOW: number = 1024 * 1024;
const UNIT = 512;

/** A chunk: its first inode, counted in its AG, and which of it are free. */
interface Chunk {
  readonly first: number;
  readonly high: number;
  readonly low: number;
}

/** A block of entries that says whose it is and stands where it says. */
interface OwnedBlock {
  readonly owner: number;
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** The chunks of an AG, and whether that is all of them: its header and every block of its tree agree. */
async function chunksOf(
  { geometry: g, source }: Volume,
  ag: number,
): Promise<{ readonly list: readonly Chunk[]; readonly isWhole: boolean }> {
  const list: Chunk[] = [];
  const base = agByteOf(g, ag, 0);
  if (base === undefined) return { list, isWhole: false };
  const head = new Uint8Array(Math.max(agInodes.size, g.super.sectorSize));
  const gaps = await source.read(base + 2 * g.super.sectorSize, head);
  const found = agInodes.decode(head);
  if (gaps.length > 0 || agInodes.violations(found).length > 0) return { list, isWhole: false };
  const agrees = !g.isChecked || crc32c(head, AGI_CRC_AT) === viewOf(head).getUint32(AGI_CRC_AT, true);
  let isWhole = agrees && found.number === ag;
  const seen = new Set<number>();
  const queue: [block: number, level: number][] = [[found.root, found.levels - 1]];
  for (let next = queue.pop(); next !== undefined && seen.size < MAX_NODES; next = queue.pop()) {
    const at = agByteOf(g, ag, next[0]);
    const bytes =
      at === undefined || seen.has(next[0]) ? undefined : await readShort(source, g, at, next[1], INODES_MAGIC);
    seen.add(next[0]);
    if (bytes === undefined) {
      isWhole = false;
      continue;
    }
    const view = viewOf(bytes);
    const first = g.isChecked ? SHORT_BYTES.checked : SHORT_BYTES.old;
    const most = Math.floor((bytes.length - first) / (next[1] === 0 ? 16 : 8));
    const n = Math.min(shortBlock.decode(bytes).records, most);
    for (let i = 0; i < n; i++) {
      const place = first + i * 16;
      if (next[1] > 0) queue.push([view.getUint32(first + most * 4 + i * 4, false), next[1] - 1]);
      else if (list.length < MAX_CHUNKS)
        list.push({ first: view.getUint32(place), high: view.getUint32(place + 8), low: view.getUint32(place + 12) });
    }
  }
  return { list, isWhole };
}

/** Inodes of chunks that are set aside, in use or not, as the trees tell them and as they say it themselves. */
export async function* inodesOf(volume: Volume, wanted: 'free' | 'used'): AsyncGenerator<Inode> {
  const { geometry: g, cx } = volume;
  for (let ag = 0; ag < g.super.agCount && !cx.signal.aborted; ag++) {
    const { list, isWhole } = await chunksOf(volume, ag);
    const met = new Set<number>();
    for (const { first, high, low } of list) {
      for (let i = 0; i < CHUNK; i++) {
        const number = inodeNumber(g, ag, first + i);
        if ((bits(low, high, i, 1) === 1) !== (wanted === 'free')) continue;
        const inode = await volume.inodes.get(number);
        if (inode === undefined || (inode.type === 0) !== (wanted === 'free')) continue;
        if (!isWhole) met.add(number);
        yield inode;
      }
    }
    // Without sums inodes do not say which they are.
    if (isWhole || !g.isChecked) continue;
    for await (const found of sweep(volume, ag)) {
      if (typeof found !== 'number' || met.has(found)) continue;
      const inode = await volume.inodes.get(found);
      if (inode !== undefined && (inode.type === 0) === (wanted === 'free')) yield inode;
    }
  }
}

/** Reads an AG whole: inodes by number, and blocks of entries of directories. Only of volumes whose structures have sums. */
export async function* sweep({ geometry: g, source, cx }: Volume, ag: number): AsyncGenerator<number | OwnedBlock> {
  const base = agByteOf(g, ag, 0);
  if (base === undefined || !g.isChecked) return;
  const end = Math.min(
    source.size,
    base + Math.min(g.super.agBlocks, g.super.blocks - ag * g.super.agBlocks) * g.blockSize,
  );
  const entryBytes = g.blockSize * 2 ** g.super.directoryBlockLog;
  const window = new Uint8Array(WINDOW + entryBytes);
  for (let from = base; from < end && !cx.signal.aborted; from += WINDOW) {
    const part = window.subarray(0, Math.min(window.length, end - from));
    const gaps = await source.read(from, part);
    const view = viewOf(part);
    for (let at = 0; at < WINDOW && at + g.blockSize <= part.length; at += g.blockSize) {
      if (gaps.some(({ offset, length }) => offset < from + at + g.blockSize && offset + length > from + at)) continue;
      if (view.getUint16(at, false) === INODE_MAGIC)
        yield* numbersIn(g, part.subarray(at, at + g.blockSize), from + at);
      else if (Object.values(DIRECTORY_MAGICS).includes(view.getUint32(at, false))) {
        const block = ownedBlock(g, part.subarray(at, at + entryBytes), from + at);
        if (block !== undefined) yield block;
      }
    }
  }
}

function* numbersIn(g: Geometry, block: Uint8Array, at: number): Generator<number> {
  const linear = Math.floor(at / g.blockSize);
  const ag = Math.floor(linear / g.super.agBlocks);
  for (let i = 0; (i + 1) * g.inodeSize <= block.length; i++) {
    const raw = block.subarray(i * g.inodeSize, (i + 1) * g.inodeSize);
    const core = inodeCore.decode(raw);
    const number = inodeNumber(g, ag, (linear % g.super.agBlocks) * g.super.inodesPerBlock + i);
    const isOne = core.magic === INODE_MAGIC && core.version === 3 && core.number === number;
    const isOwn = isOne && Buffer.from(core.uuid).toString('hex') === g.uuid;
    if (isOwn && crc32c(raw, INODE_CRC_AT) === viewOf(raw).getUint32(INODE_CRC_AT, true)) yield number;
  }
}

function ownedBlock(g: Geometry, bytes: Uint8Array, at: number): OwnedBlock | undefined {
  if (bytes.length < g.blockSize) return undefined;
  const head = directoryBlock.decode(bytes);
  if (head.place * UNIT !== at || Buffer.from(head.uuid).toString('hex') !== g.uuid) return undefined;
  const view = viewOf(bytes);
  if (crc32c(bytes, DIRECTORY_CRC_AT) !== view.getUint32(DIRECTORY_CRC_AT, true)) return undefined;
  return { owner: readU64(view, 40, false), at, bytes: bytes.slice() };
}
