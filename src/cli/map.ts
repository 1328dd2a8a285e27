/** salvor map: where the bytes of a thing lie on the evidence, run by run. */
import { type Command, Option } from 'commander';
import { mapfileBlock, mapfileHead } from '../codec/mapfile.ts';
import { sentence } from '../core/damage.ts';
import { FileSource } from '../core/evidence.ts';
import type { Node } from '../core/node.ts';
import { flatten } from '../core/resolve.ts';
import {
  CERTAINTY_NAMES,
  type Certainty,
  MISSING,
  RunList,
  STATE_NAMES,
  STATED,
  type State,
  type Why,
} from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { common, health, INTACT, type Target, UNCERTAIN, UsageError, withNode } from './command.ts';
import { JsonList, Stream, shown, size } from './output.ts';

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
      return withNode(args, options, (target, signal) => map(target, options, signal));
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

/** A run of a thing's bytes, followed down to the evidence. Neighbours of one kind are one run. */
export interface Placed {
  readonly offset: number;
  length: number;
  readonly state: State;
  readonly certainty: Certainty;
  /** The evidence that holds the bytes, or would hold them if they could be had. */
  readonly source: Source | undefined;
  readonly at: number;
  readonly why: Why | undefined;
}

/** The runs of [from, end) on the evidence. Memory stays the same however long the list is. */
export async function* placed(
  source: Source,
  from: number,
  end: number,
  signal: AbortSignal,
): AsyncGenerator<Placed, void> {
  const list = new RunList();
  let last: Placed | undefined;
  for (let at = from; at < end && !signal.aborted; ) {
    list.clear();
    const reached = await flatten(source, at, end, list);
    for (let i = 0; i < list.n; i++) {
      const run: Placed = {
        offset: at,
        length: list.length[i],
        state: list.state(i),
        certainty: list.certainty(i),
        source: list.sourceOf(i),
        at: list.at[i],
        why: list.why(i),
      };
      at += run.length;
      if (last !== undefined && continues(last, run)) last.length += run.length;
      else {
        if (last !== undefined) yield last;
        last = run;
      }
    }
    at = reached;
  }
  if (last !== undefined) yield last;
}

function continues(last: Placed, run: Placed): boolean {
  if (last.state !== run.state || last.certainty !== run.certainty || last.source !== run.source) return false;
  if (run.source !== undefined && last.at + last.length !== run.at) return false;
  return last.why?.what === run.why?.what && last.why?.code === run.why?.code;
}

/** What the bytes of a thing amount to. */
export interface Summary {
  /** Bytes per certainty, in the order of CERTAINTY_NAMES: missing, guessed, inferred, stated, verified. */
  readonly bytes: number[];
  /** Bytes per state, in the order of STATE_NAMES: data, zero, missing. */
  readonly states: number[];
  /** Stretches of data that do not follow on each other on the evidence. */
  fragments: number;
  /** Why bytes are missing or less than stated, each reason once, the first few. */
  readonly reasons: string[];
}

const MAX_REASONS = 8;

/** Counts the bytes of a source by what is known of them. */
export async function summarize(source: Source, signal: AbortSignal): Promise<Summary> {
  const sum: Summary = { bytes: [0, 0, 0, 0, 0], states: [0, 0, 0], fragments: 0, reasons: [] };
  let before: Placed | undefined;
  for await (const run of placed(source, 0, source.size, signal)) {
    sum.bytes[run.certainty] += run.length;
    sum.states[run.state] += run.length;
    if (STATE_NAMES[run.state] === 'data') {
      if (before === undefined || before.source !== run.source || before.at + before.length !== run.at) sum.fragments++;
      before = run;
    }
    const code = run.why?.code ?? (run.state === MISSING ? 'missing' : 'unchecked');
    if (run.certainty < STATED && sum.reasons.length < MAX_REASONS && !sum.reasons.includes(code)) {
      sum.reasons.push(code);
    }
  }
  return sum;
}

/** Bytes that are missing, or that no sound metadata states, as one sentence; undefined where there are none. */
export function shortfall(sum: Summary): string | undefined {
  const parts = [0, 1, 2].flatMap((c) => (sum.bytes[c] > 0 ? [`${size(sum.bytes[c])} ${CERTAINTY_NAMES[c]}`] : []));
  return parts.length === 0 ? undefined : `of its bytes: ${parts.join(', ')} (${sum.reasons.join(', ')})`;
}

/** A place on the evidence as a locator that every command takes. */
export function placeOf(source: Source, at: number): string {
  return `${source instanceof FileSource ? source.path : 'memory'}@${at}`;
}

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

async function runJson(run: Placed, places: Map<Why, string | undefined>): Promise<Record<string, unknown>> {
  const { offset, length, source, at, why } = run;
  if (places.size > 1000) places.clear();
  if (why !== undefined && !places.has(why)) places.set(why, await whyPlace(why));
  return {
    offset,
    length,
    state: STATE_NAMES[run.state],
    certainty: CERTAINTY_NAMES[run.certainty],
    ...(source !== undefined && { evidence: source instanceof FileSource ? source.path : 'memory', at }),
    ...(why !== undefined && { why: { what: why.what, at: places.get(why), code: why.code } }),
  };
}

/** Where on the evidence the metadata lies that said so. */
export async function whyPlace(why: Why): Promise<string | undefined> {
  if (why.source === undefined || why.at === undefined || why.at >= why.source.size) return undefined;
  const list = new RunList(1);
  await flatten(why.source, why.at, why.at + 1, list);
  const source = list.n === 0 ? undefined : list.sourceOf(0);
  return source === undefined ? undefined : placeOf(source, list.at[0]);
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
