/** Which disk a person means who names sources and nothing in them, and what of a node is a disk. */
import type { Format } from '../core/format.ts';
import type { Node } from '../core/node.ts';
import { packagedEndings } from '../formats/index.ts';
import { disksOf } from './disks.ts';
import { type Stack, SURE } from './stack.ts';

/** What is converted of a node: the disk it is or holds, else its own bytes; undefined where it has none. */
export async function diskIn(stack: Stack, node: Node): Promise<Node | undefined> {
  if (node.kind === 'disk' || (await isPlain(stack, node))) return node;
  const inside = node.children === undefined ? await stack.inside(node) : undefined;
  if (inside?.kind === 'disk') return innermost(stack, inside);
  // Directories have bytes of their own in some file systems, which are no disk's.
  if (node.children !== undefined) return undefined;
  return node.bytes === undefined ? undefined : node;
}

/** Disks in disks on the way to the one that is meant; more is a loop or a joke. */
const MAX_LAYERS = 8;

/** A disk that was cut into pieces is put together first, and is a disk of some format then. */
async function innermost(stack: Stack, from: Node): Promise<Node> {
  let disk = from;
  for (let layer = 0; layer < MAX_LAYERS && disk.backing === undefined && disk.children === undefined; layer++) {
    const inner = await stack.inside(disk);
    if (inner?.kind !== 'disk') break;
    disk = inner;
  }
  return disk;
}

/**
 * The disks that the sources are taken as a whole: an image or a device is itself one, whatever lies on it; a directory
 * or an archive stands for those in it. Empty where there are none.
 */
export async function disksMeant(stack: Stack): Promise<readonly Node[]> {
  const out = new Map<string, Node>();
  for (const root of stack.roots)
    if (root.children === undefined && !(await isArchive(stack, root))) out.set(root.locator, root);
  if (out.size === stack.roots.length) return [...out.values()];
  const { disks } = await disksOf(stack);
  for (const { file, isBeside } of disks) if (!isBeside) out.set(file.locator, file);
  return [...out.values()];
}

/** What was found of evidence once: a command asks for it more than once on its way to the disk. */
const plain = new WeakMap<Node, Promise<boolean>>();

/**
 * Whether evidence is a plain image, without what lies on it being looked for: no format of disks and no archive knows
 * its bytes. Searching for lost volumes would take longer than opening the disk.
 */
function isPlain(stack: Stack, node: Node): Promise<boolean> {
  const known = plain.get(node) ?? findPlain(stack, node);
  plain.set(node, known);
  return known;
}

async function findPlain(stack: Stack, node: Node): Promise<boolean> {
  if (node.kind !== 'evidence' || packagedEndings.some((ending) => node.rawName.toLowerCase().endsWith(ending)))
    return false;
  const quick = await stack.claims(node, true);
  if (quick === undefined || quick.some(({ format }) => isContainer(format))) return false;
  if (quick.length > 0 && quick[0].score >= SURE) return true;
  return (await stack.claims(node, false, isContainer))?.length === 0;
}

/** Whether a file is one of those that are named by their ending and hold others, such as a tar: its bytes are no disk's. */
async function isArchive(stack: Stack, root: Node): Promise<boolean> {
  if (await isPlain(stack, root)) return false;
  const format = await stack.formatOf(root);
  return format !== undefined && format.layer !== 'disk' && isContainer(format);
}

/** Formats whose bytes are not those of a disk: disks of their own, and archives. */
function isContainer({ layer, names }: Format): boolean {
  return layer === 'disk' || (layer === 'filesystem' && names !== undefined);
}
