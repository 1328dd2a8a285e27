/** What file systems of inodes share: types of files, places in the tree, and directories that must not be walked twice. */
import type { Damage } from '../../core/damage.ts';
import { MAX_PATH_DEPTH } from '../../core/limits.ts';
import { printable } from '../../core/locator.ts';
import type { Facts, Kind, Node, NodeState } from '../../core/node.ts';

/** The upper four bits of a mode. */
const TYPE_FIFO = 0x1;
export const TYPE_CHARACTER = 0x2;
export const TYPE_DIRECTORY = 0x4;
export const TYPE_BLOCK = 0x6;
export const TYPE_REGULAR = 0x8;
export const TYPE_SYMLINK = 0xa;
const TYPE_SOCKET = 0xc;

/** The same as directory entries write them. */
export const ENTRY_TYPES: readonly number[] = [
  0,
  TYPE_REGULAR,
  TYPE_DIRECTORY,
  TYPE_CHARACTER,
  TYPE_BLOCK,
  TYPE_FIFO,
  TYPE_SOCKET,
  TYPE_SYMLINK,
];

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
export interface Place<Id = number> {
  readonly locator: string;
  readonly rawName: string;
  /** Directories from the root down to the one that names it. */
  readonly above: readonly Id[];
  readonly state?: NodeState;
}

/** A node of which nothing but its place and its facts is known. */
export function bare(
  { rawName, locator, state = 'live' }: Omit<Place, 'above'>,
  kind: Kind,
  facts: Facts = {},
  damage: readonly Damage[] = [],
): Node {
  return { name: printable(rawName), rawName, locator, kind, state, facts, damage };
}

export function kindOf(type: number): Kind {
  if (type === TYPE_DIRECTORY) return 'directory';
  if (type === TYPE_SYMLINK) return 'symlink';
  return SPECIAL[type] === undefined ? 'file' : 'system';
}

/**
 * Why a directory is not walked: loops, endless depth, and a second parent. `met` keeps the first place of each; codes
 * begin with `prefix`; `again` says that it was met before.
 */
export function whyNotWalked<Id>(
  prefix: string,
  id: Id,
  place: Place<Id>,
  met: Map<Id, string>,
  again: string,
): Omit<Doubt, 'at'> | undefined {
  const code = (name: string): string => `${prefix}.${name}`;
  if (place.above.includes(id))
    return { code: code('loop'), expected: 'a directory that is not inside itself', actual: again };
  if (place.above.length >= MAX_PATH_DEPTH)
    return { code: code('depth'), expected: `at most ${MAX_PATH_DEPTH} levels of directories`, actual: 'more' };
  const first = met.get(id) ?? place.locator;
  met.set(id, first);
  if (first === place.locator) return undefined;
  return { code: code('two-parents'), expected: `a directory of its own, not ${first} a second time`, actual: again };
}

/** The child of that name; undefined where there is none. */
export async function childNamed(children: AsyncIterable<Node>, rawName: string): Promise<Node | undefined> {
  for await (const node of children) if (node.rawName === rawName) return node;
  return undefined;
}
