/** salvor plan: what a machine would be on another platform, and why. */
import { type Command, Option } from 'commander';
import { quoted } from '../codec/shell.ts';
import type { GuestFacts } from '../core/guest.ts';
import { decisionLine, type MachinePlan, planMachine, stepLines } from '../export/index.ts';
import { machineWriters } from '../formats/index.ts';
import { guestOf } from '../stack/guest/index.ts';
import type { Stack } from '../stack/stack.ts';
import { type CommonOptions, common, INTACT, UNCERTAIN, withStack } from './command.ts';
import { graded, print, printJson, shown, size } from './output.ts';
import { pickMachine } from './pick.ts';

interface Options extends CommonOptions {
  readonly vm?: string;
  readonly target?: string;
}

export const TARGETS: readonly string[] = machineWriters.map(({ platform }) => platform.target);

export function register(program: Command): void {
  common(program.command('plan'))
    .summary('say what a machine would be on another platform, and what there is to do')
    .description(
      'Reads the configuration of a machine and looks into its disks, and says what it would be on each platform: its ' +
        'firmware, the devices that the guest can start from, and how to move to faster ones later, each with its ' +
        'reason. Nothing is written; salvor recover --target does it.',
    )
    .argument('<source...>', 'images or disks of a datastore, a folder of machines, a configuration, or disks alone')
    .option('--vm <name>', 'which machine: its display name, or the name of its configuration')
    .addOption(new Option('--target <platform>', 'only this platform, in full').choices(TARGETS))
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: Options) =>
      withStack(args, options, (stack, inner) => plan(stack, inner, options)),
    );
}

const EXAMPLES = `
Examples:
  salvor plan lun0.img --vm web01                    which platform fits
  salvor plan lun0.img --vm web01 --target kvm       what it would be there, and why
  salvor plan disk0.vmdk disk1.vmdk --target kvm     disks alone, the first one first`;

async function plan(stack: Stack, inner: string | undefined, options: Options): Promise<number> {
  const machine = await pickMachine(stack, inner, options.vm);
  const guest = await guestOf(stack, machine);
  const chosen = machineWriters.filter(({ platform }) => (options.target ?? platform.target) === platform.target);
  const plans: (MachinePlan | string)[] = chosen.map((writer) => {
    try {
      return planMachine(machine, guest, writer, 'DIR');
    } catch (error) {
      if (options.target !== undefined) throw error;
      return `${writer.platform.title}: ${(error as Error).message}`;
    }
  });
  const first = plans.find((one) => typeof one !== 'string');
  if (options.json === true) {
    printJson({
      machine: machine.name,
      config: machine.config?.locator,
      model: graded(machine.model),
      guest: graded(guest),
      lost: machine.lost,
      ...(machine.doubts !== undefined && { doubts: machine.doubts }),
      targets: plans.map((one) => (typeof one === 'string' ? { refused: one } : planJson(one))),
    });
  } else
    print(
      [...headLines(machine, guest), ...plans.flatMap((one) => planLines(one, options.target !== undefined))].join(
        '\n',
      ),
    );
  const isWhole =
    machine.lost.length === 0 &&
    machine.doubts === undefined &&
    machine.disks.every(({ broken }) => broken === undefined);
  return first === undefined || !isWhole ? UNCERTAIN : INTACT;
}

type Machine = MachinePlan['machine'];

function headLines(machine: Machine, guest: GuestFacts): string[] {
  const from = machine.config === undefined ? 'disks without a configuration' : shown(machine.config.locator);
  const lines = [`Machine "${shown(machine.name)}", from ${from}`];
  for (const doubt of machine.doubts ?? []) lines.push(`  ! ${shown(doubt)}`);
  for (const { slot, node, source, broken, notes = [] } of machine.disks) {
    lines.push(`  ${slot === '' ? 'disk' : shown(slot)}: ${shown(node.locator)}, ${size(source.size)}`);
    for (const note of [...(broken === undefined ? [] : [broken]), ...notes]) lines.push(`    ! ${shown(note)}`);
  }
  for (const lost of machine.lost) lines.push(`  ! ${shown(lost)}: it would start without that disk`);
  const { product, hostname, drivers, firmware } = guest;
  if (product !== undefined) lines.push(`  guest: ${shown(product.value)} (${shown(product.from)})`);
  if (hostname !== undefined) lines.push(`  host name: ${shown(hostname.value)} (${shown(hostname.from)})`);
  if (firmware !== undefined) lines.push(`  started by: ${firmware.value} (${shown(firmware.from)})`);
  if (drivers !== undefined)
    lines.push(`  drives from the start: ${drivers.value.join(', ') || 'nothing known'} (${shown(drivers.from)})`);
  for (const note of guest.notes) lines.push(`  ! ${shown(note)}`);
  return lines;
}

function planLines(one: MachinePlan | string, isFull: boolean): string[] {
  if (typeof one === 'string') return ['', `! ${one}`];
  const { writer, target, texts, steps, later } = one;
  const name = writer.platform.title;
  if (!isFull) {
    const said = target.decisions.find(({ what }) => what === 'storage');
    return ['', `${name}: ${target.firmware}, disks on ${target.storage} (${shown(said?.reason ?? '')})`];
  }
  const files = [...target.disks.map(({ file }) => file), ...texts.map((text) => text.name)];
  return [
    '',
    `On ${name} it would be:`,
    ...target.decisions.map(decisionLine),
    `Written: ${files.map(shown).join(', ')}`,
    'Then:',
    ...stepLines(steps),
    ...(later.length === 0 ? [] : ['To move to virtio, once it runs:']),
    ...stepLines(later),
    `Next: salvor recover SOURCE${one.machine.config === undefined && one.machine.model.name.value === '' ? '' : ` --vm ${quoted(shown(one.machine.name))}`} --target ${writer.platform.target} --out DIR`,
  ];
}

function planJson({ writer, target, texts, steps, later }: MachinePlan): Record<string, unknown> {
  const { decisions, ...machine } = target;
  return {
    target: writer.platform.target,
    title: writer.platform.title,
    machine,
    decisions,
    files: texts,
    steps,
    later,
  };
}
