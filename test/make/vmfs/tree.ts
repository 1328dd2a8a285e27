import { utf8 } from '../bytes.ts';
import { exactly } from '../content.ts';
import type { Allocation, Content, FileKind } from '../types.ts';
import { fdAddress, type Target } from './address.ts';
import type { Shape } from './shape.ts';
import type { EntrySpec, Force, Range, StoreSpec } from './spec.ts';

/** Slots of a file that want a block. */
export interface Want {
  slot: number;
  count: number;
  tbz: boolean;
}

/** Slots that have theirs: consecutive blocks or sub-blocks, or (type 7) all the same large block. */
export interface Run extends Want {
  type: number;
  index: number;
}

/** A pointer block; level 1 points at data, level 2 at level 1. `first` is the first slot below it. */
export interface Table {
  level: 1 | 2;
  first: number;
  target: Target;
}

export interface Layout {
  allocation: Allocation;
  zla: number;
  /** Bytes of one slot: file block, sub-block or large block. */
  unit: number;
  wants: Want[];
  runs: Run[];
  tables: Table[];
}

/** One file, directory or system file. */
export interface Item {
  path: string;
  name: Uint8Array;
  kind: FileKind;
  type: number;
  parent: Item | undefined;
  children: Item[];
  number: number;
  address: number;
  generation: number;
  links: number;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  ctime: number;
  atime: number;
  layout: Layout;
  content?: Content;
  ranges?: readonly Range[];
  target?: string;
  force?: Force;
  place?: number | 'end' | 'wrap';
  rawName?: Uint8Array;
}

const TYPE = { directory: 2, file: 3, symlink: 4, system: 5, rdm: 6 } as const;

const MODE = { directory: 0o755, file: 0o644, symlink: 0o777, rdm: 0o600 } as const;

/** System files by FD number (vmfs.md 2.1); VMFS3 has six, VMFS6 nine. */
export const SYSTEM = ['', 'fbb', 'fdc', 'pbc', 'sbc', 'vh', 'pb2', 'sdd', 'jbc'] as const;
const SYSTEM_COUNT = { 3: 6, 5: 8, 6: 9 } as const;

function emptyLayout(unit: number): Layout {
  return { allocation: 'none', zla: 1, unit, wants: [], runs: [], tables: [] };
}

function newItem(shape: Shape, path: string, kind: FileKind, time: number): Item {
  return {
    path,
    name: utf8(path.slice(path.lastIndexOf('/') + 1)),
    kind,
    type: TYPE[kind],
    parent: undefined,
    children: [],
    number: 0,
    address: 0,
    generation: 1,
    links: 1,
    size: 0,
    mode: 0o400,
    uid: 0,
    gid: 0,
    mtime: time,
    ctime: time,
    atime: time,
    layout: emptyLayout(shape.blockSize),
  };
}

function systemItems(shape: Shape, time: number): Item[] {
  const items: Item[] = [];
  for (let n = 0; n < SYSTEM_COUNT[shape.version]; n++) {
    const item = newItem(shape, n === 0 ? '/' : `/.${SYSTEM[n]}.sf`, n === 0 ? 'directory' : 'system', time);
    item.number = n;
    item.parent = items[0];
    if (n > 0) items[0]!.children.push(item);
    items.push(item);
  }
  items[0]!.mode = 0o1755;
  items[0]!.name = utf8('');
  items[0]!.parent = items[0];
  return items;
}

function contentOf(spec: EntrySpec): Content | undefined {
  if (spec.kind === 'symlink') return exactly(spec.target ?? '');
  const content = spec.content;
  if (content === undefined) return undefined;
  return typeof content === 'string' || content instanceof Uint8Array ? exactly(content) : content;
}

function fill(item: Item, spec: EntrySpec): void {
  if (spec.rawName !== undefined) {
    item.name = spec.rawName;
    item.rawName = spec.rawName;
  }
  if (item.name.length === 0 || item.name.length > 127) throw new Error(`names have 1 to 127 bytes: ${spec.path}`);
  const content = contentOf(spec);
  if (content !== undefined) item.content = content;
  item.size = spec.kind === 'symlink' ? content!.size : (spec.size ?? content?.size ?? 0);
  if (spec.target !== undefined) item.target = spec.target;
  if (spec.ranges !== undefined) item.ranges = spec.ranges;
  if (spec.force !== undefined) item.force = spec.force;
  if (spec.place !== undefined) item.place = spec.place;
  item.mode = spec.mode ?? MODE[spec.kind];
  item.uid = spec.uid ?? 0;
  item.gid = spec.gid ?? 0;
}

/** All files of a store, system files first, parents before children, with descriptor numbers and generations. */
export function buildTree(spec: StoreSpec, shape: Shape, time: number): Item[] {
  const items = systemItems(shape, time);
  const byPath = new Map<string, Item>([['/', items[0]!]]);
  const add = (path: string, kind: EntrySpec['kind']): Item => {
    if (byPath.has(path)) throw new Error(`two entries for ${path}`);
    const above = path.slice(0, path.lastIndexOf('/')) || '/';
    const parent = byPath.get(above) ?? add(above, 'directory');
    const item = newItem(shape, path, kind, time);
    item.parent = parent;
    if (kind === 'directory') item.mode = 0o755;
    parent.children.push(item);
    byPath.set(path, item);
    items.push(item);
    return item;
  };
  for (const [i, entry] of spec.entries.entries()) {
    const item = add(entry.path, entry.kind);
    fill(item, entry);
    const born = time + 60 + i;
    item.ctime = born;
    item.mtime = entry.mtime ?? born;
    item.atime = item.mtime + 3;
  }
  numberItems(items, shape);
  return items;
}

/** First descriptor of user files: the real VMFS3 starts in cluster 6, VMFS5 and VMFS6 right behind the system's. */
export function firstUserDescriptor(shape: Shape): number {
  return shape.version === 3 ? 6 * shape.fdc.perCluster : SYSTEM_COUNT[shape.version];
}

/** Generations count up in each FDC cluster on their own (vmfs.md 4.2). */
function numberItems(items: readonly Item[], shape: Shape): void {
  const per = shape.fdc.perCluster;
  const systems = SYSTEM_COUNT[shape.version];
  const issued = new Map<number, number>();
  for (const [i, item] of items.entries()) {
    if (i >= systems) {
      item.number = firstUserDescriptor(shape) + i - systems;
      const cluster = Math.floor(item.number / per);
      item.generation = (issued.get(cluster) ?? 0) + 1;
      issued.set(cluster, item.generation);
    }
    item.address = fdAddress(item.number, per);
    const directory = item.kind === 'directory' || item.path === '/.sdd.sf';
    if (directory) item.links = 2 + item.children.filter((c) => c.type === 2 || c.path === '/.sdd.sf').length;
  }
}
