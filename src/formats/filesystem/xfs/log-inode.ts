/** What the log says of an inode, put into the inode as the disk has it. */
import { viewOf } from '../../../core/struct.ts';
import type { Lsn } from './log.ts';
import { bigEndian } from './log-inodes.ts';
import { CORE_BYTES, INODE_MAGIC } from './structs.ts';

const DATA_LOCAL = 2;
const DATA_EXTENTS = 4;
const DATA_ROOT = 8;
const DEVICE = 0x10;
const DATA_FORK: number = DATA_LOCAL | DATA_EXTENTS | DATA_ROOT;
const ATTRIBUTES_PLAIN = 0x40 | 0x80;
const ATTRIBUTES_ROOT = 0x100;
const NEXT_UNLINKED_AT = 96;
const LSN_AT = 112;
const FORK_OFFSET_AT = 82;
/** Headers of blocks of trees, as which memory keeps roots. */
const ROOT_HEADER: Readonly<Record<number, number>> = { 1: 24, 2: 24, 3: 72 };
const PAIR = 16;

/**
 * Puts an inode's logged regions into `raw`; answers whether its data fork was among them, undefined where they are not
 * what an inode can hold.
 */
export function inodeInto(
  raw: Uint8Array,
  { fields }: { readonly fields: number },
  regions: readonly Uint8Array[],
  lsn: Lsn,
): boolean | undefined {
  const logged = regions[1];
  const head = CORE_BYTES[logged[4]];
  if (head === undefined || logged.length < head || viewOf(logged).getUint16(0, true) !== INODE_MAGIC) return undefined;
  const whole = new Uint8Array(CORE_BYTES[3]);
  whole.set(logged.subarray(0, head));
  const core = bigEndian(whole).subarray(0, head);
  // Lists of inodes without names are kept by blocks, not by inodes.
  core.set(raw.subarray(NEXT_UNLINKED_AT, NEXT_UNLINKED_AT + 4), NEXT_UNLINKED_AT);
  raw.set(core);
  const view = viewOf(raw);
  if (raw[4] === 3) {
    view.setUint32(LSN_AT, lsn.high);
    view.setUint32(LSN_AT + 4, lsn.low);
  }
  const room = raw.length - head;
  const split = raw[FORK_OFFSET_AT] * 8;
  const dataRoom = split > 0 && split < room ? split : room;
  let next = 2;
  const isData = (fields & DATA_FORK) !== 0;
  if (isData) {
    const fork = regions[next++];
    const target = raw.subarray(head, head + dataRoom);
    if (fork === undefined || !putFork(target, fork, (fields & DATA_ROOT) !== 0, raw[4])) return undefined;
  } else if ((fields & DEVICE) !== 0) view.setUint32(head, deviceOf(regions[0]));
  if ((fields & (ATTRIBUTES_PLAIN | ATTRIBUTES_ROOT)) !== 0) {
    const fork = regions[next++];
    const target = raw.subarray(head + dataRoom);
    if (fork === undefined || !putFork(target, fork, (fields & ATTRIBUTES_ROOT) !== 0, raw[4])) return undefined;
  }
  return isData;
}

/** A device's numbers stand where the item has room for a UUID. */
function deviceOf(item: Uint8Array): number {
  return viewOf(item).getUint32(24, true);
}

function putFork(target: Uint8Array, fork: Uint8Array, isRoot: boolean, version: number): boolean {
  if (!isRoot) {
    // Regions are rounded up to words.
    if (fork.length > target.length + 3) return false;
    target.set(fork.subarray(0, target.length));
    return true;
  }
  const header = ROOT_HEADER[version];
  if (fork.length < header + PAIR) return false;
  const had = Math.floor((fork.length - header) / PAIR);
  const most = Math.floor((target.length - 4) / PAIR);
  const n = viewOf(fork).getUint16(6, false);
  if (n > had || n > most) return false;
  target.set(fork.subarray(4, 8));
  target.set(fork.subarray(header, header + n * 8), 4);
  target.set(fork.subarray(header + had * 8, header + had * 8 + n * 8), 4 + most * 8);
  return true;
}
