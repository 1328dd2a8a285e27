/**
 * After-images in the journal: bytes as a transaction was about to leave them, which stay there after it. What was
 * cleared since may exist here once more. Source: vmfs.md sections 7.2 and 7.3.
 */
import type { Source } from '../../../core/source.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { fdAddress } from './address.ts';
import { bitmaps } from './bitmaps.ts';
import type { FileClaims } from './residue-claims.ts';
import { FD_SIGNATURE, fdMetadata, HEARTBEATS_AT, heartbeat } from './structs.ts';
import type { Volume } from './volume.ts';

/** Bytes that a journal holds for a place of the volume. */
export interface AfterImage {
  /** The bytes themselves. */
  readonly source: Source;
  readonly at: number;
  readonly length: number;
  /** The place they are for, in the volume; undefined on VMFS6, where only the bytes themselves tell. */
  readonly target: number | undefined;
}

/** VMFS3 and VMFS5: where records begin in a journal block, and what stands before the bytes of each. */
const RECORDS_AT = 0x350;
const RECORD_HEAD = 0x20;
const RECORD_STEP = 4;
const SECTOR = 512;
const MAX_KIND = 16;
/** Blocks that are allocated and belong to nobody: so many are looked at, a journal is among the first of them. */
const MAX_PROBES = 1024;
const MAX_BLOCKS = 64;
const MAX_IMAGES = 1 << 16;
const BLOCK_BYTES = 0x100000;
/** First word of a directory block with entries. */
const ENTRIES = 0x00010001;

/** VMFS6: number of the descriptor of .jbc.sf, and how much of that file is looked through. */
const JOURNAL_FD = 8;
const MAX_JOURNAL = 512 * 0x100000;

/** Everything the journals of a volume still hold, in their order. `claims` say which blocks belong to files. */
export async function afterImages(volume: Volume, claims: readonly FileClaims[]): Promise<AfterImage[]> {
  if (volume.geometry.version === 6) return images6(volume);
  const out: AfterImage[] = [];
  for (const at of await journalBlocks(volume, claims)) {
    const block = new Uint8Array(Math.min(BLOCK_BYTES, volume.geometry.blockSize));
    await volume.volume.read(at, block);
    recordsIn(block, at, volume.volume, out);
  }
  return out;
}

/** Blocks that heartbeats name, and those that are allocated, belong to no file and begin like a journal. */
async function journalBlocks(volume: Volume, claims: readonly FileClaims[]): Promise<Set<number>> {
  const g = volume.geometry;
  const found = new Set<number>();
  const slots = new Uint8Array(g.heartbeats * g.lockBytes);
  await volume.volume.read(HEARTBEATS_AT, slots);
  for (let i = 0; i < g.heartbeats; i++) {
    const { journalAt } = heartbeat.decode(slots, i * g.lockBytes);
    const inside = journalAt > 0 && journalAt % g.blockSize === 0 && journalAt + g.blockSize <= volume.volume.size;
    if (inside && found.size < MAX_BLOCKS) found.add(journalAt);
  }
  const { fbb } = volume.files;
  if (fbb === undefined) return found;
  const head = new Uint8Array(RECORDS_AT + RECORD_HEAD);
  let probes = 0;
  for await (const [cluster, bitmap] of bitmaps(volume, fbb)) {
    if (bitmap === undefined || bitmap.empty) continue;
    for (let r = 0; r < bitmap.total; r++) {
      const at = (cluster * fbb.header.perCluster + r) * g.blockSize;
      if (!bitmap.allocated(r) || claims.some((one) => one.block(at))) continue;
      if (probes++ >= MAX_PROBES || found.size >= MAX_BLOCKS) return found;
      await volume.volume.read(at, head);
      // The header of a journal is cleared when its transaction is done.
      if (head.subarray(0, RECORDS_AT).every((byte) => byte === 0) && recordAt(head, RECORDS_AT, g.blockSize)) {
        found.add(at);
      }
    }
  }
  return found;
}

/** Records lie back to back; behind one that was overwritten the next has to be looked for. */
function recordsIn(block: Uint8Array, at: number, source: Source, out: AfterImage[]): void {
  let next = RECORDS_AT;
  while (next + RECORD_HEAD < block.length && out.length < MAX_IMAGES) {
    const record = recordAt(block, next, block.length - next - RECORD_HEAD);
    if (record === undefined) next += RECORD_STEP;
    else {
      out.push({ source, at: at + next + RECORD_HEAD, ...record });
      next += RECORD_HEAD + record.length;
    }
  }
}

function recordAt(block: Uint8Array, at: number, room: number): { target: number; length: number } | undefined {
  const view = viewOf(block);
  if (view.getUint32(at, true) !== 1 || view.getUint32(at + 4, true) > MAX_KIND) return undefined;
  if (view.getUint32(at + 8, true) !== 0 || view.getUint32(at + 12, true) !== 0) return undefined;
  const target = readU64(view, at + 16);
  const length = readU64(view, at + 24);
  const fits = target > 0 && Number.isFinite(target) && target % SECTOR === 0 && length > 0 && length <= room;
  return fits ? { target, length } : undefined;
}

/** The records of VMFS6 are not known, but metadata of descriptors and directory blocks have signatures of their own. */
async function images6(volume: Volume): Promise<AfterImage[]> {
  const fd = await volume.descriptor(fdAddress(0, JOURNAL_FD));
  const out: AfterImage[] = [];
  if (fd === undefined || !(fd.length > 0)) return out;
  const source = volume.source(fd, false);
  const { lockBytes } = volume.geometry;
  const signatureAt = fdMetadata.fields.signature.at;
  const end = Math.min(source.size, MAX_JOURNAL);
  for (let from = 0; from < end; from += BLOCK_BYTES) {
    const block = new Uint8Array(Math.min(BLOCK_BYTES, end - from) & ~3);
    await source.read(from, block);
    const words = new Uint32Array(block.buffer);
    for (let i = words.indexOf(FD_SIGNATURE); i >= 0; i = words.indexOf(FD_SIGNATURE, i + 1)) {
      const at = from + 4 * i - signatureAt;
      if (at < lockBytes || at + lockBytes > source.size || out.length >= MAX_IMAGES) continue;
      out.push({ source, at, length: lockBytes, target: undefined });
    }
    // Blocks of directories begin with their version, their kind, and how many entries they have.
    for (let i = words.indexOf(ENTRIES); i >= 0; i = words.indexOf(ENTRIES, i + 1)) {
      const at = from + 4 * i;
      if (at + lockBytes > source.size || out.length >= MAX_IMAGES) continue;
      out.push({ source, at, length: lockBytes, target: undefined });
    }
  }
  return out;
}
