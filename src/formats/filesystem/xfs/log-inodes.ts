/** Inodes as the log still has them: what they were before they were deleted. Source: guestfs.md part D5. */
import type { Source } from '../../../core/source.ts';
import { struct, u16, u32, u64, viewOf } from '../../../core/struct.ts';
import type { Geometry } from './geometry.ts';
import { type LogPlace, records, SECTOR } from './log.ts';
import { inodeCore, logOperation } from './structs.ts';

/** What the log says of one inode at one time. */
export interface Logged {
  readonly number: number;
  /** The inode's fixed part in the order of bytes of the disk, so that it reads like one. */
  readonly core: Uint8Array;
  /** The data fork, where it was logged with it. */
  readonly fork: Uint8Array | undefined;
  /** Bytes from the start of the volume. */
  readonly at: number;
}

/** Least significant first, as the machine that wrote it. */
const inodeItem = struct('XFS log inode item', 24, {
  type: u16(0, { oneOf: [0x123b] }),
  regions: u16(2, { min: 2, max: 5 }),
  fields: u32(4),
  dataBytes: u16(10),
  number: u64(16, { min: 1 }),
});
const FIELDS_DATA = 0x2 | 0x4 | 0x8;
/** Operations that are parts of one: their other parts lie in other records. */
const TORN = 0x04 | 0x08 | 0x10;
const CORE = 176;
const LITTLE_MAGIC = 0x494e;
/** Versions that are kept in all. */
const MAX_KEPT = 2_000_000;
const OPERATION = 12;
/** Bytes per record; `h_size` allows 256 KiB. */
const MAX_RECORD = 1024 * 1024;

/** All versions that records of the log hold, oldest first. */
export async function loggedInodes(source: Source, g: Geometry): Promise<Logged[]> {
  const out: Logged[] = [];
  const found = await records(source, g);
  if (found === undefined) return out;
  found.list.sort((a, b) => a.cycle - b.cycle || a.block - b.block);
  for (const record of found.list) {
    if (out.length > MAX_KEPT) break;
    const data = await dataOf(source, found.start, found.size, record);
    if (data !== undefined) takeInodes(data, found.start + record.at, out);
  }
  return out;
}

/** A record's own bytes, with the first words of its sectors put back where they were. */
async function dataOf(
  source: Source,
  start: number,
  size: number,
  { at, length, headers, cycleData }: LogPlace,
): Promise<Uint8Array | undefined> {
  if (length === 0 || length > MAX_RECORD || length > size) return undefined;
  const whole = Math.ceil(length / SECTOR) * SECTOR;
  const bytes = new Uint8Array(whole);
  const from = (at + headers * SECTOR) % size;
  const first = Math.min(whole, size - from);
  const gaps = await source.read(start + from, bytes.subarray(0, first));
  const more = first < whole ? await source.read(start, bytes.subarray(first)) : [];
  if (gaps.length + more.length > 0) return undefined;
  // Behind the 64 words of the first header come those of further ones, which start with a word of their own.
  const extra = new Uint8Array((headers - 1) * SECTOR);
  if (extra.length > 0) await source.read(start + ((at + SECTOR) % size), extra);
  for (let sector = 0; sector * SECTOR < whole; sector++) {
    const page = Math.floor(sector / 64) - 1;
    const word = page < 0 ? sector * 4 : page * SECTOR + 4 + (sector % 64) * 4;
    const list = page < 0 ? cycleData : extra;
    if (word + 4 <= list.length) bytes.set(list.subarray(word, word + 4), sector * SECTOR);
  }
  return bytes.subarray(0, length);
}

function takeInodes(data: Uint8Array, at: number, out: Logged[]): void {
  let item: { readonly number: number; readonly hasFork: boolean } | undefined;
  let core: Uint8Array | undefined;
  for (let next = 0; next + OPERATION <= data.length; ) {
    const { length, flags } = logOperation.decode(data, next);
    const from = next + OPERATION;
    next = from + length;
    if (next > data.length) return;
    const part = data.subarray(from, next);
    if ((flags & TORN) !== 0) {
      item = core = undefined;
      continue;
    }
    if (
      item !== undefined &&
      core === undefined &&
      length >= CORE &&
      viewOf(part).getUint16(0, true) === LITTLE_MAGIC
    ) {
      core = bigEndian(part.subarray(0, CORE));
      if (!item.hasFork) {
        out.push({ number: item.number, core, fork: undefined, at });
        item = core = undefined;
      }
    } else if (item !== undefined && core !== undefined) {
      out.push({ number: item.number, core, fork: part.slice(), at });
      item = core = undefined;
    } else {
      const head = length >= inodeItem.size ? inodeItem.decode(part) : undefined;
      const isItem = head !== undefined && inodeItem.violations(head).length === 0;
      core = undefined;
      item = isItem
        ? { number: head.number, hasFork: (head.fields & FIELDS_DATA) !== 0 && head.dataBytes > 0 }
        : undefined;
    }
  }
}

/** The same fields, most significant byte first: UUIDs and padding are not numbers. */
function bigEndian(core: Uint8Array): Uint8Array {
  const out = core.slice();
  for (const { at, kind, size } of Object.values(inodeCore.fields)) {
    if (kind === 'u16' || kind === 'u32' || kind === 'u64') out.subarray(at, at + size).reverse();
    // Times are two words each; newer ones are one of eight bytes, which are read the same way then.
    else if (kind === 'bytes8') out.subarray(at, at + size).reverse();
  }
  return out;
}
