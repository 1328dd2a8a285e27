/** salvor convert: write any disk as one file of a format. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Command } from 'commander';
import type { Node } from '../core/node.ts';
import type { Packer } from '../core/packer.ts';
import type { Writer } from '../core/writer.ts';
import { type Converted, convert, ExportError, Threads } from '../export/index.ts';
import { packers, writers } from '../formats/index.ts';
import { notRead } from '../stack/bootable.ts';
import { diskIn } from '../stack/home.ts';
import {
  type CommonOptions,
  common,
  INTACT,
  INTERRUPTED,
  type Target,
  UNCERTAIN,
  USAGE,
  UsageError,
  withDisk,
} from './command.ts';
import { note, print, printJson, size } from './output.ts';
import { progressLine } from './progress.ts';

interface Options extends CommonOptions {
  readonly to?: string;
  readonly detect?: boolean;
}

const VARIANTS = [...writers, ...packers].flatMap((writer) => writer.variants);

export function register(program: Command): void {
  common(program.command('convert'))
    .summary('write a disk, a chain of snapshots or any file as a disk image')
    .description(
      'Writes the bytes of a disk as one image: the whole chain of a snapshot joined, a disk inside a datastore, ' +
        'a partition, any file. Zeros take no room. The same command again goes on where it was stopped. ' +
        'What could not be had stands as zeros and is named in OUT.map.',
    )
    .argument('<locator>', 'a disk: SOURCE, or SOURCE::FORMAT/PATH')
    .argument('<out>', 'file to write; nothing that is there is ever overwritten')
    .option('--to <format>', `one of ${VARIANTS.join(', ')}; by default what the ending of OUT says`)
    .option(
      '--detect',
      'read everything first in search of zeros; by default only where nearly all of the disk is data',
    )
    .option('--no-detect', 'do not: only what is known to be zeros takes no room')
    .addHelpText('after', EXAMPLES)
    .action((locator: string, out: string, options: Options) => {
      const threads = new Threads();
      if (isLarge(locator)) threads.startAll();
      const converting = withDisk([locator], options, (target, signal) => run(target, out, options, threads, signal));
      return converting.finally(() => threads.close());
    });
}

const EXAMPLES = `
Examples:
  salvor convert web01.vdi web01.qcow2
  salvor convert lun0.img::/web01/web01-000002.vmdk web01.raw     a snapshot, its whole chain joined
  salvor convert broken.qcow2 fixed.qcow2                         what is left of it, with OUT.map for the rest`;

/** Bytes from which on it pays to start threads before it is known what there is to do. */
const LARGE: number = 256 * 1024 * 1024;

/** Whether what is named is a large file; what lies inside of one is not looked for yet. */
function isLarge(locator: string): boolean {
  return fs.existsSync(locator) && fs.statSync(locator).size >= LARGE;
}

async function run(
  { stack, node, at }: Target,
  out: string,
  options: Options,
  threads: Threads,
  signal: AbortSignal,
): Promise<number> {
  if (at !== undefined) throw new UsageError(`${node.locator}@${at} is one byte; name the disk without @.`);
  const { writer, variant } = chosen(out, options.to);
  const disk = await diskOf(stack, node);
  const json = options.json === true;
  const line = progressLine(json);
  try {
    const done = await convert(stack, disk, {
      out,
      writer,
      variant,
      ...(options.detect !== undefined && { detect: options.detect }),
      command: process.argv.slice(2),
      signal,
      threads,
      onProgress: (progress) => line.show(progress),
    });
    line.end();
    const warning = notRead(disk);
    if (warning !== undefined) note(warning);
    if (json) printJson(done);
    else print(summary(done, disk, path.dirname(out)).join('\n'));
    if (warning !== undefined) return UNCERTAIN;
    return done.gaps.length > 0 || !['verified', 'stated'].includes(done.certainty.worst) ? UNCERTAIN : INTACT;
  } catch (error) {
    line.end();
    if (!(error instanceof ExportError)) throw error;
    note(`salvor: ${error.message}`);
    return error.code === 'interrupted' ? INTERRUPTED : USAGE;
  }
}

/** A container is converted by what it holds; anything else as it is. */
export async function diskOf(stack: Target['stack'], node: Node): Promise<Node> {
  const disk = await diskIn(stack, node);
  if (disk === undefined) throw new UsageError(`${node.locator} has no bytes of its own; name a disk in it.`);
  return disk;
}

function chosen(out: string, to: string | undefined): { writer: Writer | Packer; variant: string } {
  const ending = path.extname(out).toLowerCase();
  const packer = to === undefined ? undefined : packers.find((one) => one.variants.includes(to));
  if (packer !== undefined) return { writer: packer, variant: to! };
  for (const writer of writers) {
    if (to !== undefined && writer.variants.includes(to)) return { writer, variant: to };
    if (to === undefined && writer.endings.includes(ending)) return { writer, variant: writer.variants[0] };
  }
  const given =
    to === undefined ? `"${ending}" says no format that can be written` : `"${to}" is no format that can be written`;
  throw new UsageError(`${given}. Say one with --to: ${VARIANTS.join(', ')}.`);
}

/** `folder`: that of the output, as it was typed. */
function summary(done: Converted, disk: Node, folder: string): string[] {
  const shown = (name: string): string => path.join(folder, path.basename(name));
  const { bytes } = done.certainty;
  const files = done.files.map((file) => `${shown(file.path)} (${size(file.size)})`).join(', ');
  const lines = [`Wrote ${disk.locator}, ${size(done.size)}, to ${files}.`];
  const less = (['inferred', 'guessed', 'missing'] as const).filter((grade) => bytes[grade] > 0);
  if (less.length === 0) lines.push('All of it is stated by live metadata that passed its checks.');
  else
    lines.push(
      `Of its bytes ${less.map((grade) => `${size(bytes[grade])} are ${grade}`).join(', ')} (${done.reasons
        .map((r) => r.code)
        .slice(0, 5)
        .join(', ')}).`,
    );
  if (done.content !== undefined) lines.push(`Its bytes hash to ${done.content}, as salvor hash says it.`);
  if (done.map !== undefined) lines.push(`What was not had stands as zeros; ${shown(done.map)} names it.`);
  return lines;
}
