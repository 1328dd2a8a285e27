/** NTFS: the file system of Windows guests. */

import { hex } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import type { Laid } from '../../../core/laid.ts';
import { printable } from '../../../core/locator.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import type { Source } from '../../../core/source.ts';
import { readMember } from '../../volume/vmfs-lvm/member.ts';
import { agrees, copyFor, copyOfBoot, type Geometry, primaryBoot } from './boot.ts';
import { valueIn } from './file.ts';
import { rootNode } from './files.ts';
import { Gone } from './gone.ts';
import { withoutBoot } from './headless.ts';
import { isMft, type Opened, openMft, recordAt } from './mft.ts';
import { recordFinder } from './sift.ts';
import {
  bootSector,
  MFT_RECORD,
  nameOf,
  recordHeader,
  VOLUME_DIRTY,
  VOLUME_INFORMATION,
  VOLUME_NAME,
  VOLUME_RECORD,
  volumeInformation,
} from './structs.ts';
import { Volume } from './volume.ts';

/** Bytes that are looked through for records where no boot sector is left. */
const MOST_SIFTED = 256 * 1024 * 1024;
const LEAST = 4096;

const bootLaid: Laid = { table: bootSector, at: 0 };

export const ntfs: Format = {
  id: 'ntfs',
  layer: 'filesystem',
  title: 'NTFS',
  spec: 'guestfs.md part A',
  gaps: [
    'What only the journal ($LogFile) knows is not read; a volume that was not unmounted is told of.',
    'Files that the system compressed with LZX, encrypted and deduplicated files, and files kept in a cloud are missing, with the reason.',
    'Whether two files claim one cluster is checked on volumes of up to 16 million records and 4 TiB in clusters of 4 KiB.',
    `Without both boot sectors, records are looked for at their usual places, in the first ${MOST_SIFTED / 2 ** 20} MiB, and where a scan met them.`,
    'Shadow copies are not entered.',
    'Where the header of a datastore survives beneath it, the datastore is shown; this one is entered with "::ntfs".',
  ],
  laid: [
    bootLaid,
    { table: bootSector, at: -512, mark: { at: 3, text: 'NTFS' } },
    { table: recordHeader, at: { of: bootLaid, field: 'mft', unit: ['sectorSize', 'perCluster'] } },
  ],
  find: recordFinder,
  async probe(source, cx) {
    if (source.size < LEAST) return 0;
    const boot = await primaryBoot(source);
    if (boot === undefined) {
      if ((await copyOfBoot(source)) !== undefined) return 35;
      return (await withoutBoot(source, cx, 0)) === undefined ? 0 : 30;
    }
    // The datastore beneath it, or made over it, is what people come for; it leaves out what this one has taken.
    if ((await readMember(source, '')) !== undefined) return 30;
    return boot.isSigned && (await hasMft(source, boot.geometry)) ? 93 : 60;
  },
  async open(source, cx) {
    const found = await headOf(source, cx);
    if (found === undefined) throw new NotThis('no NTFS boot sector at its start or end, and no record of $MFT');
    const { geometry, opened } = found;
    const volume = new Volume(source, geometry, opened.records, cx, found.doubt ?? opened.doubt);
    if (found.doubt !== undefined) {
      const effect =
        geometry.bootAt === undefined
          ? 'the layout is worked out from the records of $MFT, and all of the volume is inferred'
          : `the copy of it at ${hex(geometry.bootAt)} is used, and all of the volume is inferred`;
      volume.damage.push(cx.damage(0, found.doubt, 'a boot sector that leads to $MFT', 'none', effect));
    } else if (found.other !== undefined) {
      const effect = 'the one at the start leads to $MFT, and is used';
      const at = found.other.bootAt ?? 0;
      volume.damage.push(cx.damage(at, 'ntfs.boot.copy', 'the same as in the boot sector', 'another', effect));
    }
    for (const doubt of opened.doubts) volume.damage.push(volume.note(doubt, 'what else tells of it is used'));
    return filesystemNode(volume, cx);
  },
};

interface Head {
  readonly geometry: Geometry;
  readonly opened: Opened;
  readonly doubt?: string;
  /** The copy of the boot sector, where it says something else. */
  readonly other?: Geometry;
}

/** The layout that leads to a $MFT: of the boot sector, of its copy, or of the records themselves. */
async function headOf(source: Source, cx: Cx): Promise<Head | undefined> {
  if (source.size < LEAST) return undefined;
  const boot = await primaryBoot(source);
  const copy = boot === undefined ? await copyOfBoot(source) : await copyFor(source, boot.geometry);
  const isSame = boot !== undefined && copy !== undefined && agrees(boot.geometry, copy);
  if (boot !== undefined && (await hasMft(source, boot.geometry))) {
    const opened = await openMft(source, boot.geometry, cx);
    if (opened !== undefined) {
      const other = copy === undefined || isSame ? {} : { other: copy };
      return { geometry: boot.geometry, opened, ...other };
    }
  }
  const last = copy ?? (await copyOfBoot(source));
  if (last !== undefined && !isSame && (await hasMft(source, last))) {
    const opened = await openMft(source, last, cx);
    if (opened !== undefined) return { geometry: last, opened, doubt: 'ntfs.boot' };
  }
  const made = await withoutBoot(source, cx, MOST_SIFTED);
  const opened = made === undefined ? undefined : await openMft(source, made, cx);
  if (made !== undefined && opened !== undefined) return { geometry: made, opened, doubt: 'ntfs.boot' };
  // The records of $MFT and its copy are both gone; other records may still say where they stand.
  for (const geometry of [boot?.geometry, last]) {
    const sifted = geometry === undefined ? undefined : await openMft(source, geometry, cx);
    if (geometry !== undefined && sifted !== undefined) return { geometry, opened: sifted };
  }
  return undefined;
}

async function hasMft(source: Source, g: Geometry): Promise<boolean> {
  for (const lcn of [g.mft, g.mirror]) {
    if (isMft(await recordAt(source, lcn * g.cluster, g.record, MFT_RECORD))) return true;
  }
  return false;
}

async function filesystemNode(volume: Volume, cx: Cx): Promise<Node> {
  const g = volume.geometry;
  const { label, version, isDirty } = await aboutVolume(volume);
  const root = await rootNode(volume, cx.self, label === '' ? 'NTFS' : label);
  const gone = new Gone(volume, root.locator);
  if (g.bytes > volume.source.size) {
    const effect = `the last ${g.bytes - volume.source.size} bytes of the volume are missing`;
    const expected = `${g.bytes} bytes`;
    volume.damage.push(cx.damage(0x28, 'ntfs.truncated', expected, String(volume.source.size), effect));
  }
  const notice = 'It was in use when this copy was made; its metadata may be older than what $LogFile knows.';
  return {
    ...root,
    // The root's own children come first in listings; these are there for who asks by name.
    child: async (rawName) => (await gone.node(rawName)) ?? root.child?.(rawName),
    isFree: async (at) => (await volume.bitmap()).isFree(Math.floor(at / g.cluster)),
    format: 'NTFS file system',
    notices: isDirty ? [notice] : [],
    facts: {
      ...root.facts,
      size: Math.min(g.bytes, volume.source.size),
      details: {
        version,
        label: printable(label),
        serial: g.serial,
        clusterSize: g.cluster,
        clusters: g.clusters,
        records: volume.records.count,
        recordSize: g.record,
        state: isDirty ? 'dirty' : 'clean',
      },
    },
  };
}

async function aboutVolume(volume: Volume): Promise<{ label: string; version: string; isDirty: boolean }> {
  const record = await volume.records.get(VOLUME_RECORD);
  const attributes = record === undefined ? [] : (await volume.file(record)).attributes;
  const value = (type: number): Uint8Array | undefined => {
    const one = attributes.find((attribute) => attribute.type === type);
    return one === undefined ? undefined : valueIn(one);
  };
  const name = value(VOLUME_NAME);
  const label = name === undefined ? '' : nameOf(name, 0, name.length >>> 1);
  const bytes = value(VOLUME_INFORMATION);
  if (bytes === undefined || bytes.length < volumeInformation.size) return { label, version: '', isDirty: false };
  const { major, minor, flags } = volumeInformation.decode(bytes);
  return { label, version: `${major}.${minor}`, isDirty: (flags & VOLUME_DIRTY) !== 0 };
}
