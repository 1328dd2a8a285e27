/** What lives inside a machine's disks, seen from the disks alone. */
import { type GuestFacts, UNKNOWN_GUEST } from '../../core/guest.ts';
import { inferred } from '../../core/machine.ts';
import type { Node } from '../../core/node.ts';
import type { Bootable } from '../bootable.ts';
import { filesystems } from '../home.ts';
import type { Stack } from '../stack.ts';
import { pathNode, textAt } from './files.ts';
import { type Starts, startsOf } from './firmware.ts';
import { linuxOn } from './linux.ts';
import { windowsOn } from './windows.ts';

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
  const found: Found[] = [];
  for (const { disk, root } of roots.values()) {
    const facts = (await windowsOn(stack, root)) ?? (await linuxOn(stack, root));
    if (facts !== undefined) found.push({ disk, root, facts });
  }
  const own = found[0];
  const others = found
    .slice(1)
    .map(({ facts, root }) => `${facts.product?.value ?? 'another system'} is on ${root.locator}, too`);
  const mode =
    own === undefined
      ? undefined
      : await modeOf(
          stack,
          own,
          [...roots.values()].map(({ root }) => root),
        );
  const firmware = firmwareOf(starts, mode);
  const boot = starts.findIndex(({ bios, efi }) => (firmware?.value === 'efi' ? efi : bios) !== undefined);
  const bootDisk = boot >= 0 ? boot : own?.disk;
  const why =
    boot >= 0
      ? firmware?.value === 'efi'
        ? starts[boot].efi
        : starts[boot].bios
      : `its system is on ${own?.root.locator}`;
  return {
    ...(own?.facts ?? UNKNOWN_GUEST),
    ...(firmware !== undefined && { firmware }),
    ...(bootDisk !== undefined && { bootDisk: inferred(bootDisk, why ?? '') }),
    notes: [...(own?.facts.notes ?? []), ...others],
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

/** What a Linux was set up for: its table of file systems, and the modules of its boot loader. */
async function modeOf(stack: Stack, { root, facts }: Found, all: readonly Node[]): Promise<GuestFacts['firmware']> {
  if (facts.family?.value !== 'linux') return undefined;
  const fstab = (await textAt(stack, root, 'etc/fstab')) ?? '';
  if (/^\s*[^#\s]\S*\s+\/(boot\/)?efi\s/m.test(fstab))
    return inferred('efi', `etc/fstab of ${root.locator} mounts an EFI partition`);
  for (const one of all) {
    for (const folder of ['boot/grub', 'grub', 'boot/grub2', 'grub2']) {
      const pc = await pathNode(stack, one, `${folder}/i386-pc`);
      if (pc !== undefined) return inferred('bios', `GRUB for BIOS in ${pc.locator}`);
      const efi = await pathNode(stack, one, `${folder}/x86_64-efi`);
      if (efi !== undefined) return inferred('efi', `GRUB for EFI in ${efi.locator}`);
    }
  }
  return undefined;
}
