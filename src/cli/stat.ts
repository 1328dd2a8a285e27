/** salvor stat: all that is known of one thing, or of one byte of it. */
import type { Command } from 'commander';
import type { Node } from '../core/node.ts';
import { CERTAINTY_NAMES, MISSING, STATE_NAMES, STATED } from '../core/run.ts';
import { byteRows, factRows } from '../stack/facts.ts';
import { type Summary, summarize } from '../stack/placed.ts';
import { type WayStep, wayOf } from '../stack/way.ts';
import { common, health, INTACT, type Target, UNCERTAIN, UsageError, withNode } from './command.ts';
import { damageLines, nodeJson, print, printJson, shown } from './output.ts';

export function register(program: Command): void {
  common(program.command('stat'))
    .summary('say all that is known of one thing, or of one byte')
    .description(
      'Prints every fact of a thing in plain words, its health, and how certain its bytes are. With @OFFSET at the ' +
        'end also where that byte lies, through every layer down to the evidence, and what said so.',
    )
    .argument('<locator...>', 'what to look at')
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options) =>
      withNode(args, options, (target, signal) => stat(target, options.json === true, signal)),
    );
}

const EXAMPLES = `
Examples:
  salvor stat lun0.img::/web01/web01.vmx
  salvor stat lun0.img::/web01/web01-flat.vmdk@4096     where byte 4096 lies, and what said so
  salvor stat lun0.img::gpt/p1 --json`;

async function stat({ stack, node, at }: Target, json: boolean, signal: AbortSignal): Promise<number> {
  const source = await node.bytes?.();
  if (at !== undefined && (source === undefined || at >= source.size)) {
    const has = source === undefined ? 'no bytes' : `${source.size} bytes`;
    throw new UsageError(`${node.locator} has ${has}; there is no byte ${at}. The first one is @0.`);
  }
  const sum = source === undefined ? undefined : await summarize(source, signal);
  const way = at === undefined ? undefined : await wayOf(stack, node, source!, at);
  if (json) printJson({ ...nodeJson(node), ...(sum && { bytes: bytesJson(sum) }), ...(way && { way }) });
  else
    print(
      [
        shown(node.locator || node.name),
        ...[...factRows(node), ...byteRows(node, source, sum)].map(([label, value]) => row(label, value)),
        ...healthLines(node, sum),
        ...wayLines(way),
      ].join('\n'),
    );
  const uncertain = sum?.bytes.slice(0, STATED).some((bytes) => bytes > 0) === true;
  return uncertain ? UNCERTAIN : health(node) === INTACT ? INTACT : UNCERTAIN;
}

function row(label: string, value: string): string {
  return `  ${label.padEnd(14)} ${value}`;
}

function healthLines(node: Node, sum: Summary | undefined): string[] {
  const out = (node.notices ?? []).map((notice) => row('notice', notice));
  const lost = (sum?.states[MISSING] ?? 0) > 0;
  if (node.damage.length === 0) {
    return [...out, row('health', lost ? 'its metadata is sound, but bytes are missing' : 'no damage was found')];
  }
  const count = node.damage.length;
  return [
    ...out,
    row('health', count === 1 ? 'damaged' : `damaged in ${count} ways`),
    ...damageLines(node.damage, '  '),
  ];
}

function wayLines(way: readonly WayStep[] | undefined): string[] {
  if (way === undefined) return [];
  const out = ['', 'The way of this byte:'];
  for (const [i, { at, state, certainty, why }] of way.entries()) {
    out.push(`  ${i === 0 ? '' : 'is '}${shown(at)}`);
    if (state === undefined) continue;
    const where = why?.at === undefined ? '' : `, at ${shown(why.at)}`;
    const code = why?.code === undefined ? '' : ` [${why.code}]`;
    const verb = state === 'missing' ? 'missing:' : `${state === 'zero' ? 'zeros, ' : ''}${certainty} by`;
    out.push(`     ${why === undefined ? verb.replace(/:| by$/, '') : `${verb} ${why.what}${where}${code}`}`);
  }
  return out;
}

function bytesJson(sum: Summary): Record<string, unknown> {
  const named = (names: readonly string[], values: readonly number[]): Record<string, number> =>
    Object.fromEntries(names.map((name, i) => [name, values[i]]));
  const { fragments, reasons } = sum;
  return { certainty: named(CERTAINTY_NAMES, sum.bytes), states: named(STATE_NAMES, sum.states), fragments, reasons };
}
