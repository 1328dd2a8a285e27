/** ISO 9660 with Joliet and Rock Ridge: discs and their images. */

import type { Cx, Format } from '../../../core/format.ts';
import { printable } from '../../../core/locator.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import type { Source } from '../../../core/source.ts';
import { latin1 } from '../../../core/struct.ts';
import { rootNode } from '../tree.ts';
import { type Descriptor, type Descriptors, descriptorsOf } from './descriptors.ts';
import { type Found, recordAt } from './records.ts';
import { extensionsOf } from './rockridge.ts';
import { FIRST_DESCRIPTOR, MARK, ROOT_AT, SECTOR, volumeDescriptor } from './structs.ts';
import { IsoVolume } from './volume.ts';

const MARK_BODY = 4;
const DEFAULT_SKIP = 2;

export const iso: Format = {
  id: 'iso',
  layer: 'filesystem',
  title: 'ISO 9660 file system',
  spec: 'ECMA-119, Joliet, SUSP 1.12, Rock Ridge 1.12, El Torito 1.0',
  gaps: [
    'One tree is shown: that of Rock Ridge, else of Joliet, else the plain one.',
    'Interleaved files are missing; files compressed with zisofs are shown as they are stored.',
    'Images of whole sectors (2352 bytes) and earlier sessions are not read. UDF is recognised only.',
  ],
  laid: [{ table: volumeDescriptor, at: FIRST_DESCRIPTOR * SECTOR }],
  async probe(source) {
    const mark = new Uint8Array(SECTOR);
    const at = FIRST_DESCRIPTOR * SECTOR;
    if (at + 4 * SECTOR > source.size) return 0;
    await source.read(at, mark);
    const { primary, joliet } = await descriptorsOf(source);
    if (primary === undefined && joliet === undefined) return 0;
    return latin1(mark, 1, MARK.length) === MARK && primary?.isSound === true ? 94 : 60;
  },
  async open(source, cx) {
    const all = await descriptorsOf(source);
    const tree = await treeOf(source, all);
    if (tree === undefined) throw new NotThis('no ISO 9660 volume descriptor with a root directory');
    const { descriptor, root, skip } = tree;
    const doubt = descriptor.isSound ? undefined : 'iso.descriptor';
    const volume = new IsoVolume(source, descriptor, root, skip, cx, doubt);
    if (doubt !== undefined) {
      const effect = 'all of the volume is inferred';
      volume.damage.push(cx.damage(descriptor.at + 80, doubt, 'numbers that agree', 'different ones', effect));
    }
    if (all.primary === undefined) {
      const at = FIRST_DESCRIPTOR * SECTOR;
      const effect = 'the one of Joliet is used';
      volume.damage.push(cx.damage(at, 'iso.primary', 'a primary volume descriptor', 'none', effect));
    }
    return filesystemNode(volume, all, cx);
  },
};

interface Trunk {
  readonly descriptor: Descriptor;
  readonly root: Found;
  readonly skip?: number;
}

/** The tree that says most of its files. */
async function treeOf(source: Source, { primary, joliet }: Descriptors): Promise<Trunk | undefined> {
  const plain = await trunkOf(source, primary);
  const skip = plain === undefined ? undefined : await markOf(source, plain);
  if (plain !== undefined && skip !== undefined) return { ...plain, skip };
  return (await trunkOf(source, joliet)) ?? plain;
}

async function trunkOf(source: Source, descriptor: Descriptor | undefined): Promise<Trunk | undefined> {
  if (descriptor === undefined) return undefined;
  const block = new Uint8Array(SECTOR);
  await source.read(descriptor.at, block);
  const root = recordAt(block, ROOT_AT, SECTOR, descriptor.values.blocks, descriptor.isJoliet);
  const isThere = root !== undefined && root.start > 0 && root.start < descriptor.values.blocks;
  return isThere ? { descriptor, root } : undefined;
}

/** Bytes to skip in each record before the fields of Rock Ridge; undefined where the root does not tell of them. */
async function markOf(source: Source, { descriptor, root }: Trunk): Promise<number | undefined> {
  const { blockSize, blocks } = descriptor.values;
  const block = new Uint8Array(SECTOR);
  const at = root.start * blockSize;
  if (at + SECTOR > source.size || (await source.read(at, block)).length > 0) return undefined;
  const own = recordAt(block, 0, SECTOR, blocks, false);
  if (own === undefined) return undefined;
  for (const skip of [0, 15]) {
    const { hasMark } = await extensionsOf(source, own.system, skip, blockSize);
    if (hasMark) return own.system[skip + MARK_BODY + DEFAULT_SKIP] ?? 0;
  }
  return undefined;
}

async function filesystemNode(volume: IsoVolume, all: Descriptors, cx: Cx): Promise<Node> {
  const { descriptor, source, root, isRockRidge } = volume;
  const { blocks, blockSize, system, publisher, application, created } = descriptor.values;
  const bytes = blocks * blockSize;
  for (const { at, code, expected, actual } of (await volume.open(root)).doubts)
    volume.damage.push(cx.damage(at, code, expected, actual, 'entries of this directory may be missing or wrong'));
  if (bytes > source.size) {
    const effect = `the last ${bytes - source.size} bytes of the volume are missing`;
    volume.damage.push(cx.damage(descriptor.at + 80, 'iso.truncated', `${bytes} bytes`, String(source.size), effect));
  }
  const kind = isRockRidge ? 'Rock Ridge' : descriptor.isJoliet ? 'Joliet' : 'plain';
  const label = descriptor.label;
  const words = { system, publisher, application, created };
  const texts = descriptor.isJoliet
    ? []
    : Object.entries(words).map(([key, value]): [string, string] => [key, printable(value.trim())]);
  const node = rootNode(volume, root, cx.self, label === '' ? 'ISO 9660' : label, volume.damage);
  return {
    ...node,
    format: `ISO 9660 file system, ${kind}`,
    facts: {
      size: Math.min(bytes, source.size),
      details: {
        label: printable(label),
        blockSize,
        blocks,
        names: kind,
        alsoJoliet: isRockRidge && all.joliet !== undefined,
        ...(all.boot.length > 0 && { boot: all.boot.join('; ') }),
        ...Object.fromEntries(texts.filter(([, value]) => value !== '')),
      },
    },
  };
}
