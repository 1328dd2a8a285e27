/** btrfs: the file system of many Linux machines and appliances. Source: guestfs.md part E. */

import type { Cx, Format } from '../../../core/format.ts';
import { printable } from '../../../core/locator.ts';
import type { Node } from '../../../core/node.ts';
import { uuidText } from '../../disk/guid.ts';
import { bare } from '../posix.ts';
import { DELETED, deletedNode } from './deleted.ts';
import { subvolumeNode } from './files.ts';
import { entriesIn } from './inodes.ts';
import { openVolume } from './open.ts';
import { ORPHANS, orphansNode } from './orphans.ts';
import { DIR_ITEM, FS_TREE, SUPER_PLACES, superBlock } from './structs.ts';
import { readSuper, SUM_NAMES } from './super.ts';
import type { Volume } from './volume.ts';

export const btrfs: Format = {
  id: 'btrfs',
  layer: 'filesystem',
  title: 'btrfs file system',
  spec: 'guestfs.md part E',
  gaps: [
    'The log tree is not replayed: where there is one, all of the volume is inferred.',
    'Bytes that their checksum disproves are found out when they are read: maps of what was not read call them stated.',
    'What was deleted is not held against checksums: a disk that was told to discard it may read as zeros there.',
    'Volumes with a tree of RAID stripes or of the second kind of extents are listed, without the bytes of their files.',
  ],
  laid: SUPER_PLACES.map((at) => ({ table: superBlock, at, mark: { at: 64, text: '_BHRfS_M' } })),
  async probe(source) {
    const found = await readSuper(source);
    if (found === undefined) return 0;
    return found.fault === undefined ? 94 : found.at === SUPER_PLACES[0] ? 60 : 35;
  },
  async identity(source) {
    const found = await readSuper(source);
    return found !== undefined && found.block.devices > 1 ? `btrfs-${uuidText(found.block.fsid)}` : undefined;
  },
  async open(source, cx) {
    return filesystemNode(await openVolume(source, cx), cx);
  },
};

async function filesystemNode(volume: Volume, cx: Cx): Promise<Node> {
  const { block } = volume.super;
  const label = block.label.trim();
  const place = { locator: cx.self, rawName: label === '' ? 'btrfs' : label, above: [] };
  const top = await volume.subvolume(FS_TREE);
  if (top === undefined) {
    const effect = 'names and folders are lost; the files themselves may still be there';
    volume.note(block.root, 'btrfs.root', 'the root of tree 5', 'none', effect);
  }
  const root = top === undefined ? bare(place, 'filesystem') : await subvolumeNode(volume, top, place, volume.damage);
  const profiles = (of: 'hasData' | 'hasMetadata'): string =>
    [...new Set(volume.chunks.all.filter((chunk) => chunk[of]).map(({ profile }) => profile))].join(', ');
  let deleted: Promise<Node | undefined> | undefined;
  let orphans: Promise<Node | undefined> | undefined;
  return {
    ...root,
    child: async (rawName) => {
      if (rawName === DELETED) deleted ??= deletedNode(volume, root.locator);
      if (rawName === ORPHANS) orphans ??= orphansNode(volume, root.locator);
      return rawName === DELETED ? deleted : rawName === ORPHANS ? orphans : root.child?.(rawName);
    },
    kind: 'filesystem',
    damage: volume.damage,
    format: btrfs.title,
    notices: noticesOf(volume),
    members: volume.devices.toSorted((a, b) => a.id - b.id).map(({ locator }) => ({ locator })),
    facts: {
      ...root.facts,
      size: block.totalBytes,
      details: {
        label: printable(label),
        uuid: uuidText(block.fsid),
        generation: block.generation,
        nodeSize: block.nodeSize,
        sectorSize: block.sectorSize,
        checksum: SUM_NAMES[block.sumType],
        used: block.usedBytes,
        devices: block.devices,
        present: volume.devices.length,
        members: volume.devices.map(({ locator }) => locator).join(', '),
        data: profiles('hasData'),
        metadata: profiles('hasMetadata'),
        defaultSubvolume: await defaultOf(volume),
      },
    },
  };
}

/** The subvolume that is mounted where nobody asks for another. */
async function defaultOf(volume: Volume): Promise<number> {
  for await (const item of volume.roots.of(volume.super.block.rootDirectory, DIR_ITEM)) {
    if ('lost' in item) continue;
    const entry = entriesIn(item).find(({ name }) => name === 'default');
    if (entry !== undefined) return entry.objectid;
  }
  return FS_TREE;
}

function noticesOf({ super: { block } }: Volume): string[] {
  if (block.logRoot === 0) return [];
  return [
    'it was not unmounted: what was synced last may be in its log only, which is not replayed, and all of it is inferred',
  ];
}
