import { Bytes } from '../bytes.ts';
import { Blocks, type Pool } from './allocate.ts';
import { G0, type Geometry, type Shape } from './shape.ts';
import type { Item } from './tree.ts';
import type { Volume } from './volume.ts';

/** A system file as bytes: reads and writes go through its own block list. */
export class SystemFile {
  readonly item: Item;
  readonly #volume: Volume;

  constructor(item: Item, volume: Volume) {
    this.item = item;
    this.#volume = volume;
  }

  /** Volume stretches of [offset, offset + length), joined where they are contiguous. */
  spans(offset: number, length: number): { at: number; length: number }[] {
    const { runs, unit } = this.item.layout;
    const out: { at: number; length: number }[] = [];
    let from = offset;
    for (const run of runs) {
      const start = run.slot * unit;
      const end = start + run.count * unit;
      if (from >= end) continue;
      if (from >= offset + length) break;
      const take = Math.min(end, offset + length) - from;
      const at = run.index * unit + (from - start);
      const last = out.at(-1);
      if (last !== undefined && last.at + last.length === at) last.length += take;
      else out.push({ at, length: take });
      from += take;
    }
    if (from < offset + length) throw new Error(`${this.item.path} ends before ${offset + length}`);
    return out;
  }

  at(offset: number): number {
    return this.spans(offset, 1)[0]!.at;
  }

  /** Records a structure of this file by its volume place. */
  record(name: string, at: number, length: number): void {
    this.#volume.name(name, at, length);
  }

  put(offset: number, bytes: Uint8Array, name?: string): void {
    let done = 0;
    for (const span of this.spans(offset, bytes.length)) {
      this.#volume.put(span.at, bytes.subarray(done, done + span.length), name);
      done += span.length;
    }
  }
}

/** Bytes of one cluster group: headers, then the resources (vmfs.md 6.1). */
export function groupSize(shape: Shape, g: Geometry): number {
  return g.perGroup * shape.header + g.perGroup * g.perCluster * g.size;
}

/** File length for `count` resources: the last group is cut behind its last resource (vmfs.md 6.1). */
export function resourceLength(shape: Shape, g: Geometry, count: number): number {
  const inGroup = g.perGroup * g.perCluster;
  const groups = Math.max(1, Math.ceil(count / inGroup));
  if (g.size === 0) return G0 + groups * groupSize(shape, g);
  return (
    G0 + (groups - 1) * groupSize(shape, g) + g.perGroup * shape.header + (count - (groups - 1) * inGroup) * g.size
  );
}

/** A resource file: where its clusters' headers and its resources lie (vmfs.md 6.2, 6.3). */
export class ResourceFile {
  readonly file: SystemFile;
  readonly name: string;
  readonly lock: number;
  readonly pool: Pool;
  readonly geometry: Geometry;
  readonly #shape: Shape;

  constructor(shape: Shape, file: SystemFile, name: string, lock: number, geometry: Geometry, pool: Pool) {
    this.#shape = shape;
    this.file = file;
    this.name = name;
    this.lock = lock;
    this.geometry = geometry;
    this.pool = pool;
  }

  headerOffset(cluster: number): number {
    const g = this.geometry;
    const group = Math.floor(cluster / g.perGroup);
    return G0 + group * groupSize(this.#shape, g) + (cluster % g.perGroup) * this.#shape.header;
  }

  /** Offset of a resource in the file. */
  offset(index: number): number {
    const g = this.geometry;
    const cluster = Math.floor(index / g.perCluster);
    const group = Math.floor(cluster / g.perGroup);
    const inGroup = index - group * g.perGroup * g.perCluster;
    return G0 + group * groupSize(this.#shape, g) + g.perGroup * this.#shape.header + inGroup * g.size;
  }

  spans(index: number): { at: number; length: number }[] {
    return this.file.spans(this.offset(index), this.geometry.size);
  }
}

/** Resource-file header; VMFS6 adds signature, flags and affinity slots (vmfs.md 6.1). */
export function resourceHeader(shape: Shape, g: Geometry, count: number, flags = 4): Bytes {
  const inGroup = g.perGroup * g.perCluster;
  const groups = inGroup === 0 ? 0 : Math.ceil(count / inGroup);
  const b = new Bytes(512).u32(0, g.perCluster).u32(4, g.perGroup).u32(8, G0).u32(12, g.size);
  b.u32(16, g.perCluster === 0 ? G0 : groupSize(shape, g));
  b.u32(20, count >>> 0)
    .u32(24, groups)
    .u32(28, Math.floor(count / 0x1_0000_0000));
  if (shape.version === 6) {
    b.text(0x20, 'dmfr').u32(0x24, 1).u32(0x28, flags).u16(0x2c, g.perCluster).u16(0x2e, 1).u32(0x30, 1);
  }
  return b;
}

/** Clusters whose header is written: all of a small volume, else those in use and the first and last. */
export function writtenClusters(all: boolean, source: Pool | Blocks): number[] {
  const blocks = source instanceof Blocks;
  const count = blocks ? Math.ceil(source.total / source.perCluster) : source.clusters();
  if (all) return Array.from({ length: count }, (_, i) => i);
  const used = blocks ? source.clusters() : source.usedClusters();
  const set = new Set(count > 0 ? [0, ...used, count - 1] : []);
  return [...set].sort((a, b) => a - b);
}
