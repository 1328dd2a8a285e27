/** FAT12, FAT16 and FAT32: floppies, sticks, EFI system partitions. Source: guestfs.md part C. */

import type { Cx, Format } from '../../../core/format.ts';
import { printable } from '../../../core/locator.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import type { Source } from '../../../core/source.ts';
import { readMember } from '../../volume/vmfs-lvm/member.ts';
import { rootNode } from '../tree.ts';
import { type Head, headOf } from './boot.ts';
import { lostGeometry } from './lost.ts';
import { bootSector } from './structs.ts';
import { FatVolume } from './volume.ts';

const NAMES: Readonly<Record<number, string>> = { 12: 'FAT12', 16: 'FAT16', 28: 'FAT32' };
const UNNAMED = 'NO NAME';

export const fat: Format = {
  id: 'fat',
  layer: 'filesystem',
  title: 'FAT file system',
  spec: 'guestfs.md part C',
  gaps: [
    'Times are local ones of a zone that is not known; they are shown as they stand.',
    'Short names are taken for code page 437.',
    'Where deleted files lay in pieces, only what follows their first cluster is tried: guessed, and missing where live files have it now.',
    'A volume that lost its boot sector, and the copy of it, is found where it has two tables and a directory in its root.',
  ],
  laid: [{ table: bootSector, at: 0 }],
  async probe(source, { isKnown }) {
    const head = await headOf(source);
    if (head === undefined) return isKnown === true || (await lostGeometry(source)) === undefined ? 0 : 32;
    // The datastore beneath it is what people come for.
    if ((await readMember(source, '')) !== undefined) return 30;
    if (head.doubt === 'fat.boot') return 35;
    return head.geometry.isSigned ? (head.doubt === undefined ? 92 : 60) : 45;
  },
  async open(source, cx) {
    const head = (await headOf(source)) ?? (await lostHead(source));
    if (head === undefined)
      throw new NotThis('no FAT boot sector at its start, no copy of one, and no tables that tell');
    const volume = new FatVolume(
      source,
      head.geometry,
      cx,
      head.doubt ?? (head.geometry.isSigned ? undefined : 'fat.boot'),
    );
    noteHead(volume, head, cx);
    return filesystemNode(volume, cx);
  },
};

/** What tables and directories say where no boot sector is left. */
async function lostHead(source: Source): Promise<Head | undefined> {
  const geometry = await lostGeometry(source);
  return geometry === undefined ? undefined : { geometry, doubt: 'fat.boot.lost' };
}

function noteHead(volume: FatVolume, { geometry, doubt, otherAt }: Head, cx: Cx): void {
  const add = (at: number, code: string, expected: string, actual: string, effect: string) =>
    volume.damage.push(cx.damage(at, code, expected, actual, `${effect}, and all of the volume is inferred`));
  if (doubt === 'fat.boot') add(0, doubt, 'a boot sector that leads to a table', 'none', 'the copy of it is used');
  else if (doubt === 'fat.boot.lost')
    add(0, doubt, 'a boot sector or its copy', 'none', 'its tables and directories tell how it is laid out');
  else if (doubt === 'fat.boot.copy')
    add(otherAt ?? 0, doubt, 'the same as in the boot sector', 'something else', 'the one at the start is used');
  else if (doubt !== undefined)
    add(geometry.table.copies[0], doubt, 'the mark that a table begins with', 'none', 'files may be missing or wrong');
  else if (!geometry.isSigned) add(510, 'fat.boot', '55 AA', 'something else', 'the rest of the boot sector is used');
}

async function filesystemNode(volume: FatVolume, cx: Cx): Promise<Node> {
  const { geometry: g, source, root } = volume;
  const { doubts } = await volume.open(root);
  const told = volume.label ?? g.label;
  const label = told === UNNAMED ? '' : told;
  const kind = NAMES[g.width];
  if (g.bytes > source.size) {
    const effect = `the last ${g.bytes - source.size} bytes of the volume are missing`;
    volume.damage.push(cx.damage(0x20, 'fat.truncated', `${g.bytes} bytes`, String(source.size), effect));
  }
  for (const doubt of doubts) {
    const { at, code, expected, actual } = doubt;
    volume.damage.push(cx.damage(at, code, expected, actual, 'entries of this directory may be missing or wrong'));
  }
  const facts = {
    size: Math.min(g.bytes, source.size),
    details: {
      label: printable(label),
      serial: g.serial,
      clusterSize: g.cluster,
      clusters: g.clusters,
      tables: g.boot.copies,
    },
  };
  const node = rootNode(volume, root, cx.self, label === '' ? kind : label, volume.damage);
  return { ...node, format: `FAT file system, ${kind}`, facts };
}
