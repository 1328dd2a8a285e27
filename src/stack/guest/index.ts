/** What lives inside a machine's disks, seen from the disks alone. */
import { type GuestFacts, UNKNOWN_GUEST } from '../../core/guest.ts';
import { inferred } from '../../core/machine.ts';
import type { Node } from '../../core/node.ts';
import type { Bootable } from '../bootable.ts';
import { filesystems } from '../home.ts';
import type { Stack } from '../stack.ts';
import { pathNode, textAt } from './files.ts';
import { type Starts, startsOf } from './firmware.ts';
import { systemRoot } from './homes.ts';
import { linuxOn } from './linux.ts';
import { type Loaders, loaderNotes, loadersOn } from './loaders.ts';
import { type Home, linuxSequences, orderOf, windowsSequence } from './order.ts';
import { lettersOn, windowsOn } from './windows.ts';

/** Disks and file systems of one machine that are looked into. */
const MAX_DISKS = 32;
const MAX_FILESYSTEMS = 128;

interface Found {
  readonly disk: number;
  readonly root: Node;
  readonly facts: GuestFacts;
}

/** Looks into the disks of a machine. Where nothing can be known, nothing is claimed. */
export async function guestOf(stack: Stack, machine: Bootable): Promise<GuestFacts> {
  const starts: Starts[] = [];
  const roots = new Map<string, { disk: number; root: Node }>();
  for (const [disk, { node }] of machine.disks.slice(0, MAX_DISKS).entries()) {
    starts.push(await startsOf(stack, node));
    for (const root of await filesystems(stack, node))
      if (!roots.has(root.locator) && roots.size < MAX_FILESYSTEMS) roots.set(root.locator, { disk, root });
  }
  const homes = [...roots.values()];
  const found: Found[] = [];
  for (const { disk, root } of homes) {
    const own = await systemRoot(stack, root);
    const facts =
      (await windowsOn(stack, own)) ??
      (await linuxOn(
        stack,
        own,
        homes.map(({ root: one }) => one),
      ));
    if (facts !== undefined) found.push({ disk, root: own, facts });
  }
  const own = found[0];
  const others = found
    .slice(1)
    .map(({ facts, root }) => `${facts.product?.value ?? 'another system'} is on ${root.locator}, too`);
  const loaders: Loaders[] = [];
  for (const { root } of homes) {
    const one = await loadersOn(stack, root);
    if (one !== undefined) loaders.push(one);
  }
  const firmware = firmwareOf(starts, own && (await modeOf(stack, own, homes, loaders)));
  const { bootDisk, why } = bootDiskOf(starts, firmware, own);
  const sequences =
    own?.facts.family?.value === 'windows'
      ? [windowsSequence(await lettersOn(stack, own.root), starts, own.root.locator)]
      : await linuxSequences(stack, starts, homes, own?.root);
  const order = orderOf(sequences, bootDisk, why);
  const facts = own?.facts ?? bsdOn(starts) ?? UNKNOWN_GUEST;
  return {
    ...facts,
    ...(order.length > 0 && { order }),
    ...(firmware !== undefined && { firmware }),
    ...(bootDisk !== undefined && { bootDisk: inferred(bootDisk, why) }),
    notes: [...facts.notes, ...others, ...(firmware?.value === 'efi' ? loaderNotes(loaders) : [])],
  };
}

/** The disk that the firmware starts from, and what says so. */
function bootDiskOf(
  starts: readonly Starts[],
  firmware: GuestFacts['firmware'],
  own: Found | undefined,
): { bootDisk: number | undefined; why: string } {
  const reasons = starts.map(({ bios, efi }) => (firmware?.value === 'efi' ? efi : bios));
  const boot = reasons.findIndex((reason) => reason !== undefined);
  if (boot >= 0) return { bootDisk: boot, why: reasons[boot] ?? '' };
  return { bootDisk: own?.disk, why: own === undefined ? '' : `its system is on ${own.root.locator}` };
}

/** A FreeBSD, whose file systems are not read, by the partitions that only it has. */
function bsdOn(starts: readonly Starts[]): GuestFacts | undefined {
  const types = starts.flatMap(({ parts }) => parts.map(({ facts, locator }) => ({ facts, locator })));
  const found = types.find(({ facts }) => String(facts.details?.type ?? '').startsWith('FreeBSD'));
  if (found === undefined) return undefined;
  const from = `a partition of the type ${String(found.facts.details?.type)} (${found.locator})`;
  const note = 'its file systems are not read: which version it is, and what it drives from the start, is not known';
  return {
    family: inferred('other', from),
    product: inferred('FreeBSD', from),
    id: inferred('freebsd', from),
    notes: [note],
  };
}

/** The firmware by the disks; where they could be started both ways, by what the system itself was set up for. */
function firmwareOf(starts: readonly Starts[], mode: GuestFacts['firmware']): GuestFacts['firmware'] {
  const efi = starts.find((one) => one.efi !== undefined)?.efi;
  const bios = starts.find((one) => one.bios !== undefined)?.bios;
  if (efi !== undefined && bios !== undefined)
    return mode ?? inferred('efi', `${efi}; it could be started by BIOS, too`);
  if (efi !== undefined) return inferred('efi', efi);
  return bios === undefined ? mode : inferred('bios', bios);
}

/** What a system was set up for: its table of file systems, and the modules or files of its boot loader. */
async function modeOf(
  stack: Stack,
  { root, facts }: Found,
  homes: readonly Home[],
  loaders: readonly Loaders[],
): Promise<GuestFacts['firmware']> {
  if (facts.family?.value === 'windows') {
    const found = loaders.find(({ own }) => own.some((path) => path.endsWith('/bootmgfw.efi')));
    if (found !== undefined) return inferred('efi', `the boot manager of Windows for EFI on ${found.where}`);
    for (const one of homes) {
      const store = await pathNode(stack, one.root, 'Boot/BCD', true);
      if (store !== undefined) return inferred('bios', `the boot manager of Windows for BIOS by ${store.locator}`);
    }
  }
  if (facts.family?.value !== 'linux') return undefined;
  const fstab = (await textAt(stack, root, 'etc/fstab')) ?? '';
  if (/^[ \t]*[^#\s]\S*\s+\/(boot\/)?efi\s/m.test(fstab))
    return inferred('efi', `etc/fstab of ${root.locator} mounts an EFI partition`);
  for (const { root: one } of homes) {
    for (const folder of ['boot/grub', 'grub', 'boot/grub2', 'grub2']) {
      const pc = await pathNode(stack, one, `${folder}/i386-pc`);
      if (pc !== undefined) return inferred('bios', `GRUB for BIOS in ${pc.locator}`);
      const efi = await pathNode(stack, one, `${folder}/x86_64-efi`);
      if (efi !== undefined) return inferred('efi', `GRUB for EFI in ${efi.locator}`);
    }
  }
  return undefined;
}
