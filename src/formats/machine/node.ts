/** The node of a machine's configuration, the same for all platforms. */
import type { Damage } from '../../core/damage.ts';
import type { Cx } from '../../core/format.ts';
import { decodeName, printable } from '../../core/locator.ts';
import { doubted, type MachineModel } from '../../core/machine.ts';
import type { Node } from '../../core/node.ts';
import { rawOf } from './xml.ts';

const MIB = 1024 * 1024;

/** A node of kind machine with what its first machine is made of as facts. Where its text is in doubt, so is all in it. */
export function machineNode(
  cx: Cx,
  title: string,
  size: number,
  models: readonly MachineModel[],
  damage: readonly Damage[],
  isDoubted = damage.length > 0,
): Node {
  const machines = isDoubted ? models.map(doubted) : models;
  const [first] = machines;
  const rawName = rawOf(first?.name.value ?? '');
  return {
    name: printable(rawName),
    rawName,
    locator: cx.self,
    kind: 'machine',
    state: 'live',
    format: title,
    facts: { size, details: first === undefined ? {} : detailsOf(first, machines.length) },
    damage,
    machines,
  };
}

/** What `salvor stat` and `salvor inspect` print of a machine. */
function detailsOf(model: MachineModel, count: number): Record<string, string | number | boolean> {
  const { platform, guest, memory, processors, firmware, secureBoot, uuid, disks, cards, snapshots, copy } = model;
  return {
    platform,
    ...(copy !== undefined && { copy: printable(rawOf(copy)) }),
    ...(count > 1 && { machines: count }),
    ...(guest !== undefined && { guest: printable(rawOf(guest.value)) }),
    ...(memory !== undefined && { memory: `${Math.floor(memory.value / MIB)} MiB` }),
    ...(processors !== undefined && { processors: processors.value }),
    firmware: secureBoot?.value === true ? `${firmware.value} with secure boot` : firmware.value,
    ...(uuid !== undefined && { uuid: uuid.value }),
    disks: disks
      .map(({ slot, device, file }) => `${slot} ${device} ${printable(file.split(/[\\/]/).pop() ?? '') || 'empty'}`)
      .join(', '),
    networks: cards.map(({ word, mac }) => `${word || 'unnamed card'} ${mac?.value ?? 'without address'}`).join(', '),
    ...(snapshots.length > 0 && {
      snapshots: snapshots
        .map(({ name, current }) => printable(rawOf(name)) + (current ? ' (current)' : ''))
        .join(', '),
    }),
  };
}

/** The raw name of the file that is being opened, as its locator ends. */
export function ownName(cx: Cx): string {
  const last = cx.source.split('::').pop() ?? '';
  const name = last.split('/').pop() ?? '';
  return cx.source.includes('::') ? decodeName(name) : rawOf(name);
}
