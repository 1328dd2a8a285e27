/** Files and directories that nothing leads to from the root: it is lost, or a directory on the way is. */
import type { Node } from '../../../core/node.ts';
import { type Folder, folder } from '../folder.ts';
import { TYPE_DIRECTORY } from '../posix.ts';
import { topsOf } from '../tops.ts';
import { inodesOf, sweep } from './chunks.ts';
import { type Entry, entriesIn } from './directory.ts';
import { entriesOf, linkOf, orphanNode } from './files.ts';
import type { Volume } from './volume.ts';

export const ORPHANS = '+orphan';
/** Inodes that are considered at most. */
const MAX_INODES = 4_000_000;

/** What a directory that is lost called an inode. */
interface Called {
  readonly name: string;
  readonly parent: number;
}

/** The virtual directory of what hangs nowhere; undefined where all can be reached. `most` inodes are considered. */
export async function orphansNode(volume: Volume, locator: string, most = MAX_INODES): Promise<Node | undefined> {
  const reached = new Set<number>();
  const root = volume.geometry.super.rootInode;
  const limit = (effect: string): void => {
    const one = { at: 0, code: 'xfs.orphans.limit', expected: `at most ${most} files and directories`, actual: 'more' };
    volume.damage.push(volume.note(one, effect));
  };
  if (!(await reach(volume, root, reached, most))) {
    limit('files that no directory names are not looked for: those of the others would be among them');
    return undefined;
  }
  const left = new Map<number, number>();
  for await (const { number, type, links, doubts } of inodesOf(volume, 'used')) {
    // What has no links is being deleted.
    const isKept = links > 0 && doubts.length === 0 && !reached.has(number) && !isInternal(volume, number);
    if (isKept && left.size < most) left.set(number, type);
    else if (isKept) {
      limit(`more files that no directory names may be there than the ${most} that are listed`);
      break;
    }
  }
  if (left.size === 0) return undefined;
  const called = await namesOf(volume, left);
  const top = folder(`${locator}/${ORPHANS}`, ORPHANS);
  const folders = new Map<number, Folder>([[root, top]]);
  for (const number of topsOf(left, await parentsOf(volume, left))) {
    const own = called.get(number);
    let into = own === undefined ? top : folders.get(own.parent);
    if (into === undefined) {
      into = top.enter(`inode-${own!.parent}`);
      folders.set(own!.parent, into);
    }
    const name = own?.name ?? `inode-${number}`;
    const inode = await volume.inodes.get(number);
    if (inode === undefined) continue;
    const target = await linkOf(volume, inode);
    into.add(name, (at, rawName) =>
      orphanNode(volume, inode, { locator: at, rawName, above: [], state: 'orphan' }, target),
    );
  }
  return { ...top.node, state: 'orphan' };
}

/** Inodes of the volume itself, which no directory names: of a realtime device, and of quotas. */
function isInternal({ geometry: { super: sb } }: Volume, number: number): boolean {
  const { rootInode, bitmapInode, summaryInode, userQuotas, groupQuotas, projectQuotas } = sb;
  const own = [bitmapInode, summaryInode, userQuotas, groupQuotas, projectQuotas];
  return number === rootInode || own.some(({ high, low }) => high * 2 ** 32 + low === number);
}

/** Everything below a directory, and whether that is all: more than `most` are not looked at. */
async function reach(volume: Volume, top: number, out: Set<number>, most: number): Promise<boolean> {
  out.add(top);
  const queue = [top];
  for (let number = queue.pop(); number !== undefined; number = queue.pop()) {
    const inode = await volume.inodes.get(number);
    if (inode?.type !== TYPE_DIRECTORY) continue;
    for await (const { inode: child } of entriesOf(volume, inode, () => {})) {
      if (out.has(child)) continue;
      if (out.size >= most) return false;
      out.add(child);
      queue.push(child);
    }
  }
  return true;
}

/** The directories among `left` that name others of them. */
async function parentsOf(volume: Volume, left: ReadonlyMap<number, number>): Promise<Map<number, number[]>> {
  const out = new Map<number, number[]>();
  for (const [number, type] of left) {
    const inode = type === TYPE_DIRECTORY ? await volume.inodes.get(number) : undefined;
    if (inode === undefined) continue;
    const below: number[] = [];
    for await (const entry of entriesOf(volume, inode, () => {})) if (left.has(entry.inode)) below.push(entry.inode);
    out.set(number, below);
  }
  return out;
}

/** Names from blocks of directories that have lost their inode. Only where something of the trees is lost is all read. */
async function namesOf(volume: Volume, left: ReadonlyMap<number, number>): Promise<Map<number, Called>> {
  const out = new Map<number, Called>();
  const { geometry: g } = volume;
  const lost = new Map<number, boolean>();
  const learn = (owner: number, { inode, name }: Entry): void => {
    if (left.has(inode) && !out.has(inode)) out.set(inode, { name, parent: owner });
  };
  for (let ag = 0; ag < g.super.agCount && !volume.cx.signal.aborted; ag++) {
    for await (const found of sweep(volume, ag)) {
      if (typeof found === 'number') continue;
      const { owner, bytes, at } = found;
      const isLost = lost.get(owner) ?? (await volume.inodes.get(owner))?.type !== TYPE_DIRECTORY;
      lost.set(owner, isLost);
      if (isLost) for (const entry of entriesIn(bytes, at, g.hasTypes, () => {})) learn(owner, entry);
    }
  }
  return out;
}
