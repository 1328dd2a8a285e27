/** libvirt's domain XML, and the XML of a domain's snapshots. Source: vmconfig.md section 2. */
import type { Format } from '../../core/format.ts';
import { MAX_CHAIN } from '../../core/limits.ts';
import {
  type Card,
  type Controller,
  cardOf,
  countOf,
  type DiskBus,
  familyOf,
  inferred,
  MAX_CARDS,
  MAX_CONTROLLERS,
  MAX_DISKS,
  MAX_MEMORY,
  MAX_PROCESSORS,
  type MachineDisk,
  type MachineModel,
  macOf,
  type Snapshot,
  scsiOf,
  stated,
  uuidOf,
} from '../../core/machine.ts';
import { readText } from '../text.ts';
import { machineNode } from './node.ts';
import { all, type Element, rawOf, readXml, under } from './xml.ts';

/** Bytes in which the root element has to begin. */
const HEAD = 4096;
const ROOT = /<(domain(?=[^>]*\stype\s*=)|domainsnapshot|domstatus)[\s>]/;

export const libvirt: Format = {
  id: 'libvirt',
  layer: 'machine',
  title: 'libvirt domain',
  spec: 'vmconfig.md section 2',
  gaps: ['Disks on the network and in storage pools are shown by their names; where they lie is not followed.'],
  names: ['.xml'],
  async probe(source) {
    if (source.size === 0) return 0;
    return ROOT.test((await readText(source, HEAD)).raw.replaceAll('\0', '')) ? 85 : 0;
  },
  async open(source, cx) {
    const { root, damage, size } = await readXml(source, cx, 'libvirt');
    const machine = root === undefined ? undefined : machineIn(root);
    const extra =
      machine === undefined && root !== undefined
        ? [cx.damage(0, 'libvirt.domain', 'a <domain>', `<${root.name}> without one`, 'no machine is known from it')]
        : [];
    return machineNode(cx, libvirt.title, size, machine === undefined ? [] : [machine], [...damage, ...extra]);
  },
};

function machineIn(root: Element): MachineModel | undefined {
  if (root.name === 'domain') return modelOf(root);
  const domain = under(root, 'domain');
  if (domain === undefined) return undefined;
  if (root.name !== 'domainsnapshot') return { ...modelOf(domain), copy: 'its state while it ran' };
  const snapshot = snapshotOf(root);
  return { ...modelOf(domain), copy: `its state at the snapshot "${snapshot.name}"`, snapshots: [snapshot] };
}

function snapshotOf(root: Element): Snapshot {
  const name = under(root, 'name')?.text ?? '';
  const time = countOf(under(root, 'creationTime')?.text, 2 ** 33);
  const parent = under(root, 'parent', 'name')?.text;
  const disks = all(under(root, 'disks'), 'disk').slice(0, MAX_DISKS);
  return {
    id: name,
    name,
    current: under(root, 'active')?.text === '1',
    disks: disks.map((disk) => ({
      slot: disk.attributes.get('name') ?? '',
      file: rawOf(under(disk, 'source')?.attributes.get('file') ?? ''),
    })),
    from: 'domainsnapshot',
    ...(time !== undefined && { time }),
    ...(parent !== undefined && { parent }),
  };
}

function modelOf(domain: Element): MachineModel {
  const devices = under(domain, 'devices');
  const name = under(domain, 'name')?.text ?? '';
  const uuid = uuidOf(under(domain, 'uuid')?.text);
  const processors = countOf(under(domain, 'vcpu')?.text, MAX_PROCESSORS);
  const cores = countOf(under(domain, 'cpu', 'topology')?.attributes.get('cores'), MAX_PROCESSORS);
  const memory = memoryOf(under(domain, 'memory'));
  const guest = under(domain, 'metadata', 'libosinfo', 'os')?.attributes.get('id');
  const board = under(domain, 'os', 'type')?.attributes.get('machine') ?? '';
  const offset = under(domain, 'clock')?.attributes.get('offset');
  const tpm = under(devices, 'tpm');
  const nvram = under(domain, 'os', 'nvram')?.text;
  return {
    platform: 'libvirt',
    name: stated(name, 'domain/name'),
    ...(uuid !== undefined && { uuid: stated(uuid, 'domain/uuid') }),
    ...firmwareOf(under(domain, 'os')),
    ...(tpm && { tpm: stated(under(tpm, 'backend')?.attributes.get('version') ?? '2.0', 'domain/devices/tpm') }),
    ...(nvram && { nvram: stated(nvram, 'domain/os/nvram') }),
    ...(processors !== undefined && { processors: stated(processors, 'domain/vcpu') }),
    ...(cores !== undefined && { coresPerSocket: stated(cores, 'domain/cpu/topology') }),
    ...(memory !== undefined && { memory: stated(memory, 'domain/memory') }),
    ...(board !== '' && { board: stated(/q35/.test(board) ? 'q35' : 'pc', 'domain/os/type') }),
    ...(guest !== undefined && {
      guest: stated(guest, 'domain/metadata/libosinfo'),
      family: inferred(familyOf(guest), 'domain/metadata/libosinfo'),
    }),
    ...(offset !== undefined && { localTime: stated(offset === 'localtime', 'domain/clock') }),
    controllers: all(devices, 'controller').slice(0, MAX_CONTROLLERS).flatMap(controllerAt),
    disks: all(devices, 'disk').slice(0, MAX_DISKS).flatMap(diskAt),
    cards: all(devices, 'interface').slice(0, MAX_CARDS).map(cardAt),
    snapshots: [],
    serials: all(devices, 'serial')
      .slice(0, MAX_CARDS)
      .map((serial) => stated(serial.attributes.get('type') ?? 'pty', 'domain/devices/serial')),
  };
}

function firmwareOf(os: Element | undefined): Pick<MachineModel, 'firmware' | 'secureBoot'> {
  const loader = under(os, 'loader');
  const said = os?.attributes.get('firmware');
  const secure =
    loader?.attributes.get('secure') === 'yes' ||
    all(under(os, 'firmware'), 'feature').some(
      ({ attributes }) => attributes.get('name') === 'secure-boot' && attributes.get('enabled') === 'yes',
    );
  const isEfi = said === 'efi' || loader?.attributes.get('type') === 'pflash';
  return {
    firmware: isEfi
      ? stated('efi', said === 'efi' ? 'domain/os/@firmware' : 'domain/os/loader')
      : inferred('bios', 'what libvirt takes where <os> names no firmware'),
    ...(secure && { secureBoot: stated(true, 'domain/os/firmware/feature') }),
  };
}

const UNITS: ReadonlyMap<string, number> = new Map([
  ['b', 1],
  ['bytes', 1],
  ['kb', 1e3],
  ['k', 2 ** 10],
  ['kib', 2 ** 10],
  ['mb', 1e6],
  ['m', 2 ** 20],
  ['mib', 2 ** 20],
  ['gb', 1e9],
  ['g', 2 ** 30],
  ['gib', 2 ** 30],
  ['tb', 1e12],
  ['t', 2 ** 40],
  ['tib', 2 ** 40],
]);

function memoryOf(element: Element | undefined): number | undefined {
  const unit = UNITS.get((element?.attributes.get('unit') ?? 'KiB').toLowerCase());
  const count = countOf(element?.text, MAX_MEMORY);
  const bytes = unit === undefined || count === undefined ? undefined : unit * count;
  return bytes !== undefined && bytes <= MAX_MEMORY ? bytes : undefined;
}

const BUSES: ReadonlyMap<string, DiskBus> = new Map([
  ['ide', 'ide'],
  ['sata', 'sata'],
  ['scsi', 'scsi'],
  ['virtio', 'virtio'],
  ['nvme', 'nvme'],
  ['usb', 'usb'],
  ['fdc', 'floppy'],
]);

function controllerAt(element: Element): Controller[] {
  const bus = BUSES.get(element.attributes.get('type') ?? '');
  const number = Number(element.attributes.get('index') ?? 0);
  if (bus === undefined || !Number.isInteger(number) || number < 0 || number > MAX_CONTROLLERS) return [];
  const word = (element.attributes.get('model') ?? '').toLowerCase();
  const model = bus === 'scsi' ? scsiOf(word) : undefined;
  const from = `domain/devices/controller ${bus} ${number}`;
  return [{ bus, number, word, from, ...(model !== undefined && { model: stated(model, from) }) }];
}

/** Buses by how their devices are called, where nothing else says: sda may be of several. */
const BY_LETTER: Readonly<Record<string, DiskBus>> = {
  hd: 'ide',
  sd: 'scsi',
  vd: 'virtio',
  fd: 'floppy',
  nvme: 'nvme',
};

function diskAt(element: Element): MachineDisk[] {
  const { attributes } = element;
  const target = under(element, 'target')?.attributes;
  const slot = target?.get('dev') ?? '';
  const [, letters = '', letter = ''] = /^(hd|sd|vd|fd|nvme)([a-z]{0,3})/.exec(slot) ?? [];
  const bus = BUSES.get(target?.get('bus') ?? '') ?? BY_LETTER[letters];
  if (bus === undefined) return [];
  const said = attributes.get('device') ?? 'disk';
  const isReadOnly = under(element, 'readonly') !== undefined;
  const device = said === 'floppy' ? said : said === 'cdrom' || (said === 'lun' && isReadOnly) ? 'cdrom' : 'disk';
  const { controller, unit } = placeOf(under(element, 'address'), bus, letter);
  const format = under(element, 'driver')?.attributes.get('type');
  return [
    {
      slot,
      device,
      bus,
      controller,
      unit,
      file: sourceOf(element),
      chain: backingOf(element),
      from: `domain/devices/disk ${slot}`,
      ...(format !== undefined && { format }),
    },
  ];
}

/** The name of what a disk lies in, whatever kind of thing that is. */
function sourceOf(element: Element): string {
  const source = under(element, 'source')?.attributes;
  const named = ['file', 'dev', 'name', 'volume'].map((key) => source?.get(key)).find((name) => name !== undefined);
  return rawOf(named ?? '');
}

function backingOf(disk: Element): string[] {
  const out: string[] = [];
  for (
    let at = under(disk, 'backingStore');
    at !== undefined && out.length < MAX_CHAIN;
    at = under(at, 'backingStore')
  ) {
    const file = sourceOf(at);
    if (file !== '') out.push(file);
  }
  return out;
}

function placeOf(address: Element | undefined, bus: DiskBus, letter: string): { controller: number; unit: number } {
  const number = (key: string): number => countOf(address?.attributes.get(key), 16_384) ?? 0;
  if (address?.attributes.get('type') === 'drive') {
    if (bus === 'ide') return { controller: number('bus'), unit: number('unit') };
    return { controller: number('controller'), unit: number('target') || number('unit') };
  }
  let index = 0;
  for (const c of letter) index = index * 26 + c.charCodeAt(0) - 96;
  const unit = Math.max(0, index - 1);
  return bus === 'ide' ? { controller: unit >> 1, unit: unit & 1 } : { controller: 0, unit };
}

const LINKS: ReadonlyMap<string, Card['link']> = new Map([
  ['bridge', 'bridge'],
  ['direct', 'bridge'],
  ['network', 'nat'],
  ['user', 'nat'],
  ['internal', 'internal'],
  ['null', 'none'],
]);

function cardAt(element: Element, number: number): Card {
  const word = (under(element, 'model')?.attributes.get('type') ?? '').toLowerCase();
  const model = cardOf(word);
  const mac = macOf(under(element, 'mac')?.attributes.get('address'));
  const source = under(element, 'source')?.attributes;
  const network = ['bridge', 'network', 'dev', 'name']
    .map((key) => source?.get(key))
    .find((name) => name !== undefined);
  const from = `domain/devices/interface ${number}`;
  return {
    number,
    word,
    link: LINKS.get(element.attributes.get('type') ?? '') ?? 'bridge',
    from,
    ...(model !== undefined && { model: stated(model, from) }),
    ...(mac !== undefined && { mac: stated(mac, from) }),
    ...(network !== undefined && { network: stated(network, from) }),
  };
}
