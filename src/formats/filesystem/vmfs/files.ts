/** Files and directories of a VMFS volume as nodes. */
import { type Damage, hex } from '../../../core/damage.ts';
import { MAX_DAMAGES } from '../../../core/limits.ts';
import { encodeName, printable } from '../../../core/locator.ts';
import type { Facts, Kind, Node } from '../../../core/node.ts';
import { RunList } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { latin1 } from '../../../core/struct.ts';
import { bare, childNamed, type Place, whyNotWalked } from '../posix.ts';
import { addressText, fdAddress } from './address.ts';
import { levelsOf } from './blocks.ts';
import { type Descriptor, type Doubt, isForeign, numberText } from './descriptor.ts';
import { type Entry, flatEntries } from './directory.ts';
import { hashedEntries } from './directory6.ts';
import { rootAt, rootOf } from './rebuild-root.ts';
import {
  scsiId,
  TYPE_DIRECTORY,
  TYPE_RDM,
  TYPE_REGULAR,
  TYPE_SYMLINK,
  TYPE_SYSTEM,
  ZLA_INLINE,
  ZLA_SUB_BLOCK,
} from './structs.ts';
import type { Volume } from './volume.ts';

const MODE_KIND = 0o170000;
const MODE_DIRECTORY = 0o040000;
/** Bytes of a link's text that are read. */
export const MAX_TARGET = 4096;
export const KINDS: Readonly<Record<number, Kind>> = {
  [TYPE_DIRECTORY]: 'directory',
  [TYPE_REGULAR]: 'file',
  [TYPE_SYMLINK]: 'symlink',
  [TYPE_SYSTEM]: 'system',
  [TYPE_RDM]: 'rdm',
};

const ROOT = fdAddress(0, 0);

/** The root directory of a volume; a node without children where its descriptor is lost. */
export async function rootNode(volume: Volume, locator: string, name: string): Promise<Node> {
  const fd = await rootOf(volume);
  const place: Place = { locator, rawName: name, above: [] };
  if (fd === undefined) {
    const effect = 'names and folders are lost; the files themselves may still be there';
    const expected = `the root directory's file descriptor ${addressText(ROOT)}`;
    const at = rootAt(volume.geometry);
    volume.damage.push(volume.cx.damage(at, 'vmfs.root', expected, 'an empty slot', effect));
    return { ...bare(place, 'filesystem'), damage: volume.damage };
  }
  return { ...fileNode(volume, fd, place, [], volume.damage), kind: 'filesystem' };
}

/** A promise only where something has to be read first: a page of descriptors, a link's text. */
function entryNode(volume: Volume, entry: Entry, place: Place, base: number): Node | Promise<Node> {
  const fd = volume.descriptor(entry.address);
  if (fd instanceof Promise) return fd.then((read) => describedNode(volume, entry, read, place, base));
  return describedNode(volume, entry, fd, place, base);
}

function describedNode(
  volume: Volume,
  entry: Entry,
  fd: Descriptor | undefined,
  place: Place,
  base: number,
): Node | Promise<Node> {
  // The size, the times and the blocks of something else are nothing to go by, not even as inferred.
  if (fd === undefined || isForeign(fd)) {
    const expected = `file descriptor ${addressText(entry.address)}`;
    const effect = `${printable(entry.name)} is known by name only; its bytes are missing`;
    const actual = fd === undefined ? 'an empty or absent slot' : foreignText(fd);
    const damage = volume.cx.damage(base + entry.at, 'vmfs.fd.missing', expected, actual, effect);
    return { ...bare(place, KINDS[entry.type] ?? 'file'), damage: [damage] };
  }
  const doubts: Doubt[] = [];
  if (fd.generation !== entry.generation) {
    const expected = `generation ${entry.generation}, as its directory entry says`;
    const at = fd.at + volume.geometry.lockBytes + 4;
    doubts.push({ at, code: 'vmfs.fd.generation', expected, actual: String(fd.generation) });
  }
  if (fd.type !== entry.type) {
    const expected = `type ${entry.type}, as its directory entry says`;
    const at = fd.at + volume.geometry.lockBytes + 12;
    doubts.push({ at, code: 'vmfs.fd.type', expected, actual: numberText(fd.type) });
  }
  const node = fileNode(volume, fd, place, doubts);
  if (node.kind !== 'symlink' && node.kind !== 'rdm') return node;
  return withContent(volume, fd, node);
}

/** What stands where a descriptor should be: another one, or bytes that were never one. */
function foreignText(fd: Descriptor): string {
  const what = KINDS[fd.type] === undefined ? 'other bytes' : `what calls itself ${addressText(fd.address)}`;
  return `${what} at ${hex(fd.at)} of the volume`;
}

/** Links and device mappings are told by what is in them. */
async function withContent(volume: Volume, fd: Descriptor, node: Node): Promise<Node> {
  if (node.kind === 'symlink') return { ...node, facts: { ...node.facts, target: await targetOf(volume, fd) } };
  const details = { ...node.facts.details, ...(await lunOf(fd, volume.geometry.inlineAt)) };
  return { ...node, facts: { ...node.facts, details } };
}

function fileNode(
  volume: Volume,
  fd: Descriptor,
  place: Place,
  entryDoubts: readonly Doubt[],
  damage: Damage[] = [],
): Node {
  for (const doubts of [fd.doubts, entryDoubts]) {
    for (const doubt of doubts) damage.push(volume.note(doubt, 'what it leads to is inferred, not stated'));
  }
  const isDirectory = fd.type === TYPE_DIRECTORY || (fd.mode & MODE_KIND) === MODE_DIRECTORY;
  const kind: Kind = isDirectory && fd.type !== TYPE_SYSTEM ? 'directory' : (KINDS[fd.type] ?? 'file');
  const node = bare(place, kind, factsOf(fd), damage);
  if (fd.type === TYPE_RDM) return node;
  // System files lead to the tables that the census itself reads, and directories are read by the thousand.
  const checked = kind === 'file' || kind === 'symlink';
  const doubted = entryDoubts.length > 0;
  const bytes = async () => volume.source(fd, doubted, checked ? await volume.census() : undefined);
  node.bytes = bytes;
  if (!isDirectory) return node;
  const children = (only?: string) => childrenOf(volume, fd, place, damage, only);
  return { ...node, children: () => children(), child: (rawName) => childNamed(children(rawName), rawName) };
}

/** What a descriptor says of its file, whether it lives or not. */
export function factsOf(fd: Descriptor): Facts {
  const details: Record<string, string | number | boolean> = {
    descriptor: addressText(fd.address),
    generation: fd.generation,
    allocation: allocationOf(fd),
    blocks: fd.blocks,
    blockSize: fd.unit,
  };
  if (fd.toBeZeroed > 0) details.toBeZeroed = fd.toBeZeroed;
  return {
    size: Number.isFinite(fd.length) ? fd.length : 0,
    mode: fd.mode & 0o7777,
    uid: fd.uid,
    gid: fd.gid,
    links: fd.links,
    modified: fd.modified,
    changed: fd.changed,
    accessed: fd.accessed,
    details,
  };
}

function allocationOf(fd: Descriptor): string {
  if (fd.type === TYPE_RDM) return 'raw device';
  if (fd.zla === ZLA_INLINE) return 'inline';
  if (fd.zla === ZLA_SUB_BLOCK) return 'sub-blocks';
  const levels = levelsOf(fd.zla);
  return levels === undefined ? `unknown (${fd.zla})` : ['blocks', 'pointer blocks', 'double pointer blocks'][levels];
}

async function lunOf(fd: Descriptor, inlineAt: number): Promise<Record<string, string | number>> {
  const block = new Uint8Array(scsiId.size);
  await fd.source.read(fd.sourceAt + inlineAt, block);
  const { lun, vendor, model, id } = scsiId.decode(block);
  return { lun, device: printable(id), vendor: printable(vendor.trim()), model: printable(model.trim()) };
}

async function targetOf(volume: Volume, fd: Descriptor): Promise<string> {
  const source = volume.source(fd, false);
  const block = new Uint8Array(Math.min(source.size, MAX_TARGET));
  await source.read(0, block);
  return latin1(block, 0, block.length);
}

/** The nodes of a directory, or of the one entry that is asked for: the descriptors of all others stay unread. */
async function* childrenOf(
  volume: Volume,
  fd: Descriptor,
  place: Place,
  damage: Damage[],
  only?: string,
): AsyncGenerator<Node> {
  const above = [...place.above, fd.address];
  const source = volume.source(fd, false);
  const window = await firstPlace(volume, source);
  const effect = 'entries of this directory may be missing or wrong';
  const report = (doubt: Doubt): void => {
    if (damage.length >= MAX_DAMAGES) return;
    const note = volume.note({ ...doubt, at: window + doubt.at }, effect);
    // A directory is listed more than once; what is wrong with it is said once.
    if (!damage.some((known) => known.at === note.at && known.code === note.code)) damage.push(note);
  };
  const refusal = whyNotWalked(
    'vmfs.directory',
    fd.address,
    place,
    volume.directories,
    `descriptor ${addressText(fd.address)} again`,
  );
  if (refusal !== undefined) {
    report({ at: 0, ...refusal });
    return;
  }
  const six = volume.geometry.version === 6;
  const lists = six ? hashedEntries(source, volume.geometry.lockBytes, report) : flatEntries(source, report);
  const names = new Map<string, number>();
  for await (const entries of lists) {
    for (const entry of entries) {
      const before = names.get(entry.name) ?? 0;
      names.set(entry.name, before + 1);
      const rawName = before === 0 ? entry.name : `${entry.name};${before + 1}`;
      if (only !== undefined && rawName !== only) continue;
      const locator = `${place.locator}/${encodeName(rawName)}`;
      const node = entryNode(volume, entry, { locator, rawName, above }, window);
      yield node instanceof Promise ? await node : node;
    }
  }
}

/** Where a directory's first byte lies in the volume, so that what is said of it has a position. */
async function firstPlace(volume: Volume, directory: Source): Promise<number> {
  let source = directory;
  let at = 0;
  const list = new RunList(1);
  // Through the sub-block file, and through the pointers of that, at most.
  for (let layer = 0; layer < 4 && source !== volume.volume && at < source.size; layer++) {
    list.clear();
    await source.runs(at, Math.min(source.size, at + 1), list);
    const lower = list.n === 0 ? undefined : list.sourceOf(0);
    if (lower === undefined) return 0;
    source = lower;
    at = list.at[0];
  }
  return source === volume.volume ? at : 0;
}
