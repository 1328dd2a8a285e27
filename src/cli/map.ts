/** salvor map: where the bytes of a thing lie on the evidence, run by run. */
import { type Command, Option } from 'commander';
import { mapfileBlock, mapfileHead } from '../codec/mapfile.ts';
import { sentence } from '../core/damage.ts';
import type { Node } from '../core/node.ts';
import { CERTAINTY_NAMES, type Certainty, MISSING, STATE_NAMES, STATED, type Why } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { type Placed, placed, placeOf, runJson } from '../stack/placed.ts';
import { common, health, INTACT, type Target, UNCERTAIN, UsageError, withDisk } from './command.ts';
import { JsonList, Stream, shown } from './output.ts';

export function register(program: Command): void {
  common(program.command('map'))
    .summary('say where the bytes of a thing lie on the evidence')
    .description(
      'Prints one line per run of bytes: offset and length in the thing, what is there (data, zero, missing), how ' +
        'certain that is, where on the evidence it lies, and what said so. All numbers are bytes. Only metadata is ' +
        'read, so bytes that nobody has tried to read yet count as readable.',
    )
    .argument('<locator...>', 'what to map; with @OFFSET at its end, from that byte on')
    .addOption(new Option('--format <format>', 'how to print it').choices(['text', 'json', 'mapfile']).default('text'))
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: MapOptions) => {
      if (options.json === true && options.format === 'mapfile') {
        throw new UsageError('--json and --format mapfile are two different formats; give one of them.');
      }
      return withDisk(args, options, (target, signal) => map(target, options, signal));
    });
}

interface MapOptions {
  readonly json?: boolean;
  readonly format: 'text' | 'json' | 'mapfile';
}

const EXAMPLES = `
Examples:
  salvor map lun0.img::/web01/web01-flat.vmdk
  salvor map lun0.img::/web01/web01.vmdk::vmdk --json        the disk, followed down to the evidence
  salvor map lun0.img::/web01/web01-flat.vmdk --format mapfile > flat.map
                                             a GNU ddrescue mapfile: + had, - missing`;

async function map({ node, at }: Target, options: MapOptions, signal: AbortSignal): Promise<number> {
  if (node.bytes === undefined) {
    const [first] = node.damage;
    if (first !== undefined) throw new UsageError(`Nothing can be had of it. ${sentence(first)}`, UNCERTAIN);
    throw new UsageError(`${node.locator} is a ${node.kind} and has no bytes. List it with: salvor ls`);
  }
  const source = await node.bytes();
  const from = at ?? 0;
  if (from > source.size) throw new UsageError(`${node.locator} has ${source.size} bytes; there is no byte ${from}.`);
  const runs = placed(source, from, source.size, signal);
  const out = new Stream();
  const worst = await (options.json === true || options.format === 'json'
    ? asJson(node, source, runs, out)
    : options.format === 'mapfile'
      ? asMapfile(node, from, runs, out)
      : asText(runs, out));
  await out.end();
  return worst < STATED ? UNCERTAIN : health(node) === INTACT ? INTACT : UNCERTAIN;
}

type Runs = AsyncIterable<Placed>;

async function asText(runs: Runs, out: Stream): Promise<Certainty> {
  let worst: Certainty = 4;
  await out.line('        offset          length  state    certainty  where on the evidence, and what said so');
  for await (const run of runs) {
    if (run.certainty < worst) worst = run.certainty;
    const where = run.source === undefined ? '-' : shown(placeOf(run.source, run.at));
    const code = run.why?.code === undefined ? '' : ` [${run.why.code}]`;
    const columns = [
      String(run.offset).padStart(14),
      String(run.length).padStart(15),
      STATE_NAMES[run.state].padEnd(8),
      CERTAINTY_NAMES[run.certainty].padEnd(10),
      `${where}  ${run.why?.what ?? ''}${code}`,
    ];
    await out.line(` ${columns.join(' ')}`.trimEnd());
  }
  return worst;
}

async function asJson(node: Node, source: Source, runs: Runs, out: Stream): Promise<Certainty> {
  let worst: Certainty = 4;
  const bytes = [0, 0, 0, 0, 0];
  const places = new Map<Why, string | undefined>();
  await out.write(`{"locator":${JSON.stringify(node.locator)},"size":${source.size},"runs":[`);
  const list = new JsonList(out);
  for await (const run of runs) {
    if (run.certainty < worst) worst = run.certainty;
    bytes[run.certainty] += run.length;
    await list.add(await runJson(run, places));
  }
  const counted = Object.fromEntries(CERTAINTY_NAMES.map((name, i) => [name, bytes[i]]));
  await out.line(
    `\n],"certainty":{"worst":${JSON.stringify(CERTAINTY_NAMES[worst])},"bytes":${JSON.stringify(counted)}}}`,
  );
  return worst;
}

/** GNU ddrescue's format, so that its tools, and others that read it, can say what is missing. */
async function asMapfile(node: Node, from: number, runs: Runs, out: Stream): Promise<Certainty> {
  let worst: Certainty = 4;
  let pending: { at: number; end: number; status: '+' | '-' } | undefined;
  const comments = [
    `The bytes of ${shown(node.locator)}`,
    'Positions are those of its own bytes. "+": had, as data or as zeros by definition. "-": missing.',
  ];
  await out.write(mapfileHead(comments, from, '+', 1));
  for await (const run of runs) {
    if (run.certainty < worst) worst = run.certainty;
    const status = run.state === MISSING ? '-' : '+';
    if (pending?.status === status) pending.end += run.length;
    else {
      if (pending !== undefined) await out.write(mapfileBlock(pending));
      pending = { at: run.offset, end: run.offset + run.length, status };
    }
  }
  if (pending !== undefined) await out.write(mapfileBlock(pending));
  return worst;
}
