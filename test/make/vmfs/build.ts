import { dice, seeded } from '../content.ts';
import type { Content, Made, TruthFile } from '../types.ts';
import { LARGE, SB } from './address.ts';
import { Cursor } from './allocate.ts';
import { affinity, descriptorBytes, tableBytes, trimmed } from './descriptor.ts';
import { type Dirent, directory6, directory35, direntPlace } from './directory.ts';
import { type Identity, identityOf } from './identity.ts';
import { Growth, planLayout, startOf, takeLarge, takeSubBlocks } from './layout.ts';
import { LOCK, type Locker, lockBlock } from './lock.ts';
import { putMetadata } from './metadata.ts';
import { ResourceFile, SystemFile } from './resource.ts';
import { isSmall, LFB, MIB, PE, type Shape, shapeOf } from './shape.ts';
import type { StoreSpec } from './spec.ts';
import { type Ground, layGround, type Need, takeTables } from './system.ts';
import { buildTree, type Item } from './tree.ts';
import { type Stretch, stretches, truthOf } from './truth.ts';
import { Volume } from './volume.ts';

const DEFAULT_TIME = 1_700_000_000;
const ROOT_BUCKET = 0x3e66; // fixed buckets of the system files in the VMFS6 root (vmfs.md 5.2)

/** A store while it is being made. */
export interface Store {
  spec: StoreSpec;
  shape: Shape;
  time: number;
  identity: Identity;
  locker: Locker;
  beatSlot: number;
  volume: Volume;
  items: Item[];
  directories: Map<Item, Uint8Array>;
  ground: Ground;
  files: { fdc: ResourceFile; sbc: ResourceFile; pbc: ResourceFile; pb2: ResourceFile | undefined };
  where: Map<Item, Stretch[]>;
  all: boolean;
  roll: (below: number) => number;
}

function isDirectory(item: Item): boolean {
  return item.kind === 'directory' || item.path === '/.sdd.sf';
}

function direntOf(item: Item, name: Uint8Array): Dirent {
  return { type: item.type, address: item.address, generation: item.generation, name };
}

function directoryBytes(shape: Shape, items: Item[]): Map<Item, Uint8Array> {
  const made = new Map<Item, Uint8Array>();
  const dot = Uint8Array.of(0x2e);
  const dots = Uint8Array.of(0x2e, 0x2e);
  for (const item of items) {
    if (!isDirectory(item)) continue;
    const self = direntOf(item, dot);
    const parent = direntOf(item.parent!, dots);
    const entries = item.children.map((child): Dirent => {
      const entry = direntOf(child, child.name);
      return child.kind === 'system' ? { ...entry, bucket: ROOT_BUCKET + child.number - 1 } : entry;
    });
    const six = shape.version === 6;
    const bytes = six ? directory6(self, parent, entries, item.number === 0) : directory35([self, parent, ...entries]);
    item.size = bytes.length;
    made.set(item, bytes);
  }
  return made;
}

function needs(items: readonly Item[], users: readonly Item[]): Need {
  const need = { descriptors: items.at(-1)!.number + 1, sub: 0, tables: 0, tables2: 0 };
  for (const item of users) {
    if (item.layout.allocation === 'sub-block') need.sub += item.layout.wants.reduce((n, w) => n + w.count, 0);
    for (const { target } of item.layout.tables) {
      if (target.type === SB) need.sub++;
      else if (target.type === 5) need.tables2++;
      else need.tables++;
    }
  }
  return need;
}

/** Takes blocks for user files: large blocks first, placed files next, then the rest in order or in turns. */
function takeBlocks(store: Store, users: readonly Item[]): void {
  const { ground, spec, shape } = store;
  const { blocks } = ground;
  const mapped = users.filter((i) => ['direct', 'indirect', 'double'].includes(i.layout.allocation));
  for (const item of users) {
    if (item.layout.allocation === 'sub-block') takeSubBlocks(item, ground.sbc, affinity(item));
    takeTables(ground, item, affinity(item));
  }
  const large = mapped.filter((i) => i.force === 'lfb' || i.force === 'lfb-direct');
  if (large.length > 0 && shape.version !== 6) throw new Error('only VMFS6 has large blocks');
  for (const item of large)
    takeLarge(item, blocks, item.place === undefined ? 2 : Math.floor(startOf(item, blocks) / 512));
  const small = mapped.filter((i) => !large.includes(i));
  const growths: Growth[] = [];
  const shared = new Cursor(blocks, 0);
  for (const item of small) {
    const start = item.place === undefined ? undefined : startOf(item, blocks);
    const growth = new Growth(item, start === undefined ? shared : new Cursor(blocks, start));
    if (start !== undefined) while (growth.grow(4096));
    else growths.push(growth);
  }
  if (spec.allocation !== 'interleaved') {
    for (const growth of growths) while (growth.grow(4096));
    return;
  }
  let live = growths;
  while (live.length > 0) live = live.filter((growth) => growth.grow(1 + store.roll(9)));
}

function putDirectory(store: Store, item: Item, bytes: Uint8Array): void {
  const sub = item.layout.allocation === 'sub-block';
  for (const [i, s] of store.where.get(item)!.entries()) {
    store.volume.put(s.at, bytes.subarray(s.offset, s.offset + s.length), `dir:${item.path}${i === 0 ? '' : `#${i}`}`);
    // A sub-block is only cleared sector by sector: what follows the last entry is stale (vmfs.md 9.3).
    const end = s.offset + s.length;
    if (sub && end === item.size) putStale(store, s.at + s.length, tail(end, 512));
  }
  for (const [i, child] of item.children.entries()) {
    const { offset, length } = direntPlace(store.shape.version === 6, i);
    namePart(store, item, offset, length, `dirent:${child.path}`);
  }
}

/** Records a part of a file as a structure; an entry of VMFS3/5 may cross from one sub-block into the next. */
function namePart(store: Store, item: Item, offset: number, length: number, name: string): void {
  for (const s of store.where.get(item)!) {
    const from = Math.max(offset, s.offset);
    const end = Math.min(offset + length, s.offset + s.length);
    if (from < end) store.volume.name(name, s.at + (from - s.offset), end - from);
  }
}

function tail(end: number, unit: number): number {
  return Math.ceil(end / unit) * unit - end;
}

function putStale(store: Store, at: number, length: number): void {
  if (length <= 0) return;
  const stale = seeded(store.spec.seed ^ 0x57a1e ^ at, length).read(0, length);
  store.volume.put(at, stale);
}

/** File bytes, stale bytes behind the end, and stale foreign bytes in blocks that are still to be zeroed. */
function putData(store: Store, item: Item, content: Content): void {
  const { volume, spec } = store;
  for (const s of store.where.get(item)!) {
    const end = s.offset + s.length;
    if (s.kind === 'data') volume.lazy(s.at, s.length, (offset, length) => content.read(s.offset + offset, length));
    else {
      const foreign = seeded(spec.seed ^ 0xf0e16, s.length);
      const stale = s.length > 64 * MIB ? 4096 : 65536;
      for (let at = 0; at < s.length; at += MIB) {
        volume.lazy(s.at + at, Math.min(stale, s.length - at), (offset, length) => foreign.read(at + offset, length));
      }
    }
    if (end === item.size) putStale(store, s.at + s.length, item.layout.unit === LFB ? 0 : staleLength(item, end));
  }
}

/** A sub-block's tail is stale to the next 4 KiB at least; a file block's for some more sectors. */
function staleLength(item: Item, end: number): number {
  const room = tail(end, item.layout.unit);
  return Math.min(room, tail(end, 4096) + (item.layout.unit <= 0x2000 ? 0x2000 : 0));
}

function putUserFile(store: Store, item: Item): void {
  const { shape, volume, files } = store;
  for (let i = 0; i < item.layout.tables.length; i++) {
    const { target } = item.layout.tables[i]!;
    const file = target.type === SB ? files.sbc : target.type === 3 ? files.pbc : files.pb2!;
    file.file.put(file.offset(target.index), tableBytes(shape, item, i), `pb:${item.path}#${i}`);
  }
  const directory = store.directories.get(item);
  if (directory !== undefined) putDirectory(store, item, directory);
  else if (item.layout.allocation !== 'inline' && item.content !== undefined) putData(store, item, item.content);
  if (directory !== undefined || item.layout.allocation !== 'sub-block') return;
  for (const [i, s] of store.where.get(item)!.entries()) volume.name(`sb:${item.path}#${i}`, s.at, s.length);
}

/** Writes the lock and the metadata of one descriptor; gives back the metadata for the journal. */
export function putDescriptor(store: Store, item: Item): { at: number; lock: Uint8Array; meta: Uint8Array } {
  const { shape, files, volume } = store;
  const offset = files.fdc.offset(item.number);
  const at = files.fdc.file.at(offset);
  const lock = lockBlock(LOCK.fd, at, item.kind === 'system' ? store.roll(3) : 1 + store.roll(7), store.locker).data;
  const meta = descriptorBytes(shape, item);
  const gap = shape.version === 6 ? shape.md : 0x200;
  volume.put(at, lock);
  if (shape.version === 6) {
    const split = shape.pointersAt - gap;
    volume.put(at + gap, trimmed(meta.subarray(0, split)));
    const pointers = trimmed(meta.subarray(split));
    if (pointers.length > 0) volume.put(at + shape.pointersAt, pointers);
  } else volume.put(at + gap, meta);
  volume.name(`fd/0x${item.address.toString(16).padStart(8, '0')}`, at, shape.fdSize);
  return { at, lock, meta };
}

function resourceFiles(shape: Shape, items: Item[], volume: Volume, ground: Ground): Store['files'] {
  const at = (n: number) => new SystemFile(items[n]!, volume);
  return {
    fdc: new ResourceFile(shape, at(2), 'fdc', LOCK.fdc, shape.fdc, ground.fdc),
    pbc: new ResourceFile(shape, at(3), 'pbc', LOCK.pb, shape.pbc, ground.pbc),
    sbc: new ResourceFile(shape, at(4), 'sbc', LOCK.sb, shape.sbc, ground.sbc),
    pb2: shape.version === 3 ? undefined : new ResourceFile(shape, at(6), 'pb2', LOCK.pb2, shape.pb2, ground.pb2),
  };
}

/** Makes a store of any version. */
export function build(spec: StoreSpec, version: 3 | 5 | 6): Made {
  const shape = shapeOf(spec, version);
  const time = spec.time ?? DEFAULT_TIME;
  const identity = identityOf(spec.seed, time, spec.members.length);
  const volume = new Volume(spec, version, identity, time);
  const items = buildTree(spec, shape, time);
  const directories = directoryBytes(shape, items);
  const users = items.filter((i) => i.kind !== 'system' && i.number !== 0);
  for (const item of users) item.layout = planLayout(shape, item, false);
  const systems = items.filter((i) => i.kind === 'system' || i.number === 0);
  const ground = layGround(shape, spec, systems, volume.size, needs(items, users));
  for (const item of systems) takeTables(ground, item, item.address);
  for (const item of users) ground.fdc.take(item.parent!.address);
  const roll = dice(spec.seed ^ 0x10c);
  const beatSlot = roll(version === 6 ? 1024 : 2048);
  const heartbeat = 0x300000 + beatSlot * shape.md;
  const locker = { heartbeat, generation: 2 + roll(40), counter: 0x180 + roll(64) };
  const files = resourceFiles(shape, items, volume, ground);
  const all = isSmall(shape, volume.size);
  const where = new Map<Item, Stretch[]>();
  const store: Store = {
    spec,
    shape,
    time,
    identity,
    locker,
    beatSlot,
    volume,
    items,
    directories,
    ground,
    files,
    where,
    all,
    roll,
  };
  takeBlocks(store, users);
  for (const item of items) where.set(item, stretches(shape, item, files.sbc));
  const whole = new Set(users.flatMap((i) => i.layout.runs.filter((r) => r.type === LARGE).map((r) => r.index)));
  putMetadata(store, whole);
  for (const item of items) putUserFile(store, item);
  const label = spec.label ?? 'datastore1';
  const inlineAt = (item: Item) => files.fdc.file.at(files.fdc.offset(item.number)) + shape.inlineAt;
  const truthFiles: TruthFile[] = items.map((item) => truthOf(volume, item, where.get(item)!, inlineAt(item)));
  const name = spec.name ?? `vmfs${version}-${spec.seed}`;
  const texts = { lvUuid: identity.lv.text, fsUuid: identity.fs.text };
  if (volume.size % PE !== 0) throw new Error('a volume is whole physical extents');
  return volume.made(name, { version, label, ...texts, blockSize: shape.blockSize, files: truthFiles });
}

/** A VMFS3 4.31 datastore. */
export function makeVmfs3(spec: StoreSpec): Made {
  return build(spec, 3);
}

/** A VMFS5 14.81 datastore, or 14.61 if `upgraded`. */
export function makeVmfs5(spec: StoreSpec): Made {
  return build(spec, 5);
}

/** A VMFS6 24.82 datastore. */
export function makeVmfs6(spec: StoreSpec): Made {
  return build(spec, 6);
}
