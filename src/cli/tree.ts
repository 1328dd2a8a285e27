/** salvor tree: everything below a thing, indented, with what is wrong where. */
import { type Command, InvalidArgumentError } from 'commander';
import type { Damage } from '../core/damage.ts';
import { MAX_DEPTH, MAX_PATH_DEPTH } from '../core/limits.ts';
import { printable } from '../core/locator.ts';
import type { Kind, Node } from '../core/node.ts';
import { shortfall, summarize } from '../stack/placed.ts';
import { childrenWith } from '../stack/residue.ts';
import type { Stack } from '../stack/stack.ts';
import { common, DELETED, INTACT, NOTHING, type Target, UNCERTAIN, UsageError, withNode } from './command.ts';

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
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: TreeOptions) =>
      withNode(args, options, (target, signal) =>
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

/** Levels that are walked: no sound format makes more, so what is deeper is a loop that went unnoticed. */
const MAX_LEVELS = MAX_PATH_DEPTH + MAX_DEPTH;
/** What is looked into on the way down: ways to other bytes. Files are not. */
const LAYERS: readonly Kind[] = ['evidence', 'disk', 'partition', 'volume'];

/** A node met on a walk. */
export interface Step {
  readonly node: Node;
  /** Levels below the start, whose own depth is 0. */
  readonly depth: number;
  /** Everything below it has been met: what listing it showed to be wrong is now known. Never before `false`. */
  readonly done: boolean;
}

/** A node whose children are being met. */
interface Level {
  readonly node: Node;
  readonly children: AsyncIterator<Node>;
}

/** A node and everything below it, through disks and volumes into file systems, depth first, each container twice. */
export async function* walk(
  target: Target,
  levels: number,
  signal: AbortSignal,
  deleted = false,
): AsyncGenerator<Step> {
  const { stack, node: start, at } = target;
  if (at !== undefined) {
    throw new UsageError(`${start.locator}@${at} is one byte and has nothing below it; leave out @${at}, or use stat.`);
  }
  const met = new Set<string>();
  const open: Level[] = [];
  let next: Node | undefined = start;
  while (!signal.aborted) {
    if (next !== undefined) {
      yield { node: next, depth: open.length, done: false };
      const again = LAYERS.includes(next.kind) && met.has(next.locator);
      if (LAYERS.includes(next.kind)) met.add(next.locator);
      const below = open.length < Math.min(levels, MAX_LEVELS) && !again;
      open.push({
        node: next,
        children: (below ? childrenOf(stack, next, next === start, deleted) : none())[Symbol.asyncIterator](),
      });
    }
    const level = open[open.length - 1];
    if (level === undefined) return;
    const child: IteratorResult<Node> = await level.children.next();
    next = child.done === true ? undefined : child.value;
    if (next !== undefined) continue;
    open.pop();
    yield { node: level.node, depth: open.length, done: true };
  }
  // After Ctrl-C: what was begun is ended, so that a document is whole although the tree is not.
  for (let level = open.pop(); level !== undefined; level = open.pop()) {
    yield { node: level.node, depth: open.length, done: true };
  }
}

async function* none(): AsyncGenerator<Node> {}

/** What lies below a node: its children, or for a layer, and for whatever a person names, what is in its bytes. */
async function* childrenOf(stack: Stack, node: Node, named: boolean, deleted: boolean): AsyncGenerator<Node> {
  if (node.children !== undefined || node.kind === 'filesystem')
    yield* childrenWith(stack, node, deleted ? 'deleted' : 'live');
  else if (named || LAYERS.includes(node.kind)) {
    const inside = await stack.inside(node);
    if (inside !== undefined) yield inside;
  }
}

/** What is wrong with a node beside its damage: bytes of it that are missing or uncertain. Undefined where none are. */
export async function lossOf(node: Node, signal: AbortSignal): Promise<string | undefined> {
  if (node.bytes === undefined || LAYERS.includes(node.kind)) return undefined;
  return shortfall(await summarize(await node.bytes(), signal));
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
