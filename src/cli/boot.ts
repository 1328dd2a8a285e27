/** salvor boot: starts a machine in qemu straight from the evidence, which is only read. */
import * as path from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { caseDir } from '../case/place.ts';
import { quoted } from '../codec/shell.ts';
import { decisionLine } from '../export/index.ts';
import { checkFolder } from '../export/overlay.ts';
import { emptyFolder, type RunFolder, runFolder, writeNew } from '../export/run-folder.ts';
import { ACCELERATORS, type Wish } from '../serve/boot/accelerator.ts';
import { BUSES, type Bus } from '../serve/boot/choices.ts';
import type { Guest } from '../serve/boot/guest.ts';
import { keepStart } from '../serve/boot/kept.ts';
import { pngOf } from '../serve/boot/screen.ts';
import { WHAT } from '../serve/boot/signs.ts';
import { type Watched, watch } from '../serve/boot/smoke.ts';
import { type Ready, ready } from '../serve/boot/start.ts';
import type { Lost, Served } from '../serve/nbd/exports.ts';
import type { Bootable } from '../stack/bootable.ts';
import type { Stack } from '../stack/stack.ts';
import { type CommonOptions, common, hasCase, INTACT, NOTHING, UNCERTAIN, UsageError, withStack } from './command.ts';
import { lostOption, tellKnown } from './nbd.ts';
import { graded, note, print, printJson, shown, size } from './output.ts';
import { pickMachine } from './pick.ts';

interface Options extends CommonOptions {
  readonly vm?: string;
  readonly memory?: number;
  readonly bus?: Bus;
  readonly accel: Wish;
  readonly display?: string;
  readonly network?: boolean;
  readonly lost: Lost;
  readonly smoke?: boolean;
  readonly expect?: string;
  readonly timeout: number;
  readonly overlayDir?: string;
  readonly keep?: boolean;
}

const TIMEOUT = 120;

export function register(program: Command): void {
  common(program.command('boot'))
    .summary('start a machine in qemu, straight from the evidence')
    .description(
      'Starts a machine of a datastore, or a disk alone, in qemu. Its disks are read from the evidence through their ' +
        'whole chain of snapshots; what the guest writes goes to new overlay files. Nothing is copied, and the ' +
        'evidence is only read. The guest reaches no network unless --network says so.',
    )
    .argument('<source...>', 'images or disks of a datastore, a folder of machines, or a disk')
    .option('--vm <name>', 'which machine: its display name, or the name of its .vmx')
    .option('--memory <mb>', 'memory of the guest in MiB', megabytes)
    .addOption(new Option('--bus <bus>', 'plug all disks into this, whatever they were plugged into').choices(BUSES))
    .addOption(
      new Option('--accel <how>', 'run on the processor itself (kvm), emulate it (tcg), or the first that works')
        .choices(ACCELERATORS)
        .default('auto'),
    )
    .option(
      '--display <how>',
      'vnc (this machine only, no password), none, gtk or sdl; by default vnc, and none with --smoke',
    )
    .option('--network', 'let the guest reach the network (through this machine)')
    .addOption(lostOption())
    .option(
      '--smoke',
      'only see whether it starts: wait for a login prompt, a desktop, or a sign that it will not; then end it',
    )
    .option('--expect <text>', 'with --smoke: wait for this text instead')
    .option('--timeout <s>', 'with --smoke: seconds to wait', Number, TIMEOUT)
    .option('--overlay-dir <dir>', 'keep overlays, serial.log and screen.png in this new or empty directory')
    .option('--keep', 'keep the temporary directory of overlays')
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: Options) => {
      if (options.expect !== undefined && options.smoke !== true)
        throw new UsageError('--expect says what --smoke waits for; give both.');
      if (!(options.timeout > 0)) throw new UsageError('--timeout takes a number of seconds.');
      return withStack(args, options, (stack, inner, signal) => boot(stack, inner, options, signal));
    });
}

const EXAMPLES = `
Examples:
  salvor boot lun0.img --vm web01
  salvor boot lun0.img --vm web01 --smoke --overlay-dir proof      does it start? with the serial line and a picture
  salvor boot web01-old.vmdk --memory 1024 --display gtk`;

function megabytes(text: string): number {
  if (!/^[1-9]\d{1,6}$/.test(text)) throw new InvalidArgumentError('Give MiB as a whole number, for example 2048.');
  return Number(text);
}

async function boot(stack: Stack, inner: string | undefined, options: Options, signal: AbortSignal): Promise<number> {
  const machine = await pickMachine(stack, inner, options.vm);
  if (machine.disks.length === 0) {
    const why = machine.lost.length > 0 ? `: ${machine.lost.join('; ')}` : '';
    throw new UsageError(`"${machine.name}" has no disk that could be started${why}.`, NOTHING);
  }
  const next = 'Give another directory with --overlay-dir.';
  if (options.overlayDir !== undefined) checkFolder(stack, options.overlayDir, next);
  const run = runFolder();
  let kept: string | undefined;
  try {
    kept = keptFolder(options, run);
    const started = await ready(stack, machine, {
      memory: options.memory,
      bus: options.bus,
      accel: options.accel,
      display: options.display ?? (options.smoke === true ? 'none' : 'vnc'),
      network: options.network === true,
      lost: options.lost,
      run,
      kept,
      onFault: (error) => note(`salvor: ${String(error)}`),
    });
    const { guest } = started;
    const about = { ...started, machine, kept, served: started.server.served, options };
    // Told when it is known; a guest that has ended does not wait for it.
    const over = new AbortController();
    try {
      if (options.json !== true) describe(about);
      await guest.start();
      for (const { slot, source } of machine.disks)
        void tellKnown(source, options.lost, over.signal, `${slot || 'disk'}: `);
      return options.smoke === true ? await smoke(about, run, stack, signal) : await attend(about, signal);
    } finally {
      over.abort();
      await started.stop();
    }
  } finally {
    const stays = kept !== undefined && (options.overlayDir !== undefined || options.keep === true);
    if (stays) note(`Overlays, serial.log and pictures stay in ${kept}.`);
    if (!stays || options.overlayDir !== undefined) run.remove();
  }
}

/** What is reported of a guest. */
interface About extends Omit<Ready, 'server' | 'stop'> {
  readonly machine: Bootable;
  readonly kept: string;
  readonly served: Served;
  readonly options: Options;
}

function keptFolder(options: Options, run: RunFolder): string {
  if (options.overlayDir === undefined) return run.path;
  const dir = path.resolve(options.overlayDir);
  try {
    emptyFolder(dir);
  } catch (error) {
    throw new UsageError(`${(error as Error).message}. Give another directory with --overlay-dir.`);
  }
  return dir;
}

function describe({ machine, plan, choices, guest }: About): void {
  const from = machine.config === undefined ? 'a disk without a configuration' : shown(machine.config.locator);
  const lines = [`Starting "${shown(machine.name)}" from ${from}`];
  for (const doubt of machine.doubts ?? []) lines.push(`  ! ${shown(doubt)}`);
  for (const { slot, node, source, broken } of plan.disks) {
    lines.push(`  ${slot || 'disk'}: ${shown(node.locator)}, ${size(source.size)}, read-only under a new overlay`);
    if (broken !== undefined) lines.push(`    ! ${shown(broken)}`);
  }
  for (const lost of machine.lost) lines.push(`  ! ${shown(lost)}: it starts without that disk`);
  for (const line of plan.guest.notes) lines.push(`  ! ${shown(line)}`);
  lines.push(...choices.map(decisionLine));
  lines.push(`Command: ${guest.command.map((one) => quoted(shown(one))).join(' ')}`);
  print(lines.join('\n'));
}

function asJson({ machine, plan, choices, guest, kept, served, options }: About): Record<string, unknown> {
  return {
    machine: machine.name,
    config: machine.config?.locator,
    disks: plan.disks.map(({ slot, node, source, broken }) => ({
      slot,
      locator: node.locator,
      size: source.size,
      broken,
    })),
    lost: machine.lost,
    guest: graded(plan.guest),
    choices,
    command: guest.command,
    overlays: kept,
    served,
    missing: options.lost,
  };
}

async function smoke(about: About, run: RunFolder, stack: Stack, signal: AbortSignal): Promise<number> {
  const { guest, options, kept } = about;
  const file = path.join(run.path, 'screen.ppm');
  const seen = await watch(guest, options.expect, options.timeout, file, signal);
  const picture = seen.picture === undefined ? undefined : path.join(kept, 'screen.png');
  if (picture !== undefined) writeNew(picture, pngOf(seen.picture!));
  const exit = seen.seen ? INTACT : UNCERTAIN;
  await report(about, seen, stack);
  if (options.json === true) {
    const { picture: _, ...told } = seen;
    printJson({ ...asJson(about), ...told, screen: picture, errors: guest.errors, serial: guest.serial });
  } else print(verdict(about, seen, picture).join('\n'));
  tellLost(about);
  return exit;
}

/** Where there is a case, its report shows the picture. */
async function report(about: About, seen: Watched, stack: Stack): Promise<void> {
  const { machine, options } = about;
  const dir = caseDir(
    options.case,
    stack.roots.map((root) => root.locator),
  );
  if (!hasCase(dir)) return;
  const kept = (await import('./case.ts')).openCase(dir);
  try {
    const said = `"${shown(machine.name)}": ${headline(about, seen)}`;
    keepStart(kept, { name: machine.name, config: machine.config?.locator ?? '' }, said, seen.picture);
    kept.log(process.argv.slice(2), said);
    note(`Kept for the report of the case ${dir}.`);
  } finally {
    kept.close();
  }
}

/** Whether it came up, in one sentence. */
function headline({ options }: About, seen: Watched): string {
  const line = shown(seen.line ?? '');
  if (seen.sign === 'desktop') return `It seems to start: its screen shows ${line}, after ${seconds(seen.at)}.`;
  if (seen.seen) return `It starts: "${line}" came after ${seconds(seen.at)}.`;
  if (seen.sign !== undefined) return `It does not come up: ${WHAT[seen.sign]}: "${line}".`;
  const how = seen.ended ? 'the guest ended before' : `${seconds(seen.at)} were waited`;
  const what = options.expect === undefined ? 'No login prompt was seen' : `"${shown(options.expect)}" did not come`;
  return `${what}: ${how}.`;
}

function verdict(about: About, seen: Watched, picture: string | undefined): string[] {
  const { guest, options } = about;
  const lines: string[] = [];
  const first = seen.firstSerial;
  if (first !== undefined) lines.push(`First byte on the serial line ${seconds(first)} after the command.`);
  lines.push(headline(about, seen));
  if (!seen.seen) {
    if (guest.errors !== '') lines.push(`qemu said: ${shown(guest.errors)}`);
    if (seen.text !== '' && seen.sign === undefined) lines.push(`On its screen: ${shown(lastLine(seen.text))}`);
    if (seen.next !== undefined) lines.push(seen.next);
  }
  if (options.overlayDir !== undefined && picture !== undefined) lines.push(`Its screen at the end: ${picture}`);
  else lines.push(`Its screen showed ${seen.screens} different pictures; keep the last one with --overlay-dir DIR.`);
  return lines;
}

function lastLine(text: string): string {
  return text.slice(text.lastIndexOf('\n') + 1).trim();
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

/** Shows the serial line until the guest ends, or until Ctrl-C. */
async function attend(about: About, signal: AbortSignal): Promise<number> {
  const { guest, options } = about;
  if (options.json === true) printJson(asJson(about));
  else {
    guest.onSerial = (bytes) => process.stdout.write(bytes);
    await tellDisplay(guest);
    note('What follows is its serial line. Ctrl-C ends the guest.');
  }
  const interrupted = new Promise<number>((resolve) => {
    signal.addEventListener('abort', () => resolve(INTACT), { once: true });
  });
  const code = await Promise.race([guest.ended, interrupted]);
  if (code !== 0) note(guest.errors === '' ? `qemu ended with ${code}.` : `qemu said: ${guest.errors}`);
  tellLost(about);
  return code === 0 ? INTACT : UNCERTAIN;
}

/** Where its screen can be seen. */
async function tellDisplay(guest: Guest): Promise<void> {
  const vnc = (await guest.monitor?.execute('query-vnc').catch(() => undefined)) as
    | { enabled?: boolean; host?: string; service?: string }
    | undefined;
  if (vnc?.enabled === true) note(`Its screen: vnc://${vnc.host}:${vnc.service}`);
}

function tellLost({ served, options }: About): void {
  note(`The guest read ${size(served.bytes)} of the evidence in ${served.requests} requests.`);
  if (served.lostReads === 0) return;
  const got = options.lost === 'zeros' ? 'zeros were given in their place' : 'it got an error';
  note(`${served.lostReads} of its reads met ${size(served.lostBytes)} that are missing; ${got}.`);
}
