import { Bytes } from './bytes.ts';
import { masked, patched, seeded } from './content.ts';
import { cowdDelta } from './machine/cowd.ts';
import { type DiskSpec, type GuestDisk, guestDisk } from './machine/guest.ts';
import {
  type ChainText,
  descriptorText,
  hex8,
  type Level,
  logText,
  type MachineText,
  vmsdText,
  vmxText,
} from './machine/text.ts';
import type { Content } from './types.ts';
import type { EntrySpec, Force } from './vmfs/spec.ts';

export type { DiskSpec } from './machine/guest.ts';

/** A virtual machine to be put into a store. */
export interface MachineSpec {
  name: string;
  seed: number;
  disks: readonly DiskSpec[];
  snapshots?: number;
  /** Directory of the store that holds the machine's folder, '' by default. */
  folder?: string;
  time?: number;
  /** Block size of the store, so that holes fall on whole blocks; 1 MiB by default. */
  blockSize?: number;
  /** Layout and place of the -flat.vmdk files. */
  force?: Force;
  place?: EntrySpec['place'];
}

/** A disk's contents: the base, then as seen through each snapshot's delta. */
export interface MachineDisk {
  descriptor: string;
  flat: string;
  size: number;
  levels: Content[];
}

export interface Machine {
  entries: EntrySpec[];
  disks: MachineDisk[];
}

const NVRAM = 8684; // a BIOS machine's .nvram (vmconfig.md 1)

function chain(base: string, count: number, seed: number): Level[] {
  const levels: Level[] = [{ descriptor: `${base}.vmdk`, extent: `${base}-flat.vmdk`, cid: hex8(seed) }];
  for (let s = 1; s <= count; s++) {
    const stem = `${base}-${String(s).padStart(6, '0')}`;
    const parent = levels.at(-1)!;
    levels.push({ descriptor: `${stem}.vmdk`, extent: `${stem}-delta.vmdk`, cid: hex8(seed + s), parent });
  }
  return levels;
}

function baseName(spec: MachineSpec, disk: number): string {
  return disk === 0 ? spec.name : `${spec.name}_${disk}`;
}

function diskEntries(spec: MachineSpec, text: ChainText, guest: GuestDisk, at: string, out: EntrySpec[]): MachineDisk {
  const [base, ...children] = text.levels as [Level, ...Level[]];
  const flat: EntrySpec = {
    path: `${at}${base.extent}`,
    kind: 'file',
    mode: 0o600,
    content: guest.content,
    ranges: guest.ranges,
  };
  if (spec.force !== undefined) flat.force = spec.force;
  if (spec.place !== undefined) flat.place = spec.place;
  out.push(flat, { path: `${at}${base.descriptor}`, kind: 'file', mode: 0o600, content: descriptorText(text, base) });
  const levels: Content[] = [masked(guest.content, guest.ranges, guest.size)];
  for (const [i, child] of children.entries()) {
    const delta = cowdDelta(text.sectors, Number.parseInt(child.cid, 16) + i);
    levels.push(patched(levels.at(-1)!, delta.patches));
    out.push({ path: `${at}${child.extent}`, kind: 'file', mode: 0o600, content: delta.bytes });
    out.push({ path: `${at}${child.descriptor}`, kind: 'file', mode: 0o600, content: descriptorText(text, child) });
  }
  return { descriptor: `${at}${base.descriptor}`, flat: `${at}${base.extent}`, size: guest.size, levels };
}

/** All files of a machine in one folder, and what its disks hold as the guest sees them. */
export function machine(spec: MachineSpec): Machine {
  const at = `${spec.folder ?? ''}/${spec.name}/`;
  const snapshots = spec.snapshots ?? 0;
  const guests = spec.disks.map((d, i) => guestDisk(d, spec.seed + 101 * i, spec.blockSize));
  const texts = guests.map(
    (g, i): ChainText => ({
      node: `scsi0:${i < 7 ? i : i + 1}`, // target 7 is the controller
      sectors: g.size / 512,
      thin: g.thin,
      levels: chain(baseName(spec, i), snapshots, spec.seed * 31 + i),
    }),
  );
  const m: MachineText = {
    name: spec.name,
    seed: spec.seed,
    disks: texts,
    snapshots,
    time: spec.time ?? 1_700_000_000,
  };
  const entries: EntrySpec[] = [{ path: at.slice(0, -1), kind: 'directory' }];
  const file = (end: string, content: EntrySpec['content'] & {}, mode = 0o644) =>
    entries.push({ path: `${at}${end}`, kind: 'file', content, mode });
  const disks = guests.map((g, i) => diskEntries(spec, texts[i]!, g, at, entries));
  file(`${spec.name}.vmx`, vmxText(m), 0o755);
  file(`${spec.name}.vmsd`, vmsdText(m));
  file(
    `${spec.name}.nvram`,
    patched(seeded(spec.seed ^ 0x17, NVRAM), [{ at: 0, bytes: new Bytes(8).text(0, 'MRVN').u32(4, 1).data }]),
    0o600,
  );
  for (let s = 1; s <= snapshots; s++) {
    const head = { at: 0, bytes: Uint8Array.of(0xd2, 0xbe, 0xd2, 0xbe, 8, 0, 0, 0) };
    file(`${spec.name}-Snapshot${s}.vmsn`, patched(seeded(spec.seed + s, 28000), [head]), 0o600);
  }
  file('vmware.log', logText(m));
  return { entries, disks };
}

/** Only the files of a machine. */
export function machineEntries(spec: MachineSpec): EntrySpec[] {
  return machine(spec).entries;
}
