/** Proxmox's qemu-server configurations, with their snapshots. Source: qm.conf, vmconfig.md. */
import type { Format } from '../../core/format.ts';
import {
  type Card,
  type Controller,
  cardOf,
  countOf,
  type DiskBus,
  type Family,
  guessed,
  inferred,
  MAX_CARDS,
  MAX_DISKS,
  MAX_MEMORY,
  MAX_PROCESSORS,
  MAX_SNAPSHOTS,
  type MachineDisk,
  type MachineModel,
  macOf,
  type Said,
  type Snapshot,
  scsiOf,
  stated,
  uuidOf,
} from '../../core/machine.ts';
import { readText } from '../text.ts';
import { machineNode, ownName } from './node.ts';

const MOST = 1024 * 1024;
const MIB = 1024 * 1024;
const LINE = /^([a-z][a-z0-9_-]{0,40}):\s*(.*)$/;
const SECTION = /^\[([A-Za-z0-9_.:-]{1,128})\]\s*$/;
const DISK = /^(ide|sata|scsi|virtio)(\d{1,2})$/;
const CARD = /^net(\d{1,2})$/;
/** What qemu-server takes where a machine's configuration says nothing. */
const DEFAULT_MIB = 512;
/** What the first machine gets. */
const FIRST_NUMBER = 100;

type Section = ReadonlyMap<string, string>;

export const proxmox: Format = {
  id: 'qemu-server',
  layer: 'machine',
  title: 'Proxmox machine configuration',
  spec: 'qm.conf, the manual page of qemu-server',
  gaps: ['Changes that wait for the next start are not shown.'],
  names: ['.conf'],
  async probe(source) {
    if (source.size === 0 || source.size > MOST) return 0;
    const own = sectionsOf((await readText(source, MOST)).raw).get('');
    return own !== undefined && isMachine(own) ? 80 : 0;
  },
  async open(source, cx) {
    const { raw, gaps } = await readText(source, MOST);
    const model = confModel(Buffer.from(raw, 'latin1').toString('utf8'), numberOf(ownName(cx)));
    const effect = 'settings that stood there are not known';
    const damage = gaps.map((gap) => cx.damage(gap.offset, 'proxmox.unreadable', 'readable text', gap.code, effect));
    // Zeros in place of text are no settings, and Proxmox ends each line that it writes.
    const text = raw.replace(/\0+$/, '');
    const [at, actual] =
      text.includes('\0') || text.length < raw.length ? [raw.indexOf('\0'), 'zeros'] : [raw.length, 'the end'];
    if (gaps.length === 0 && (actual === 'zeros' || !raw.endsWith('\n')))
      damage.push(cx.damage(at, 'proxmox.torn', 'text up to the end of its last line', actual, TORN));
    return machineNode(cx, proxmox.title, source.size, [model], damage);
  },
};

const TORN = 'it may be cut off: its last setting may be torn, and others lacking';

/** The machine that a text describes; `number` is what it is called by. */
export function confModel(text: string, number: string | undefined): MachineModel {
  return modelOf(sectionsOf(text), number);
}

/** The number that a machine of this platform had, by the names of its files; 100 where none says it. */
export function numberIn(names: readonly string[]): number {
  for (const name of names) {
    const digits = numberOf(name) ?? /(?:^|\/)(?:vm|base)-(\d{3,9})-disk-/.exec(name)?.[1];
    if (digits !== undefined) return Number(digits);
  }
  return FIRST_NUMBER;
}

/** The number that the name of a configuration is. */
function numberOf(name: string): string | undefined {
  return /^(\d{3,9})\.conf$/.exec(name)?.[1];
}

/** Settings by section: '' is the machine as it is, others are snapshots. */
function sectionsOf(text: string): Map<string, Section> {
  const out = new Map<string, Map<string, string>>();
  let section = new Map<string, string>();
  out.set('', section);
  for (const line of text.split(/\r\n|\n|\r/)) {
    const name = SECTION.exec(line)?.[1];
    if (name !== undefined) {
      if (out.size > MAX_SNAPSHOTS) break;
      section = new Map();
      out.set(name, section);
      continue;
    }
    const match = LINE.exec(line);
    if (match !== null) section.set(match[1], match[2].trimEnd()); // the last of several wins
  }
  return out;
}

/** A configuration of a machine has a disk or a card in the words of qemu-server, and says one thing more. */
function isMachine(own: Section): boolean {
  const keys = [...own.keys()];
  const parts = keys.filter((key) => DISK.test(key) && diskFile(own.get(key) ?? '') !== undefined).length;
  const cards = keys.filter(
    (key) => CARD.test(key) && /bridge=|^\w+=([0-9a-f]{2}:){5}/i.test(own.get(key) ?? ''),
  ).length;
  const words = ['memory', 'cores', 'ostype', 'smbios1', 'sockets', 'scsihw', 'vmgenid', 'boot', 'bios'];
  const said = words.filter((key) => own.has(key)).length;
  return (parts + cards > 0 && said >= 1) || said >= 4;
}

/** "local-lvm:vm-102-disk-0,size=32G" into its parts. */
function optionsOf(value: string): { first: string; options: ReadonlyMap<string, string> } {
  const options = new Map<string, string>();
  let first = '';
  for (const [i, part] of value.split(',').entries()) {
    const at = part.indexOf('=');
    if (at < 0 && i === 0) first = part;
    else if (at > 0) options.set(part.slice(0, at), part.slice(at + 1));
  }
  return { first: first || (options.get('file') ?? ''), options };
}

/** The volume of a disk's line; undefined for what is no disk's line. */
function diskFile(value: string): string | undefined {
  const { first } = optionsOf(value);
  if (first === 'none' || first === 'cdrom') return '';
  if (first.startsWith('/')) return first;
  return /^[A-Za-z][\w.-]*:(.+)$/.exec(first)?.[1];
}

function modelOf(sections: ReadonlyMap<string, Section>, id: string | undefined): MachineModel {
  const own = sections.get('')!;
  const text = (key: string): string => own.get(key) ?? '';
  const name = text('name');
  const uuid = uuidOf(optionsOf(text('smbios1')).options.get('uuid'));
  const cores = countOf(text('cores'), MAX_PROCESSORS) ?? 1;
  const sockets = countOf(text('sockets'), MAX_PROCESSORS) ?? 1;
  const mib = countOf(text('memory').replace(/^current=/, ''), MAX_MEMORY / MIB);
  const efi = text('bios') === 'ovmf';
  const guest = text('ostype');
  const family = familyIn(guest);
  const local = text('localtime');
  const efidisk = diskFile(text('efidisk0'));
  return {
    platform: 'Proxmox',
    name: name === '' ? guessed(id === undefined ? '' : `vm-${id}`, 'the name of its file') : stated(name, 'name'),
    ...(uuid !== undefined && { uuid: stated(uuid, 'smbios1') }),
    firmware: efi ? stated('efi', 'bios') : inferred('bios', 'what Proxmox takes where "bios" says nothing else'),
    ...(optionsOf(text('efidisk0')).options.get('pre-enrolled-keys') === '1' && {
      secureBoot: stated(true, 'efidisk0'),
    }),
    ...(own.has('tpmstate0') && { tpm: stated(tpmOf(text('tpmstate0')), 'tpmstate0') }),
    ...(efidisk !== undefined && efidisk !== '' && { nvram: stated(efidisk, 'efidisk0') }),
    processors:
      own.has('cores') || own.has('sockets')
        ? stated(cores * sockets, 'cores, sockets')
        : inferred(1, 'what Proxmox takes'),
    ...(own.has('cores') && { coresPerSocket: stated(cores, 'cores') }),
    memory: mib === undefined ? inferred(DEFAULT_MIB * MIB, 'what Proxmox takes') : stated(mib * MIB, 'memory'),
    board: own.has('machine')
      ? stated(/q35/.test(text('machine')) ? 'q35' : 'pc', 'machine')
      : inferred('pc', 'what Proxmox takes where "machine" says nothing'),
    ...(guest !== '' && { guest: stated(guest, 'ostype'), family: inferred(family, 'ostype') }),
    ...((local !== '' || family === 'windows') && {
      localTime: local === '' ? inferred(true, 'ostype') : stated(local === '1', 'localtime'),
    }),
    ...storageOf(own),
    cards: cardsOf(own),
    snapshots: snapshotsOf(sections),
    serials: [0, 1, 2, 3].flatMap((n) => (own.has(`serial${n}`) ? [stated(text(`serial${n}`), `serial${n}`)] : [])),
  };
}

function tpmOf(value: string): string {
  return (optionsOf(value).options.get('version') ?? 'v1.2').replace(/^v/, '');
}

function familyIn(guest: string): Family {
  if (/^(w|win)/.test(guest)) return 'windows';
  return guest.startsWith('l2') ? 'linux' : 'other';
}

function storageOf(own: Section): { controllers: Controller[]; disks: MachineDisk[] } {
  const disks: MachineDisk[] = [];
  const controllers = new Map<string, Controller>();
  const hardware = own.get('scsihw') ?? 'lsi';
  for (const [key, value] of own) {
    const [, bus, digits] = DISK.exec(key) ?? [];
    const file = bus === undefined ? undefined : diskFile(value);
    if (bus === undefined || file === undefined || disks.length >= MAX_DISKS) continue;
    const n = Number(digits);
    const { options } = optionsOf(value);
    const isSingle = bus === 'scsi' && hardware === 'virtio-scsi-single';
    // Four places of IDE are two on each of two; one controller for each disk where that is asked for.
    const controller = bus === 'ide' ? n >> 1 : isSingle ? n : 0;
    const unit = bus === 'ide' ? n & 1 : isSingle ? 0 : n;
    const isDrive = options.get('media') === 'cdrom';
    disks.push({
      slot: key,
      device: isDrive ? 'cdrom' : 'disk',
      bus: bus as DiskBus,
      controller,
      unit,
      file: Buffer.from(file, 'utf8').toString('latin1'),
      also: [`disk-drive-${key}.raw`],
      chain: [],
      from: key,
      ...(options.has('format') && { format: options.get('format')! }),
    });
    const id = `${bus}${controller}`;
    const model: Said<NonNullable<ReturnType<typeof scsiOf>>> | undefined =
      bus === 'scsi' && scsiOf(hardware) !== undefined
        ? own.has('scsihw')
          ? stated(scsiOf(hardware)!, 'scsihw')
          : inferred(scsiOf(hardware)!, 'what Proxmox takes where "scsihw" says nothing')
        : undefined;
    if (!controllers.has(id))
      controllers.set(id, {
        bus: bus as DiskBus,
        number: controller,
        word: bus === 'scsi' ? hardware : bus,
        from: bus === 'scsi' ? 'scsihw' : key,
        ...(model && { model }),
      });
  }
  return {
    controllers: [...controllers.values()],
    disks: bootFirst(disks, own.get('boot') ?? '', own.get('bootdisk')),
  };
}

/** The disks in the order of "boot: order=scsi0;ide2", then by their slots. */
function bootFirst(disks: MachineDisk[], boot: string, bootdisk: string | undefined): MachineDisk[] {
  const order = (/order=([^,]*)/.exec(boot)?.[1] ?? bootdisk ?? '').split(';');
  const rank = ({ slot }: MachineDisk): number => (order.includes(slot) ? order.indexOf(slot) : order.length);
  return disks.sort((a, b) => rank(a) - rank(b) || a.slot.localeCompare(b.slot, 'en', { numeric: true }));
}

function cardsOf(own: Section): Card[] {
  const out: Card[] = [];
  for (const [key, value] of own) {
    const digits = CARD.exec(key)?.[1];
    if (digits === undefined || out.length >= MAX_CARDS) continue;
    const { first, options } = optionsOf(value);
    const [word, address] = [...options].find(([name]) => cardOf(name) !== undefined) ?? [
      options.get('model') ?? first,
      options.get('macaddr'),
    ];
    const model = cardOf(word);
    const mac = macOf(address);
    const bridge = options.get('bridge');
    out.push({
      number: Number(digits),
      word,
      link: bridge === undefined ? 'nat' : 'bridge',
      from: key,
      ...(model !== undefined && { model: stated(model, key) }),
      ...(mac !== undefined && { mac: stated(mac, key) }),
      ...(bridge !== undefined && { network: stated(bridge, key) }),
    });
  }
  return out.sort((a, b) => a.number - b.number);
}

function snapshotsOf(sections: ReadonlyMap<string, Section>): Snapshot[] {
  const current = sections.get('')?.get('parent');
  const out: Snapshot[] = [];
  for (const [name, section] of sections) {
    if (name === '' || /^pending$/i.test(name) || name.startsWith('special:')) continue;
    const time = countOf(section.get('snaptime'), 2 ** 33);
    const parent = section.get('parent');
    out.push({
      id: name,
      name,
      current: name === current,
      disks: storageOf(section)
        .disks.filter(({ device }) => device === 'disk')
        .map(({ slot, file }) => ({ slot, file })),
      from: `[${name}]`,
      ...(time !== undefined && { time }),
      ...(parent !== undefined && { parent }),
    });
  }
  return out;
}
