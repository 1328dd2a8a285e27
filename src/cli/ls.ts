/** salvor ls: what is in a directory, a volume or a partition table. */
import type { Command } from 'commander';
import type { Node } from '../core/node.ts';
import { common, health, NOTHING, type Target, UNCERTAIN, withNode } from './command.ts';
import { damageLines, modeText, nodeJson, print, printJson, time } from './output.ts';

export function register(program: Command): void {
  common(program.command('ls'))
    .summary('list what is in a directory, a volume or a disk')
    .description(
      'Lists the entries of a locator. With sources only: the one file system in them, or what there is to choose.',
    )
    .argument('<locator...>', 'SOURCE, SOURCE::FORMAT/PATH, or several SOURCES and a locator inside them')
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options) => withNode(args, options, (target) => ls(target, options.json === true)));
}

const EXAMPLES = `
Examples:
  salvor ls lun0.img                        the root of the one file system in it
  salvor ls lun0.img::/web01                a directory of it
  salvor ls lun0.img::gpt                   the partitions
  salvor ls a.img b.img ::/web01 --json     a datastore on two devices, as JSON`;

async function ls({ stack, node }: Target, json: boolean): Promise<number> {
  const inside = node.children === undefined ? ((await stack.inside(node)) ?? node) : node;
  const entries: Node[] = [];
  for await (const child of stack.children(inside)) entries.push(child);
  if (inside.children === undefined) entries.push(inside);
  if (json) printJson({ ...nodeJson(inside), entries: entries.map(nodeJson) });
  else if (entries.length > 0) print(entries.map(line).join('\n'));
  const lines = damageLines(inside.damage, '');
  if (lines.length > 0 && !json) process.stderr.write(`${lines.join('\n')}\n`);
  if (entries.length === 0 && inside.damage.length === 0) return inside.kind === 'directory' ? 0 : NOTHING;
  return entries.some((entry) => health(entry) !== 0) ? UNCERTAIN : health(inside);
}

function line(node: Node): string {
  const bytes = String(node.facts.size ?? '-').padStart(15);
  const mark = node.damage.length > 0 ? ' !' : '';
  const arrow = node.facts.target === undefined ? '' : ` -> ${JSON.stringify(node.facts.target).slice(1, -1)}`;
  const type = node.facts.details?.type;
  const what = node.kind === 'partition' && type !== undefined ? `  ${type}` : '';
  return `${modeText(node)} ${bytes} ${time(node.facts.modified)} ${node.name}${arrow}${what}${mark}`;
}
