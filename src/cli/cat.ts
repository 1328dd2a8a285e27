/** salvor cat: the bytes of one thing on standard output. */
import type { Command } from 'commander';
import { GUESSED } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { placed } from '../stack/placed.ts';
import { common, health, INTACT, type Target, UNCERTAIN, UsageError, withDisk } from './command.ts';
import { damageLines, drained, note } from './output.ts';

const BLOCK = 1024 * 1024;

export function register(program: Command): void {
  common(program.command('cat'))
    .summary('write the bytes of a file, a disk or a partition to standard output')
    .description(
      'Writes bytes to standard output. Bytes that are not to be had stand as zeros and are named on standard error.',
    )
    .argument('<locator...>', 'what to write')
    .option('--at <offset>', 'first byte to write', Number, 0)
    .option('--length <bytes>', 'how many bytes to write', Number)
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options) => withDisk(args, options, (target, signal) => cat(target, options, signal)));
}

const EXAMPLES = `
Examples:
  salvor cat lun0.img::/web01/web01.vmx
  salvor cat lun0.img::/web01/web01.vmdk::vmdk > disk.raw     the disk that a descriptor makes
  salvor cat lun0.img@1048576 --length 512 | xxd`;

/** Bytes that are no more than guessed: counted when they were read, which is what shows some of them to be wrong. */
async function guessedIn(source: Source, from: number, end: number, signal: AbortSignal): Promise<number> {
  let bytes = 0;
  for await (const run of placed(source, from, end, signal)) if (run.certainty === GUESSED) bytes += run.length;
  return bytes;
}

async function cat(target: Target, options: { at: number; length?: number }, signal: AbortSignal): Promise<number> {
  const { node } = target;
  if (node.bytes === undefined && node.damage.length > 0) {
    for (const line of damageLines(node.damage, '')) note(line);
    return UNCERTAIN;
  }
  if (node.bytes === undefined)
    throw new UsageError(`${node.locator} is a ${node.kind} and has no bytes. List it with: salvor ls`);
  const source = await node.bytes();
  const start = target.at ?? options.at;
  const end = Math.min(source.size, options.length === undefined ? Number.MAX_SAFE_INTEGER : start + options.length);
  if (!(start >= 0) || start > source.size || !(end >= start)) {
    throw new UsageError(`${node.locator} has ${source.size} bytes; ${start} to ${end} is not in them.`);
  }
  let lost = 0;
  for (let at = start; at < end && !signal.aborted; at += BLOCK) {
    const block = new Uint8Array(Math.min(BLOCK, end - at));
    for (const gap of await source.read(at, block)) {
      lost += gap.length;
      note(`${node.locator}@${gap.offset}: ${gap.length} bytes are missing (${gap.code}); zeros stand in their place.`);
    }
    if (!process.stdout.write(block)) await drained();
    if (process.stdout.destroyed) return INTACT;
  }
  const doubted = await guessedIn(source, start, end, signal);
  if (doubted > 0) note(`${node.locator}: ${doubted} of these bytes are guessed; salvor map shows which, and why.`);
  return lost > 0 || doubted > 0 ? UNCERTAIN : health(node);
}
