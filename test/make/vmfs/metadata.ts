import { Pool } from './allocate.ts';
import { putDescriptor, type Store } from './build.ts';
import { type ClusterContext, putBlockMap6, putBlockMap35, putResourceFile } from './clusters.ts';
import { affinity } from './descriptor.ts';
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

/** The last transaction, "create the newest file", as the host left it in the journal. */
function lastImages(store: Store, item: Item, fd: { at: number; lock: Uint8Array; meta: Uint8Array }): AfterImage[] {
  const images: AfterImage[] = [
    { kind: 0, at: fd.at, bytes: fd.lock },
    { kind: 0, at: fd.at + 0x200, bytes: fd.meta },
  ];
  const parent = item.parent!;
  const bytes = store.directories.get(parent)!;
  const from = Math.floor(((parent.children.indexOf(item) + 2) * 0x8c) / 512) * 512;
  const place = store.where.get(parent)!.find((s) => from >= s.offset && from < s.offset + s.length);
  if (place !== undefined) {
    const end = Math.min(from + 1024, place.offset + place.length);
    images.push({ kind: 0, at: place.at + (from - place.offset), bytes: bytes.slice(from, end) });
  }
  return images;
}

function putJournal(store: Store, newest: Item | undefined, fd: ReturnType<typeof putDescriptor> | undefined): void {
  const { shape, volume, ground, items } = store;
  if (shape.version === 6) {
    const geometry = { perCluster: 8, perGroup: 4, size: 2 * MIB };
    const pool = new Pool(ground.journalBlocks, 8);
    if (store.spec.mounted) pool.take();
    const jbc = new ResourceFile(shape, new SystemFile(items[8]!, volume), 'jbc', LOCK.jb, geometry, pool);
    putResourceFile(context(store), jbc, 0);
    putJournal6(volume, jbc.file.at(jbc.offset(0)));
    beat(store, 6, jbc.file.at(jbc.offset(0)));
    return;
  }
  const at = ground.journal * shape.blockSize;
  if (newest !== undefined && fd !== undefined) volume.put(at, journal35(lastImages(store, newest, fd)));
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
  return { shape, all, locker, identity, time, issued: issuedIn(store), blockOwners: ownersOf(store) };
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
  putJournal(store, user ? newest : undefined, last);
}
