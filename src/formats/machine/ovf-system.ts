/** One machine of an OVF: its items of hardware. Source: vmconfig.md section 4. */
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
  type Said,
  scsiOf,
  stated,
  uuidOf,
} from '../../core/machine.ts';
import { all, type Element, under } from './xml.ts';

/** A file that a disk lies in. */
export interface Medium {
  readonly file: string;
  readonly format?: string | undefined;
  /** Files below it, the next one first. */
  readonly chain: readonly string[];
}

const MIB = 1024 * 1024;
const PROCESSOR = 3;
const MEMORY = 4;
const IDE = 5;
const SCSI = 6;
const NETWORK = 10;
const FLOPPY = 14;
const CDROMS = [15, 16];
const DISK = 17;
const STORAGE = 20;
const SERIAL = 21;

/** An item with what all of them have. */
interface Item {
  readonly type: number;
  readonly id: string;
  readonly parent: string;
  readonly subtype: string;
  readonly element: Element;
}

function itemsOf(hardware: Element | undefined): Item[] {
  return (hardware?.children ?? [])
    .filter(({ name }) => /^(Item|StorageItem|EthernetPortItem)$/.test(name))
    .map((element) => ({
      element,
      type: countOf(said(element, 'ResourceType'), 1000) ?? (element.name === 'EthernetPortItem' ? NETWORK : 0),
      id: said(element, 'InstanceID') ?? said(element, 'InstanceId') ?? '',
      parent: said(element, 'Parent') ?? '',
      subtype: said(element, 'ResourceSubType') ?? '',
    }));
}

function said(element: Element, name: string): string | undefined {
  return under(element, name)?.text;
}

/** The machine that a <VirtualSystem> describes. */
export function systemModel(system: Element, media: ReadonlyMap<string, Medium>): MachineModel {
  const hardware = under(system, 'VirtualHardwareSection') ?? sectionOf(system, 'VirtualHardware');
  const items = itemsOf(hardware);
  const name = nameOf(system, hardware);
  const processors = countOf(itemValue(items, PROCESSOR, 'VirtualQuantity'), MAX_PROCESSORS);
  const cores = countOf(itemValue(items, PROCESSOR, 'CoresPerSocket'), MAX_PROCESSORS);
  const memory = memoryOf(items);
  const settings = new Map(
    [...all(hardware, 'Config'), ...all(hardware, 'ExtraConfig')].map(({ attributes }) => [
      (attributes.get('key') ?? '').toLowerCase(),
      attributes.get('value') ?? '',
    ]),
  );
  const guest = guestOf(system);
  const uuid = uuidOf(settings.get('uuid.bios') ?? settings.get('uuid'));
  const nvram = media.get((settings.get('nvram') ?? '').replace(/^ovf:\//, ''))?.file;
  const { controllers, disks } = storageOf(items, media);
  return {
    platform: 'OVF',
    name,
    ...(uuid !== undefined && { uuid: stated(uuid, 'vmw:Config uuid') }),
    firmware: firmwareOf(system, settings),
    ...(settings.get('bootoptions.efisecurebootenabled') === 'true' && {
      secureBoot: stated(true, 'vmw:Config bootOptions.efiSecureBootEnabled'),
    }),
    ...(nvram !== undefined && { nvram: stated(nvram, 'vmw:ExtraConfig nvram') }),
    ...(processors !== undefined && { processors: stated(processors, 'Item of type 3') }),
    ...(cores !== undefined && { coresPerSocket: stated(cores, 'vmw:CoresPerSocket') }),
    ...(memory !== undefined && { memory: stated(memory, 'Item of type 4') }),
    ...(guest !== undefined && { guest, family: inferred(familyOf(guest.value), guest.from) }),
    controllers,
    disks,
    cards: cardsOf(items),
    snapshots: [],
    serials: items
      .filter(({ type }) => type === SERIAL)
      .slice(0, MAX_CARDS)
      .map(() => stated('device', 'Item of type 21')),
  };
}

/** VMware's importers write a setting, VirtualBox's the whole of its own configuration. */
function firmwareOf(system: Element, settings: ReadonlyMap<string, string>): MachineModel['firmware'] {
  const own = settings.get('firmware');
  const word = own ?? under(system, 'Machine', 'Hardware', 'Firmware')?.attributes.get('type') ?? '';
  const from = own === undefined ? 'vbox:Machine/Hardware/Firmware' : 'vmw:Config firmware';
  if (/^efi/i.test(word)) return stated('efi', from);
  return /^bios$/i.test(word) ? stated('bios', from) : inferred('bios', 'what is taken where no firmware is named');
}

/** A section as the oldest descriptions write it. */
function sectionOf(system: Element, kind: string): Element | undefined {
  return all(system, 'Section').find(({ attributes }) => (attributes.get('type') ?? '').includes(kind));
}

function nameOf(system: Element, hardware: Element | undefined): Said<string> {
  const name = under(system, 'Name')?.text;
  if (name !== undefined && name !== '') return stated(name, 'VirtualSystem/Name');
  const id = system.attributes.get('id');
  if (id !== undefined && id !== '') return stated(id, 'VirtualSystem/@id');
  return stated(under(hardware, 'System', 'VirtualSystemIdentifier')?.text ?? '', 'VirtualSystemIdentifier');
}

/** Identifiers of the general list that say more than "other". */
const GUESTS: ReadonlyMap<number, string> = new Map([
  [36, 'Linux'],
  [67, 'Windows XP'],
  [73, 'Windows Vista'],
  [74, 'Windows Vista 64-bit'],
  [76, 'Windows Server 2008'],
  [77, 'Windows Server 2008 64-bit'],
  [79, 'Red Hat Enterprise Linux'],
  [80, 'Red Hat Enterprise Linux 64-bit'],
  [93, 'Ubuntu'],
  [94, 'Ubuntu 64-bit'],
  [95, 'Debian'],
  [96, 'Debian 64-bit'],
  [100, 'Linux 2.6'],
  [101, 'Linux 64-bit'],
  [103, 'Windows Server 2008 R2'],
  [105, 'Windows 7'],
  [106, 'CentOS'],
  [107, 'CentOS 64-bit'],
]);

function guestOf(system: Element): Said<string> | undefined {
  const section = under(system, 'OperatingSystemSection') ?? sectionOf(system, 'OperatingSystem');
  const own = section?.attributes.get('osType');
  if (own !== undefined) return stated(own, 'OperatingSystemSection/@vmw:osType');
  const other = under(section, 'OSType')?.text ?? under(system, 'Machine')?.attributes.get('OSType');
  if (other !== undefined && other !== '') return stated(other, 'vbox:OSType');
  const described = under(section, 'Description')?.text;
  if (described !== undefined && described !== '') return stated(described, 'OperatingSystemSection/Description');
  const listed = GUESTS.get(countOf(section?.attributes.get('id'), 10_000) ?? 0);
  return listed === undefined ? undefined : stated(listed, 'OperatingSystemSection/@ovf:id');
}

function itemValue(items: readonly Item[], type: number, name: string): string | undefined {
  const item = items.find((one) => one.type === type);
  return item === undefined ? undefined : said(item.element, name);
}

/** "byte * 2^20", "MegaBytes", "megabytes", "KB". */
function memoryOf(items: readonly Item[]): number | undefined {
  const count = countOf(itemValue(items, MEMORY, 'VirtualQuantity'), MAX_MEMORY);
  const units = (itemValue(items, MEMORY, 'AllocationUnits') ?? 'byte * 2^20').toLowerCase().trim();
  const power = /^bytes?\s*\*\s*2\s*\^\s*(\d{1,2})$/.exec(units)?.[1];
  const factor =
    power !== undefined
      ? 2 ** Number(power)
      : /^(mb|megabytes?)$/.test(units)
        ? MIB
        : /^(gb|gigabytes?)$/.test(units)
          ? MIB * 1024
          : /^(kb|kilobytes?)$/.test(units)
            ? 1024
            : /^bytes?$/.test(units)
              ? 1
              : undefined;
  const bytes = factor === undefined || count === undefined ? undefined : factor * count;
  return bytes !== undefined && bytes <= MAX_MEMORY ? bytes : undefined;
}

/** The bus of a controller; undefined for what is none. */
function busOf({ type, subtype }: Item): DiskBus | undefined {
  if (type === IDE) return 'ide';
  if (type === SCSI) return 'scsi';
  if (type !== STORAGE) return undefined;
  if (/nvme/i.test(subtype)) return 'nvme';
  return /sata|ahci/i.test(subtype) ? 'sata' : undefined;
}

function storageOf(
  items: readonly Item[],
  media: ReadonlyMap<string, Medium>,
): { controllers: Controller[]; disks: MachineDisk[] } {
  const controllers: Controller[] = [];
  const byId = new Map<string, { bus: DiskBus; number: number; wide: boolean }>();
  const used = new Map<DiskBus, number>();
  for (const item of items) {
    const bus = busOf(item);
    if (bus === undefined || controllers.length >= MAX_CONTROLLERS) continue;
    // VirtualBox writes one IDE controller with four places, VMware two with two.
    const wide = bus === 'ide' && /^(piix|ich)/i.test(item.subtype);
    const number = used.get(bus) ?? 0;
    used.set(bus, number + (wide ? 2 : 1));
    if (!byId.has(item.id)) byId.set(item.id, { bus, number, wide });
    const model =
      bus === 'scsi'
        ? item.subtype
            .split(/[\s,]+/)
            .map(scsiOf)
            .find((one) => one !== undefined)
        : undefined;
    const from = `Item ${item.id}`;
    controllers.push({ bus, number, word: item.subtype, from, ...(model && { model: stated(model, from) }) });
  }
  const disks: MachineDisk[] = [];
  for (const item of items) {
    const device =
      item.type === DISK ? 'disk' : CDROMS.includes(item.type) ? 'cdrom' : item.type === FLOPPY ? 'floppy' : undefined;
    if (device === undefined || disks.length >= MAX_DISKS) continue;
    const on = byId.get(item.parent) ?? { bus: device === 'floppy' ? 'floppy' : 'ide', number: 0, wide: false };
    const place = countOf(said(item.element, 'AddressOnParent'), 1024) ?? 0;
    const controller = on.wide ? on.number + (place >> 1) : on.number;
    const unit = on.wide ? place & 1 : place;
    const medium = mediumOf(said(item.element, 'HostResource') ?? '', media);
    disks.push({
      slot: `${on.bus}${controller}:${unit}`,
      device,
      bus: on.bus,
      controller,
      unit,
      file: medium?.file ?? '',
      chain: medium?.chain ?? [],
      from: `Item ${item.id}`,
      ...(medium?.format !== undefined && { format: medium.format }),
    });
  }
  return { controllers, disks };
}

/** What "ovf:/disk/vmdisk1" or "/file/file1" names. */
function mediumOf(resource: string, media: ReadonlyMap<string, Medium>): Medium | undefined {
  return media.get(resource.replace(/^ovf:/, '').replace(/^\/+/, ''));
}

function cardsOf(items: readonly Item[]): Card[] {
  return items
    .filter(({ type }) => type === NETWORK)
    .slice(0, MAX_CARDS)
    .map(({ element, subtype, id }, number) => {
      const model = subtype
        .split(/[\s,]+/)
        .map(cardOf)
        .find((one) => one !== undefined);
      const mac = macOf(said(element, 'Address'));
      const network = said(element, 'Connection');
      const from = `Item ${id}`;
      return {
        number,
        word: subtype,
        link: /^nat$/i.test(network ?? '') ? 'nat' : network === undefined ? 'none' : 'bridge',
        from,
        ...(model !== undefined && { model: stated(model, from) }),
        ...(mac !== undefined && { mac: stated(mac, from) }),
        ...(network !== undefined && { network: stated(network, from) }),
      };
    });
}
