/** A Linux by its own files: which one it is, and what its initramfs drives. Source: vmconfig.md section 5. */
import type { GuestFacts, StorageKind } from '../../core/guest.ts';
import { printable } from '../../core/locator.ts';
import { inferred, type Said } from '../../core/machine.ts';
import type { Node } from '../../core/node.ts';
import type { Stack } from '../stack.ts';
import { macsOn } from './cards.ts';
import { namesAt, pathNode, textAt } from './files.ts';

/** Modules that a disk on each kind of controller needs. */
const MODULES: readonly (readonly [string, StorageKind])[] = [
  ['virtio_blk', 'virtio'],
  ['virtio_scsi', 'virtio-scsi'],
  ['ahci', 'sata'],
  ['nvme', 'nvme'],
  ['vmw_pvscsi', 'pvscsi'],
  ['mptsas', 'lsisas'],
  ['mptspi', 'lsilogic'],
  ['ata_piix', 'ide'],
  ['BusLogic', 'buslogic'],
];
/** Lines of a table that are told. */
const MAX_NOTES = 4;

/** What a file system says of the Linux on it; undefined where it holds none. */
export async function linuxOn(stack: Stack, root: Node): Promise<GuestFacts | undefined> {
  const release = (await textAt(stack, root, 'etc/os-release')) ?? (await textAt(stack, root, 'usr/lib/os-release'));
  const other = release === undefined ? await olderRelease(stack, root) : undefined;
  if (release === undefined && other === undefined) return undefined;
  const values = release === undefined ? new Map<string, string>() : valuesOf(release);
  const from = other?.from ?? `etc/os-release of ${root.locator}`;
  const say = (value: string | undefined): Said<string> | undefined =>
    value === undefined || value === '' ? undefined : inferred(value, from);
  const product = say(values.get('PRETTY_NAME') ?? values.get('NAME') ?? other?.text);
  const id = say(values.get('ID') ?? other?.id);
  const version = say(values.get('VERSION_ID'));
  const name = (await textAt(stack, root, 'etc/hostname'))?.trim().split('\n')[0];
  const is64 =
    (await pathNode(stack, root, 'lib64/ld-linux-x86-64.so.2')) ?? (await pathNode(stack, root, 'usr/lib64'));
  const arm = await pathNode(stack, root, 'lib/ld-linux-aarch64.so.1');
  const musl = await pathNode(stack, root, 'lib/ld-musl-x86_64.so.1');
  const { drivers, notes } = await driversOf(stack, root);
  const macs = await macsOn(stack, root);
  const adjusted = await textAt(stack, root, 'etc/adjtime');
  const fstab = (await textAt(stack, root, 'etc/fstab')) ?? '';
  const plain = fstab.split('\n').flatMap((line) => /^\s*(\/dev\/[shxv]v?d[a-z]\d*)\s/.exec(line)?.[1] ?? []);
  return {
    family: inferred('linux', from),
    ...(product && { product }),
    ...(id && { id }),
    ...(version && { version }),
    ...(name && { hostname: inferred(name, `etc/hostname of ${root.locator}`) }),
    ...(arm !== undefined
      ? { architecture: inferred('aarch64', `ld-linux-aarch64.so.1 of ${root.locator}`) }
      : (is64 ?? musl) !== undefined && { architecture: inferred('x86_64', `its libraries on ${root.locator}`) }),
    ...(drivers && { drivers }),
    ...(macs.length > 0 && { macs }),
    ...(adjusted !== undefined && {
      localTime: inferred(/^LOCAL$/m.test(adjusted), `etc/adjtime of ${root.locator}`),
    }),
    notes: [
      ...notes,
      ...plain
        .slice(0, MAX_NOTES)
        .map(
          (device) =>
            `etc/fstab names ${printable(device)}: on virtio disks are called /dev/vda and so on; a UUID there works everywhere`,
        ),
    ],
  };
}

async function olderRelease(stack: Stack, root: Node): Promise<{ text: string; id: string; from: string } | undefined> {
  const kinds = [
    ['etc/redhat-release', 'rhel'],
    ['etc/SuSE-release', 'suse'],
    ['etc/alpine-release', 'alpine'],
    ['etc/debian_version', 'debian'],
  ] as const;
  for (const [file, id] of kinds) {
    const text = (await textAt(stack, root, file))?.trim().split('\n')[0];
    if (text === undefined || text === '') continue;
    const isCentos = /centos/i.test(text);
    const shown = id === 'debian' ? `Debian ${text}` : id === 'alpine' ? `Alpine Linux ${text}` : text;
    return { text: shown, id: isCentos ? 'centos' : id, from: `${file} of ${root.locator}` };
  }
  return undefined;
}

/** KEY="value" lines of os-release. */
function valuesOf(text: string): Map<string, string> {
  const out = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]{1,40})=(.*)$/.exec(line.trim());
    if (match !== null) out.set(match[1], match[2].replace(/^(['"])(.*)\1$/, '$2').replace(/\\(.)/g, '$1'));
  }
  return out;
}

type Drivers = { readonly drivers?: Said<readonly StorageKind[]>; readonly notes: readonly string[] };

/**
 * What drives its disks from the start. Modules that are built in always do. An initramfs that is made for any machine
 * holds the others too; one that is made for its own machine holds what that one had, which is not known here.
 */
async function driversOf(stack: Stack, root: Node): Promise<Drivers> {
  const versions = (await namesAt(stack, root, 'lib/modules')).sort((a, b) =>
    a.localeCompare(b, 'en', { numeric: true }),
  );
  const newest = versions.at(-1);
  if (newest === undefined) return { notes: [] };
  const folder = `lib/modules/${newest}`;
  const builtin = modulesIn((await textAt(stack, root, `${folder}/modules.builtin`)) ?? '');
  const conf = await textAt(stack, root, 'etc/initramfs-tools/initramfs.conf');
  const listed = /^\s*MODULES\s*=\s*"?(\w+)/m.exec(conf ?? '')?.[1];
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
  const words = /^\s*features\s*=\s*"([^"\n]*)"/m.exec(text ?? '')?.[1].split(/\s+/);
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
    const host = [...text.matchAll(/^\s*hostonly\s*=\s*"?(\w+)/gm)].at(-1)?.[1];
    if (host !== undefined) isForAll = host === 'no';
    for (const [, words] of text.matchAll(/^\s*(?:add_drivers|force_drivers)\s*\+?=\s*"([^"\n]*)"/gm))
      for (const word of words.split(/\s+/)) if (word !== '') added.add(word.replaceAll('-', '_'));
  }
  return { isForAll, added };
}
