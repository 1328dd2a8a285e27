/** How a volume is put together: devices, the chunks that bootstrap it, then all chunks. */
import type { Cx } from '../../../core/format.ts';
import { data, missing, segments, slice } from '../../../core/map-source.ts';
import { NotThis } from '../../../core/node.ts';
import { INFERRED, STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { uuidText } from '../../disk/guid.ts';
import { Chunks, type Device } from './chunks.ts';
import { Nodes } from './nodes.ts';
import { CHUNK, CHUNK_TREE, KEY_BYTES, SUPER_PLACES } from './structs.ts';
import { readSuper, type Super } from './super.ts';
import { type Item, Tree } from './tree.ts';
import { Volume } from './volume.ts';

const LAST = Number.POSITIVE_INFINITY;
/** Bytes of system chunks that are looked through for lost nodes of the tree of chunks. */
const MAX_SEARCHED = 256 * 1024 * 1024;

interface Member {
  readonly super: Super;
  readonly source: Source;
  readonly locator: string;
}

/** Opens a volume from one of its devices. */
export async function openVolume(source: Source, cx: Cx): Promise<Volume> {
  const own = await readSuper(source);
  if (own === undefined) throw new NotThis('no btrfs superblock at 64 KiB, and no copy of one');
  const members = await gather({ super: own, source, locator: cx.source }, cx);
  const newest = [...members].sort((a, b) => b.super.block.generation - a.super.block.generation)[0].super;
  const devices = members.map((member) => deviceOf(member, newest.block.generation));
  const chunks = new Chunks(devices);
  const nodes = new Nodes(newest, chunks);
  const hasLog = newest.block.logRoot !== 0;
  const volume = new Volume(
    newest,
    devices,
    nodes,
    cx,
    newest.fault !== undefined ? 'btrfs.super' : hasLog ? 'btrfs.log' : undefined,
  );
  reportMembers(volume, members);
  bootstrap(volume, source);
  await readChunks(volume);
  if (volume.isForeign) {
    const effect = 'its files are listed, and their bytes are missing unless they stand beside their names';
    volume.damage.push(cx.damage(newest.at + 0xbc, 'btrfs.feature', 'features that are known', 'others', effect));
  }
  return volume;
}

/** All devices of the volume that are there; copies of one count once. */
async function gather(first: Member, cx: Cx): Promise<Member[]> {
  const out = [first];
  if (first.super.block.devices < 2) return out;
  for (const { source, locator } of await cx.siblings({ identity: `btrfs-${uuidText(first.super.block.fsid)}` })) {
    const found = await readSuper(source);
    if (found === undefined || found.uuid !== first.super.uuid) continue;
    if (out.some((one) => one.super.block.deviceId === found.block.deviceId)) continue;
    out.push({ super: found, source, locator });
  }
  return out;
}

function deviceOf({ super: own, source, locator }: Member, newest: number): Device {
  const { deviceId, deviceBytes, generation, deviceUuid } = own.block;
  const isStale = generation < newest;
  const what = `btrfs device ${deviceId}`;
  const lost: Why = { what, code: 'btrfs.cut-off' };
  const bytes = Number.isSafeInteger(deviceBytes) ? deviceBytes : source.size;
  const there = Math.min(bytes, source.size);
  // What only a device has that was away may be older than what was written last.
  const grade = isStale ? INFERRED : STATED;
  const why: Why = { what, source, at: own.at, ...(isStale && { code: 'btrfs.device-stale' }) };
  const whole =
    there < bytes
      ? segments([data(source, 0, there, grade, why), missing(bytes - there, lost)])
      : isStale
        ? slice(source, 0, source.size, grade, why)
        : source;
  return { id: deviceId, uuid: Buffer.from(deviceUuid).toString('hex'), source: whole, locator, isStale };
}

function reportMembers(volume: Volume, members: readonly Member[]): void {
  const { cx, devices, super: newest } = volume;
  if (newest.fault !== undefined) {
    const effect = newest.at === SUPER_PLACES[0] ? 'it is used all the same' : 'a copy of it is used';
    const all = `${effect}, and all of the volume is inferred`;
    volume.damage.push(cx.damage(SUPER_PLACES[0], 'btrfs.super', 'a superblock with its checksum', newest.fault, all));
  }
  const count = newest.block.devices;
  if (devices.length < count) {
    const effect = 'what lies only on the others is missing; give them as further sources';
    const expected = `${count} devices of volume ${uuidText(newest.block.fsid)}`;
    const actual = `device ${devices.map(({ id }) => id).join(', ')}`;
    volume.damage.push(cx.damage(SUPER_PLACES[0] + 0x88, 'btrfs.device-missing', expected, actual, effect));
  }
  for (const [i, { source, locator, super: own }] of members.entries()) {
    const { deviceBytes, generation } = own.block;
    if (deviceBytes > source.size && Number.isSafeInteger(deviceBytes)) {
      const effect = 'what lay behind its end is missing; look for the rest of the image';
      const one = cx.damage(source.size, 'btrfs.cut-off', `${deviceBytes} bytes`, `${source.size} bytes`, effect);
      volume.damage.push({ ...one, at: `${locator}@${source.size}` });
    }
    if (!devices[i].isStale) continue;
    const effect = 'what is read only from it is inferred';
    const expected = `generation ${newest.block.generation}`;
    const one = cx.damage(own.at + 0x48, 'btrfs.device-stale', expected, `generation ${generation}`, effect);
    volume.damage.push({ ...one, at: `${locator}@${own.at + 0x48}` });
  }
}

/** The chunks that the superblock itself lists: those of the tree of chunks. */
function bootstrap({ super: { block, at: superAt, fault }, chunks }: Volume, source: Source): void {
  const { array, arraySize } = block;
  const view = viewOf(array);
  for (let at = 0; at + KEY_BYTES < arraySize; ) {
    const size = Chunks.size(array.subarray(0, arraySize), at + KEY_BYTES);
    if (size === 0 || array[at + 8] !== CHUNK) return;
    const why: Why = { what: 'btrfs chunk in the superblock', source, at: superAt + 0x32b + at };
    const doubted = fault === undefined ? why : { ...why, code: 'btrfs.super' };
    chunks.add(readU64(view, at + 9), array, at + KEY_BYTES, fault === undefined ? STATED : INFERRED, doubted);
    at += KEY_BYTES + size;
  }
}

async function readChunks(volume: Volume): Promise<void> {
  const { super: first, nodes } = volume;
  const { chunkRoot, chunkGeneration, chunkLevel } = first.block;
  const root = { place: chunkRoot, generation: chunkGeneration, level: chunkLevel };
  const tree = new Tree(CHUNK_TREE, nodes, root, volume.doubt);
  let lost = 0;
  const found: Item[] = [];
  for await (const item of tree.items(
    { objectid: 256, type: CHUNK, offset: 0 },
    { objectid: 256, type: CHUNK, offset: LAST },
  )) {
    if ('lost' in item) lost = item.place || chunkRoot;
    else found.push(item);
  }
  for (const item of found) enter(volume, item, item.doubt);
  if (lost === 0) return;
  const count = volume.chunks.all.length;
  for (const item of await strayChunks(volume)) enter(volume, item, 'btrfs.chunk-tree');
  const actual = `none that can be read; ${volume.chunks.all.length - count} chunks were found without it`;
  const effect = 'what lies in chunks that are not known is missing, and what was found so is inferred';
  volume.note(lost, 'btrfs.chunk-tree', 'a node of the tree of chunks', actual, effect);
}

function enter({ chunks }: Volume, { node, at, size, offset }: Item, doubt: string | undefined): void {
  const why: Why = {
    what: 'btrfs chunk',
    source: node.source,
    at: node.at + at,
    ...(doubt !== undefined && { code: doubt }),
  };
  chunks.add(offset, node.bytes.subarray(0, at + size), at, doubt === undefined ? STATED : INFERRED, why);
}

/** Chunks in leaves of their tree that nothing leads to any more, the newest leaves first. */
async function strayChunks({ nodes, chunks, cx }: Volume): Promise<Item[]> {
  const leaves = [];
  let read = 0;
  for (const chunk of chunks.all) {
    for (let at = 0; at + nodes.size <= chunk.length && read < MAX_SEARCHED && !cx.signal.aborted; at += nodes.size) {
      read += nodes.size;
      for (const source of [chunk.best, ...chunk.others()]) {
        const node = await nodes.read(source, at, chunk.logical + at);
        if (node === undefined || node.doubt !== undefined) continue;
        if (node.level === 0 && node.owner === CHUNK_TREE) leaves.push(node);
        break;
      }
    }
  }
  leaves.sort((a, b) => b.generation - a.generation);
  const out: Item[] = [];
  for (const node of leaves) {
    const tree = new Tree(CHUNK_TREE, nodes, { place: node.place, generation: node.generation, level: 0 });
    for await (const item of tree.items(
      { objectid: 256, type: CHUNK, offset: 0 },
      { objectid: 256, type: CHUNK, offset: LAST },
    ))
      if (!('lost' in item)) out.push(item);
  }
  return out;
}
