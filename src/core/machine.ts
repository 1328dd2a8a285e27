/** What a virtual machine is made of, in words that no platform owns: read from any configuration, written for any. */
import { type Certainty, GUESSED, INFERRED, STATED } from './run.ts';

/** A value, where it was read, and how sure that is. */
export interface Said<T> {
  readonly value: T;
  /** The place in the configuration, or what else says it: "memSize", "domain/vcpu", "etc/os-release". */
  readonly from: string;
  readonly certainty: Certainty;
}

/** What live text says in so many words. */
export function stated<T>(value: T, from: string): Said<T> {
  return { value, from, certainty: STATED };
}

/** What follows from what is written somewhere else, or from a default of the format. */
export function inferred<T>(value: T, from: string): Said<T> {
  return { value, from, certainty: INFERRED };
}

/** What nothing says. */
export function guessed<T>(value: T, from: string): Said<T> {
  return { value, from, certainty: GUESSED };
}

export type DiskBus = 'ide' | 'sata' | 'scsi' | 'nvme' | 'virtio' | 'usb' | 'floppy';

/** SCSI controllers: what emulates them differs, what guests need to drive them does not. */
type ScsiModel = 'buslogic' | 'lsilogic' | 'lsisas' | 'pvscsi' | 'virtio-scsi';

export type CardModel = 'e1000' | 'e1000e' | 'vmxnet' | 'vmxnet3' | 'pcnet' | 'virtio' | 'rtl8139';

export interface Controller {
  readonly bus: DiskBus;
  readonly number: number;
  /** Which SCSI controller it is; absent where nothing says, or it is of another kind. */
  readonly model?: Said<ScsiModel>;
  /** As the configuration calls it. */
  readonly word: string;
  readonly from: string;
}

export interface MachineDisk {
  /** Where it is plugged in, in the configuration's own words: "scsi0:0", "vda", "SATA 0:0". */
  readonly slot: string;
  readonly device: 'disk' | 'cdrom' | 'floppy';
  readonly bus: DiskBus;
  /** Number of its controller, and its place there. */
  readonly controller: number;
  readonly unit: number;
  /** The name in the configuration, as raw bytes (latin1); '' where nothing is put in. */
  readonly file: string;
  /** Names that the platform's own backups give it. */
  readonly also?: readonly string[];
  /** Names of the files below it where the configuration knows them, from the top down. */
  readonly chain: readonly string[];
  /** What the configuration says the file is: "qcow2", "VDI". */
  readonly format?: string;
  /** What it must say of itself: "uuid:…". */
  readonly identity?: string;
  readonly from: string;
}

export interface Card {
  readonly number: number;
  /** Absent where nothing says, or it is one that no list here has. */
  readonly model?: Said<CardModel>;
  readonly word: string;
  /** Lower case, with colons. */
  readonly mac?: Said<string>;
  readonly link: 'bridge' | 'nat' | 'internal' | 'none';
  /** Name of the network on its host. */
  readonly network?: Said<string>;
  readonly from: string;
}

export interface Snapshot {
  readonly id: string;
  readonly name: string;
  /** Seconds since 1970. */
  readonly time?: number;
  readonly parent?: string;
  /** The machine goes on from this one. */
  readonly current: boolean;
  /** Disks as they were frozen: raw names by slot, as far as the configuration says. */
  readonly disks: readonly { readonly slot: string; readonly file: string }[];
  readonly from: string;
}

export type Family = 'windows' | 'linux' | 'other';

export interface MachineModel {
  /** The platform in words for people: "VMware", "libvirt". */
  readonly platform: string;
  readonly name: Said<string>;
  /** 32 hexadecimal digits: what guests know their machine by. */
  readonly uuid?: Said<string>;
  readonly firmware: Said<'bios' | 'efi'>;
  readonly secureBoot?: Said<boolean>;
  readonly tpm?: Said<string>;
  readonly nvram?: Said<string>;
  readonly processors?: Said<number>;
  readonly coresPerSocket?: Said<number>;
  /** Bytes. */
  readonly memory?: Said<number>;
  /** Board: the older one with IDE, or the one with PCI Express. */
  readonly board?: Said<'pc' | 'q35'>;
  /** The guest as the platform's configuration calls it. */
  readonly guest?: Said<string>;
  readonly family?: Said<Family>;
  readonly localTime?: Said<boolean>;
  readonly controllers: readonly Controller[];
  /** In the order in which the firmware meets them. */
  readonly disks: readonly MachineDisk[];
  readonly cards: readonly Card[];
  readonly snapshots: readonly Snapshot[];
  /** Serial ports, in the configuration's words. */
  readonly serials: readonly Said<string>[];
  /** Where this is no machine's own configuration but a copy: "its state at the snapshot s1". */
  readonly copy?: string;
}

/** Limits on what one configuration may describe. */
export const MAX_DISKS = 1024;
export const MAX_CARDS = 64;
export const MAX_CONTROLLERS = 64;
export const MAX_SNAPSHOTS = 2048;

const ABSENT: MachineModel = {
  platform: 'none',
  name: guessed('', 'nothing says it'),
  firmware: guessed('bios', 'nothing says it'),
  controllers: [],
  disks: [],
  cards: [],
  snapshots: [],
  serials: [],
};

/** A machine of which nothing is known yet. */
export function unknownMachine(): MachineModel {
  return ABSENT;
}

/** The same machine where the text that describes it is damaged or contradicts itself: nothing in it is stated. */
export function doubted(model: MachineModel): MachineModel {
  return weaker(model) as MachineModel;
}

function weaker(value: unknown): unknown {
  // Names of files have no grade: a list that machines share stays one.
  if (Array.isArray(value)) return typeof value[0] === 'string' ? value : value.map(weaker);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [
    key,
    key === 'certainty' && (inner as Certainty) > INFERRED ? INFERRED : weaker(inner),
  ]);
  return Object.fromEntries(entries);
}

/** The disks that hold data: no drives for what is put in. */
export function hardDisks(model: MachineModel): readonly MachineDisk[] {
  return model.disks.filter(({ device }) => device === 'disk');
}

/** The controller that a disk hangs on. */
export function controllerOf(
  model: MachineModel,
  disk: Pick<MachineDisk, 'bus' | 'controller'>,
): Controller | undefined {
  return model.controllers.find(({ bus, number }) => bus === disk.bus && number === disk.controller);
}

/** A MAC address as it is written nearly everywhere; undefined for what is none. */
export function macOf(text: string | undefined): string | undefined {
  const digits = (text ?? '').toLowerCase().replace(/[:\-. ]/g, '');
  return /^[0-9a-f]{12}$/.test(digits) ? digits.replace(/..(?=.)/g, '$&:') : undefined;
}

/** A UUID as 32 digits; undefined for what is none, or nothing but zeros. */
export function uuidOf(text: string | undefined): string | undefined {
  const digits = (text ?? '').toLowerCase().replace(/[{}\- ]/g, '');
  return /^[0-9a-f]{32}$/.test(digits) && !/^0+$/.test(digits) ? digits : undefined;
}

/** A UUID of 32 digits with its dashes. */
export function dashed(uuid: string): string {
  return [uuid.slice(0, 8), uuid.slice(8, 12), uuid.slice(12, 16), uuid.slice(16, 20), uuid.slice(20)].join('-');
}

/** A number that a text states, within what any machine has. */
export function countOf(text: string | undefined, most: number): number | undefined {
  const digits = (text ?? '').trim();
  if (!/^\d{1,15}$/.test(digits)) return undefined;
  const value = Number(digits);
  return value > 0 && value <= most ? value : undefined;
}

/** More processors than this, no machine has. */
export const MAX_PROCESSORS = 4096;
/** More bytes of memory than this, no machine has. */
export const MAX_MEMORY: number = 2 ** 46;

/** What drives a family of guests, by the words that configurations use for guests. */
export function familyOf(guest: string): Family {
  if (/^win|windows|longhorn|microsoft|^w(xp|2k|vista)|w2k|\bwin/i.test(guest)) return 'windows';
  if (/linux|ubuntu|debian|rhel|redhat|centos|sles|suse|fedora|rocky|alma|photon|coreos|oracle|l2[46]/i.test(guest))
    return 'linux';
  return 'other';
}

const SCSI_WORDS: ReadonlyMap<string, ScsiModel> = new Map([
  ['buslogic', 'buslogic'],
  ['lsilogic', 'lsilogic'],
  ['lsi', 'lsilogic'],
  ['lsi53c810', 'lsilogic'],
  ['lsilogicsas', 'lsisas'],
  ['lsisas1068', 'lsisas'],
  ['lsisas1078', 'lsisas'],
  ['pvscsi', 'pvscsi'],
  ['vmpvscsi', 'pvscsi'],
  ['virtualscsi', 'pvscsi'],
  ['virtio-scsi', 'virtio-scsi'],
  ['virtio-scsi-pci', 'virtio-scsi'],
  ['virtio-scsi-single', 'virtio-scsi'],
  ['virtioscsi', 'virtio-scsi'],
  ['virtio-transitional', 'virtio-scsi'],
  ['virtio-non-transitional', 'virtio-scsi'],
]);

/** The SCSI controller that a word of any platform names. */
export function scsiOf(word: string): ScsiModel | undefined {
  return SCSI_WORDS.get(word.trim().toLowerCase());
}

const CARD_WORDS: ReadonlyMap<string, CardModel> = new Map([
  ['e1000', 'e1000'],
  ['e1000-82540em', 'e1000'],
  ['e1000-82544gc', 'e1000'],
  ['e1000-82545em', 'e1000'],
  ['82540em', 'e1000'],
  ['82543gc', 'e1000'],
  ['82545em', 'e1000'],
  ['e1000e', 'e1000e'],
  ['82583v', 'e1000e'],
  ['vmxnet', 'vmxnet'],
  ['vmxnet2', 'vmxnet'],
  ['vmxnet3', 'vmxnet3'],
  ['vlance', 'pcnet'],
  ['flexible', 'pcnet'],
  ['pcnet', 'pcnet'],
  ['pcnet32', 'pcnet'],
  ['am79c970a', 'pcnet'],
  ['am79c973', 'pcnet'],
  ['virtio', 'virtio'],
  ['virtio-net', 'virtio'],
  ['virtio-net-pci', 'virtio'],
  ['virtio-transitional', 'virtio'],
  ['rtl8139', 'rtl8139'],
]);

/** The network card that a word of any platform names. */
export function cardOf(word: string): CardModel | undefined {
  return CARD_WORDS.get(word.trim().toLowerCase());
}
