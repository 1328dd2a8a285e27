/** QCOW2 version 3 without compression, as QEMU makes it. Source: qcow2.md sections 1 to 4. */
import { viewOf } from '../../../core/struct.ts';
import type { Writer } from '../../../core/writer.ts';
import { alignUp, Parts } from './parts.ts';

const BITS = 16;
export const CLUSTER: number = 1 << BITS;
export const ENTRIES: number = CLUSTER / 8;
/** Refcounts of 16 bits in one cluster. */
const COUNTS = CLUSTER / 2;
export const COPIED = 0x80000000;
const HEADER = 112;
/** QEMU opens no larger table of first-level pointers. */
const MAX_L1 = 32 * 1024 * 1024;

export const qcow2Writer: Writer = {
  variants: ['qcow2'],
  endings: ['.qcow2'],
  unit: () => CLUSTER,
  plan(disk, { occupied }) {
    const l1Entries = checkSize(disk.size);
    const l1Clusters = Math.max(1, Math.ceil((l1Entries * 8) / CLUSTER));
    const used: number[] = [];
    for (let i = 0; i < l1Entries; i++) if (occupied.any(i * ENTRIES, (i + 1) * ENTRIES)) used.push(i);
    const rest = 1 + l1Clusters + used.length + occupied.count;
    const { tables, blocks } = refcountsFor(rest);
    const l1At = (1 + tables + blocks) * CLUSTER;
    const l2At = l1At + l1Clusters * CLUSTER;
    const dataAt = l2At + used.length * CLUSTER;
    const total = rest + tables + blocks;
    const parts = new Parts();
    parts.bytes(header(disk.size, l1Entries, l1At, tables, CLUSTER, 0)).fill(CLUSTER);
    parts.bytes(pointers(tables * ENTRIES, (i) => (i < blocks ? (1 + tables + i) * CLUSTER : 0), 0));
    for (let block = 0; block < blocks; block++) {
      parts.table('refcounts', CLUSTER, (table) => refcounts(table, Math.min(COUNTS, total - block * COUNTS)));
    }
    const places = new Map(used.map((entry, i) => [entry, l2At + i * CLUSTER]));
    parts.bytes(pointers(l1Entries, (i) => places.get(i) ?? 0, COPIED)).fill(l2At);
    for (const entry of used) {
      parts.table('mapping', CLUSTER, (table) => {
        const view = viewOf(table);
        occupied.each(entry * ENTRIES, (entry + 1) * ENTRIES, (unit, index) => {
          put(view, (unit - entry * ENTRIES) * 8, dataAt + index * CLUSTER, COPIED);
        });
      });
    }
    parts.units(disk, occupied);
    return [{ suffix: '', source: parts.file() }];
  },
};

/** Clusters of the refcount table and of refcount blocks, which count themselves as well. */
function refcountsFor(rest: number): { tables: number; blocks: number } {
  let tables = 1;
  let blocks = 1;
  for (;;) {
    const wanted = Math.ceil((rest + tables + blocks) / COUNTS);
    const wide = Math.ceil(wanted / ENTRIES);
    if (wanted === blocks && wide === tables) return { tables, blocks };
    blocks = Math.max(blocks, wanted);
    tables = Math.max(tables, wide);
    if (wanted < blocks && wide <= tables) return { tables, blocks };
  }
}

/** Entries of the first-level table for a disk of `size` bytes. Throws RangeError where it would be too large. */
export function checkSize(size: number): number {
  const entries = Math.ceil(size / (CLUSTER * ENTRIES));
  if (entries * 8 > MAX_L1) throw new RangeError(`a disk of ${size} bytes is too large for QCOW2 with 64 KiB clusters`);
  return entries;
}

/** `compression`: 0 for deflate, which readers of all ages know, 1 for Zstandard. */
export function header(
  size: number,
  l1Entries: number,
  l1At: number,
  tables: number,
  tablesAt: number,
  compression: number,
): Uint8Array {
  const out = new Uint8Array(alignUp(HEADER + 8, 8));
  const view = viewOf(out);
  view.setUint32(0, 0x514649fb);
  view.setUint32(4, 3);
  view.setUint32(20, BITS);
  put(view, 24, size, 0);
  view.setUint32(36, l1Entries);
  put(view, 40, l1At, 0);
  put(view, 48, tablesAt, 0);
  view.setUint32(56, tables);
  if (compression !== 0) view.setUint32(76, 8); // only for readers that know the kind of compression
  view.setUint32(96, 4); // refcounts of 16 bits
  view.setUint32(100, HEADER);
  out[104] = compression;
  return out;
}

/** A table of pointers, 64 bits each, with a flag in those that lead somewhere. */
export function pointers(count: number, at: (i: number) => number, flag: number): Uint8Array {
  const out = new Uint8Array(count * 8);
  const view = viewOf(out);
  for (let i = 0; i < count; i++) {
    const value = at(i);
    if (value !== 0) put(view, i * 8, value, flag);
  }
  return out;
}

function refcounts(table: Uint8Array, count: number): void {
  for (let i = 0; i < count; i++) table[2 * i + 1] = 1;
}

/** A 64-bit big-endian number below 2 ** 53, with a flag in its highest bits. */
export function put(view: DataView, at: number, value: number, flag: number): void {
  view.setUint32(at, (Math.floor(value / 2 ** 32) | flag) >>> 0);
  view.setUint32(at + 4, value >>> 0);
}
