/** Inodes as the log still has them: what they were before they were deleted. Source: guestfs.md part D5. */
import type { Source } from '../../../core/source.ts';
import { bytes8, struct, u16, u32, u64, viewOf } from '../../../core/struct.ts';
import type { Geometry } from './geometry.ts';
import { recordBytes, records } from './log.ts';
import { FLAG2_BIGTIME, inodeCore, logOperation } from './structs.ts';

/** What the log says of one inode at one time. */
export interface Logged {
  readonly number: number;
  /** The inode's fixed part in the order of bytes of the disk, so that it reads like one. */
  readonly core: Uint8Array;
  /** The data fork, where it was logged with it. */
  readonly fork: Uint8Array | undefined;
  /** Bytes from the start of the volume. */
  readonly at: number;
  /** Of the checkpoint that it was written in, counted from the oldest one: all in one hold at the same time. */
  readonly checkpoint: number;
}

/** Least significant first, as the machine that wrote it. */
const inodeItem = struct('XFS log inode item', 24, {
  type: u16(0, { oneOf: [0x123b] }),
  regions: u16(2, { min: 2, max: 5 }),
  fields: u32(4),
  dataBytes: u16(10),
  number: u64(16, { min: 1 }),
});
/** All numbers of an inode's fixed part that have more than one byte, those that nobody asks for too. */
const loggedCore = struct('XFS logged inode', 176, {
  ...inodeCore.fields,
  projectLow: u16(20),
  projectHigh: u16(22),
  extentHint: u32(72),
  attributeExtents: u16(80),
  eventMask: u32(84),
  eventState: u16(88),
  nextUnlinked: u32(96),
  changes: bytes8(104),
  copyHint: u32(128),
});
const TIMES = ['accessed', 'modified', 'changed', 'made'];
const FLAGS2_AT = 120;
const FIELDS_DATA = 0x2 | 0x4 | 0x8;
/** Operations that are parts of one: their other parts lie in other records. */
const TORN = 0x04 | 0x08 | 0x10;
const CORE = 176;
const LITTLE_MAGIC = 0x494e;
/** Versions that are kept in all. */
const MAX_KEPT = 2_000_000;
const OPERATION = 12;

/** The checkpoint that is being read. */
interface Clock {
  transaction: number;
  checkpoint: number;
}

/** All versions that records of the log hold, oldest first. */
export async function loggedInodes(source: Source, g: Geometry): Promise<Logged[]> {
  const out: Logged[] = [];
  const clock: Clock = { transaction: -1, checkpoint: 0 };
  const found = await records(source, g);
  if (found === undefined) return out;
  for (const record of found.list.toSorted((a, b) => a.cycle - b.cycle || a.block - b.block)) {
    if (out.length > MAX_KEPT) break;
    const data = await recordBytes(source, found, record);
    if (data !== undefined) takeInodes(data, found.start + record.at, clock, out);
  }
  return out;
}

function takeInodes(data: Uint8Array, at: number, clock: Clock, out: Logged[]): void {
  let item: { readonly number: number; readonly hasFork: boolean } | undefined;
  let core: Uint8Array | undefined;
  for (let next = 0; next + OPERATION <= data.length; ) {
    const { length, flags, transaction } = logOperation.decode(data, next);
    if (transaction !== clock.transaction) Object.assign(clock, { transaction, checkpoint: clock.checkpoint + 1 });
    const { checkpoint } = clock;
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
        out.push({ number: item.number, core, fork: undefined, at, checkpoint });
        item = core = undefined;
      }
    } else if (item !== undefined && core !== undefined) {
      out.push({ number: item.number, core, fork: part.slice(), at, checkpoint });
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
export function bigEndian(core: Uint8Array): Uint8Array {
  const out = core.slice();
  const isBig = core[4] >= 3 && (viewOf(core).getUint32(FLAGS2_AT, true) & FLAG2_BIGTIME) !== 0;
  for (const [name, { at, kind, size }] of Object.entries(loggedCore.fields)) {
    // Times are two words each; newer ones are one of eight bytes.
    if (kind === 'bytes8' && !isBig && TIMES.includes(name)) {
      out.subarray(at, at + 4).reverse();
      out.subarray(at + 4, at + 8).reverse();
    } else if (kind !== 'bytes' && size > 1) out.subarray(at, at + size).reverse();
  }
  return out;
}
