/** salvor hash: what disks hold, as hashes that do not depend on what they are kept in. */
import type { Command } from 'commander';
import { type Content, contentHash, ExportError } from '../export/index.ts';
import { splitArgument } from '../stack/locate.ts';
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
import { diskOf } from './convert.ts';
import { note, print, printJson, size } from './output.ts';
import { progressLine } from './progress.ts';

interface Options extends CommonOptions {
  readonly sha256: boolean;
}

interface Hashed extends Content {
  readonly locator: string;
}

export function register(program: Command): void {
  common(program.command('hash'))
    .summary('hash what disks hold, whatever they are kept in, and say whether they are the same')
    .description(
      'Hashes the bytes of a disk, not of its container: a chain of snapshots and the image it was converted to have ' +
        'the same hash. Stretches that are known to be zeros are not read. What is missing counts as zeros, and is said. ' +
        'Several sources for one disk go before ::/PATH; otherwise every argument is hashed.',
    )
    .argument('<locator...>', 'disks, partitions or files')
    .option('--sha256', 'also SHA-256 of all the bytes, as sha256sum says it of a raw image', false)
    .addHelpText('after', EXAMPLES)
    .action(run);
}

const EXAMPLES = `
Examples:
  salvor hash web01.vmdk web01.qcow2                    do both hold the same bytes?
  salvor hash --sha256 lun0.img::/web01/web01-000002.vmdk
  salvor hash lun0.img lun1.img ::/web01/web01.vmdk     a datastore on two devices`;

async function run(args: readonly string[], options: Options): Promise<void> {
  const hashed: Hashed[] = [];
  let code = INTACT;
  for (const group of groups(args)) {
    await withDisk(group, options, async (target, signal) => {
      const result = await one(target, options, signal);
      if (typeof result === 'number') return result;
      hashed.push(result);
      return isSure(result) ? INTACT : UNCERTAIN;
    });
    const own = Number(process.exitCode ?? INTACT);
    code = Math.max(code, own);
    if (own > UNCERTAIN) break;
  }
  const isSame = new Set(hashed.map((one) => one.tree)).size <= 1;
  process.exitCode = code === INTACT && !isSame ? UNCERTAIN : code;
  if (code > UNCERTAIN) return;
  if (options.json === true) printJson({ hashes: hashed, ...(hashed.length > 1 && { same: isSame }) });
  else print([...hashed.flatMap(lines), ...verdict(hashed, isSame)].join('\n'));
}

/** Arguments that are opened together: all sources with each path that names none, any other one alone. */
function groups(args: readonly string[]): string[][] {
  const parts = args.map((argument) => ({ argument, ...splitArgument(argument) }));
  const loose = parts.filter((part) => part.source === undefined);
  if (loose.length === 0) return args.map((argument) => [argument]);
  const sources = parts.filter((part) => part.source !== undefined && part.inner === '').map((part) => part.argument);
  const own = parts.filter((part) => part.source !== undefined && part.inner !== '').map((part) => [part.argument]);
  return [...loose.map((part) => [...sources, part.argument]), ...own];
}

async function one({ stack, node, at }: Target, options: Options, signal: AbortSignal): Promise<Hashed | number> {
  if (at !== undefined) throw new UsageError(`${node.locator}@${at} is one byte; name the disk without @.`);
  const disk = await diskOf(stack, node);
  const bytes = await disk.bytes?.();
  if (bytes === undefined) throw new UsageError(`${disk.locator} has no bytes to hash. Name a disk or a file.`);
  const line = progressLine(options.json === true);
  try {
    const content = await contentHash(bytes, {
      sha256: options.sha256,
      intact: disk.damage.length === 0,
      name: disk.name,
      signal,
      onProgress: (progress) => line.show(progress),
    });
    return { locator: disk.locator, ...content };
  } catch (error) {
    if (!(error instanceof ExportError)) throw error;
    note('salvor: Interrupted. The same command begins anew.');
    return error.code === 'interrupted' ? INTERRUPTED : USAGE;
  } finally {
    line.end();
  }
}

function isSure({ certainty, gaps }: Content): boolean {
  return gaps.length === 0 && ['verified', 'stated'].includes(certainty.worst);
}

function lines(hashed: Hashed): string[] {
  const out = [`${hashed.tree}  ${hashed.locator} (${size(hashed.size)})`];
  if (hashed.sha256 !== undefined) out.push(`SHA-256 ${hashed.sha256}`);
  const { bytes } = hashed.certainty;
  const less = (['inferred', 'guessed', 'missing'] as const).filter((grade) => bytes[grade] > 0);
  const why = hashed.reasons.map((reason) => reason.code).slice(0, 5);
  if (less.length > 0)
    out.push(
      `  of its bytes ${less.map((grade) => `${size(bytes[grade])} are ${grade}`).join(', ')} (${why.join(', ')})`,
    );
  if (bytes.missing > 0) out.push('  what is missing counts as zeros: this is no hash of the whole disk');
  return out;
}

function verdict(hashed: readonly Hashed[], isSame: boolean): string[] {
  if (hashed.length < 2) return [];
  if (!isSame) {
    const isOneSize = new Set(hashed.map((one) => one.size)).size === 1;
    return [isOneSize ? 'They do not hold the same bytes.' : 'They differ in size.'];
  }
  if (hashed.every(isSure)) return [`All ${hashed.length} hold the same bytes.`];
  return [`All ${hashed.length} hold the same bytes as far as they were had; see above for what is not certain.`];
}
