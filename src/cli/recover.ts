/** salvor recover: bring files and machines out, with proof of what was had. */
import { type Command, Option } from 'commander';
import { caseDir } from '../case/place.ts';
import type { Node } from '../core/node.ts';
import { availabilityLine, type Estimate, isDoubtful, type Manifest, recover, recoveryLines } from '../export/index.ts';
import { carvedName } from '../stack/carve.ts';
import { locate } from '../stack/locate.ts';
import type { CarvedName } from '../stack/residue.ts';
import type { Stack } from '../stack/stack.ts';
import { type CommonOptions, common, endOf, INTACT, INTERRUPTED, UNCERTAIN, UsageError, withStack } from './command.ts';
import { counted, note, print, printJson, size } from './output.ts';
import { TARGETS } from './plan.ts';
import { progressLine } from './progress.ts';
import { recoverFor } from './recover-for.ts';

interface Options extends CommonOptions {
  readonly out: string;
  readonly vm?: string;
  readonly path?: string[];
  readonly choose?: string[];
  readonly fill: 'zero' | 'pattern' | 'skip';
  readonly sha256?: boolean;
  readonly symlinks: 'text' | 'links';
  readonly system?: boolean;
  readonly guestFiles?: boolean;
  readonly deep?: boolean;
  readonly carve?: boolean;
  readonly carveAll?: boolean;
  readonly carveAny?: boolean;
  readonly mend?: boolean;
  readonly target?: string;
  readonly ova?: boolean;
}

export function register(program: Command): void {
  common(program.command('recover'))
    .summary('copy files or whole machines out, with proof of what was had')
    .description(
      'Copies what is inside the sources to a directory. The same command again goes on where it was stopped.',
    )
    .argument(
      '<source...>',
      'images, disks or directories; all members of a spanned datastore, in any order; or a locator inside them',
    )
    .requiredOption('--out <dir>', 'directory to write to; nothing that is there is ever overwritten')
    .option('--vm <name>', 'only this machine: its display name, or the name of its .vmx')
    .option('--path <glob...>', 'only what matches: * ? [..] within a name, ** across directories')
    .option(
      '--choose <locator...>',
      'only these: files, and folders with all that is in them, as every command names them',
    )
    .addOption(
      new Option('--fill <how>', 'what stands in gaps: zeros, a pattern that can be recognised, or holes')
        .choices(['zero', 'pattern', 'skip'])
        .default('zero'),
    )
    .option('--sha256', 'SHA-256 of files of every size; those up to 64 MiB always get one')
    .addOption(
      new Option('--symlinks <how>', 'symbolic links as files that hold their text, or as links')
        .choices(['text', 'links'])
        .default('text'),
    )
    .option('--guest-files', 'the files inside the disks, not the disks: DIR/web01/web01.vmdk/p2/Users/…')
    .option('--system', "also the file system's own files")
    .option(
      '--deep',
      'also what was deleted, lost its directory or lost all pointers, and what lay there before: DIR/+deleted, ' +
        'DIR/+orphan, DIR/+carved, DIR/+older-…; scans the sources first, unless the case holds a scan of them',
    )
    .option(
      '--carve',
      'also files that are known by their content alone, in what live files leave free and in disks without a file ' +
        'system: DIR/+carved; what cannot be followed to its end, or checked, is kept apart in it',
    )
    .option('--carve-all', 'as --carve, also in what live files have')
    .option('--carve-any', 'as --carve, with files that begin at any byte, not only where sectors do')
    .option('--no-mend', 'do not make anew the descriptors and configurations that machines lack')
    .addOption(
      new Option(
        '--target <platform>',
        'one machine for this platform: its disks joined and converted, its configuration written beside them',
      ).choices(TARGETS),
    )
    .option('--ova', 'with --target ovf: one file that holds the description, its hashes and the disks')
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: Options, command: Command) =>
      withStack(args, options, async (stack, inner, signal) => {
        if (options.target !== undefined) return recoverFor(stack, inner, checked(options, command), signal);
        if (options.ova === true)
          throw new UsageError('--ova needs --target ovf: it puts a machine for that platform into one file.');
        if (options.choose !== undefined && options.vm !== undefined)
          throw new UsageError('--choose and --vm are two ways to choose; give one of them.');
        const start = async (): Promise<number> => run(stack, await fromOf(stack, inner), options, signal);
        return options.deep === true ? withScan(stack, options, args, signal, start) : start();
      }),
    );
}

const EXAMPLES = `
Examples:
  salvor recover lun0.img --out /mnt/rescue
  salvor recover /dev/sdb /dev/sdc --out /mnt/rescue --vm web01
  salvor recover lun0.img --out logs --path '**/vmware*.log'
  salvor recover lun0.img --out files --guest-files --vm web01
  salvor recover lun0.img --vm web01 --target kvm --out web01     a machine that starts there
  salvor recover 'lun0.img::vmfs/web01/web01.vmdk::ntfs/Users/anna' --out anna --deep

DIR/manifest.json says of every file where it came from, how certain it is and its hashes;
salvor verify DIR checks it all again.`;

/** Options that say which files to copy, and how: a machine for a platform has none. */
const OF_FILES = 'path choose fill sha256 symlinks guestFiles system deep carve carveAll carveAny mend'.split(' ');

function checked(options: Options, command: Command): Options & { readonly target: string } {
  const wrong = OF_FILES.find((name) => command.getOptionValueSource(name) === 'cli');
  if (wrong !== undefined) {
    const flag = command.options.find((option) => option.attributeName() === wrong)?.long;
    throw new UsageError(`${flag} is about files; --target writes one machine. Leave one of them out.`);
  }
  return { ...options, target: options.target! };
}

/** What a locator among the arguments names. */
async function fromOf(stack: Stack, inner: string | undefined): Promise<Node | undefined> {
  if (inner === undefined) return undefined;
  const { node, at } = await locate(stack, inner);
  if (at === undefined) return node;
  throw new UsageError(`${inner} is one byte; leave out @${at} to recover what it is a byte of.`);
}

/** Lets the stack use what scans of the sources found, and scans what was not scanned yet. */
async function withScan(
  stack: Stack,
  options: Options,
  sources: readonly string[],
  signal: AbortSignal,
  action: () => Promise<number>,
): Promise<number> {
  const [{ beginCase, unscanned }, { scanInto }] = await Promise.all([import('./case.ts'), import('./scan.ts')]);
  const kept = beginCase(caseDir(options.case, sources), stack);
  try {
    if ((await unscanned(kept, stack)).length > 0) {
      const report = await scanInto(kept, stack, SCAN_THREADS, options.json === true, signal);
      if (signal.aborted) {
        note(
          `Stopped in the scan; ${size(report.before + report.swept)} are done. The same command goes on from there.`,
        );
        return INTERRUPTED;
      }
    }
    stack.use(kept);
    return await action();
  } finally {
    kept.close();
  }
}

/** The directory of files known by content that was asked for. */
function carvedOf({ carve, carveAll, carveAny }: Options): CarvedName | undefined {
  const isAsked = carve === true || carveAll === true || carveAny === true;
  return isAsked ? carvedName(carveAll === true, carveAny === true) : undefined;
}

/** Threads of the scan before a deep recovery. */
const SCAN_THREADS = 2;

async function run(stack: Stack, from: Node | undefined, options: Options, signal: AbortSignal): Promise<number> {
  const json = options.json === true;
  const line = progressLine(json);
  const carve = carvedOf(options);
  try {
    const manifest = await recover(stack, {
      out: options.out,
      ...(from !== undefined && { from }),
      guests: options.guestFiles === true,
      ...(options.vm !== undefined && { vm: options.vm }),
      ...(options.path !== undefined && { paths: options.path }),
      ...(options.choose !== undefined && { locators: options.choose }),
      fill: options.fill,
      sha256: options.sha256 === true,
      symlinks: options.symlinks,
      system: options.system === true,
      deep: options.deep === true,
      ...(carve !== undefined && { carve }),
      mend: options.mend !== false,
      command: process.argv.slice(2),
      signal,
      onEstimate: (estimate) => (json ? jsonEstimate(estimate) : announce(estimate)),
      onProgress: (progress) => line.show(progress),
    });
    line.end();
    if (json) printJson(manifest);
    else print(recoveryLines(manifest, options.out).join('\n'));
    return worst(manifest);
  } catch (error) {
    line.end();
    return endOf(error);
  }
}

function jsonEstimate(estimate: Estimate): void {
  process.stderr.write(`${JSON.stringify({ estimate })}\n`);
}

function announce(e: Estimate): void {
  const machines = e.machines.length > 0 ? `, ${counted(e.machines.length, 'machine')} (${e.machines.join(', ')})` : '';
  const there = e.presentBytes > 0 ? `, ${size(e.presentBytes)} of it there from before` : '';
  note(
    `${counted(e.files, 'file')}${machines}: ${size(e.bytes)}, ${size(e.bytesOnDisk)} on disk${there}; ${size(e.freeBytes)} free.`,
  );
  for (const one of e.availability) note(availabilityLine(one));
  if (e.gapsBytes > 0) note(`${size(e.gapsBytes)} are known to be missing before anything is read.`);
}

function worst(manifest: Manifest): number {
  const brokenMachine = manifest.machines.some((machine) => machine.disks.some((disk) => disk.path === null));
  return manifest.files.some(isDoubtful) || brokenMachine ? UNCERTAIN : INTACT;
}
