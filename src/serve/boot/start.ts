/** All that a machine needs to start from evidence: its disks served, overlays, what was decided, and qemu. */
import * as path from 'node:path';
import type { Decision } from '../../core/machine-writer.ts';
import { type MachinePlan, planMachine } from '../../export/index.ts';
import { createOverlay } from '../../export/overlay.ts';
import type { RunFolder } from '../../export/run-folder.ts';
import { kindOf, qemuHere } from '../../formats/index.ts';
import type { Bootable } from '../../stack/bootable.ts';
import { guestOf } from '../../stack/guest/index.ts';
import type { Stack } from '../../stack/stack.ts';
import { ServeError } from '../error.ts';
import { uriOf } from '../nbd/address.ts';
import { exportsOf, type Lost } from '../nbd/exports.ts';
import { NbdServer } from '../nbd/server.ts';
import { accelerator, type Wish } from './accelerator.ts';
import { type Bus, choose } from './choices.ts';
import { Guest } from './guest.ts';
import { hostOf } from './host.ts';

export interface StartOptions {
  /** MiB. */
  readonly memory?: number | undefined;
  readonly bus?: Bus | undefined;
  readonly accel: Wish;
  readonly display: string;
  readonly network: boolean;
  readonly lost: Lost;
  /** A private folder, for sockets. */
  readonly run: RunFolder;
  /** Where overlays and serial.log go. */
  readonly kept: string;
  readonly onFault: (error: unknown) => void;
}

/** A machine that is ready to start: `guest.start()` does it, `stop` ends all of it. */
export interface Ready {
  readonly plan: MachinePlan;
  readonly choices: readonly Decision[];
  readonly guest: Guest;
  readonly server: NbdServer;
  stop(): Promise<void>;
}

/** Decides as a plan for any platform does, serves the disks, and puts overlays over them. */
export async function ready(stack: Stack, machine: Bootable, options: StartOptions): Promise<Ready> {
  const host = hostOf();
  if (!host.hasQemu) throw new ServeError('qemu is not installed (Debian: apt install qemu-system-x86 qemu-utils).');
  const { network, run, kept, lost } = options;
  const facts = await guestOf(stack, machine);
  const had = kindOf(machine.model, machine.disks[facts.bootDisk?.value ?? 0]?.said);
  const words = network ? 'the network of this computer' : 'a network that reaches nothing (--network lets it out)';
  const plan = planMachine(machine, facts, qemuHere(had, words), kept, [], options.bus);
  const exports = exportsOf(plan.disks);
  const overlays = plan.target.disks.map(({ file }) => path.join(kept, file));
  const chosen = choose(plan.target, overlays, {
    ...(options.memory !== undefined && { memory: options.memory }),
    network,
    display: options.display,
    accelerator: await accelerator(options.accel),
    processors: host.processors,
    hostMemory: host.memory,
    efi: host.efi,
  });
  const server = new NbdServer(exports, { lost, onFault: options.onFault });
  const guest = new Guest(chosen.args, run.path, path.join(kept, 'serial.log'));
  const stop = async (): Promise<void> => {
    await guest.stop();
    await server.close();
  };
  try {
    const address = await server.listen({ path: path.join(run.path, 'nbd.sock') });
    for (const [i, overlay] of overlays.entries()) await createOverlay(uriOf(address, `disk${i}`), overlay);
  } catch (error) {
    await stop();
    throw error;
  }
  return { plan, choices: chosen.choices, guest, server, stop };
}
