/** From what a machine was to what it will be elsewhere: every choice with its reason. */
import type { GuestFacts, StorageKind } from '../../../core/guest.ts';
import { controllerOf, hardDisks, type MachineDisk, type MachineModel, type Said } from '../../../core/machine.ts';
import type { Decision, Platform, TargetDisk, TargetMachine } from '../../../core/machine-writer.ts';
import { STATED } from '../../../core/run.ts';
import { type GuestWords, guestWords, narrow } from './guests.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const DEFAULT_PROCESSORS = 2;
const DEFAULT_MEMORY: number = 2 * GIB;
const DEFAULT_WINDOWS_MEMORY: number = 4 * GIB;
/** Less memory than this starts nothing of today; a configuration that says so says nothing. */
const LEAST_MEMORY: number = 64 * MIB;

/** A disk that there is: its place in the order in which they will be plugged in is its place in the list. */
export interface SourceDisk {
  readonly said: MachineDisk | undefined;
  readonly size: number;
  readonly file: string;
  readonly uuid?: string;
  /** What the guest wrote down of its place. */
  readonly why?: string;
}

/** Notes a decision; answers true, so that it can stand beside what it decides. */
type Take = (what: string, value: string, reason: string) => true;

/** Decides all of a machine for a platform; `asked`: what a person wants its disks on. Throws RangeError with a sentence where its disks do not fit. */
export function decide(
  platform: Platform,
  model: MachineModel,
  guest: GuestFacts,
  disks: readonly SourceDisk[],
  named: { readonly name: string; readonly stem: string },
  asked?: StorageKind,
): TargetMachine {
  const decisions: Decision[] = [];
  const take: Take = (what, value, reason) => {
    decisions.push({ what, value, reason });
    return true;
  };
  take('name', named.name, model.name.value === '' ? 'the name of its file' : `as ${model.name.from} says`);
  const { words, from } = guestWords(model, guest);
  const bits =
    guest.architecture?.value === 'i686' || /^(?!.*64).*(win(xp|2000|net)|XP|2003$)/i.test(words.vmware) ? 32 : 64;
  const word = narrow(words[platform.guests], bits);
  take('guest', words.what, from === undefined ? 'nothing says what is inside' : `by ${from}`);
  const family = guest.family?.value ?? model.family?.value ?? 'other';
  const firmware = firmwareOf(model, guest, take);
  const storage =
    asked === undefined
      ? storageOf(platform, model, guest, words, disks, take)
      : askedFor(platform, asked, disks.length, take);
  const room = platform.room[storage]!;
  const placed = disks.map((disk, i): TargetDisk => {
    const units = room.taken === undefined ? room.units : room.units - 1;
    const inner = i % units;
    const unit = room.taken !== undefined && inner >= room.taken ? inner + 1 : inner;
    const was = disk.said?.slot ?? '';
    const { file, size, uuid } = disk;
    return { file, size, was, controller: Math.floor(i / units), unit, ...(uuid !== undefined && { uuid }) };
  });
  for (const [i, { file, was }] of placed.entries()) take(`disk ${i}`, file, orderReason(i, was, guest, disks[i].why));
  const { processors, cores, memory } = sizesOf(platform, model, family, take);
  const isEfi = firmware === 'efi';
  return {
    ...named,
    uuid: keep(model.uuid, take),
    firmware,
    secureBoot:
      isEfi && model.secureBoot?.value === true && take('secure boot', 'on', `as ${model.secureBoot.from} says`),
    tpm:
      model.tpm !== undefined &&
      take('TPM', 'a new one', 'what the old one held is not in the disks: keys that it kept are needed again'),
    processors,
    cores,
    memory,
    board: boardOf(platform, model, words, { storage, isEfi, known: from !== undefined }, take),
    localTime: clockOf(model, guest, take),
    family,
    bits,
    guest: word,
    storage,
    disks: placed,
    cdrom: model.disks.some(({ device }) => device === 'cdrom'),
    cards: model.platform === 'none' ? newCards(platform, guest, take) : cardsOf(platform, model, take),
    serial: model.serials.length > 0,
    decisions,
  };
}

function orderReason(i: number, was: string, guest: GuestFacts, why: string | undefined): string {
  const known = i === 0 ? undefined : why;
  const before = was === '' ? (known ?? 'nothing says where it was plugged in') : `it was at ${was}`;
  if (i === 0 && guest.bootDisk !== undefined)
    return `${before}; first, because the guest starts from it (${guest.bootDisk.from})`;
  return i === 0 ? `${before}; the first one is started from` : before;
}

function keep(uuid: Said<string> | undefined, take: Take): string | undefined {
  if (uuid === undefined) return undefined;
  take('UUID', uuid.value, `kept from ${uuid.from}: guests and their licences know their machine by it`);
  return uuid.value;
}

function firmwareOf(model: MachineModel, guest: GuestFacts, take: Take): 'bios' | 'efi' {
  const said = model.firmware;
  const seen = guest.firmware;
  // A word of the configuration counts before what the disks look like; a default does not.
  const isStated = said.certainty >= STATED;
  if (isStated || seen === undefined) {
    const differs =
      seen !== undefined && seen.value !== said.value ? `; but ${seen.from}, which speaks for ${seen.value}` : '';
    take('firmware', said.value, `${isStated ? `as ${said.from} says` : said.from}${differs}`);
    return said.value;
  }
  take('firmware', seen.value, seen.from);
  return seen.value;
}

/** The controller that a disk hung on, as far as the configuration says. */
export function kindOf(model: MachineModel, disk: MachineDisk | undefined): StorageKind | undefined {
  if (disk === undefined) return undefined;
  if (disk.bus === 'scsi') return controllerOf(model, disk)?.model?.value;
  return disk.bus === 'usb' || disk.bus === 'floppy' ? undefined : disk.bus;
}

/** Where it is known what drives a guest, and no platform's controller is among that. */
const LAST =
  'it may not find its disks there: start a Linux by the rescue or fallback entry of its menu and make its initramfs anew, and give a Windows the driver first';

function fitsOn(platform: Platform, kind: StorageKind, count: number): boolean {
  const room = platform.room[kind];
  return room !== undefined && count <= (room.taken === undefined ? room.units : room.units - 1) * room.controllers;
}

function askedFor(platform: Platform, asked: StorageKind, count: number, take: Take): StorageKind {
  if (!fitsOn(platform, asked, count))
    throw new RangeError(`${platform.title} has no place for ${count} disks on ${asked}`);
  take('storage', asked, 'as asked for');
  return asked;
}

function storageOf(
  platform: Platform,
  model: MachineModel,
  guest: GuestFacts,
  words: GuestWords,
  disks: readonly SourceDisk[],
  take: Take,
): StorageKind {
  const fits = (kind: StorageKind): boolean => fitsOn(platform, kind, disks.length);
  const offered = platform.storage.filter(fits);
  const had = kindOf(model, disks[0]?.said ?? hardDisks(model)[0]);
  const { drivers } = guest;
  const chosen = (kind: StorageKind, reason: string): StorageKind => {
    take('storage', kind, reason);
    return kind;
  };
  if (drivers !== undefined) {
    const driven = offered.find((kind) => drivers.value.includes(kind));
    if (driven !== undefined) return chosen(driven, `its driver starts with the guest (${drivers.from})`);
  } else if (had !== undefined && offered.includes(had)) {
    return chosen(had, `as it was: the guest started from it, and ${platform.title} has it`);
  }
  const fallback = words.old && offered.includes('ide') ? 'ide' : 'sata';
  if (!fits(fallback)) throw new RangeError(`${platform.title} has no place for ${disks.length} disks on ${fallback}`);
  const why =
    had === undefined
      ? 'nothing says what it was plugged into'
      : `${platform.title} has no ${had}, or too little of it`;
  const driven =
    drivers === undefined
      ? ''
      : `; no driver of what ${platform.title} has was seen to start with the guest (${drivers.from})`;
  const known = fallback === 'ide' ? 'a guest of that age knows IDE' : 'nearly all guests know SATA';
  const last = (drivers?.value.length ?? 0) === 0 ? known : LAST;
  return chosen(fallback, `${why}${driven}; ${last}`);
}

function sizesOf(
  platform: Platform,
  model: MachineModel,
  family: string,
  take: Take,
): { processors: number; cores: number; memory: number } {
  const had = model.processors?.value ?? DEFAULT_PROCESSORS;
  const processors = Math.min(had, platform.most.processors);
  const more = processors === had ? '' : `, of the ${had} that it had: ${platform.title} refuses more`;
  take(
    'processors',
    String(processors),
    model.processors === undefined ? 'nothing says how many it had' : `as ${model.processors.from} says${more}`,
  );
  const cores = model.coresPerSocket?.value ?? processors;
  const said = model.memory;
  const isUsable = said !== undefined && said.value >= LEAST_MEMORY;
  const memory = isUsable ? said.value : family === 'windows' ? DEFAULT_WINDOWS_MEMORY : DEFAULT_MEMORY;
  const why =
    said === undefined
      ? 'nothing says how much it had'
      : `${said.value / MIB} MiB by ${said.from} start nothing of today`;
  take('memory', `${Math.floor(memory / MIB)} MiB`, isUsable ? `as ${said.from} says` : why);
  return { processors, cores: processors % cores === 0 ? cores : processors, memory: Math.floor(memory / MIB) * MIB };
}

function boardOf(
  platform: Platform,
  model: MachineModel,
  words: GuestWords,
  { storage, isEfi, known }: { storage: StorageKind; isEfi: boolean; known: boolean },
  take: Take,
): 'pc' | 'q35' {
  const chosen = (board: 'pc' | 'q35', reason: string): 'pc' | 'q35' => {
    take('board', board, reason);
    return board;
  };
  if (storage === 'ide') return chosen('pc', 'the newer board has no IDE');
  // What started on a board of the same platform goes on there.
  const isSame = model.platform === platform.title && model.board !== undefined;
  if (isEfi && !isSame) return chosen('q35', 'EFI firmware is made for it');
  if (model.board !== undefined)
    return chosen(
      model.board.value,
      model.board.certainty >= STATED ? `as ${model.board.from} says` : model.board.from,
    );
  return known && !words.old ? chosen('q35', 'guests from 2007 on know it') : chosen('pc', 'every guest knows it');
}

function clockOf(model: MachineModel, guest: GuestFacts, take: Take): boolean {
  const said = guest.localTime ?? model.localTime;
  const local = said?.value ?? (guest.family?.value ?? model.family?.value) === 'windows';
  if (local || said !== undefined)
    take('clock', local ? 'local time' : 'UTC', said === undefined ? 'the guest is a Windows' : `by ${said.from}`);
  return local;
}

/** Cards for a machine of which nothing says what it had: one, or one for each address that the guest wrote down. */
function newCards(platform: Platform, { macs = [] }: GuestFacts, take: Take): TargetMachine['cards'] {
  const network = platform.network;
  const all = macs.length === 0 ? [undefined] : fitting(platform, macs, take);
  return all.map((mac, i) => {
    const { value, said } = addressOf(mac);
    const kept = mac === undefined ? 'nothing says which cards it had' : `${said}, from ${mac.from}`;
    take(`network ${i}`, `e1000 on ${network}`, `${kept}; nearly all guests know this card`);
    return { model: 'e1000', mac: value, network };
  });
}

/** As many cards as the platform takes; the others are named. */
function fitting<T>({ title, most }: Platform, cards: readonly T[], take: Take): readonly T[] {
  const over = cards.length - most.cards;
  if (over > 0)
    take('networks left out', `the last ${over} of ${cards.length}`, `${title} refuses more than ${most.cards}`);
  return cards.slice(0, most.cards);
}

/** The address that a card keeps. One for many cards at once is none of a card, and no platform takes it. */
function addressOf(mac: Said<string> | undefined): { value: string | undefined; said: string } {
  if (mac === undefined) return { value: undefined, said: '' };
  const isForMany = (Number.parseInt(mac.value.slice(0, 2), 16) & 1) === 1;
  return isForMany
    ? { value: undefined, said: `its address ${mac.value} is none that one card can have, and it gets a new one` }
    : { value: mac.value, said: `its address ${mac.value} is kept` };
}

function cardsOf(platform: Platform, model: MachineModel, take: Take): TargetMachine['cards'] {
  return fitting(platform, model.cards, take).map(({ model: said, word, mac, network }, i) => {
    const isOffered = said !== undefined && platform.cards.includes(said.value);
    const card = isOffered
      ? said.value
      : said?.value === 'vmxnet' && platform.cards.includes('pcnet')
        ? 'pcnet'
        : 'e1000';
    const why = isOffered
      ? `as ${said.from} says`
      : `${platform.title} has no ${word || 'card of that name'}, and nearly all guests know this one`;
    const isSame = model.platform === platform.sameAs && network !== undefined;
    const name = isSame ? network.value : platform.network;
    const was = network === undefined || isSame ? '' : `; it was on "${network.value}"`;
    const { value, said: kept } = addressOf(mac);
    take(`network ${i}`, `${card} on ${name}`, `${why}${was}${kept === '' ? '' : `; ${kept}`}`);
    return { model: card, mac: value, network: name, ...(isOffered && { word }) };
  });
}

/** How to move to virtio later, in the order in which it has to be done; empty where there is nothing to move. */
export function virtioSteps(platform: Platform, machine: TargetMachine, guest: GuestFacts): string[] {
  if (!platform.hasVirtio || machine.storage === 'virtio' || machine.storage === 'virtio-scsi') return [];
  const name = `"${machine.name}"`;
  const last = `Shut ${name} down, put its disks on virtio and its network cards on virtio, and start it again; the configuration as it is now is the way back.`;
  if (machine.family === 'windows') {
    return [
      `Start ${name} as it is, on ${machine.storage}: its disks are slower there, but they are driven.`,
      'Give it the virtio-win disc as a CD, and one more disk, small and empty, on virtio: the driver of a boot disk starts at boot only once Windows has seen such a disk.',
      'Run virtio-win-guest-tools.exe (before Windows 10: the viostor and NetKVM drivers by hand), and see the small disk in the disk management.',
      `${last} Where it stops with INACCESSIBLE BOOT DEVICE, the driver does not start at boot yet.`,
    ];
  }
  if (machine.family !== 'linux') return [];
  const isRpm = /rhel|centos|rocky|alma|ol|fedora|suse|sles/.test(guest.id?.value ?? '');
  const isDeb = /debian|ubuntu|mint/.test(guest.id?.value ?? '');
  const debian =
    'put virtio_pci, virtio_blk, virtio_scsi and virtio_net into /etc/initramfs-tools/modules and run update-initramfs -u -k all';
  const dracut = 'run dracut --force --regenerate-all --add-drivers "virtio_pci virtio_blk virtio_scsi virtio_net"';
  return [
    `Start ${name} as it is, on ${machine.storage}.`,
    `In it, ${isDeb ? debian : isRpm ? dracut : `${debian} (Debian, Ubuntu), or ${dracut} (Red Hat, SUSE)`}.`,
    'Look for names like /dev/sda in /etc/fstab, /etc/crypttab and the boot loader; disks on virtio are called /dev/vda. UUIDs and labels stay.',
    last,
  ];
}
