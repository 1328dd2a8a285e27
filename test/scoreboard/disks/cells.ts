/** Cells of the scoreboard of disks: one layout of a virtual disk with one of its structures gone. */

import { damaged, damages, layoutAbsent, layouts, make } from '../../formats/qcow2-images.ts';
import { type Damage, deltaDamages, hostedDamages, streamDamages } from '../../formats/vmdk-damages.ts';
import { DELTA_LOSSES, HOSTED_LOSSES, type SparseKind, sparseOf } from '../../formats/vmdk-guests.ts';
import { seeded } from '../../make/content.ts';
import { disk, type MadeDisk } from '../../make/disk/content.ts';
import { makeVdi } from '../../make/disk/vdi.ts';
import { makeVhd } from '../../make/disk/vhd.ts';
import { makeVhdx } from '../../make/disk/vhdx.ts';
import { converted, rawDisk } from '../../make/disks.ts';
import { cowdDelta } from '../../make/machine/cowd.ts';
import { seDelta } from '../../make/machine/se-delta.ts';
import { streamDisk } from '../../make/machine/stream.ts';
import { type GuestKind, guestAbsent, guestImage } from '../guests.ts';

export const SEED = 20_261_123;
const MIB = 1024 * 1024;
const VMDK_SIZE = 40 * MIB;
const SECTOR = 512;
const SECTORS = VMDK_SIZE / SECTOR;

/** Files of a disk, and what it holds. */
export interface DiskCase {
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** The file that is opened, and the one that is damaged. */
  readonly top: string;
  readonly extent: string;
  readonly truth: Uint8Array;
}

export interface DiskCell {
  /** GROUP/LAYOUT/DAMAGE */
  readonly id: string;
  readonly group: string;
  readonly layout: string;
  readonly damage: string;
  /** What qemu-img calls the format. */
  readonly peer: string;
  /** Why it cannot be whole, where that is known. */
  readonly because?: string;
  /** The damaged disk; undefined where the damage does not apply to it. */
  make(): DiskCase | undefined;
}

/** Damages by name to the one file of a disk that they are made for. */
type Damages = Readonly<Record<string, Damage>>;

/** Made disks of one layout stand next to each other in the list: only the last is kept. */
function once<T>(work: () => T): () => T {
  return () => {
    if (kept?.work !== work) kept = { work, made: work() };
    return kept.made as T;
  };
}
let kept: { readonly work: unknown; readonly made: unknown } | undefined;

/** Cells of a layout whose damages can only be told once it is made. `names` are all that there may be. */
function cellsOf(
  group: string,
  layout: string,
  peer: string,
  names: readonly string[],
  made: () => { readonly whole: DiskCase; readonly damages: Damages },
): DiskCell[] {
  const get = once(made);
  return names.map((damage) => ({
    id: `${group}/${layout}/${damage}`,
    group,
    layout,
    damage,
    peer,
    make: () => {
      const { whole, damages: all } = get();
      const bytes = all[damage]?.(whole.files[whole.extent], SEED);
      return bytes && { ...whole, files: { ...whole.files, [whole.extent]: bytes } };
    },
  }));
}

function qcow2Cells(): DiskCell[] {
  return layouts.flatMap((layout) => {
    const why = layoutAbsent(layout);
    if (why !== undefined) throw new Error(`${layout.name} cannot be made here: ${why}. Run node tools/peers.cjs.`);
    const get = once(() => make(layout));
    return damages.map(
      (damage): DiskCell => ({
        id: `qcow2/${layout.name}/${damage}`,
        group: 'qcow2',
        layout: layout.name,
        damage,
        peer: 'qcow2',
        make: () => {
          const { bytes, truth, backing } = get();
          const below = backing === undefined ? {} : { 'disk.raw': backing };
          const name = 'disk.qcow2';
          return { files: { [name]: damaged(bytes, damage), ...below }, top: name, extent: name, truth };
        },
      }),
    );
  });
}

const descriptor = (type: string, kind: string, file: string): Uint8Array =>
  Buffer.from(
    `# Disk DescriptorFile\nversion=1\nCID=00000002\nparentCID=ffffffff\ncreateType="${type}"\n# Extent description\nRW ${SECTORS} ${kind} "${file}"\n`,
  );

function patched(patches: readonly { at: number; bytes: Uint8Array }[]): Uint8Array {
  const out = new Uint8Array(VMDK_SIZE);
  for (const { at, bytes } of patches) out.set(bytes.subarray(0, VMDK_SIZE - at), at);
  return out;
}

function vmdkCells(): DiskCell[] {
  const tables = Math.ceil(SECTORS / 65536);
  const hosted = hostedDamages(tables, 21);
  return [
    ...cellsOf('vmdk sparse', 'monolithicSparse', 'vmdk', Object.keys(hosted), () => {
      const truth = rawDisk(VMDK_SIZE, SEED);
      const files = converted(truth, 'monolithicSparse');
      return { whole: { files, top: 'd.vmdk', extent: 'd.vmdk', truth }, damages: hosted };
    }),
    ...guestCells('vmdk sparse', 'monolithicSparse', HOSTED_LOSSES, ['ext4', 'ntfs', 'xfs']),
    ...cellsOf('vmdk stream', 'streamOptimized', 'vmdk', Object.keys(streamDamages(new Map())), () => {
      const truth = rawDisk(VMDK_SIZE, SEED);
      const { bytes, grains } = streamDisk(truth, 'd.vmdk');
      return {
        whole: { files: { 'd.vmdk': bytes }, top: 'd.vmdk', extent: 'd.vmdk', truth },
        damages: streamDamages(grains),
      };
    }),
    ...cellsOf('seSparse', 'delta', 'vmdk', Object.keys(deltaDamages(0, [], 0, 1, 8)), () => {
      const { bytes, patches, directory, tables: at } = seDelta(SECTORS, SEED);
      const files = { 'd.vmdk': descriptor('seSparse', 'SESPARSE', 'd-sesparse.vmdk'), 'd-sesparse.vmdk': bytes };
      const places = [0, 1].map((i) => at / SECTOR + i * 64);
      const all = deltaDamages(directory / SECTOR, places, 64, Math.ceil(SECTORS / 32768), 8);
      return { whole: { files, top: 'd.vmdk', extent: 'd-sesparse.vmdk', truth: patched(patches) }, damages: all };
    }),
    ...guestCells('seSparse', 'seSparse', DELTA_LOSSES, ['ext4', 'ntfs']),
    ...cellsOf('vmfsSparse', 'delta', 'vmdk', Object.keys(deltaDamages(0, [], 0, 1, 4)), () => {
      const { bytes, patches } = cowdDelta(SECTORS, SEED);
      const slots = Math.ceil(SECTORS / 4096);
      const files = { 'd.vmdk': descriptor('vmfsSparse', 'VMFSSPARSE', 'd-delta.vmdk'), 'd-delta.vmdk': bytes };
      const places = [...new Uint32Array(bytes.slice(2048, 2048 + slots * 4).buffer)].filter((at) => at > 0);
      const all = deltaDamages(4, places, 32, slots, 4);
      return { whole: { files, top: 'd.vmdk', extent: 'd-delta.vmdk', truth: patched(patches) }, damages: all };
    }),
    ...guestCells('vmfsSparse', 'vmfsSparse', DELTA_LOSSES, ['ext4', 'ntfs']),
  ];
}

const GUEST_MIB = 48;

/** Disks with a guest: what no table leads to is had by what the guest says. */
function guestCells(
  group: string,
  kind: SparseKind,
  losses: readonly string[],
  guests: readonly GuestKind[],
): DiskCell[] {
  return guests.flatMap((guest) =>
    cellsOf(group, `${kind} with ${guest}`, 'vmdk', losses, () => {
      const why = guestAbsent(guest);
      if (why !== undefined)
        throw new Error(`A guest with ${guest} cannot be made here: ${why}. Run node tools/peers.cjs.`);
      const truth = guestImage({ kind: guest, mib: GUEST_MIB, seed: SEED % 1000, fill: 0.5 });
      const { damages: all, extent, files, top } = sparseOf(kind, truth);
      return { whole: { files, top, extent, truth }, damages: all };
    }),
  );
}

/** Each structure of a made disk zeroed and overwritten, and the disk cut off. */
function partDamages({ parts }: MadeDisk): Damages {
  const out: Record<string, Damage> = { nothing: (bytes) => bytes };
  for (const { name, at, length } of parts) {
    const put =
      (content: Uint8Array): Damage =>
      (bytes) => {
        const copy = Uint8Array.from(bytes);
        copy.set(content.subarray(0, Math.max(0, copy.length - at)), at);
        return copy;
      };
    out[`${name} zeroed`] = put(new Uint8Array(length));
    out[`${name} noise`] = put(seeded(SEED + at, length).read(0, length));
  }
  out['cut off at 60 %'] = (bytes) => bytes.slice(0, Math.floor(bytes.length * 0.6));
  return out;
}

function blockCells(): DiskCell[] {
  const large = disk(SEED % 1000, MIB, 12, 50);
  const inOrder = disk(SEED % 1000, MIB, 12, 100, false);
  const vhdDisk = disk((SEED % 1000) + 2, 2 * MIB, 8, 50);
  const kinds: readonly (readonly [string, string, string, Uint8Array, () => MadeDisk])[] = [
    ['vdi', 'dynamic', 'vdi', large.raw, () => makeVdi({ disk: large })],
    ['vdi', 'dynamic 1 MiB', 'vdi', large.raw, () => makeVdi({ disk: large, align: MIB })],
    ['vdi', 'filled in order', 'vdi', inOrder.raw, () => makeVdi({ disk: inOrder, align: MIB })],
    ['vdi', 'fixed', 'vdi', large.raw, () => makeVdi({ disk: large, type: 2 })],
    ['vhd', 'dynamic', 'vpc', vhdDisk.raw, () => makeVhd({ disk: vhdDisk })],
    ['vhd', 'fixed', 'vpc', vhdDisk.raw, () => makeVhd({ disk: vhdDisk, type: 2 })],
    ['vhdx', 'dynamic', 'vhdx', large.raw, () => makeVhdx({ disk: large })],
    ['vhdx', 'filled in order', 'vhdx', inOrder.raw, () => makeVhdx({ disk: inOrder })],
    ['vhdx', 'fixed', 'vhdx', large.raw, () => makeVhdx({ disk: large, fixed: true })],
    ['vhdx', 'not closed', 'vhdx', large.raw, () => makeVhdx({ disk: large, open: true })],
  ];
  return kinds.flatMap(([group, layout, peer, truth, work]) => {
    const made = once(work);
    const name = `d.${group}`;
    return cellsOf(group, layout, peer, Object.keys(partDamages(made())), () => ({
      whole: { files: { [name]: made().bytes }, top: name, extent: name, truth },
      damages: partDamages(made()),
    }));
  });
}

/** All cells, those of one layout next to each other. */
export function diskCells(): DiskCell[] {
  return [...qcow2Cells(), ...vmdkCells(), ...blockCells()];
}
