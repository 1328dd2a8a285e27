/** .vbox: VirtualBox's machine with its media registry and snapshots. Source: vmconfig.md section 3. */
import type { Format } from '../../core/format.ts';
import { printable } from '../../core/locator.ts';
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
  MAX_SNAPSHOTS,
  type MachineDisk,
  type MachineModel,
  macOf,
  type Snapshot,
  scsiOf,
  stated,
  uuidOf,
} from '../../core/machine.ts';
import { readText } from '../text.ts';
import { machineNode, ownName } from './node.ts';
import { all, type Element, rawOf, readXml, under } from './xml.ts';

const HEAD = 4096;
const MIB = 1024 * 1024;
/** Snapshots on top of each other. */
const MAX_GENERATIONS = 256;

export const vbox: Format = {
  id: 'vbox',
  layer: 'machine',
  title: 'VirtualBox machine',
  spec: 'vmconfig.md section 3',
  gaps: ['The list of all machines (VirtualBox.xml) is not read.'],
  names: ['.vbox', '.vbox-prev'],
  async probe(source) {
    if (source.size === 0) return 0;
    const { raw } = await readText(source, HEAD);
    // In whatever width its characters are written.
    const text = raw.replaceAll('\0', '');
    return /<VirtualBox[\s>]/.test(text) && !/<Global[\s>]/.test(text) ? 85 : 0;
  },
  async open(source, cx) {
    const { root, damage: faulty, size } = await readXml(source, cx, 'vbox');
    const damage = [...faulty];
    const sealed = under(root, 'MachineEncrypted');
    const machine = under(root, 'Machine') ?? sealed;
    if (sealed !== undefined)
      damage.push(cx.damage(0, 'vbox.encrypted', 'settings in plain text', 'encrypted ones', SEALED));
    const effect = 'no machine is known from it; a .vbox-prev beside it is the settings before the last change';
    const lacking =
      root !== undefined && machine === undefined ? [cx.damage(0, 'vbox.machine', 'a <Machine>', 'none', effect)] : [];
    if (machine === undefined) return machineNode(cx, vbox.title, size, [], [...damage, ...lacking]);
    const media = mediaOf(machine);
    const model = modelOf(
      machine,
      media,
      ownName(cx).endsWith('-prev') ? 'its settings before the last change' : undefined,
    );
    const unlisted = model.disks.filter(({ device, file }) => device === 'disk' && file === '');
    const faults = unlisted.map(({ slot, identity }) =>
      cx.damage(0, 'vbox.medium', 'a medium in the registry for each disk', `${identity} at ${slot} in none`, UNLISTED),
    );
    if (model.snapshots.length >= MAX_SNAPSHOTS) {
      const many = [`fewer than ${MAX_SNAPSHOTS} snapshots`, 'that many or more', 'no others are known'] as const;
      faults.push(cx.damage(0, 'vbox.snapshots', ...many));
    }
    return {
      ...machineNode(cx, vbox.title, size, [model], [...damage, ...faults], damage.length > 0),
      notices: elsewhere(media),
    };
  },
};

const SEALED =
  'only its name and UUID are known without the password: give its disks as sources, too, those that nothing else lies on';
const UNLISTED = 'which file it was is not known; the disk that says this UUID of itself is it';

/** A path that VirtualBox takes as it stands; others begin at the folder of the configuration. */
const FULL = /^(?:[A-Za-z]:)?[\\/]/;
/** Paths that are named of several. */
const NAMED = 3;

/** Disks that VirtualBox would look for somewhere else than beside its configuration. */
function elsewhere(media: ReadonlyMap<string, Medium>): string[] {
  const full = [...media.values()].filter(({ file, isDisk }) => isDisk && FULL.test(file));
  if (full.length === 0) return [];
  const names = full.slice(0, NAMED).map(({ file }) => printable(file));
  const more = full.length > NAMED ? ` and ${full.length - NAMED} more` : '';
  return [
    `it names disks by full paths (${names.join(', ')}${more}): VirtualBox looks for them there and nowhere else; ` +
      'recover --target virtualbox writes one that finds its disks beside it',
  ];
}

/** A file of the registry, by its UUID, with those it lies on. */
interface Medium {
  readonly file: string;
  readonly format: string;
  readonly isDisk: boolean;
  readonly parent?: string;
}

function mediaOf(machine: Element): ReadonlyMap<string, Medium> {
  const out = new Map<string, Medium>();
  const registry = under(machine, 'MediaRegistry');
  const waiting: { element: Element; parent: string | undefined }[] = all(under(registry, 'HardDisks'), 'HardDisk').map(
    (element) => ({ element, parent: undefined }),
  );
  for (const kind of ['DVDImages', 'FloppyImages'])
    for (const element of all(under(registry, kind), 'Image')) waiting.push({ element, parent: undefined });
  for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) {
    const { element, parent } = one;
    const id = uuidOf(element.attributes.get('uuid'));
    if (id === undefined || out.has(id) || out.size >= MAX_SNAPSHOTS) continue;
    const format = element.attributes.get('format') ?? '';
    const file = rawOf(element.attributes.get('location') ?? '');
    out.set(id, { file, format, isDisk: element.name === 'HardDisk', ...(parent !== undefined && { parent }) });
    for (const child of all(element, 'HardDisk')) waiting.push({ element: child, parent: id });
  }
  return out;
}

function modelOf(machine: Element, media: ReadonlyMap<string, Medium>, copy: string | undefined): MachineModel {
  const said = machine.attributes;
  const hardware = under(machine, 'Hardware');
  const uuid = uuidOf(said.get('uuid'));
  const hardwareUuid = uuidOf(hardware?.attributes.get('uuid')) ?? uuid;
  const processors = countOf(under(hardware, 'CPU')?.attributes.get('count'), MAX_PROCESSORS);
  const mib = countOf(under(hardware, 'Memory')?.attributes.get('RAMSize'), MAX_MEMORY / MIB);
  const firmware = under(hardware, 'Firmware')?.attributes.get('type') ?? '';
  const guest = said.get('OSType') ?? '';
  const chipset = under(hardware, 'Chipset')?.attributes.get('type');
  const clock = under(hardware, 'RTC')?.attributes.get('localOrUTC');
  const secure = under(hardware, 'BIOS', 'NVRAM', 'UefiSecureBoot') ?? under(hardware, 'NVRAM', 'UefiSecureBoot');
  const tpm = under(hardware, 'TrustedPlatformModule')?.attributes.get('type');
  const { controllers, disks } = storageOf(machine, hardware, media);
  return {
    platform: 'VirtualBox',
    name: stated(said.get('name') ?? '', 'Machine/@name'),
    ...(hardwareUuid !== undefined && { uuid: stated(hardwareUuid, 'Machine/@uuid') }),
    firmware: /^efi/i.test(firmware)
      ? stated('efi', 'Hardware/Firmware')
      : firmware === 'BIOS'
        ? stated('bios', 'Hardware/Firmware')
        : inferred('bios', 'what VirtualBox takes where <Firmware> says nothing'),
    ...(secure?.attributes.get('enabled') === 'true' && { secureBoot: stated(true, 'UefiSecureBoot') }),
    ...(tpm !== undefined && tpm !== 'None' && { tpm: stated(tpm, 'Hardware/TrustedPlatformModule') }),
    ...(processors !== undefined && { processors: stated(processors, 'Hardware/CPU/@count') }),
    ...(mib !== undefined && { memory: stated(mib * MIB, 'Hardware/Memory/@RAMSize') }),
    board:
      chipset === undefined
        ? inferred('pc', 'what VirtualBox takes where <Chipset> says nothing')
        : stated(chipset === 'ICH9' ? 'q35' : 'pc', 'Hardware/Chipset'),
    ...(guest !== '' && {
      guest: stated(guest, 'Machine/@OSType'),
      family: inferred(familyOf(guest), 'Machine/@OSType'),
    }),
    localTime:
      clock === undefined
        ? inferred(true, 'what VirtualBox takes where <RTC> says nothing: local time')
        : stated(clock === 'local', 'Hardware/RTC'),
    controllers,
    disks,
    cards: cardsOf(under(hardware, 'Network')),
    snapshots: snapshotsOf(machine, media),
    serials: all(under(hardware, 'UART'), 'Port')
      .filter(({ attributes }) => attributes.get('enabled') === 'true')
      .slice(0, MAX_CARDS)
      .map(({ attributes }) => stated(attributes.get('hostMode') ?? '', 'Hardware/UART')),
    ...(copy !== undefined && { copy }),
  };
}

const KINDS: ReadonlyMap<string, DiskBus> = new Map([
  ['AHCI', 'sata'],
  ['PIIX3', 'ide'],
  ['PIIX4', 'ide'],
  ['ICH6', 'ide'],
  ['LsiLogic', 'scsi'],
  ['LsiLogicSas', 'scsi'],
  ['BusLogic', 'scsi'],
  ['VirtioSCSI', 'scsi'],
  ['NVMe', 'nvme'],
  ['USB', 'usb'],
  ['I82078', 'floppy'],
]);

/** Controllers stand inside the hardware in newer files, beside it in older ones. */
function storageOf(owner: Element, hardware: Element | undefined, media: ReadonlyMap<string, Medium>) {
  const list = [
    ...all(under(owner, 'StorageControllers'), 'StorageController'),
    ...all(under(hardware, 'StorageControllers'), 'StorageController'),
  ].slice(0, MAX_CONTROLLERS);
  const controllers: Controller[] = [];
  const disks: MachineDisk[] = [];
  const used = new Map<DiskBus, number>();
  for (const element of list) {
    const word = element.attributes.get('type') ?? '';
    const bus = KINDS.get(word);
    if (bus === undefined) continue;
    const number = used.get(bus) ?? 0;
    used.set(bus, number + (bus === 'ide' ? 2 : 1));
    const model = bus === 'scsi' ? scsiOf(word) : undefined;
    const name = element.attributes.get('name') ?? word;
    controllers.push({ bus, number, word, from: name, ...(model && { model: stated(model, `${name}/@type`) }) });
    for (const device of all(element, 'AttachedDevice')) {
      if (disks.length >= MAX_DISKS) break;
      disks.push(deviceAt(device, { bus, number, name }, media));
    }
  }
  return { controllers, disks };
}

function deviceAt(
  element: Element,
  { bus, number, name }: { bus: DiskBus; number: number; name: string },
  media: ReadonlyMap<string, Medium>,
): MachineDisk {
  const port = countOf(element.attributes.get('port'), 1024) ?? 0;
  const device = countOf(element.attributes.get('device'), 1024) ?? 0;
  const id = uuidOf(under(element, 'Image')?.attributes.get('uuid'));
  const type = element.attributes.get('type');
  const chain = id === undefined ? [] : chainOf(id, media);
  const medium = id === undefined ? undefined : media.get(id);
  const slot = `${name} ${port}:${device}`;
  return {
    slot,
    device: type === 'DVD' ? 'cdrom' : type === 'Floppy' ? 'floppy' : 'disk',
    bus,
    controller: bus === 'ide' ? number + port : number,
    unit: bus === 'ide' ? device : port,
    file: medium?.file ?? '',
    chain,
    from: `StorageController "${name}"`,
    ...(medium !== undefined && medium.format !== '' && { format: medium.format }),
    ...(id !== undefined && { identity: `uuid:${id}` }),
  };
}

/** Files below a medium, the next one first. */
function chainOf(id: string, media: ReadonlyMap<string, Medium>): string[] {
  const out: string[] = [];
  const seen = new Set([id]);
  for (let at = media.get(id)?.parent; at !== undefined && !seen.has(at); at = media.get(at)?.parent) {
    seen.add(at);
    out.push(media.get(at)?.file ?? '');
  }
  return out;
}

function cardsOf(network: Element | undefined): Card[] {
  const out: Card[] = [];
  for (const element of all(network, 'Adapter').slice(0, MAX_CARDS)) {
    if (element.attributes.get('enabled') !== 'true') continue;
    const slot = countOf(element.attributes.get('slot'), MAX_CARDS) ?? 0;
    // Where a type is not written, this is the one that the schema means.
    const word = element.attributes.get('type') ?? 'Am79C973';
    const model = cardOf(word);
    const mac = macOf(element.attributes.get('MACAddress'));
    const mode = element.children.find(({ name }) => LINKS.has(name));
    const named = mode?.attributes.get('name');
    const from = `Network/Adapter ${slot}`;
    out.push({
      number: slot,
      word,
      link: LINKS.get(mode?.name ?? '') ?? 'none',
      from,
      ...(model !== undefined && { model: stated(model, from) }),
      ...(mac !== undefined && { mac: stated(mac, from) }),
      ...(named !== undefined && { network: stated(named, from) }),
    });
  }
  return out;
}

const LINKS: ReadonlyMap<string, Card['link']> = new Map([
  ['NAT', 'nat'],
  ['NATNetwork', 'nat'],
  ['BridgedInterface', 'bridge'],
  ['HostOnlyInterface', 'internal'],
  ['HostOnlyNetwork', 'internal'],
  ['InternalNetwork', 'internal'],
]);

/** All snapshots, parents before children. */
function snapshotsOf(machine: Element, media: ReadonlyMap<string, Medium>): Snapshot[] {
  const out: Snapshot[] = [];
  const current = uuidOf(machine.attributes.get('currentSnapshot'));
  const waiting: { element: Element; parent: string | undefined; level: number }[] = all(machine, 'Snapshot').map(
    (element) => ({ element, parent: undefined, level: 0 }),
  );
  // The list grows while it is gone through.
  for (const { element, parent, level } of waiting) {
    if (out.length >= MAX_SNAPSHOTS) break;
    const id = uuidOf(element.attributes.get('uuid'));
    if (id === undefined || level > MAX_GENERATIONS) continue;
    const time = Date.parse(element.attributes.get('timeStamp') ?? '') / 1000;
    const { disks } = storageOf(element, under(element, 'Hardware'), media);
    out.push({
      id,
      name: element.attributes.get('name') ?? id,
      current: id === current,
      disks: disks.filter(({ device }) => device === 'disk').map(({ slot, file }) => ({ slot, file })),
      from: 'Snapshot',
      ...(Number.isFinite(time) && { time }),
      ...(parent !== undefined && { parent }),
    });
    for (const child of all(under(element, 'Snapshots'), 'Snapshot'))
      waiting.push({ element: child, parent: id, level: level + 1 });
  }
  return out;
}
