/** The extents of a backup one after the other, and where each cluster of each device lies. Source: vma_spec.txt of pve-qemu. */
import { md5 } from '../../../codec/md5.ts';
import type { Source } from '../../../core/source.ts';
import { latin1, viewOf } from '../../../core/struct.ts';
import { BLOCK, EXTENT_BYTES, EXTENT_MAGIC, extentHeader, INFO_AT, PER_EXTENT, SUM_AT, UUID_AT } from './structs.ts';

const SECTOR = 512;
/** Clusters of all devices that are kept: 1 TiB. */
const MAX_CLUSTERS: number = 2 ** 24;
const MAX_DAMAGES = 64;
const SEARCHED = 1024 * 1024;

/** Where the clusters of one device lie. */
export class Clusters {
  /** Of the first block that is stored of each; -1 where the cluster was not met. */
  at = new Float64Array(1024).fill(-1);
  /** Which of its 16 blocks are stored; the others are zeros. */
  masks = new Uint16Array(1024);
  /** 1 where the sum of its extent does not agree, or where it was met twice. */
  doubts = new Uint8Array(1024);
  /** One more than the last that was met. */
  count = 0;

  put(cluster: number, at: number, mask: number, doubt: boolean): void {
    if (cluster >= this.at.length) this.#grow(cluster + 1);
    const isTwice = this.at[cluster] >= 0;
    this.at[cluster] = at;
    this.masks[cluster] = mask;
    this.doubts[cluster] = Number(doubt || isTwice);
    this.count = Math.max(this.count, cluster + 1);
  }

  #grow(least: number): void {
    const size = Math.max(least, 2 * this.at.length);
    const grown = <T extends { set(from: T): void }>(to: T, from: T): T => {
      to.set(from);
      return to;
    };
    this.at = grown(new Float64Array(size).fill(-1), this.at);
    this.masks = grown(new Uint16Array(size), this.masks);
    this.doubts = grown(new Uint8Array(size), this.doubts);
  }
}

/** A stretch of the file that is no extent, or one whose sum does not agree. */
export interface Fault {
  readonly at: number;
  readonly length: number;
  readonly kind: 'gap' | 'sum' | 'cut';
}

export interface Extents {
  readonly devices: ReadonlyMap<number, Clusters>;
  readonly faults: readonly Fault[];
  /** There are more clusters than are kept. */
  readonly isShort: boolean;
}

/** Reads the headers of all extents from `from` on. Behind a damaged one the next is looked for. */
export async function extentsOf(source: Source, from: number, uuid: string, signal: AbortSignal): Promise<Extents> {
  const devices = new Map<number, Clusters>();
  const faults: Fault[] = [];
  const note = (fault: Fault): void => {
    if (faults.length < MAX_DAMAGES) faults.push(fault);
  };
  const bytes = new Uint8Array(EXTENT_BYTES);
  let left = MAX_CLUSTERS;
  for (let at = from; at < source.size; ) {
    signal.throwIfAborted();
    const isRead = at + EXTENT_BYTES <= source.size && (await source.read(at, bytes)).length === 0;
    if (!isRead || !isExtent(bytes, uuid)) {
      const next = await nextExtent(source, at + SECTOR, uuid, signal);
      note({ at, length: next - at, kind: 'gap' });
      at = next;
      continue;
    }
    const { blocks } = extentHeader.decode(bytes);
    const doubt = !(await isSummed(bytes, SUM_AT.extent));
    if (doubt) note({ at, length: EXTENT_BYTES, kind: 'sum' });
    const stored = entriesOf(bytes, at + EXTENT_BYTES, (device, cluster, place, mask) => {
      if (left-- <= 0 || cluster >= MAX_CLUSTERS) return;
      const own = devices.get(device) ?? new Clusters();
      devices.set(device, own);
      own.put(cluster, place, mask, doubt);
    });
    // Where the two counts differ one of them is wrong; the next header tells which.
    at += EXTENT_BYTES + (stored === blocks ? blocks : Math.min(stored, blocks)) * BLOCK;
    if (at > source.size) note({ at: source.size, length: at - source.size, kind: 'cut' });
  }
  return { devices, faults, isShort: left < 0 };
}

/** Shows each cluster of an extent; answers how many blocks are stored of them. */
function entriesOf(
  bytes: Uint8Array,
  from: number,
  visit: (device: number, cluster: number, at: number, mask: number) => void,
): number {
  const view = viewOf(bytes);
  let stored = 0;
  for (let i = 0; i < PER_EXTENT; i++) {
    const entry = INFO_AT + 8 * i;
    const device = view.getUint8(entry + 3);
    if (device === 0) continue;
    const mask = view.getUint16(entry);
    visit(device, view.getUint32(entry + 4), from + stored * BLOCK, mask);
    stored += bitsBelow(mask, 16);
  }
  return stored;
}

/** How many of the first `n` bits are set. */
export function bitsBelow(mask: number, n: number): number {
  let count = 0;
  for (let bit = 0; bit < n; bit++) count += (mask >>> bit) & 1;
  return count;
}

function isExtent(bytes: Uint8Array, uuid: string, at = 0): boolean {
  if (latin1(bytes, at, 4) !== EXTENT_MAGIC) return false;
  return uuid === '' || latin1(bytes, at + UUID_AT.extent, 16) === uuid;
}

/** Where the next extent begins at `from` or behind it; the end of the file where none does. */
export async function nextExtent(source: Source, from: number, uuid: string, signal: AbortSignal): Promise<number> {
  const bytes = new Uint8Array(SEARCHED);
  for (let at = from; at < source.size; at += SEARCHED) {
    signal.throwIfAborted();
    const part = bytes.subarray(0, Math.min(SEARCHED, source.size - at));
    await source.read(at, part);
    for (let i = 0; i + EXTENT_BYTES <= part.length; i += SECTOR) if (isExtent(part, uuid, i)) return at + i;
  }
  return source.size;
}

/** Whether the MD5 that stands at `at` is that of the bytes without it. */
export async function isSummed(bytes: Uint8Array, at: number): Promise<boolean> {
  const copy = bytes.slice().fill(0, at, at + 16);
  const digits = Array.from(bytes.subarray(at, at + 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return (await md5(copy)) === digits;
}
