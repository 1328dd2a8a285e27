/** Writes the description of an appliance (OVF). Source: vmconfig.md section 4. */
import { dashed } from '../../../core/machine.ts';
import type { MachineWriter, Platform, TargetMachine } from '../../../core/machine-writer.ts';
import { xmlText } from '../xml.ts';
import { xmlWhy } from './reasons.ts';

const MIB = 1024 * 1024;

const APPLIANCE: Platform = {
  target: 'ovf',
  title: 'an appliance (OVF)',
  storage: ['lsilogic', 'lsisas', 'sata', 'pvscsi', 'nvme', 'ide', 'buslogic'],
  room: {
    lsilogic: { units: 16, controllers: 1, taken: 7 },
    lsisas: { units: 16, controllers: 1, taken: 7 },
    pvscsi: { units: 16, controllers: 1, taken: 7 },
    buslogic: { units: 16, controllers: 1, taken: 7 },
    sata: { units: 29, controllers: 1 },
    nvme: { units: 15, controllers: 1 },
    ide: { units: 2, controllers: 1 },
  },
  cards: ['e1000', 'e1000e', 'vmxnet3', 'pcnet'],
  most: { processors: 128, cards: 10 },
  variant: 'stream',
  ending: '.vmdk',
  parts: [],
  network: 'VM Network',
  sameAs: 'OVF',
  guests: 'vmware',
  hasVirtio: false,
};

/** Controllers as items: their type, and what kind of it. */
const CONTROLLERS: Readonly<Record<string, readonly [number, string]>> = {
  ide: [5, ''],
  lsilogic: [6, 'lsilogic'],
  lsisas: [6, 'lsilogicsas'],
  pvscsi: [6, 'VirtualSCSI'],
  buslogic: [6, 'buslogic'],
  sata: [20, 'vmware.sata.ahci'],
  nvme: [20, 'vmware.nvme.controller'],
};
const CARDS: Readonly<Record<string, string>> = {
  e1000: 'E1000',
  e1000e: 'E1000e',
  vmxnet3: 'VmxNet3',
  pcnet: 'PCNet32',
};
const ATTRIBUTES = [
  'xmlns="http://schemas.dmtf.org/ovf/envelope/1"',
  'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"',
  'xmlns:vmw="http://www.vmware.com/schema/ovf"',
  'xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"',
  'xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"',
];
const STREAM = 'http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized';
/** Instances of items: processors and memory, the controllers, then what hangs on them. */
const STORAGE_ID = 3;
const DRIVES_ID = 4;
const FIRST_ID = 5;

export const ovfWriter: MachineWriter = {
  platform: APPLIANCE,
  names: (stem, count) => Array.from({ length: count }, (_, i) => `${stem}-disk${i}.vmdk`),
  write: (machine) => [
    { name: `${machine.stem}.ovf`, text: ovfText(machine), what: 'the description of the appliance' },
  ],
  hashes: ({ stem }, files) => ({
    name: `${stem}.mf`,
    text: files.map(({ name, sha256 }) => `SHA256(${name})= ${sha256}\n`).join(''),
    what: 'the hashes of its files',
  }),
  archive: '.ova',
  steps: ({ stem }) => [
    `Import '${stem}.ovf' where it is to run, or '${stem}.ova' if it is one file; files that belong together stay together.`,
    'Choose the network of each card before it is connected: importers give new addresses to cards unless they are told to keep them.',
  ],
};

function ovfText(machine: TargetMachine): string {
  const { name, disks, cards, firmware, secureBoot, uuid, guest } = machine;
  const why = (what: string): string => xmlWhy(machine, what);
  const networks = [...new Set(cards.map(({ network }) => network))];
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!-- Written by Salvor. Look over what is guessed before the machine is started. -->',
    `<Envelope ${ATTRIBUTES.join(' ')}>`,
    '  <References>',
    ...disks.map(({ file }, i) => `    <File ovf:id="file${i}" ovf:href="${encodeURIComponent(file)}"/>`),
    '  </References>',
    '  <DiskSection>',
    '    <Info>The disks</Info>',
    ...disks.map(
      ({ size }, i) =>
        `    <Disk ovf:diskId="disk${i}" ovf:fileRef="file${i}" ovf:capacity="${size}" ovf:capacityAllocationUnits="byte" ovf:format="${STREAM}"/>${why(`disk ${i}`)}`,
    ),
    '  </DiskSection>',
    '  <NetworkSection>',
    '    <Info>The networks</Info>',
    ...networks.map((one) => `    <Network ovf:name="${xmlText(one)}"/>`),
    '  </NetworkSection>',
    `  <VirtualSystem ovf:id="${xmlText(name)}">`,
    '    <Info>A machine</Info>',
    `    <Name>${xmlText(name)}</Name>`,
    `    <OperatingSystemSection ovf:id="${machine.family === 'linux' ? 101 : 1}" vmw:osType="${osType(guest)}">${why('guest')}`,
    '      <Info>The guest</Info>',
    '    </OperatingSystemSection>',
    '    <VirtualHardwareSection>',
    '      <Info>What it is made of</Info>',
    '      <System>',
    '        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>',
    '        <vssd:InstanceID>0</vssd:InstanceID>',
    '        <vssd:VirtualSystemType>vmx-14</vssd:VirtualSystemType>',
    '      </System>',
    ...itemLines(machine, why),
    `      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="${firmware}"/>${why('firmware')}`,
    ...(secureBoot
      ? ['      <vmw:Config ovf:required="false" vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="true"/>']
      : []),
    ...(uuid === undefined
      ? []
      : [
          `      <vmw:ExtraConfig ovf:required="false" vmw:key="uuid.bios" vmw:value="${dashed(uuid)}"/>${why('UUID')}`,
        ]),
    '    </VirtualHardwareSection>',
    '  </VirtualSystem>',
    '</Envelope>',
  ];
  return `${lines.join('\n')}\n`;
}

type Field = readonly [string, string | number];

/** An item; its fields in the order of their names, as the schema wants them. */
function item(fields: readonly Field[], more: readonly string[] = [], why = ''): string[] {
  const sorted = [...fields].sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    `      <Item>${why}`,
    ...sorted.map(([key, value]) => `        <rasd:${key}>${xmlText(String(value))}</rasd:${key}>`),
    ...more.map((line) => `        ${line}`),
    '      </Item>',
  ];
}

function itemLines(machine: TargetMachine, why: (what: string) => string): string[] {
  const { processors, cores, memory, storage, disks, cards } = machine;
  const [type, subtype] = CONTROLLERS[storage];
  const hasOwnDrives = machine.cdrom && storage !== 'ide';
  const named = (name: string, id: number, kind: number): Field[] => [
    ['ElementName', name],
    ['InstanceID', id],
    ['ResourceType', kind],
  ];
  let id = FIRST_ID;
  const core = [`<vmw:CoresPerSocket ovf:required="false">${cores}</vmw:CoresPerSocket>`];
  const drive: Field[] = [...named('CD/DVD drive', id++, 15), ['AddressOnParent', 0], ['Parent', DRIVES_ID]];
  return [
    ...item(
      [...named('Processors', 1, PROCESSOR), ['AllocationUnits', 'hertz * 10^6'], ['VirtualQuantity', processors]],
      core,
      why('processors'),
    ),
    ...item(
      [...named('Memory', 2, MEMORY), ['AllocationUnits', 'byte * 2^20'], ['VirtualQuantity', memory / MIB]],
      [],
      why('memory'),
    ),
    ...item(
      [
        ...named('Disk controller', STORAGE_ID, type),
        ['Address', 0],
        ...(subtype === '' ? [] : [['ResourceSubType', subtype] as const]),
      ],
      [],
      why('storage'),
    ),
    ...(machine.cdrom ? item([...named('IDE controller', DRIVES_ID, IDE), ['Address', hasOwnDrives ? 0 : 1]]) : []),
    ...disks.flatMap(({ unit }, i) =>
      item([
        ...named(`Hard disk ${i + 1}`, id++, DISK),
        ['AddressOnParent', unit],
        ['HostResource', `ovf:/disk/disk${i}`],
        ['Parent', STORAGE_ID],
      ]),
    ),
    ...(machine.cdrom ? item(drive) : []),
    ...cards.flatMap(({ model, mac, network }, i) =>
      item(
        [
          ...named(`Network card ${i + 1}`, id++, NETWORK),
          ...(mac === undefined ? [] : [['Address', mac] as const]),
          ['AutomaticAllocation', 'true'],
          ['Connection', network],
          ['ResourceSubType', CARDS[model]],
        ],
        [],
        why(`network ${i}`),
      ),
    ),
  ];
}

const PROCESSOR = 3;
const MEMORY = 4;
const IDE = 5;
const NETWORK = 10;
const DISK = 17;

/** "debian12-64" in the spelling of the interface: "debian12_64Guest". */
function osType(word: string): string {
  return word === 'other-64' ? 'otherGuest64' : `${word.replaceAll('-', '_')}Guest`;
}
