/** VMFS3, VMFS5 and VMFS6: the file system of ESX and ESXi datastores. */

import { inQuotes } from '../../../codec/shell.ts';
import { vmwareUuid } from '../../../codec/vmware-uuid.ts';
import type { Damage } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { printable } from '../../../core/locator.ts';
import type { Mask } from '../../../core/mask.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { flatten } from '../../../core/resolve.ts';
import { MISSING, RunList } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { CarvedOf } from './carve-node.ts';
import { farHeader, hasFar } from './far.ts';
import { rootNode } from './files.ts';
import { vmfsFinder } from './find.ts';
import { freedBlocks } from './freed.ts';
import { readHeartbeats } from './heartbeats.ts';
import { ResidueOf } from './residue.ts';
import {
  DENSE_SUB_BLOCKS,
  FS_HEADER_AT,
  FS_MAGIC,
  FS_MAGIC_LOCAL,
  type FsHeader,
  fsHeader,
  HEARTBEATS_AT,
  heartbeat,
} from './structs.ts';
import { hasTraces, rebuiltHeader } from './traces.ts';
import { Volume } from './volume.ts';
import { maskWritten } from './written.ts';

/** Bytes at the start of a volume that hold its header, its heartbeats and its first descriptors. */
const START_BYTES = 16 * 1024 * 1024;

/** Heartbeats that are named byte by byte: one of each host that may have had the volume mounted, and some more. */
const SHOWN_HEARTBEATS = 64;

export const vmfs: Format = {
  id: 'vmfs',
  layer: 'filesystem',
  title: 'VMFS file system',
  spec: 'vmfs.md',
  gaps: [
    'Deleted files come back from descriptors, journals, directories and pointer blocks that survive in metadata areas.',
    'Records of the VMFS6 journal are not decoded: descriptors and directory blocks in it are found by their signatures.',
    'Where all structures at its start are lost, a volume is known by clusters: on block borders of its first 96 MiB, or anywhere after a scan. The size of blocks is then known from descriptors that are left, else likely at best.',
    'Raw device mappings are listed; the data is on the mapped disk.',
    'A partly to-be-zeroed VMFS6 block reads as zeros, graded inferred.',
  ],
  laid: [
    { table: fsHeader, at: FS_HEADER_AT },
    { table: heartbeat, at: HEARTBEATS_AT, times: SHOWN_HEARTBEATS },
  ],
  find: vmfsFinder,
  async probe(source, cx) {
    const header = await readHeader(source);
    if (header !== undefined) return fsHeader.violations(header).length === 0 ? 95 : 40;
    if (await hasTraces(source, 0)) return 30;
    if (cx.isKnown !== true && (await hasFar(source, 0, cx))) return 20;
    return isVolume(cx) && (await startIsLost(source)) ? 8 : 0;
  },
  async open(source, cx) {
    const header = await readHeader(source);
    if (header === undefined) return openWithoutHeader(source, cx);
    const volume = await Volume.open(source, repaired(header), cx);
    volume.damage.push(...headerDamage(header, cx));
    return filesystemNode(volume, cx, true);
  },
};

/** A volume that lay there before what is there now; `header` was rebuilt. All of it is inferred at most. */
export async function openOlder(source: Source, header: FsHeader, cx: Cx): Promise<Node> {
  const volume = await Volume.open(source, header, cx, 'vmfs.older');
  const effect = 'what is left of the older volume is put together from what knows its own position';
  volume.damage.push(cx.damage(FS_HEADER_AT, 'vmfs.older', 'a VMFS file-system header', 'that of a newer one', effect));
  return filesystemNode(volume, cx);
}

/** Enters into `mask` what a live volume wrote; false where there is none. */
export async function maskLive(source: Source, cx: Cx, mask: Mask): Promise<boolean> {
  const header = await readHeader(source);
  if (header === undefined) return false;
  await maskWritten(await Volume.open(source, repaired(header), cx), mask);
  return true;
}

/** The header is lost: descriptors that know their own positions say how the volume is laid out. */
async function openWithoutHeader(source: Source, cx: Cx): Promise<Node> {
  const { header, effect } =
    (await bySystem(source)) ?? (await byOthers(source, cx)) ?? (await byNothing(source, cx)) ?? NONE;
  if (header === undefined) throw new NotThis('no VMFS file-system header 2 MiB into it, and no system descriptors');
  const volume = await Volume.open(source, header, cx, 'vmfs.header-lost');
  volume.damage.push(cx.damage(FS_HEADER_AT, 'vmfs.header-lost', 'a VMFS file-system header', 'none', effect));
  return filesystemNode(volume, cx);
}

/** A header that stands in for a lost one, and what follows from that. */
interface StandIn {
  readonly header: FsHeader;
  readonly effect: string;
}

const NONE: Partial<StandIn> & { readonly effect: string } = { effect: '' };
const LOST = 'label and UUID are lost, and all bytes are inferred';

async function bySystem(volume: Source): Promise<StandIn | undefined> {
  const header = await rebuiltHeader(volume);
  return header && { header, effect: `the layout follows from the system descriptors; ${LOST}` };
}

/** The system descriptors are lost too: others say where the first one was, clusters further on say the rest. */
async function byOthers(volume: Source, cx: Cx): Promise<StandIn | undefined> {
  const far = await farHeader(volume, cx);
  if (far === undefined) return undefined;
  const { header, clusters } = far;
  const usual = `what they do not say is taken as usual, with blocks of ${header.blockSize / 2 ** 20} MiB`;
  const effect = `the layout follows from ${clusters} resource clusters that know their own positions; ${usual}; ${LOST}`;
  return { header, effect };
}

async function byNothing(source: Source, cx: Cx): Promise<StandIn | undefined> {
  if (!isVolume(cx) || !(await startIsLost(source))) return undefined;
  return { header: standIn(), effect: `no metadata is left; blocks of 1 MiB are taken for usual; ${LOST}` };
}

/** Whether the bytes are those of a volume that says it is of VMFS: of any others that are missing nothing tells what they were. */
function isVolume({ source }: Cx): boolean {
  return /^vmfs-[0-9a-f-]+$|::vmfs-lvm$/.test(source);
}

/** Whether the device that held the start of the volume, and with it all metadata, is not there. */
async function startIsLost(source: Source): Promise<boolean> {
  const list = new RunList(8);
  if (source.size < START_BYTES) return false;
  await flatten(source, 0, START_BYTES, list);
  return list.n === 1 && list.state(0) === MISSING;
}

/** What every VMFS5 has, for a volume of which only data is left: blocks of 1 MiB, in which disks can be recognised. */
function standIn(): FsHeader {
  const blank = fsHeader.decode(new Uint8Array(fsHeader.size));
  const sizes = {
    sectorSize: 512,
    blockSize: 0x100000,
    groupOffset: 0x10000,
    clustersPerGroup: 64,
    subBlockSize: 8192,
  };
  return { ...blank, magic: FS_MAGIC, major: 14, config: DENSE_SUB_BLOCKS, ...sizes };
}

export async function readHeader(source: Source): Promise<FsHeader | undefined> {
  if (source.size < FS_HEADER_AT + 512) return undefined;
  const sector = new Uint8Array(fsHeader.size);
  if ((await source.read(FS_HEADER_AT, sector)).length > 0) return undefined;
  const header = fsHeader.decode(sector);
  return header.magic === FS_MAGIC || header.magic === FS_MAGIC_LOCAL ? header : undefined;
}

/** Fields out of their limits are replaced by what every volume seen has, so that reading can go on. */
function repaired(header: FsHeader): FsHeader {
  const broken = new Set(fsHeader.violations(header).map((v) => v.field));
  const six = header.major >= 24;
  return {
    ...header,
    ...(broken.has('blockSize') && { blockSize: 0x100000 }),
    ...(broken.has('groupOffset') && { groupOffset: 0x10000 }),
    ...(broken.has('clustersPerGroup') && { clustersPerGroup: six ? 8 : header.major >= 14 ? 64 : 32 }),
    ...(broken.has('subBlockSize') && { subBlockSize: !six && header.major >= 14 ? 8192 : 65536 }),
  };
}

function headerDamage(header: FsHeader, cx: Cx): Damage[] {
  const effect = 'the value that all known volumes have is used in its place';
  return fsHeader
    .violations(header)
    .map((v) => cx.damage(FS_HEADER_AT + v.at, `vmfs.header.${v.field}`, v.expected, v.actual, effect));
}

/** Hosts do not mount a sound volume whose LUN has another ID than the one it was made on; without its header, never. */
function snapshotAdvice(header: FsHeader): string[] {
  if (fsHeader.violations(header).length > 0) return [];
  const { label, uuid } = header;
  const name = label === '' ? vmwareUuid(uuid) : label;
  return [
    `Where a host calls it a snapshot and does not mount it, its LUN only has another ID: esxcfg-volume -M ${inQuotes(printable(name))} mounts it as it is. Do not resignature it: that cannot be undone.`,
  ];
}

/** `isOwn`: the header is the volume's own, as it stands there. */
async function filesystemNode(volume: Volume, cx: Cx, isOwn = false): Promise<Node> {
  const { header, geometry } = volume;
  const root = await rootNode(volume, cx.self, header.label === '' ? 'vmfs' : header.label);
  const hearts = await readHeartbeats(geometry, volume.volume);
  const notices = [];
  if (hearts.inUse.length > 0) {
    notices.push(
      `It was in use by ${hearts.inUse.join(', ')} when this copy was made, so the last changes may be half done.`,
    );
  }
  if (hearts.sound < geometry.heartbeats) {
    notices.push(
      `${geometry.heartbeats - hearts.sound} of ${geometry.heartbeats} heartbeat slots are damaged; reading does not need them.`,
    );
  }
  const residue = new ResidueOf(volume, root.locator);
  const carved = new CarvedOf(volume, root.locator, residue, cx);
  return {
    ...root,
    // The root's own children come first in listings; these are there for who asks by name.
    child: async (rawName) => residue.node(rawName) ?? carved.node(rawName) ?? root.child?.(rawName),
    format: `VMFS${geometry.version} file system`,
    notices,
    ...(isOwn && { advice: snapshotAdvice(header) }),
    look: () => freedBlocks(volume),
    isFree: (at) => volume.allocation.isFree(at),
    facts: {
      ...root.facts,
      size: volume.volume.size,
      details: {
        version: `${header.major}.${header.minor}`,
        label: printable(header.label),
        uuid: vmwareUuid(header.uuid),
        blockSize: geometry.blockSize,
        subBlockSize: geometry.subBlockSize,
        created: header.created,
        hosts: [...hearts.inUse, ...hearts.before].join(', '),
      },
    },
  };
}
