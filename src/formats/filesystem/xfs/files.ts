/** Files and directories of an XFS volume as nodes. */
import { crc32c } from '../../../codec/crc32c.ts';
import type { Damage } from '../../../core/damage.ts';
import { MAX_DAMAGES, MAX_ENTRIES } from '../../../core/limits.ts';
import { encodeName, printable } from '../../../core/locator.ts';
import { MapSource } from '../../../core/map-source.ts';
import type { Facts, Node } from '../../../core/node.ts';
import { latin1, viewOf } from '../../../core/struct.ts';
import {
  bare,
  childNamed,
  type Doubt,
  ENTRY_TYPES,
  kindOf,
  type Place,
  SPECIAL,
  TYPE_DIRECTORY,
  TYPE_SYMLINK,
  whyNotWalked,
} from '../posix.ts';
import { type Entry, entriesIn, shortEntries } from './directory.ts';
import type { Inode } from './inodes.ts';
import { DIRECTORY_CRC_AT, directoryBlock, FORM_BTREE, FORM_EXTENTS, FORM_LOCAL, INDEX_AT } from './structs.ts';
import type { Volume } from './volume.ts';

const ORPHAN = 'xfs.orphan';
const FORMS: readonly string[] = ['device', 'inline', 'extents', 'extent tree'];

/** The root directory; a node without children where its inode is lost. */
export async function rootNode(volume: Volume, locator: string, name: string): Promise<Node> {
  const place: Place = { locator, rawName: name, above: [] };
  const number = volume.geometry.super.rootInode;
  const inode = await volume.inodes.get(number);
  if (inode === undefined || inode.type !== TYPE_DIRECTORY) {
    const effect = 'the files that are left are in +orphan, by the folders and names that are left';
    volume.damage.push(volume.cx.damage(56, 'xfs.root', `a directory in inode ${number}`, 'none', effect));
    return { ...bare(place, 'filesystem'), damage: volume.damage };
  }
  return { ...inodeNode(volume, inode, place, [], await linkOf(volume, inode), volume.damage), kind: 'filesystem' };
}

async function entryNode(volume: Volume, entry: Entry, place: Place): Promise<Node> {
  const inode = await volume.inodes.get(entry.inode);
  const type = ENTRY_TYPES[entry.type] ?? 0;
  if (inode === undefined || inode.type === 0) {
    const effect = `${printable(entry.name)} is known by name only; its bytes are missing`;
    const actual = inode === undefined ? 'none that can be read' : 'a free one';
    const damage = volume.cx.damage(entry.at, 'xfs.inode.missing', `inode ${entry.inode}`, actual, effect);
    return { ...bare(place, kindOf(type)), damage: [damage] };
  }
  const doubts: Doubt[] = [];
  if (type !== 0 && type !== inode.type) {
    const expected = `type ${type}, as its directory entry says`;
    doubts.push({ at: inode.at, code: 'xfs.inode.type', expected, actual: String(inode.type) });
  }
  if (inode.links === 0)
    doubts.push({ at: inode.at, code: 'xfs.inode.links', expected: 'one link or more', actual: 'none' });
  if (entry.doubt !== undefined) {
    const isOrphan = entry.doubt === ORPHAN;
    const expected = isOrphan ? 'a directory that leads to the root' : 'a block of entries whose checks agree';
    const actual = isOrphan ? 'one that nothing names' : 'one whose check fails';
    doubts.push({ at: entry.at, code: entry.doubt, expected, actual });
  }
  return inodeNode(volume, inode, place, doubts, await linkOf(volume, inode));
}

/** A file or a directory that nothing names any more: all below it is inferred. */
export function orphanNode(volume: Volume, inode: Inode, place: Place, target: string | undefined): Node {
  const expected = 'a directory entry that names it';
  return inodeNode(volume, inode, place, [{ at: inode.at, code: ORPHAN, expected, actual: 'none' }], target);
}

/** An inode as a node; `doubts` are those of the entry that led to it. */
function inodeNode(
  volume: Volume,
  inode: Inode,
  place: Place,
  doubts: readonly Doubt[],
  target: string | undefined,
  damage: Damage[] = [],
): Node {
  for (const doubt of [...inode.doubts, ...doubts])
    damage.push(volume.note(doubt, 'what it leads to is inferred, not stated'));
  const failed = doubts[0]?.code;
  const facts = { ...factsOf(volume, inode), ...(target !== undefined && { target }) };
  const node = bare(place, kindOf(inode.type), facts, damage);
  if (node.kind === 'system') return node;
  const bytes = () => volume.bytes(inode, failed);
  const isMapped = [FORM_LOCAL, FORM_EXTENTS, FORM_BTREE].includes(inode.format);
  if (!isMapped) {
    const doubt = {
      at: inode.at + 5,
      code: 'xfs.inode.format',
      expected: 'where its bytes lie',
      actual: `form ${inode.format}`,
    };
    damage.push(volume.note(doubt, 'its bytes are missing'));
  }
  if (node.kind !== 'directory') return { ...node, bytes };
  const children = (only?: string) => childrenOf(volume, inode, place, damage, failed, only);
  return { ...node, bytes, children: () => children(), child: (rawName) => childNamed(children(rawName), rawName) };
}

/** What a link says; undefined of anything else. */
export async function linkOf(volume: Volume, inode: Inode): Promise<string | undefined> {
  if (inode.type !== TYPE_SYMLINK) return undefined;
  const source = await volume.bytes(inode, undefined);
  const block = new Uint8Array(Math.min(source.size, 1024));
  await source.read(0, block);
  return latin1(block, 0, block.length);
}

/** What an inode says of its file, whether it lives or not. */
export function factsOf(volume: Volume, inode: Inode): Facts {
  const details: Record<string, string | number | boolean> = {
    inode: inode.number,
    generation: inode.generation,
    allocation: FORMS[inode.format] ?? `form ${inode.format}`,
    allocated: inode.blocks * volume.geometry.blockSize,
  };
  if (inode.made !== undefined) details.created = inode.made;
  const special = SPECIAL[inode.type];
  if (special !== undefined) details.type = special;
  return {
    size: special === undefined ? volume.sizeOf(inode) : 0,
    mode: inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    links: inode.links,
    modified: inode.modified,
    changed: inode.changed,
    accessed: inode.accessed,
    details,
  };
}

async function* childrenOf(
  volume: Volume,
  inode: Inode,
  place: Place,
  damage: Damage[],
  failed: string | undefined,
  only?: string,
): AsyncGenerator<Node> {
  const above = [...place.above, inode.number];
  const report = (doubt: Doubt): void => {
    // A directory is listed more than once; what is wrong with it is said once.
    const note = volume.note(doubt, 'entries of this directory may be missing or wrong');
    if (damage.length < MAX_DAMAGES && !damage.some((d) => d.at === note.at && d.code === note.code)) damage.push(note);
  };
  const refusal = whyNotWalked('xfs.directory', inode.number, place, volume.directories, `inode ${inode.number} again`);
  if (refusal !== undefined) return report({ at: inode.at, ...refusal });
  const names = new Map<string, number>();
  let count = 0;
  for await (const entry of entriesOf(volume, inode, report, failed)) {
    if (++count > MAX_ENTRIES) {
      const expected = `at most ${MAX_ENTRIES} entries`;
      return report({ at: inode.at, code: 'xfs.directory.entries', expected, actual: 'more' });
    }
    const before = names.get(entry.name) ?? 0;
    names.set(entry.name, before + 1);
    const rawName = before === 0 ? entry.name : `${entry.name};${before + 1}`;
    if (only !== undefined && rawName !== only) continue;
    const locator = `${place.locator}/${encodeName(rawName)}`;
    yield await entryNode(volume, entry, { locator, rawName, above, ...(place.state && { state: place.state }) });
  }
}

/** The entries of a directory, wherever it keeps them. */
export async function* entriesOf(
  volume: Volume,
  inode: Inode,
  report: (doubt: Doubt) => void,
  failed?: string,
): AsyncGenerator<Entry> {
  const { hasTypes } = volume.geometry;
  if (inode.format === FORM_LOCAL) {
    for (const entry of shortEntries(inode.fork, inode.forkAt, hasTypes, report))
      yield failed === undefined ? entry : { ...entry, doubt: failed };
    return;
  }
  for await (const { block, at, doubt } of blocksOf(volume, inode, report))
    yield* entriesIn(block, at, hasTypes, report, doubt ?? failed);
}

/** The blocks of a directory that hold entries, with the check that each failed. */
export async function* blocksOf(
  volume: Volume,
  inode: Inode,
  report: (doubt: Doubt) => void,
  isDead = false,
): AsyncGenerator<{ readonly block: Uint8Array; readonly at: number; readonly doubt?: string }> {
  const g = volume.geometry;
  const unit = g.blockSize * 2 ** g.super.directoryBlockLog;
  const map = volume.map(inode, isDead);
  const source = new MapSource(INDEX_AT, map);
  const seen = new Set<number>();
  for await (const one of map.extents()) {
    const start = one.logical * g.blockSize;
    const end = Math.min(INDEX_AT, (one.logical + one.count) * g.blockSize);
    for (let offset = start - (start % unit); offset < end; offset += unit) {
      if (seen.has(offset)) continue;
      seen.add(offset);
      const block = new Uint8Array(unit);
      const gaps = await source.read(offset, block);
      const at = inode.at;
      if (gaps.length > 0) {
        const expected = `the block at ${offset} of directory inode ${inode.number}`;
        report({ at, code: 'xfs.directory.block', expected, actual: 'none that can be read' });
        continue;
      }
      yield { block, at, ...doubtOf(volume, block, inode, report) };
    }
  }
}

function doubtOf(volume: Volume, block: Uint8Array, inode: Inode, report: (doubt: Doubt) => void): { doubt?: string } {
  if (!volume.geometry.isChecked) return {};
  const head = directoryBlock.decode(block);
  const sum = viewOf(block).getUint32(DIRECTORY_CRC_AT, true);
  const isOwn = head.owner === inode.number;
  if (isOwn && crc32c(block, DIRECTORY_CRC_AT) === sum) return {};
  const code = isOwn ? 'xfs.directory.checksum' : 'xfs.directory.owner';
  report({
    at: inode.at,
    code,
    expected: `a block of directory inode ${inode.number} with its checksum`,
    actual: isOwn ? 'another checksum' : `one of inode ${head.owner}`,
  });
  return { doubt: code };
}
