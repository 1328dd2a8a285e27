import { SB } from './address.ts';
import { Pool } from './allocate.ts';
import { putDescriptor, type Store } from './build.ts';
import { type ClusterContext, putBlockMap6, putBlockMap35, putResourceFile } from './clusters.ts';
import { affinity } from './descriptor.ts';
import { direntPlace } from './directory.ts';
import { type AfterImage, fsHeader, journal35, putHeartbeats, putJournal6 } from './head.ts';
import { LOCK } from './lock.ts';
import { ResourceFile, resourceHeader, SystemFile } from './resource.ts';
import { MIB } from './shape.ts';
import type { Item } from './tree.ts';

const FS_HEADER = 0x200000;

function issuedIn(store: Store): (cluster: number) => number {
  const last = new Map<number, number>();
  const per = store.shape.fdc.perCluster;
  for (const item of store.items) {
    const cluster = Math.floor(item.number / per);
    last.set(cluster, Math.max(last.get(cluster) ?? 0, item.generation));
  }
  return (cluster) => last.get(cluster) ?? 0;
}

/** Blocks that each FD owns in each SFB cluster (vmfs.md 6.2). Large blocks are not split, so they do not count. */
function ownersOf(store: Store): (cluster: number) => Map<number, number> {
  const per = store.shape.fbPerCluster;
  const owners = new Map<number, Map<number, number>>();
  for (const item of store.items) {
    const fd = item.kind === 'file' ? affinity(item) : item.address;
    for (const run of item.layout.runs) {
      if (run.type !== 1) continue;
      for (let b = run.index; b < run.index + run.count; ) {
        const cluster = Math.floor(b / per);
        const end = Math.min(run.index + run.count, (cluster + 1) * per);
        const counts = owners.get(cluster) ?? new Map<number, number>();
        owners.set(cluster, counts.set(fd, (counts.get(fd) ?? 0) + end - b));
        b = end;
      }
    }
  }
  return (cluster) => owners.get(cluster) ?? new Map();
}

type Descriptor = ReturnType<typeof putDescriptor>;

/**
 * The last transaction, "create the newest file", as the host left it in the journal: cluster metadata, file bytes
 * in a sub-block, the FD's lock and metadata, and the directory's sectors (vmfs.md 7.2).
 */
function lastImages(store: Store, cx: ClusterContext, item: Item, fd: Descriptor): AfterImage[] {
  const { fdc, sbc } = store.files;
  const images: AfterImage[] = [];
  const cluster = (name: string, kind: number) => {
    const meta = cx.written.get(name);
    if (meta !== undefined) images.push({ kind, ...meta, name });
  };
  cluster(`fdc.cluster/${Math.floor(item.number / fdc.geometry.perCluster)}`, 1);
  const sub = item.layout.runs.find((r) => r.type === SB);
  if (sub !== undefined) {
    cluster(`sbc.cluster/${Math.floor(sub.index / sbc.geometry.perCluster)}`, 2);
    const [first] = store.where.get(item)!;
    const bytes = item.content?.read(0, Math.min(512, item.size));
    if (first !== undefined && bytes !== undefined)
      images.push({ kind: 0, at: first.at, bytes, name: `sb:${item.path}` });
  }
  const name = `fd/0x${item.address.toString(16).padStart(8, '0')}`;
  images.push({ kind: 0, at: fd.at, bytes: fd.lock, name: `${name}.lock` });
  images.push({ kind: 0, at: fd.at + 0x200, bytes: fd.meta, name });
  const parent = item.parent!;
  const bytes = store.directories.get(parent)!;
  const from = Math.floor(direntPlace(false, parent.children.indexOf(item)).offset / 512) * 512;
  const place = store.where.get(parent)!.find((s) => from >= s.offset && from < s.offset + s.length);
  if (place !== undefined) {
    const end = Math.min(from + 1024, place.offset + place.length);
    const at = place.at + (from - place.offset);
    images.push({ kind: 0, at, bytes: bytes.slice(from, end), name: `dir:${parent.path}` });
  }
  return images;
}

function putJournal(store: Store, cx: ClusterContext, newest: Item | undefined, fd: Descriptor | undefined): void {
  const { shape, volume, ground, items } = store;
  if (shape.version === 6) {
    const geometry = { perCluster: 8, perGroup: 4, size: 2 * MIB };
    const pool = new Pool(ground.journalBlocks, 8);
    if (store.spec.mounted) pool.take();
    const jbc = new ResourceFile(shape, new SystemFile(items[8]!, volume), 'jbc', LOCK.jb, geometry, pool);
    putResourceFile(cx, jbc, 0);
    putJournal6(volume, jbc.file.at(jbc.offset(0)));
    beat(store, 6, jbc.file.at(jbc.offset(0)));
    return;
  }
  const at = ground.journal * shape.blockSize;
  if (newest !== undefined && fd !== undefined) {
    const { bytes, records } = journal35(lastImages(store, cx, newest, fd));
    volume.put(at, bytes);
    for (const r of records) volume.name(`journal:${r.name}`, at + r.at, r.length);
  }
  volume.name('journal', at, Math.min(MIB, shape.blockSize));
  beat(store, ground.journal * 64 + 1, at);
}

function beat(store: Store, journalAddress: number, journalAt: number): void {
  const mounted = store.spec.mounted === true;
  const used = { slot: store.beatSlot, mounted, journalAddress, journalAt };
  putHeartbeats(store.volume, store.shape, store.identity, store.locker, used);
}

function context(store: Store): ClusterContext {
  const { shape, all, locker, identity, time } = store;
  return {
    shape,
    all,
    locker,
    identity,
    time,
    issued: issuedIn(store),
    blockOwners: ownersOf(store),
    written: new Map(),
  };
}

/** Writes all metadata but directories and pointer blocks: header, bitmaps, descriptors, heartbeats, journal. */
export function putMetadata(store: Store, whole: ReadonlySet<number>): void {
  const { shape, volume, files, items, identity } = store;
  const fdAt = (n: number) => files.fdc.file.at(files.fdc.offset(n));
  const header = fsHeader(shape, identity, store.spec.label ?? 'datastore1', store.time, fdAt);
  volume.put(FS_HEADER, header.data, 'fsd');
  const cx = context(store);
  const fbb = new SystemFile(items[1]!, volume);
  if (shape.version === 6) putBlockMap6(cx, fbb, store.ground.blocks, whole);
  else putBlockMap35(cx, fbb, store.ground.blocks);
  putResourceFile(cx, files.sbc);
  if (shape.version === 6) {
    files.pbc.file.put(0, resourceHeader(shape, shape.pbc, 0).data, 'pbc.header');
  } else putResourceFile(cx, files.pbc);
  if (files.pb2 !== undefined) putResourceFile(cx, files.pb2);
  let last: ReturnType<typeof putDescriptor> | undefined;
  for (const item of items) last = putDescriptor(store, item);
  putResourceFile(cx, files.fdc);
  const newest = items.at(-1)!;
  const user = newest.kind !== 'system' && newest.number !== 0;
  putJournal(store, cx, user ? newest : undefined, last);
}
