/** exFAT: the file system of large sticks and cards. Source: guestfs.md part C. */

import type { Cx, Format } from '../../../core/format.ts';
import { printable } from '../../../core/locator.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { readMember } from '../../volume/vmfs-lvm/member.ts';
import { rootNode } from '../tree.ts';
import { type Head, headOf } from './boot.ts';
import { bootSector, DIRTY } from './structs.ts';
import { ExfatVolume } from './volume.ts';

const ALL_PERCENT = 100;

export const exfat: Format = {
  id: 'exfat',
  layer: 'filesystem',
  title: 'exFAT file system',
  spec: 'guestfs.md part C',
  gaps: [
    'Volumes with two tables (TexFAT) are read by the active one; the other is not compared.',
    'Vendor extensions of entries and access lists are not shown.',
    'Where deleted files were kept in a chain that is gone, what follows their first cluster is tried: guessed, and missing where live files have it now.',
  ],
  laid: [0, 12].map((sector) => ({ table: bootSector, at: sector * 512, mark: { at: 3, text: 'EXFAT' } })),
  async probe(source) {
    const head = await headOf(source);
    if (head === undefined) return 0;
    // The datastore beneath it is what people come for.
    if ((await readMember(source, '')) !== undefined) return 30;
    if (head.geometry.bootAt > 0) return 40;
    return head.doubt === undefined ? 93 : 60;
  },
  async open(source, cx) {
    const head = await headOf(source);
    if (head === undefined) throw new NotThis('no exFAT boot region at its start, and no copy of one');
    const volume = new ExfatVolume(source, head.geometry, cx, head.doubt);
    noteHead(volume, head, cx);
    return filesystemNode(volume, cx);
  },
};

function noteHead(volume: ExfatVolume, { geometry, doubt, damagedAt }: Head, cx: Cx): void {
  const add = (at: number, code: string, effect: string) =>
    volume.damage.push(cx.damage(at, code, 'a boot region with its checksum', 'another', effect));
  if (doubt !== undefined) add(geometry.bootAt, doubt, 'its copy is lost as well, and all of the volume is inferred');
  else if (damagedAt === 0) add(0, 'exfat.boot', 'the copy of it, which has its checksum, is used');
  else if (damagedAt !== undefined)
    add(damagedAt, 'exfat.boot.copy', 'the one at the start has its checksum, and is used');
}

async function filesystemNode(volume: ExfatVolume, cx: Cx): Promise<Node> {
  const { geometry: g, source, root } = volume;
  const { doubts } = await volume.open(root);
  if (g.bytes > source.size) {
    const effect = `the last ${g.bytes - source.size} bytes of the volume are missing`;
    volume.damage.push(cx.damage(72, 'exfat.truncated', `${g.bytes} bytes`, String(source.size), effect));
  }
  for (const { at, code, expected, actual } of doubts)
    volume.damage.push(cx.damage(at, code, expected, actual, 'entries of this directory may be missing or wrong'));
  const label = volume.label ?? '';
  const serial = g.boot.serial.toString(16).toUpperCase().padStart(8, '0');
  const isDirty = (g.boot.flags & DIRTY) !== 0;
  const node = rootNode(
    volume,
    root,
    cx.self,
    label === '' ? 'exFAT' : Buffer.from(label).toString('latin1'),
    volume.damage,
  );
  return {
    ...node,
    format: 'exFAT file system',
    notices: isDirty ? ['it was not unmounted, so its last changes may be incomplete'] : [],
    facts: {
      size: Math.min(g.bytes, source.size),
      details: {
        label: printable(Buffer.from(label).toString('latin1')),
        serial: `${serial.slice(0, 4)}-${serial.slice(4)}`,
        clusterSize: g.cluster,
        clusters: g.boot.clusters,
        ...(g.boot.percentInUse <= ALL_PERCENT && { percentInUse: g.boot.percentInUse }),
      },
    },
  };
}
