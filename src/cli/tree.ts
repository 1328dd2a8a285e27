/** salvor tree: everything below a thing, indented, with what is wrong where. */
import { type Command, InvalidArgumentError } from 'commander';
import { Batches } from '../core/batches.ts';
import type { Damage } from '../core/damage.ts';
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import { LAYERS, lossOf, MAX_LEVELS, type Step, stepsBelow } from '../stack/walk.ts';
import {
  common,
  DELETED,
  GUEST_FILES,
  INTACT,
  NOTHING,
  type Target,
  UNCERTAIN,
  UsageError,
  withTree,
} from './command.ts';
import { damageLines, nodeJson, note, Stream, shown, size } from './output.ts';

export function register(program: Command): void {
  common(program.command('tree'))
    .summary('show everything below a directory, a volume or a disk')
    .description(
      'Prints what is below a locator, indented, with sizes. What is damaged is marked ! and followed by what is ' +
        'wrong with it, in sentences.',
    )
    .argument('<locator...>', 'SOURCE, SOURCE::FORMAT/PATH, or several SOURCES and a locator inside them')
    .option('--depth <levels>', 'go down this many levels only', wholeNumber)
    .option('--damaged', 'show only what is damaged or has bytes missing; looks where every byte of each file lies')
    .option('--deleted', DELETED)
    .option('--guest-files', GUEST_FILES)
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: TreeOptions) =>
      withTree(args, options, (target, signal) =>
        options.json === true ? asJson(target, options, signal) : asText(target, options, signal),
      ),
    );
}

interface TreeOptions {
  readonly json?: boolean;
  readonly depth?: number;
  readonly damaged?: boolean;
  readonly deleted?: boolean;
}

/** The argument of an option that counts things. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Give a whole number, for example 2.');
  return Number(text);
}

const EXAMPLES = `
Examples:
  salvor tree lun0.img                       the one file system in it
  salvor tree lun0.img::/web01 --depth 1
  salvor tree lun0.img --damaged             only what has lost something
  salvor tree a.img b.img --json             nested nodes`;

/** As walkBelow, from what a command was given. */
export function walk(target: Target, levels: number, signal: AbortSignal, deleted?: boolean): Batches<Step> {
  return new Batches(walkInBatches(target, levels, signal, deleted));
}

/** As stepsBelow, from what a command was given: for commands of which a long listing is most of the work. */
export function walkInBatches(
  { stack, node, at }: Target,
  levels: number,
  signal: AbortSignal,
  deleted = false,
): AsyncGenerator<readonly Step[]> {
  if (at !== undefined) {
    throw new UsageError(`${node.locator}@${at} is one byte and has nothing below it; leave out @${at}, or use stat.`);
  }
  return stepsBelow(stack, node, levels, signal, deleted);
}

async function asText(target: Target, options: TreeOptions, signal: AbortSignal): Promise<number> {
  const out = new Stream();
  const only = options.damaged === true;
  /** Lines of what is above, kept back until something damaged is met below it. */
  const above: (string | undefined)[] = [];
  /** Damages that were printed already, per level. */
  const told: number[] = [];
  let bad = 0;
  let met = 0;
  const show = async (depth: number, damage: readonly Damage[], loss?: string): Promise<void> => {
    for (let i = 0; i <= depth; i++) {
      if (above[i] !== undefined) await out.line(above[i]!);
      above[i] = undefined;
    }
    const indent = `${' '.repeat(SIZE_WIDTH)}  ${'  '.repeat(depth)}`;
    for (const line of damageLines(damage, indent)) await out.line(line);
    if (loss !== undefined) await out.line(`${indent}! ${loss}`);
  };
  for await (const { node, depth, done } of walk(target, options.depth ?? MAX_LEVELS, signal, options.deleted)) {
    if (!done) {
      met++;
      const loss = only ? await lossOf(node, signal) : undefined;
      const wrong = node.damage.length > 0 || loss !== undefined;
      if (wrong) bad++;
      above[depth] = line(node, depth, wrong);
      told[depth] = node.damage.length;
      if (wrong || !only) await show(depth, node.damage, loss);
    } else if (node.damage.length > told[depth]) {
      bad++;
      await show(depth, node.damage.slice(told[depth]));
    }
  }
  await out.end();
  return verdict(target.node, met, bad);
}

function verdict(start: Node, met: number, bad: number): number {
  if (met > 1 || !LAYERS.includes(start.kind)) return bad > 0 ? UNCERTAIN : INTACT;
  note(`Nothing that Salvor knows is in ${shown(start.locator)}.`);
  return NOTHING;
}

const SIZE_WIDTH = 10;

function line(node: Node, depth: number, wrong: boolean): string {
  const bytes = node.facts.size === undefined || node.kind === 'directory' ? '' : size(node.facts.size);
  const name = depth === 0 ? shown(node.locator || node.name) : node.name;
  const slash = node.kind === 'directory' && depth > 0 ? '/' : '';
  const { target } = node.facts;
  const arrow = target === undefined ? '' : ` -> ${printable(target)}`;
  const said = depth === 0 ? `"${node.name}"` : shown(node.locator);
  const layer = node.format === undefined ? '' : `  ${node.format}  ${said}`;
  return `${wrong ? '!' : ' '}${bytes.padStart(SIZE_WIDTH - 1)}  ${'  '.repeat(depth)}${name}${slash}${arrow}${layer}`;
}

async function asJson(target: Target, options: TreeOptions, signal: AbortSignal): Promise<number> {
  const out = new Stream();
  const only = options.damaged === true;
  /** Heads of nodes not written yet, because nothing damaged was met below them; '' once written. */
  const heads: string[] = [];
  const ends: string[] = [];
  const counts: number[] = [];
  let bad = 0;
  let met = 0;
  const open = async (depth: number): Promise<void> => {
    for (let i = 0; i <= depth; i++) {
      if (heads[i] === '') continue;
      if (i > 0 && counts[i - 1]++ > 0) await out.write(',');
      await out.write(`\n${' '.repeat(i)}${heads[i]}`);
      heads[i] = '';
    }
  };
  for await (const { node, depth, done } of walk(target, options.depth ?? MAX_LEVELS, signal, options.deleted)) {
    if (!done) {
      met++;
      const loss = only ? await lossOf(node, signal) : undefined;
      const head = headOf(node, loss);
      heads[depth] = head.start;
      ends[depth] = head.end;
      counts[depth] = 0;
      if (loss !== undefined || !only || depth === 0) await open(depth);
      if (loss !== undefined && node.damage.length === 0) bad++;
    } else {
      if (node.damage.length > 0) {
        bad++;
        await open(depth);
      }
      if (heads[depth] === '') {
        await out.write(`${ends[depth]},"damage":${JSON.stringify(node.damage)}}${depth === 0 ? '\n' : ''}`);
      }
    }
  }
  await out.end();
  return verdict(target.node, met, bad);
}

/** A node without its damage, which is known only once everything below it was met; `end` closes it. */
function headOf(node: Node, loss: string | undefined): { start: string; end: string } {
  const { damage: _, ...facts } = nodeJson(node);
  const start = JSON.stringify({ ...facts, ...(loss !== undefined && { loss }) }).slice(0, -1);
  const container = node.children !== undefined || LAYERS.includes(node.kind);
  return container ? { start: `${start},"children":[`, end: ']' } : { start, end: '' };
}
