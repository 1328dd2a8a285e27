/** Writes libvirt's domain XML, and the same machine as a command line of qemu. Source: vmconfig.md section 2. */
import { inQuotes, quoted } from '../../../codec/shell.ts';
import { dashed } from '../../../core/machine.ts';
import type { MachineWriter, Platform, TargetDisk, TargetMachine } from '../../../core/machine-writer.ts';
import { xmlText } from '../xml.ts';
import { stateSteps, stateTexts } from './libvirt-states.ts';
import { QEMU_MOST, QEMU_ROOM, qemuCard, qemuDisk } from './qemu.ts';
import { reasonLines, xmlWhy } from './reasons.ts';

const MIB = 1024 * 1024;

const KVM: Platform = {
  target: 'kvm',
  title: 'KVM with libvirt',
  storage: ['virtio', 'virtio-scsi', 'sata', 'pvscsi', 'ide', 'lsisas'],
  room: {
    ...QEMU_ROOM,
    // The fourth place is for a drive.
    ide: { units: 3, controllers: 1 },
  },
  cards: ['virtio', 'e1000', 'e1000e', 'vmxnet3', 'rtl8139', 'pcnet'],
  most: QEMU_MOST,
  variant: 'qcow2',
  ending: '.qcow2',
  parts: [],
  network: 'default',
  sameAs: 'libvirt',
  guests: 'osinfo',
  hasVirtio: true,
};

export const libvirtWriter: MachineWriter = {
  platform: KVM,
  names: (stem, count) => Array.from({ length: count }, (_, i) => `${stem}-disk${i}.qcow2`),
  write: (machine, folder) => [
    { name: `${machine.stem}.xml`, text: domainText(machine, folder), what: 'the machine for libvirt' },
    { name: `${machine.stem}.qemu.sh`, text: commandText(machine, folder), what: 'the same machine for qemu alone' },
    ...stateTexts(machine, domainText),
  ],
  steps: ({ name, stem, firmware, inPlace }, folder) => [
    ...(firmware === 'efi' ? ['The host needs EFI firmware for machines (Debian: apt install ovmf).'] : []),
    'libvirt reads disks as a user of its own: move the folder to where that user may read, for example below /var/lib/libvirt/images, and change the paths in the XML.',
    `virsh define ${inQuotes(`${folder}/${stem}.xml`)}, then virsh start --console ${inQuotes(name)}.`,
    `Or without libvirt, to see that it starts: sh ${inQuotes(`${folder}/${stem}.qemu.sh`)}.`,
    ...stateSteps(name, stem, folder, inPlace),
  ],
};

function domainText(machine: TargetMachine, folder: string): string {
  const { name, uuid, memory, processors, cores, board, firmware, secureBoot, localTime, family, tpm, bits, guest } =
    machine;
  const kib = memory / 1024;
  const lines = [
    "<domain type='kvm'>",
    '  <!-- Written by Salvor. Look over what is guessed before the machine is started. -->',
    `  <name>${xmlText(name)}</name>`,
    ...(uuid === undefined ? [] : [`  <uuid>${dashed(uuid)}</uuid>${xmlWhy(machine, 'UUID')}`]),
    ...(guest === '' ? [] : osinfo(guest)),
    `  <memory unit='KiB'>${kib}</memory>${xmlWhy(machine, 'memory')}`,
    `  <currentMemory unit='KiB'>${kib}</currentMemory>`,
    `  <vcpu placement='static'>${processors}</vcpu>${xmlWhy(machine, 'processors')}`,
    firmware === 'efi' ? `  <os firmware='efi'>${xmlWhy(machine, 'firmware')}` : `  <os>${xmlWhy(machine, 'firmware')}`,
    `    <type arch='${bits === 64 || firmware === 'efi' ? 'x86_64' : 'i686'}' machine='${board}'>hvm</type>${xmlWhy(machine, 'board')}`,
    ...(firmware === 'efi' ? features(secureBoot) : []),
    "    <boot dev='hd'/>",
    '  </os>',
    '  <features>',
    '    <acpi/>',
    '    <apic/>',
    ...(family === 'windows' ? HYPERV : []),
    ...(secureBoot ? ["    <smm state='on'/>"] : []),
    '  </features>',
    `  <cpu mode='host-model'>`,
    `    <topology sockets='${processors / cores}' cores='${cores}' threads='1'/>`,
    '  </cpu>',
    `  <clock offset='${localTime ? 'localtime' : 'utc'}'>${xmlWhy(machine, 'clock')}`,
    "    <timer name='rtc' tickpolicy='catchup'/>",
    "    <timer name='pit' tickpolicy='delay'/>",
    "    <timer name='hpet' present='no'/>",
    '  </clock>',
    '  <on_poweroff>destroy</on_poweroff>',
    '  <on_reboot>restart</on_reboot>',
    '  <on_crash>restart</on_crash>',
    '  <devices>',
    ...machine.disks.flatMap((disk, i) => diskLines(machine, disk, i, folder)),
    ...(machine.cdrom ? cdrom(machine) : []),
    ...controllers(machine),
    ...machine.cards.flatMap((card, i) => [
      "    <interface type='network'>",
      ...(card.mac === undefined ? [] : [`      <mac address='${card.mac}'/>`]),
      `      <source network='${xmlText(card.network)}'/>${xmlWhy(machine, `network ${i}`)}`,
      `      <model type='${card.model}'/>`,
      '    </interface>',
    ]),
    "    <serial type='pty'>",
    "      <target port='0'/>",
    '    </serial>',
    "    <input type='tablet' bus='usb'/>",
    ...(tpm ? TPM : []),
    "    <graphics type='vnc' autoport='yes' listen='127.0.0.1'/>",
    '    <video>',
    "      <model type='vga'/>",
    '    </video>',
    "    <memballoon model='none'/>",
    '  </devices>',
    '</domain>',
  ];
  return `${lines.join('\n')}\n`;
}

function osinfo(id: string): string[] {
  return [
    '  <metadata>',
    '    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">',
    `      <libosinfo:os id="${xmlText(id)}"/>`,
    '    </libosinfo:libosinfo>',
    '  </metadata>',
  ];
}

function features(secureBoot: boolean): string[] {
  const on = secureBoot ? 'yes' : 'no';
  return [
    '    <firmware>',
    `      <feature enabled='${on}' name='enrolled-keys'/>`,
    `      <feature enabled='${on}' name='secure-boot'/>`,
    '    </firmware>',
  ];
}

const HYPERV = [
  "    <hyperv mode='custom'>",
  "      <relaxed state='on'/>",
  "      <vapic state='on'/>",
  "      <spinlocks state='on' retries='8191'/>",
  '    </hyperv>',
];
const TPM = ["    <tpm model='tpm-crb'>", "      <backend type='emulator' version='2.0'/>", '    </tpm>'];
const MODELS: Readonly<Record<string, string>> = {
  'virtio-scsi': 'virtio-scsi',
  pvscsi: 'vmpvscsi',
  lsisas: 'lsisas1068',
};

/** vda … vdz, vdaa …: how libvirt calls devices. */
function letters(n: number): string {
  return n < 26 ? String.fromCharCode(97 + n) : letters(Math.floor(n / 26) - 1) + letters(n % 26);
}

function diskLines(machine: TargetMachine, disk: TargetDisk, i: number, folder: string): string[] {
  const { storage } = machine;
  const bus = MODELS[storage] === undefined ? storage : 'scsi';
  const prefix = bus === 'virtio' ? 'vd' : bus === 'ide' ? 'hd' : 'sd';
  const { controller, unit } = disk;
  const ide = bus === 'ide';
  const address = ide
    ? `controller='0' bus='${i >> 1}' target='0' unit='${i & 1}'`
    : storage === 'lsisas' || storage === 'pvscsi'
      ? `controller='0' bus='0' target='${unit}' unit='0'`
      : `controller='${controller}' bus='0' target='0' unit='${unit}'`;
  return [
    `    <disk type='file' device='disk'>${i === 0 ? xmlWhy(machine, 'storage') : ''}`,
    `      <driver name='qemu' type='${disk.format ?? 'qcow2'}' cache='none' discard='unmap'/>`,
    `      <source file='${xmlText(pathOf(folder, disk.file))}'/>${xmlWhy(machine, `disk ${i}`)}`,
    `      <target dev='${prefix}${letters(i)}' bus='${bus}'/>`,
    ...(bus === 'virtio' ? [] : [`      <address type='drive' ${address}/>`]),
    '    </disk>',
  ];
}

/** An empty drive behind all disks: on IDE where the board has it. */
function cdrom(machine: TargetMachine): string[] {
  const isIde = machine.board === 'pc';
  const at = isIde ? (machine.storage === 'ide' ? 3 : 0) : 0;
  const controller = isIde ? 0 : sataControllers(machine);
  const place = isIde
    ? `controller='0' bus='${at >> 1}' target='0' unit='${at & 1}'`
    : `controller='${controller}' bus='0' target='0' unit='0'`;
  return [
    "    <disk type='file' device='cdrom'>",
    `      <target dev='${isIde ? `hd${letters(at)}` : `sd${letters(machine.storage === 'virtio' ? 0 : machine.disks.length)}`}' bus='${isIde ? 'ide' : 'sata'}'/>`,
    '      <readonly/>',
    `      <address type='drive' ${place}/>`,
    '    </disk>',
  ];
}

/** Controllers of SATA that disks take. */
function sataControllers({ storage, disks }: TargetMachine): number {
  return storage === 'sata' ? Math.max(...disks.map(({ controller }) => controller + 1), 0) : 0;
}

function controllers(machine: TargetMachine): string[] {
  const { storage, cdrom: hasDrive, board } = machine;
  const out: string[] = [];
  const sata = sataControllers(machine) + (hasDrive && board === 'q35' ? 1 : 0);
  for (let i = 0; i < sata; i++) out.push(`    <controller type='sata' index='${i}'/>`);
  const model = MODELS[storage];
  if (model !== undefined) out.push(`    <controller type='scsi' index='0' model='${model}'/>`);
  return out;
}

function pathOf(folder: string, file: string): string {
  return folder === '' || file.startsWith('/') ? file : `${folder}/${file}`;
}

function commandText(machine: TargetMachine, folder: string): string {
  const { board, memory, processors, firmware, uuid, localTime, storage, disks, cards } = machine;
  const args = [`-machine ${board},accel=kvm:tcg`, `-m ${memory / MIB}`, `-smp ${processors}`];
  args.push(`-name ${quoted(machine.name.replaceAll(',', ',,'))}`);
  if (uuid !== undefined) args.push(`-uuid ${dashed(uuid)}`);
  if (localTime) args.push('-rtc base=localtime');
  if (firmware === 'efi') args.push('-bios /usr/share/ovmf/OVMF.fd');
  const made = new Set<number>();
  for (const [i, { file, controller, unit }] of disks.entries()) {
    const path = pathOf(folder, file).replaceAll(',', ',,');
    args.push(`-drive ${quoted(`if=none,id=disk${i},format=qcow2,file=${path}`)}`);
    const [parent, device] = qemuDisk(storage, controller, unit, i);
    if (parent !== '' && !made.has(controller)) args.push(`-device ${parent}`);
    made.add(controller);
    args.push(`-device ${device},drive=disk${i},bootindex=${i + 1}`);
  }
  for (const [i, { model, mac }] of cards.entries()) {
    args.push(`-netdev user,id=net${i}`);
    args.push(`-device ${qemuCard(model)},netdev=net${i}${mac === undefined ? '' : `,mac=${mac}`}`);
  }
  args.push('-vga std', '-usb -device usb-tablet');
  return `#!/bin/sh\n# Written by Salvor. The guest writes to the disks that are named here.\n${reasonLines(machine).join('\n')}\nexec qemu-system-x86_64 \\\n  ${args.join(' \\\n  ')} "$@"\n`;
}
