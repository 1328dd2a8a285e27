/** salvor find: things by name, kind, size, time or health, as locators. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Node } from '../core/node.ts';
import { GlobError, globExpression } from '../export/glob.ts';
import { lossOf } from '../stack/walk.ts';
import { common, DELETED, GUEST_FILES, INTACT, NOTHING, type Target, UNCERTAIN, withTree } from './command.ts';
import { JsonList, nodeJson, note, Stream, shown } from './output.ts';
import { walkInBatches, wholeNumber } from './tree.ts';

export function register(program: Command): void {
  common(program.command('find'))
    .summary('find things by name, kind, size, time or health')
    .description(
      'Prints the locator of everything below a locator that passes all the tests given, one a line. ' +
        'Sizes are in powers of 1024 (4096, 64M, 1GiB), times in UTC unless they say otherwise (2024-05-01, ' +
        '2024-05-01T08:30). In a GLOB, * stands for any characters, ? for one, [a-z] for one of these.',
    )
    .argument('<locator...>', 'where to look')
    .option('--name <glob>', 'the name is like this', (glob) => parseGlob(glob))
    .option('--iname <glob>', 'as --name, whatever the case of its letters', (glob) => parseGlob(glob, 'i'))
    .addOption(new Option('--type <kind>', 'it is one of these').choices(TYPES))
    .option('--larger <size>', 'it has more bytes than this', parseSize)
    .option('--smaller <size>', 'it has fewer bytes than this', parseSize)
    .option('--newer, --after <date>', 'it was modified after this', parseDate)
    .option('--older, --before <date>', 'it was modified before this', parseDate)
    .option('--damaged', 'it is damaged or has bytes missing; looks where every byte of each file lies')
    .option('--deleted', DELETED)
    .option('--guest-files', GUEST_FILES)
    .option('--limit <count>', 'stop after this many', wholeNumber)
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: FindOptions) =>
      withTree(args, options, (target, signal) => find(target, options, signal)),
    );
}

const TYPES = ['file', 'directory', 'symlink', 'rdm', 'system'];

interface FindOptions {
  readonly json?: boolean;
  readonly name?: RegExp;
  readonly iname?: RegExp;
  readonly type?: string;
  readonly larger?: number;
  readonly smaller?: number;
  readonly after?: number;
  readonly before?: number;
  readonly damaged?: boolean;
  readonly deleted?: boolean;
  readonly limit?: number;
}

const EXAMPLES = `
Examples:
  salvor find lun0.img --name '*.vmx'
  salvor find lun0.img::/web01 --type file --larger 1GiB
  salvor find lun0.img --iname '*payroll*' --newer 2024-05-01 --json
  salvor find lun0.img --damaged             what has lost something
  salvor find lun0.img --guest-files --deleted --name '*.docx' --after 2024-05-01`;

async function find(target: Target, options: FindOptions, signal: AbortSignal): Promise<number> {
  const out = new Stream();
  const passes = tests(options);
  const limit = options.limit ?? Number.POSITIVE_INFINITY;
  const json = options.json === true;
  const list = new JsonList(out);
  let found = 0;
  let damaged = false;
  if (json) await out.write('{"matches":[');
  const wanted = options.damaged === true;
  walking: for await (const steps of walkInBatches(target, Number.POSITIVE_INFINITY, signal, options.deleted)) {
    for (const step of steps) {
      if (step.done) damaged ||= step.node.damage.length > 0;
      // The start is where to look, not what to find, unless nothing can lie below it.
      if (step.depth === 0 && target.node.kind !== 'file') continue;
      // What is wrong with a directory is known once it has been listed; without that test, order is that of the tree.
      if (step.done !== wanted || (passes.length > 0 && !passes.every((test) => test(step.node)))) continue;
      const loss = wanted ? await lossIn(step.node, signal) : '';
      if (loss === undefined) continue;
      damaged ||= loss !== '';
      const sent = json
        ? list.add({ ...nodeJson(step.node), ...(loss !== '' && { loss }) })
        : out.line(shown(step.node.locator));
      // Nearly all are kept for later, and a promise costs more than that.
      if (sent !== undefined) await sent;
      if (++found >= limit) break walking;
    }
  }
  const limited = found >= limit;
  if (json) await out.line(`\n],"limited":${limited}}`);
  await out.end();
  if (limited) note(`Stopped after ${limit}, as --limit says; there may be more.`);
  if (found === 0) note('Nothing passes these tests.');
  return found === 0 ? NOTHING : damaged ? UNCERTAIN : INTACT;
}

/** What bytes a node has lost, '' where it is damaged and none are; undefined where nothing is wrong with it. */
async function lossIn(node: Node, signal: AbortSignal): Promise<string | undefined> {
  return (await lossOf(node, signal)) ?? (node.damage.length > 0 ? '' : undefined);
}

type Test = (node: Node) => boolean;

function tests(options: FindOptions): Test[] {
  const { name, iname, type, larger, smaller, after, before } = options;
  const out: Test[] = [];
  const within = (fact: 'size' | 'modified', holds: (value: number) => boolean): void => {
    out.push(({ facts }) => facts[fact] !== undefined && holds(facts[fact]));
  };
  for (const wanted of [name, iname]) if (wanted !== undefined) out.push((node) => wanted.test(node.name));
  if (type !== undefined) out.push((node) => node.kind === type);
  if (larger !== undefined) within('size', (bytes) => bytes > larger);
  if (smaller !== undefined) within('size', (bytes) => bytes < smaller);
  if (after !== undefined) within('modified', (seconds) => seconds > after);
  if (before !== undefined) within('modified', (seconds) => seconds < before);
  return out;
}

/** The argument of an option that takes a glob. */
export function parseGlob(glob: string, flags = ''): RegExp {
  try {
    return globExpression(glob, flags);
  } catch (error) {
    throw error instanceof GlobError ? new InvalidArgumentError(error.message) : error;
  }
}

/** A size as people write it, in bytes. */
export function parseSize(value: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmgtp]?)(?:i?b)?$/i.exec(value.trim());
  const bytes =
    match === null ? Number.NaN : Math.round(Number(match[1]) * 1024 ** POWERS.indexOf(match[2].toLowerCase()));
  if (!Number.isSafeInteger(bytes)) throw new InvalidArgumentError('Write a size like 4096, 64M or 1GiB.');
  return bytes;
}

const POWERS = ['', 'k', 'm', 'g', 't', 'p'];

/** A date, or a date and a time, as seconds since 1970. Without a zone it is UTC, as all times that are printed. */
export function parseDate(value: string): number {
  const match = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(Z|[+-]\d\d:\d\d)?)?$/i.exec(value.trim());
  const iso = value.trim().replace(' ', 'T');
  const seconds =
    match === null ? Number.NaN : Date.parse(iso.length > 10 && match[1] === undefined ? `${iso}Z` : iso) / 1000;
  if (Number.isNaN(seconds)) throw new InvalidArgumentError('Write a date like 2024-05-01 or 2024-05-01T08:30Z.');
  return seconds;
}
