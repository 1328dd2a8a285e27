/** From what a machine will be to the arguments of qemu: what was decided, within what this computer can do. */
import type { StorageKind } from '../../core/guest.ts';
import { dashed } from '../../core/machine.ts';
import type { Decision, TargetMachine } from '../../core/machine-writer.ts';
import { qemuCard, qemuDisk } from '../../formats/index.ts';
import { ServeError } from '../error.ts';
import type { Accelerator } from './accelerator.ts';

/** What a person asked for, and what this machine can do. */
export interface Wishes {
  /** MiB. */
  readonly memory?: number;
  readonly network: boolean;
  readonly display: string;
  readonly accelerator: Accelerator;
  readonly processors: number;
  readonly hostMemory: number;
  /** Code and variables of the EFI firmware; undefined where it is not installed. */
  readonly efi: { readonly code: string; readonly variables: string } | undefined;
}

/** Buses that a person can choose. */
export const BUSES = [
  'ide',
  'sata',
  'pvscsi',
  'lsisas',
  'nvme',
  'virtio',
  'virtio-scsi',
] as const satisfies StorageKind[];
export type Bus = (typeof BUSES)[number];

const MIB: number = 2 ** 20;
/** MiB with which the least of all guests starts. */
const LEAST_MEMORY = 64;
/** Share of the free memory that a guest may take. */
const MEMORY_SHARE = 0.6;

/** What a guest is started with: arguments of qemu, and every choice with its reason. */
export interface Chosen {
  readonly args: string[];
  readonly choices: Decision[];
}

/**
 * Arguments of qemu without program, serial line and monitor, which belong to whoever starts it. `overlays`: the files
 * that take the guest's writes, in the order of the machine's disks.
 */
export function choose(machine: TargetMachine, overlays: readonly string[], wishes: Wishes): Chosen {
  const choices = machine.decisions.map((one) => ({ ...one }));
  const pick: Take = (what, value, reason) => {
    const known = choices.findIndex((one) => one.what === what);
    if (known < 0) choices.push({ what, value, reason });
    else choices[known] = { what, value, reason };
    return value;
  };
  // What evidence says comes in as checked numbers and words of tables only; still, nothing else of the host is within reach.
  const args = ['-nodefaults', '-no-user-config', '-machine', machine.board];
  args.push('-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny');
  pick('processor', wishes.accelerator.value, wishes.accelerator.reason);
  args.push(...wishes.accelerator.args);
  args.push('-smp', String(processorsOf(machine, wishes, pick)), '-m', `${memoryOf(machine, wishes, pick)}M`);
  args.push(...firmware(machine, wishes, pick), ...plug(machine, overlays), ...networks(machine, wishes.network));
  if (machine.uuid !== undefined) args.push('-uuid', dashed(machine.uuid));
  if (machine.localTime) args.push('-rtc', 'base=localtime');
  if (machine.tpm) pick('TPM', 'none', 'what the old one held is not in the disks, and none is made up here');
  args.push('-vga', 'std', '-usb', '-device', 'usb-tablet', ...display(wishes.display));
  return { args, choices };
}

type Take = (what: string, value: string, reason: string) => string;

function processorsOf(machine: TargetMachine, wishes: Wishes, pick: Take): number {
  const taken = Math.max(1, Math.min(machine.processors, wishes.processors));
  if (taken !== machine.processors)
    pick('processors', String(taken), `as many as this computer has; the machine had ${machine.processors}`);
  return taken;
}

function memoryOf(machine: TargetMachine, wishes: Wishes, pick: Take): number {
  const wanted = Math.floor(machine.memory / MIB);
  const most = Math.max(LEAST_MEMORY, Math.floor((wishes.hostMemory * MEMORY_SHARE) / MIB));
  if (wishes.memory !== undefined) pick('memory', `${wishes.memory} MiB`, 'as asked for');
  else if (wanted > most)
    pick('memory', `${most} MiB`, `this computer has no more to spare; ${wanted} MiB were wanted`);
  return wishes.memory ?? Math.min(wanted, most);
}

function firmware(machine: TargetMachine, wishes: Wishes, pick: Take): string[] {
  if (machine.firmware === 'bios') return [];
  if (wishes.efi === undefined) {
    const why = machine.decisions.find(({ what }) => what === 'firmware')?.reason ?? 'as was decided';
    throw new ServeError(
      `This machine starts by EFI (${why}), and no EFI firmware for qemu is installed (Debian: apt install ovmf).`,
    );
  }
  pick('firmware file', wishes.efi.code, 'with new variables: those that the old firmware saved are not used');
  if (machine.secureBoot) pick('secure boot', 'off', 'this firmware starts what is there without asking who signed it');
  const drive = (file: string, more: string): string => `if=pflash,format=raw,file=${escaped(file)},${more}`;
  return ['-drive', drive(wishes.efi.code, 'readonly=on'), '-drive', drive(wishes.efi.variables, 'snapshot=on')];
}

function plug({ storage, disks }: TargetMachine, overlays: readonly string[]): string[] {
  const args: string[] = [];
  const made = new Set<string>();
  for (const [i, { controller, unit }] of disks.entries()) {
    const [parent, device] = qemuDisk(storage, controller, unit, i);
    if (parent !== '' && !made.has(parent)) args.push('-device', parent);
    made.add(parent);
    args.push('-drive', `if=none,id=disk${i},format=qcow2,rerror=report,werror=report,file=${escaped(overlays[i])}`);
    args.push('-device', `${device},drive=disk${i},bootindex=${i + 1}`);
  }
  return args;
}

function networks({ cards }: TargetMachine, open: boolean): string[] {
  return cards.flatMap(({ model, mac }, i) => [
    '-netdev',
    `user,id=net${i},restrict=${open ? 'off' : 'on'}`,
    '-device',
    `${qemuCard(model)},netdev=net${i}${mac === undefined ? '' : `,mac=${mac}`}`,
  ]);
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
