/** From a machine's configuration to the arguments of qemu: every choice with its reason. */
import { type CardModel, controllerOf, dashed, type MachineDisk, type MachineModel } from '../../core/machine.ts';
import { ServeError } from '../error.ts';
import type { Accelerator } from './accelerator.ts';

/** One decision, for the person who reads it. */
export interface Choice {
  readonly what: string;
  readonly value: string;
  readonly reason: string;
}

/** A disk that is to be plugged in: where it was, and the overlay that takes its writes. */
export interface BootDisk {
  readonly slot: string;
  readonly said: Pick<MachineDisk, 'bus' | 'controller'> | undefined;
  readonly overlay: string;
}

/** What a person asked for, and what this machine can do. */
export interface Wishes {
  readonly memory?: number;
  readonly bus?: Bus;
  readonly network: boolean;
  readonly display: string;
  readonly accelerator: Accelerator;
  readonly processors: number;
  readonly hostMemory: number;
  /** Code and variables of the EFI firmware; undefined where it is not installed. */
  readonly efi: { readonly code: string; readonly variables: string } | undefined;
}

export const BUSES = ['ide', 'sata', 'pvscsi', 'lsisas', 'nvme', 'virtio'] as const;
export type Bus = (typeof BUSES)[number];

/** Disks that one controller of each kind takes in qemu. */
const ROOM: Readonly<Record<Bus, number>> = { ide: 4, sata: 6, pvscsi: 64, lsisas: 8, nvme: 1, virtio: 1 };
const CONTROLLERS: Readonly<Partial<Record<Bus, string>>> = {
  sata: 'ich9-ahci',
  pvscsi: 'pvscsi',
  lsisas: 'mptsas1068',
};
const CARDS: Readonly<Record<CardModel, string>> = {
  e1000: 'e1000-82545em',
  e1000e: 'e1000e',
  vmxnet3: 'vmxnet3',
  vmxnet: 'pcnet',
  pcnet: 'pcnet',
  virtio: 'virtio-net-pci',
  rtl8139: 'rtl8139',
};
/** MiB for a machine of which nothing says how much it had, and the least that anything starts with. */
const DEFAULT_MEMORY = 2048;
const LEAST_MEMORY = 64;
/** Share of the free memory that a guest may take. */
const MEMORY_SHARE = 0.6;

/** Arguments of qemu without program, serial line and monitor, which belong to whoever starts it. */
export function choose(
  model: MachineModel,
  disks: readonly BootDisk[],
  wishes: Wishes,
): { args: string[]; choices: Choice[] } {
  const choices: Choice[] = [];
  const pick = (what: string, value: string, reason: string): string => {
    choices.push({ what, value, reason });
    return value;
  };
  // What evidence says comes in as checked numbers and words only; still, nothing else of the host is within reach.
  const args = ['-nodefaults', '-no-user-config', '-machine', pick('machine', 'pc', 'the board that VMware imitates')];
  args.push('-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny');
  pick('processor', wishes.accelerator.value, wishes.accelerator.reason);
  args.push(...wishes.accelerator.args);
  const wanted = model.processors?.value ?? 1;
  const cpus = Math.max(1, Math.min(wanted, wishes.processors));
  args.push(
    '-smp',
    pick('processors', String(cpus), said(model.processors?.value, cpus, 'as many as this machine has')),
  );
  args.push('-m', pick('memory', ...memoryOf(model, wishes)));
  args.push(...firmware(model, wishes, pick), ...plug(model, disks, wishes.bus, pick));
  args.push(...networks(model, wishes.network, pick));
  if (model.uuid !== undefined)
    args.push('-uuid', pick('uuid', dashed(model.uuid.value), 'what the guest knows its machine by'));
  if (model.localTime?.value === true)
    args.push('-rtc', `base=${pick('clock', 'localtime', `local time, by ${model.localTime.from}`)}`);
  args.push('-vga', 'std', '-usb', '-device', 'usb-tablet', ...display(wishes.display));
  return { args, choices };
}

type Take = (what: string, value: string, reason: string) => string;

function said(stated: number | undefined, taken: number, limit: string): string {
  if (stated === undefined) return 'nothing says how many it had';
  return stated === taken ? 'as the configuration says' : `${limit}; the configuration says ${stated}`;
}

function memoryOf(model: MachineModel, wishes: Wishes): [string, string] {
  if (wishes.memory !== undefined) return [`${wishes.memory}M`, 'as asked for'];
  const most = Math.floor((wishes.hostMemory * MEMORY_SHARE) / 2 ** 20);
  const stated = model.memory === undefined ? undefined : Math.floor(model.memory.value / 2 ** 20);
  const wanted = stated ?? DEFAULT_MEMORY;
  const taken = Math.max(LEAST_MEMORY, Math.min(wanted, most));
  const why = stated === undefined ? 'nothing says how much it had' : 'as the configuration says';
  return [`${taken}M`, taken === wanted ? why : `this machine has no more to spare; the configuration says ${wanted}`];
}

function firmware(model: MachineModel, wishes: Wishes, pick: Take): string[] {
  if (model.firmware.value === 'bios') {
    pick('firmware', 'bios', 'the configuration asks for no other');
    return [];
  }
  if (wishes.efi === undefined) {
    throw new ServeError(
      'This machine starts by EFI, and no EFI firmware for qemu is installed (Debian: apt install ovmf).',
    );
  }
  pick('firmware', wishes.efi.code, 'the configuration says efi; its saved variables are not used');
  const drive = (file: string, more: string): string => `if=pflash,format=raw,file=${escaped(file)},${more}`;
  return ['-drive', drive(wishes.efi.code, 'readonly=on'), '-drive', drive(wishes.efi.variables, 'snapshot=on')];
}

/** The bus of a disk, and why it is that one. */
function busOf(said: BootDisk['said'], model: MachineModel, asked: Bus | undefined): [Bus, string] {
  if (asked !== undefined) return [asked, 'as asked for'];
  if (said === undefined) return ['sata', 'nothing says what it was plugged into, and nearly all guests know SATA'];
  const own = 'as the configuration says';
  if (said.bus === 'ide' || said.bus === 'sata' || said.bus === 'nvme' || said.bus === 'virtio') return [said.bus, own];
  const controller = controllerOf(model, said)?.model?.value;
  if (controller === 'pvscsi') return ['pvscsi', own];
  if (controller === 'lsisas') return ['lsisas', own];
  const word = controller ?? 'such';
  return ['sata', `no ${word} controller is used here, and nearly all guests know SATA (--bus takes another)`];
}

function plug(model: MachineModel, disks: readonly BootDisk[], asked: Bus | undefined, pick: Take): string[] {
  const args: string[] = [];
  const used = new Map<Bus, number>();
  for (const [i, { slot, said, overlay }] of disks.entries()) {
    const [bus, why] = busOf(said, model, asked);
    const n = used.get(bus) ?? 0;
    used.set(bus, n + 1);
    if (bus === 'ide' && n >= ROOM.ide) throw new ServeError('Only four disks fit on IDE. Choose another with --bus.');
    const unit = n % ROOM[bus];
    const id = `${bus}${Math.floor(n / ROOM[bus])}`;
    if (unit === 0 && CONTROLLERS[bus] !== undefined) args.push('-device', `${CONTROLLERS[bus]},id=${id}`);
    args.push('-drive', `if=none,id=disk${i},format=qcow2,rerror=report,werror=report,file=${escaped(overlay)}`);
    args.push('-device', `${deviceOf(bus, id, unit, n)},drive=disk${i},bootindex=${i + 1}`);
    pick(slot || 'disk', bus, why);
  }
  return args;
}

function deviceOf(bus: Bus, id: string, unit: number, n: number): string {
  if (bus === 'ide') return `ide-hd,bus=ide.${n >> 1},unit=${n & 1}`;
  if (bus === 'sata') return `ide-hd,bus=${id}.${unit}`;
  if (bus === 'nvme') return `nvme,serial=disk${n}`;
  if (bus === 'virtio') return 'virtio-blk-pci';
  return `scsi-hd,bus=${id}.0,channel=0,scsi-id=${unit},lun=0`;
}

function networks(model: MachineModel, open: boolean, pick: Take): string[] {
  const args: string[] = [];
  for (const [i, one] of model.cards.entries()) {
    const mac = one.mac?.value;
    const card = one.model === undefined ? 'e1000-82545em' : CARDS[one.model.value];
    const why = one.model === undefined ? 'the configuration names no card that qemu has' : 'as the configuration says';
    pick(`network ${i}`, card, `${why}; ${open ? 'it reaches outside' : 'it reaches nothing (--network lets it)'}`);
    args.push('-netdev', `user,id=net${i},restrict=${open ? 'off' : 'on'}`);
    args.push('-device', `${card},netdev=net${i}${mac === undefined ? '' : `,mac=${mac}`}`);
  }
  return args;
}

function display(wanted: string): string[] {
  if (wanted === 'none') return ['-display', 'none'];
  if (wanted === 'vnc') return ['-vnc', 'localhost:0,to=99'];
  return ['-display', wanted];
}

/** A file's name inside an option, where a comma ends a value. */
function escaped(file: string): string {
  return file.replaceAll(',', ',,');
}
