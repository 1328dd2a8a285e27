/** What a .vmx says the machine is made of. Source: vmconfig.md section 1. */
import type { KeyValues } from '../../codec/keyvalue.ts';
import { encodingOf, inUnicode } from '../../codec/text-encoding.ts';
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
  type Snapshot,
  scsiOf,
  stated,
  uuidOf,
} from '../../core/machine.ts';
import { rawOf } from './xml.ts';

const CONTROLLER = /^(scsi|sata|nvme|ide)(\d{1,2})\.(virtualdev|present)$/;
const SLOT = /^(scsi|sata|nvme|ide)(\d{1,2}):(\d{1,3})\.(?:filename|present|devicetype)$/;
const FLOPPY = /^floppy(\d)\.filename$/;
const ETHERNET = /^ethernet(\d{1,2})\.present$/;
const MIB = 1024 * 1024;
/** What VMware starts a machine with whose configuration says nothing of memory. */
const DEFAULT_MIB = 32;

/** The machine that a .vmx describes. What it does not say, or says in no legal way, is left out. */
export function vmwareModel(values: KeyValues, snapshots: readonly Snapshot[]): MachineModel {
  const encoding = encodingOf(values.get('.encoding'));
  const text = (key: string): string => inUnicode(values.get(key) ?? '', encoding);
  const lower = (key: string): string => text(key).toLowerCase();
  const said = <T>(key: string, value: T | undefined): Said<T> | undefined =>
    value === undefined ? undefined : stated(value, key);
  const name = text('displayname');
  const uuid = said('uuid.bios', uuidOf(text('uuid.bios')));
  const processors = said('numvcpus', countOf(text('numvcpus'), MAX_PROCESSORS));
  const cores = said('cpuid.coresPerSocket', countOf(text('cpuid.corespersocket'), MAX_PROCESSORS));
  const guest = text('guestos');
  const mib = countOf(text('memsize'), MAX_MEMORY / MIB);
  const firmware = lower('firmware');
  return {
    platform: 'VMware',
    name: stated(name, 'displayName'),
    ...(uuid && { uuid }),
    firmware:
      firmware === 'efi' || firmware === 'bios'
        ? stated(firmware, 'firmware')
        : inferred('bios', 'what VMware takes where "firmware" says nothing'),
    ...(lower('uefi.secureboot.enabled') === 'true' && { secureBoot: stated(true, 'uefi.secureBoot.enabled') }),
    ...(lower('vtpm.present') === 'true' && { tpm: stated('2.0', 'vtpm.present') }),
    ...(text('nvram') !== '' && { nvram: stated(text('nvram'), 'nvram') }),
    processors: processors ?? inferred(1, 'what VMware takes where "numvcpus" says nothing'),
    ...(cores && { coresPerSocket: cores }),
    memory:
      mib === undefined
        ? inferred(DEFAULT_MIB * MIB, 'what VMware takes where "memSize" says nothing')
        : stated(mib * MIB, 'memSize'),
    ...(guest !== '' && { guest: stated(guest, 'guestOS'), family: inferred(familyOf(guest), 'guestOS') }),
    ...(familyOf(guest) === 'windows' && { localTime: inferred(true, 'guestOS is a Windows') }),
    controllers: controllersOf(values, lower),
    disks: disksOf(values, encoding, lower),
    cards: cardsOf(values, text, lower),
    snapshots,
    serials: [0, 1, 2, 3].flatMap((n) =>
      lower(`serial${n}.present`) === 'true' ? [stated(text(`serial${n}.filetype`) || 'device', `serial${n}`)] : [],
    ),
  };
}

type Text = (key: string) => string;

function controllersOf(values: KeyValues, lower: Text): Controller[] {
  const out = new Map<string, Controller>();
  for (const key of values.keys()) {
    const [, bus, digits] = CONTROLLER.exec(key) ?? SLOT.exec(key) ?? [];
    const name = bus === undefined ? '' : `${bus}${Number(digits)}`;
    if (name === '' || out.has(name) || out.size >= MAX_CONTROLLERS) continue;
    const isOff = lower(`${name}.present`) === 'false';
    if (isOff) continue;
    const word = lower(`${name}.virtualdev`);
    const model = bus === 'scsi' ? scsiOf(word) : undefined;
    out.set(name, {
      bus: bus as DiskBus,
      number: Number(digits),
      word,
      from: name,
      ...(model !== undefined && { model: stated(model, `${name}.virtualDev`) }),
    });
  }
  return [...out.values()];
}

/** The drives that are present, in the order of their slots. */
function disksOf(values: KeyValues, encoding: string, lower: Text): MachineDisk[] {
  const out: MachineDisk[] = [];
  const seen = new Set<string>();
  for (const key of values.keys()) {
    const [, bus, number, unit] = SLOT.exec(key) ?? [];
    if (bus === undefined || out.length >= MAX_DISKS) continue;
    const slot = `${bus}${Number(number)}:${Number(unit)}`;
    const raw = values.get(`${slot}.filename`) ?? '';
    const type = lower(`${slot}.devicetype`);
    if (seen.has(slot) || lower(`${slot}.present`) === 'false') continue;
    if (values.get(`${slot}.present`) === undefined && raw === '') continue;
    seen.add(slot);
    // A drive of whoever looks at the machine's screen is none of the machine.
    if (lower(`${slot}.clientdevice`) === 'true' && type.includes('cdrom')) continue;
    const isDisk = !type.includes('cdrom') && (/\.vmdk$/i.test(raw) || type.endsWith('disk'));
    if (isDisk && raw === '') continue;
    const isOther = !isDisk && !type.includes('cdrom') && raw !== '' && !/\.iso$|\/cdrom\//i.test(raw);
    if (isOther) continue;
    const isFile = isDisk || /image/.test(type) || /\.iso$/i.test(raw);
    out.push({
      slot,
      device: isDisk ? 'disk' : 'cdrom',
      bus: bus as DiskBus,
      controller: Number(number),
      unit: Number(unit),
      file: isFile ? rawOf(inUnicode(raw, encoding)) : '',
      chain: [],
      from: `${slot}.fileName`,
    });
  }
  for (const key of values.keys()) {
    const n = FLOPPY.exec(key)?.[1];
    if (n === undefined || lower(`floppy${n}.present`) === 'false' || lower(`floppy${n}.filetype`) !== 'file') continue;
    const file = rawOf(inUnicode(values.get(key) ?? '', encoding));
    const place = { slot: `floppy${n}`, bus: 'floppy', controller: 0, unit: Number(n) } as const;
    out.push({ ...place, device: 'floppy', file, chain: [], from: `floppy${n}.fileName` });
  }
  return out.sort((a, b) => a.slot.localeCompare(b.slot, 'en', { numeric: true }));
}

function cardsOf(values: KeyValues, text: Text, lower: Text): Card[] {
  const out: Card[] = [];
  for (const key of values.keys()) {
    const digits = ETHERNET.exec(key)?.[1];
    if (digits === undefined || lower(key) !== 'true' || out.length >= MAX_CARDS) continue;
    const from = `ethernet${digits}`;
    const word = lower(`${from}.virtualdev`);
    const model = cardOf(word);
    // A static address counts only where the type says so; what was generated before stays in the text.
    const [first, second] =
      lower(`${from}.addresstype`) === 'static' ? ['address', 'generatedAddress'] : ['generatedAddress', 'address'];
    const place = [first, second].find((one) => macOf(text(`${from}.${one.toLowerCase()}`)) !== undefined);
    const mac = place === undefined ? undefined : macOf(text(`${from}.${place.toLowerCase()}`));
    const network = text(`${from}.networkname`) || text(`${from}.vnet`);
    const kind = lower(`${from}.connectiontype`);
    const link = kind === 'nat' ? 'nat' : kind === 'hostonly' ? 'internal' : network || kind ? 'bridge' : 'none';
    out.push({
      number: Number(digits),
      word,
      link,
      from,
      ...(model !== undefined && { model: stated(model, `${from}.virtualDev`) }),
      ...(mac !== undefined && { mac: stated(mac, `${from}.${place}`) }),
      ...(network !== '' && { network: stated(network, `${from}.networkName`) }),
    });
  }
  return out.sort((a, b) => a.number - b.number);
}

/** The states that a .vmsd lists. Source: vmconfig.md section 1. */
export function vmsdSnapshots(values: KeyValues): Snapshot[] {
  const encoding = encodingOf(values.get('.encoding'));
  const out: Snapshot[] = [];
  const count = Math.min(countOf(values.get('snapshot.numsnapshots'), MAX_LISTED) ?? MAX_LISTED, MAX_LISTED);
  const current = values.get('snapshot.current');
  for (let i = 0; i < count; i++) {
    const id = values.get(`snapshot${i}.uid`);
    if (id === undefined) continue;
    const text = (key: string): string => inUnicode(values.get(`snapshot${i}.${key}`) ?? '', encoding);
    const disks: { slot: string; file: string }[] = [];
    for (let d = 0; d < MAX_LISTED; d++) {
      const file = text(`disk${d}.filename`);
      if (file === '') break;
      disks.push({ slot: text(`disk${d}.node`) || String(d), file: rawOf(file) });
    }
    const time = timeOf(text('createtimehigh'), text('createtimelow'));
    const parent = text('parent');
    out.push({
      id,
      name: text('displayname') || id,
      current: id === current,
      disks,
      from: `snapshot${i}`,
      ...(time !== undefined && { time }),
      ...(parent !== '' && { parent }),
    });
  }
  return out;
}

const MAX_LISTED = 512;

/** Microseconds since 1970 in two halves, of which the lower one may stand as negative. */
function timeOf(high: string, low: string): number | undefined {
  if (!/^-?\d{1,10}$/.test(high) || !/^-?\d{1,10}$/.test(low)) return undefined;
  const micros = Number(high) * 2 ** 32 + (Number(low) >>> 0);
  const seconds = Math.floor(micros / 1e6);
  return seconds > 0 && seconds < 2 ** 33 ? seconds : undefined;
}
