/** Disks with a guest in every kind of sparse VMDK, written from their start to their end, and what can be done to them. */
import { converted } from '../make/disks.ts';
import { cowdOf } from '../make/machine/cowd.ts';
import { seOf } from '../make/machine/se-delta.ts';
import { type Damage, deltaDamages, hostedDamages } from './vmdk-damages.ts';

export type SparseKind = 'monolithicSparse' | 'twoGbMaxExtentSparse' | 'seSparse' | 'vmfsSparse';
export const SPARSE_KINDS: readonly SparseKind[] = [
  'monolithicSparse',
  'twoGbMaxExtentSparse',
  'seSparse',
  'vmfsSparse',
];

/** Files of a disk, the one that is opened, the one that is damaged, and the damages. */
export interface GuestDisk {
  readonly files: Readonly<Record<string, Uint8Array>>;
  readonly top: string;
  readonly extent: string;
  readonly damages: Readonly<Record<string, Damage>>;
}

const SECTOR = 512;
const BLOCK = 4096;
const ZEROS = new Uint8Array(BLOCK);

/** What is lost in these disks: tables that lead to grains, and what leads to tables. */
export const HOSTED_LOSSES: readonly string[] = [
  'nothing',
  'all tables zeroed',
  'all tables noise',
  'one GT zeroed in both',
  'one GT noise in both',
  'a sector of a GT zeroed in both',
  'all before the grains zeroed',
];
export const DELTA_LOSSES: readonly string[] = [
  'nothing',
  'directory zeroed',
  'directory entry zeroed',
  'a table zeroed',
  'a table noise',
  'all tables zeroed',
];

/** A disk that lies on nothing, in a file of the kind. */
export function sparseOf(kind: SparseKind, raw: Uint8Array): GuestDisk {
  if (kind === 'seSparse') return seDisk(raw);
  if (kind === 'vmfsSparse') return cowdDisk(raw);
  const files = converted(raw, kind);
  const isSplit = kind === 'twoGbMaxExtentSparse';
  const damages = hostedDamages(Math.ceil(raw.length / (512 * 65536)), 21);
  return { files, top: 'd.vmdk', extent: isSplit ? 'd-s001.vmdk' : 'd.vmdk', damages };
}

function seDisk(raw: Uint8Array): GuestDisk {
  const { bytes, directory, tables, grains } = seOf(raw);
  const count = Math.floor((grains - tables) / 32768);
  const places = Array.from({ length: count }, (_, i) => tables / SECTOR + i * 64);
  const slots = Math.ceil(raw.length / 2 ** 24);
  const damages = deltaDamages(directory / SECTOR, places, 64, slots, 8);
  return withText('seSparse', 'SESPARSE', 'd-sesparse.vmdk', raw, bytes, damages);
}

function cowdDisk(raw: Uint8Array): GuestDisk {
  const grains: { at: number; bytes: Uint8Array }[] = [];
  // Guests write blocks, not sectors.
  for (let from = 0; from < raw.length; from += BLOCK) {
    if (Buffer.compare(raw.subarray(from, from + BLOCK), ZEROS) === 0) continue;
    for (let at = from; at < from + BLOCK; at += SECTOR)
      grains.push({ at: at / SECTOR, bytes: raw.subarray(at, at + SECTOR) });
  }
  const { bytes } = cowdOf(raw.length / SECTOR, grains);
  const slots = Math.ceil(raw.length / 2 ** 21);
  const places = [...new Uint32Array(bytes.slice(2048, 2048 + slots * 4).buffer)].filter((at) => at > 0);
  const damages = deltaDamages(4, places, 32, slots, 4);
  return withText('vmfsSparse', 'VMFSSPARSE', 'd-delta.vmdk', raw, bytes, damages);
}

function withText(
  type: string,
  kind: string,
  extent: string,
  raw: Uint8Array,
  bytes: Uint8Array,
  damages: GuestDisk['damages'],
): GuestDisk {
  const text = `# Disk DescriptorFile\nversion=1\nCID=00000002\nparentCID=ffffffff\ncreateType="${type}"\n# Extent description\nRW ${raw.length / SECTOR} ${kind} "${extent}"\n`;
  return { files: { 'd.vmdk': Buffer.from(text), [extent]: bytes }, top: 'd.vmdk', extent, damages };
}
