/** Writes a .vbox for VirtualBox. Source: vmconfig.md section 3. */
import { inQuotes } from '../../../codec/shell.ts';
import { dashed } from '../../../core/machine.ts';
import type { MachineWriter, Platform, TargetMachine } from '../../../core/machine-writer.ts';
import { xmlText } from '../xml.ts';
import { xmlWhy } from './reasons.ts';
import { made } from './uuid.ts';

const MIB = 1024 * 1024;

const VIRTUALBOX: Platform = {
  target: 'virtualbox',
  title: 'VirtualBox',
  storage: ['sata', 'lsisas', 'lsilogic', 'virtio-scsi', 'ide', 'buslogic'],
  room: {
    sata: { units: 29, controllers: 1 },
    lsisas: { units: 8, controllers: 1 },
    lsilogic: { units: 16, controllers: 1, taken: 7 },
    buslogic: { units: 16, controllers: 1, taken: 7 },
    'virtio-scsi': { units: 16, controllers: 1 },
    ide: { units: 3, controllers: 1 },
  },
  cards: ['e1000', 'pcnet', 'virtio'],
  // The newer board has places for more cards, the older one has not.
  most: { processors: 64, cards: 8 },
  variant: 'vdi',
  ending: '.vdi',
  parts: [],
  network: 'NAT',
  sameAs: '',
  guests: 'virtualbox',
  hasVirtio: false,
};

/** Settings that all versions from 5.1 on read; the controller of virtio came with 6.1. */
const SETTINGS = '1.16-linux';
const SETTINGS_VIRTIO = '1.18-linux';
const TYPES: Readonly<Record<string, readonly [string, string, number]>> = {
  sata: ['SATA', 'AHCI', 30],
  ide: ['IDE', 'PIIX4', 2],
  lsisas: ['LsiLogic SAS', 'LsiLogicSas', 8],
  lsilogic: ['SCSI', 'LsiLogic', 16],
  buslogic: ['SCSI', 'BusLogic', 16],
  'virtio-scsi': ['VirtIO', 'VirtioSCSI', 16],
};
const CARDS: Readonly<Record<string, string>> = { e1000: '82545EM', pcnet: 'Am79C973', virtio: 'virtio' };
/** Cards of one model that are others for a guest, which keeps its settings for the one it had. */
const SAME = ['82540EM', '82543GC', '82545EM', 'Am79C970A', 'Am79C973', 'virtio'];

/** The very card that it was, where the configuration calls it as VirtualBox does. */
function cardType({ model, word }: TargetMachine['cards'][number]): string {
  return word !== undefined && SAME.includes(word) ? word : CARDS[model];
}

export const vboxWriter: MachineWriter = {
  platform: VIRTUALBOX,
  names: (stem, count) => Array.from({ length: count }, (_, i) => `${stem}-disk${i}.vdi`),
  write: (machine) => [{ name: `${machine.stem}.vbox`, text: vboxText(machine), what: 'the machine for VirtualBox' }],
  steps: ({ stem }, folder) => [
    `Keep the files together; then VBoxManage registervm ${inQuotes(`${folder}/${stem}.vbox`)}, or open it with "Machine, Add".`,
    'The network cards are on NAT: choose the network that they were on before others rely on the machine.',
  ],
};

function vboxText(machine: TargetMachine): string {
  const { name, memory, processors, firmware, board, localTime, disks, storage, guest, uuid } = machine;
  const id = dashed(uuid ?? made(machine));
  const why = (what: string): string => xmlWhy(machine, what);
  const lines = [
    '<?xml version="1.0"?>',
    '<!-- Written by Salvor. Look over what is guessed before the machine is started. -->',
    `<VirtualBox xmlns="http://www.virtualbox.org/" version="${storage === 'virtio-scsi' ? SETTINGS_VIRTIO : SETTINGS}">`,
    `  <Machine uuid="{${id}}" name="${xmlText(name)}" OSType="${guest}" snapshotFolder="Snapshots" lastStateChange="1970-01-01T00:00:00Z">${why('UUID')}${why('guest')}`,
    '    <MediaRegistry>',
    '      <HardDisks>',
    ...disks.map(
      ({ file, uuid: own }, i) =>
        `        <HardDisk uuid="{${dashed(own ?? made(machine, i))}}" location="${xmlText(file)}" format="VDI" type="Normal"/>${why(`disk ${i}`)}`,
    ),
    '      </HardDisks>',
    '    </MediaRegistry>',
    '    <Hardware>',
    `      <CPU count="${processors}">${why('processors')}`,
    '        <PAE enabled="true"/>',
    `        <LongMode enabled="${machine.bits === 64}"/>`,
    '      </CPU>',
    `      <Memory RAMSize="${memory / MIB}"/>${why('memory')}`,
    `      <Firmware type="${firmware === 'efi' ? 'EFI' : 'BIOS'}"/>${why('firmware')}`,
    '      <HID Pointing="USBTablet"/>',
    `      <Chipset type="${board === 'q35' ? 'ICH9' : 'PIIX3'}"/>${why('board')}`,
    '      <Boot>',
    '        <Order position="1" device="HardDisk"/>',
    '        <Order position="2" device="DVD"/>',
    '        <Order position="3" device="None"/>',
    '        <Order position="4" device="None"/>',
    '      </Boot>',
    '      <Display VRAMSize="16"/>',
    '      <BIOS>',
    '        <IOAPIC enabled="true"/>',
    '      </BIOS>',
    '      <USB>',
    '        <Controllers>',
    '          <Controller name="OHCI" type="OHCI"/>',
    '        </Controllers>',
    '      </USB>',
    '      <Network>',
    ...machine.cards.flatMap((card, i) => [
      `        <Adapter slot="${i}" enabled="true"${card.mac === undefined ? '' : ` MACAddress="${card.mac.replaceAll(':', '').toUpperCase()}"`} cable="true" type="${cardType(card)}">${why(`network ${i}`)}`,
      '          <NAT/>',
      '        </Adapter>',
    ]),
    '      </Network>',
    `      <RTC localOrUTC="${localTime ? 'local' : 'UTC'}"/>${why('clock')}`,
    '    </Hardware>',
    '    <StorageControllers>',
    ...controllerLines(machine, why),
    '    </StorageControllers>',
    '  </Machine>',
    '</VirtualBox>',
  ];
  return `${lines.join('\n')}\n`;
}

function controllerLines(machine: TargetMachine, why: (what: string) => string): string[] {
  const { storage, disks, cdrom } = machine;
  const [name, type, ports] = TYPES[storage];
  const isIde = storage === 'ide';
  const hasOwn = isIde || storage === 'sata';
  const attach = (kind: string, port: number, device: number, image: string | undefined): string[] => [
    `        <AttachedDevice type="${kind}" hotpluggable="false" port="${port}" device="${device}"${kind === 'DVD' ? ' passthrough="false"' : ''}>`,
    ...(image === undefined ? [] : [`          <Image uuid="{${dashed(image)}}"/>`]),
    '        </AttachedDevice>',
  ];
  const drive = isIde ? attach('DVD', 1, 1, undefined) : attach('DVD', 29, 0, undefined);
  return [
    `      <StorageController name="${name}" type="${type}" PortCount="${ports}" useHostIOCache="${isIde}" Bootable="true">${why('storage')}`,
    ...disks.flatMap(({ uuid, unit }, i) =>
      isIde
        ? attach('HardDisk', i >> 1, i & 1, uuid ?? made(machine, i))
        : attach('HardDisk', unit, 0, uuid ?? made(machine, i)),
    ),
    ...(cdrom && hasOwn ? drive : []),
    '      </StorageController>',
    ...(cdrom && !hasOwn
      ? [
          '      <StorageController name="IDE" type="PIIX4" PortCount="2" useHostIOCache="true" Bootable="true">',
          ...attach('DVD', 1, 0, undefined),
          '      </StorageController>',
        ]
      : []),
  ];
}
