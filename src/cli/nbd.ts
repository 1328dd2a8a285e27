/** salvor nbd: a disk over the network block device protocol, straight from the evidence. */
import { spawn } from 'node:child_process';
import * as path from 'node:path';
import { type Command, Option } from 'commander';
import { quoted } from '../codec/shell.ts';
import type { Node } from '../core/node.ts';
import type { Source } from '../core/source.ts';
import { checkFolder, checkNew, createOverlay, overlayCommand } from '../export/overlay.ts';
import { type RunFolder, runFolder } from '../export/run-folder.ts';
import { tcpAddress, uriOf } from '../serve/nbd/address.ts';
import type { Lost } from '../serve/nbd/exports.ts';
import { type Address, NbdServer } from '../serve/nbd/server.ts';
import { tallyOf } from '../serve/nbd/tally.ts';
import { type CommonOptions, common, INTACT, type Target, UNCERTAIN, UsageError, withDisk } from './command.ts';
import { diskOf } from './convert.ts';
import { note, print, printJson, shown, size } from './output.ts';

interface Options extends CommonOptions {
  readonly socket?: string;
  readonly tcp?: string;
  readonly allowRemote?: boolean;
  readonly lost: Lost;
  readonly overlay?: string;
  readonly run?: string;
}

/** What the one disk is called. */
const NAME = 'disk';

export function register(program: Command): void {
  common(program.command('nbd'))
    .summary('serve a disk, read-only, to qemu and all that speak NBD')
    .description(
      'Serves the bytes of a disk, with its whole chain, straight from the evidence; nothing is copied. Clients see ' +
        'where zeros are (base:allocation) and how certain every byte is (salvor:certainty: 0 missing, 1 guessed, ' +
        '2 inferred, 3 stated, 4 verified). Nobody can write to it. It runs until Ctrl-C.',
    )
    .argument('<locator...>', 'a disk: SOURCE, or SOURCE::FORMAT/PATH')
    .option('--socket <path>', 'listen on this Unix socket; by default on one in a new private folder')
    .option('--tcp <address>', 'listen on [HOST:]PORT of this machine instead; port 0 takes any that is free')
    .option('--allow-remote', 'let --tcp be an address that other machines can reach')
    .addOption(lostOption())
    .option('--overlay <file>', 'make a new qcow2 over it, for what a guest writes (by qemu-img)')
    .option('--run <command>', 'run this in a shell, with the address in $uri, and end when it ends')
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: Options) => {
      if (options.tcp !== undefined && options.socket !== undefined)
        throw new UsageError('--tcp and --socket are two places to listen; give one of them.');
      return withDisk(args, options, (target, signal) => serve(target, options, signal));
    });
}

/** What reads of missing bytes get; the same wherever disks are served. */
export function lostOption(): Option {
  return new Option('--lost <how>', 'what reads of missing bytes get: an error, or zeros')
    .choices(['error', 'zeros'])
    .default('error');
}

const EXAMPLES = `
Examples:
  salvor nbd lun0.img::/web01/web01-000002.vmdk
  salvor nbd broken.qcow2 --overlay work.qcow2        start a guest on work.qcow2; the evidence stays as it is
  salvor nbd web01.vhdx --run 'nbdcopy "$uri" disk.raw'`;

async function serve({ stack, node, at }: Target, options: Options, signal: AbortSignal): Promise<number> {
  if (at !== undefined) throw new UsageError(`${node.locator}@${at} is one byte; name the disk without @.`);
  const disk = await diskOf(stack, node);
  const source = await disk.bytes!();
  const address = options.tcp === undefined ? undefined : tcpAddress(options.tcp, options.allowRemote === true);
  const overlay = options.overlay === undefined ? undefined : path.resolve(options.overlay);
  if (overlay !== undefined) checkNew(stack, overlay, 'Give another place with --overlay.');
  if (options.socket !== undefined)
    checkFolder(stack, path.dirname(path.resolve(options.socket)), 'Give another place with --socket.');
  const folder = address === undefined && options.socket === undefined ? runFolder() : undefined;
  const server = new NbdServer([{ name: NAME, description: shown(disk.locator), source }], {
    lost: options.lost,
    onFault: (error) => note(`salvor: a read failed: ${error instanceof Error ? error.message : String(error)}`),
    onCut: (why) => note(`A client was cut off: ${why}.`),
  });
  try {
    const where = await server.listen(address ?? { path: socketPath(options.socket, folder) });
    const uri = uriOf(where, NAME);
    if (overlay !== undefined) await createOverlay(uri, overlay);
    // A command's own output is what its caller wants to see.
    if (options.run === undefined || options.json === true) announce(disk, source, where, uri, overlay, options);
    const counted = tellKnown(source, options.lost, signal);
    const code = options.run === undefined ? await ended(signal) : await runCommand(options.run, uri, signal);
    await server.close();
    return Math.max(code, (await counted) ?? INTACT, lostRead(server, options.lost));
  } finally {
    await server.close();
    folder?.remove();
  }
}

function socketPath(named: string | undefined, folder: RunFolder | undefined): string {
  return named === undefined ? path.join(folder!.path, 'nbd.sock') : path.resolve(named);
}

/** Commands that can be pasted. */
function commandsFor(uri: string, overlay: string | undefined): Record<string, string> {
  const file = (overlay ?? uri).replaceAll(',', ',,');
  const drive = `file=${file},${overlay === undefined ? 'format=raw,snapshot=on' : 'format=qcow2'}`;
  const start = `qemu-system-x86_64 -m 2048 -drive ${quoted(`${drive},if=ide`)}`;
  return {
    start,
    copy: `nbdcopy ${quoted(uri)} disk.raw`,
    certainty: `nbdinfo --map=salvor:certainty ${quoted(uri)}`,
    ...(overlay === undefined && { overlay: overlayCommand(uri, 'work.qcow2').map(quoted).join(' ') }),
  };
}

function announce(
  disk: Node,
  source: Source,
  where: Address,
  uri: string,
  overlay: string | undefined,
  options: Options,
): void {
  const commands = commandsFor(uri, overlay);
  if (options.json === true) {
    const { lost } = options;
    printJson({
      locator: disk.locator,
      size: source.size,
      uri,
      ...where,
      lost,
      overlay,
      commands,
      damage: disk.damage,
    });
    return;
  }
  const lines = [
    `Serving ${shown(disk.locator)}, ${size(source.size)}, read-only, as ${uri}`,
    `  start a guest on it, writing nothing to it:  ${commands.start}`,
    `  copy it:                                     ${commands.copy}`,
    `  how certain each byte is:                    ${commands.certainty}`,
  ];
  if (commands.overlay !== undefined) lines.push(`  keep what a guest writes:                    ${commands.overlay}`);
  else {
    const again =
      options.socket === undefined && options.tcp === undefined ? ' (--socket PATH gives one that lasts)' : '';
    lines.push(`  ${overlay} holds what a guest writes; it needs this disk at this address below it${again}.`);
  }
  print([...lines, 'Stop it with Ctrl-C.'].join('\n'));
}

/** Says what of the disk is missing; the exit code that this means. */
export async function tellKnown(
  source: Source,
  lost: Lost,
  signal: AbortSignal,
  which = '',
): Promise<number | undefined> {
  const tally = await tallyOf(source, signal);
  if (tally === undefined) return undefined;
  const [missing, guessed, inferred] = tally.bytes;
  if (missing > 0) {
    const get = lost === 'zeros' ? 'reads of them get ZEROS, as --lost zeros says' : 'reads of them get an error';
    note(`${which}${size(missing)} in ${tally.stretches} stretches are missing; ${get}.`);
  }
  if (guessed + inferred > 0) note(`${which}${size(inferred)} are inferred and ${size(guessed)} guessed.`);
  return missing + guessed + inferred > 0 ? UNCERTAIN : INTACT;
}

function lostRead(server: NbdServer, lost: Lost): number {
  const { lostReads, lostBytes, requests, bytes, connections } = server.served;
  note(`Served ${connections} connections, ${requests} requests, ${size(bytes)}.`);
  if (lostReads === 0) return INTACT;
  const got = lost === 'zeros' ? 'zeros were given in their place' : 'an error was given';
  note(`${lostReads} reads met ${size(lostBytes)} that are missing; ${got}.`);
  return UNCERTAIN;
}

function ended(signal: AbortSignal): Promise<number> {
  return new Promise((resolve) => {
    // A pending promise alone keeps no process running; the server does.
    if (signal.aborted) resolve(INTACT);
    else signal.addEventListener('abort', () => resolve(INTACT), { once: true });
  });
}

/** Runs a command of the user's with the address in its environment; answers its exit code. */
function runCommand(command: string, uri: string, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, { shell: true, stdio: 'inherit', env: { ...process.env, uri } });
    const stop = (): void => void child.kill();
    signal.addEventListener('abort', stop, { once: true });
    child.on('error', (error) => reject(new UsageError(`"${command}" could not be started: ${error.message}.`)));
    child.on('exit', (code) => {
      signal.removeEventListener('abort', stop);
      resolve(code ?? UNCERTAIN);
    });
  });
}
