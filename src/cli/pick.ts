/** Which machine a person means: by --vm, or the only one there is. */
import { hardDisks } from '../core/machine.ts';
import { type Bootable, bootable, disksAlone, machinesIn } from '../stack/bootable.ts';
import { locate } from '../stack/locate.ts';
import { type Tip, tipsGiven } from '../stack/loose.ts';
import { isConfiguration, type Machine } from '../stack/machines.ts';
import { numberedMachines } from '../stack/numbered.ts';
import type { Stack } from '../stack/stack.ts';
import { NOTHING, UsageError } from './command.ts';
import { counted, shown } from './output.ts';

/** Machines named in a sentence; --json of inspect has all. */
const NAMED = 12;

/** The machine that was asked for; without any configuration, the disk that was given. */
export async function pickMachine(stack: Stack, inner: string | undefined, vm: string | undefined): Promise<Bootable> {
  const from = inner === undefined ? undefined : (await locate(stack, inner)).node;
  const machines = await machinesIn(stack, from);
  const all = machines.filter((machine) => isNamed(machine, vm));
  // Another explanation of a machine is asked for by its own name only.
  const plain = all.filter(({ name, newest }) => newest === undefined || name === vm);
  const named = plain.length > 0 ? plain : all;
  if (named.length === 1) return withGiven(stack, await bootable(stack, named[0]));
  const list = machines
    .slice(0, NAMED)
    .map(({ name, config }) => `"${shown(name)}" (${shown(config.locator)})`)
    .join(', ');
  if (named.length > 1)
    throw new UsageError(
      `There are ${named.length}: ${list}. Say which one with --vm NAME, or name its place as the source.`,
    );
  if (machines.length > 0)
    throw new UsageError(`No machine is called "${shown(vm ?? '')}". There are: ${list}.`, NOTHING);
  const numbered = await numberedMachines(stack, from);
  const wanted = numbered.filter(({ name }) => vm === undefined || [name, name.replace('vm-', '')].includes(vm));
  if (wanted.length === 1) return wanted[0];
  if (numbered.length > 0) {
    const all = numbered.map(({ name, disks }) => `${shown(name)} (${counted(disks.length, 'disk')})`).slice(0, NAMED);
    throw new UsageError(
      `No configuration is there; by the names of volumes there are: ${all.join(', ')}. Say which one with --vm NAME.`,
    );
  }
  const bare = vm === undefined ? await disksAlone(stack, from === undefined ? stack.roots : [from]) : undefined;
  if (bare !== undefined) return bare;
  const tips = await tipsGiven(stack);
  if (tips.length === 1 && vm === undefined) {
    const alone = await disksAlone(stack, [tips[0].node]);
    if (alone !== undefined) return alone;
  }
  if (tips.length > 0) throw new UsageError(`No configuration was found in the sources. ${tipsSaid(tips)}.`, NOTHING);
  throw new UsageError('No machine was found in the sources. List what is there with: salvor inspect', NOTHING);
}

/** A machine whose configuration says nothing of disks any more, with those that were given beside it. */
async function withGiven(stack: Stack, machine: Bootable): Promise<Bootable> {
  if (hardDisks(machine.model).length > 0) return machine;
  const given = stack.roots.filter((node) => node.kind === 'evidence' && !isConfiguration(node));
  const alone = given.length === 0 ? undefined : await disksAlone(stack, given);
  if (alone !== undefined) return { ...machine, disks: alone.disks };
  const tips = await tipsGiven(stack);
  if (tips.length === 0 && machine.doubts === undefined) return machine;
  const said = `its configuration names no disk. ${tipsSaid(tips)}`;
  return { ...machine, lost: [...machine.lost, said] };
}

function tipsSaid(tips: readonly Tip[]): string {
  if (tips.length === 0) return 'No disk of a format that is known was given';
  const list = tips
    .slice(0, NAMED)
    .map(({ node, isOver }) => `${shown(node.locator)}${isOver ? ' (over others)' : ''}`);
  const more = tips.length > NAMED ? ` and ${tips.length - NAMED} more` : '';
  return `Disks that nothing else lies on: ${list.join(', ')}${more}; give those of one machine, the one that it starts from first`;
}

function isNamed({ name, config }: Machine, vm: string | undefined): boolean {
  if (vm === undefined) return true;
  const wanted = vm.toLowerCase();
  const file = config.name.toLowerCase();
  return [name.toLowerCase(), file, file.replace(/\.[^.]*$/, '')].includes(wanted);
}
