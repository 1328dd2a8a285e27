/** A Windows by its registry: which one it is, and which storage drivers start with it. Source: vmconfig.md section 5. */
import type { GuestFacts, StorageKind } from '../../core/guest.ts';
import { inferred } from '../../core/machine.ts';
import type { Node } from '../../core/node.ts';
import { viewOf } from '../../core/struct.ts';
import { guidText } from '../../formats/disk/guid.ts';
import { Hive } from '../../formats/file/regf.ts';
import type { Stack } from '../stack.ts';
import { pathNode } from './files.ts';

const CONFIG = 'Windows/System32/config';
/** Services that drive a kind of controller; Windows 7 has msahci where newer ones have storahci. */
const SERVICES: readonly (readonly [string, StorageKind])[] = [
  ['viostor', 'virtio'],
  ['vioscsi', 'virtio-scsi'],
  ['storahci', 'sata'],
  ['msahci', 'sata'],
  ['stornvme', 'nvme'],
  ['pvscsi', 'pvscsi'],
  ['LSI_SAS', 'lsisas'],
  ['LSI_SCSI', 'lsilogic'],
  ['symmpi', 'lsilogic'],
  ['buslogic', 'buslogic'],
];
/** IDE takes a driver of its controller, its own or the one for all, and that of its disks. */
const IDE_CONTROLLERS = ['intelide', 'pciide'];
const IDE_DISKS = 'atapi';
const LETTER = /^\\DosDevices\\([A-Z]):$/i;
const BY_GUID = 'DMIO:ID:';
const NEWEST_10 = 22_000;

/** What a file system says of the Windows on it; undefined where it holds none. */
export async function windowsOn(stack: Stack, root: Node): Promise<GuestFacts | undefined> {
  const system = await hiveAt(stack, root, 'SYSTEM');
  const software = await hiveAt(stack, root, 'SOFTWARE');
  if (system === undefined && software === undefined) return undefined;
  const from = `the registry on ${root.locator}`;
  const notes: string[] = [];
  if (system?.isDirty === true || software?.isDirty === true)
    notes.push('the registry was not written out whole: its last changes stand in logs that are not read');
  const is64 = await pathNode(stack, root, 'Windows/SysWOW64', true);
  return {
    family: inferred('windows', from),
    id: inferred('windows', from),
    architecture: inferred(is64 === undefined ? 'i686' : 'x86_64', `Windows/SysWOW64 on ${root.locator}`),
    ...(software && (await productOf(software, from))),
    ...(system && (await systemOf(system, from))),
    notes: [...notes, ...(await sleeping(root, stack))],
  };
}

/** The partitions behind the letters of a Windows: "signature:offset", or the GUID, in lower case. */
export async function lettersOn(stack: Stack, root: Node): Promise<ReadonlyMap<string, string>> {
  const out = new Map<string, string>();
  const hive = await hiveAt(stack, root, 'SYSTEM');
  for (const [name, place] of (await hive?.binaries('MountedDevices')) ?? []) {
    const letter = LETTER.exec(name)?.[1];
    const mark = markOf(place);
    if (letter !== undefined && mark !== undefined) out.set(letter.toUpperCase(), mark);
  }
  return out;
}

function markOf(place: Uint8Array): string | undefined {
  const view = viewOf(place);
  if (place.length === 12) {
    const offset = view.getUint32(8, true) * 2 ** 32 + view.getUint32(4, true);
    return `${view.getUint32(0, true).toString(16)}:${offset}`;
  }
  const isGuid = place.length === 24 && Buffer.from(place).toString('latin1', 0, 8) === BY_GUID;
  return isGuid ? guidText(place.subarray(8)) : undefined;
}

async function hiveAt(stack: Stack, root: Node, name: string): Promise<Hive | undefined> {
  const source = await (await pathNode(stack, root, `${CONFIG}/${name}`, true))?.bytes?.();
  return source === undefined ? undefined : Hive.open(source);
}

async function productOf(hive: Hive, from: string): Promise<Pick<GuestFacts, 'product' | 'version' | 'server'>> {
  const key = 'Microsoft\\Windows NT\\CurrentVersion';
  const text = async (name: string): Promise<string> => {
    const value = await hive.value(key, name);
    return typeof value === 'string' ? value.trim() : '';
  };
  const build = (await text('CurrentBuildNumber')) || (await text('CurrentBuild'));
  const kind = await text('InstallationType');
  const said = await text('ProductName');
  const isServer = /server/i.test(kind) || /server/i.test(said);
  // A Windows 11 still calls itself 10 there.
  const product = !isServer && Number(build) >= NEWEST_10 ? said.replace('Windows 10', 'Windows 11') : said;
  const named = product !== '' && !/^(microsoft )?windows/i.test(product) ? `Windows ${product}` : product;
  return {
    ...(named !== '' && { product: inferred(named, from) }),
    ...(/^\d{1,6}$/.test(build) && { version: inferred(build, from) }),
    server: isServer,
  };
}

async function systemOf(hive: Hive, from: string): Promise<Pick<GuestFacts, 'drivers' | 'hostname' | 'localTime'>> {
  // The loader takes the default; the current one is that of the last start.
  const sets = [await hive.value('Select', 'Default'), await hive.value('Select', 'Current'), 1];
  let set: string | undefined;
  for (const number of sets.filter((one) => typeof one === 'number' && one > 0)) {
    const name = `ControlSet${String(number).padStart(3, '0')}`;
    if (set === undefined && (await hive.key(name)) !== undefined) set = name;
  }
  if (set === undefined) return {};
  const name = await hive.value(`${set}\\Control\\ComputerName\\ComputerName`, 'ComputerName');
  const universal = await hive.value(`${set}\\Control\\TimeZoneInformation`, 'RealTimeIsUniversal');
  const kinds: StorageKind[] = [];
  for (const [service, kind] of SERVICES)
    if (!kinds.includes(kind) && (await startsAtBoot(hive, `${set}\\Services\\${service}`))) kinds.push(kind);
  const starts = (service: string): Promise<boolean> => startsAtBoot(hive, `${set}\\Services\\${service}`);
  const controllers = await Promise.all(IDE_CONTROLLERS.map(starts));
  if (controllers.includes(true) && (await starts(IDE_DISKS))) kinds.push('ide');
  const unbound = await unboundIn(hive, set);
  const driven = kinds.filter((kind) => !unbound.has(kind));
  const dropped = kinds.filter((kind) => unbound.has(kind)).join(', ');
  const loose = dropped === '' ? '' : `; not ${dropped}, whose driver starts, but is bound to no device`;
  const hasServices = (await hive.key(`${set}\\Services`)) !== undefined;
  return {
    ...(hasServices && { drivers: inferred(driven, `${set}\\Services with Start=0 in ${from}${loose}`) }),
    ...(typeof name === 'string' && name !== '' && { hostname: inferred(name, from) }),
    localTime: inferred(universal !== 1, `RealTimeIsUniversal in ${from}`),
  };
}

/** Drivers that are not Windows' own, and the makers of the devices that they drive, as PCI has it. */
const FOREIGN: readonly (readonly [string, StorageKind, string])[] = [
  ['viostor', 'virtio', 'ven_1af4'],
  ['vioscsi', 'virtio-scsi', 'ven_1af4'],
  ['pvscsi', 'pvscsi', 'ven_15ad'],
];

/**
 * Kinds whose driver starts and is bound to no device. Before Windows 8 a disk is found at boot only if its controller
 * stands in the critical database, or was there before; later ones look their drivers up.
 */
async function unboundIn(hive: Hive, set: string): Promise<Set<StorageKind>> {
  const out = new Set<StorageKind>();
  const critical = await hive.list(`${set}\\Control\\CriticalDeviceDatabase`);
  if (critical === undefined || critical.isCut || (await hive.key('DriverDatabase')) !== undefined) return out;
  const seen = (await hive.list(`${set}\\Enum\\PCI`))?.keys ?? [];
  for (const [service, kind, maker] of FOREIGN) {
    const places = critical.keys.filter(({ name }) => name.toLowerCase().includes(maker));
    let isBound = false;
    for (const { name } of places) {
      const own = await hive.value(`${set}\\Control\\CriticalDeviceDatabase\\${name}`, 'Service');
      isBound ||= String(own).toLowerCase() === service;
    }
    for (const { name } of isBound ? [] : seen.filter((key) => key.name.toLowerCase().includes(maker)))
      for (const { name: instance } of (await hive.list(`${set}\\Enum\\PCI\\${name}`))?.keys ?? [])
        isBound ||=
          String(await hive.value(`${set}\\Enum\\PCI\\${name}\\${instance}`, 'Service')).toLowerCase() === service;
    if (!isBound) out.add(kind);
  }
  return out;
}

/** Whether a driver is started by the boot loader, and nothing overrides that. */
async function startsAtBoot(hive: Hive, key: string): Promise<boolean> {
  if ((await hive.value(key, 'Start')) !== 0) return false;
  const override = await hive.value(`${key}\\StartOverride`, '0');
  return override === undefined || override === 0;
}

/** Whether it sleeps in its file: then its disk must not be changed by anything else, and other hardware confuses it. */
async function sleeping(root: Node, stack: Stack): Promise<string[]> {
  const source = await (await pathNode(stack, root, 'hiberfil.sys', true))?.bytes?.();
  if (source === undefined || source.size < 4) return [];
  const head = new Uint8Array(4);
  const gaps = await source.read(0, head);
  if (gaps.length > 0 || Buffer.from(head).toString('latin1').toLowerCase() !== 'hibr') return [];
  return [
    'it was hibernated, or shut down with fast startup: on other hardware let it start afresh, and expect it to check its disks',
  ];
}
