/** Writes a configuration for Proxmox's qemu-server. Source: qm.conf, the manual page of qemu-server. */
import { quoted } from '../../../codec/shell.ts';
import { dashed } from '../../../core/machine.ts';
import type { MachineWriter, Platform, TargetMachine } from '../../../core/machine-writer.ts';
import { QEMU_MOST } from './qemu.ts';
import { reasonLines } from './reasons.ts';

const MIB = 1024 * 1024;

const PROXMOX: Platform = {
  target: 'proxmox',
  title: 'Proxmox',
  storage: ['virtio-scsi', 'virtio', 'sata', 'pvscsi', 'ide'],
  room: {
    'virtio-scsi': { units: 31, controllers: 1 },
    virtio: { units: 16, controllers: 1 },
    sata: { units: 5, controllers: 1 },
    pvscsi: { units: 7, controllers: 1 },
    ide: { units: 3, controllers: 1 },
  },
  cards: ['virtio', 'e1000', 'e1000e', 'vmxnet3', 'rtl8139', 'pcnet'],
  most: { ...QEMU_MOST, cards: 32 },
  variant: 'qcow2',
  ending: '.qcow2',
  parts: [],
  network: 'vmbr0',
  sameAs: 'Proxmox',
  guests: 'ostype',
  hasVirtio: true,
};

/** Where a new storage of files keeps disks. */
const STORAGE = 'local';

export const proxmoxWriter: MachineWriter = {
  platform: PROXMOX,
  names: (_, count, number) => Array.from({ length: count }, (_unused, i) => `vm-${number}-disk-${i}.qcow2`),
  write: (machine, _, number) => [
    { name: `${number}.conf`, text: confText(machine, number), what: 'the machine for Proxmox' },
  ],
  steps: ({ disks, firmware }, folder, number) => [
    `See that no machine has the number ${number} (qm list); if one has, take another one in all names and in the configuration.`,
    `Copy the disks: mkdir -p /var/lib/vz/images/${number}; cp ${disks.map(({ file }) => quoted(`${folder}/${file}`)).join(' ')} /var/lib/vz/images/${number}/. The storage "${STORAGE}" has to be allowed to hold disk images.`,
    `Then cp ${quoted(`${folder}/${number}.conf`)} /etc/pve/qemu-server/, and qm start ${number}.`,
    ...(firmware === 'efi'
      ? [`For EFI variables that stay: qm set ${number} --efidisk0 ${STORAGE}:1,efitype=4m.`]
      : []),
  ],
};

function confText(machine: TargetMachine, number: number): string {
  const { storage, disks, firmware, board, cards, uuid, cores, processors, memory, guest, localTime } = machine;
  const scsi = storage === 'virtio-scsi' || storage === 'pvscsi';
  const bus = scsi ? 'scsi' : storage;
  const slots = disks.map((_, i) => `${bus}${i}`);
  const drive = bus === 'ide' ? 'ide3' : 'ide2';
  const lines = [
    // Comments at the top are what the page of the machine shows as its notes.
    '# Written by Salvor. Look over what is guessed before the machine is started.',
    ...reasonLines(machine),
    `bios: ${firmware === 'efi' ? 'ovmf' : 'seabios'}`,
    `boot: order=${slots[0] ?? ''}`,
    `cores: ${cores}`,
    ...(machine.cdrom ? [`${drive}: none,media=cdrom`] : []),
    ...(localTime ? ['localtime: 1'] : []),
    ...(board === 'q35' ? ['machine: q35'] : []),
    `memory: ${memory / MIB}`,
    `name: ${hostName(machine.name)}`,
    ...cards.map(
      ({ model, mac, network }, i) =>
        `net${i}: ${model}${mac === undefined ? '' : `=${mac.toUpperCase()}`},bridge=${/^[\w.-]+$/.test(network) ? network : PROXMOX.network}`,
    ),
    `ostype: ${guest}`,
    ...disks.map(({ file, size }, i) => `${slots[i]}: ${STORAGE}:${number}/${file},size=${sizeText(size)}`),
    ...(scsi ? [`scsihw: ${storage === 'pvscsi' ? 'pvscsi' : 'virtio-scsi-pci'}`] : []),
    ...(machine.serial ? ['serial0: socket'] : []),
    ...(uuid === undefined ? [] : [`smbios1: uuid=${dashed(uuid)}`]),
    `sockets: ${processors / cores}`,
  ];
  return `${lines.join('\n')}\n`;
}

/** Sizes in the largest unit that they are whole in. */
function sizeText(bytes: number): string {
  const units = ['', 'K', 'M', 'G', 'T'];
  let power = 0;
  let value = bytes;
  while (power < units.length - 1 && value % 1024 === 0 && value > 0) {
    value /= 1024;
    power++;
  }
  return `${value}${units[power]}`;
}

/** Names are those of hosts there. */
function hostName(name: string): string {
  const text = name.replace(/[^A-Za-z0-9.-]+/g, '-').replace(/^[-.]+|[-.]+$/g, '');
  return text === '' ? 'machine' : text.slice(0, 63);
}
