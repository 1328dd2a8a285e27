/** The one list of formats. A new one is a line here. */
import type { Finder } from '../core/finder.ts';
import type { Format } from '../core/format.ts';
import type { Packer } from '../core/packer.ts';
import type { Writer } from '../core/writer.ts';
import { dmg } from './disk/dmg/index.ts';
import { parallels } from './disk/parallels/index.ts';
import { qcow1 } from './disk/qcow1.ts';
import { qcow2 } from './disk/qcow2/index.ts';
import { split } from './disk/split.ts';
import { vdi } from './disk/vdi/index.ts';
import { vhd } from './disk/vhd/index.ts';
import { vhdx } from './disk/vhdx/index.ts';
import { descriptorFinder, sparseFinder } from './disk/vmdk/find.ts';
import { vmdk } from './disk/vmdk/index.ts';
import { qcow2Writer } from './disk/write/qcow2.ts';
import { qcow2Packer } from './disk/write/qcow2-packed.ts';
import { rawWriter } from './disk/write/raw.ts';
import { vdiWriter } from './disk/write/vdi.ts';
import { vhdWriter } from './disk/write/vhd.ts';
import { vhdxWriter } from './disk/write/vhdx.ts';
import { vmdkWriter } from './disk/write/vmdk.ts';
import { streamPacker } from './disk/write/vmdk-stream.ts';
import { btrfs } from './filesystem/btrfs/index.ts';
import { exfat } from './filesystem/exfat/index.ts';
import { ext } from './filesystem/ext/index.ts';
import { fat } from './filesystem/fat/index.ts';
import { guestFinders } from './filesystem/guest.ts';
import { iso } from './filesystem/iso/index.ts';
import { ntfs } from './filesystem/ntfs/index.ts';
import { packedWhole } from './filesystem/packed-whole.ts';
import { recognised } from './filesystem/recognised.ts';
import { sealedFinders } from './filesystem/sealed.ts';
import { tar } from './filesystem/tar/index.ts';
import { vma } from './filesystem/vma/index.ts';
import { vmfs } from './filesystem/vmfs/index.ts';
import { xfs } from './filesystem/xfs/index.ts';
import { vmxFinder } from './machine/find.ts';
import { libvirt } from './machine/libvirt.ts';
import { ovf } from './machine/ovf.ts';
import { pmxcfs } from './machine/pmxcfs.ts';
import { proxmox } from './machine/proxmox.ts';
import { vbox } from './machine/vbox.ts';
import { vmx } from './machine/vmx.ts';
import { array } from './volume/array/index.ts';
import { gptFinder, mbrFinder } from './volume/find.ts';
import { gpt } from './volume/gpt.ts';
import { lost } from './volume/lost.ts';
import { lostGuest } from './volume/lost-guest.ts';
import { lvm2 } from './volume/lvm2/index.ts';
import { mbr } from './volume/mbr.ts';
import { md } from './volume/md/index.ts';
import { vmfsLvm } from './volume/vmfs-lvm/index.ts';

export const formats: readonly Format[] = [
  gpt,
  mbr,
  vmfsLvm,
  lvm2,
  md,
  array,
  vma,
  vmfs,
  ext,
  xfs,
  btrfs,
  ntfs,
  fat,
  exfat,
  iso,
  vmdk,
  qcow2,
  qcow1,
  vdi,
  vhd,
  vhdx,
  parallels,
  dmg,
  split,
  recognised,
  packedWhole,
  vmx,
  libvirt,
  vbox,
  ovf,
  proxmox,
  pmxcfs,
  tar,
  lost,
  lostGuest,
];

/** Endings of file names that disks have which a format opens. */
export const diskEndings: readonly string[] = formats
  .filter(({ layer }) => layer === 'disk')
  .flatMap(({ names }) => names ?? []);

/** Endings of file names that disks have which are nothing but their bytes. */
export const plainEndings: readonly string[] = ['.raw', '.img', '.dd'];

/** Endings of file names of which the bytes are never the disk's own: some format has to open them. */
export const packagedEndings: readonly string[] = diskEndings.filter((ending) => !plainEndings.includes(ending));

/** Whether a file's name ends as those of disks do. */
export function isNamedLikeDisk(rawName: string): boolean {
  const name = rawName.toLowerCase();
  return [...diskEndings, ...plainEndings].some((ending) => name.endsWith(ending));
}

/** All finders of all formats; a scan uses them in one pass. */
export const finders: readonly Finder[] = [
  ...formats.flatMap((format) => (format.find === undefined ? [] : [format.find])),
  gptFinder,
  descriptorFinder,
  sparseFinder,
  vmxFinder,
  mbrFinder,
  ...guestFinders,
  ...sealedFinders,
];

/** Everything that disks can be written as. */
export const writers: readonly Writer[] = [rawWriter, qcow2Writer, vdiWriter, vmdkWriter, vhdWriter, vhdxWriter];

/** Everything that disks can be written as with compressed units. */
export const packers: readonly Packer[] = [qcow2Packer, streamPacker];

export { numberIn } from './machine/proxmox.ts';
export {
  decide,
  kindOf,
  machineWriters,
  qemuCard,
  qemuDisk,
  qemuHere,
  type SourceDisk,
  virtioSteps,
} from './machine/write/index.ts';
