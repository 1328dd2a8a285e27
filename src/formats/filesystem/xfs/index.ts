/** XFS: the file system of many Linux servers. Source: guestfs.md part D. */

import type { Cx, Format } from '../../../core/format.ts';
import type { Laid } from '../../../core/laid.ts';
import { printable } from '../../../core/locator.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { uuidText } from '../../disk/guid.ts';
import { readMember } from '../../volume/vmfs-lvm/member.ts';
import { DELETED, deletedNode } from './deleted.ts';
import { rootNode } from './files.ts';
import { fromCopy, nearCopy, primary } from './geometry.ts';
import { ORPHANS, orphansNode } from './orphans.ts';
import { recovered } from './recovered.ts';
import { agFree, agInodes, superBlock } from './structs.ts';
import type { Volume } from './volume.ts';

const superLaid: Laid = { table: superBlock, at: 0, mark: { at: 0, text: 'XFSB' } };
const FEATURES_AT = superBlock.fields.incompat.at;

export const xfs: Format = {
  id: 'xfs',
  layer: 'filesystem',
  title: 'XFS file system',
  spec: 'guestfs.md part D',
  gaps: [
    'The log is read as if it were in place. Where it breaks off, where structures carry no checksums, or where changes of maps were begun and not ended, all of the volume is inferred.',
    'Files on a realtime device, and volumes whose log is on another device, are not read in full.',
    'Extended attributes are not listed. Where structures carry no checksums, no second claimant of a block is looked for.',
    'Where trees of inodes or the root are lost, inodes are searched for if they carry checksums; what was deleted is found where its inode still stands.',
  ],
  laid: [
    superLaid,
    { table: agFree, at: { of: superLaid, field: 'sectorSize', unit: 1 }, mark: { at: 0, text: 'XAGF' } },
    { table: agInodes, at: { of: superLaid, field: 'sectorSize', unit: 2 }, mark: { at: 0, text: 'XAGI' } },
  ],
  async probe(source, { isKnown }) {
    const found = await primary(source);
    const isDatastore = found !== undefined && (await readMember(source, '')) !== undefined;
    if (found !== undefined) return isDatastore ? 30 : found.isDoubtful ? 60 : 93;
    return isKnown === true || (await nearCopy(source)) === undefined ? 0 : 35;
  },
  async open(source, cx) {
    const first = await primary(source);
    const copy = first === undefined || first.isDoubtful ? await fromCopy(source) : undefined;
    const geometry = copy ?? first;
    if (geometry === undefined) throw new NotThis('no XFS superblock at its start, and no copy of one');
    const { volume, notices } = await recovered(source, geometry, cx);
    if (geometry.isDoubtful) {
      const effect = `${copy === undefined ? 'no copy of it was found' : 'a copy of it is used'}, and all of the volume is inferred`;
      volume.damage.push(cx.damage(0, 'xfs.super', 'a superblock with its checksum', 'none', effect));
    }
    if (geometry.doubt !== undefined) {
      const [expected, actual] =
        geometry.doubt === 'xfs.repair'
          ? ['a volume that is whole', 'one whose repair was begun']
          : ['features that are known', 'others'];
      volume.damage.push(cx.damage(FEATURES_AT, geometry.doubt, expected, actual, 'all of the volume is inferred'));
    }
    return filesystemNode(volume, notices, cx);
  },
};

async function filesystemNode(volume: Volume, notices: readonly string[], cx: Cx): Promise<Node> {
  const { geometry: g, source } = volume;
  const label = g.super.label.trim();
  const root = await rootNode(volume, cx.self, label === '' ? 'XFS' : label);
  const end = g.super.blocks * g.blockSize;
  if (end > source.size) {
    const effect = `the last ${end - source.size} bytes of the volume are missing`;
    volume.damage.push(cx.damage(8, 'xfs.truncated', `${end} bytes`, String(source.size), effect));
  }
  let deleted: Promise<Node | undefined> | undefined;
  let orphans: Promise<Node | undefined> | undefined;
  return {
    ...root,
    child: async (rawName) => {
      if (rawName === DELETED) deleted ??= deletedNode(volume, root.locator);
      if (rawName === ORPHANS) orphans ??= orphansNode(volume, root.locator);
      return rawName === DELETED ? deleted : rawName === ORPHANS ? orphans : root.child?.(rawName);
    },
    isFree: (at) => volume.free.isFree(at),
    format: `XFS file system, version ${g.isChecked ? 5 : 4}`,
    notices: [...notices],
    facts: {
      ...root.facts,
      size: Math.min(end, source.size),
      details: {
        label: printable(label),
        uuid: uuidText(g.super.uuid),
        blockSize: g.blockSize,
        blocks: g.super.blocks,
        groups: g.super.agCount,
        inodeSize: g.inodeSize,
        inodes: g.super.inodeCount,
        free: g.super.blocksFree * g.blockSize,
      },
    },
  };
}
