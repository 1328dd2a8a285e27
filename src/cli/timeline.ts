/** salvor timeline: when what happened to which file, for tools that read timelines and for people. */
import { type Command, Option } from 'commander';
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import { common, DELETED, GUEST_FILES, INTACT, NOTHING, type Target, withTree } from './command.ts';
import { JsonList, modeText, note, Stream, shown } from './output.ts';
import { walk } from './tree.ts';

export function register(program: Command): void {
  common(program.command('timeline'))
    .summary('list the times of everything below a locator')
    .description(
      'Prints a line for each file and directory below a locator with its times: as a bodyfile, in the order of the ' +
        'tree, which mactime and other tools read; or as CSV in the order of time, where m, a, c and b say whether it ' +
        'was modified, accessed, changed or made then. All times are UTC.',
    )
    .argument('<locator...>', 'where to look')
    .addOption(new Option('--format <format>', 'bodyfile, or CSV').choices(['bodyfile', 'csv']).default('bodyfile'))
    .option('--deleted', DELETED)
    .option('--guest-files', GUEST_FILES)
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: TimelineOptions) =>
      withTree(args, options, (target, signal) => timeline(target, options, signal)),
    );
}

interface TimelineOptions {
  readonly json?: boolean;
  readonly format: 'bodyfile' | 'csv';
  readonly deleted?: boolean;
}

const EXAMPLES = `
Examples:
  salvor timeline lun0.img --deleted > lun0.body
  salvor timeline 'lun0.img::vmfs/web01/web01.vmdk' --deleted --format csv
  salvor timeline lun0.img --guest-files --deleted | mactime -d -z UTC`;

async function timeline(target: Target, options: TimelineOptions, signal: AbortSignal): Promise<number> {
  const out = new Stream();
  const json = options.json === true;
  const rows = options.format === 'csv' && !json ? new Rows() : undefined;
  const list = new JsonList(out);
  let met = 0;
  if (json) await out.write('{"entries":[');
  for await (const { node, done } of walk(target, Number.POSITIVE_INFINITY, signal, options.deleted)) {
    if (done || !FILES.includes(node.kind)) continue;
    const times = timesOf(node);
    if (times.every((one) => one === undefined)) continue;
    met++;
    if (json) await list.add(asJson(node, times));
    else if (rows !== undefined) rows.add(node, times);
    else await out.line(bodyLine(node, times));
  }
  if (json) await out.line('\n]}');
  if (rows !== undefined) for (const line of rows.lines()) await out.line(line);
  await out.end();
  if (met === 0) note('Nothing below it has times.');
  return met === 0 ? NOTHING : INTACT;
}

const FILES: readonly string[] = ['file', 'directory', 'symlink', 'system', 'rdm'];

/** Modified, accessed, changed, made: seconds since 1970 where they are known. */
type Times = readonly (number | undefined)[];
const FLAGS = ['m', 'a', 'c', 'b'];

function timesOf({ facts }: Node): Times {
  const made = facts.details?.created;
  return [facts.modified, facts.accessed, facts.changed, typeof made === 'number' ? made : undefined];
}

function inodeOf({ facts }: Node): string {
  const inode = facts.details?.inode;
  return inode === undefined ? '0' : String(inode);
}

function nameOf(node: Node): string {
  const target = node.facts.target === undefined ? '' : ` -> ${printable(node.facts.target)}`;
  return `${shown(node.locator)}${target}${node.state === 'live' ? '' : ` (${node.state})`}`;
}

/** MD5|name|inode|mode|UID|GID|size|atime|mtime|ctime|crtime, as The Sleuth Kit has it since version 3. */
function bodyLine(node: Node, [modified, accessed, changed, made]: Times): string {
  const { facts } = node;
  const times = [accessed, modified, changed, made].map((one) => Math.floor(one ?? 0));
  const mode = modeText(node);
  const name = nameOf(node).replaceAll('|', '%7C');
  return [0, name, inodeOf(node), mode, facts.uid ?? 0, facts.gid ?? 0, facts.size ?? 0, ...times].join('|');
}

function asJson(node: Node, [modified, accessed, changed, made]: Times): Record<string, unknown> {
  const { locator, kind, state, facts } = node;
  return { locator, kind, state, size: facts.size, modified, accessed, changed, made };
}

/** Rows in the order of time. A million entries must fit, so nothing is kept of a node but one text. */
class Rows {
  readonly #texts: string[] = [];
  readonly #rows: { readonly at: number; readonly text: number; readonly what: number }[] = [];

  add(node: Node, times: Times): void {
    const { facts } = node;
    const text = this.#texts.length;
    const columns = [facts.size ?? '', modeText(node), facts.uid ?? '', facts.gid ?? '', inodeOf(node), node.state];
    this.#texts.push([...columns, quoted(shown(node.locator))].join(','));
    for (const at of new Set(times)) {
      if (at === undefined) continue;
      const what = times.reduce<number>((bits, one, i) => bits | (one === at ? 1 << i : 0), 0);
      this.#rows.push({ at, text, what });
    }
  }

  *lines(): Generator<string> {
    yield 'time,what,size,mode,uid,gid,inode,state,locator';
    for (const { at, text, what } of this.#rows.sort((a, b) => a.at - b.at || a.text - b.text)) {
      const flags = FLAGS.map((flag, i) => ((what >> i) & 1 ? flag : '.')).join('');
      yield `${isoOf(at)},${flags},${this.#texts[text]}`;
    }
  }
}

/** Of a time that is no date, the number. */
function isoOf(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString();
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}
