/** salvor check: everything that is wrong with disks, volumes and file systems, with positions; nothing is touched. */
import type { Command } from 'commander';
import { inQuotes } from '../codec/shell.ts';
import type { Damage } from '../core/damage.ts';
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import { LOST } from '../core/run.ts';
import { isConfiguration } from '../stack/machines.ts';
import { placed } from '../stack/placed.ts';
import type { Stack } from '../stack/stack.ts';
import { MAX_LEVELS, walkBelow } from '../stack/walk.ts';
import { common, INTACT, NOTHING, UNCERTAIN, withStack } from './command.ts';
import { damageLines, print, printJson } from './output.ts';

export function register(program: Command): void {
  common(program.command('check'))
    .summary('say everything that is wrong with a disk, with positions; for scripts too')
    .description(
      'Reads all tables of the disks, volumes and file systems in the sources and says what is wrong. Repairs nothing.',
    )
    .argument('<source...>', 'disks and images')
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options) =>
      withStack(args, options, (stack, _inner, signal) => check(stack, options.json === true, signal)),
    );
}

const EXAMPLES = `
Examples:
  salvor check web01.qcow2
  salvor check /vmimages/*.vmdk --json      exit code 0: all sound, 1: something is wrong, 3: nothing known`;

const MAX_LAYERS = 32;
/** Entries at the top of a file system that are looked at for configurations. */
const MAX_LOOKED = 10_000;
/** Damages named for one thing; the rest is counted. */
const NAMED = 200;

interface Checked {
  readonly locator: string;
  readonly format: string;
  readonly damage: Damage[];
  more: number;
}

async function check(stack: Stack, json: boolean, signal: AbortSignal): Promise<number> {
  const checked: Checked[] = [];
  for (const root of stack.roots) await below(stack, root, checked, signal, 0);
  if (json) printJson({ checked });
  else print(checked.flatMap(lines).join('\n') || 'Nothing that Salvor knows was found.');
  if (checked.length === 0) return NOTHING;
  return checked.some((one) => one.damage.length > 0) ? UNCERTAIN : INTACT;
}

/** A node, then what is inside it, as far as disks, volumes and file systems go. */
async function below(stack: Stack, node: Node, checked: Checked[], signal: AbortSignal, depth: number): Promise<void> {
  if (depth > MAX_LAYERS || signal.aborted) return;
  if (node.format !== undefined && !checked.some((one) => one.locator === node.locator))
    checked.push(await checkOne(stack, node, signal));
  if (node.kind === 'filesystem') return appliances(stack, node, checked, signal);
  if (node.kind === 'machine') return;
  if (node.children !== undefined) {
    for await (const child of stack.children(node)) await below(stack, child, checked, signal, depth + 1);
    return;
  }
  const inside = await stack.inside(node);
  if (inside !== undefined) await below(stack, inside, checked, signal, depth + 1);
}

/** Configurations at the top of a file system: those that list hashes of what lies beside them compare it. */
async function appliances(stack: Stack, filesystem: Node, checked: Checked[], signal: AbortSignal): Promise<void> {
  let looked = 0;
  for await (const child of stack.children(filesystem)) {
    if (signal.aborted || ++looked > MAX_LOOKED) return;
    const machine = isConfiguration(child) ? await stack.inside(child) : undefined;
    if (machine?.check !== undefined) checked.push(await checkOne(stack, machine, signal));
  }
}

async function checkOne(stack: Stack, node: Node, signal: AbortSignal): Promise<Checked> {
  const known = new Set<string>();
  const out: Checked = { locator: node.locator, format: node.format ?? node.kind, damage: [], more: 0 };
  const add = (one: Damage): void => {
    const key = `${one.code} ${one.at} ${one.actual}`;
    if (known.has(key)) return;
    if (out.damage.length < NAMED) {
      known.add(key);
      out.damage.push(one);
    } else out.more++;
  };
  for (const one of node.damage) add(one);
  for await (const one of node.check?.(signal) ?? []) add(one);
  if (out.damage.length === 0 && node.kind === 'disk') {
    const lost = await missingOf(node, signal);
    if (lost !== undefined) add(lost);
  }
  if (node.kind === 'filesystem') for await (const one of inTree(stack, node, signal)) add(one);
  return out;
}

/** What is wrong with all that a file system lists: its directories, what describes its files, and bytes that sums are kept of. */
async function* inTree(stack: Stack, filesystem: Node, signal: AbortSignal): AsyncGenerator<Damage> {
  for await (const { node, done } of walkBelow(stack, filesystem, MAX_LEVELS, signal)) {
    if (!done) continue;
    yield* node.damage;
    if (node.kind !== 'file' || node.check === undefined) continue;
    for await (const one of node.check(signal))
      yield { ...one, effect: `in ${printable(node.rawName)}: ${one.effect}` };
  }
}

/** Whatever its tables look like: a disk of which bytes cannot be had is not sound, as when its file was cut off. */
async function missingOf(node: Node, signal: AbortSignal): Promise<Damage | undefined> {
  const source = await node.bytes?.();
  if (source === undefined) return undefined;
  let first: { at: number; code: string } | undefined;
  let bytes = 0;
  for await (const { certainty, length, offset, why } of placed(source, 0, source.size, signal)) {
    if (certainty !== LOST || why?.code === 'encrypted') continue;
    first ??= { at: offset, code: why?.code ?? 'missing' };
    bytes += length;
  }
  if (first === undefined) return undefined;
  const effect = `${bytes} bytes of the disk are missing: salvor map ${inQuotes(node.locator)} shows where`;
  const actual = `none to be had from ${first.at} on`;
  return { code: first.code, at: node.locator, expected: `all ${source.size} bytes of the disk`, actual, effect };
}

function lines(one: Checked): string[] {
  const head = `${one.locator}: ${one.format}, ${one.damage.length === 0 ? 'nothing wrong was found' : `${one.damage.length + one.more} faults`}`;
  return [head, ...damageLines(one.damage, '  '), ...(one.more > 0 ? [`  and ${one.more} more`] : [])];
}
