/** What file systems of inodes share: types of files, places in the tree, and directories that must not be walked twice. */
import type { Damage } from '../../core/damage.ts';
import { MAX_PATH_DEPTH } from '../../core/limits.ts';
import { printable } from '../../core/locator.ts';
import type { Facts, Kind, Node, NodeState } from '../../core/node.ts';

/** The upper four bits of a mode. */
export const TYPE_FIFO = 0x1;
export const TYPE_CHARACTER = 0x2;
export const TYPE_DIRECTORY = 0x4;
export const TYPE_BLOCK = 0x6;
export const TYPE_REGULAR = 0x8;
export const TYPE_SYMLINK = 0xa;
export const TYPE_SOCKET = 0xc;

/** What holds no bytes. */
export const SPECIAL: Readonly<Record<number, string>> = {
  [TYPE_FIFO]: 'named pipe',
  [TYPE_CHARACTER]: 'character device',
  [TYPE_BLOCK]: 'block device',
  [TYPE_SOCKET]: 'socket',
};

/** A check that failed. */
export interface Doubt {
  /** Bytes from the start of the volume. */
  readonly at: number;
  readonly code: string;
  readonly expected: string;
  readonly actual: string;
}

/** Where a node stands in the tree: what is above it, for loops and for depth. */
export interface Place {
  readonly locator: string;
  readonly rawName: string;
  /** Inodes from the root down to the directory that names it. */
  readonly above: readonly number[];
  readonly state?: NodeState;
}

/** A node of which nothing but its place and its facts is known. */
export function bare(place: Place, kind: Kind, facts: Facts = {}, damage: readonly Damage[] = []): Node {
  const { rawName, locator } = place;
  return { name: printable(rawName), rawName, locator, kind, state: place.state ?? 'live', facts, damage };
}

export function kindOf(type: number): Kind {
  if (type === TYPE_DIRECTORY) return 'directory';
  if (type === TYPE_SYMLINK) return 'symlink';
  return SPECIAL[type] === undefined ? 'file' : 'system';
}

/**
 * Why a directory is not walked: loops, endless depth, and a second parent. `met` keeps the first place of each; codes
 * begin with `prefix`.
 */
export function whyNotWalked(
  prefix: string,
  inode: number,
  place: Place,
  met: Map<number, string>,
): Omit<Doubt, 'at'> | undefined {
  const code = (name: string): string => `${prefix}.directory.${name}`;
  const actual = `inode ${inode} again`;
  if (place.above.includes(inode))
    return { code: code('loop'), expected: 'a directory that is not inside itself', actual };
  if (place.above.length >= MAX_PATH_DEPTH)
    return { code: code('depth'), expected: `at most ${MAX_PATH_DEPTH} levels of directories`, actual: 'more' };
  const first = met.get(inode) ?? place.locator;
  met.set(inode, first);
  if (first === place.locator) return undefined;
  return { code: code('two-parents'), expected: `a directory of its own, not ${first} a second time`, actual };
}

export async function childNamed(children: AsyncIterable<Node>, rawName: string): Promise<Node | undefined> {
  for await (const node of children) if (node.rawName === rawName) return node;
  return undefined;
}
