/** Block devices of this host, as Linux describes them. Reads /sys and /proc only; looking inside is the caller's. */
import * as fs from 'node:fs';
import * as path from 'node:path';

/** A stretch of a disk that has a device of its own. */
export interface Part {
  readonly name: string;
  readonly path: string;
  /** Bytes from the start of the disk. */
  readonly start: number;
  /** Bytes. */
  readonly size: number;
  readonly use: Use;
}

/** What the host does with a device at this moment. */
export interface Use {
  /** Folders that it is mounted on. */
  readonly mounts: readonly string[];
  readonly swap: boolean;
  /** Devices that are built on it: LVM, RAID, encryption. */
  readonly holders: readonly string[];
  /** Where those, and what is built on them, are mounted or swapped to. */
  readonly through: readonly string[];
}

export interface Device {
  readonly name: string;
  readonly path: string;
  readonly size: number;
  /** Vendor, model and serial number as far as the device says. */
  readonly vendor?: string;
  readonly model?: string;
  readonly serial?: string;
  /** LVM and encryption give names: vg0-root. */
  readonly label?: string;
  readonly rotational: boolean | undefined;
  readonly removable: boolean;
  readonly readOnly: boolean;
  /** The file behind a loop device. */
  readonly backing?: string;
  /** A mapped device that is suspended never answers a read: it must not be looked into. */
  readonly suspended: boolean;
  readonly use: Use;
  readonly parts: readonly Part[];
}

/** Where the host describes its devices. */
export interface Places {
  readonly sys: string;
  readonly proc: string;
  readonly dev: string;
}

/** The places below a folder: '/' for this host. */
export function placesBelow(root: string): Places {
  return { sys: path.join(root, 'sys'), proc: path.join(root, 'proc'), dev: path.join(root, 'dev') };
}

/** Linux counts in sectors of 512 bytes, whatever the device's own are. */
const SECTOR = 512;
/** Devices on top of each other: LVM on encryption on RAID on disks is four. */
const MAX_STACKED = 16;

/** All block devices that the host knows, in the order of their names. Never throws: what is not told is not there. */
export function listDevices(places: Places): Device[] {
  const host = { places, mounts: readMounts(places), swaps: readSwaps(places) };
  return list(path.join(places.sys, 'block'))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((name) => deviceOf(name, host));
}

interface Host {
  readonly places: Places;
  /** Mount points by 'major:minor', and by path of the device. */
  readonly mounts: ReadonlyMap<string, readonly string[]>;
  readonly swaps: ReadonlySet<string>;
}

function deviceOf(name: string, host: Host): Device {
  const folder = path.join(host.places.sys, 'block', name);
  const text = (file: string): string | undefined => read(path.join(folder, file));
  const parts = list(folder)
    .filter((entry) => read(path.join(folder, entry, 'partition')) !== undefined)
    .map((entry) => partOf(path.join(folder, entry), entry, host));
  const rotational = text('queue/rotational');
  const optional = {
    // Virtual disks give a number of the PCI registry here, which tells nobody anything.
    vendor: text('device/vendor')?.replace(/^0x[0-9a-f]+$/, ''),
    model: text('device/model') ?? text('device/name'),
    serial: text('serial') ?? text('device/serial'),
    label: text('dm/name'),
    backing: text('loop/backing_file'),
  };
  return {
    name,
    path: devicePath(name, host),
    size: number(text('size')) * SECTOR,
    ...(Object.fromEntries(Object.entries(optional).filter(([, value]) => value)) as Partial<Device>),
    rotational: rotational === undefined ? undefined : rotational === '1',
    removable: text('removable') === '1',
    readOnly: text('ro') === '1',
    suspended: text('dm/suspended') === '1',
    use: useOf(folder, name, host),
    parts: parts.sort((a, b) => a.start - b.start),
  };
}

function partOf(folder: string, name: string, host: Host): Part {
  const sectors = (file: string): number => number(read(path.join(folder, file))) * SECTOR;
  const use = useOf(folder, name, host);
  return { name, path: devicePath(name, host), start: sectors('start'), size: sectors('size'), use };
}

function useOf(folder: string, name: string, host: Host): Use {
  const holders = list(path.join(folder, 'holders')).sort();
  const through = new Set<string>();
  const met = new Set<string>();
  for (const holder of holders) collectUses(holder, host, through, met);
  const own = directUse(folder, name, host);
  return { ...own, holders: holders.map((holder) => devicePath(holder, host)), through: [...through] };
}

function directUse(folder: string, name: string, host: Host): { mounts: string[]; swap: boolean } {
  const device = devicePath(name, host);
  // Some file systems, btrfs for one, mount under a number of their own: then the path tells.
  const found = [...(host.mounts.get(read(path.join(folder, 'dev')) ?? '') ?? []), ...(host.mounts.get(device) ?? [])];
  return { mounts: [...new Set(found)], swap: host.swaps.has(device) };
}

function collectUses(name: string, host: Host, through: Set<string>, met: Set<string>): void {
  if (met.has(name) || met.size >= MAX_STACKED) return;
  met.add(name);
  const folder = path.join(host.places.sys, 'block', name);
  const { mounts, swap } = directUse(folder, name, host);
  for (const mount of mounts) through.add(mount);
  if (swap) through.add('swap');
  for (const holder of list(path.join(folder, 'holders'))) collectUses(holder, host, through, met);
}

/** Linux writes '/' in a device's name as '!': cciss!c0d0 is /dev/cciss/c0d0. */
function devicePath(name: string, host: Host): string {
  return path.join(host.places.dev, name.replaceAll('!', '/'));
}

/** /proc/self/mountinfo: ID, parent, major:minor, root, mount point, … - type, source, options. */
function readMounts({ proc, dev }: Places): Map<string, string[]> {
  const out = new Map<string, string[]>();
  for (const line of (read(path.join(proc, 'self/mountinfo')) ?? '').split('\n')) {
    const [before, after] = line.split(' - ');
    const fields = before.split(' ');
    const source = after?.split(' ')[1];
    if (source === undefined || fields.length < 5) continue;
    const point = unescaped(fields[4]);
    for (const key of new Set([fields[2], hostPath(unescaped(source), dev)]))
      out.set(key, [...(out.get(key) ?? []), point]);
  }
  return out;
}

function readSwaps({ proc, dev }: Places): Set<string> {
  const lines = (read(path.join(proc, 'swaps')) ?? '').split('\n').slice(1);
  // The host says /dev/sda2 wherever its folders are looked at from.
  return new Set(lines.map((line) => hostPath(unescaped(line.split(/\s/)[0]), dev)));
}

/** The kernel writes blanks and the like in paths as \040. */
function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
}

/** A path that the host gives for a device, below the folder where its devices are seen from here. */
function hostPath(name: string, dev: string): string {
  return name.startsWith('/dev/') ? path.join(dev, name.slice('/dev/'.length)) : name;
}

function number(text: string | undefined): number {
  const value = Number(text ?? 0);
  return Number.isSafeInteger(value * SECTOR) && value > 0 ? value : 0;
}

function read(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8').trim();
  } catch {
    return undefined; // containers hide parts of /sys, and some files can be read by root only
  }
}

function list(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}
