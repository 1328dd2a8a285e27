/** What a machine would be on each platform, as the API hands it out. */
import type { z } from '@hono/zod-openapi';
import { quoted } from '../codec/shell.ts';
import type { GuestFacts } from '../core/guest.ts';
import { planMachine } from '../export/index.ts';
import { machineWriters } from '../formats/index.ts';
import type { Bootable } from '../stack/bootable.ts';
import { guestOf } from '../stack/guest/index.ts';
import { shown } from '../stack/words.ts';
import type { Plan } from './schemas.ts';
import type { Session } from './session.ts';

type View = z.infer<typeof Plan>;

/** Plans a machine for all platforms; one that cannot have it says why. */
export async function planView({ stack, hasQemu }: Session, machine: Bootable): Promise<View> {
  const guest = await guestOf(stack, machine);
  const sources = stack.roots.map((root) => quoted(shown(root.locator))).join(' ');
  const targets = machineWriters.map((writer): View['targets'][number] => {
    const { target, title } = writer.platform;
    const archive = writer.archive !== undefined;
    const command = `salvor recover ${sources} --vm ${quoted(shown(machine.name))} --target ${target} --out DIR`;
    try {
      const plan = planMachine(machine, guest, writer, 'DIR');
      const decisions = plan.target.decisions.map(({ what, value, reason }) => ({
        what: shown(what),
        value: shown(value),
        reason: shown(reason),
      }));
      const files = [...plan.target.disks.map(({ file }) => file), ...plan.texts.map((text) => text.name)].map(shown);
      const [steps, later] = [plan.steps, plan.later].map((list) => list.map(shown));
      return { target, title, archive, decisions, files, steps, later, command };
    } catch (error) {
      const refused = shown((error as Error).message);
      return { target, title, archive, refused, decisions: [], files: [], steps: [], later: [], command };
    }
  });
  return {
    name: shown(machine.name),
    guest: guestRows(guest),
    notes: notesOf(machine, guest),
    qemu: hasQemu,
    targets,
  };
}

function guestRows({ product, hostname, firmware, drivers, bootDisk }: GuestFacts): [string, string][] {
  const rows: [string, string | undefined][] = [
    ['system', product && `${product.value} (${product.from})`],
    ['host name', hostname && `${hostname.value} (${hostname.from})`],
    ['started by', firmware && `${firmware.value} (${firmware.from})`],
    ['starts from', bootDisk && `disk ${bootDisk.value} (${bootDisk.from})`],
    ['drives from the start', drivers && `${drivers.value.join(', ') || 'nothing known'} (${drivers.from})`],
  ];
  return rows.flatMap(([label, value]): [string, string][] => (value === undefined ? [] : [[label, shown(value)]]));
}

function notesOf(machine: Bootable, guest: GuestFacts): View['notes'] {
  const broken = machine.disks.flatMap((disk) => (disk.broken === undefined ? [] : [`${disk.slot}: ${disk.broken}`]));
  const lost = machine.lost.map((one) => `${one}: it would start without that disk`);
  return [
    ...[...(machine.doubts ?? []), ...lost, ...broken].map((text) => ({ text: shown(text), wrong: true })),
    ...guest.notes.map((text) => ({ text: shown(text), wrong: false })),
  ];
}
