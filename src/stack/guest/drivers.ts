/** What drives the disks of a Linux from the start: built into its kernel, or in its initramfs. Source: vmconfig.md section 5. */
import type { StorageKind } from '../../core/guest.ts';
import { printable } from '../../core/locator.ts';
import { inferred, type Said } from '../../core/machine.ts';
import type { Node } from '../../core/node.ts';
import type { Stack } from '../stack.ts';
import { bootEntry, fileOfEntry } from './entries.ts';
import { namesAt, textAt } from './files.ts';
import { modulesHeld } from './initramfs.ts';

/** Modules that a disk on each kind of controller needs: its own, and one that it is of no use without. */
const MODULES: readonly (readonly [string, StorageKind, string?])[] = [
  ['virtio_blk', 'virtio', 'virtio_pci'],
  ['virtio_scsi', 'virtio-scsi', 'sd_mod'],
  ['ahci', 'sata', 'sd_mod'],
  ['nvme', 'nvme'],
  ['vmw_pvscsi', 'pvscsi', 'sd_mod'],
  ['mptsas', 'lsisas', 'sd_mod'],
  ['mptspi', 'lsilogic', 'sd_mod'],
  ['ata_piix', 'ide', 'sd_mod'],
  ['BusLogic', 'buslogic', 'sd_mod'],
];

type Drivers = { readonly drivers?: Said<readonly StorageKind[]>; readonly notes: readonly string[] };

/** Drivers of what other platforms have, for what is said where there are no others. */
const FOREIGN = ['hv_storvsc', 'xen_blkfront', 'virtio_mmio', 'megaraid_sas', 'mpt3sas', 'hpsa'];

/** What drives its disks from the start: what is seen in its initramfs, else what its settings say of it. `homes`: all file systems. */
export async function driversOf(stack: Stack, root: Node, homes: readonly Node[]): Promise<Drivers> {
  const versions = (await namesAt(stack, root, 'lib/modules')).sort((a, b) =>
    a.localeCompare(b, 'en', { numeric: true }),
  );
  const seen = await seenDrivers(stack, [root, ...homes.filter((one) => one !== root)], versions.at(-1));
  if (seen?.isWhole === true) return seen;
  const told = await toldDrivers(stack, root, versions.at(-1));
  if (seen === undefined) return told;
  const kinds = new Set([...(seen.drivers?.value ?? []), ...(told.drivers?.value ?? [])]);
  const from = [seen.drivers, told.drivers].flatMap((one) => one?.from ?? []).join('; and ');
  return {
    ...(kinds.size > 0 && { drivers: inferred([...kinds], from) }),
    notes: [...seen.notes, ...told.notes],
  };
}

/** Where initramfs lie that no menu names, by the version of their kernel. */
function usualPlaces(version: string): string[] {
  const flavour = /-(\w+)$/.exec(version)?.[1] ?? 'linux';
  const names = ['initramfs-*.img', 'initrd.img-*', 'initrd-*', 'initrd-*.img', 'initramfs-*'].map((name) =>
    name.replace('*', () => version),
  );
  return [...names, `initramfs-${flavour}`, 'initramfs-linux.img'].map((name) => `/${name}`);
}

/** What the kernel that is started brings along itself; undefined where neither it nor its initramfs is found. */
async function seenDrivers(
  stack: Stack,
  roots: readonly Node[],
  newest: string | undefined,
): Promise<(Drivers & { isWhole: boolean }) | undefined> {
  const entry = await bootEntry(stack, roots);
  const files: Node[] = [];
  for (const path of entry?.initrds ?? []) {
    const file = await fileOfEntry(stack, roots, path);
    if (file !== undefined) files.push(file);
  }
  const started = files.length === 0 ? undefined : entry;
  for (const path of files.length > 0 || newest === undefined ? [] : usualPlaces(newest)) {
    const file = await fileOfEntry(stack, roots, path);
    if (file !== undefined) files.push(file);
    if (files.length > 0) break;
  }
  if (files.length === 0) return undefined;
  const modules = new Set<string>();
  const notes: string[] = [];
  let version = /vmlinu[xz]-(.+)$/.exec(started?.kernel ?? '')?.[1] ?? newest;
  for (const file of files) {
    const source = await file.bytes?.();
    if (source === undefined) continue;
    const held = await modulesHeld(source, stack.signal);
    for (const one of held.modules) modules.add(one);
    if (held.kernels.size === 1) [version] = held.kernels;
    if (held.unread !== undefined)
      notes.push(`${file.locator} is not read whole: ${held.unread}; there may be more drivers in it`);
  }
  const isWhole = notes.length === 0;
  const text = await textAt(stack, roots[0], `lib/modules/${version}/modules.builtin`);
  const builtin = modulesIn(text ?? '');
  const has = (module: string): boolean => modules.has(module) || builtin.has(module);
  // Where it cannot be seen what is built in, what a driver needs besides itself may well be.
  const isDriven = ([own, , needs]: (typeof MODULES)[number]): boolean =>
    has(own) && (needs === undefined || text === undefined || !isWhole || has(needs));
  const kinds = MODULES.filter(isDriven).map(([, kind]) => kind);
  const where = `in ${files.map(({ locator }) => locator).join(' and ')}`;
  const built = text === undefined ? '' : ' or built into its kernel';
  const from = `${where}${built}${started === undefined ? '' : `; ${started.from} starts it`}`;
  if (kinds.length > 0) return { drivers: inferred(kinds, from), notes, isWhole };
  const others = FOREIGN.filter(has);
  const held = others.length === 0 ? '' : `, but ${others.join(', ')}`;
  notes.push(
    `there is no driver of a controller that is known here ${where}${held}: its disks may not be found on another platform; the rescue entry of the boot menu, where there is one, holds all drivers`,
  );
  return { notes, isWhole: isWhole && text !== undefined };
}

/**
 * What settings say of it. Modules that are built in always are there. An initramfs that is made for any machine
 * holds the others too; one that is made for its own machine holds what that one had, which is not known then.
 */
async function toldDrivers(stack: Stack, root: Node, newest: string | undefined): Promise<Drivers> {
  if (newest === undefined) return { notes: [] };
  const folder = `lib/modules/${newest}`;
  const builtin = modulesIn((await textAt(stack, root, `${folder}/modules.builtin`)) ?? '');
  const conf = await textAt(stack, root, 'etc/initramfs-tools/initramfs.conf');
  const listed = /^[ \t]*MODULES\s*=\s*"?(\w+)/m.exec(conf ?? '')?.[1];
  const dracut = await dracutOf(stack, root);
  const isForAll = listed === 'most' || dracut?.isForAll === true;
  const features = await featuresOf(stack, root);
  const added = modulesIn((await textAt(stack, root, 'etc/initramfs-tools/modules')) ?? '');
  for (const one of dracut?.added ?? []) added.add(one);
  const there = isForAll ? await installed(stack, root, folder) : added;
  const kinds = MODULES.filter(([module]) => builtin.has(module) || there.has(module) || added.has(module)).map(
    ([, kind]) => kind,
  );
  const kernel = `of kernel ${newest}`;
  if (isForAll) {
    const how =
      listed === 'most' ? 'etc/initramfs-tools/initramfs.conf says MODULES=most' : 'dracut is told hostonly="no"';
    return { drivers: inferred(kinds, `${how}, and these modules ${kernel} are there`), notes: [] };
  }
  if (features !== undefined) {
    const all = await installed(stack, root, folder);
    const own = MODULES.filter(([module]) => builtin.has(module) || (all.has(module) && features.modules.has(module)));
    const how = `etc/mkinitfs/mkinitfs.conf lists ${features.words}, and these modules ${kernel} are there`;
    return {
      drivers: inferred(
        own.map(([, kind]) => kind),
        how,
      ),
      notes: [],
    };
  }
  if (conf === undefined && dracut === undefined) return { notes: [] };
  const note = `its initramfs ${printable(kernel)} is made for the machine that it ran on: on other controllers it may not find its disks; the rescue entry of the boot menu, where there is one, holds all drivers`;
  // Only what is sure to be in it; with nothing sure, the controller that it had is the one that works.
  return kinds.length === 0
    ? { notes: [note] }
    : { drivers: inferred(kinds, `built into the kernel, or added to its initramfs, ${kernel}`), notes: [note] };
}

/** Names of modules in a text: one a line, as paths or alone. */
function modulesIn(text: string): Set<string> {
  const out = new Set<string>();
  for (const line of text.split('\n')) {
    const word = line.trim().split(/[\s:]/)[0];
    if (word === '' || word.startsWith('#')) continue;
    out.add((word.split('/').pop() ?? '').replace(/\.ko(\.\w+)?$/, '').replaceAll('-', '_'));
  }
  return out;
}

/** Modules that lie in the folder of a kernel, of those that matter here. */
async function installed(stack: Stack, root: Node, folder: string): Promise<Set<string>> {
  const out = new Set<string>();
  for (const place of PLACES) {
    for (const name of await namesAt(stack, root, `${folder}/kernel/drivers/${place}`)) {
      if (/\.ko(\.\w+)?$/.test(name)) for (const one of modulesIn(name)) out.add(one);
    }
  }
  return out;
}

const PLACES = ['block', 'scsi', 'ata', 'nvme/host', 'message/fusion'];

/** What the words of Alpine's list put into its initramfs, of the modules that matter here. */
const FEATURES: Readonly<Record<string, readonly string[]>> = {
  ata: ['ahci', 'ata_piix'],
  nvme: ['nvme'],
  scsi: ['virtio_scsi', 'vmw_pvscsi', 'BusLogic'],
  virtio: ['virtio_blk'],
};

async function featuresOf(stack: Stack, root: Node): Promise<{ words: string; modules: Set<string> } | undefined> {
  const text = await textAt(stack, root, 'etc/mkinitfs/mkinitfs.conf');
  const words = /^[ \t]*features\s*=\s*"([^"\n]*)"/m.exec(text ?? '')?.[1].split(/\s+/);
  if (words === undefined) return undefined;
  const known = words.filter((word) => Object.hasOwn(FEATURES, word));
  return { words: known.join(', '), modules: new Set(known.flatMap((word) => FEATURES[word])) };
}

async function dracutOf(stack: Stack, root: Node): Promise<{ isForAll: boolean; added: Set<string> } | undefined> {
  const texts: string[] = [];
  for (const folder of ['usr/lib/dracut/dracut.conf.d', 'etc/dracut.conf.d']) {
    for (const name of (await namesAt(stack, root, folder)).sort().slice(0, 64))
      if (name.endsWith('.conf')) texts.push((await textAt(stack, root, `${folder}/${name}`)) ?? '');
  }
  const main = await textAt(stack, root, 'etc/dracut.conf');
  if (main !== undefined) texts.unshift(main);
  if (texts.length === 0) return undefined;
  let isForAll = false;
  const added = new Set<string>();
  for (const text of texts) {
    const host = [...text.matchAll(/^[ \t]*hostonly\s*=\s*"?(\w+)/gm)].at(-1)?.[1];
    if (host !== undefined) isForAll = host === 'no';
    for (const [, words] of text.matchAll(/^[ \t]*(?:add_drivers|force_drivers)\s*\+?=\s*"([^"\n]*)"/gm))
      for (const word of words.split(/\s+/)) if (word !== '') added.add(word.replaceAll('-', '_'));
  }
  return { isForAll, added };
}
