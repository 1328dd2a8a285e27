/** Files and directories that nothing leads to from the root: it is lost, or a directory on the way is. */
import type { Node } from '../../../core/node.ts';
import { type Folder, folder } from '../folder.ts';
import { TYPE_DIRECTORY, TYPE_REGULAR, TYPE_SYMLINK } from '../posix.ts';
import { topsOf } from '../tops.ts';
import { entriesIn } from './directory.ts';
import { blocksOf, boundsOf, orphanNode } from './files.ts';
import type { Inode } from './inode.ts';
import { FLAG_EA_INODE, INODE_UNINIT, ROOT_INODE } from './structs.ts';
import type { Volume } from './volume.ts';

export const ORPHANS = '+orphan';
/** Inodes that are considered at most. */
const MAX_INODES = 4_000_000;
/** Doubts of an inode itself; what is lost of its group or of the bitmap says nothing of it. */
const OWN_DOUBT = /^ext\.inode\.(?!bitmap$)/;

/** The virtual directory of what hangs nowhere; undefined where all can be reached. `most` inodes are considered. */
export async function orphansNode(volume: Volume, locator: string, most = MAX_INODES): Promise<Node | undefined> {
  const reached = new Set<number>();
  if (!(await reach(volume, reached, most))) {
    limit(volume, most, 'files that no directory names are not looked for: those of the others would be among them');
    return undefined;
  }
  const left = new Map<number, Inode>();
  for await (const inode of inUse(volume)) {
    if (reached.has(inode.number)) continue;
    if (left.size >= most) {
      limit(volume, most, `more files that no directory names may be there than the ${most} that are listed`);
      break;
    }
    left.set(inode.number, inode);
  }
  if (left.size === 0) return undefined;
  const below = new Map<number, number[]>();
  for (const [number, inode] of left)
    if (inode.type === TYPE_DIRECTORY)
      below.set(
        number,
        (await namedBy(volume, inode)).filter((one) => left.has(one)),
      );
  const top: Folder = folder(`${locator}/${ORPHANS}`, ORPHANS);
  for (const number of topsOf(left, below)) {
    const place = { above: [], state: 'orphan' } as const;
    const name = `inode-${number}`;
    const node = await orphanNode(volume, left.get(number)!, {
      ...place,
      locator: `${top.node.locator}/${name}`,
      rawName: name,
    });
    top.add(name, () => node);
  }
  return { ...top.node, state: 'orphan' };
}

function limit(volume: Volume, most: number, effect: string): void {
  const one = { at: 0, code: 'ext.orphans.limit', expected: `at most ${most} files and directories`, actual: 'more' };
  volume.damage.push(volume.note(one, effect));
}

/** Inodes of files, links and directories that are in use by all that says so. */
async function* inUse(volume: Volume): AsyncGenerator<Inode> {
  const { geometry: g, groups, inodes, cx } = volume;
  const { firstInode, inodesPerGroup, orphanFile, projectQuotas } = g.super;
  for (let group = 0; group < g.groups && !cx.signal.aborted; group++) {
    const descriptor = await groups.get(group);
    if (descriptor === undefined || (descriptor.flags & INODE_UNINIT) !== 0) continue;
    const used = inodesPerGroup - Math.min(descriptor.unused, inodesPerGroup);
    for (let i = 0; i < used; i++) {
      const number = group * inodesPerGroup + i + 1;
      if (number < firstInode || number === orphanFile || number === projectQuotas) continue;
      const inode = await inodes.get(number);
      if (inode === undefined || inode.links === 0 || inode.deleted !== 0) continue;
      if ((inode.flags & FLAG_EA_INODE) !== 0 || inode.doubts.some(({ code }) => OWN_DOUBT.test(code))) continue;
      if ([TYPE_DIRECTORY, TYPE_REGULAR, TYPE_SYMLINK].includes(inode.type)) yield inode;
    }
  }
}

/** Inodes that a directory names. */
async function namedBy(volume: Volume, inode: Inode): Promise<number[]> {
  const out: number[] = [];
  const bounds = boundsOf(volume);
  for await (const { block } of blocksOf(volume, inode, () => {}))
    for (const entry of entriesIn(block, 0, bounds, () => {})) out.push(entry.inode);
  return out;
}

/** Everything below the root, and whether that is all: more than `most` are not looked at. */
async function reach(volume: Volume, out: Set<number>, most: number): Promise<boolean> {
  out.add(ROOT_INODE);
  const queue = [ROOT_INODE];
  for (let number = queue.pop(); number !== undefined; number = queue.pop()) {
    const inode = await volume.inodes.get(number);
    if (inode?.type !== TYPE_DIRECTORY) continue;
    for (const child of await namedBy(volume, inode)) {
      if (out.has(child)) continue;
      if (out.size >= most) return false;
      out.add(child);
      queue.push(child);
    }
  }
  return true;
}
